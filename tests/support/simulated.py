"""A simulated executor and clock for the scheduler, other runs that hold its leases, and small
builders of plans.

Keeps the promises of the real executor: every attempt started ends with one AttemptEnded, a kill
ends it within the grace. What each attempt comes to is drawn from (seed, task, attempt) alone, so
that it does not depend on when it runs. Time is a number that only this file moves.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from zf.events import AttemptEnded, Cause, RetryDropped, RetryScheduled, Status
from zf.model import Need, Step, Task
from zf.plan.graph import Plan, PlannedPhase
from zf.run.schedule.orders import (
    AskLease,
    EndPhase,
    EndRun,
    Extend,
    Extended,
    KillAttempt,
    LeaseAnswered,
    NotExtended,
    NotRun,
    Order,
    Record,
    ReleaseLease,
    StartAttempt,
    StartPhase,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.scheduler import Scheduler

GRACE_S = 2.0
_CAUSE = {
    Status.SUCCESS: Cause.NONE,
    Status.FAILURE: Cause.EXIT,
    Status.TIMEOUT: Cause.TIMEOUT,
    Status.LOST: Cause.WORKER,
    Status.CANCELLED: Cause.INTERRUPT,
}
_NONE = (Status.SKIPPED, "no instances")
_TIMEOUTS = {Cause.PHASE_TIMEOUT, Cause.DEADLINE}


def task(name: str, needs: Iterable[str | Need] = (), **more: Any) -> Task:
    """A task that may run beside others, unless told otherwise."""
    entries = tuple(need if isinstance(need, Need) else Need(need) for need in needs)
    values = {"phase": "A", "steps": (Step("s", ":"),), "parallel_safe": True} | more
    return Task(id=name, needs=entries, **values)


def plan_of(
    *tasks: Task, phase_timeout_s: float | Mapping[str, float] = 3600, checked: bool = True
) -> Plan:
    """The plan of these tasks, given in an order in which needs come first within a phase."""
    phases = sorted({t.phase for t in tasks})
    members = {t.id: t for phase in phases for t in tasks if t.phase == phase}
    level: dict[str, int] = {}
    for t in members.values():
        level[t.id] = 1 + max((level[n.task] for n in t.needs if n.task in members), default=-1)
    chain = dict.fromkeys(members, 1)
    for t in reversed(members.values()):
        for need in t.needs:
            if need.task in members and members[need.task].phase == t.phase:
                chain[need.task] = max(chain[need.task], chain[t.id] + 1)
    limits = phase_timeout_s if isinstance(phase_timeout_s, Mapping) else {}
    default = 3600 if isinstance(phase_timeout_s, Mapping) else phase_timeout_s
    in_order = sorted(members, key=lambda name: (members[name].phase, level[name], name))
    return Plan(
        phases=tuple(PlannedPhase(p, p, float(limits.get(p, default))) for p in phases),
        tasks={name: members[name] for name in in_order},
        level=level,
        chain=chain,
        needs="checked" if checked else "not_checked",
        upstream={},
        dynamic=tuple(name for name in in_order if members[name].matrix_from),
    )


def ended(
    name: str,
    status: Status = Status.SUCCESS,
    *,
    attempt: int = 1,
    exit_code: int | None = None,
    cause: Cause | None = None,
) -> AttemptEnded:
    """The report of an attempt that came to this."""
    if exit_code is None:
        exit_code = {Status.SUCCESS: 0, Status.FAILURE: 1, Status.TIMEOUT: 124}.get(status)
    return AttemptEnded(
        task=name,
        attempt=attempt,
        status=status,
        exit_code=exit_code,
        signal=None,
        cause=_CAUSE[status] if cause is None else cause,
        detail="",
        step=None if status is Status.SUCCESS else 0,
        started_at="",
        completed_at="",
        duration_s=0.0,
        task_sha256="",
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt comes to if nobody kills it."""

    duration_s: float = 1.0
    status: Status = Status.SUCCESS
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what was handed to the scheduler when, and what it answered."""

    now: float
    event: Any
    orders: tuple[Order, ...]


@dataclass(slots=True)
class Simulation:
    """One simulated run; `turns` is the whole story, the other fields what it came to."""

    scheduler: Scheduler
    outcome: Callable[[str, int], Outcome]
    events: Iterable[tuple[float, Any]] = ()
    # Whether another run has this group at this moment.
    is_held: Callable[[str, float], bool] = lambda *_: False
    # Which instances a task has.
    extend: Callable[[str], Extended | NotExtended] = lambda base: NotExtended(base, *_NONE)
    before_order: Callable[[Simulation, Order], None] = lambda *_: None
    after_turn: Callable[[Simulation], None] = lambda _: None
    now: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    latest: int = 0  # from here on, turns are of the latest event and of the answers it led to
    running: dict[str, int] = field(default_factory=dict)
    ends: dict[str, Status] = field(default_factory=dict)
    # What a task that waits for another attempt came to in the one before.
    pending: dict[str, Status] = field(default_factory=dict)
    not_run: dict[str, NotRun] = field(default_factory=dict)
    starts: list[tuple[float, str]] = field(default_factory=list)
    leases: dict[str, str] = field(default_factory=dict)  # group -> the task that has it
    refused: dict[str, float] = field(default_factory=dict)  # group -> when it was another run's
    exit_code: int | None = None
    _agenda: list[tuple[float, int, Any]] = field(default_factory=list)
    _count: int = 0

    def run(self) -> Simulation:
        for at, event in self.events:
            self._plan(at, event)
        return self.go_on(self.scheduler.start(self.now))

    def go_on(self, orders: list[Order]) -> Simulation:
        """From these first orders to the end of the run."""
        self._take(None, orders)
        while self.exit_code is None:
            self._step()
        return self

    def _step(self) -> None:
        wake_at = self.scheduler.wake_at()
        due = self._agenda[0][0] if self._agenda else None
        assert due is not None or wake_at is not None, "the run hangs: nothing can happen any more"
        if due is None or (wake_at is not None and wake_at < due):
            assert wake_at is not None
            self.now = max(self.now, wake_at)
            event: Any = Tick()
        else:
            self.now = due
            event = heappop(self._agenda)[2]
        if isinstance(event, AttemptEnded):
            if self.running.get(event.task) != event.attempt:
                return  # it was killed, and has ended already
            del self.running[event.task]
            self.ends[event.task] = event.status
        self._take(event, self.scheduler.handle(event, self.now))

    def _take(self, event: Any, orders: list[Order]) -> None:
        self.latest = len(self.turns)
        exchanges: deque[tuple[Any, list[Order]]] = deque([(event, orders)])
        bases: deque[str] = deque()
        while exchanges or bases:
            if not exchanges:
                base = bases.popleft()
                if not self.scheduler.is_to_extend(base):
                    continue
                found = self.extend(base)
                exchanges.append((found, self.scheduler.handle(found, self.now)))
            event, orders = exchanges.popleft()
            self.turns.append(Turn(self.now, event, tuple(orders)))
            for order in orders:
                self.before_order(self, order)
                self._carry_out(order)
                if isinstance(order, AskLease):
                    answer = self._answer(order)
                    exchanges.append((answer, self.scheduler.handle(answer, self.now)))
                if isinstance(order, Extend):
                    bases.append(order.base)
        self.after_turn(self)

    def _answer(self, order: AskLease) -> LeaseAnswered:
        """Ask the other runs, and ourselves: a lease is nobody's twice."""
        owner = self.leases.get(order.concurrency)
        if owner is None and self.is_held(order.concurrency, self.now):
            owner = "another run"
        if owner is not None:
            self.refused[order.concurrency] = self.now
        else:
            self.leases[order.concurrency] = order.task
        return LeaseAnswered(order.task, owner)

    def _carry_out(self, order: Order) -> None:
        assert self.exit_code is None, "nothing comes after the end of the run"
        match order:
            case StartAttempt(name, attempt):
                assert name not in self.running, f"{name} is running already"
                assert name not in self.ends, f"{name} has ended already"
                self.running[name] = attempt
                self.pending.pop(name, None)
                self.starts.append((self.now, name))
                drawn = self.outcome(name, attempt)
                report = ended(name, drawn.status, attempt=attempt, exit_code=drawn.exit_code)
                self._plan(self.now + drawn.duration_s, report)
            case KillAttempt(name, attempt, cause, force):
                status = Status.TIMEOUT if cause in _TIMEOUTS else Status.CANCELLED
                report = ended(name, status, attempt=attempt, cause=cause)
                self._plan(self.now + (0 if force else GRACE_S), report)
            case NotRun(name):
                assert name not in self.ends, f"{name} has ended already"
                self.not_run[name] = order
                self.ends[name] = order.status
            case ReleaseLease(name):
                self.leases = {g: held for g, held in self.leases.items() if held != name}
            case EndRun(code):
                self.exit_code = code
            case Record(RetryScheduled(name)):
                self.pending[name] = self.ends.pop(name)
            case Record(RetryDropped(name)) if name in self.pending:
                self.ends[name] = self.pending.pop(name)
            case Record() | AskLease() | Extend() | StartPhase() | EndPhase() | TimeOutPhase():
                pass

    def _plan(self, at: float, event: Any) -> None:
        self._count += 1
        heappush(self._agenda, (at, self._count, event))


def drawn(seed: object, name: str, attempt: int) -> random.Random:
    """Chance that depends on the attempt alone, not on when it runs."""
    return random.Random(hashlib.sha256(f"{seed}/{name}/{attempt}".encode()).digest())
