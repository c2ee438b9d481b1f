"""Which instances are meant: by the id of their task, and by `--matrix AXIS=VALUE`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from zf.errors import ZfError
from zf.lean.records import replace
from zf.model import Flow, Task

# Axis -> the values of which one is wanted.
Chosen = Mapping[str, Sequence[str]]


def instances_of(flow: Flow, name: str) -> tuple[str, ...]:
    """The tasks that a name stands for: the instances of a matrix, or the task itself; none where
    there is no such task.
    """
    if name in flow.tasks:
        return (name,)
    return tuple(task.id for task in flow.tasks.values() if task.base and task.base == name)


def narrowed(flow: Flow, chosen: Chosen) -> Flow:
    """The flow without the instances that have another value on one of these axes, or none while
    others of their matrix have one; other tasks stay. What needs every instance of a task needs
    those that are left.

    Raises ZfError for an axis that no matrix has, and for a value that it has nowhere.
    """
    if not chosen:
        return flow
    _refuse_unknown(flow, chosen)
    axes: dict[str, set[str]] = {}
    for task in flow.tasks.values():
        axes.setdefault(task.base, set()).update(task.matrix)
    kept = {
        name: task for name, task in flow.tasks.items() if _is_chosen(task, chosen, axes[task.base])
    }
    later = {task.phase for task in flow.tasks.values() if may_have(task, chosen)}
    left = {task.base for task in kept.values()}
    tasks = {name: _without(task, kept, left) for name, task in kept.items()}
    partly = frozenset(task.phase for name, task in flow.tasks.items() if name not in kept)
    return replace(flow, tasks=tasks, matrix=chosen, partly=partly | later)


def may_have(task: Task, axes: Collection[str]) -> bool:
    """Whether instances that are known later may have one of these axes."""
    said = task.matrix_from
    return "from" in said or any(axis in said for axis in axes)


def _is_chosen(task: Task, chosen: Chosen, axes: Collection[str]) -> bool:
    return all(task.matrix.get(axis) in values for axis, values in chosen.items() if axis in axes)


def _without(task: Task, kept: Mapping[str, Task], left: set[str]) -> Task:
    """The task without its needs on instances that are left out. Where all of a matrix are, the
    needs stay: that they are not met is for the plan to say.
    """
    needs = tuple(
        need
        for need in task.needs
        if need.task in kept or not need.matrix or need.task.partition("@")[0] not in left
    )
    return task if len(needs) == len(task.needs) else replace(task, needs=needs)


def _refuse_unknown(flow: Flow, chosen: Chosen) -> None:
    known: dict[str, dict[str, None]] = {}
    for task in flow.tasks.values():
        for axis, value in task.matrix.items():
            known.setdefault(axis, {})[value] = None
    for axis, values in chosen.items():
        if any(may_have(task, (axis,)) for task in flow.tasks.values()):
            continue  # a run will tell
        if axis not in known:
            raise ZfError(f"no matrix has the axis '{axis}'", code="ZF160", hint=_hint(axis, known))
        for value in values:
            if value not in known[axis]:
                message = f"no matrix has '{value}' on the axis '{axis}'"
                raise ZfError(message, code="ZF160", hint=_hint(value, known[axis]))


def _hint(name: str, known: Mapping[str, object]) -> str:
    from zf.plan.suggest import nearest  # noqa: PLC0415 - of a wrong name

    guess = nearest(name, known)
    if guess:
        return f"did you mean '{guess}'?"
    return f"there is {', '.join([*known][:16])}" if known else "no task has a matrix"
