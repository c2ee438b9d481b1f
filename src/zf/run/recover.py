"""A dead run's journal -> what was finished, what is lost, and the orders to go on with.

The scheduler is deterministic, so its state is rebuilt by replaying the events; whatever it orders
that the journal does not show as carried out is what is left to do. Recovery writes to the
journal only what is true at that moment, so it can be killed anywhere and repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zf.events import (
    AttemptEnded,
    AttemptStarted,
    Cause,
    ConditionEvaluated,
    Event,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    Status,
    TaskNotRun,
)
from zf.model import Task
from zf.proof.journal import Line
from zf.redact.redactor import Redactor
from zf.report.timing.clock import elapsed_s
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
    times = elapsed_s(lines)
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
) -> list[Order]:
    """Bring a new scheduler to where the journal ends; the orders not yet carried out there.

    `times` are the lines' moments, and `idle` how long the run had no runner before each. Orders to
    kill and to let go are dropped, as the dead run left nothing to kill and holds nothing.
    """
    orders: dict[_Key, Order] = {}
    for line, at, idle_before in zip(lines, times, idle or [0.0] * len(lines), strict=True):
        if idle_before:
            scheduler.was_idle(idle_before, at)
        orders.update((_key(order), order) for order in scheduler.replay(line.event, at))
        orders.pop(_said(line.event), None)
    orders.update((_key(order), order) for order in scheduler.handle(Tick(), times[-1]))
    return [
        order
        for order in orders.values()
        if not isinstance(order, _OF_THE_DEAD)
        and (not isinstance(order, Extend) or scheduler.is_to_extend(order.base))
    ]


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
