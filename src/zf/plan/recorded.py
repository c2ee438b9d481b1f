"""The plan of a run that is there, from its plan.json, to go on with. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zf.errors import ZfError
from zf.lean.records import replace
from zf.model import NOTHING, Flow, Task, definition_sha256
from zf.plan.graph import Met, Plan, PlannedPhase, plan_of

# Of tasks in one sentence.
_MOST_NAMES = 10


def plan_again(
    flow: Flow,
    recorded: Mapping[str, Any],
    shown: Callable[[Task], Task] = lambda task: task,
    *,
    run: str,
) -> Plan:
    """The plan that the plan.json of a run describes, from the task files as they are now. `shown`
    makes of a task what its digest was taken of: it holds no secret.

    Raises ZfError (exit 2) when they no longer say the same.
    """
    rows = recorded["tasks"]
    if "matrix" in recorded:
        from zf.plan.matrix.chosen import narrowed  # noqa: PLC0415 - few runs choose

        flow = narrowed(flow, recorded["matrix"])
    there = {**flow.tasks, **{task.id: task for task in flow.handlers}}
    changed = [
        f"'{row['id']}'"
        for row in rows
        if row["id"] not in there or row["sha256"] != definition_sha256(shown(there[row["id"]]))
    ]
    if changed:
        more = f" and {len(changed) - _MOST_NAMES} more" if len(changed) > _MOST_NAMES else ""
        names = ", ".join(changed[:_MOST_NAMES]) + more
        raise ZfError(
            f"the task files, or zf's reading of them, have changed since this run began: {names}",
            code="ZF143",
            hint=f"put the files back as they were; or zf seal {run}, then zf rerun {run} --failed",
        )
    limits = {row["name"]: row["timeout_s"] for row in recorded["phases"]}
    plan = plan_of(
        flow,
        {row["id"]: there[row["id"]] for row in rows},
        tuple(limits),
        limits.__getitem__,
        needs=recorded["needs"],
        upstream={name: Met.recorded(met) for name, met in recorded["upstream"].items()},
    )
    return replace(
        plan,
        phases=tuple(_recorded_phase(row) for row in recorded["phases"]),
        weight_s={row["id"]: row["weight_s"] for row in rows if "weight_s" in row},
        budget=recorded.get("budget", NOTHING),
    )


def _recorded_phase(row: Mapping[str, Any]) -> PlannedPhase:
    lists = {"needs": tuple(row["needs"])} if "needs" in row else {}
    return PlannedPhase(**{"whole": False, **row, **lists})
