"""Tasks that have to be approved: asked once, in no line, and let go or ended by what is answered."""

from __future__ import annotations

import pytest

from tests.support.semantics import CASES, CONDITIONS, end, outcome_of, rows, upstream
from tests.support.simulated import ended, plan_of, task
from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    CancelRequested,
    Cause,
    Interrupted,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.model import Need
from zf.run.schedule.orders import (
    AskApproval,
    AskLease,
    EndRun,
    Limits,
    NotAsked,
    NotRun,
    StartAttempt,
    Suspend,
    Tick,
)
from zf.run.schedule.scheduler import Scheduler

HEADING = "A task that has to be approved"
DEADLINE_S = 100


def terms(**more):
    said = {"by": ["ann", "bob"], "min": 1, "four_eyes": False, "protected": False}
    return said | more


def gated(name="a", needs=(), said=None, **more):
    return task(name, needs, approval=said or terms(), **more)


def scheduler(*tasks, **limits):
    return Scheduler(plan_of(*tasks), Limits(4, **limits))


def asked(name="a", attempt=1, timeout_s=None, least=1):
    return ApprovalAsked(name, attempt, ("ann", "bob"), least, "0" * 64, {}, timeout_s=timeout_s)


def given(by="ann", name="a", attempt=1):
    return ApprovalGiven(name, attempt, by, "ssh", f"key of {by}", "here", "", "{}")


def no(why="rejected", name="a", attempt=1):
    return ApprovalRefused(name, attempt, why, "rejected by ann: not today", "0" * 64)


def ask(s, at=0.0, **more):
    """Start, and put the question that is ordered."""
    orders = s.start(at)
    assert AskApproval("a", 1) in orders
    return s.handle(asked(**more), at)


def test_it_is_asked_for_and_starts_once_it_is_approved():
    s = scheduler(gated(), task("b"))
    assert AskApproval("a", 1) in (orders := s.start(0))
    assert StartAttempt("a", 1) not in orders
    assert StartAttempt("b", 1) in orders
    assert s.handle(asked(), 0) == []
    assert s.handle(given(), 5) == [StartAttempt("a", 1)]
    assert s.handle(given("bob"), 6) == []


def test_while_it_waits_it_holds_no_slot_no_resource_and_no_lease():
    holds = gated(concurrency="g", resources={"cpu": 1}, parallel_safe=False)
    others = [task(name, resources={"cpu": 1}) for name in "bc"]
    s = scheduler(holds, *others, resources={"cpu": 2})
    orders = ask(s)
    assert not any(isinstance(order, AskLease) for order in orders)
    assert set(s.running) == {"b", "c"}
    s.handle(ended("b"), 1)
    s.handle(ended("c"), 1)
    assert AskLease("a", "g") in s.handle(given(), 2)


def test_as_many_have_to_approve_as_its_file_says():
    s = scheduler(gated(said=terms(min=2)))
    ask(s, least=2)
    assert s.handle(given(), 1) == []
    assert s.handle(given(), 2) == []
    assert s.handle(given("bob"), 3) == [StartAttempt("a", 1)]


def test_one_that_is_rejected_is_blocked_and_so_is_what_needs_it():
    s = scheduler(gated(), task("b", ["a"]))
    ask(s)
    a, b, *_ = s.handle(no(), 1)
    assert (a.task, a.status, a.cause) == ("a", Status.BLOCKED, Cause.APPROVAL_REJECTED)
    assert a.detail == "rejected by ann: not today"
    assert (b.task, b.status, b.cause) == ("b", Status.BLOCKED, Cause.NEED)
    assert s.handle(given(), 2) == []


def test_an_answer_that_does_not_count_changes_nothing():
    s = scheduler(gated())
    ask(s)
    assert s.handle(no("bad_signature"), 1) == []
    assert s.handle(given(attempt=2), 1) == []
    assert s.handle(no(attempt=2), 1) == []
    assert s.handle(given(), 2) == [StartAttempt("a", 1)]


def test_no_answer_in_time_is_no():
    s = scheduler(gated(said=terms(timeout_sec=60)))
    ask(s, timeout_s=60)
    assert s.wake_at() == 60
    assert s.handle(Tick(), 59.9) == []
    end = s.handle(Tick(), 60)[0]
    assert (end.status, end.cause) == (Status.BLOCKED, Cause.APPROVAL_TIMEOUT)
    assert end.detail == "not approved within 60s by ann or bob"
    assert s.handle(given(), 60) == []


def test_a_late_timer_ends_nothing_that_was_approved():
    s = scheduler(gated(said=terms(timeout_sec=60)), task("b"))
    ask(s, timeout_s=60)
    s.handle(given(), 59)
    assert s.handle(Tick(), 61) == []
    assert s.running == {"a": 1, "b": 1}


def test_another_attempt_is_asked_for_by_itself_while_its_delay_goes_on():
    s = scheduler(gated(max_retries=1, retry_delay_s=10))
    ask(s)
    s.handle(given(), 1)
    orders = s.handle(ended("a", Status.FAILURE), 2)
    assert AskApproval("a", 2) in orders
    s.handle(asked(attempt=2), 2)
    assert s.handle(given(), 3) == []  # that was for the first
    assert s.handle(given(attempt=2), 4) == []  # its delay goes on
    assert StartAttempt("a", 2) in s.handle(Tick(), 13)


def test_a_retry_that_is_rejected_leaves_the_last_attempt_as_it_was():
    s = scheduler(gated(max_retries=1))
    ask(s)
    s.handle(given(), 1)
    s.handle(ended("a", Status.FAILURE), 2)
    s.handle(asked(attempt=2), 2)
    s.handle(no(attempt=2), 3)
    assert s.done["a"] is Status.FAILURE


def test_what_would_be_approved_cannot_be_said():
    s = scheduler(gated(), task("b", ["a"]))
    s.start(0)
    a, b, *_ = s.handle(NotAsked("a", "the files of need 'x': gone"), 0)
    assert (a.status, a.cause) == (Status.FAILURE, Cause.ARTIFACTS)
    assert b.status is Status.BLOCKED


def test_it_is_asked_for_before_the_time_from_which_it_may_start():
    s = scheduler(gated(start_after_s=100))
    ask(s)
    assert s.handle(given(), 50) == []
    assert s.handle(Tick(), 100) == [StartAttempt("a", 1)]


@pytest.mark.parametrize("protected", [False, True])
def test_a_newer_run_leaves_a_protected_task_alone(protected):
    s = scheduler(gated(said=terms(protected=protected), concurrency="g"))
    ask(s)
    ends = s.handle(CancelRequested("a", by="run r2"), 1)
    assert bool(ends) is not protected
    assert s.handle(CancelRequested("a"), 2) or not protected


# Runs that do not wait.


def test_a_run_is_suspended_once_nothing_else_can_go_on():
    s = scheduler(gated(), task("b"), task("c", ["b"]), on_approval="exit")
    assert not any(isinstance(order, Suspend) for order in ask(s))
    assert s.handle(ended("b"), 1) == [StartAttempt("c", 1)]
    assert s.handle(ended("c"), 2) == [Suspend(("a",))]
    assert s.handle(given(), 3) == []


def test_a_retry_that_waits_for_its_delay_keeps_the_run_from_being_suspended():
    s = scheduler(gated(), task("b", max_retries=1, retry_delay_s=30), on_approval="exit")
    ask(s)
    orders = s.handle(ended("b", Status.FAILURE), 1)
    assert not any(isinstance(order, Suspend) for order in orders)
    s.handle(Tick(), 40)
    assert s.handle(ended("b", attempt=2), 41) == [Suspend(("a",))]


def test_a_run_that_waits_is_never_suspended():
    s = scheduler(gated())
    assert ask(s) == []


def test_a_resumed_run_has_the_question_it_had_and_its_time_went_on():
    s = scheduler(gated(said=terms(timeout_sec=60)))
    started = RunStarted("r", ("A",), 1, "0" * 64, "n", None, None, None)
    assert AskApproval("a", 1) in s.replay(started, 0) or AskApproval("a", 1) in s.start(0)
    assert s.replay(asked(timeout_s=60), 10) == []
    s.was_idle(45, 10)
    assert s.wake_at() == 25
    assert s.handle(given(), 20) == [StartAttempt("a", 1)]


def test_what_a_journal_says_of_answers_is_taken_in():
    s = scheduler(gated(), gated("b", said=terms(timeout_sec=5)))
    s.start(0)
    for event in (asked(), asked("b", timeout_s=5), given()):
        s.replay(event, 1)
    out = TaskNotRun("b", Status.BLOCKED, Cause.APPROVAL_TIMEOUT, "late", {}, "", "0" * 64)
    s.replay(out, 6)
    assert s.done == {"b": Status.BLOCKED}
    assert StartAttempt("a", 1) in s.handle(Tick(), 6)


# The table of docs/reference/semantics.md.

WAITS, LATER = (
    {row[0]: row[1:] for row in rows_of}
    for rows_of in (
        rows(HEADING, "while it waits"),
        rows(HEADING, "in a later phase, after"),
    )
)


def meanwhile(s, what):
    """What happens while the task waits; the orders that follow."""
    match what:
        case "it is approved":
            return s.handle(given(name="asking"), 2)
        case "it is rejected":
            return s.handle(no(name="asking"), 2)
        case "timeout_sec` of `approval` passes":
            return s.handle(Tick(), 31)
        case "its `deadline_sec` passes":
            return s.handle(Tick(), 40)
        case "another task fails" | "another task fails, with `--fail-fast":
            return s.handle(ended("other", Status.FAILURE), 2)
        case "the phase timeout":
            return s.handle(Tick(), 3600)
        case "--deadline":
            return s.handle(Tick(), DEADLINE_S)
        case "Ctrl-C, TERM, HUP":
            return s.handle(Interrupted(2, 1), 2)
        case "zf cancel RUN TASK` for this task":
            return s.handle(CancelRequested("asking"), 2)
    raise AssertionError(what)


def limits_for(what):
    more = {"fail_fast": True} if "--fail-fast" in what else {}
    more |= {"deadline_s": DEADLINE_S} if what == "--deadline" else {}
    return Limits(max_jobs=9, **more)


def asking_for(what, entry, column, phase="A"):
    require = "done" if "done" in entry else "success"
    need = Need("x", optional=entry == "optional: true", require=require)
    times = {"deadline_s": 40} if what == "its `deadline_sec` passes" else {}
    said = terms(timeout_sec=30) if "timeout_sec` of" in what else terms()
    condition = CONDITIONS.get(column, column)
    return task("asking", [need], approval=said, condition=condition, phase=phase, **times)


@pytest.mark.parametrize("what", WAITS)
def test_each_row_by_need_condition_and_what_happens(what):
    for case in CASES:
        check_row(what, *case.values)


def check_row(what, status, entry, column, outcome):
    asking = asking_for(what, entry, column)
    s = Scheduler(plan_of(*upstream(status), asking, task("other")), limits_for(what))
    orders = s.start(0) + end(s, status)
    if "fast" in what and status in {"failure", "timeout", "lost", "blocked"}:
        return  # that has stopped the run already
    is_asked = AskApproval("asking", 1) in orders
    about = (status, entry, column)
    assert is_asked == (outcome == "runs"), about
    if not is_asked:
        assert outcome_of("asking", orders) == outcome, about
        return
    timeout_s = asking.approval.get("timeout_sec")
    assert s.handle(asked("asking", timeout_s=timeout_s), 1) == []
    wanted = WAITS[what][column == "always()"]
    orders = meanwhile(s, what)
    assert (outcome_of("asking", orders) or "waits") == wanted, about


@pytest.mark.parametrize("after", LATER)
@pytest.mark.parametrize("column", ["none", "always()"])
def test_each_row_in_a_later_phase(after, column):
    asking = asking_for("", "require: done", column, phase="B")
    before = [task("x"), task("spoiler")]
    s = Scheduler(plan_of(*before, asking), limits_for(after))
    orders = s.start(0) + s.handle(ended("x"), 1)
    what = {"a phase that ran out of time": "the phase timeout"}.get(after, after)
    if after != "a phase that failed":
        orders += meanwhile(s, what)
    orders += s.handle(ended("spoiler", Status.FAILURE), 4000)
    wanted = LATER[after][column == "always()"]
    is_asked = AskApproval("asking", 1) in orders
    assert is_asked == (wanted == "waits")
    assert (outcome_of("asking", orders) or "waits") == wanted
    assert is_asked or any(isinstance(order, EndRun) for order in orders)


def test_nothing_is_asked_of_what_is_ended_meanwhile():
    s = scheduler(gated(), task("b"))
    s.start(0)
    order = AskApproval("a", 1)
    assert s.is_to_ask(order)
    s.handle(Interrupted(2, 1), 0)
    assert not s.is_to_ask(order)


def test_the_end_of_one_that_waits_is_told_once():
    s = scheduler(gated(said=terms(timeout_sec=5)), task("b"))
    ask(s, timeout_s=5)
    orders = s.handle(Tick(), 5) + s.handle(Tick(), 6) + s.handle(no(), 7)
    assert len([order for order in orders if isinstance(order, NotRun)]) == 1
