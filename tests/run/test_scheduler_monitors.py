"""Monitors in the scheduler, time moved by hand: who has a slot when, and what ends them."""

from __future__ import annotations

from tests.support.simulated import ended, plan_of, task
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    Cause,
    Interrupted,
    PhaseStarted,
    Probe,
    Probed,
    RunStarted,
    Status,
)
from zf.run.schedule.orders import (
    ConcludeAttempt,
    EndPhase,
    EndRun,
    KillAttempt,
    Limits,
    Record,
    RestAttempt,
    StartAttempt,
    StartPhase,
    StartProbe,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.scheduler import Scheduler

GOOD, BAD = Probed.GOOD, Probed.BAD


def monitor(name="m", needs=(), **more):
    said = {"until": "success", "interval_sec": 10.0, "probe_timeout_sec": 5.0, "limit": 3}
    said |= more.pop("repeat", {})
    return task(name, needs, **{"timeout_s": 1000, "repeat": said, "priority": 9} | more)


def probe(number, result, name="m", attempt=1):
    return Probe(name, attempt, number, 0 if result is GOOD else 1, 5, "", result)


def begun(*tasks, jobs=1, **limits):
    s = Scheduler(
        plan_of(*tasks, phase_timeout_s=limits.pop("phase", 3600)), Limits(jobs, **limits)
    )
    return s, s.start(0)


def test_the_slot_is_free_between_probes_and_taken_again_for_each():
    s, orders = begun(monitor(), task("other"))
    assert orders == [StartPhase("A", 3600), StartAttempt("m", 1)]
    # The other gets the slot while the monitor waits.
    assert s.handle(probe(1, BAD), 1) == [RestAttempt("m"), StartAttempt("other", 1)]
    assert s.wake_at() == 11
    # It is due, and waits for a slot: nothing is killed for it.
    assert s.handle(Tick(), 11) == []
    assert s.handle(ended("other"), 20) == [StartProbe("m", 1)]
    assert s.handle(probe(2, GOOD), 21) == [ConcludeAttempt("m", 1)]
    # Its end still has the slot.
    assert s.running == {"m": 1}
    assert s.handle(ended("m"), 22) == [EndPhase("A", ok=True), EndRun(0)]


def test_a_probe_that_is_due_comes_before_tasks_that_have_not_started():
    s, _ = begun(monitor(), task("a"), task("b", ["a"]))
    s.handle(probe(1, BAD), 1)
    s.handle(Tick(), 11)
    assert s.handle(ended("a"), 12) == [StartProbe("m", 1)]
    assert s.handle(probe(2, BAD), 13) == [RestAttempt("m"), StartAttempt("b", 1)]


def test_one_that_must_run_alone_is_probed_alone_and_keeps_no_other_from_running_between():
    s, orders = begun(monitor(parallel_safe=False), task("a"), task("b"), jobs=4)
    assert orders[1:] == [StartAttempt("m", 1)]
    assert s.handle(probe(1, BAD), 1)[1:] == [StartAttempt("a", 1), StartAttempt("b", 1)]
    assert s.handle(Tick(), 11) == []
    assert s.handle(ended("a"), 12) == []
    assert s.handle(ended("b"), 13) == [StartProbe("m", 1)]


def test_too_many_probes_are_a_failure_which_is_tried_again_as_any_other():
    s, _ = begun(monitor(max_retries=1, repeat={"limit": 1}))
    last = ConcludeAttempt("m", 1, Cause.REPEAT_LIMIT, "not good after 1 probe")
    assert s.handle(probe(1, BAD), 1) == [last]
    orders = s.handle(ended("m", Status.FAILURE, cause=Cause.REPEAT_LIMIT), 2)
    assert StartAttempt("m", 2) in orders
    # Its probes count anew.
    assert s.handle(probe(1, BAD, attempt=2), 3) == [ConcludeAttempt("m", 2, *vars_of(last))]


def vars_of(order):
    return order.cause, order.detail


def test_a_watch_ends_at_its_time_and_is_failed_by_bad_ones_in_a_row():
    watch = {"for_sec": 25.0, "fail_after": 2, "limit": 100}
    s, _ = begun(monitor(repeat=watch))
    assert s.handle(probe(1, GOOD), 1) == [RestAttempt("m")]
    assert s.handle(Tick(), 11) == [StartProbe("m", 1)]
    s.handle(probe(2, BAD), 12)
    assert s.wake_at() == 22
    s.handle(Tick(), 22)
    s.handle(probe(3, GOOD), 23)
    assert s.wake_at() == 25
    s.handle(Tick(), 25)
    assert s.handle(probe(4, GOOD), 26) == [ConcludeAttempt("m", 1)]
    s, _ = begun(monitor(repeat=watch))
    s.handle(probe(1, BAD), 1)
    s.handle(Tick(), 11)
    told = "2 probes were bad in a row"
    assert s.handle(probe(2, BAD), 12) == [ConcludeAttempt("m", 1, Cause.BAD_PROBES, told)]


def killed(cause, *, force=False, detail=""):
    return KillAttempt("m", 1, cause, force, detail)


def test_what_ends_it_while_it_rests():
    for event, cause in (
        (Interrupted(2, 1), Cause.INTERRUPT),
        (CancelRequested("m"), Cause.CANCEL),
    ):
        s, _ = begun(monitor(), task("after", ["m"]))
        s.handle(probe(1, BAD), 1)
        assert killed(cause) in s.handle(event, 5)
        # There is no other probe, and no other attempt.
        assert s.handle(Tick(), 50) == []
        orders = s.handle(ended("m", Status.CANCELLED, cause=cause), 51)
        assert isinstance(orders[-1], EndRun)


def test_a_phase_that_is_out_of_time_ends_one_that_rests():
    s, _ = begun(monitor(), phase=5)
    s.handle(probe(1, BAD), 1)
    assert s.wake_at() == 5
    assert s.handle(Tick(), 5) == [TimeOutPhase("A", 5), killed(Cause.PHASE_TIMEOUT)]
    orders = s.handle(ended("m", Status.TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6)
    assert orders == [EndPhase("A", ok=False), EndRun(124)]


def test_the_time_of_the_whole_is_up_while_it_rests_or_is_probed():
    s, _ = begun(monitor(timeout_s=15, repeat={"limit": 9}))
    s.handle(probe(1, BAD), 1)
    s.handle(Tick(), 11)
    assert s.wake_at() == 15
    assert s.handle(Tick(), 15) == [killed(Cause.TIMEOUT)]
    # What its last probe came to does not count any more.
    assert s.handle(probe(2, GOOD), 15.5) == []
    assert s.handle(ended("m", Status.TIMEOUT), 16)[-1] == EndRun(1)


def test_fail_fast_lets_it_go_on_as_it_does_what_runs():
    s, _ = begun(monitor(), task("bad"), task("later", ["bad"]), fail_fast=True)
    s.handle(probe(1, BAD), 1)
    orders = s.handle(ended("bad", Status.FAILURE), 2)
    assert not any(isinstance(order, KillAttempt | EndRun) for order in orders)
    assert s.handle(Tick(), 11) == [StartProbe("m", 1)]
    assert s.handle(probe(2, GOOD), 12) == [ConcludeAttempt("m", 1)]


def test_a_runner_that_dies_costs_no_probe_and_begins_no_new_series():
    s = Scheduler(plan_of(monitor()), Limits(1))
    journal = [
        (RunStarted("r", ("A",), 1, "", "", None, None, None), 0),
        (PhaseStarted("A", 3600), 0),
        (AttemptStarted("m", 1, 0), 0),
        (probe(1, BAD), 1),
        (probe(2, BAD), 12),
        (lost(), 13),
    ]
    for event, at in journal:
        s.replay(event, at)
    assert s.handle(Tick(), 14) == [StartAttempt("m", 2)]
    # The third of three.
    told = "not good after 3 probes"
    last = ConcludeAttempt("m", 2, Cause.REPEAT_LIMIT, told)
    assert s.handle(probe(1, BAD, attempt=2), 15) == [last]


def lost() -> AttemptEnded:
    return ended("m", Status.LOST, cause=Cause.RUNNER)


def test_a_retry_that_waits_is_no_probe():
    s, _ = begun(monitor(max_retries=1, retry_delay_s=30, repeat={"limit": 1}))
    s.handle(probe(1, BAD), 1)
    orders = s.handle(ended("m", Status.FAILURE), 2)
    assert isinstance(orders[0], Record)
    assert [o for o in s.handle(Tick(), 40) if isinstance(o, StartProbe | StartAttempt)] == [
        StartAttempt("m", 2)
    ]


def test_one_that_had_ended_when_its_runner_died_is_not_begun_again():
    """It rested once, and the resumed run woke it when its time had come."""
    s = Scheduler(plan_of(monitor(), task("other")), Limits(1))
    journal = [
        (RunStarted("r", ("A",), 2, "", "", None, None, None), 0),
        (PhaseStarted("A", 3600), 0),
        (AttemptStarted("m", 1, 0), 0),
        (probe(1, BAD), 1),
        (probe(2, GOOD), 12),
        (ended("m"), 13),
        (AttemptStarted("other", 1, 0), 13),
        (ended("other", Status.LOST, cause=Cause.RUNNER), 14),
    ]
    for event, at in journal:
        s.replay(event, at)
    s.was_idle(100, 15)
    assert s.handle(Tick(), 15) == [StartAttempt("other", 2)]
    assert s.handle(Tick(), 200) == []
    orders = s.handle(ended("other", attempt=2), 201)
    assert orders == [EndPhase("A", ok=True), EndRun(0)]
