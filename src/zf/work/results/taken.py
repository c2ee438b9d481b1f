"""Outputs of needs, as variables of the task that takes them: `env: {V: {from: build.version}}`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from zf.events import Cause
from zf.plan.outputs.values import split, value_of
from zf.proof.tree.contents import checked_outputs
from zf.work.results.needs import NeedError, tree_of

if TYPE_CHECKING:
    from zf.model import Need, Task
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome

# Less than Linux takes (MAX_ARG_STRLEN, 128 KiB), with its name: of a matrix there may be many.
_MAX_VARIABLE_BYTES = 120 * 1024


def outputs_of(
    context: WorkerContext, task: Task, digests: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """What each need handed on, in whatever run it was met; `digests` are the `task_sha256` of
    those that this run met. Raises NeedError for what is not what it was.
    """
    handed: dict[str, dict[str, str]] = {}
    for need in context.needed(task):
        # The folder of this worker's last task may still be covered by the shield.
        folder, digest = tree_of(context, context.written_at, need.task, digests)
        if digest is not None:
            try:
                handed[need.task] = checked_outputs(folder, digest)
            except (OSError, ValueError) as error:
                raise NeedError("outputs", need.task, error) from None
    return handed


def variables(
    context: WorkerContext, task: Task, digests: Mapping[str, str], outcome: Outcome
) -> dict[str, str]:
    """The variables that hold outputs of needs. One without a value is not set, and noted; outputs
    that cannot be used fail the task before it does anything with them.
    """
    try:
        handed = outputs_of(context, task, digests)
    except NeedError as error:
        outcome.fail(Cause.OUTPUTS, str(error))
        return {}
    values, unset, too_large = given(task, context.needed(task), handed)
    outcome.notes += unset
    for problem in too_large:
        outcome.fail(Cause.OUTPUTS, problem)
    return values


def given(
    task: Task, needs: Collection[Need], handed: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The same of what these needs `handed` on: the variables, and in sentences those without a
    value and those that cannot be.
    """
    values: dict[str, str] = {}
    unset, too_large = [], []
    for name, reference in task.env_from.items():
        need, output = split(reference)
        value = value_of(need, output, needs, handed)
        if value is None:
            unset.append(f"{name} is not set: '{need}' handed on no output '{output}'")
        elif len(value.encode()) > _MAX_VARIABLE_BYTES:
            too_large.append(f"{name} is larger than a variable can be")
        else:
            values[name] = value
    return values, unset, too_large


def for_conditions(
    context: WorkerContext, task: Task, digests: Mapping[str, str], outcome: Outcome
) -> dict[str, str]:
    """The outputs of needs that conditions of its steps mention, by how they are written there;
    those that cannot be used fail the task.
    """
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have a condition

    asked = {
        field
        for step in (*task.steps, *task.cleanup)
        if step.condition
        for field in parse(step.condition).fields
        if field.kind == "needs"
    }
    if not asked:
        return {}
    try:
        handed = outputs_of(context, task, digests)
    except NeedError as error:
        outcome.fail(Cause.OUTPUTS, str(error))
        return {}
    found = {}
    for field in asked:
        need, output = field.path
        found[field.key] = value_of(need, output, context.needed(task), handed)
    return {key: value for key, value in found.items() if value is not None}
