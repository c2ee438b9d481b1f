"""Rule 6: which of the tasks that could start get a slot, and which attempts hold one. Pure.

`order.py` says which comes first, `ready.py` which of them can start. While the machine is too busy
(`gate.py`) nothing starts as long as something of ours runs. While another run has the lease of its
`concurrency` group, a task waits without a slot (`waits.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.events import AttemptEnded, LeaseAwaited, LeaseTaken
from zf.model import CANCEL_RUNNING, Task
from zf.plan.graph import Plan
from zf.run.gates.monitors import Monitors
from zf.run.schedule.clock import Clock
from zf.run.schedule.limits.gate import Gate
from zf.run.schedule.limits.waits import Waits
from zf.run.schedule.order import start_order
from zf.run.schedule.orders import (
    LEASE_RETRY_S,
    AskLease,
    LeaseAnswered,
    Limits,
    Order,
    Record,
    ReleaseLease,
    RestAttempt,
    StartAttempt,
    StartProbe,
)
from zf.run.schedule.ready import ReadyQueue, place_of

if TYPE_CHECKING:
    from zf.run.schedule.limits.executors import Executors


class Slots:
    """`queue` holds the tasks in line, `running` is task -> attempt under way. Orders that follow
    are given to `order`.

    `asked` is the task whose lease was asked for just now: the answer comes at this same moment.
    """

    def __init__(
        self, plan: Plan, limits: Limits, clock: Clock, order: Callable[[Order], None]
    ) -> None:
        self._tasks = plan.tasks
        self._max_jobs = self._most = limits.max_jobs
        self._clock = clock
        self._order = order
        self.executors: Executors | None = None
        if limits.executors:
            from zf.run.schedule.limits.executors import Executors  # noqa: PLC0415 - few runs have any

            self.executors = Executors(limits.executors, limits.executor, limits.max_jobs)
            self._max_jobs = self._most = self.executors.slots
        self.queue = ReadyQueue(start_order(plan, limits), limits.resources, self.executors)
        self.gate = Gate(limits.throttle)
        self.running: dict[str, int] = {}
        self.monitors = Monitors(plan.tasks, clock)
        self._attempts: dict[str, int] = {}
        self._alone = False  # an exclusive task is running
        self.asked: str | None = None
        self._waits = Waits()
        self._asked_again: set[str] = set()  # groups that an alarm is set for

    def extend(self, base: str, tasks: Sequence[Task]) -> None:
        """Take in the instances of a task, which come in its place."""
        self.queue.extend(base, tasks)

    def begin_phase(self, max_jobs: int | None) -> None:
        """So many tasks of the phase may run at once, where that is less than the run allows."""
        self._max_jobs = min(self._most, max_jobs or self._most)

    def has_begun(self, name: str) -> bool:
        """Whether there was an attempt of it, or is one."""
        return name in self._attempts

    def attempts(self, name: str) -> int:
        """How many attempts of it there were."""
        return self._attempts.get(name, 0)

    def leave(self, name: str) -> None:
        """The task does not start after all."""
        self._waits.over(name, self._clock.now)
        if self.queue.discard(name):
            self._order(ReleaseLease(name))

    def take_next(self) -> str | None:
        """The task to start now, taken out of the line."""
        if not self._has_free() or (self.gate.closed and self.running):
            return None
        if self.monitors.due:
            return self.monitors.take(idle=not self.running)
        return self.queue.take(idle=not self.running)

    def attempt_of(self, name: str) -> int | None:
        """The attempt of it that is under way, whether it runs or rests between probes."""
        return self.running.get(name) or self.monitors.resting.get(name)

    @property
    def under_way(self) -> list[str]:
        """The tasks of which one is."""
        return [*self.running, *self.monitors.resting]

    def rest(self, name: str, until: float) -> None:
        """A probe has ended and the next comes at that moment: the slot is free."""
        self.monitors.rest(name, self.running.pop(name), until)
        self._alone = False
        self._order(RestAttempt(name))

    def probe(self, name: str) -> None:
        """The next probe of a task that rests."""
        attempt = self.running[name] = self.monitors.resting.pop(name)
        self._alone = not self._tasks[name].parallel_safe
        self._order(StartProbe(name, attempt))

    def start(self, name: str, spent: Mapping[str, float]) -> None:
        attempt = self._attempts.get(name, 0) + 1
        self._attempts[name] = self.running[name] = attempt
        self._alone = not self._tasks[name].parallel_safe
        if self._tasks[name].repeat:
            self.monitors.begin(name)
        self._order(StartAttempt(name, attempt, spent))

    def end(self, ended: AttemptEnded) -> bool:
        """Free the slot; False for a late or doubled report: the first one has decided."""
        name = ended.task
        if self.attempt_of(name) != ended.attempt:
            return False
        if self.running.pop(name, None):
            self._alone = False
        if self._tasks[name].repeat:
            self.monitors.end(ended)
        self.queue.release(name)
        if self._tasks[name].concurrency:
            self._order(ReleaseLease(name))
        return True

    def ask(self) -> None:
        """After `take_next` has named the last: ask for the lease that the one after it lacks."""
        self.asked = self.queue.lacks_lease
        if self.asked is not None:
            task = self._tasks[self.asked]
            cancels = task.on_newer == CANCEL_RUNNING
            protected = bool(task.approval.get("protected"))
            self._order(AskLease(task.id, task.concurrency, cancels, protected))
        if self.gate.closed:
            waits = bool(self.queue) and self._has_free()
            self.gate.keep(waiting=waits, now=self._clock.now)

    def answered(self, answer: LeaseAnswered) -> None:
        name, owner, now = answer.task, answer.owner, self._clock.now
        group = self._tasks[name].concurrency
        self.asked = None
        if owner is None:
            self.queue.lease(name)
            self._order(Record(LeaseTaken(name, group, self._waits.over(name, now))))
            return
        self.queue.step_aside(name)
        if group not in self._asked_again:
            self._asked_again.add(group)
            self._clock.set(now + LEASE_RETRY_S, "lease", group)
        if self._waits.refused(name, owner, now):
            self._order(Record(LeaseAwaited(name, group, owner)))

    def look_again(self, group: str) -> None:
        """The group that another run had may be free now."""
        self._asked_again.discard(group)
        self.queue.look_again(group)

    def awaited_by(self, name: str) -> str:
        """What keeps a task in line from its slot, in words."""
        owner = self._waits.owner(name)
        if owner:
            return f"'{self._tasks[name].concurrency}', held by {owner}"
        lacking = self.queue.waits_for(name)
        if lacking == f"'{place_of(self._tasks[name])}'":
            return "its turn: max_parallel of its matrix"
        return lacking or "its turn"

    def _has_free(self) -> bool:
        return len(self.running) < self._max_jobs and not self._alone
