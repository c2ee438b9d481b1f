"""The summary, and the page about what a run prints, compared whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import ascii_letters
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from tests.support.report_samples import (
    SEED,
    TAILS,
    ended,
    facts_of,
    failed,
    midway,
    not_run,
    plan,
    run_ended,
    run_started,
    seed_events,
    seed_facts,
    started,
    timed_out,
    told_lines,
    used,
)
from tests.support.report_strategies import hostile_runs, is_safe
from zf.events import (
    Cause,
    Event,
    Interrupted,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.records import replace
from zf.report import live, summary, terminal
from zf.report.blocked import report
from zf.report.facts import Facts, Fold, build
from zf.report.words import Style, failed_tests, without_colour

COLOUR = Style(colour=True)


def test_the_summary() -> None:
    facts = seed_facts()
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
    facts = facts_of(dict.fromkeys([*names, "other"], ()), events)
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
    content = plan("a")
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
    assert summary.summary(facts_of("a b", events)) == text


def test_what_a_run_cost_is_told_from_a_second_on() -> None:
    little = [ended("a", measures=used(0.5)), ended("b", measures=used(0.4)), run_ended(0)]
    assert "used:" not in summary.summary(facts_of("a b", little))
    much = [ended("a", measures=used(0.5, 2**30)), ended("b", measures=used(0.5)), run_ended(0)]
    told = "2 success in 3.4s\nused: 1.0s of CPU time, up to 1.0 GiB of memory in one process (a)\n"
    assert told in summary.summary(facts_of("a b", much))


def test_what_was_asked_for_in_vain_is_noted_beside_the_other_remarks() -> None:
    facts = facts_of("a b", [ended(name, measures=used(0.6)) for name in "ab"])
    facts.tasks["a"].resources = {"cpu": 4}
    text = summary.summary(facts, remarks={"a": ["one"], "b": ["two"]})
    assert "note: a: one\nnote: a: asked for 4 cpu, used 0.2\nnote: b: two\n" in text


def test_a_run_without_tasks_passes_nothing() -> None:
    facts = facts_of({}, [run_started(0), run_ended(0)])
    assert summary.summary(facts) == "NOTHING RUN r1: 0 tasks in 3.4s\n"


def test_after_many_failures_the_rest_is_only_named() -> None:
    names = [f"t{n:02d}" for n in range(27)]
    events = [run_started(27), *(failed(name) for name in names), run_ended(1)]
    tails = {name: [letter * 3] for name, letter in zip(names, ascii_letters, strict=False)}
    text = summary.summary(facts_of(dict.fromkeys(names, ()), events), tails=tails)
    assert text.count("ZF501") == summary.DETAILED_FAILURES
    assert text.endswith(
        "and 2 failures more:\n  x failure   t25\n  x failure   t26\n\n"
        "FAIL r1: 27 tasks: 27 failure in 3.4s\n"
    )


def test_colours_change_no_word_of_the_summary() -> None:
    facts = seed_facts()
    coloured = summary.summary(facts, tails=TAILS, style=COLOUR)
    assert "\x1b[1;31mFAIL\x1b[0m r1:" in coloured
    assert without_colour(coloured) == summary.summary(facts, tails=TAILS)


def test_a_warned_task_and_a_flaky_one_are_yellow() -> None:
    facts = facts_of("a b", [failed("a", warned=True), ended("b", attempt=2)])
    text = summary.summary(facts, style=COLOUR)
    assert "a\x1b[0m \x1b[33mfailed\x1b[0m after" in text
    assert "b\x1b[0m \x1b[33msucceeded\x1b[0m only" in text


def test_time_so_far_where_the_end_is_not_known() -> None:
    assert summary.total_s(midway()) == 6.0
    assert summary.total_s(facts_of(SEED, seed_events()[:-1])) is None


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
    return facts_of("10-lint 20-test", events)


def costly() -> Facts:
    measures = used(12.4, 1900 * 2**20, 82 * 2**20) | {"read_bytes": 310 * 2**20}
    return facts_of(SEED, [ended("40-seed-database", measures=measures)])


def test_the_pages_examples_are_what_is_printed() -> None:
    facts = seed_facts()
    facts = seed_facts()
    anchors = summary.anchors(facts, re.findall(r"(?m)^head: (\w{64})$", page())[0], None)
    told = [
        "\n".join(told_lines(SEED, seed_events())) + "\n",
        "\n".join(live.board(midway(), 117.5, columns=80)) + "\n",
        report(facts, tails=TAILS, proof="proofs/r1"),
        summary.summary(facts, tails=TAILS, proof="proofs/r1") + anchors,
        summary.summary(odd(), proof="proofs/r1"),
        *(f"{line}\n" for line in summary.use_line(costly())),
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
    facts = facts_of({task: ()}, [run_started(), timed_out(task), run_ended(1)])
    told = summary.summary(facts, tails={task: ["x"]}, proof="proofs/r1", style=style)
    seen = without_colour(told)
    assert all(len(line) <= columns for line in seen.splitlines() if "/20-logs/" not in line), told
    # Nothing is lost on the way, and elsewhere a line stays a line.
    elsewhere = Style(colour, utf8=colour)
    plain = summary.summary(facts, tails={task: ["x"]}, proof="proofs/r1", style=elsewhere)
    assert told.split() == plain.split()
    assert len(plain.splitlines()[0]) > 80


TESTS = {"total": 812, "failed": 2, "errors": 1, "skipped": 0, "names": ["a.x", "a.y", "b\x1bz"]}


def test_failed_cases_are_told_with_the_failure_and_of_a_success_as_a_note() -> None:
    events = [replace(failed("a"), tests=TESTS), replace(ended("b"), tests=TESTS), run_ended(1)]
    facts = facts_of({"a": (), "b": (), "c": ()}, events)
    text = summary.summary(facts, remarks={"b": ["odd"]})
    said = "3 of 812 tests failed: a.x, a.y, b\\x1bz"
    head = "x a failed after 0.2s: step 'Prepare' exited with code 3 [ZF501]\n"
    assert f"{head}    {said}\n    tasks/a/task.yaml:5\n" in text
    assert f"note: b: {said}\nnote: b: odd\n" in text
    lines = [terminal.plain_line(facts, event) for event in events[:2]]
    assert [line.endswith(f"  {said}") for line in lines] == [True, True]
    assert f"   tests:    {said}\n" in report(facts_of({"a": (), "b": "a"}, events[:1]))


def test_of_many_failed_cases_some_are_named() -> None:
    many = {**TESTS, "failed": 99, "names": [f"t{n}" for n in range(10)]}
    (task,) = facts_of({"a": ()}, [replace(failed("a"), tests=many)]).tasks.values()
    assert failed_tests(task) == "100 of 812 tests failed: t0, t1, t2, t3, t4 and 95 more"
    task.tests = {**many, "names": []}
    assert failed_tests(task) == "100 of 812 tests failed"


def test_cases_of_an_attempt_before_are_not_those_of_the_task() -> None:
    events = [replace(failed("a"), tests=TESTS), RetryScheduled("a", 2, 0), started("a", 2)]
    events.append(ended("a", attempt=2))
    facts = facts_of({"a": ()}, events)
    assert facts.tasks["a"].tests == {}
    assert facts.tasks["a"].earlier[0].task.tests == TESTS
    assert "tests failed" not in summary.summary(facts)
