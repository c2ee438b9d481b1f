"""A newer run that wants a task's group: the task ends, whatever it was doing."""

from __future__ import annotations

import pytest

from tests.support.simulated import ended, plan_of, task
from zf.events import (
    CancelRequested,
    Cause,
    RetryDropped,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.run.schedule.orders import (
    AskLease,
    EndPhase,
    EndRun,
    KillAttempt,
    LeaseAnswered,
    Limits,
    NotRun,
    Record,
    ReleaseLease,
    StartAttempt,
    Tick,
)
from zf.run.schedule.scheduler import Scheduler

DETAIL = "run r2, which is newer, wants 'g'"
BY = CancelRequested("a", by="run r2")


def scheduler(*tasks):
    return Scheduler(plan_of(*tasks), Limits(2))


def holder(**more):
    return task("a", concurrency="g", **more)


def not_run(name="a"):
    return NotRun(name, Status.CANCELLED, Cause.SUPERSEDED, DETAIL)


@pytest.mark.parametrize("on_newer", ["queue", "cancel_running"])
def test_it_is_said_with_the_question_whether_an_older_owner_is_to_end(on_newer):
    s = scheduler(holder(on_newer=on_newer))
    assert s.start(0)[-1] == AskLease("a", "g", on_newer == "cancel_running")


def test_a_task_that_runs_is_ended_and_not_tried_again():
    s = scheduler(holder(max_retries=5), task("b", ["a"]), task("c"))
    s.start(0)
    s.handle(LeaseAnswered("a", None), 0)
    assert s.handle(BY, 1) == [KillAttempt("a", 1, Cause.SUPERSEDED, False, DETAIL)]
    assert s.handle(BY, 1.5) == []
    end = ended("a", Status.CANCELLED, cause=Cause.SUPERSEDED)
    orders = s.handle(end, 2)
    assert orders[0] == ReleaseLease("a")
    assert orders[1].task == "b"
    assert orders[1].status is Status.BLOCKED
    # What does not need it goes on; the run has failed.
    assert s.handle(ended("c"), 3) == [EndPhase("A", ok=False), EndRun(1)]


def test_a_task_that_asks_for_a_group_which_is_a_newer_runs_ends_without_an_attempt():
    s = scheduler(holder(), task("b", concurrency="h"))
    assert AskLease("a", "g") in s.start(0)
    # The next in line is looked at in the same turn.
    assert s.handle(LeaseAnswered("a", None, newer="run r2"), 0) == [not_run(), AskLease("b", "h")]
    assert StartAttempt("b", 1) in s.handle(LeaseAnswered("b", None), 0)


def test_a_task_that_waits_for_another_attempt_stands_as_its_last_one():
    s = scheduler(holder(max_retries=1, retry_delay_s=10))
    s.start(0)
    s.handle(LeaseAnswered("a", None), 0)
    s.handle(ended("a", Status.FAILURE), 1)
    orders = s.handle(BY, 2)
    assert Record(RetryDropped("a", 2, Cause.SUPERSEDED)) in orders
    assert orders[-1] == EndRun(1)


def test_a_run_that_is_taken_up_again_goes_by_what_its_journal_shows():
    begun = RunStarted("r", ("A",), 2, "", "", None, None, None)
    s = scheduler(holder(), task("b", ["a"]))
    s.replay(begun, 0)
    s.start(0)
    shown = TaskNotRun("a", Status.CANCELLED, Cause.SUPERSEDED, DETAIL, {}, "", "")
    orders = s.replay(shown, 1)
    assert orders[0] == not_run()
    assert s.done == {"a": Status.CANCELLED, "b": Status.BLOCKED}
    assert s.handle(Tick(), 2) == []
