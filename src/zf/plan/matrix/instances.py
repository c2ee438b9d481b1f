"""Task files with a matrix -> the tasks that they stand for, and needs on all or some of those.

A need on a task with a matrix is one on each of its instances; with `matrix: same` on those that
have the same values as the instance that needs them, on the axes that both tasks have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.errors import Problem
from zf.lean.records import replace
from zf.model import Need, Task
from zf.plan.matrix.expand import instances

if TYPE_CHECKING:
    from zf.plan.drafts import Draft

# By the id of the task file.
Expanded = Mapping[str, tuple[Task, ...]]


def expand(drafts: Sequence[Draft]) -> Expanded:
    """The instances of every good task file that has a matrix."""
    return {
        draft.id: instances(draft.task, draft.matrix)
        for draft in drafts
        if draft.matrix is not None and draft.task is not None and not draft.matrix.sources
    }


def resolved(
    drafts: Sequence[Draft], expanded: Expanded, problems: list[Problem]
) -> Iterator[Task]:
    """Every task of these files, its needs by the names of tasks; what is wrong with needs on
    instances is added to `problems`.
    """
    by_id = {draft.id: draft for draft in drafts}
    for draft in drafts:
        if draft.task is None:
            continue
        own = expanded.get(draft.id, (draft.task,))
        if not any(need.matrix or need.task in expanded for need in draft.needs):
            yield from own
            continue
        bad = _Bad(draft, problems)
        for task in own:
            needs: dict[str, Need] = {}
            for index, need in enumerate(draft.needs):
                for one in _needed(task, index, need, expanded, by_id, bad):
                    if one.task in needs:
                        bad.at(index, "ZF213", f"needs '{one.task}' twice", "remove one")
                    needs.setdefault(one.task, one)
            yield replace(task, needs=tuple(needs.values()))


def _needed(
    task: Task,
    index: int,
    need: Need,
    expanded: Expanded,
    by_id: Mapping[str, Draft],
    bad: _Bad,
) -> Iterator[Need]:
    members = expanded.get(need.task)
    other = by_id.get(need.task)
    is_later = other is not None and other.matrix is not None and bool(other.matrix.sources)
    if need.matrix == "same" and (is_later or task.matrix_from) and other and other.matrix:
        yield from _perhaps_the_same(task, index, need, members, by_id, bad)
        return
    if need.matrix == "same":
        if members is None or task.base == "":
            which = need.task if members is None else task.id
            # One without a task is broken: that is told, and enough.
            if need.task in by_id and (members or by_id[need.task].task is not None):
                hint = "leave `matrix: same` out"
                bad.at(index, "ZF295", f"'{which}' has no matrix", hint, "matrix")
            return
        yield from _with_the_same(task, index, need, members, by_id, bad)
        return
    if members is None:
        yield need
        return
    for one in members:
        yield replace(need, task=one.id, matrix="all")


def _perhaps_the_same(
    task: Task,
    index: int,
    need: Need,
    members: tuple[Task, ...] | None,
    by_id: Mapping[str, Draft],
    bad: _Bad,
) -> Iterator[Need]:
    """The needs of which it is known later which instances have the same values: all of them."""
    if not task.matrix_from:
        message = f"the instances of '{need.task}' are known too late to have the same values"
        hint = f"take the matrix of '{task.base or task.id}' from the same output"
        bad.at(index, "ZF295", message, hint, "matrix")
        return
    own, other = by_id[task.id].matrix, by_id[need.task].matrix
    assert own is not None
    assert other is not None
    names = [{*one.names} for one in (own, other) if "" not in one.sources]
    if len(names) == 2 and not names[0] & names[1]:
        message = f"'{task.id}' and '{need.task}' have no axis in common"
        bad.at(index, "ZF295", message, "leave `matrix: same` out to need every instance", "matrix")
        return
    if members is None:
        yield need
        return
    for one in members:
        yield replace(need, task=one.id)


def _with_the_same(
    task: Task,
    index: int,
    need: Need,
    members: tuple[Task, ...],
    by_id: Mapping[str, Draft],
    bad: _Bad,
) -> Iterator[Need]:
    own, other = by_id[task.base].matrix, by_id[need.task].matrix
    assert own is not None
    assert other is not None
    shared = [axis for axis in own.names if axis in other.names]
    if not shared:
        message = f"'{task.base}' and '{need.task}' have no axis in common"
        bad.at(index, "ZF295", message, "leave `matrix: same` out to need every instance", "matrix")
        return
    found = [
        one
        for one in members
        if all(one.matrix.get(axis) == task.matrix.get(axis) for axis in shared)
    ]
    if not found and not need.optional:
        values = ", ".join(f"{axis}={task.matrix.get(axis, '')}" for axis in shared)
        message = f"no instance of '{need.task}' has the same as '{task.id}': {values:.200}"
        bad.at(index, "ZF295", message, "make it `optional: true`, or add the values", "matrix")
    for one in found:
        yield replace(need, task=one.id)


class _Bad:
    """Problems of the needs of one task file, each told once, though many instances have it."""

    def __init__(self, draft: Draft, problems: list[Problem]) -> None:
        self._draft, self._problems = draft, problems
        self._told: set[tuple[int, str]] = set()

    def at(self, index: int, code: str, message: str, hint: str, key: str = "task") -> None:
        if (index, code) not in self._told:
            self._told.add((index, code))
            problem = self._draft.problem(("needs", index, key), code, message, hint)
            self._problems.append(problem)
