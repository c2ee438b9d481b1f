"""`matrix:` as it stands in a file -> a `Matrix`, or what is wrong with it, each with its place.

Values are taken from the file's text, not from what YAML makes of it: 3.10 is no number here. The
form of it all (`keys.MATRIX`) has been checked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, Node, SequenceNode

from zf.instances import matrix_variable
from zf.model import Task
from zf.plan.matrix.expand import ImpossibleMatrixError, Matrix, combinations, instances
from zf.plan.matrix.names import AXIS, MAX_VALUE, OWN_KEYS, TAKEN, known, variables
from zf.plan.matrix.paths import Finding, asking, check

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.plan.yaml.source import Source

# What `from` in place of axes leaves to say.
_BESIDE_FROM = ("from", "max_parallel", "fail_fast")


def read(node: Node, source: Source) -> tuple[Matrix, list[Problem]]:
    """What the mapping says, and the problems of it, if there are any."""
    problems = [*_bad_axes(node, source), *_beside_from(node, source)]
    if problems:
        return Matrix(), problems
    said = {key.value: value for key, value in node.value}
    axes: dict[str, tuple[str, ...]] = {}
    counts: dict[str, int] = {}
    sources = {"": said["from"].value} if "from" in said else {}
    for key, value in node.value:
        if key.value in OWN_KEYS:
            continue
        if isinstance(value, MappingNode) and value.value[0][0].value == "from":
            axes[key.value], sources[key.value] = (), value.value[0][1].value
        elif isinstance(value, MappingNode):
            counts[key.value] = many = int(value.value[0][1].value, 0)
            axes[key.value] = tuple(map(str, range(1, many + 1)))
        else:
            axes[key.value] = tuple(item.value for item in value.value)
            problems += _twice(value, source)
    matrix = Matrix(
        axes,
        _entries(said.get("include")),
        _entries(said.get("exclude")),
        counts,
        int(said["max_parallel"].value, 0) if "max_parallel" in said else None,
        "fail_fast" in said and said["fail_fast"].value.lower() == "true",
        sources,
    )
    problems += _too_long(node, source)
    if not problems:
        problems += _impossible(matrix, node, source)
    return matrix, problems


def taken(matrix: Matrix, env: Iterable[str]) -> list[str]:
    """Variables that the task sets itself, though its matrix does."""
    axes = [*matrix.axes, *(key for entry in matrix.include for key in entry)]
    own = variables(dict.fromkeys(axes, ""), matrix.counts)
    return [name for name in env if name in own]


def bad_paths(form: Mapping[str, Any], matrix: Matrix) -> Iterator[Finding]:
    """Paths of the task into which a value of the matrix cannot be put."""
    paths = asking(form)
    if paths and not matrix.sources:
        yield from check(paths, [known(whole, matrix.counts) for _, whole in combinations(matrix)])
    elif paths:  # the values are known later
        axes = (*matrix.names, *(axis for entry in matrix.include for axis in entry))
        every = [known(dict.fromkeys(axes, "x"), matrix.counts)]
        yield from check(paths, every, any_name="" in matrix.sources)


def _entries(node: Node | None) -> tuple[Mapping[str, str], ...]:
    listed = [] if node is None else node.value
    return tuple({key.value: value.value for key, value in one.value} for one in listed)


def _bad_axes(node: Node, source: Source) -> Iterator[Problem]:
    """Names that no variable and no id can have, and names that would be one variable."""
    variables: dict[str, str] = {}
    for key, value in node.value:
        if key.value not in OWN_KEYS:
            yield from _bad_axis(key, variables, source)
            if isinstance(value, MappingNode) and value.value[0][0].value == "count":
                variables.setdefault(f"{matrix_variable(key.value)}_COUNT", key.value)
    for listed in (value for key, value in node.value if key.value == "include"):
        for entry in listed.value:
            for key, _ in entry.value:
                yield from _bad_axis(key, variables, source)


def _bad_axis(key: Node, variables: dict[str, str], source: Source) -> Iterator[Problem]:
    name = key.value
    if name in TAKEN or not AXIS.fullmatch(name):
        hint = "letters, digits, `_` and `-`, at most 64 of them, no digit first"
        hint = f"'{name}' is taken: choose another name" if name in TAKEN else hint
        message = f"'{name:.80}' is no name for an axis"
        yield source.problem("ZF290", message, key.start_mark, key.end_mark, hint=hint)
        return
    other = variables.setdefault(matrix_variable(name), name)
    if other != name:
        message = f"axes '{other}' and '{name}' set the same variable, {matrix_variable(name)}"
        yield source.problem("ZF290", message, key.start_mark, key.end_mark, hint="rename one")


def _beside_from(node: Node, source: Source) -> Iterator[Problem]:
    """What cannot be said beside a `from` that says what the instances are."""
    if not any(key.value == "from" for key, _ in node.value):
        return
    for key, _ in node.value:
        if key.value not in _BESIDE_FROM:
            message = f"'{key.value:.80}' cannot stand beside `from`, which says all instances"
            hint = "give one axis its values: `matrix: {NAME: {from: TASK.OUTPUT}, ...}`"
            yield source.problem("ZF296", message, key.start_mark, key.end_mark, hint=hint)


def _twice(values: Node, source: Source) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for item in values.value:
        if item.value in first:
            message = f"the axis has the value '{item.value:.80}' twice"
            hint = f"the first is in line {first[item.value]}"
            yield source.problem("ZF292", message, item.start_mark, item.end_mark, hint=hint)
        first.setdefault(item.value, item.start_mark.line + 1)


def _too_long(node: Node, source: Source) -> Iterator[Problem]:
    for item in _scalars(node):
        if len(item.value) > MAX_VALUE:
            message = f"a value of a matrix has at most {MAX_VALUE} characters"
            yield source.problem("ZF290", message, item.start_mark, hint="keep it in a file")


def _scalars(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for _, part in node.value:
            yield from _scalars(part)
    elif isinstance(node, SequenceNode):
        for part in node.value:
            yield from _scalars(part)
    else:
        yield node


def _impossible(matrix: Matrix, node: Node, source: Source) -> Iterator[Problem]:
    unknown = [*_unknown_excluded(matrix, node, source)]
    yield from unknown
    if unknown or matrix.sources:
        return
    try:
        instances(Task("", "", ()), matrix)
    except ImpossibleMatrixError as error:
        place = _node_at(node, error.at)
        end = place.end_mark if error.at else None
        yield source.problem(error.code, error.message, place.start_mark, end, hint=error.hint)


def _unknown_excluded(matrix: Matrix, node: Node, source: Source) -> Iterator[Problem]:
    from zf.plan.suggest import nearest  # noqa: PLC0415 - of a wrong name

    for listed in (value for key, value in node.value if key.value == "exclude"):
        for entry in listed.value:
            for key, _ in entry.value:
                if key.value not in matrix.axes:
                    guess = nearest(key.value, matrix.axes)
                    hint = f"did you mean '{guess}'?" if guess else "exclude names axes"
                    message = f"the matrix has no axis '{key.value:.80}'"
                    yield source.problem("ZF293", message, key.start_mark, key.end_mark, hint=hint)


def _node_at(node: Node, at: tuple[str | int, ...]) -> Node:
    if not at:
        return node
    key, index = at
    listed = next(value for name, value in node.value if name.value == key)
    found: Node = listed.value[index]
    return found
