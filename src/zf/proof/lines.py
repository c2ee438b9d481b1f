"""The JSON files of a proof that are read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
Put together around the C encoder, whose own indentation would put every number on a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring_ascii as _text
from typing import Any

from zf.proof.canonical import plain

_encode = json.JSONEncoder(
    separators=(", ", ": "), check_circular=False, allow_nan=False, default=plain
).encode
_EMPTY: dict[type, str] = {dict: "{}", list: "[]", tuple: "[]"}


def object_lines(value: Mapping[str, Any]) -> bytes:
    """An object, one key a line."""
    return framed(key_lines(value))


def list_lines(items: Iterable[Any]) -> bytes:
    """A list, one item a line."""
    lines = ",\n".join([f"  {_value(item)}" for item in items])
    return (f"[\n{lines}\n]\n" if lines else "[]\n").encode("ascii")


def key_lines(value: Mapping[str, Any]) -> str:
    """The lines of an object's keys, without its braces, to be put together with others. The keys
    are names of zf's own: there is nothing in them to escape.
    """
    of = _KINDS.get
    lines = [f'  "{key}": {of(type(one), _encode)(one)}' for key, one in value.items()]
    return ",\n".join(lines)


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")


def _value(value: Any) -> str:
    return _KINDS.get(type(value), _encode)(value)


def _number(value: float) -> str:
    # As the encoder has it, for all numbers that JSON knows; it says what is wrong with others.
    return repr(value) if value - value == 0 else _encode(value)


def _many(value: Any) -> str:
    return _encode(value) if value else _EMPTY[type(value)]


# What the encoder would make of it, in a third of the time.
_KINDS: dict[type, Callable[[Any], str]] = {
    str: _text,
    int: int.__repr__,
    float: _number,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
    dict: _many,
    list: _many,
    tuple: _many,
}
