"""Decides: (state, event, now) -> orders. Every policy of a run lives in this file, and only here.

It reads no clock, file or process: time is a value, and an order counts as carried out when given.
The rules, in the order they are applied at each turn:

1. What happened is taken in. An attempt that failed is tried again while its task has retries; else
   the task has come to its end, tolerated or not, and its dependents are told.
2. What an end means for the dependents (`outcomes.py`): a need that did not succeed blocks at once
   and through any number of tasks; a skipped one skips, once the other needs are known; a condition
   is asked when all needs have ended.
3. Phases run strictly one after the other. The first that fails ends the run: nothing of the later
   ones starts, but for rule 7.
4. The clock strikes: deadlines, waits that were too long, waits that are over.
5. Whatever stops a run (fail-fast, a phase timeout, the run's deadline, an interrupt) cancels every
   task that has not started, and nothing starts afterwards. Only those that need a running task
   are cancelled later, when it has ended: it may yet fail, and then they are blocked by it. All but
   a plain fail-fast end what runs, too.
6. Free slots are filled (`ready.py`): higher priority first, then the longest chain of tasks behind
   it, then by id; exclusive tasks alone; resources first come, first served. On a machine that is
   too busy nothing starts while something of ours runs. A task with a `concurrency` group starts
   when its run has the lease of the group; while another run has it, it waits without a slot.

7. A task whose condition calls `always()` has its turn although the run was stopped, in later
   phases too. Only a second interrupt keeps it from that.

Each event costs O(log n) and the dependents it concerns; only stopping looks at every task, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from zf.errors import Exit
from zf.events import (
    FAILED,
    WELL,
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    Cause,
    ConditionEvaluated,
    Event,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    RunStarted,
    RunTimedOut,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.model import Need, Task
from zf.plan.graph import Plan, PlannedPhase
from zf.run.schedule.alarms import Alarm, Alarms
from zf.run.schedule.gate import Gate
from zf.run.schedule.orders import (
    LEASE_RETRY_S,
    AskLease,
    EndPhase,
    EndRun,
    KillAttempt,
    LeaseAnswered,
    Limits,
    LoadSampled,
    NotRun,
    Order,
    Record,
    ReleaseLease,
    SchedulerEvent,
    StartAttempt,
    StartPhase,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.outcomes import Outcomes
from zf.run.schedule.ready import ReadyQueue, impossible
from zf.run.schedule.retry import Retries
from zf.run.schedule.waits import Waits

if TYPE_CHECKING:
    from zf.plan.verdict import ConditionContext

# Everything between the scheduler and whoever drives it can be had from here.
__all__ = [
    "AskLease",
    "CancelRequested",
    "EndPhase",
    "EndRun",
    "KillAttempt",
    "LeaseAnswered",
    "Limits",
    "LoadSampled",
    "NotRun",
    "Order",
    "Record",
    "ReleaseLease",
    "Scheduler",
    "StartAttempt",
    "StartPhase",
    "Tick",
    "TimeOutPhase",
]

Happening = AttemptEnded | Interrupted | CancelRequested | LeaseAnswered | Tick | LoadSampled

_NO_NEEDS: Mapping[str, Status] = MappingProxyType({})
_NOTHING: Mapping[str, ConditionContext] = MappingProxyType({})
_NOTHING_DECIDED: Mapping[str, ConditionEvaluated] = MappingProxyType({})
_BY_CLOCK = frozenset({Cause.DEADLINE, Cause.QUEUE_TIMEOUT})
_SIGINT = 2
_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}


class Scheduler:
    """The state of one run. `start` once, then `handle` each event; both answer with orders.

    `contexts` are what conditions may refer to, by task; `decided` are the answers a resumed run
    has from before. Raises ValueError if a task asks for more than there is.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        contexts: Mapping[str, ConditionContext] = _NOTHING,
        decided: Mapping[str, ConditionEvaluated] = _NOTHING_DECIDED,
    ) -> None:
        too_much = next(impossible(plan.tasks, limits.resources), None)
        if too_much is not None:
            raise ValueError(f"task {too_much[0]!r} asks for more {too_much[1]!r} than there is")
        self._tasks = plan.tasks
        self._limits = limits
        self._now = self._started = 0.0
        self._orders: list[Order] = []

        self._outcomes = Outcomes(plan, contexts, decided)
        self._done = self._outcomes.done
        self._open_needs = {name: len(self._outcomes.needs(name)) for name in plan.tasks}
        self._dependents: dict[str, list[tuple[str, Need]]] = {}
        for name in plan.tasks:
            for need in self._outcomes.needs(name):
                self._dependents.setdefault(need.task, []).append((name, need))

        self._phases = deque(plan.phases)
        self._members: dict[str, list[str]] = {phase.name: [] for phase in plan.phases}
        for task in plan.tasks.values():
            self._members[task.phase].append(task.id)
        self._phase: PlannedPhase | None = None
        self._phase_ok = self._all_ok = True
        self._phase_struck = False  # its time ran out, or matters no longer
        self._left = 0  # tasks of this phase that have not come to their end

        in_order = sorted(plan.tasks.values(), key=lambda t: (-t.priority, -plan.chain[t.id], t.id))
        self._queue = ReadyQueue(in_order, limits.resources)
        self._gate = Gate(limits.throttle)
        self._running: dict[str, int] = {}
        self._alone = False  # an exclusive task is running
        self._attempts: dict[str, int] = {}
        self._retries = Retries(limits.seed, allowed=limits.retries)
        # What a task came to if the attempt it waits for never comes.
        self._fallback: dict[str, AttemptEnded] = {}
        self._doomed: set[str] = set()  # ordered to end: not tried again
        self._always = frozenset(name for name in plan.tasks if self._outcomes.goes_on(name))

        self._asked: str | None = None  # the task for whose lease we have asked just now
        self._leased: str | None = None  # the task that has its lease and has not started
        self._waits = Waits()
        self._asked_again: set[str] = set()  # groups that an alarm is set for

        self._alarms = Alarms(self._matters)
        self._patience = Alarms(self._matters)
        self._asleep: dict[str, float] = {}  # until when
        self._culprit: str | None = None
        self._stopped: tuple[Cause, str] | None = None
        self._timed_out = self._deadline_struck = False
        self._signal: int | None = None
        self._exit_of_only = 0
        self._ended = False

    # What a live board may ask at any time.

    @property
    def running(self) -> Mapping[str, int]:
        """Task -> attempt under way."""
        return MappingProxyType(self._running)

    @property
    def done(self) -> Mapping[str, Status]:
        """Task -> how it ended."""
        return MappingProxyType(self._done)

    @property
    def waiting(self) -> int:
        """How many tasks have neither started nor ended, or wait for another attempt."""
        return len(self._tasks) - len(self._done) - len(self._running)

    def next_after(self, name: str) -> str | None:
        """The task that is likely to start when this one has succeeded, if nothing else would take
        its slot. A guess for whoever can use the time until then: it decides nothing.
        """
        if self._queue:
            return None
        for dependent, _ in self._dependents.get(name, ()):
            task = self._tasks[dependent]
            if self._open_needs[dependent] == 1 and self._may_come_next(task):
                return dependent
        return None

    def _may_come_next(self, task: Task) -> bool:
        in_phase = self._phase is not None and task.phase == self._phase.name
        return in_phase and not (task.condition or task.concurrency or task.id in self._done)

    # Taking turns.

    def start(self, now: float) -> list[Order]:
        """The first orders of the run."""
        self._begin_run(now)
        return self._turn()

    def handle(self, event: Happening, now: float) -> list[Order]:
        """The orders that follow from this event at this moment."""
        if self._ended:
            return []
        self._now = now
        self._take_in(event)
        return self._turn()

    def _take_in(self, event: Happening) -> None:
        match event:
            case AttemptEnded():
                self._attempt_ended(event)
            case Interrupted(signal, count):
                self._interrupt(signal, force=count > 1)
            case CancelRequested(name):
                if name is not None:  # for the whole run it is followed by an interrupt
                    self._cancel(name)
            case LeaseAnswered(name, owner):
                self._lease_answered(name, owner)
            case LoadSampled():
                self._record(self._gate.sample(event, self._now))
            case Tick():
                pass

    def replay(self, event: Event, at: float) -> list[Order]:
        """Take in what a journal shows, from its first line on, instead of deciding it again.

        What follows from an event is ordered as it was then. But what a clock or a free slot has
        decided is taken from the journal alone, as it depends on when somebody looked. A Tick
        afterwards brings the orders that are outstanding.
        """
        if isinstance(event, RunStarted):
            self._begin_run(at)
        self._now = at
        match event:
            case AttemptStarted(name) if self._is_waiting(name):
                self._asleep.pop(name, None)
                self._queue.claim(name)
                self._start(name)
            case TaskNotRun(name, status, cause, detail) if self._is_waiting(name):
                if cause in _BY_CLOCK:
                    self._give_up_waiting(name, status, cause, detail)
            case RetryDropped(name, _, cause) if name in self._fallback and cause in _BY_CLOCK:
                self._drop_retry(name, cause)
            case PhaseTimedOut() if not self._phase_struck:
                self._time_out_phase()
            case RunTimedOut() if not self._deadline_struck:
                self._time_out_run()
            case ThrottleEntered():
                self._gate.close(at)
            case ThrottleLeft():
                self._gate.open(at)
            case AttemptEnded() | Interrupted() | CancelRequested():
                self._take_in(event)
        self._settle()
        return self._take_orders()

    def was_idle(self, seconds: float, now: float) -> None:
        """Nobody ran the run for so long, up to this moment, and its clock stood still. What counts
        from the start of the run is a time of day all the same, so it comes nearer by that.
        """
        self._started -= seconds
        if self._limits.deadline_s is not None:
            self._alarms.set(self._started + self._limits.deadline_s, "run")
        for name in self._members[self._phase.name] if self._phase is not None else ():
            deadline_s = self._tasks[name].deadline_s
            if deadline_s is not None and name not in self._done:
                self._alarms.set(self._started + deadline_s, "deadline", name)
        for name in tuple(self._asleep):
            if name not in self._attempts:  # it sleeps for its start_after
                self._sleep_until(max(now, self._started + self._tasks[name].start_after_s), name)

    def wake_at(self) -> float | None:
        """The next moment at which a Tick matters; None while only events do."""
        at, or_at = self._alarms.next_at(), self._patience.next_at()
        if at is None or or_at is None:
            return or_at if at is None else at
        return min(at, or_at)

    def _begin_run(self, now: float) -> None:
        self._now = self._started = now
        if self._limits.deadline_s is not None:
            self._alarms.set(now + self._limits.deadline_s, "run")

    def _turn(self) -> list[Order]:
        # Ends come before clocks: what finished in time keeps its outcome even if we look late.
        # Slots come before patience: who can start now has not waited too long.
        self._settle()
        while self._strike_clock(self._alarms):
            self._settle()
        self._fill_slots()
        # Nor who is just being asked for: the answer comes at this same moment.
        while self._asked is None and self._strike_clock(self._patience):
            self._settle()
            self._fill_slots()
        return self._take_orders()

    def _settle(self) -> None:
        while not self._ended and (
            self._stop_fast() or self._cancel_spared() or self._end_finished_phase()
        ):
            pass

    def _take_orders(self) -> list[Order]:
        orders, self._orders = self._orders, []
        return orders

    # Rule 1: ends and retries.

    def _attempt_ended(self, ended: AttemptEnded) -> None:
        name = ended.task
        if self._running.get(name) != ended.attempt:
            return  # a late or doubled report: the first one has decided
        del self._running[name]
        self._alone = False
        self._queue.release(name)
        if self._tasks[name].concurrency:
            self._orders.append(ReleaseLease(name))
        if name == self._limits.only:
            self._exit_of_only = _own_exit(ended)
        if not self._try_again(ended):
            self._conclude(ended)

    def _try_again(self, ended: AttemptEnded) -> bool:
        name, task = ended.task, self._tasks[ended.task]
        if not self._may_start(name) or name in self._doomed or self._is_late(task):
            return False
        self._fallback[name] = ended
        if ended.cause is Cause.RUNNER:
            self._queue.add(name)  # nobody's fault but ours: no retry is spent
            return True
        delay_s = self._retries.spend(task, ended)
        if delay_s is None:
            del self._fallback[name]
            return False
        self._record(RetryScheduled(name, ended.attempt + 1, delay_s))
        self._sleep_until(self._now + delay_s, name)
        return True

    def _is_late(self, task: Task) -> bool:
        return task.deadline_s is not None and self._now >= self._started + task.deadline_s

    def _drop_retry(self, name: str, cause: Cause) -> None:
        ended = self._fallback.pop(name)
        self._leave_line(name)
        self._record(RetryDropped(name, ended.attempt + 1, cause))
        self._conclude(ended)

    def _conclude(self, ended: AttemptEnded) -> None:
        self._note_end(ended.task, ended.status, ended.exit_code)
        self._tell_dependents(deque([ended.task]))

    def _note_end(self, name: str, status: Status, exit_code: int | None) -> None:
        warned = self._tasks[name].tolerates(status, exit_code)
        self._outcomes.note(name, status, warned=warned)
        if self._is_current(name):
            self._left -= 1
            self._phase_ok &= self._is_good(name)
        if self._limits.fail_fast and status in FAILED and not warned:
            self._culprit = self._culprit or name

    def _is_good(self, name: str) -> bool:
        good = self._done[name] in WELL
        return good or name in self._outcomes.warned

    # Rule 2: what ends mean for the dependents.

    def _tell_dependents(self, ended: deque[str]) -> None:
        """Settle whoever these ends decide, near and far; a loop, because chains may be long."""
        while ended:
            for name, need in self._dependents.get(ended.popleft(), ()):
                self._open_needs[name] -= 1
                if name in self._done or not self._is_current(name):
                    continue
                blocks = self._outcomes.of_need(need) and self._outcomes.is_blocked(name)
                if (blocks or not self._open_needs[name]) and self._decide(name):
                    ended.append(name)

    def _decide(self, name: str) -> bool:
        """Queue a task whose needs allow it, or end it without an attempt (then True)."""
        may_start = self._may_start(name)
        if not may_start and not self._outcomes.may_be_blocked(name, but=Status.CANCELLED):
            return False  # it is cancelled like the others
        decision = self._outcomes.decide(name)
        if not may_start and decision.status is not Status.BLOCKED:
            return False  # its condition would have let it run, or skipped it
        self._record(decision.asked)
        if decision.status is not None:
            self._not_run(name, decision.status, decision.cause, decision.detail, decision.needs)
            return True
        may_start_at = self._started + self._tasks[name].start_after_s
        if may_start_at > self._now:
            self._sleep_until(may_start_at, name)
        else:
            self._line_up(name)
        return False

    def _may_start(self, name: str) -> bool:
        """Whether nothing that stopped the run keeps it from its turn."""
        return self._stopped is None or name in self._always

    def _line_up(self, name: str) -> None:
        self._queue.add(name)
        patience_s = self._tasks[name].queue_timeout_s
        if patience_s is not None and name not in self._attempts:
            self._patience.set(self._now + patience_s, "queue", name)

    def _leave_line(self, name: str) -> None:
        self._queue.discard(name)
        self._asleep.pop(name, None)
        self._waits.over(name, self._now)
        self._give_lease_back(name)

    def _not_run(
        self,
        name: str,
        status: Status,
        cause: Cause,
        detail: str,
        needs: Mapping[str, Status] = _NO_NEEDS,
    ) -> None:
        self._note_end(name, status, None)
        warned = name in self._outcomes.warned
        self._orders.append(NotRun(name, status, cause, detail, needs, warned))

    def _give_up_waiting(self, name: str, status: Status, cause: Cause, detail: str) -> None:
        """End one task that has not started, and settle its dependents."""
        self._leave_line(name)
        self._not_run(name, status, cause, detail)
        self._tell_dependents(deque([name]))

    # Rule 3: phases.

    def _is_current(self, name: str) -> bool:
        return self._phase is not None and self._tasks[name].phase == self._phase.name

    def _end_finished_phase(self) -> bool:
        """End the phase if all its tasks have, and begin the next; whether anything changed."""
        if self._left:
            return False
        if self._phase is not None:
            self._orders.append(EndPhase(self._phase.name, self._phase_ok))
            self._all_ok &= self._phase_ok
            if not self._phase_ok:
                self._give_up_later_phases(self._phase.name)
        while self._stopped and self._phases and self._is_over(self._phases[0].name):
            self._phases.popleft()
        if self._phases:
            self._begin(self._phases.popleft())
        else:
            self._ended = True
            self._phase = None
            self._record(self._gate.open(self._now))
            self._orders.append(EndRun(self._exit_code()))
        return True

    def _is_over(self, phase: str) -> bool:
        return all(name in self._done for name in self._members[phase])

    def _begin(self, phase: PlannedPhase) -> None:
        self._phase = phase
        self._phase_struck = False
        self._orders.append(StartPhase(phase.name, phase.timeout_s))
        self._alarms.set(self._now + phase.timeout_s, "phase", phase.name)
        # Some may have ended before their phase began: somebody cancelled them.
        early = [name for name in self._members[phase.name] if name in self._done]
        members = [name for name in self._members[phase.name] if name not in self._done]
        self._left = len(members)
        self._phase_ok = all(map(self._is_good, early))
        ended: deque[str] = deque()
        for name in members:
            deadline_s = self._tasks[name].deadline_s
            if deadline_s is not None:
                self._alarms.set(self._started + deadline_s, "deadline", name)
            decided = not self._open_needs[name] or self._outcomes.is_blocked(name)
            if decided and self._decide(name):
                ended.append(name)
        self._tell_dependents(ended)

    def _give_up_later_phases(self, failed: str) -> None:
        """Whoever needs a failed task is blocked by it; the others never had their turn."""
        self._phase = None
        self._stopped = (Cause.PHASE_FAILED, f"phase '{failed}' failed")
        given_up: deque[str] = deque()
        for phase in self._phases:
            for name in self._members[phase.name]:
                if name in self._done or name in self._always:
                    continue
                given_up.append(name)
                if not self._decide(name):
                    self._not_run(name, Status.CANCELLED, *self._stopped)
        self._tell_dependents(given_up)

    def _exit_code(self) -> int:
        if self._signal is not None:
            return Exit.INTERRUPTED if self._signal == _SIGINT else Exit.TERMINATED
        if self._timed_out:
            return Exit.TIMEOUT
        return Exit.OK if self._all_ok else (self._exit_of_only or Exit.FAILED)

    # Rule 4: clocks.

    def _sleep_until(self, at: float, name: str) -> None:
        self._asleep[name] = at
        self._alarms.set(at, "wake", name)

    def _is_waiting(self, name: str) -> bool:
        return name in self._tasks and name not in self._done and name not in self._running

    def _matters(self, alarm: Alarm) -> bool:
        """Whether there is still somebody to wake or to stop."""
        name = alarm.name
        match alarm.kind:
            case "wake":
                # A replay leaves alarms behind that nobody let strike.
                return self._asleep.get(name) == alarm.at
            case "queue":
                return name in self._queue and name not in self._attempts
            case "lease":
                return True
            case "deadline":
                return name not in self._done and name not in self._doomed
            case "phase":
                current = self._phase is not None and self._phase.name == name
                return current and not self._phase_struck
            case "run":
                return not self._ended and not self._deadline_struck and self._signal is None

    def _strike_clock(self, alarms: Alarms) -> bool:
        alarm = alarms.due(self._now)
        if alarm is None:
            return False
        name = alarm.name
        match alarm.kind:
            case "wake":
                self._asleep.pop(name, None)
                self._line_up(name)
            case "queue":
                patience_s = self._tasks[name].queue_timeout_s
                detail = f"waited {patience_s:g}s for {self._awaited_by(name)}"
                self._give_up_waiting(name, Status.TIMEOUT, Cause.QUEUE_TIMEOUT, detail)
            case "lease":
                self._asked_again.discard(name)
                self._queue.look_again(name)
            case "deadline":
                detail = f"deadline ({self._tasks[name].deadline_s:g}s after the start) passed"
                self._end_one(name, Status.TIMEOUT, Cause.DEADLINE, detail)
            case "phase":
                self._time_out_phase()
            case "run":
                self._time_out_run()
        return True

    def _awaited_by(self, name: str) -> str:
        owner = self._waits.owner(name)
        if owner:
            return f"'{self._tasks[name].concurrency}', held by {owner}"
        lacking = self._queue.waits_for(name)
        return f"'{lacking}'" if lacking else "its turn"

    def _end_one(self, name: str, status: Status, cause: Cause, detail: str) -> None:
        """End one task, whether it runs, waits for a retry or has not started."""
        if name in self._running:
            self._doomed.add(name)
            self._orders.append(KillAttempt(name, self._running[name], cause, force=False))
        elif name in self._fallback:
            self._drop_retry(name, cause)
        else:
            self._give_up_waiting(name, status, cause, detail)

    def _cancel(self, name: str) -> None:
        if name in self._tasks and name not in self._done and name not in self._doomed:
            self._end_one(name, Status.CANCELLED, Cause.CANCEL, "cancelled on request")

    # Rule 5: what stops a run.

    def _stop_fast(self) -> bool:
        if self._culprit is None or self._stopped is not None:
            return False
        status = self._done[self._culprit]
        now = self._limits.fail_fast == "now"
        option = "--fail-fast=now" if now else "--fail-fast"
        detail = f"{option}: '{self._culprit}' ended with status: {status}"
        if now:
            self._kill_running(Cause.FAIL_FAST, force=False)
        self._stop(Cause.FAIL_FAST, detail)
        return True

    def _time_out_phase(self) -> None:
        assert self._phase is not None
        timeout_s = self._phase.timeout_s
        self._orders.append(TimeOutPhase(self._phase.name, timeout_s))
        self._run_out_of_time(Cause.PHASE_TIMEOUT, f"phase timeout ({timeout_s:g}s) exceeded")

    def _time_out_run(self) -> None:
        deadline_s = self._limits.deadline_s or 0
        self._deadline_struck = True
        self._record(RunTimedOut(deadline_s))
        detail = f"deadline of the run ({deadline_s:g}s) passed"
        self._run_out_of_time(Cause.DEADLINE, detail, later_phases=True)

    def _run_out_of_time(self, cause: Cause, detail: str, *, later_phases: bool = False) -> None:
        self._timed_out = self._phase_struck = True
        self._phase_ok = False  # even if what is killed now turns out to have succeeded
        self._kill_running(cause, force=False)
        self._stop(cause, detail, later_phases=later_phases)

    def _interrupt(self, signal: int, *, force: bool) -> None:
        self._signal = self._signal or signal
        self._phase_struck = True
        if force:
            self._always = frozenset()
        self._kill_running(Cause.INTERRUPT, force=force)
        detail = f"interrupted by {_SIGNALS.get(signal, f'signal {signal}')}"
        self._stop(Cause.INTERRUPT, detail, spare=False, later_phases=True)

    def _kill_running(self, cause: Cause, *, force: bool) -> None:
        self._doomed.update(self._running)
        for name, attempt in self._running.items():
            self._orders.append(KillAttempt(name, attempt, cause, force))

    def _stop(
        self, cause: Cause, detail: str, *, spare: bool = True, later_phases: bool = False
    ) -> None:
        """Nothing starts any more but what says `always()`. `spare`: what needs a running task
        waits for the end of that one.
        """
        self._stopped = (cause, detail)
        for name in [name for name in self._fallback if name not in self._always]:
            self._drop_retry(name, cause)
        self._send_home()
        assert self._phase is not None
        self._cancel_waiting(self._phase.name, self._dependents_of_running() if spare else ())
        for phase in self._phases if later_phases else ():
            self._cancel_waiting(phase.name)

    def _send_home(self) -> None:
        """Whoever stands in line leaves it, or waits for nothing any more."""
        if self._always:
            for name in self._members[self._phase.name] if self._phase else ():
                if name not in self._always:
                    self._queue.discard(name)
                    self._asleep.pop(name, None)
        else:
            self._queue.clear()
            self._asleep.clear()
        if self._leased not in self._always:
            self._give_lease_back(self._leased)

    def _cancel_spared(self) -> bool:
        if self._stopped is None or self._phase is None or self._running or not self._left:
            return False
        return self._cancel_waiting(self._phase.name)

    def _cancel_waiting(self, phase: str, spared: Container[str] = ()) -> bool:
        """Cancel what has not started in this phase; whether there was anything."""
        assert self._stopped is not None
        cause, detail = self._stopped
        cancelled: deque[str] = deque()
        for name in self._members[phase]:
            has_ended_or_runs = name in self._done or name in self._running
            if not (has_ended_or_runs or name in spared or name in self._always):
                self._not_run(name, Status.CANCELLED, cause, detail)
                cancelled.append(name)
        self._tell_dependents(cancelled.copy())
        return bool(cancelled)

    def _dependents_of_running(self) -> set[str]:
        """Who would be blocked, near or far, if what runs now failed."""
        found: set[str] = set()
        names = list(self._running)
        while names:
            for name, need in self._dependents.get(names.pop(), ()):
                if name not in found and self._outcomes.is_blockable(name, need):
                    found.add(name)
                    names.append(name)
        return found

    # Rule 6: slots.

    def _fill_slots(self) -> None:
        while self._has_free_slot() and not (self._gate.closed and self._running):
            name = self._queue.take(idle=not self._running)
            if name is None:
                break
            self._start(name)
        self._ask_for_lease()
        waits = self._gate.closed and bool(self._queue) and self._has_free_slot()
        self._gate.keep(waiting=waits, now=self._now)

    def _ask_for_lease(self) -> None:
        self._asked = self._queue.lacks_lease
        if self._asked is not None:
            self._orders.append(AskLease(self._asked, self._tasks[self._asked].concurrency))

    def _lease_answered(self, name: str, owner: str | None) -> None:
        self._asked = None
        group = self._tasks[name].concurrency
        if owner is None:
            self._queue.lease(name)
            self._leased = name
            self._record(LeaseTaken(name, group, self._waits.over(name, self._now)))
            return
        self._queue.step_aside(name)
        if group not in self._asked_again:
            self._asked_again.add(group)
            self._alarms.set(self._now + LEASE_RETRY_S, "lease", group)
        if self._waits.refused(name, owner, self._now):
            self._record(LeaseAwaited(name, group, owner))

    def _give_lease_back(self, name: str | None) -> None:
        if name is not None and name == self._leased:
            self._leased = None
            self._orders.append(ReleaseLease(name))

    def _has_free_slot(self) -> bool:
        return len(self._running) < self._limits.max_jobs and not self._alone

    def _start(self, name: str) -> None:
        attempt = self._attempts.get(name, 0) + 1
        self._attempts[name] = attempt
        self._running[name] = attempt
        self._alone = not self._tasks[name].parallel_safe
        self._fallback.pop(name, None)
        if self._leased == name:
            self._leased = None
        self._orders.append(StartAttempt(name, attempt))

    def _record(self, event: SchedulerEvent | None) -> None:
        if event is not None:
            self._orders.append(Record(event))


def _own_exit(ended: AttemptEnded) -> int:
    """What `zf run-task` exits with: the step's own code where that cannot be mistaken for ours."""
    if ended.status is Status.TIMEOUT:
        return Exit.TIMEOUT
    code = ended.exit_code or 0
    return code if ended.status is Status.FAILURE and 1 <= code <= 123 else Exit.FAILED
