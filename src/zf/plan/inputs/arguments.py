"""Words that a command line hands on to tasks, which have them as `"$@"`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from zf.errors import ZfError
from zf.lean.records import replace
from zf.model import Flow
from zf.plan.inputs.check import MAX_BYTES, MAX_TOTAL_BYTES

# What stands for a secret in what is recorded.
_HIDDEN = "***"


def given(flow: Flow, names: AbstractSet[str], words: Sequence[str]) -> Flow:
    """The flow in which these tasks, or all instances of their matrices, have these words. Raises
    ZfError (exit 2) for too many.
    """
    sizes = [len(word.encode(errors="surrogateescape")) for word in words]
    if max(sizes, default=0) > MAX_BYTES or sum(sizes) > MAX_TOTAL_BYTES:
        raise ZfError(
            f"the arguments are longer than {MAX_BYTES} bytes, or {MAX_TOTAL_BYTES} together",
            code="ZF276",
            hint="give the path of a file instead",
        )
    tasks = {
        name: replace(task, arguments=tuple(words)) if {name, task.base} & names else task
        for name, task in flow.tasks.items()
    }
    return replace(flow, tasks=tasks)


def of_phases(flow: Flow, phases: Collection[str]) -> set[str]:
    """The tasks that a command line names which names these phases."""
    return {name for name, task in flow.tasks.items() if task.phase in phases}


def kept(flow: Flow, planned: Mapping[str, Any], recorded: Mapping[str, Any]) -> Flow:
    """The flow in which the tasks have the words that they had in the run of this plan.json and
    run.json. Raises ZfError (exit 2) where these are not recorded.
    """
    words = recorded.get("arguments", ())
    if not words:
        return flow
    if any(_HIDDEN in word for word in words):
        run = recorded["run_id"]
        raise ZfError(
            f"the arguments of run {run!r} held a secret, so its proof does not have them",
            code="ZF276",
            hint="start a new run; a secret is better given as an input that is `secret`",
        )
    return given(flow, {row["id"] for row in planned["tasks"] if row.get("arguments")}, words)
