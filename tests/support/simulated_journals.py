"""The events that the engine would write for a simulated run, and what holds of every journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.support.simulated import Turn, ended
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    Cause,
    ConditionEvaluated,
    Event,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    RetryScheduled,
    Status,
    TaskNotRun,
)
from zf.run.schedule.orders import (
    EndPhase,
    Extended,
    NotRun,
    Order,
    Record,
    StartAttempt,
    StartPhase,
    TimeOutPhase,
)

HEARD = AttemptEnded | Interrupted | CancelRequested


def written(order: Order) -> Event | None:
    """What the engine writes down when it has carried out an order."""
    match order:
        case StartAttempt(name, attempt):
            return AttemptStarted(name, attempt, 0)
        case NotRun(name, status, cause, detail, needs):
            return TaskNotRun(name, status, cause, detail, needs, "", "")
        case StartPhase(phase, timeout_s):
            return PhaseStarted(phase, timeout_s)
        case TimeOutPhase(phase, timeout_s):
            return PhaseTimedOut(phase, timeout_s)
        case EndPhase(phase, ok):
            return PhaseEnded(phase, ok, 0)
        case Record(event):
            return event
    return None


def journal_of(turns: Iterable[Turn]) -> Iterator[tuple[float, Event]]:
    for turn in turns:
        if isinstance(turn.event, HEARD):
            yield turn.now, turn.event
        if isinstance(turn.event, Extended):
            yield turn.now, turn.event.event
        for order in turn.orders:
            event = written(order)
            if event is not None:
                # The engine looks at the clock again for each line.
                yield turn.now + 1e-6, event


def check_once(events: Iterable[Event]) -> None:
    """Every task ends once, its attempts are numbered without a gap, and nothing is asked twice."""
    attempts: dict[str, int] = {}
    over: set[str] = set()
    asked: set[str] = set()
    phases: list[str] = []
    for event in events:
        match event:
            case AttemptStarted(name, attempt):
                assert name not in over
                assert attempt == attempts.get(name, 0) + 1
                attempts[name] = attempt
            case AttemptEnded(name, attempt):
                assert name not in over
                assert attempt == attempts[name]
                over.add(name)
                if event.cause is Cause.RUNNER:
                    over.discard(name)
            case RetryScheduled(name):
                over.remove(name)
            case TaskNotRun(name):
                assert name not in over
                assert name not in attempts
                over.add(name)
            case ConditionEvaluated(name):
                assert name not in asked
                asked.add(name)
            case PhaseStarted(phase):
                assert phase not in phases
                phases.append(phase)


def runner_died(attempt: AttemptStarted) -> AttemptEnded:
    return ended(attempt.task, Status.LOST, attempt=attempt.attempt, cause=Cause.RUNNER)


def ends_in(events: Iterable[Event]) -> dict[str, Status]:
    """How tasks ended, but for those that are to be tried again."""
    ends: dict[str, Status] = {}
    for event in events:
        match event:
            case AttemptEnded(name, cause=Cause.RUNNER) | RetryScheduled(name):
                ends.pop(name, None)
            case AttemptEnded(name) | TaskNotRun(name):
                ends[name] = event.status
    return ends
