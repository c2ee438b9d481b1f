"""Moments at which something is to happen, the earliest first. Pure; it knows no clock."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

from zf.lean.record import record

Kind = Literal["wake", "queue", "deadline", "lease", "phase", "run"]


@record
class Alarm:
    """`name` is the task, group or phase it is about."""

    at: float
    kind: Kind
    name: str


class Alarms:
    """`matters` says whether there is still a reason for an alarm when its moment has come."""

    def __init__(self, matters: Callable[[Alarm], bool]) -> None:
        self._matters = matters
        # The number keeps equal moments in order.
        self._heap: list[tuple[float, int, Alarm]] = []
        self._set = 0

    def set(self, at: float, kind: Kind, name: str = "") -> None:
        self._set += 1
        heappush(self._heap, (at, self._set, Alarm(at, kind, name)))

    def next_at(self) -> float | None:
        """The earliest moment that matters."""
        while self._heap and not self._matters(self._heap[0][2]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Alarm | None:
        """The earliest alarm that matters and whose moment has come, taken out."""
        at = self.next_at()
        return heappop(self._heap)[2] if at is not None and at <= now else None
