"""Tasks that are probed: which series each is in, which rest between probes, which are due. Pure.

A monitor keeps its attempt, and what it claims but for the slot, from its first probe to its end. A
slot it has only while a probe is under way; one that is due comes before tasks that have not
started, as it takes little time and the state it looks at does not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from zf.events import AttemptEnded, Cause, Probe
from zf.model import Task
from zf.model.repeat import Repeat
from zf.run.gates.verdict import Again, Failed, Good, Series, judged
from zf.run.schedule.clock import Clock


class Monitors:
    """`resting` is task -> attempt that is between two probes; of these `due` want a slot."""

    def __init__(self, tasks: Mapping[str, Task], clock: Clock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._series: dict[str, Series] = {}
        self._until: dict[str, float] = {}
        self.resting: dict[str, int] = {}
        self.due: deque[str] = deque()

    def begin(self, name: str) -> None:
        """An attempt of the task begins; a series that the death of a runner broke off goes on."""
        now = self._clock.now
        self._series.setdefault(name, Series(now))
        self._until[name] = now + self._tasks[name].timeout_s
        self._clock.set(self._until[name], "attempt", name)

    def is_late(self, name: str, at: float) -> bool:
        """Whether this is the moment at which the time of its attempt is up."""
        return self._until.get(name) == at

    def probed(self, event: Probe) -> Again | Good | Failed:
        """What follows from a probe."""
        name = event.task
        repeat = Repeat.of(self._tasks[name].repeat)
        self._series[name], found = judged(
            repeat, self._series[name], event.result, self._clock.now
        )
        return found

    def rest(self, name: str, attempt: int, until: float) -> None:
        """It waits for its next probe."""
        self.resting[name] = attempt
        self._clock.sleep_until(until, name)

    def rise(self, name: str) -> None:
        """If it rested: it is probed, as a journal shows."""
        self._clock.asleep.pop(name, None)
        self.resting.pop(name, None)

    def wake(self, name: str) -> None:
        """It is time for the next probe, as soon as there is a slot."""
        self._clock.asleep.pop(name, None)
        self.due.append(name)

    def take(self, *, idle: bool) -> str | None:
        """The one to probe now, if the first that is due can be; `idle` says that nothing runs."""
        if not idle and not self._tasks[self.due[0]].parallel_safe:
            return None
        return self.due.popleft()

    def stay(self, name: str) -> None:
        """If it rests: there is to be no next probe."""
        if name in self.resting:
            self._clock.asleep.pop(name, None)
            if name in self.due:
                self.due.remove(name)

    def end(self, ended: AttemptEnded) -> None:
        """The attempt is over, whether or not it rested."""
        name = ended.task
        self.stay(name)
        self.resting.pop(name, None)
        self._until.pop(name, None)
        if ended.cause is not Cause.RUNNER:
            self._series.pop(name, None)
