"""JSON encoders made once: `JSONEncoder.encode` makes the C encoder anew for every value, which
takes longer than a small value itself. Pure.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder
from collections.abc import Callable, Mapping
from typing import Any


def encoder(item: str = ",", key: str = ":", *, sort_keys: bool = False) -> Callable[[Any], str]:
    """What encodes a value as `json.dumps` does with these separators, any mapping like a dict.

    It raises TypeError for what has no JSON form, and ValueError for NaN.
    """
    # No check for circles, an ASCII form of texts, no indentation, no keys skipped, no NaN.
    pieces = make_encoder(
        None, _plain, encode_basestring_ascii, None, key, item, sort_keys, False, False
    )
    join = "".join
    return lambda value: join(pieces(value, 0))


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
