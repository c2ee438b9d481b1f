"""Which handlers are owed, when, and in which order: `on_end` of phases and of the run. Pure.

The handlers of a phase run one after the other once its last task has ended, before the phase does;
those of the run in a phase of their own, which comes last. Each is claimed before it starts, and a
claim is for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zf.events import HandlerClaimed, HandlerEnded, Status
from zf.model import Task
from zf.model.handler import ALWAYS, INTERRUPTED
from zf.run.schedule.orders import Order, Record


class Handlers:
    """`names` are those of the plan. `order` takes the events that follow."""

    def __init__(self, tasks: Mapping[str, Task], order: Callable[[Order], None]) -> None:
        self._order = order
        self._said = {name: task.on_end for name, task in tasks.items() if task.on_end}
        self.names = frozenset(self._said)
        self._of: dict[str, list[str]] = {}
        for name in self._said:
            self._of.setdefault(tasks[name].phase, []).append(name)
        # Of the phase under way: what it came to, once its last task has ended.
        self.ended: str | None = None
        self._claimed: set[str] = set()

    def of(self, phase: str | None) -> list[str]:
        """The handlers that run in this phase, in their order."""
        return self._of.get(phase, []) if phase is not None else []

    def matches(self, name: str, ended: str) -> bool:
        """Whether this is an end that it is for."""
        when = self._said[name]["when"]
        return ALWAYS in when or ended in when

    def is_repeatable(self, name: str) -> bool:
        """Whether it runs again when its runner died meanwhile."""
        return bool(self._said[name]["repeatable"])

    def remember(self, event: HandlerClaimed) -> None:
        """Take in a claim that a journal has."""
        self._claimed.add(event.task)

    def claim(self, name: str) -> None:
        """It starts now."""
        if name not in self._claimed:
            self._claimed.add(name)
            said = self._said[name]
            self._order(Record(HandlerClaimed(name, said["phase"], self.ended or "none")))

    def end(self, name: str, status: Status) -> None:
        """It has ended, if it ever was claimed."""
        if name in self._claimed:
            self._order(Record(HandlerEnded(name, status)))

    def owed(self, phases: Iterable[str], done: Mapping[str, Status]) -> list[tuple[str, str]]:
        """Of a run that is given up: the handlers that were never claimed, each with what it is
        told: of the first of these phases that it was interrupted, of the others that they had no
        turn; and those of the run, which the last one has.
        """
        found = []
        for index, phase in enumerate(phases):
            for name in self.of(phase):
                of_run = not self._said[name]["phase"]
                ended = INTERRUPTED if index == 0 or of_run else "none"
                if name not in done and name not in self._claimed and self.matches(name, ended):
                    found.append((name, ended))
        return found
