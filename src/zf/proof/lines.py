"""The JSON files of a proof that people read with cat and grep: one top-level key, or item, a line.

`"key": value`, as the shell runner before zf wrote them. What is inside a value stays on its line.
Done by hand around the C encoder, whose own indentation would put every number on a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as _text
from typing import Any

_encode = json.JSONEncoder(
    separators=(", ", ": "), ensure_ascii=True, allow_nan=False, default=dict
).encode
_CONSTANTS = {None: "null", True: "true", False: "false"}
_EMPTY: dict[type, str] = {dict: "{}", list: "[]", tuple: "[]"}


def object_lines(value: Mapping[str, Any]) -> bytes:
    """An object, one key a line."""
    return framed(key_lines(value))


def list_lines(items: Iterable[Any]) -> bytes:
    """A list, one item a line."""
    lines = ",\n".join([f"  {_value(item)}" for item in items])
    return (f"[\n{lines}\n]\n" if lines else "[]\n").encode("ascii")


def key_lines(value: Mapping[str, Any]) -> str:
    """The lines of an object's keys, without its braces, to be put together with others."""
    return ",\n".join([f"  {_text(key)}: {_value(one)}" for key, one in value.items()])


def framed(*parts: str) -> bytes:
    """The object whose keys are these lines."""
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("ascii")


def _value(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int or (kind is float and value - value == 0):
        return repr(value)  # as the encoder has it, for all numbers that JSON knows
    if value is None or kind is bool:
        return _CONSTANTS[value]
    if kind in _EMPTY and not value:
        return _EMPTY[kind]
    return _encode(value)
