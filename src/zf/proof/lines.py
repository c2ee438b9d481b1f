"""The JSON files of a proof that are read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress
from operator import not_
from typing import Any

from zf.lean.encoder import encoder

_NEXT = ",\n  "
_in_one_line = encoder(", ", ": ")
_in_lines = encoder(_NEXT, ": ")
_is_scalar = frozenset({str, int, float, bool, type(None)}).__contains__


def object_lines(value: Mapping[str, Any]) -> bytes:
    """An object, one key a line."""
    return framed(key_lines(value))


def list_lines(items: Iterable[Any]) -> bytes:
    """A list, one item a line."""
    lines = _NEXT.join(map(_in_one_line, items))
    return (f"[\n  {lines}\n]\n" if lines else "[]\n").encode("ascii")


def key_lines(value: Mapping[str, Any]) -> str:
    """The lines of an object's keys, without its braces, to be put together with others."""
    lines = _in_lines(value)[1:-1]
    if lines.count(_NEXT) >= len(value):
        # What is inside of values was put on lines, too. No text holds a line break in JSON, and
        # all that comes before a value has been seen to: it is itself what is found first.
        for one in compress(value.values(), map(not_, map(_is_scalar, map(type, value.values())))):
            if one:
                lines = lines.replace(_in_lines(one), _in_one_line(one), 1)
    return f"  {lines}"


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")
