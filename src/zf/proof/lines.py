"""The JSON files of a proof that are read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from zf.lean.encoder import encoder, encoder_of_pieces, text

_NEXT = ",\n  "
_in_one_line = encoder(", ", ": ")
_pieces, _ALL = encoder_of_pieces(", ", ": "), repeat(0)


def object_lines(value: Mapping[str, Any]) -> bytes:
    """An object, one key a line."""
    return framed(key_lines(value))


def list_lines(items: Iterable[Any]) -> bytes:
    """A list, one item a line."""
    lines = _NEXT.join(map(_in_one_line, items))
    return (f"[\n  {lines}\n]\n" if lines else "[]\n").encode("ascii")


def key_lines(value: Mapping[str, Any]) -> str:
    """The lines of an object's keys, without its braces, to be put together with others."""
    values = map("".join, map(_pieces, value.values(), _ALL))
    return f"  {_NEXT.join(map(': '.join, zip(map(text, value), values, strict=True)))}"


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")
