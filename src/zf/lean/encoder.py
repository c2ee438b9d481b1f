"""JSON encoders and decoders made once: `JSONEncoder.encode` makes the C encoder anew for every
value, which takes longer than a small value itself, and `json` itself takes 2 ms to import. Pure.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner
from collections.abc import Callable, Mapping
from typing import Any

# What encodes a text.
text: Callable[[str], str] = encode_basestring_ascii


def encoder(item: str = ",", key: str = ":", *, sort_keys: bool = False) -> Callable[[Any], str]:
    """What encodes a value as `json.dumps` does with these separators, any mapping like a dict.

    It raises TypeError for what has no JSON form, and ValueError for NaN.
    """
    # No check for circles, an ASCII form of texts, no indentation, no keys skipped, no NaN.
    pieces = make_encoder(None, _plain, text, None, key, item, sort_keys, False, False)
    join = "".join
    return lambda value: join(pieces(value, 0))


def decoder() -> Callable[[str], Any]:
    """What decodes as `json.loads` does a text that one of these encoders wrote; ValueError for
    what is no JSON.
    """
    scan = make_scanner(_AsUsual)  # type: ignore[arg-type]  # any object with these will do

    def decode(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            end = -1
        if end != len(text):
            raise ValueError("not JSON")
        return value

    return decode


class _AsUsual:
    """What the C scanner asks of a decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
