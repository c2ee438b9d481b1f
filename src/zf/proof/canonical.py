"""The canonical bytes of a JSON value: of plan.json, blocked.json, and whatever is signed."""

from __future__ import annotations

from typing import Any

from zf.lean.encoder import encoder


def canonical(value: Any) -> bytes:
    """Keys sorted, no spaces, ASCII, one newline at the end; NaN and sets have no JSON form."""
    return _encode(value).encode("ascii") + b"\n"


_encode = encoder(sort_keys=True)
