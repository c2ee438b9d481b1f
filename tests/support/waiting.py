"""Waiting for what comes to be by itself, where nothing can be waited on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
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


def printed(log: Path) -> bytes:
    """What is in a log by now; nothing where it is not there yet, or has just been taken away, as
    that of an attempt is which another one follows.
    """
    try:
        return log.read_bytes()
    except FileNotFoundError:
        return b""
