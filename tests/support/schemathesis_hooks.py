"""What schemathesis is told of the server, in its own process: see tests/server/test_described.py."""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis

_callers = count()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Each request is another caller's, as a proxy tells it: who tries too many wrong tokens has to
    wait, and would see nothing else from then on.
    """
    number = next(_callers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
