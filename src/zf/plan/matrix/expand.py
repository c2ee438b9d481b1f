"""A matrix -> the values of each of its instances, as GitHub Actions defines `include` and
`exclude`. Pure.

What differs from it: values are texts, as they are written in the file, so `3.10` stays `3.10` and
is the same as `"3.10"`; they are single values, not lists or mappings; and what GitHub passes over
in silence, an `exclude` that leaves nothing out or an instance that comes twice, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from zf.lean.records import Struct, field, replace
from zf.model import NOTHING, Task
from zf.plan.matrix.names import forms, known, name_of, twice, variables
from zf.plan.matrix.paths import placed
from zf.settings import MAX_INSTANCES

_Values = Mapping[str, str]


class Matrix(Struct, frozen=True):
    """What `matrix:` says, every value as text. `counts` are the axes that count from 1, and how
    far; `max_parallel` None is as many as there are slots.
    """

    axes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NOTHING)
    include: tuple[_Values, ...] = ()
    exclude: tuple[_Values, ...] = ()
    counts: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    max_parallel: int | None = None
    fail_fast: bool = False
    # The axes whose values are an output of a need, each with its `task.output`; by "" that which
    # says what the instances are. Until it is known, such an axis has no values.
    sources: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @property
    def names(self) -> tuple[str, ...]:
        """The axes; where there are none, the keys of the instances that are listed."""
        return tuple(self.axes) or tuple(dict.fromkeys(k for one in self.include for k in one))


class ImpossibleMatrixError(Exception):
    """There are no such instances; `at` is the entry of the matrix that is to blame."""

    def __init__(self, code: str, message: str, at: tuple[str | int, ...], hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.at, self.hint = code, message, at, hint


def combinations(matrix: Matrix) -> tuple[tuple[_Values, _Values], ...]:
    """For each instance the values that name it, and all that it has: an entry of `include` adds
    others. In the order of the file: the last axis changes first, then what is included.

    Raises ImpossibleMatrixError for too many, for none, for one that comes twice, and for an
    `exclude` that leaves nothing out. Of values that a need handed on there may be none, and what
    is excluded need not be among them.
    """
    size = 1
    for values in matrix.axes.values():
        size *= len(values)
    if size > MAX_INSTANCES:
        raise _too_many(size)
    crossed = [dict(zip(matrix.axes, row, strict=True)) for row in product(*matrix.axes.values())]
    named: list[_Values] = list(_kept(crossed, matrix)) if matrix.axes else []
    whole = [dict(values) for values in named]
    added: list[_Values] = []
    for entry in matrix.include:
        fits = [i for i, own in enumerate(named) if _agrees(own, entry)]
        for index in fits:
            whole[index].update(entry)
        if not fits:
            added.append(entry)
    found = [*zip(named, whole, strict=True), *((entry, entry) for entry in added)]
    if len(found) > MAX_INSTANCES:
        raise _too_many(len(found))
    if not found and not matrix.sources:
        hint = "exclude less, or include something"
        raise ImpossibleMatrixError("ZF294", "the matrix has no instance left", (), hint)
    return tuple((_ordered(name, matrix), values) for name, values in found)


def _kept(crossed: list[dict[str, str]], matrix: Matrix) -> Iterator[_Values]:
    idle = set(range(len(matrix.exclude)))
    for values in crossed:
        matching = {i for i, out in enumerate(matrix.exclude) if out.items() <= values.items()}
        idle -= matching
        if not matching:
            yield values
    if idle and not matrix.sources:
        at = ("exclude", min(idle))
        hint = "it has to name axes, each with one of its values"
        raise ImpossibleMatrixError("ZF293", "this entry excludes no instance", at, hint)


def _agrees(own: _Values, entry: _Values) -> bool:
    """Whether the entry can be added to this combination without changing what it is."""
    return all(own.get(axis, value) == value for axis, value in entry.items())


def _ordered(values: _Values, matrix: Matrix) -> _Values:
    """Axes first, as they are written; then what only this instance has."""
    first = {axis: values[axis] for axis in matrix.names if axis in values}
    return first | dict(values)


def _too_many(size: int) -> ImpossibleMatrixError:
    message = f"the matrix has {size} instances, at most {MAX_INSTANCES} are possible"
    return ImpossibleMatrixError("ZF291", message, (), "leave out values, or split the task")


def instances(task: Task, matrix: Matrix) -> tuple[Task, ...]:
    """The tasks that a task with this matrix stands for, each with its values in its environment.

    Raises ImpossibleMatrixError as above, and for two that would have one name; BadPathError for
    values that cannot be put into the task's paths.
    """
    found = combinations(matrix)
    axes = dict.fromkeys(axis for named, _ in found for axis in named)
    forms_of = {axis: forms(n[axis] for n, _ in found if axis in n) for axis in axes}
    names = [name_of(task.id, named, forms_of, whole) for named, whole in found]
    if (again := twice(names)) is not None:
        hint = "remove one of the entries of include"
        what = f"the instance {again.partition('@')[2]} comes twice"
        raise ImpossibleMatrixError("ZF292", what, (), hint)
    of_all = replace(task, max_parallel=matrix.max_parallel, matrix_fail_fast=matrix.fail_fast)
    return tuple(
        instance(of_all, name, whole, matrix.counts)
        for name, (_, whole) in zip(names, found, strict=True)
    )


def instance(task: Task, name: str, values: _Values, counts: Mapping[str, int]) -> Task:
    """The instance of this task that has this name and these values. Raises BadPathError."""
    return replace(
        placed(task, known(values, counts)),
        id=name,
        title=name if task.title in {"", task.id} else task.title,
        base=task.id,
        matrix=dict(values),
        env={**task.env, **variables(values, counts)},
        matrix_from=NOTHING,
    )
