"""Matrices whose instances are known once a need has handed on which: what was handed on -> the
tasks, or why it cannot be used. Pure.

The outputs are JSON. Values are texts, as in a file: a number is taken as it is written, so `3.10`
stays `3.10`. What a file cannot say, an output cannot say either: this comes from a program, so
everything is checked here that `read.py` checks of a file. docs/reference/matrix.md has the form.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from zf.instances import listed_by, matrix_variable
from zf.lean.records import Struct, replace
from zf.model import NOTHING, Need, Task, base_of
from zf.plan.matrix.expand import ImpossibleMatrixError, Matrix, instance, instances
from zf.plan.matrix.names import AXIS, MAX_VALUE, OWN_KEYS, TAKEN, variables
from zf.plan.matrix.paths import BadPathError

# The axis of a plain list of values that `from` alone takes.
ITEM = "item"
# What stands for a secret in an output.
_STARS = "***"
_QUOTED = 60

# The instances of other tasks, by their base, each name with its values.
Known = Mapping[str, Mapping[str, Mapping[str, str]]]


class UnusableError(Exception):
    """No instances can be made of what was handed on; the message says why."""


class Listed(Struct, frozen=True):
    """The instances that are to run, and all there are with those that were not chosen."""

    tasks: tuple[Task, ...]
    every: tuple[Task, ...]


def said_of(matrix: Matrix) -> dict[str, Any]:
    """The matrix as its file says it, for the recorded form of the task."""
    if "" in matrix.sources:
        return {"from": matrix.sources[""]}
    said: dict[str, Any] = {}
    for axis, values in matrix.axes.items():
        if axis in matrix.sources:
            said[axis] = {"from": matrix.sources[axis]}
        elif axis in matrix.counts:
            said[axis] = {"count": matrix.counts[axis]}
        else:
            said[axis] = list(values)
    for key, entries in (("include", matrix.include), ("exclude", matrix.exclude)):
        if entries:
            said[key] = [dict(entry) for entry in entries]
    return said


def references(said: Mapping[str, Any]) -> dict[str, str]:
    """The outputs that such a matrix is made of: `task.output` by the axis, by "" for all."""
    found = {"": said["from"]} if "from" in said else {}
    return found | {
        axis: value["from"]
        for axis, value in said.items()
        if isinstance(value, dict) and "from" in value
    }


def sources(task: Task) -> list[str]:
    """The tasks that hand on what the instances of this one are; none for other tasks."""
    found = (one.rpartition(".")[0] for one in listed_by(task.matrix_from))
    return list(dict.fromkeys(found))


def listed(
    task: Task,
    handed: Mapping[str, str],
    known: Known = NOTHING,
    chosen: Mapping[str, Collection[str]] = NOTHING,
) -> Listed:
    """The instances of a task by the outputs that say which there are, by `task.output`; `known`
    are those of matrices that it needs, `chosen` the values that `--matrix` wants.

    Raises UnusableError.
    """
    matrix = _matrix(task, handed)
    _refuse_names(task, matrix)
    try:
        every = instances(task, matrix)
    except ImpossibleMatrixError as error:
        raise UnusableError(error.message) from None
    except BadPathError as error:
        raise UnusableError(str(error)) from None
    axes = {axis for one in every for axis in one.matrix}
    kept = [
        one
        for one in every
        if all(one.matrix.get(a) in values for a, values in chosen.items() if a in axes)
    ]
    kept = [with_needs(one, known) for one in kept]
    return Listed(tuple(kept), tuple(every))


def recalled(task: Task, told: Mapping[str, Any]) -> Task:
    """The instance of this task that a journal tells of."""
    one = instance(task, told["id"], told["matrix"], _counts(task.matrix_from))
    if "needs" not in told:
        return one
    return replace(one, needs=tuple(_recalled_needs(task.needs, told["needs"])))


def join(tasks: dict[str, Task], base: str, told: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Put the instances that a journal tells of in the place of their base, among the tasks of a
    plan; they in the order in which they start, those first that will take longest.
    """
    stated = tasks.pop(base)
    found = [recalled(stated, one) for one in told]
    tasks.update((task.id, task) for task in found)
    weights = {str(one["id"]): one.get("weight_s", 0.0) for one in told}
    return sorted(found, key=lambda task: -weights[task.id])


def told_of(one: Task, base: Task) -> dict[str, Any]:
    """What a journal tells of an instance beside its digest; `recalled` makes the task again."""
    said: dict[str, Any] = {"id": one.id, "matrix": dict(one.matrix)}
    if one.needs != base.needs:
        said["needs"] = [need.task for need in one.needs]
    return said


def _recalled_needs(stated: Iterable[Need], names: Sequence[str]) -> Iterator[Need]:
    by_name = {need.task: need for need in stated}
    for name in names:
        need = by_name.get(name) or by_name.get(base_of(name)) or Need(name)
        yield replace(need, task=name)


def with_needs(one: Task, known: Known) -> Task:
    """The instance with those of its `matrix: same` needs that have its values. Raises
    UnusableError where there are none.
    """
    if not any(need.matrix == "same" for need in one.needs):
        return one
    needs = []
    found: dict[str, bool] = {}
    for need in one.needs:
        base = base_of(need.task)
        if need.matrix != "same" or base not in known:
            needs.append(need)
            continue
        if need.task == base:  # all of them, which were not known before
            candidates = known[base]
        else:
            candidates = {need.task: known[base].get(need.task, NOTHING)}
        fits = [name for name, values in candidates.items() if _same(one.matrix, values)]
        needs += [replace(need, task=name) for name in fits]
        found[base] = found.get(base, need.optional) or bool(fits)
    lacking = next((base for base, is_met in found.items() if not is_met), None)
    if lacking is not None:
        raise UnusableError(f"no instance of '{lacking}' has the same values as '{one.id}'")
    return replace(one, needs=tuple(needs))


def _same(own: Mapping[str, str], other: Mapping[str, str]) -> bool:
    shared = own.keys() & other.keys()
    return bool(shared) and all(own[axis] == other[axis] for axis in shared)


# What an output says.


def _matrix(task: Task, handed: Mapping[str, str]) -> Matrix:
    """The matrix with the values that were handed on."""
    said, taken = task.matrix_from, references(task.matrix_from)
    matrix = Matrix(max_parallel=task.max_parallel, fail_fast=task.matrix_fail_fast, sources=taken)
    if "" in taken:
        return _of_all(matrix, taken[""], _decoded(taken[""], handed))
    axes: dict[str, tuple[str, ...]] = {}
    counts = _counts(said)
    for axis, values in said.items():
        if axis in taken:
            axes[axis] = _values(_decoded(taken[axis], handed), f"'{taken[axis]}'")
        elif axis in counts:
            axes[axis] = tuple(map(str, range(1, counts[axis] + 1)))
        elif axis not in OWN_KEYS:
            axes[axis] = tuple(values)
    return replace(
        matrix,
        axes=axes,
        counts=counts,
        include=tuple(said.get("include", ())),
        exclude=tuple(said.get("exclude", ())),
    )


def _counts(said: Mapping[str, Any]) -> dict[str, int]:
    return {
        axis: value["count"]
        for axis, value in said.items()
        if isinstance(value, dict) and "count" in value
    }


def _of_all(matrix: Matrix, reference: str, value: Any) -> Matrix:
    """That of an output which says all: a list of values, or of instances, or a whole matrix."""
    told = f"'{reference}'"
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            return replace(matrix, include=tuple(_entry(one, told) for one in value))
        return replace(matrix, axes={ITEM: _values(value, told)})
    if not isinstance(value, dict):
        raise UnusableError(f"{told} is neither a list nor a mapping: {_quoted(value)}")
    lists = {}
    for key in ("include", "exclude"):
        entries = value.pop(key, [])
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise UnusableError(f"'{key}' of {told} is no list of mappings")
        lists[key] = tuple(_entry(one, f"{key} of {told}") for one in entries)
    axes = {axis: _values(of, f"'{axis}' of {told}") for axis, of in value.items()}
    return replace(matrix, axes=axes, **lists)


def _values(value: Any, told: str) -> tuple[str, ...]:
    """The values of an axis."""
    if not isinstance(value, list):
        raise UnusableError(f"{told} is no list: {_quoted(value)}")
    found = tuple(_text(one, told) for one in value)
    twice = next((one for index, one in enumerate(found) if one in found[:index]), None)
    if twice is not None:
        raise UnusableError(f"{told} has {_quoted(twice)} twice")
    return found


def _entry(value: Mapping[str, Any], told: str) -> dict[str, str]:
    if not value:
        raise UnusableError(f"{told} has an instance without values")
    return {axis: _text(one, f"'{axis}' in {told}") for axis, one in value.items()}


def _text(value: Any, told: str) -> str:
    """A single value as text, which a variable can hold and a proof may show."""
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else value
    if not isinstance(text, str):
        raise UnusableError(f"{told} has what is no single value: {_quoted(value)}")
    if len(text) > MAX_VALUE:
        raise UnusableError(f"{told} has a value of more than {MAX_VALUE} characters")
    if "\0" in text or not _is_encodable(text):
        raise UnusableError(f"{told} has a value that no variable can hold: {_quoted(text)}")
    if _STARS in text:
        raise UnusableError(f"{told} holds a secret, which was not handed on")
    return text


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(reference: str, handed: Mapping[str, str]) -> Any:
    text = handed.get(reference)
    if text is None:
        need, _, output = reference.rpartition(".")
        raise UnusableError(f"'{need}' handed on no output '{output}'")
    try:
        return json.loads(
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:
        why = str(error)
    raise UnusableError(f"'{reference}' is no JSON: {why} ({_quoted(text)})")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice in one mapping")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no value")


def _quoted(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:  # to write it takes a little more room than to read it
        return "lists or mappings in each other, too deep to show"
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}...")


def _refuse_names(task: Task, matrix: Matrix) -> None:
    """Refuse axes that no name or variable can be made of, as of those in a file."""
    axes = dict.fromkeys([*matrix.axes, *(axis for one in matrix.include for axis in one)])
    of: dict[str, str] = {}
    for axis in axes:
        if axis in (*TAKEN, *OWN_KEYS) or not AXIS.fullmatch(axis):
            raise UnusableError(f"{_quoted(axis)} is no name for an axis")
        other = of.setdefault(matrix_variable(axis), axis)
        if other != axis:
            raise UnusableError(f"axes '{other}' and '{axis}' set the same variable")
    for entry in matrix.exclude:
        if unknown := entry.keys() - matrix.axes.keys():
            raise UnusableError(f"exclude names {_quoted(min(unknown))}, which is no axis")
    own = variables(dict.fromkeys(axes, ""), matrix.counts)
    if taken := own.keys() & (task.env.keys() | task.env_from.keys()):
        raise UnusableError(f"'{min(taken)}' is set by the matrix, and in `env`")
