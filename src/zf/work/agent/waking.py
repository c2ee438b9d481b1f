"""A lease that ends also an agent which something has stopped: SIGSTOP, or the freezer of a batch
system that never thaws it. Its runner cannot wake it there, so the kernel is told to.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from zf.lean.signals import signal

# After the lease, when its runner has given it up; and then again and again: something may stop it
# once more.
_AFTER_S, _AGAIN_S = 2.0, 1
_SIGEV_SIGNAL = 0


class _Event(ctypes.Structure):
    """The system's `struct sigevent`."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 64),
    )


class _When(ctypes.Structure):
    """The system's `struct itimerspec`."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "in_s", "in_ns"))


class Waking:
    """Goes on by itself in so many seconds, unless it is put off. It does nothing where the system
    has no such timers (macOS).
    """

    def __init__(self, clock: int) -> None:
        self._timer, self._library = ctypes.c_void_p(), _library()
        event = _Event(number=signal.SIGCONT, notify=_SIGEV_SIGNAL)
        if self._library is not None and self._library.timer_create(
            clock, ctypes.byref(event), ctypes.byref(self._timer)
        ):
            self._library = None

    def put_off(self, for_s: float) -> None:
        """The lease was renewed."""
        if self._library is not None:
            seconds, part = divmod(for_s + _AFTER_S, 1)
            when = _When(every_s=_AGAIN_S, in_s=int(seconds), in_ns=int(part * 1e9))
            self._library.timer_settime(self._timer, 0, ctypes.byref(when), None)


@cache
def _library() -> Any:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "timer_create") else None
