"""The time of a run as it was last told, and the moments at which something is to happen. Pure.

Two lists of them: `alarms`, and `patience`, when tasks give up waiting for a slot. That one is
looked at only after free slots were filled.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Literal

from zf.model import Task

Kind = Literal["wake", "queue", "deadline", "attempt", "lease", "approval", "phase", "run"]


# When, a number that keeps equal moments in order, and the task, group or phase it is about.
Alarm = tuple[float, int, Kind, str]


class Clock:
    """`matters` says whether there is still a reason for an alarm when its moment has come.

    `now` and `started` are seconds on the clock of the events; `asleep` is task -> until when.
    """

    def __init__(self, matters: Callable[[Alarm], bool]) -> None:
        self._matters = matters
        self.now = self.started = 0.0
        self.asleep: dict[str, float] = {}
        self.alarms: list[Alarm] = []
        self.patience: list[Alarm] = []
        self._set = 0

    def set(self, at: float, kind: Kind, name: str = "") -> None:
        self._set += 1
        heap = self.patience if kind == "queue" else self.alarms
        heappush(heap, (at, self._set, kind, name))

    def set_deadline(self, task: Task) -> None:
        if task.deadline_s is not None:
            self.set(self.started + task.deadline_s, "deadline", task.id)

    def is_late(self, task: Task) -> bool:
        return task.deadline_s is not None and self.now >= self.started + task.deadline_s

    def sleep_until(self, at: float, name: str) -> None:
        self.asleep[name] = at
        self.set(at, "wake", name)

    def next_at(self) -> float | None:
        """The earliest moment that matters."""
        at = min(self._next_in(self.alarms), self._next_in(self.patience))
        return None if at == inf else at

    def due(self, heap: list[Alarm]) -> Alarm | None:
        """The earliest of a list that matters and whose moment has come, taken out."""
        if not heap or heap[0][0] > self.now:
            return None
        return heappop(heap) if self._next_in(heap) <= self.now else None

    def _next_in(self, heap: list[Alarm]) -> float:
        while heap and not self._matters(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else inf
