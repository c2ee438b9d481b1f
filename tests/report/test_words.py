"""How single facts are worded, and that no text of a task gets through unsafe."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.report_samples import (
    C,
    F,
    at,
    blocked,
    ended,
    facts_of,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    started,
)
from tests.support.report_strategies import hostile, is_safe
from zf.events import AttemptEnded, Cause, Event, Status, TaskNotRun
from zf.report import advice, words
from zf.report.facts import build
from zf.report.task_facts import TaskFacts
from zf.report.words import PLAIN, Style


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1, "0.0s"),
        (0, "0.0s"),
        (0.04, "0.0s"),
        (0.3, "0.3s"),
        (12.44, "12.4s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (185.4, "3m05s"),
        (3599.4, "59m59s"),
        (3599.6, "1h00m"),
        (3720, "1h02m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (183600, "2d03h"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (60.0, "1m"), (61.2, "1m01s"), (3720, "1h02m")],
)
def test_whole(seconds: float, text: str) -> None:
    assert words.whole(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (5.0, "5s"), (0.5, "0.5s"), (3600, "3600s"), (3e8, "300000000s")],
)
def test_limit(seconds: float, text: str) -> None:
    assert words.limit(seconds) == text


def test_moment() -> None:
    assert words.moment(at(44.999)) == "2026-11-21 06:30:44 UTC"
    assert words.moment("") == "-"


def test_count() -> None:
    assert [words.count(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("ends\r\n", "ends"),
        ("a\tb\n", "a       b"),
        ("\x1b[1;31mFAILED\x1b[0m test", "FAILED test"),
        ("\x1b[3\x1b[0m1m", "\\x1b[31m"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("10%\r20%", "10%\\r20%"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("caf\u00e9 \udcff", "caf\u00e9 \\udcff"),
    ],
    ids=[
        "plain",
        "line end",
        "tab",
        "colour",
        "colour in pieces",
        "escapes",
        "return",
        "bidi",
        "bytes",
    ],
)
def test_log_line(raw: str, shown: str) -> None:
    assert words.log_line(raw) == shown


def test_tail_is_short_and_keeps_the_end() -> None:
    assert words.tail([str(n) for n in range(50)]) == [str(n) for n in range(40, 50)]
    [line] = words.tail(["x" * 10_000_000 + "end\n"])
    assert len(line) == words.TAIL_CHARS
    assert line.startswith("...x")
    assert line.endswith("xend")
    assert words.tail(["y" * words.TAIL_CHARS]) == ["y" * words.TAIL_CHARS]
    # Tables that are as wide as a terminal was said to be end in blanks.
    assert words.tail(["952:8  , expected." + " " * 500 + "\n"]) == ["952:8  , expected."]


WHAT: dict[str, tuple[list[Event], str]] = {
    "nothing yet": ([], ""),
    "running": ([started("a")], ""),
    "success": ([ended("a")], ""),
    "exit": ([ended("a", F, Cause.EXIT, exit_code=3, step=1)], "step 'Seed' exited with code 3"),
    "signal": (
        [ended("a", F, Cause.SIGNAL, exit_code=139, signal=11, step=0)],
        "step 'Prepare' was ended by signal 11 (SIGSEGV)",
    ),
    "signal without a portable name": (
        [ended("a", F, Cause.SIGNAL, exit_code=135, signal=7, step=0)],
        "step 'Prepare' was ended by signal 7",
    ),
    "timeout": (
        [ended("a", Status.TIMEOUT, Cause.TIMEOUT, exit_code=124, step=1)],
        "step 'Seed' ran past timeout_sec (3s)",
    ),
    "phase timeout while running": (
        [ended("a", Status.TIMEOUT, Cause.PHASE_TIMEOUT, exit_code=124, step=1)],
        "step 'Seed' was running when the phase timeout struck",
    ),
    "phase timeout before start": (
        [not_run("a", C, Cause.PHASE_TIMEOUT)],
        "the phase timeout struck before it could start",
    ),
    "time limit after the steps": (
        [ended("a", Status.TIMEOUT, Cause.TIMEOUT, exit_code=124, detail="collecting took long")],
        "collecting took long",
    ),
    "interrupt while running": (
        [ended("a", C, Cause.INTERRUPT, exit_code=None, step=0)],
        "step 'Prepare' was interrupted",
    ),
    "interrupt before start": (
        [not_run("a", C, Cause.INTERRUPT)],
        "zf was interrupted before it could start",
    ),
    "fail fast": ([not_run("a", C, Cause.FAIL_FAST)], "another task had failed (--fail-fast)"),
    "earlier phase": ([not_run("a", C, Cause.PHASE_FAILED)], "an earlier phase failed"),
    "need": (
        [blocked("a", x=F, y=Status.TIMEOUT)],
        "dependency 'x' has status: failure; dependency 'y' has status: timeout",
    ),
    "spawn, with a detail": (
        [ended("a", F, Cause.SPAWN, exit_code=127, step=0, detail="cannot start bash: not found")],
        "cannot start bash: not found",
    ),
    "a hostile detail": (
        [ended("a", F, Cause.WORKDIR, exit_code=1, detail="'x\n\x1b[2J' is missing")],
        "'x\\n\\x1b[2J' is missing",
    ),
    "no cause, a detail": ([ended("a", F, Cause.NONE, detail="odd")], "odd"),
    "no cause, no detail": ([ended("a", F, Cause.NONE)], "failure"),
    "a step the plan does not have": (
        [ended("a", F, Cause.EXIT, exit_code=3, step=8)],
        "step-8 exited with code 3",
    ),
    "no step": ([ended("a", F, Cause.EXIT, exit_code=3)], "it exited with code 3"),
}


@pytest.mark.parametrize(("events", "sentence"), WHAT.values(), ids=WHAT)
def test_what(events: list[Event], sentence: str) -> None:
    assert words.what(facts_of("a", events).tasks["a"]) == sentence


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words_of_its_own(cause: Cause) -> None:
    if cause in {Cause.NONE, Cause.NEED}:
        return
    [ran, never] = [
        words.what(facts_of("a", [event]).tasks["a"])
        for event in (ended("a", F, cause, exit_code=3, step=0), not_run("a", C, cause))
    ]
    assert ran != "failure"
    assert never != "cancelled"


def task(event: AttemptEnded | TaskNotRun) -> TaskFacts:
    return facts_of("a", [event]).tasks["a"]


def test_place_is_the_failing_steps_line() -> None:
    assert words.place(task(ended("a", F, Cause.EXIT, step=1))) == "tasks/a/task.yaml:8"
    assert words.place(task(not_run("a", C, Cause.INTERRUPT))) == "tasks/a/task.yaml:1"
    assert words.place(task(ended("a", F, Cause.EXIT, step=6))) == "tasks/a/task.yaml:1"


def test_place_of_a_step_without_a_line_is_the_task() -> None:
    content = plan("a")
    content["tasks"][0]["steps"] = [{"name": "x"}]
    facts = build(content, [ended("a", F, Cause.EXIT, step=0)])
    assert words.place(facts.tasks["a"]) == "tasks/a/task.yaml:1"


def test_signal_names_are_those_of_this_system() -> None:
    named = [number for number in range(1, 32) if "(" in words.signal_name(number)]
    assert [words.signal_name(number) for number in named] == [
        f"signal {number} ({signal.Signals(number).name})" for number in named
    ]
    assert named == [1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 14, 15]
    assert words.signal_name(None) == "signal None"


def test_commands_are_quoted() -> None:
    spoilt = [run_started(), failed("a; rm"), run_ended(1)]
    alone = build(plan({"a; rm": ()}, checked=False), spoilt)
    assert advice.commands(alone) == ["zf run-task 'a; rm'"]
    named = replace(run_started(), run="my run\n")
    whole = facts_of({"a; rm": ()}, [named, failed("a; rm"), run_ended(1)])
    assert advice.commands(whole) == ["zf rerun 'my run\\n' --failed"]


def test_a_run_that_went_well_needs_no_command() -> None:
    facts = facts_of("a", [run_started(), failed("a", warned=True), run_ended(0)])
    assert advice.commands(facts) == []


def test_a_shape_and_a_word_tell_a_state_apart_in_any_locale() -> None:
    words = ("success", "failure", "timeout", "blocked", "skipped", "lost", "flaky")
    for style in (PLAIN, Style(utf8=True), Style(colour=True, utf8=True)):
        assert len({style.shape(word) for word in words}) == len(words)
    assert all(PLAIN.shape(word).isascii() for word in words)


def test_style_changes_colours_and_no_words() -> None:
    assert Style(colour=True).paint("failed", "failure") == "\x1b[31mfailed\x1b[0m"
    assert Style(colour=True).paint("odd", "odd") == "odd"
    assert PLAIN.paint("failed", "failure") == "failed"
    assert words.without_colour(Style(colour=True).paint("failed", "failure")) == "failed"


@given(hostile)
def test_log_lines_are_one_safe_line(text: str) -> None:
    shown = words.log_line(text)
    assert is_safe(shown)
    assert "\n" not in shown


@given(st.lists(hostile, max_size=20))
def test_tails_are_safe_and_short(lines: list[str]) -> None:
    shown = words.tail(lines)
    assert len(shown) == min(len(lines), words.TAIL_LINES)
    assert all(is_safe(line) and "\n" not in line for line in shown)
    assert all(len(line) <= words.TAIL_CHARS for line in shown)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (9728, "9.5 KiB"),
        (102_400, "100 KiB"),
        (1023 * 1024, "1.0 MiB"),
        (2_254_857_830, "2.1 GiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_size(count: float | None, text: str) -> None:
    assert words.size(count) == text
