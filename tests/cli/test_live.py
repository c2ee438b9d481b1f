"""What scrolls by above the board, event by event; the time and the screen are played by hand."""

import os

import pytest

from tests.support.report_samples import (
    ended,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    started,
)
from tests.support.screen import Screen
from zf.cli.display.lines import Lines
from zf.cli.display.live import _MOST_SHOWN, LastLines, Live
from zf.events import Cause, PhaseEnded, RetryDropped, RetryScheduled, Status
from zf.report import summary
from zf.report.facts import Fold
from zf.report.live import Heard
from zf.report.words import PLAIN


class Shown:
    """A run of tasks `a`, `b`, ... on a screen of 80 columns."""

    def __init__(self, folder, needs, *, rows=24, output="quiet", whole=False):
        os.chdir(folder)
        self.proofs = folder
        self.fold = Fold(plan(needs))
        lines = Lines(str(folder), output, PLAIN, starts=False)
        logs = output == "quiet"
        self.live = Live(lines, str(folder), PLAIN, most=None, whole=whole, logs=logs)
        self.screen = Screen(80, rows)
        self.rows = rows
        self.now = 100.0
        self.take(run_started())
        self.look()

    def log(self, task, text):
        path = self.proofs / "r1" / task / "20-logs"
        path.mkdir(parents=True, exist_ok=True)
        (path / "step-0.log").write_text(text)

    def take(self, *events):
        for event in events:
            self.fold.apply(event, self.now)
            self.live.add(event, self.fold.facts, rows=self.rows)

    def look(self):
        self.now += 1
        frame = self.live.frame(self.fold.facts, self.now, columns=80, rows=self.rows)
        self.screen.write(frame)
        self.above = self.screen.lines()[1 : -self.board_rows() - 1]
        return self.above

    def board_rows(self):
        return 1 + len(self.fold.facts.running)


@pytest.fixture
def shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda needs, **keys: Shown(tmp_path, needs, **keys)


def test_tasks_that_pass_scroll_by_where_there_is_room(shown):
    run = shown("a b")
    run.take(started("a"), ended("a"), not_run("b", Status.SKIPPED, Cause.CONDITION))
    assert run.look() == ["+ success   a  3.0s", "o skipped   b  its condition did not let it run"]


def test_elsewhere_they_are_counted_when_it_is_over(shown):
    names = [f"t{n}" for n in range(13)]
    run = shown(" ".join(names))
    run.take(*(ended(name) for name in names[:-1]))
    run.take(not_run(names[-1], Status.SKIPPED, Cause.CONDITION))
    assert run.look() == []
    run.take(PhaseEnded("E", ok=True, duration_s=3.0), run_ended(0))
    assert run.look() == ["+ 12 passed"]
    whole = shown(" ".join(names), whole=True)
    whole.take(ended("t0"))
    assert whole.look() == ["+ success   t0  3.0s"]


def test_a_failure_is_shown_once_with_its_log_and_what_it_holds_up(shown):
    run = shown({"a": "", "b": "a", "c": "b"})
    run.log("a", "compiling\nE   assert 403 == 200\n")
    run.take(started("a"))
    run.look()
    run.take(
        failed("a"),
        not_run("b", Status.BLOCKED, Cause.NEED),
        not_run("c", Status.BLOCKED, Cause.NEED),
    )
    expected = [
        "x a failed after 0.2s: step 'Prepare' exited with code 3 [ZF501], holds up 2",
        "    tasks",
        "    | compiling",
        "    | E   assert 403 == 200",
        "    tasks/a/task.yaml:5   log: r1/a/20-logs/step-0.log",
        "",
    ]
    assert " ".join(run.look()).split() == " ".join(expected).split()
    assert run.live.shown == {"a"}
    before = run.above
    assert run.look() == before


def test_a_failure_that_is_tried_again_has_a_line_and_no_log(shown):
    run = shown("a")
    run.log("a", "out of luck\n")
    run.take(started("a"), failed("a"), RetryScheduled("a", 2, 5.0))
    assert run.look() == [
        "x failure   a  0.2s  step 'Prepare' exited with code 3",
        "r retry     a  attempt 2 in 5s",
    ]
    run.take(RetryDropped("a", 2, Cause.INTERRUPT))
    told = run.look()
    assert told[2] == "r retry     a  attempt 2 dropped: zf was interrupted"
    assert "    | out of luck" in told
    assert run.live.shown == {"a"}


def test_what_is_tolerated_has_a_line(shown):
    run = shown("a")
    run.take(started("a"), failed("a", warned=True))
    assert run.look() == [
        "x warned    a  0.2s  failure, tolerated: step 'Prepare' exited with code 3"
    ]
    assert run.live.shown == set()


def test_after_many_failures_the_others_have_a_line(shown):
    assert _MOST_SHOWN == summary.DETAILED_FAILURES
    names = [f"t{n}" for n in range(_MOST_SHOWN + 1)]
    run = shown(" ".join(names))
    for name in names:
        run.take(failed(name))
        run.look()
    assert len(run.live.shown) == _MOST_SHOWN
    assert run.look()[-1].startswith(f"x failure   {names[-1]}  0.2s")


def test_where_logs_are_printed_anyway_a_failure_has_a_line(shown):
    run = shown("a", output="group")
    run.log("a", "no\n")
    run.take(started("a"), failed("a"))
    assert run.look() == ["x failure   a  0.2s  step 'Prepare' exited with code 3"]
    assert run.live.shown == set()


def test_a_failure_just_before_the_end_is_shown_before_the_count(shown):
    names = [f"t{n}" for n in range(30)]
    run = shown(" ".join(names))
    run.log("t29", "no\n")
    run.take(*(ended(name) for name in names[:-1]), failed("t29"), run_ended(1))
    told = run.live.lines(run.fold.facts)
    assert told[0].startswith("x t29 failed")
    assert told[-1] == "+ 29 passed"


def test_the_last_line_is_that_of_the_attempt_that_runs(tmp_path):
    fold = Fold(plan("a"))
    fold.apply(run_started())
    fold.apply(started("a"), 1.0)
    lines = LastLines(str(tmp_path))
    task = fold.facts.tasks["a"]
    assert lines(fold.facts, task) is None
    logs = tmp_path / "r1" / "a" / "20-logs"
    logs.mkdir(parents=True)
    (logs / "step-0.log").write_bytes(b"one\ntwo \xff\n")
    os.utime(logs / "step-0.log", (1, 1))
    heard = lines(fold.facts, task)
    assert isinstance(heard, Heard)
    assert heard.line == "two \ufffd"
    assert heard.silent_s > 1e9
    fold.apply(failed("a"))
    fold.apply(RetryScheduled("a", 2, 0))
    fold.apply(started("a", 2), 2.0)
    # The first one's tree is not moved aside yet.
    assert lines(fold.facts, task) is None
