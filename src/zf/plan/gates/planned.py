"""The handlers of a plan: those of its phases, and those of the run in a phase that comes last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zf.model import Flow, Task
from zf.model.handler import RUN_PHASE


def with_handlers(
    flow: Flow, tasks: Mapping[str, Task], order: Sequence[str]
) -> tuple[dict[str, Task], tuple[str, ...]]:
    """These tasks of these phases, and the handlers that any run of them has."""
    if not tasks:
        return {}, tuple(order)
    phases = {*order} | {""}
    own = {task.id: task for task in flow.handlers if task.on_end["phase"] in phases}
    of_run = any(not task.on_end["phase"] for task in own.values())
    last = (RUN_PHASE,) if of_run and RUN_PHASE not in phases else ()
    return {**tasks, **own}, (*order, *last)
