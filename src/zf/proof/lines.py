"""The JSON files of a proof that are read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import call
from types import NoneType
from typing import Any

from zf.lean.encoder import encoder, text

_NEXT = ",\n  "
_in_one_line = encoder(", ", ": ")


class _Ways(dict[type, Callable[[Any], str]]):
    """How a value of each type is written; what is not named here, as the encoder writes it."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        return _in_one_line


# Most values are of these types, and the encoder takes longer to begin than they take.
_WAYS = _Ways(
    {
        str: text,
        int: int.__repr__,
        bool: {True: "true", False: "false"}.__getitem__,
        NoneType: {None: "null"}.__getitem__,
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
    values = map(call, map(_WAYS.__getitem__, map(type, value.values())), value.values())
    return f"  {_NEXT.join(map(': '.join, zip(map(text, value), values, strict=True)))}"


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")
