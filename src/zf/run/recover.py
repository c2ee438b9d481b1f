"""A dead run's journal -> what was finished, what is lost, and the orders to go on with.

The scheduler is deterministic, so its state is rebuilt by replaying the events; whatever it orders
that the journal does not show as carried out is what is left to do. Recovery writes to the
journal only what is true at that moment, so it can be killed anywhere and repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zf.errors import Exit, ZfError
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    Cause,
    ConditionEvaluated,
    Event,
    HandlerEnded,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.model import Task
from zf.proof.journal import Journal, JournalReading, Line
from zf.proof.layout import JOURNAL, PLAN, RUN
from zf.proof.read import run_json
from zf.redact.redactor import Redactor
from zf.report.timing.clock import elapsed_s
from zf.run.recorder import Recorder
from zf.run.request import RunRequest
from zf.run.schedule.orders import (
    ConcludeAttempt,
    EndPhase,
    Extend,
    KillAttempt,
    NotRun,
    Order,
    Record,
    ReleaseLease,
    RestAttempt,
    StartAttempt,
    StartPhase,
    StartProbe,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.scheduler import Scheduler
from zf.work.artifacts import Briefly
from zf.work.outcome import Outcome


def verified_journal(request: RunRequest) -> tuple[Journal, JournalReading]:
    """The journal to go on with, and what it says; of a run whose proof is intact."""
    from zf.run.upstream import refuse_unless_intact  # noqa: PLC0415 - no new run needs it

    found = refuse_unless_intact(request.run_dir, request.run)
    journal, reading = Journal.reopen(f"{request.run_dir}/{JOURNAL}")
    started = reading.events[0]
    assert isinstance(started, RunStarted)  # its proof is intact
    then = {RUN: started.run_sha256, PLAN: started.plan_sha256}
    if reading.head != found.result["head"] or then != request.papers:
        raise ZfError(
            f"the proof of run {request.run!r} changed while it was looked at",
            exit_code=Exit.FAILED,
            code="ZF140",
            hint=f"zf verify {request.run} says what is wrong with it",
        )
    return journal, reading


def answered_meanwhile(
    request: RunRequest,
    journal: Journal,
    reading: JournalReading,
    tasks: Mapping[str, Task],
    recorder: Recorder,
) -> None:
    """Take in what was answered while the run had no runner, before any time is up that the
    answer came in.
    """
    from zf.proof import abandoned  # noqa: PLC0415 - no new run needs it
    from zf.run.gates import box as gates  # noqa: PLC0415 - as below
    from zf.run.gates.gate import opened  # noqa: PLC0415 - few runs have anything to approve

    begun, lines = reading.events[0], journal.read_back().lines
    assert isinstance(begun, RunStarted)  # its proof is intact
    gate = opened(request, run_json(request.run_dir), begun, tasks, lines)
    gate.also_in(request.run_dir)
    for event, _ in gate.look():
        if event is not None:
            gate.take(event, "")
            recorder.record(event)
    recorder.commit()
    abandoned.drop_answers(request.run_dir)
    gates.clear(request.flow.proofs, request.run)


def outcome(
    run: str,
    run_dir: str,
    task: Task,
    started: AttemptStarted,
    redactor: Redactor,
    before: str = "",
) -> AttemptEnded:
    """The terminal event of an attempt whose runner died: `lost`, written and claimed like any
    other. What its worker may have claimed is on no record, so anything could have written
    it. `before` is the `task_sha256` of the attempt before it.
    """
    lost = Outcome(redactor.task(task), started.attempt)
    lost.fail(Cause.RUNNER, "the runner died while it ran", status=Status.LOST)
    return lost.write_abandoned_status(run_dir, run, redactor, before, Briefly())


def open_attempts(events: Iterable[Event]) -> list[AttemptStarted]:
    """The attempts that began and have no terminal event."""
    under_way: dict[str, AttemptStarted] = {}
    for event in events:
        if isinstance(event, AttemptStarted):
            under_way[event.task] = event
        elif isinstance(event, AttemptEnded):
            under_way.pop(event.task, None)
    return list(under_way.values())


def conditions_answered(events: Iterable[Event]) -> dict[str, ConditionEvaluated]:
    """The conditions that were decided before: they are not asked again."""
    return {e.task: e for e in events if isinstance(e, ConditionEvaluated)}


def moments(lines: Sequence[Line], now: float) -> list[float]:
    """When each line was written, on a clock that stood still while the run had no runner, and on
    which the last line was written `now`.
    """
    times = list(elapsed_s(lines))
    return [now - times[-1] + at for at in times]


def phase_began(lines: Sequence[Line], times: Sequence[float]) -> float | None:
    """The moment at which the phase under way began; None between phases."""
    began = None
    for line, at in zip(lines, times, strict=True):
        if isinstance(line.event, PhaseStarted):
            began = at
        elif isinstance(line.event, PhaseEnded):
            began = None
    return began


def outstanding(
    scheduler: Scheduler,
    lines: Sequence[Line],
    times: Sequence[float],
    idle: Sequence[float] = (),
    *,
    is_given_up: bool = False,
) -> list[Order]:
    """Bring a new scheduler to where the journal ends; the orders not yet carried out there.

    `times` are the lines' moments, and `idle` how long the run had no runner before each. Orders to
    kill and to let go are dropped, as the dead run left nothing to kill and holds nothing. Of a run
    that `is_given_up` only the handlers that it owes are left.
    """
    orders: dict[_Key, Order] = {}
    for line, at, idle_before in zip(lines, times, idle or [0.0] * len(lines), strict=True):
        if idle_before:
            scheduler.was_idle(idle_before, at)
        orders.update((_key(order), order) for order in scheduler.replay(line.event, at))
        orders.pop(_said(line.event), None)
    if is_given_up:
        ended = [o for o in orders.values() if isinstance(o, Record) and _is_end(o.event)]
        return ended + scheduler.give_up(times[-1])
    orders.update((_key(order), order) for order in scheduler.handle(Tick(), times[-1]))
    return [
        order
        for order in orders.values()
        if not isinstance(order, _OF_THE_DEAD)
        and (not isinstance(order, Extend) or scheduler.is_to_extend(order.base))
    ]


def _is_end(event: Event) -> bool:
    return isinstance(event, HandlerEnded)


# What was to become of attempts that no runner has any more.
_OF_THE_DEAD = KillAttempt | ReleaseLease | RestAttempt | StartProbe | ConcludeAttempt
# The event that says of an order that it was carried out; what is to be recorded says it itself.
_SAID_BY: Mapping[type[Order], type[Event]] = {
    StartAttempt: AttemptStarted,
    NotRun: TaskNotRun,
    StartPhase: PhaseStarted,
    TimeOutPhase: PhaseTimedOut,
    EndPhase: PhaseEnded,
    Extend: PlanExtended,
}
_ABOUT = ("task", "attempt", "phase", "scope", "name", "metric", "over", "base")
_Key = tuple[object, ...]


def _key(order: Order) -> _Key:
    """What an order and the event that says it was carried out have in common."""
    if isinstance(order, Record):
        return _said(order.event)
    return _about(_SAID_BY.get(type(order), type(order)), order)


def _said(event: Event) -> _Key:
    return _about(type(event), event)


def _about(kind: type, one: Order | Event) -> _Key:
    return (kind, *(getattr(one, name, None) for name in _ABOUT))
