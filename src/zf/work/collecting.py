"""When collecting artifacts ends early: on an order, at its time limit, when the runner is gone.

The steps are over by then, so no supervisor listens to the runner, and files may be large.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from zf.events import Cause
from zf.work.supervisor import Stop

if TYPE_CHECKING:
    from zf.work.control import RunnerOrders

# Artifacts of a task with a short time limit may still be large.
LEAST_S = 60.0
# How often it is asked for orders; what is collected sooner than that costs no call.
_LOOK_S = 0.05


class RunnerGoneError(Exception):
    """The runner is dead: what is being collected is left for `zf resume` or `zf seal`."""


class Collecting:
    """Whether artifacts may be taken still: called between two files or blocks it answers why not.

    What had stopped the steps does not stop this: artifacts of a task that was ended are kept, too.
    But an order that leaves no grace does, whenever it came.
    """

    def __init__(self, orders: RunnerOrders, limit_s: float) -> None:
        self._orders = orders
        self._before = orders.stop
        self._limit_s = limit_s
        began = time.monotonic()
        self._until = began + limit_s
        self._look_at = began + _LOOK_S
        # What ended it before everything was taken.
        self.stop: Stop | None = None

    def __call__(self) -> str:
        if self.stop is not None:
            return _REASON
        now = time.monotonic()
        if now < self._look_at:
            return ""
        self._look_at = now + _LOOK_S
        self._orders.look()
        if self._orders.gone:
            raise RunnerGoneError
        stop = self._orders.stop
        if stop is not None and (self._before is None or stop.force):
            self.stop = stop
        elif now >= self._until:
            detail = f"collecting the artifacts did not end in {self._limit_s:g} s"
            self.stop = Stop(Cause.TIMEOUT, detail)
        return _REASON if self.stop is not None else ""


class Briefly:
    """The same where a dead worker's artifacts are kept in its place, in the process that all wait
    for: until something comes on `wakeup_fd`, or for `limit_s`.
    """

    def __init__(self, wakeup_fd: int | None = None, limit_s: float = LEAST_S) -> None:
        began = time.monotonic()
        self._until = began + limit_s
        self._look_at = began + _LOOK_S
        self._poll = select.poll()
        if wakeup_fd is not None:
            self._poll.register(wakeup_fd, select.POLLIN)

    def __call__(self) -> str:
        now = time.monotonic()
        if now < self._look_at:
            return ""
        self._look_at = now + _LOOK_S
        return _REASON if now >= self._until or self._poll.poll(0) else ""


_REASON = "was not taken when collecting the artifacts was stopped"


def limit_s(timeout_s: float) -> float:
    """How long collecting may take for a task with this `timeout_sec`."""
    return max(timeout_s, LEAST_S)
