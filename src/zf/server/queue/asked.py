"""What is asked for the queue by a person or a program -> an item, checked against the project."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from zf.errors import ZfError
from zf.inputs import Input, Words
from zf.lean.records import replace
from zf.model import Flow, Project
from zf.plan.inputs.given import resolve
from zf.plan.suggest import nearest
from zf.server.queue import inbox
from zf.server.queue.items import Item, ItemError, Source, item_from, to_json
from zf.server.triggers.declared import is_protected


def item_of(flow: Flow, said: Mapping[str, Any], source: Source, name: str = "") -> Item:
    """The item with this id, or a new one. Raises ZfError (exit 2) for what the project has not,
    and for rules that do not go together.
    """
    wanted = {key: value for key, value in said.items() if value not in (None, [], {}, "")}
    phases, tasks = wanted.get("phases", ()), wanted.get("tasks", ())
    _refuse_unknown("phase", phases, {task.phase for task in flow.tasks.values()})
    _refuse_unknown("task", tasks, {*flow.tasks, *flow.instances})
    refuse_inputs(flow, phases, wanted.get("inputs", {}))
    wanted |= {"item": name or inbox.new_id(time.time()), "source": to_json(source)}
    if is_protected(flow, phases, tasks):
        wanted["protected"] = True
    try:
        return item_from(wanted)
    except ItemError as error:
        raise ZfError(str(error), code="ZF839", hint="docs/reference/queue.md has them") from None


def _refuse_unknown(what: str, names: list[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            guess = nearest(name, known)
            hint = f"did you mean '{guess}'?" if guess else f"zf list shows every {what}"
            raise ZfError(f"unknown {what} '{name}'", code="ZF834", hint=hint)


def refuse_inputs(flow: Flow, phases: Sequence[str], inputs: Mapping[str, str]) -> None:
    """Raises ZfError for inputs that the run would refuse, and for secret ones, which would be kept
    on the disk.
    """
    # Which phases tasks and their needs have, and so what they require, is known to their run.
    project = flow.project if phases else _requiring_nothing(flow.project)
    words = Words(tuple(f"{name}={value}" for name, value in inputs.items()))
    given, _ = resolve(project, phases or [*project.phases], words, {})
    for name in inputs:
        if given[name].hidden:
            raise ZfError(
                f"input '{name}' is secret, and the queue would keep it on the disk",
                code="ZF839",
                hint="start the run directly, or let its tasks read the secret by themselves",
            )


def _requiring_nothing(project: Project) -> Project:
    phases = {
        name: replace(phase, inputs=_optional(phase.inputs))
        for name, phase in project.phases.items()
    }
    return replace(project, inputs=_optional(project.inputs), phases=phases)


def _optional(inputs: Mapping[str, Input]) -> dict[str, Input]:
    return {name: replace(one, required=False) for name, one in inputs.items()}
