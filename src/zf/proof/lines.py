"""The JSON files of a proof that are read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import isfinite
from operator import call
from types import NoneType
from typing import Any

from zf.errors import printable
from zf.lean.encoder import encoder, text

_NEXT = ",\n  "
_in_one_line = encoder(", ", ": ")


class _Ways(dict[type, Callable[[Any], str]]):
    """How a value of each type is written. Most are of a few types, or empty, and the encoder takes
    longer to begin than they take.
    """

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        self[kind] = text if issubclass(kind, str) else _in_one_line
        return self[kind]


def _number(value: float) -> str:
    return repr(value) if isfinite(value) else _in_one_line(value)  # which refuses it


_WAYS = _Ways(
    {
        str: text,
        int: int.__repr__,
        float: _number,
        bool: {True: "true", False: "false"}.__getitem__,
        NoneType: {None: "null"}.__getitem__,
        dict: lambda value: _in_one_line(value) if value else "{}",
        list: lambda value: _in_one_line(value) if value else "[]",
        tuple: lambda value: _in_one_line(value) if value else "[]",
    }
)


def object_lines(value: Mapping[str, Any]) -> bytes:
    """An object, one key a line."""
    return framed(key_lines(value))


def list_lines(items: Iterable[Any]) -> bytes:
    """A list, one item a line."""
    lines = _NEXT.join(map(_in_one_line, items))
    return (f"[\n  {lines}\n]\n" if lines else "[]\n").encode("ascii")


def key_lines(value: Mapping[str, Any]) -> str:
    """The lines of an object's keys, without its braces, to be put together with others."""
    values = value.values()
    told = map(call, map(_WAYS.__getitem__, map(type, values)), values)
    return _lines_of(tuple(value)) % tuple(told)


@lru_cache(maxsize=64)
def _lines_of(keys: tuple[str, ...]) -> str:
    """The lines with a place for each value: most objects of a run have the keys of another."""
    return f"  {_NEXT.join(text(key).replace('%', '%%') + ': %s' for key in keys)}"


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")


def first_line(data: bytes, most: int) -> str:
    """The first line of what was printed that is not blank, as printable text of bounded length."""
    for line in data.splitlines():
        if told := printable(line.decode("utf-8", "replace")).strip():
            return told if len(told) <= most else f"{told[: most - 3]}..."
    return ""
