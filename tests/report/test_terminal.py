"""Lines, heartbeats, task output, board rows and the summary, compared whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import ascii_letters
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.test_blocked import hostile_runs
from tests.report.test_words import hostile, is_safe
from tests.support.report_samples import (
    SEED,
    TAILS,
    ended,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    seed_events,
    started,
    timed_out,
)
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
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
    from_json,
)
from zf.report import live, summary, terminal
from zf.report.blocked import report
from zf.report.facts import Facts, Fold, build
from zf.report.words import Style, without_colour

COLOUR = Style(colour=True)

# --- Plain lines ---------------------------------------------------------------------------------


def lines(needs: dict[str, Any], events: list[Event], style: Style = terminal.PLAIN) -> list[str]:
    fold = Fold(plan(needs))
    told = []
    for event in events:
        fold.apply(event)
        told.append(terminal.plain_line(fold.facts, event, style))
    return [line for line in told if line]


def test_a_run_in_plain_lines() -> None:
    assert lines(SEED, seed_events()) == [
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
    assert lines({"a": ()}, events) == [line]


def test_phases_are_told_where_there_are_several() -> None:
    events = [PhaseStarted("X", 5), PhaseEnded("E", ok=True, duration_s=61)]
    assert lines({"a": ()}, events) == []
    content = plan({"a": ()})
    content["phases"].append({"name": "F", "title": "", "timeout_s": 9})
    facts = build(content, [])
    assert [terminal.plain_line(facts, event) for event in events] == [
        "phase X: 0 tasks, at most 5s",
        "phase E: passed after 1m01s",
    ]


def test_strangers_and_the_end_have_no_line() -> None:
    assert lines({"a": ()}, [started("x"), ended("x"), RetryScheduled("x", 2, 0)]) == []
    asked = ConditionEvaluated("a", "1 == 1", value=True, operands={}, error="")
    assert lines({"a": ()}, [asked, run_ended(0)]) == []


def test_colours_change_no_word_of_a_line() -> None:
    events = [*seed_events(), PhaseTimedOut("E", 5), Interrupted(2, 1)]
    coloured = lines(SEED, events, COLOUR)
    assert "\x1b[32m+\x1b[0m \x1b[32msuccess\x1b[0m   30-migrate  0.5s" in coloured
    assert [without_colour(line) for line in coloured] == lines(SEED, events)


def test_a_failures_last_lines() -> None:
    assert terminal.failure_tail(["one\n", "\n", "\x1b[2J\n"]) == ["  | one", "  |", "  | \\x1b[2J"]


# --- JSON lines ----------------------------------------------------------------------------------


def test_json_line() -> None:
    line = terminal.json_line(started("a"), wall="2026-11-21T06:30:44.000000Z", mono=1.5)
    assert line == (
        '{"type":"attempt_started","task":"a","attempt":1,"slot":0,'
        '"wall":"2026-11-21T06:30:44.000000Z","mono":1.5}'
    )
    assert terminal.json_line(Interrupted(2, 1)) == '{"type":"interrupted","signal":2,"count":1}'


@given(hostile)
def test_json_lines_are_printable_ascii_and_lose_nothing(text: str) -> None:
    event = ended("a", detail=text)
    line = terminal.json_line(event)
    assert line.isascii()
    assert line.isprintable()
    assert from_json(json.loads(line)) == event


# --- Heartbeats ----------------------------------------------------------------------------------


def running(*names: str, at: float = 100.0) -> Fold:
    fold = Fold(plan(dict.fromkeys(names, ())))
    for name in names:
        fold.apply(started(name), at)
    return fold


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
    task = build(plan({"a": ()}), [failed("a")]).tasks["a"]
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
    task = build(plan({"a": ()}), [failed("a")]).tasks["a"]
    for line in (terminal.prefixed(text, text), *terminal.grouped(task, [text])):
        assert is_safe(line)
        assert "\n" not in line


# --- The board -----------------------------------------------------------------------------------


def midway() -> Facts:
    fold = Fold(plan(SEED))
    for second, event in enumerate(seed_events()[:7]):
        fold.apply(event, 100.0 + second)
    return fold.facts


def test_the_board() -> None:
    assert live.board(midway(), 117.5, columns=80) == [
        "1 done  1 running  1 failed  2 waiting  phase E  17.5s",
        "  40-seed-database  12.5s  holds up 2",
    ]


def test_a_narrow_board_drops_what_does_not_fit() -> None:
    facts = midway()
    assert live.board(facts, 117.5, columns=40) == [
        "1 done  1 running  1 failed  2 waiting",
        "  40-seed-database  12.5s  holds up 2",
    ]
    assert live.board(facts, 117.5, columns=30) == [
        "1 done  1 running  1 failed",
        "  40-seed-database  12.5s",
    ]
    assert live.board(facts, 117.5, columns=20) == ["1 done  1 running", "  40-seed...  12.5s"]


def test_a_board_without_tasks() -> None:
    facts = Fold(plan({})).facts
    assert live.board(facts, 1.0, columns=80) == ["0 done  0 running  0 failed  0 waiting  -"]


def test_the_board_counts_what_was_not_run_and_says_that_it_was_interrupted() -> None:
    events = [
        ended("a"),
        not_run("b", Status.BLOCKED, Cause.NEED),
        not_run("c", Status.CANCELLED, Cause.INTERRUPT),
        not_run("d", Status.SKIPPED, Cause.NONE),
        timed_out("e"),
        ended("f", Status.LOST, Cause.WORKER),
        failed("g"),
        Interrupted(2, 1),
    ]
    assert live.board(build(plan(dict.fromkeys("abcdefgh", ())), events), 0, columns=80) == [
        "1 done  0 running  3 failed  1 waiting  3 not run  interrupted  -"
    ]


def test_the_board_counts_apart_what_is_tolerated_and_says_when_it_is_throttled() -> None:
    events = [
        failed("a", warned=True),
        failed("b"),
        RetryScheduled("b", 2, 9),
        ThrottleEntered("CPU", 95, 1),
    ]
    assert live.board(build(plan({"a": (), "b": ()}), events), 0, columns=80) == [
        "0 done  0 running  0 failed  1 warned  1 waiting  throttled  -"
    ]


def test_a_warned_task_and_a_flaky_one_are_yellow() -> None:
    facts = build(plan({"a": (), "b": ()}), [failed("a", warned=True), ended("b", attempt=2)])
    text = summary.summary(facts, style=COLOUR)
    assert "a\x1b[0m \x1b[33mfailed\x1b[0m after" in text
    assert "b\x1b[0m \x1b[33msucceeded\x1b[0m only" in text


def test_more_tasks_than_rows() -> None:
    fold = running(*(f"t{n:02d}" for n in range(15)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == live.BOARD_ROWS
    assert board[1] == "  t00  1.0s"
    assert board[10] == "  t09  1.0s"
    assert board[11] == "  and 5 more running"
    assert live.board(fold.facts, 101.0, columns=80, rows=1) == [
        "0 done  15 running  0 failed  0 waiting  1.0s"
    ]
    assert live.board(fold.facts, 101.0, columns=80, rows=2)[1:] == ["  and 15 more running"]


def test_as_many_tasks_as_rows_need_no_last_line() -> None:
    fold = running(*(f"t{n:02d}" for n in range(11)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == 12
    assert board[11] == "  t10  1.0s"


def test_holding_up_more_than_anybody_counts() -> None:
    fold = Fold(plan({"a": (), **{f"b{n}": ("a",) for n in range(5000)}}))
    fold.apply(started("a"), 0.0)
    assert live.board(fold.facts, 1.0, columns=80) == [
        "0 done  1 running  0 failed  5000 waiting  1.0s",
        "  a  1.0s  holds up 999+",
    ]


def test_colours_change_no_word_of_the_board() -> None:
    coloured = live.board(midway(), 117.5, columns=80, style=COLOUR)
    assert "\x1b[31m1 failed\x1b[0m" in coloured[0]
    assert [without_colour(line) for line in coloured] == live.board(midway(), 117.5, columns=80)


@given(
    st.lists(hostile.filter(bool), max_size=20, unique=True),
    st.integers(0, 120),
    st.integers(-1, 30),
)
def test_a_board_fits_any_screen(names: list[str], columns: int, rows: int) -> None:
    fold = running(*names)
    board = live.board(fold.facts, 110.0, columns=columns, rows=rows)
    assert 1 <= len(board) <= max(1, min(rows, live.BOARD_ROWS))
    for line in board:
        assert len(line) <= max(1, columns - 1)
        assert line.isascii()
        assert line.isprintable()


# --- The summary ---------------------------------------------------------------------------------


def test_the_summary() -> None:
    facts = build(plan(SEED), seed_events())
    text = summary.summary(
        facts, tails=TAILS, proof="proofs/r1", remarks={"30-migrate": ["odd \\x1b name"]}
    )
    assert (
        text
        == """\
t 40-seed-database timed out after 3.0s: step 'Seed' ran past timeout_sec (3s) [ZF503], holds up 2 tasks
    | connecting
    | still   connecting
    tasks/40-seed-database/task.yaml:8   log: proofs/r1/40-seed-database/20-logs/step-1.log

x 41-lint failed after 0.2s: step 'Prepare' exited with code 3 [ZF501], holds up 1 task
    | core.py:1: unused import
    tasks/41-lint/task.yaml:5   log: proofs/r1/41-lint/20-logs/step-0.log

note: 30-migrate: odd \\x1b name

ERROR: Deadlock detected - 2 tasks still pending:
  - 42-e2e-admin (needs: 40-seed-database)
    -> dependency '40-seed-database' has status: timeout
  - 43-e2e-report (needs: 42-e2e-admin, 41-lint)
    -> dependency '42-e2e-admin' has status: blocked
    -> dependency '41-lint' has status: failure

FAIL r1: 5 tasks: 1 success, 1 failure, 1 timeout, 2 blocked in 3.4s
proof: proofs/r1
"""
    )


def test_one_cause_in_several_tasks_is_told_once_with_all_of_them() -> None:
    names = [f"t{n}" for n in range(6)]
    events = [run_started(7), *(failed(name) for name in names), failed("other"), run_ended(1)]
    facts = build(plan(dict.fromkeys([*names, "other"], ())), events)
    tails = {name: [f"{name}: no route to host after {n} s"] for n, name in enumerate(names)}
    text = summary.summary(facts, tails={**tails, "other": ["disk full"]})
    assert text.startswith(
        "x 6 tasks failed: step 'Prepare' exited with code 3 [ZF501]\n"
        "    t0, t1, t2, t3, t4, t5\n"
        "    | t0: no route to host after 0 s\n"
        "    tasks/t0/task.yaml:5\n"
        "\n"
        "x other failed after 0.2s: step 'Prepare' exited with code 3 [ZF501]\n"
        "    | disk full\n"
    )
    assert text.count("no route to host") == 1


def test_a_task_says_how_much_of_its_log_is_shown_and_the_reader_wins() -> None:
    content = plan({"a": ()})
    content["tasks"][0]["log_tail"] = 2
    facts = build(content, [failed("a"), run_ended(1)])
    tails = {"a": [f"line {n}" for n in range(30)]}
    assert summary.summary(facts, tails=tails).count("| line") == 2
    assert summary.summary(facts, tails=tails, most=25).count("| line") == 25


def skipped(name: str) -> TaskNotRun:
    return not_run(name, Status.SKIPPED, Cause.CONDITION)


SUMMARIES: dict[str, tuple[list[Event], str]] = {
    "passed": (
        [run_started(), ended("a"), ended("b"), run_ended(0)],
        "PASS r1: 2 tasks: 2 success in 3.4s\n",
    ),
    "nothing run": (
        [run_started(), *(not_run(t, Status.SKIPPED, Cause.NONE) for t in "ab"), run_ended(0)],
        "NOTHING RUN r1: 2 tasks: 2 skipped in 3.4s\n",
    ),
    "interrupted": (
        [
            run_started(),
            Interrupted(2, 1),
            *(not_run(t, Status.CANCELLED, Cause.INTERRUPT) for t in "ab"),
            run_ended(130),
        ],
        """\
Cancelled by the interrupt: 2 tasks
   a
   b

INTERRUPTED r1: 2 tasks: 2 cancelled in 3.4s
""",
    ),
    "phase timeout": (
        [run_started(), PhaseTimedOut("E", 5), ended("a"), timed_out("b"), run_ended(124)],
        """\
t b timed out after 3.0s: step 'Seed' ran past timeout_sec (3s) [ZF503]
    tasks/b/task.yaml:8

ERROR: Phase timeout (5s) exceeded

TIMEOUT r1: 2 tasks: 1 success, 1 timeout in 3.4s
""",
    ),
    "tolerated": (
        [run_started(), ended("a"), failed("b", warned=True), run_ended(0)],
        """\
x b failed after 0.2s, tolerated (warned): step 'Prepare' exited with code 3

PASS r1: 2 tasks: 1 success, 1 failure (1 warned) in 3.4s
""",
    ),
    "nothing but tolerated": (
        [run_started(), failed("a", warned=True), skipped("b"), run_ended(0)],
        """\
x a failed after 0.2s, tolerated (warned): step 'Prepare' exited with code 3

PASS r1: 2 tasks: 1 failure (1 warned), 1 skipped in 3.4s
""",
    ),
    "tolerated beside a failure": (
        [run_started(), failed("a", warned=True), failed("b"), run_ended(1)],
        """\
x b failed after 0.2s: step 'Prepare' exited with code 3 [ZF501]
    tasks/b/task.yaml:5

x a failed after 0.2s, tolerated (warned): step 'Prepare' exited with code 3

FAIL r1: 2 tasks: 2 failure (1 warned) in 3.4s
""",
    ),
    "flaky": (
        [
            run_started(),
            ended("a"),
            failed("b"),
            RetryScheduled("b", 2, 1.5),
            ended("b", attempt=2),
            run_ended(0),
        ],
        """\
r b succeeded only on attempt 2 (flaky)
  attempt 1: failure after 0.2s: step 'Prepare' exited with code 3; attempt 2 scheduled 1.5s later

PASS r1: 2 tasks: 2 success (1 flaky) in 3.4s
""",
    ),
    "a retry that was dropped": (
        [
            run_started(),
            failed("a"),
            RetryScheduled("a", 2, 60),
            failed("b"),
            RetryDropped("a", 2, Cause.FAIL_FAST),
            run_ended(1),
        ],
        """\
x a failed after 0.2s: step 'Prepare' exited with code 3 [ZF501]
  attempt 1: failure after 0.2s: step 'Prepare' exited with code 3; attempt 2 dropped: another task had failed (--fail-fast)
    tasks/a/task.yaml:5

x b failed after 0.2s: step 'Prepare' exited with code 3 [ZF501]
    tasks/b/task.yaml:5

FAIL r1: 2 tasks: 2 failure in 3.4s
""",
    ),
    "throttled": (
        [
            run_started(),
            *(ThrottleEntered("CPU", 95, 1), ThrottleLeft(61, 4)) * 2,
            ended("a"),
            ended("b"),
            run_ended(0),
        ],
        """\
PASS r1: 2 tasks: 2 success in 3.4s
throttled: 2 times, for 2m02s in all; tasks were kept waiting for 8.0s of it
""",
    ),
    "not over": (
        [run_started(), ended("a"), started("b")],
        """\
Still running when the record ends: 1 task
   b

UNFINISHED r1: 2 tasks: 1 success, 1 running
""",
    ),
}


@pytest.mark.parametrize(("events", "text"), SUMMARIES.values(), ids=SUMMARIES)
def test_summary(events: list[Event], text: str) -> None:
    assert summary.summary(build(plan({"a": (), "b": ()}), events)) == text


def test_a_run_without_tasks_passes_nothing() -> None:
    facts = build(plan({}), [run_started(0), run_ended(0)])
    assert summary.summary(facts) == "NOTHING RUN r1: 0 tasks in 3.4s\n"


def test_after_many_failures_the_rest_is_only_named() -> None:
    names = [f"t{n:02d}" for n in range(27)]
    events = [run_started(27), *(failed(name) for name in names), run_ended(1)]
    tails = {name: [letter * 3] for name, letter in zip(names, ascii_letters, strict=False)}
    text = summary.summary(build(plan(dict.fromkeys(names, ())), events), tails=tails)
    assert text.count("ZF501") == summary.DETAILED_FAILURES
    assert text.endswith(
        "and 2 failures more:\n  x failure   t25\n  x failure   t26\n\n"
        "FAIL r1: 27 tasks: 27 failure in 3.4s\n"
    )


def test_colours_change_no_word_of_the_summary() -> None:
    facts = build(plan(SEED), seed_events())
    coloured = summary.summary(facts, tails=TAILS, style=COLOUR)
    assert "\x1b[1;31mFAIL\x1b[0m r1:" in coloured
    assert without_colour(coloured) == summary.summary(facts, tails=TAILS)


def test_time_so_far_where_the_end_is_not_known() -> None:
    assert summary.total_s(midway()) == 6.0
    assert summary.total_s(build(plan(SEED), seed_events()[:-1])) is None


@given(hostile_runs())
def test_nothing_a_task_says_gets_out_raw(
    run: tuple[dict[str, Any], list[Event], dict[str, list[str]]],
) -> None:
    content, events, tails = run
    fold = Fold(content)
    for event in events:
        fold.apply(event, 1.0)
        line = terminal.plain_line(fold.facts, event)
        assert is_safe(line)
        assert "\n" not in line
        for task in fold.facts.running.values():
            assert is_safe(terminal.heartbeat_line(task, 2.0))
    assert is_safe(summary.summary(fold.facts, tails=tails, proof="\x1b"))


# --- The page about all this ---------------------------------------------------------------------


def page() -> str:
    return (Path(__file__).parents[2] / "docs" / "reference" / "output.md").read_text()


def odd() -> Facts:
    events = [
        run_started(2),
        failed("10-lint", warned=True),
        failed("20-test"),
        RetryScheduled("20-test", 2, 4.8),
        ThrottleEntered("CPU", 95, 1),
        ThrottleLeft(2.5, 1),
        ended("20-test", attempt=2),
        run_ended(0, 8.4),
    ]
    return build(plan({"10-lint": (), "20-test": ()}), events)


def test_the_pages_examples_are_what_is_printed() -> None:
    facts = build(plan(SEED), seed_events())
    facts = build(plan(SEED), seed_events())
    anchors = summary.anchors(facts, re.findall(r"(?m)^head: (\w{64})$", page())[0], None)
    told = [
        "\n".join(lines(SEED, seed_events())) + "\n",
        "\n".join(live.board(midway(), 117.5, columns=80)) + "\n",
        report(facts, tails=TAILS, proof="proofs/r1"),
        summary.summary(facts, tails=TAILS, proof="proofs/r1") + anchors,
        summary.summary(odd(), proof="proofs/r1"),
    ]
    assert re.findall(r"```text\n(.*?)```", page(), re.DOTALL) == told


def test_the_page_explains_every_word() -> None:
    explained = re.findall(r"(?m)^\| `([^`]+)` \|", page())
    for word in ("start", "running", "retry", "warned", *(status.value for status in Status)):
        assert word in explained
    for result, verdict in summary.VERDICTS.items():
        assert f"\n| `{verdict}` | `{result}` |" in page()


def test_a_mapping_that_is_no_dict_is_an_object_in_json() -> None:
    event = TaskNotRun(
        "a", Status.CANCELLED, Cause.INTERRUPT, "", MappingProxyType({"b": Status.LOST}), "", ""
    )
    assert json.loads(terminal.json_line(event))["needs"] == {"b": "lost"}


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_on_a_terminal_no_word_is_broken_at_the_edge(columns: int, colour: bool) -> None:
    style = Style(colour, utf8=colour, columns=columns)
    task = "40-seed-database-of-the-whole-company"
    facts = build(plan({task: ()}), [run_started(), timed_out(task), run_ended(1)])
    told = summary.summary(facts, tails={task: ["x"]}, proof="proofs/r1", style=style)
    seen = without_colour(told)
    assert all(len(line) <= columns for line in seen.splitlines() if "/20-logs/" not in line), told
    # Nothing is lost on the way, and elsewhere a line stays a line.
    elsewhere = Style(colour, utf8=colour)
    plain = summary.summary(facts, tails={task: ["x"]}, proof="proofs/r1", style=elsewhere)
    assert told.split() == plain.split()
    assert len(plain.splitlines()[0]) > 80
