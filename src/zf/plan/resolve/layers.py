"""What several places say of one task, laid over each other: the later wins. Pure.

Scalars, lists and other mappings replace what was there; `env` and `resources` are merged by key;
`needs+` and its like add to lists. Nothing else is merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.lean.records import Struct, field
from zf.plan.files.forms import ADDING, MERGED
from zf.plan.files.place import NOWHERE, Loc, Place, Said, shown


class Layer(Struct, frozen=True):
    """What one place says, in long forms, its `+` keys among them.

    `lines` are those of the entries of lists that have any; `moved` leads from where a value
    stands in the long form to where it stands in the file.
    """

    place: Place
    form: Mapping[str, Any]
    lines: Mapping[str, list[int]]
    moved: Mapping[Loc, Loc] = field(default_factory=dict)


class Resolved(Struct, frozen=True):
    """What a task says all in all. `elsewhere` has what does not stand where it seems to: values
    from other places, and from short forms and `+` keys of its own.
    """

    form: Mapping[str, Any]
    lines: Mapping[str, list[int]]
    elsewhere: Mapping[Loc, Said]


NOTHING_SAID = Resolved({}, {}, {})
_ADDING = frozenset(f"{name}+" for name in ADDING)


def alone(own: Layer) -> Resolved:
    """What a task says that takes nothing from elsewhere."""
    if not _ADDING.isdisjoint(own.form):
        return laid_over(NOTHING_SAID, own)
    return Resolved(own.form, own.lines, _moved(own) if own.moved else NOWHERE)


def laid_over(below: Resolved, layer: Layer, shared: Mapping[Loc, Said] = NOWHERE) -> Resolved:
    """What is said when this comes on top; `shared` says where the values of a layer stand that is
    not the task's own.
    """
    form, lines, elsewhere = {**below.form}, {**below.lines}, {**below.elsewhere}
    for key, value in layer.form.items():
        name = key.removesuffix("+")
        if name != key:
            form[name] = _added(name, key, value, form, lines, elsewhere, layer)
            continue
        if name in MERGED and name in form:
            form[name] = {**form[name], **value}
            for inner in value:
                elsewhere.pop((name, inner), None)
        else:
            form[name] = value
            _forget(name, elsewhere)
        if name in layer.lines:
            lines[name] = layer.lines[name]
    if layer.moved:
        elsewhere.update(_moved(layer))
    elsewhere.update(shared)
    return Resolved(form, lines, elsewhere)


def _added(
    name: str,
    key: str,
    more: list[Any],
    form: Mapping[str, Any],
    lines: dict[str, list[int]],
    elsewhere: dict[Loc, Said],
    layer: Layer,
) -> list[Any]:
    """The list with these entries behind those it has, each once."""
    found = list(form.get(name, ()))
    whole = elsewhere.pop((name,), None)
    if whole is not None:  # from now on its entries are from several places
        at = lines.get(name, [whole.line] * len(found))
        for index, line in enumerate(at):
            elsewhere.setdefault((name, index), Said(whole.place, (*whole.loc, index), line))
    shown = list(lines.get(name, ()))
    for index, one in enumerate(more):
        if one in found:
            continue
        line = layer.lines[key][index]
        elsewhere[name, len(found)] = Said(layer.place, (key, index), line)
        found.append(one)
        shown.append(line)
    lines[name] = shown
    return found


def _moved(layer: Layer) -> dict[Loc, Said]:
    found = {}
    for loc, at in layer.moved.items():
        index = loc[1] if len(loc) > 1 else 0
        found[loc] = Said(layer.place, at, layer.lines[loc[0]][index])  # type: ignore[index]
    return found


def lines_here(task: Resolved, own: Place, line: int) -> Mapping[str, list[int]]:
    """The lines of entries, where they are lines of the task's own file; else that of the task."""
    if not task.elsewhere:
        return task.lines
    strange = {loc: said for loc, said in task.elsewhere.items() if said.place.file != own.file}
    if not strange:
        return task.lines
    return {
        name: [
            line if (name,) in strange or (name, index) in strange else at
            for index, at in enumerate(lines)
        ]
        for name, lines in task.lines.items()
    }


def _forget(name: str, elsewhere: dict[Loc, Said]) -> None:
    for loc in [loc for loc in elsewhere if loc[0] == name]:
        del elsewhere[loc]


def origins(own: Place, elsewhere: Mapping[Loc, Said]) -> dict[str, str]:
    """For what stands in another place than the task's own: `file:line`, by a key such as
    `timeout_sec`, `env.NAME` or `needs[0]`.
    """
    return {
        shown(loc): f"{said.place.file}:{said.line}"
        for loc, said in elsewhere.items()
        if said.place is not own and len(loc) < 3  # deeper is what a short form was made of
    }
