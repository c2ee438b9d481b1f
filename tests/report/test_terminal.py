"""Lines, heartbeats and task output, compared whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.support.report_samples import (
    SEED,
    ended,
    facts_of,
    failed,
    not_run,
    plan,
    run_ended,
    running,
    seed_events,
    started,
    told_lines,
)
from tests.support.report_strategies import hostile, is_safe
from zf.events import (
    CancelRequested,
    Cause,
    ConditionEvaluated,
    Event,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    RunResumed,
    RunTimedOut,
    Status,
    ThrottleEntered,
    ThrottleLeft,
    from_json,
)
from zf.report import terminal
from zf.report.facts import build
from zf.report.words import Style, without_colour

COLOUR = Style(colour=True)

# --- Plain lines ---------------------------------------------------------------------------------


def test_a_run_in_plain_lines() -> None:
    assert told_lines(SEED, seed_events()) == [
        "run r1: phase E, 5 tasks",
        "> start     30-migrate",
        "> start     41-lint",
        "+ success   30-migrate  0.5s",
        "> start     40-seed-database",
        "x failure   41-lint  0.2s  step 'Prepare' exited with code 3",
        "- blocked   43-e2e-report  dependency '42-e2e-admin' has status: blocked; dependency '41-lint' has status: failure",
        "t timeout   40-seed-database  3.0s  step 'Seed' ran past timeout_sec (3s)",
        "- blocked   42-e2e-admin  dependency '40-seed-database' has status: timeout",
    ]


PLAIN_LINES: dict[str, tuple[list[Event], str]] = {
    "resumed": ([RunResumed(0)], "run : resumed"),
    "resumed, with leftovers": ([RunResumed(2)], "run : resumed, leftover processes ended: 2"),
    "another attempt": ([started("a", attempt=2)], "> start     a  attempt 2"),
    "another attempt's end": ([ended("a", attempt=2)], "r success   a  3.0s  attempt 2  flaky"),
    "phase timeout": ([PhaseTimedOut("E", 5)], "phase E: past its limit of 5s: ending what runs"),
    "interrupt": ([Interrupted(2, 1)], "interrupted: ending what runs"),
    "second interrupt": ([Interrupted(2, 2)], "interrupted: killing what runs"),
    "a retry to come": ([RetryScheduled("a", 2, 1.5)], "r retry     a  attempt 2 in 1.5s"),
    "a retry at once": ([RetryScheduled("a", 2, 0)], "r retry     a  attempt 2 at once"),
    "a retry that never came": (
        [RetryDropped("a", 2, Cause.FAIL_FAST)],
        "r retry     a  attempt 2 dropped: another task had failed (--fail-fast)",
    ),
    "a retry given up in time": (
        [RetryDropped("a", 2, Cause.DEADLINE)],
        "r retry     a  attempt 2 dropped: a deadline passed",
    ),
    "too busy": (
        [ThrottleEntered("CPU at 95 %, above 90 %", 95, 10)],
        "throttle: CPU at 95 %, above 90 %: nothing new starts while a task runs",
    ),
    "no longer too busy": (
        [ThrottleLeft(61, 4)],
        "throttle: over after 1m01s, tasks were kept waiting for 4.0s",
    ),
    "deadline of the run": ([RunTimedOut(60)], "run : past its deadline of 60s: ending what runs"),
    "a cancel": ([CancelRequested("a")], "cancel requested: a"),
    "a cancel of all": ([CancelRequested(None)], "cancel requested: the whole run"),
    "tolerated": (
        [failed("a", warned=True)],
        "x warned    a  0.2s  failure, tolerated: step 'Prepare' exited with code 3",
    ),
    "cancelled": (
        [not_run("a", Status.CANCELLED, Cause.FAIL_FAST)],
        "- cancelled a  another task had failed (--fail-fast)",
    ),
}


@pytest.mark.parametrize(("events", "line"), PLAIN_LINES.values(), ids=PLAIN_LINES)
def test_plain_line(events: list[Event], line: str) -> None:
    assert told_lines({"a": ()}, events) == [line]


def test_phases_are_told_where_there_are_several() -> None:
    events = [PhaseStarted("X", 5), PhaseEnded("E", ok=True, duration_s=61)]
    assert told_lines({"a": ()}, events) == []
    content = plan("a")
    content["phases"].append({"name": "F", "title": "", "timeout_s": 9})
    facts = build(content, [])
    assert [terminal.plain_line(facts, event) for event in events] == [
        "phase X: 0 tasks, at most 5s",
        "phase E: passed after 1m01s",
    ]


def test_strangers_and_the_end_have_no_line() -> None:
    assert told_lines({"a": ()}, [started("x"), ended("x"), RetryScheduled("x", 2, 0)]) == []
    asked = ConditionEvaluated("a", "1 == 1", value=True, operands={}, error="")
    assert told_lines({"a": ()}, [asked, run_ended(0)]) == []


def test_colours_change_no_word_of_a_line() -> None:
    events = [*seed_events(), PhaseTimedOut("E", 5), Interrupted(2, 1)]
    coloured = told_lines(SEED, events, COLOUR)
    assert "\x1b[32m+\x1b[0m \x1b[32msuccess\x1b[0m   30-migrate  0.5s" in coloured
    assert [without_colour(line) for line in coloured] == told_lines(SEED, events)


def test_a_failures_last_lines() -> None:
    assert terminal.failure_tail(["one\n", "\n", "\x1b[2J\n"]) == ["  | one", "  |", "  | \\x1b[2J"]


# --- JSON lines ----------------------------------------------------------------------------------


def test_json_line() -> None:
    line = terminal.json_line(started("a"), mono=1.5)
    assert line == '{"type":"attempt_started","task":"a","attempt":1,"slot":0,"mono":1.5}'
    assert terminal.json_line(Interrupted(2, 1)) == '{"type":"interrupted","signal":2,"count":1}'


@given(hostile)
def test_json_lines_are_printable_ascii_and_lose_nothing(text: str) -> None:
    event = ended("a", detail=text)
    line = terminal.json_line(event)
    assert line.isascii()
    assert line.isprintable()
    assert from_json(json.loads(line)) == event


# --- Heartbeats ----------------------------------------------------------------------------------


def test_a_heartbeat_a_minute_for_each_task_nothing_is_said_of() -> None:
    fold = running("a", "b")
    beats = terminal.Heartbeats()

    def due(now: float) -> list[str]:
        return [task.id for task in beats.due(fold.facts, now)]

    assert beats.wake_at(fold.facts) == 160.0
    assert due(159.9) == []
    beats.heard("b", 159.0)
    assert due(160.0) == ["a"]
    assert beats.wake_at(fold.facts) == 219.0
    assert due(160.5) == []
    assert due(219.0) == ["b"]
    assert due(220.0) == ["a"]
    fold.apply(ended("a"))
    assert due(300.0) == ["b"]
    fold.apply(ended("b"))
    assert due(500.0) == []
    assert beats.wake_at(fold.facts) is None


def test_a_new_attempt_starts_a_new_minute() -> None:
    fold = running("a")
    beats = terminal.Heartbeats()
    assert beats.due(fold.facts, 160.0) != []
    fold.apply(failed("a"), 170.0)
    fold.apply(started("a", attempt=2), 175.0)
    assert beats.due(fold.facts, 220.5) == []
    assert beats.wake_at(fold.facts) == 235.0


def test_heartbeat_lines() -> None:
    task = running("a").facts.tasks["a"]
    assert terminal.heartbeat_line(task, 160.0) == "> running   a  1m00s"
    assert (
        terminal.heartbeat_line(task, 225.0, silent_s=61.0)
        == "> running   a  2m05s  no output for 1m01s"
    )
    task.started_mono = None
    assert terminal.heartbeat_line(task, 160.0) == "> running   a  -"


# --- Output of tasks -----------------------------------------------------------------------------


def test_a_whole_log_under_a_header() -> None:
    task = facts_of("a", [failed("a")]).tasks["a"]
    assert list(terminal.grouped(task, ["one\n", "\n", "::error::two\r\n"])) == [
        "log of a (failure, 0.2s):",
        "  | one",
        "  |",
        "  | ::error::two",
    ]


def test_lines_with_their_task_before_them() -> None:
    assert terminal.prefixed("a", "one\ttwo\n") == "a | one     two"
    assert terminal.prefixed("a", "\n") == "a |"
    assert terminal.prefixed("a", "\x1b[1A\x1b[2Ksuccess  b") == "a | \\x1b[1A\\x1b[2Ksuccess  b"


@given(hostile)
def test_output_is_one_safe_line_for_each_line(text: str) -> None:
    task = facts_of("a", [failed("a")]).tasks["a"]
    for line in (terminal.prefixed(text, text), *terminal.grouped(task, [text])):
        assert is_safe(line)
        assert "\n" not in line
