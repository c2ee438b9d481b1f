"""JSON from outside, read so that it means one thing: what a program sent is what zf took it for.

RFC 8259 leaves open what a key means that is there twice, and what half of a surrogate pair is; no
answer, record or process of zf could say the latter again.
"""

from __future__ import annotations

import json
from typing import Any

from zf.proof.journal import decode


def sound(body: bytes) -> Any:
    """The value. Raises ValueError for what is no JSON in UTF-8, has a key twice, NaN or Infinity,
    a number that is too large for one, or text that no program could be given.
    """
    found = decode(body)
    # What cannot be written down again; both are ValueErrors.
    try:
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found
