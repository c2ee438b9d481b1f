"""The canonical bytes of a JSON value: of plan.json, blocked.json, and whatever is signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> bytes:
    """Keys sorted, no spaces, ASCII, one newline at the end; NaN and sets have no JSON form."""
    return _encode(value).encode("ascii") + b"\n"


def plain(value: object) -> Any:
    """A mapping that is no dict, for a JSON encoder; TypeError for what has no JSON form."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, default=plain
).encode
