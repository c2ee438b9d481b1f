"""Decides: (state, event, now) -> orders. Every policy of a run lives in this package.

It reads no clock, file or process: time is a value, and an order counts as carried out when given.
The rules, in the order they are applied at each turn:

1. What happened is taken in. An attempt that failed is tried again while its task has retries; else
   the task has ended, tolerated or not, and its dependents are told (`tasks.py`).
2. What an end means for the dependents (`outcomes.py`): a need that did not succeed blocks at once
   and through any number of tasks; a skipped one skips, once the other needs are known; a condition
   is asked when all needs have ended.
3. Phases run strictly one after the other (`phases.py`). The first that fails ends the run: nothing
   of the later ones starts, but for rule 7. A run that is to keep going gives up only those phases
   that need it.
4. The clock strikes (`clock.py`): deadlines, waits that were too long, waits that are over.
5. Whatever stops a run (fail-fast, a phase timeout, the run's deadline, an interrupt) cancels every
   task that has not started, and nothing starts afterwards (`stops.py`). Only those that need a
   running task are cancelled later, when it has ended: it may yet fail, and then they are blocked
   by it. All but a plain fail-fast end what runs, too. So does the budget of a phase or of the run
   (`budgets.py`); that of a task ends the task alone.
6. Free slots are filled, by priority, resources, leases and load (`slots.py`).

7. A task whose condition calls `always()` has its turn although the run was stopped, in later
   phases too. Only a second interrupt keeps it from that.

This module has the turns and what concerns the run as a whole: rules 3, 4 and 7.
Each event costs O(log n) and the dependents it concerns; only stopping looks at every task, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from zf.errors import Exit
from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptEnded,
    AttemptStarted,
    BudgetWarned,
    CancelRequested,
    Cause,
    ConditionEvaluated,
    Event,
    ExecutorDrained,
    HandlerClaimed,
    Interrupted,
    PhaseTimedOut,
    PlanExtended,
    Probe,
    RetryDropped,
    RunStarted,
    RunTimedOut,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.records import replace
from zf.metrics.budget import Spent
from zf.model import NOTHING, Task
from zf.plan.graph import Plan
from zf.run.gates.handling import Handling
from zf.run.schedule import gates
from zf.run.schedule.alarms import Alarms
from zf.run.schedule.clock import Alarm, Clock
from zf.run.schedule.exits import Exits
from zf.run.schedule.orders import (
    AskApproval,
    EndPhase,
    EndRun,
    Extended,
    LeaseAnswered,
    Limits,
    LoadSampled,
    NotAsked,
    NotExtended,
    Order,
    OutputsRead,
    Record,
    StartPhase,
    Suspend,
    Tick,
)
from zf.run.schedule.outcomes import Decision, Outcomes
from zf.run.schedule.phases import Phases
from zf.run.schedule.ready import impossible
from zf.run.schedule.stops import Stops
from zf.run.schedule.tasks import Tasks

if TYPE_CHECKING:
    from zf.plan.conditions.verdict import ConditionContext

Answer = LeaseAnswered | Extended | NotExtended | ApprovalAsked | NotAsked
Asked = CancelRequested | ExecutorDrained
Happening = (
    AttemptEnded | Probe | Interrupted | Asked | Spent | Answer | gates.Reply | Tick | LoadSampled
)

# What a clock has decided, another run, or an output: a journal shows what it came to.
_OUTSIDE = frozenset(
    {
        *(Cause.DEADLINE, Cause.QUEUE_TIMEOUT, Cause.APPROVAL_TIMEOUT),
        *(Cause.SUPERSEDED, Cause.INSTANCES),
    }
)
_ON_REQUEST = Decision(Status.CANCELLED, Cause.CANCEL, "cancelled on request")


class Scheduler:
    """The state of one run. `start` once, then `handle` each event; both answer with orders.
    `running` is task -> attempt under way, `placed` task -> executor, `done` task -> how it ended.

    `contexts` are what conditions may refer to, by task; `decided` are the answers a resumed run
    has from before. Raises ValueError if a task asks for more than there is.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        contexts: Mapping[str, ConditionContext] = NOTHING,
        decided: Mapping[str, ConditionEvaluated] = NOTHING,
    ) -> None:
        too_much = next(impossible(plan.tasks, limits.resources, limits.executor), None)
        if too_much is not None:
            raise ValueError(f"task {too_much[0]!r} asks for more {too_much[1]!r} than there is")
        if plan.dynamic:
            plan = replace(plan, tasks={**plan.tasks})  # others will join them
        self._plan = plan
        self._limits = limits
        self._orders: list[Order] = []
        self._order = self._orders.append
        self._clock = Clock(self._matters)
        self._phases = Phases(plan)
        self._outcomes = Outcomes(plan, contexts, decided)
        self._tasks = Tasks(plan, limits, self._outcomes, self._phases, self._clock, self._order)
        self._slots = self._tasks.slots
        self._budgets = self._tasks.budgets
        self.running: Mapping[str, int] = self._slots.running
        self.done: Mapping[str, Status] = self._tasks.done
        self._executors = self._slots.executors
        self.executors: Collection[str] = limits.executors
        self.placed: Mapping[str, str] = self._executors.placed if self._executors else NOTHING
        self._stops = Stops(limits, self._phases, self._tasks, self._order)
        rest = self._clock, self._phases, self._tasks, self._stops
        self._alarms = Alarms(plan.tasks, *rest)
        self._handling = Handling(*rest)
        self._exits = Exits(plan.tasks, limits.only)
        self._ended = False
        # Of a run that is given up: the handlers that are still to begin, each with what it is for.
        self._owed: deque[tuple[str, str]] | None = None

    def guess_next(self, name: str) -> str | None:
        """The task that is likely to start when this one has succeeded, if nothing else would take
        its slot. A guess for what can be prepared until then: it decides nothing.
        """
        if self._slots.queue or self._plan.tasks[name].repeat:
            return None
        for dependent in self._outcomes.waiting_only_for(name):
            task = self._plan.tasks[dependent]
            unknown = task.condition or task.concurrency or task.env_from or task.matrix_from
            is_plain = not (unknown or task.approval or dependent in self.done)
            if self._executors is not None and self._executors.is_elsewhere(task):
                continue
            if is_plain and task.phase == self._phases.name:
                return dependent
        return None

    def asks_for_outputs(self, ended: AttemptEnded) -> bool:
        """Whether a condition depends on what the attempt handed on: if so, `take_outputs` comes
        before the end is handled.
        """
        return bool(ended.outputs_sha256) and self.asks_for_outputs_of(ended.task)

    def asks_for_outputs_of(self, name: str) -> bool:
        """Whether a condition depends on what this task hands on."""
        return self._outcomes.asks_for_outputs_of(name)

    def take_outputs(self, read: OutputsRead) -> None:
        """Take in what a task handed on, which orders nothing by itself."""
        self._outcomes.take_outputs(read.task, read.values)

    # Taking turns.

    def start(self, now: float) -> list[Order]:
        """The first orders of the run."""
        self._clock.now = now
        self._count_from(now)
        return self._turn()

    def handle(self, event: Happening, now: float) -> list[Order]:
        """The orders that follow from this event at this moment."""
        if self._ended:
            return []
        self._clock.now = now
        self._take_in(event)
        return self._turn()

    def _take_in(self, event: Happening) -> None:
        match event:
            case AttemptEnded():
                if self._slots.end(event):
                    self._exits.take_in(event)
                    strained = self._budgets.end(event) if self._budgets.is_any else ()
                    self._tasks.attempt_ended(event)
                    self._strain(strained)
            case Probe(name, attempt):
                if self._slots.running.get(name) == attempt:
                    self._tasks.probed(event)
            case Spent(name, attempt):
                if self._slots.attempt_of(name) == attempt:
                    self._strain(self._budgets.spend(event))
            case Interrupted(signal, count):
                self._stops.interrupt(signal, force=count > 1)
            case CancelRequested(name, by):  # for the whole run it is followed by an interrupt
                if name is not None and self._tasks.is_endable(name, by):
                    self._tasks.end(name, self._superseded(name, by) if by else _ON_REQUEST)
            case ExecutorDrained(executor):
                self._slots.queue.drain(executor)
            case LeaseAnswered(name, _, newer) if newer:
                self._slots.asked = None
                self._tasks.end(name, self._superseded(name, newer))
            case LeaseAnswered():
                self._slots.answered(event)
            case Extended(joined, contexts):
                self._extend(joined, contexts)
            case NotExtended(name, status, detail):
                self._tasks.give_up_waiting(name, Decision(status, Cause.INSTANCES, detail))
            case ApprovalAsked() | NotAsked() | ApprovalGiven() | ApprovalRefused():
                gates.take_in(self._tasks, event)
            case LoadSampled():
                self._record(self._slots.gate.sample(event, self._clock.now))
            case Tick():
                pass

    def replay(self, event: Event, at: float) -> list[Order]:
        """Take in what a journal shows, from its first line on, instead of deciding it again.

        What follows from an event is ordered as it was then. But what a clock or a free slot has
        decided is taken from the journal alone, as it depends on when the scheduler was called. A
        Tick afterwards brings the orders that are outstanding.
        """
        self._clock.now = at
        tasks = self._tasks
        match event:
            case RunStarted():
                self._count_from(at)
            case AttemptStarted(name) if tasks.is_waiting(name):
                self._clock.asleep.pop(name, None)
                self._slots.queue.claim(name)
                tasks.start(name)
            case TaskNotRun(name, status, cause, detail) if cause in _OUTSIDE:
                if tasks.is_waiting(name):
                    tasks.give_up_waiting(name, Decision(status, cause, detail))
            case RetryDropped(name, _, cause) if cause in _OUTSIDE:
                tasks.drop_retry(name, cause)
            case PhaseTimedOut() if not self._phases.struck:
                self._stops.time_out_phase()
            case RunTimedOut() if not self._stops.run_struck:
                self._stops.time_out_run()
            case BudgetWarned(over=over) if self._budgets.remember(event):
                if over:
                    self._stops.over_budget(event)
            case PlanExtended():
                self._extend(event)
            case ThrottleEntered():
                self._slots.gate.close(at)
            case ThrottleLeft():
                self._slots.gate.open(at)
            case ApprovalAsked() | ApprovalGiven() | ApprovalRefused():
                gates.take_in(tasks, event)
            case Probe(name, attempt) if self._slots.attempt_of(name) == attempt:
                self._slots.monitors.rise(name)
                self._slots.running[name] = attempt
                self._tasks.probed(event)
            case HandlerClaimed():
                tasks.handlers.remember(event)
            case AttemptEnded() | Interrupted() | CancelRequested() | ExecutorDrained():
                self._take_in(event)
        self._settle()
        return self._take_orders()

    def give_up(self, now: float) -> list[Order]:
        """The orders of a run that is not to go on, but for the handlers that it owes."""
        self._clock.now = now
        self._handling.give_up()
        phases = [self._phases.name or "", *self._phases.to_come]
        self._alarms.given_up = True
        self._owed = deque(self._tasks.handlers.owed(phases, self.done))
        return self._turn()

    def _extend(
        self, joined: PlanExtended, contexts: Mapping[str, ConditionContext] = NOTHING
    ) -> None:
        """Put the instances that joined the plan into the place of their base."""
        if self.is_to_extend(joined.base):
            from zf.plan.matrix.dynamic import join  # noqa: PLC0415 - few plans grow

            tasks = join(cast("dict[str, Task]", self._plan.tasks), joined.base, joined.instances)
            self._tasks.extend(joined.base, tasks, contexts)

    def is_to_extend(self, base: str) -> bool:
        """Whether the instances of this task are still to join the plan."""
        return self._tasks.is_waiting(base) and bool(self._plan.tasks[base].matrix_from)

    def was_idle(self, seconds: float, now: float) -> None:
        """For so long, up to this moment, the run had no runner, and its clock stood still. What
        counts from the start of the run is a time of day all the same, so it comes nearer by that.
        """
        clock = self._clock
        self._tasks.gates.was_idle(seconds)
        self._count_from(clock.started - seconds)
        for name in self._phases.members(self._phases.name):
            if name not in self.done:
                clock.set_deadline(self._plan.tasks[name])
        for name in tuple(clock.asleep):
            if not self._slots.has_begun(name):  # it sleeps for its start_after
                start_after_s = self._plan.tasks[name].start_after_s
                clock.sleep_until(max(now, clock.started + start_after_s), name)

    def is_to_ask(self, order: AskApproval) -> bool:
        """Whether approval of this attempt is still to be asked for."""
        return self._tasks.gates.is_to_ask(order.task, order.attempt)

    def wake_at(self) -> float | None:
        """The next moment at which a Tick matters; None while only events do."""
        return self._clock.next_at()

    def _count_from(self, started: float) -> None:
        self._clock.started = started
        if self._limits.deadline_s is not None:
            self._clock.set(started + self._limits.deadline_s, "run")

    def _turn(self) -> list[Order]:
        # Ends come before clocks: what finished in time keeps its outcome even if we look late.
        # Slots come before patience: what can start now has not waited too long.
        self._settle()
        while alarm := self._clock.due(self._clock.alarms):
            self._alarms.strike(alarm)
            self._settle()
        if self._stops.leave_drained():
            self._settle()
        self._tasks.fill_slots()
        # Nor has what was asked for just now: the answer comes at this same moment.
        while self._slots.asked is None and (alarm := self._clock.due(self._clock.patience)):
            self._alarms.strike(alarm)
            self._settle()
            self._tasks.fill_slots()
        self._suspend()
        return self._take_orders()

    def _suspend(self) -> None:
        """Leave the run as it is, where that is wanted, once it could only wait for approval."""
        if self._limits.on_approval == "wait" or self._ended:
            return
        slots, tasks = self._slots, self._tasks
        if self.running or slots.monitors.resting or slots.queue:
            return
        if self._clock.asleep or tasks.extending:
            return
        if waiting := tasks.gates.waiting():
            self._ended = self._alarms.ended = True
            self._order(Suspend(waiting))

    def _settle(self) -> None:
        tasks = self._tasks
        if self._owed is not None:
            self._settle_owed(self._owed)
            return
        while not self._ended:
            if tasks.stopped is None:
                if tasks.first_failed and self._limits.fail_fast:
                    self._stops.fail_fast(tasks.first_failed)
            elif not self._slots.under_way:
                tasks.cancel_waiting(self._phases.name)  # those that were spared
            if not self._phases.is_over:
                if not (tasks.handlers.names and self._handling.begin_next()):
                    break
                continue
            self._end_phase()

    def _settle_owed(self, owed: deque[tuple[str, str]]) -> None:
        while not (self._slots.under_way or self._slots.queue or self._clock.asleep):
            if not owed:
                self._order(EndRun(Exit.FAILED))
                self._ended = self._alarms.ended = True
                return
            self._handling.begin_owed(*owed.popleft())

    def _take_orders(self) -> list[Order]:
        orders = self._orders.copy()
        self._orders.clear()
        return orders

    def _matters(self, alarm: Alarm) -> bool:
        return self._alarms.matters(alarm)

    # Rule 3: phases.

    def _end_phase(self) -> None:
        """End the phase, as all its tasks have, and begin the next."""
        ended = self._phases.name
        if ended is not None:
            ok = self._phases.end()
            self._order(EndPhase(ended, ok))
            if not ok:
                self._stops.phase_ended()
                self._tasks.give_up_later_phases(ended, keep_going=self._limits.keep_going)
        phase = self._phases.begin_next(with_work=self._tasks.stopped is not None)
        if phase is not None:
            self._order(StartPhase(phase, self._phases.timeout_s))
            self._clock.set(self._clock.now + self._phases.timeout_s, "phase", phase)
            self._slots.begin_phase(self._phases.max_jobs)
            self._tasks.handlers.ended = None
            self._tasks.begin_phase()
        else:
            self._ended = self._alarms.ended = True
            self._record(self._slots.gate.open(self._clock.now))
            ok, late, signal = self._phases.all_ok, self._stops.late, self._stops.signal
            self._order(EndRun(self._exits.of_run(self.done, signal, late=late, ok=ok)))

    def _strain(self, strained: Iterable[BudgetWarned]) -> None:
        """Say which budgets are near their end, and stop what is over its own."""
        for one in strained:
            self._record(one)
            if one.over:
                self._stops.over_budget(one)

    def _superseded(self, name: str, by: str) -> Decision:
        group = self._plan.tasks[name].concurrency
        told = f"{by}, which is newer, " + (f"wants '{group}'" if group else "runs it again")
        return Decision(Status.CANCELLED, Cause.SUPERSEDED, told)

    def _record(self, event: Event | None) -> None:
        if event is not None:
            self._order(Record(event))
