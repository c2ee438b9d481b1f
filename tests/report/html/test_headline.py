"""The first sentence of a page, of runs of every kind."""

import pytest

from tests.support.proof_bundles import FAILED, OK, TIMED_OUT, Ending, Run
from zf.events import ApprovalAsked, Cause, Interrupted, Status
from zf.report.formats.recorded import RecordedRun
from zf.report.html.headline import headline


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path, "r1")


def said(run: Run, **how) -> str:
    return headline(RecordedRun(str(run.path)).facts, **how)


def test_a_run_that_passed(run):
    run.plan(a=(), b=())
    run.attempt("a", OK)
    run.attempt("b", OK)
    assert said(run.end()) == "All 2 tasks succeeded in 7.0s."


def test_one_task_that_passed_after_a_retry(run):
    run.plan(a=())
    run.attempt("a", FAILED)
    run.attempt("a", OK, attempt=2)
    assert said(run.end()) == "1 task succeeded in 7.0s; a only on attempt 2."


def test_what_was_skipped_is_said(run):
    run.plan(a=(), b=())
    run.attempt("a", OK)
    run.not_run("b", Status.SKIPPED, Cause.CONDITION)
    assert said(run.end()) == "1 of 2 tasks succeeded in 6.0s; 1 was skipped."


def test_a_failure_with_a_victim_and_another(run):
    run.plan(a=(), b=("a",), c=())
    run.attempt("a", FAILED)
    run.not_run("b", Status.BLOCKED, Cause.NEED, a=Status.FAILURE)
    run.attempt("c", TIMED_OUT)
    told = "Phase A failed: a failed, and 1 task waited for it; c timed out after 0.5s."
    assert said(run.end(1)) == told


def test_many_failures_are_counted(run):
    run.plan(**dict.fromkeys("abcde", ()))
    for name in "abcde":
        run.attempt(name, FAILED)
    assert said(run.end(1)) == "Phase A failed: a failed; 4 others failed, too."


def test_nothing_ran(run):
    run.plan(a=())
    run.not_run("a", Status.SKIPPED, Cause.CONDITION)
    assert said(run.end()) == "Nothing ran: 1 was skipped."


def test_a_run_that_goes_on_only_once_it_is_approved(run):
    run.plan(a=())
    assert said(run, alive=True) == "Still running: 0 of 1 task has ended so far."
    run.tell(ApprovalAsked("a", 1, ("ann",), 1, "0" * 64, {}))
    assert said(run, alive=True) == "Waiting for approval of a: 0 of 1 task has ended so far."


def test_a_run_that_goes_on_and_one_that_was_killed(run):
    run.plan(a=(), b=())
    run.attempt("a", OK)
    run.began("b")
    assert said(run, alive=True) == "Still running: 1 of 2 tasks have ended so far."
    assert said(run) == "Never finished: its zf was killed after 1 of 2 tasks had ended."


def test_an_interrupted_run(run):
    run.plan(a=(), b=())
    run.attempt("a", OK)
    run.tell(Interrupted(2, 1))
    run.attempt("b", Ending(Status.CANCELLED, Cause.INTERRUPT, None))
    assert said(run.end(130)) == "Interrupted by SIGINT after 8.0s: 2 of 2 tasks had ended."
