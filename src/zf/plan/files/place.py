"""Where something of a task is said: a file, and where in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from zf.lean.records import Struct

# The keys and, of lists, the numbers that lead to a value.
Loc = tuple[int | str, ...]


class Place(Struct, frozen=True):
    """A mapping that says something of tasks: its file, and what leads to it there.

    `path` opens the file; `file` is its name in messages, relative to the project root.
    """

    path: str
    file: str
    loc: Loc = ()


class Said(Struct, frozen=True):
    """Where a value stands: what leads to it inside of its place, and its line, from 1."""

    place: Place
    loc: Loc
    line: int


# Of a task all of which stands where it seems to.
NOWHERE: Mapping[Loc, Said] = MappingProxyType({})


def place_of(loc: Loc, own: Place, elsewhere: Mapping[Loc, Said]) -> tuple[Place, Loc]:
    """Where the value at `loc` of a task stands: in its own place, unless it is from elsewhere.
    With its place, what leads to it from the top of that file.
    """
    for length in range(len(loc), 0, -1) if elsewhere else ():
        said = elsewhere.get(loc[:length])
        if said is not None:
            return said.place, (*said.place.loc, *said.loc, *loc[length:])
    return own, (*own.loc, *loc)


def shown(loc: Loc) -> str:
    """A place in a task, as a text."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
