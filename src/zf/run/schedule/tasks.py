"""Rules 1 and 2: where each task stands, and what an end means for it and for its dependents. Pure.

A task waits for its needs, sleeps until it may start, stands in line for a slot, runs, sleeps
before another attempt, ends. What is true of the run as a whole is told from outside, by `stop`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.events import (
    FAILED,
    WELL,
    AttemptEnded,
    Cause,
    Probe,
    RetryDropped,
    RetryScheduled,
    Status,
)
from zf.model import NOTHING, Task
from zf.plan.graph import Plan
from zf.run.gates.handlers import Handlers
from zf.run.gates.verdict import Again, Failed, Good
from zf.run.schedule.clock import Clock
from zf.run.schedule.gates import Gates
from zf.run.schedule.limits.budgets import Budgets
from zf.run.schedule.limits.slots import Slots
from zf.run.schedule.orders import (
    ConcludeAttempt,
    Extend,
    KillAttempt,
    Limits,
    NotRun,
    Order,
    Record,
)
from zf.run.schedule.outcomes import Decision, Outcomes
from zf.run.schedule.phases import Phases
from zf.run.schedule.retry import Retries

if TYPE_CHECKING:
    from zf.plan.conditions.verdict import ConditionContext
    from zf.run.schedule.limits.matrix import Matrices

# What a worker cannot say of itself why it is to end an attempt.
_TOLD = frozenset({Cause.BUDGET, Cause.SUPERSEDED})
# After these it is tried again whatever its file says: the task has no part in them.
_NO_FAULT_OF_ITS_OWN = frozenset({Cause.RUNNER, Cause.PREEMPTED})


class Tasks:
    """`done` is task -> how it ended; `first_failed` is the task that a fail-fast is due to.

    `always` holds the tasks that have their turn although the run was stopped, which `stopped`
    gives the reason of. Orders that follow are given to `order`.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        outcomes: Outcomes,
        phases: Phases,
        clock: Clock,
        order: Callable[[Order], None],
    ) -> None:
        self._tasks = plan.tasks
        self._outcomes = outcomes
        self._phases = phases
        self._clock = clock
        self._order = order
        self.slots = Slots(plan, limits, clock, order)
        self.budgets = Budgets(plan)
        self.gates = Gates(plan.tasks, self.slots.attempts, clock, order)
        self.handlers = Handlers(plan.tasks, order)
        # Made when the first instance of a matrix that fails fast has failed.
        self._matrices: Matrices | None = None
        self.done = outcomes.done
        self.always = outcomes.always | self.handlers.names
        self.stopped: Decision | None = None
        self.first_failed: str | None = None
        self._retries = Retries(limits.seed, allowed=limits.retries)
        # Task -> its last attempt, which decides if the next one never comes.
        self._fallback: dict[str, AttemptEnded] = {}
        self.extending: set[str] = set()  # those whose instances are asked for
        self._doomed: set[str] = set()  # ordered to end: not tried again

    def extend(
        self, base: str, tasks: Sequence[Task], contexts: Mapping[str, ConditionContext] = NOTHING
    ) -> None:
        """Take in the instances of a task, which are in its place from here on, and settle what is
        decided by their being there.
        """
        self.extending.discard(base)
        names = [task.id for task in tasks]
        if base in self.always:
            self.always |= {*names}
        self._phases.extend(tasks[0].phase, base, names)
        self.slots.extend(base, tasks)
        self.budgets.extend(tasks)
        if self._matrices is not None:
            self._matrices.extend(tasks)
        decided = self._outcomes.extend(base, tasks, contexts)
        here = self._phases.name
        self._begin([*names, *(name for name in decided if self._tasks[name].phase == here)])

    # What may be asked.

    def is_waiting(self, name: str) -> bool:
        """Whether it has neither ended nor runs."""
        return name in self._tasks and name not in self.done and not self.slots.attempt_of(name)

    def is_endable(self, name: str, by: str = "") -> bool:
        """Whether it goes on, and no order to end it was given; and is not protected from the newer
        run `by`, if that is what asks.
        """
        if name not in self._tasks or name in self.done or name in self._doomed:
            return False
        return not (by and self._tasks[name].approval.get("protected"))

    # Attempts and retries.

    def start(self, name: str) -> None:
        if name in self.slots.monitors.resting:
            self.slots.probe(name)
            return
        if name in self.handlers.names:
            self.handlers.claim(name)
        self._fallback.pop(name, None)
        self.slots.start(name, self.budgets.spent_before(name) if self.budgets.is_any else NOTHING)

    def fill_slots(self) -> None:
        while (name := self.slots.take_next()) is not None:
            self.start(name)
        self.slots.ask()

    def probed(self, event: Probe) -> None:
        """A probe has ended: another comes later, or it was the last of its attempt."""
        name = event.task
        found = self.slots.monitors.probed(event)
        if name in self._doomed:
            return  # its end is ordered
        match found:
            case Again(at):
                self.slots.rest(name, at)
            case Good():
                self._order(ConcludeAttempt(name, event.attempt))
            case Failed(cause, detail):
                self._order(ConcludeAttempt(name, event.attempt, cause, detail))

    def time_out(self, name: str) -> None:
        """The time of an attempt that is probed is up."""
        self._kill(name, Cause.TIMEOUT)

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """Its slot is free already."""
        if ended.status is Status.SUCCESS or not self._try_again(ended):
            self._conclude(ended)

    def _try_again(self, ended: AttemptEnded) -> bool:
        name, task = ended.task, self._tasks[ended.task]
        is_handler = name in self.handlers.names
        if is_handler and ended.cause is Cause.RUNNER and not self.handlers.is_repeatable(name):
            return False
        if not self._may_start(name) or name in self._doomed or self._clock.is_late(task):
            return False
        if ended.cause is Cause.BUDGET or (self.budgets.is_any and self.budgets.is_used_up(name)):
            return False
        if ended.cause in _NO_FAULT_OF_ITS_OWN:
            # The task has no part in it: no retry is spent.
            if not self.gates.holds(name):
                self.slots.queue.add(name)
        else:
            delay_s = self._retries.spend(task, ended)
            if delay_s is None:
                return False
            self._order(Record(RetryScheduled(name, ended.attempt + 1, delay_s)))
            self._clock.sleep_until(self._clock.now + delay_s, name)
            self.gates.holds(name)  # what can be answered meanwhile is asked now
        self._fallback[name] = ended
        return True

    def drop_retry(self, name: str, cause: Cause) -> None:
        """If it waits for another attempt: the task ends as its last one did."""
        if (ended := self._fallback.pop(name, None)) is not None:
            self.leave_line(name)
            self._order(Record(RetryDropped(name, ended.attempt + 1, cause)))
            self._conclude(ended)

    # Ends, and what they mean for the dependents.

    def _conclude(self, ended: AttemptEnded) -> None:
        self._note_end(ended.task, ended.status, ended.exit_code)
        if ended.task in self.handlers.names:
            self.handlers.end(ended.task, ended.status)
        self._tell_dependents([ended.task])

    def _note_end(self, name: str, status: Status, exit_code: int | None) -> None:
        task = self._tasks[name]
        warned = task.tolerates(status, exit_code)
        self._outcomes.note(name, status, warned=warned)
        self._phases.note_end(task.phase, good=warned or status in WELL)
        if status in FAILED and not warned:
            self.first_failed = self.first_failed or name
            if task.matrix_fail_fast and task.base:
                self._end_others(task, status)

    def _end_others(self, failed: Task, status: Status) -> None:
        """An instance of a matrix that fails fast has failed: the others do not go on."""
        if self._matrices is None:
            from zf.run.schedule.limits.matrix import Matrices  # noqa: PLC0415 - few runs have one

            self._matrices = Matrices(self._tasks)
        end, names = self._matrices.others(failed, status)
        for name in names:
            if self.is_endable(name):
                self.end(name, end)

    def _tell_dependents(self, names: Iterable[str]) -> None:
        """Settle all that these ends decide; a loop, as chains of dependents may be long."""
        ended = deque(names)
        while ended:
            for name in self._outcomes.decided_by(ended.popleft(), self._phases.name):
                if self.decide(name):
                    ended.append(name)

    def begin_phase(self) -> None:
        """Set the deadlines of the phase's tasks, and decide those whose needs have ended."""
        members, handlers = self._phases.members(self._phases.name), self.handlers.names
        ordinary = [name for name in members if name not in handlers] if handlers else members
        if self.handlers.names and ordinary and all(name in self.done for name in ordinary):
            self._phases.had_no_turn()
        self._begin(ordinary)

    def _begin(self, names: Iterable[str]) -> None:
        ended = []
        for name in names:
            if name in self.done:
                continue  # it was cancelled before its phase began
            self._clock.set_deadline(self._tasks[name])
            if self._outcomes.is_decided(name) and self.decide(name):
                ended.append(name)
        self._tell_dependents(ended)

    def decide(self, name: str) -> bool:
        """Queue a task whose needs allow it, or end it without an attempt (then True)."""
        may_start = self._may_start(name)
        if not may_start and not self._outcomes.may_be_blocked(name, but=Status.CANCELLED):
            return False  # it is cancelled like the others
        decision = self._outcomes.decide(name)
        if not may_start and decision.status is not Status.BLOCKED:
            return False  # its condition would have let it run, or skipped it
        if decision.asked is not None:
            self._order(Record(decision.asked))
        if decision.status is not None:
            self.not_run(name, decision)
            return True
        if self._tasks[name].matrix_from:
            self.extending.add(name)
            self._order(Extend(name))
            return False
        may_start_at = self._clock.started + self._tasks[name].start_after_s
        if may_start_at > self._clock.now:
            self._clock.sleep_until(may_start_at, name)
            self.gates.holds(name)  # as above
        else:
            self.line_up(name)
        return False

    def _may_start(self, name: str) -> bool:
        """Whether nothing that stopped the run, or its phase, keeps it from its turn."""
        if name in self.always:
            return True
        given_up = self._phases.given_up
        return self.stopped is None and not (given_up and self._tasks[name].phase in given_up)

    def line_up(self, name: str) -> None:
        """It is ready: it starts when a slot is free."""
        if name in self.slots.monitors.resting:
            self.slots.monitors.wake(name)
            return
        self._clock.asleep.pop(name, None)
        if self.gates.holds(name):
            return
        self.slots.queue.add(name)
        patience_s = self._tasks[name].queue_timeout_s
        if patience_s is not None and not self.slots.has_begun(name):
            self._clock.set(self._clock.now + patience_s, "queue", name)

    def leave_line(self, name: str) -> None:
        self.gates.drop(name)
        self._clock.asleep.pop(name, None)
        self.slots.leave(name)

    def not_run(self, name: str, end: Decision) -> None:
        assert end.status is not None
        self.extending.discard(name)
        self.gates.drop(name)
        self._note_end(name, end.status, None)
        warned = name in self._outcomes.warned
        self._order(NotRun(name, end.status, end.cause, end.detail, end.needs, warned))

    # Ends that come from outside.

    def give_up_waiting(self, name: str, end: Decision) -> None:
        """End one task that has not started, and settle its dependents."""
        self.leave_line(name)
        self.not_run(name, end)
        self._tell_dependents([name])

    def end(self, name: str, end: Decision) -> None:
        """End one task, whether it runs, waits for a retry or has not started."""
        if self.slots.attempt_of(name):
            self._kill(name, end.cause, detail=end.detail if end.cause in _TOLD else "")
        elif name in self._fallback:
            self.drop_retry(name, end.cause)
        else:
            self.give_up_waiting(name, end)

    def kill_running(self, cause: Cause, *, force: bool = False, detail: str = "") -> None:
        for name in self.slots.under_way:
            if name not in self.handlers.names or force:  # those have a time of their own
                self._kill(name, cause, force=force, detail=detail)

    def _kill(self, name: str, cause: Cause, *, force: bool = False, detail: str = "") -> None:
        self._doomed.add(name)
        self.slots.monitors.stay(name)
        attempt = self.slots.attempt_of(name)
        assert attempt is not None
        self._order(KillAttempt(name, attempt, cause, force, detail))

    def stop(self, cause: Cause, detail: str, phases: Iterable[str], *, spare: bool = True) -> None:
        """Nothing starts any more but what says `always()`, and what is left of the phase under way
        and of these is cancelled. `spare`: what needs a running task waits for the end of that one.
        """
        self.stopped = Decision(Status.CANCELLED, cause, detail)
        for name in [name for name in self._fallback if name not in self.always]:
            self.drop_retry(name, cause)
        for name in self._phases.members(self._phases.name):
            if name not in self.always and not self.slots.attempt_of(name):
                self.leave_line(name)
        spared = self._outcomes.blockable_by(self.slots.under_way) if spare else ()
        self.cancel_waiting(self._phases.name, spared)
        for phase in phases:
            self.cancel_waiting(phase)

    def give_up_later_phases(self, failed: str, *, keep_going: bool) -> None:
        """What needs a failed task is blocked by it; the others never had their turn. `keep_going`:
        only those phases are given up that need the failed one.
        """
        end = Decision(Status.CANCELLED, Cause.PHASE_FAILED, f"phase '{failed}' failed")
        if not keep_going:
            self.stopped = end
        phases = self._phases.needing(failed) if keep_going else self._phases.to_come
        self._phases.given_up.update(phases)
        for phase in phases:
            self._cancel_waiting(phase, end, but_blocked=True)

    def cancel_waiting(self, phase: str | None, spared: Container[str] = ()) -> None:
        """Cancel what has not started in this phase, as the run was stopped."""
        assert self.stopped is not None
        self._cancel_waiting(phase, self.stopped, spared)

    def _cancel_waiting(
        self,
        phase: str | None,
        end: Decision,
        spared: Container[str] = (),
        *,
        but_blocked: bool = False,
    ) -> None:
        """Cancel what has not started in this phase; `but_blocked`: unless a need blocks it."""
        ended = []
        for name in self._phases.members(phase):
            if self.is_waiting(name) and not (name in spared or name in self.always):
                if not (but_blocked and self.decide(name)):
                    self.not_run(name, end)
                ended.append(name)
        self._tell_dependents(ended)
