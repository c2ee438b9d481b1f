"""A journal cut anywhere: what is left to do is done, and nothing twice. In simulated time."""

from __future__ import annotations

import inspect
import random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.random_flows import (
    random_events,
    random_limits,
    random_outcomes,
    random_plan,
    scheduler,
)
from tests.support.simulated import Simulation, ended, plan_of, task
from tests.support.simulated_journals import check_once, ends_in, journal_of, runner_died
from zf.events import (
    AttemptPlaced,
    AttemptStarted,
    Cached,
    CacheMissed,
    Cause,
    ConditionEvaluated,
    Event,
    HandlerEnded,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    ResultQuarantined,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    RunSuspended,
    ServiceEnded,
    ServiceStarted,
    Status,
)
from zf.proof.journal import Line
from zf.report.timing.clock import idle_s
from zf.run.recover import (
    _key,
    conditions_answered,
    moments,
    open_attempts,
    outstanding,
    phase_began,
)
from zf.run.schedule.orders import (
    KillAttempt,
    Limits,
    NotRun,
    Order,
    Record,
    StartAttempt,
)
from zf.run.schedule.scheduler import Scheduler


def check_cut(chance: random.Random) -> None:
    plan, limits, outcomes = random_plan(chance), random_limits(chance), random_outcomes(chance)
    first = Simulation(scheduler(plan, limits), outcomes, list(random_events(chance))).run()
    started = RunStarted("r", (), 0, "", "", None, None, None)
    journal = [(0.0, started), *journal_of(first.turns)]
    journal = journal[: chance.randint(1, len(journal))]
    now = journal[-1][0]
    lost = open_attempts(event for _, event in journal)
    journal.append((now, RunResumed(0)))
    journal += [(now, runner_died(attempt)) for attempt in lost]

    events = [event for _, event in journal]
    again = scheduler(plan, limits, conditions_answered(events))
    lines = [Line(0, "", at, event) for at, event in journal]
    orders = outstanding(again, lines, [at for at, _ in journal])
    assert not any(isinstance(order, KillAttempt) for order in orders)

    second = Simulation(again, outcomes, now=now, ends=ends_in(events)).go_on(orders)
    events += [event for _, event in journal_of(second.turns)]
    check_once(events)
    assert set(again.done) == set(plan.tasks)
    assert ends_in(events).items() <= again.done.items()


def test_the_second_wait_for_a_retry_is_not_cut_short_by_the_alarm_of_the_first():
    plan = plan_of(task("a", max_retries=2, retry_delay_s=10))
    events = [
        (0.0, RunStarted("r", (), 0, "", "", None, None, None)),
        (0.0, PhaseStarted("A", 3600)),
        (0.0, AttemptStarted("a", 1, 0)),
        (1.0, ended("a", Status.FAILURE)),
        (1.0, RetryScheduled("a", 2, 10)),
        (11.0, AttemptStarted("a", 2, 0)),
        (12.0, ended("a", Status.FAILURE, attempt=2)),
        (12.0, RetryScheduled("a", 3, 20)),
    ]
    again = scheduler(plan, Limits(max_jobs=1))
    lines = [Line(0, "", at, event) for at, event in events]
    assert outstanding(again, lines, [at for at, _ in events]) == []
    assert 12 + 18 <= again.wake_at() <= 12 + 20


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_a_journal_cut_anywhere_is_finished_without_doing_anything_twice(chance):
    check_cut(chance)


def test_some_hundred_journals_of_every_size():
    for seed in range(400):
        check_cut(random.Random(seed))


@pytest.mark.campaign
def test_campaign_journals_cut_anywhere():
    for seed in range(20_000):
        try:
            check_cut(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


DAY = "2026-11-21T"


def lines_of(*written: tuple[str, float, Event]) -> list[Line]:
    return [
        Line(number, f"{DAY}{wall}.000000Z", mono, event)
        for number, (wall, mono, event) in enumerate(written)
    ]


def resumed_after(mono: float, *before: Event) -> list[Line]:
    """A run that was killed at once and taken up a minute later; `mono` is the clock then."""
    started = RunStarted("r", ("A",), 1, "", "", None, None, None)
    begun = [("10:00:00", 500.0, event) for event in (started, PhaseStarted("A", 3600.0), *before)]
    return lines_of(*begun, ("10:01:00", mono, RunResumed(0)))


REBOOTS = pytest.mark.parametrize("mono", [560.0, 3.0, 9_000.0], ids=["same", "less", "more"])


@REBOOTS
def test_time_without_a_runner_is_known_whatever_the_monotonic_clock_did(mono):
    assert list(idle_s(resumed_after(mono))) == [0.0, 0.0, 60.0]


def test_a_wall_clock_that_was_set_back_counts_for_nothing():
    lines = lines_of(("10:00:00", 500.0, PhaseStarted("A", 1.0)), ("09:00:00", 3.0, RunResumed(0)))
    assert list(idle_s(lines)) == [0.0, 0.0]


def taken_up(lines: list[Line], plan, limits) -> list[Order]:
    scheduler = Scheduler(plan, limits)
    return outstanding(scheduler, lines, moments(lines, 1_000.0), list(idle_s(lines)))


@REBOOTS
def test_what_counts_from_the_start_of_the_run_does_not_begin_anew(mono):
    lines = resumed_after(mono)
    late = taken_up(lines, plan_of(task("a", start_after_s=50)), Limits(4))
    assert StartAttempt("a", 1) in late
    early = taken_up(lines, plan_of(task("a", start_after_s=70)), Limits(4))
    assert StartAttempt("a", 1) not in early
    (order,) = [
        o
        for o in taken_up(lines, plan_of(task("a", deadline_s=50)), Limits(4))
        if isinstance(o, NotRun)
    ]
    assert order.cause is Cause.DEADLINE
    assert StartAttempt("a", 1) in taken_up(lines, plan_of(task("a", deadline_s=70)), Limits(4))
    over = taken_up(lines, plan_of(task("a")), Limits(4, deadline_s=50))
    assert any(isinstance(o, NotRun) and o.cause is Cause.DEADLINE for o in over)
    assert StartAttempt("a", 1) in taken_up(lines, plan_of(task("a")), Limits(4, deadline_s=70))


@REBOOTS
def test_a_phase_began_when_the_journal_says(mono):
    lines = resumed_after(mono)
    assert phase_began(lines, moments(lines, 1_000.0)) == 1_000.0
    lines += lines_of(("10:01:07", mono + 7, PhaseEnded("A", ok=True, duration_s=7)))
    assert phase_began(lines[:-1], moments(lines, 1_000.0)[:-1]) == 993.0
    assert phase_began(lines, moments(lines, 1_000.0)) is None


# What follows from other events, or means nothing to the scheduler: not taken from the journal.
DECIDED_AGAIN = {
    *(RunResumed, RunEnded, PhaseStarted, PhaseEnded),
    *(ConditionEvaluated, RetryScheduled, LeaseAwaited, LeaseTaken),
    *(RunSuspended, HandlerEnded, ServiceStarted, ServiceEnded),
    # The end of the attempt says what came of that.
    *(Cached, CacheMissed),
    # Where an attempt was, and what came after its end, decide nothing.
    *(AttemptPlaced, ResultQuarantined),
}


def test_every_event_is_taken_in_or_decided_again():
    """A new kind of event is a decision to make for `Scheduler.replay`."""
    source = inspect.getsource(Scheduler.replay)
    taken_in = {kind for kind in get_args(Event) if f"{kind.__name__}(" in source}
    assert taken_in == set(get_args(Event)) - DECIDED_AGAIN


@pytest.mark.parametrize("kind", get_args(Event))
def test_what_is_recorded_of_one_task_is_not_taken_for_the_same_of_another(kind):
    one, other = (kind(**dict.fromkeys(kind.__struct_fields__, name)) for name in "ab")
    apart = _key(Record(one)) != _key(Record(other))
    assert apart == bool({"task", "phase", "scope", "base"} & set(kind.__struct_fields__))
