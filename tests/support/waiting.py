"""Waiting for what comes to be by itself, where nothing can be waited on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def eventually(
    look: Callable[[], _T], of: Callable[[_T], object] = bool, seconds: float = 60
) -> _T:
    """What is found, once `of` is true of it; AssertionError, with what was found last, after that
    many seconds.
    """
    until = time.monotonic() + seconds
    while not of(found := look()):
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found
