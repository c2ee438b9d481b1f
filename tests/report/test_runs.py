"""`zf status`: tables of runs and of tasks."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from tests.support.report_samples import (
    blocked,
    ended,
    facts_of,
    failed,
    plan,
    run_ended,
    run_started,
    seed_facts,
    started,
    used,
)
from tests.support.report_strategies import hostile_runs, is_safe
from zf.events import Event, RetryScheduled, Status
from zf.report import runs
from zf.report.facts import build
from zf.report.words import Style, without_colour


def sample() -> list[runs.RunRow]:
    passed = build(plan("a", phase="A"), [run_started(), ended("a"), run_ended(0, 185)])
    dead = facts_of("a b", [run_started(), started("a")])
    return [
        runs.row(seed_facts()),
        runs.row(passed),
        runs.row(dead),
        runs.unreadable("20261121-063044-4711", "plan.json is missing"),
    ]


def test_runs() -> None:
    assert (
        runs.table(sample())
        == """\
RUN                   RESULT                STARTED                  TIME   PHASES  TASKS
r1                    failed                2026-11-21 06:30:41 UTC  3.4s   E       1 success, 1 failure, 1 timeout, 2 blocked
r1                    passed                2026-11-21 06:30:41 UTC  3m05s  A       1 success
r1                    unfinished            -                        -      E       1 running, 1 waiting
20261121-063044-4711  plan.json is missing  -                        -      -       -
"""
    )


def test_what_was_tolerated_and_what_was_flaky_is_counted_and_named() -> None:
    events = [
        run_started(),
        failed("a", warned=True),
        failed("b"),
        failed("c"),
        RetryScheduled("c", 2, 1.5),
        ended("c", attempt=2),
        RetryScheduled("d", 2, 1.5),
    ]
    facts = facts_of("a b c", events)
    told = runs.row(facts)
    assert "1 success (1 flaky), 2 failure (1 warned)\n" in runs.table([told])
    assert [runs.as_json([told])[0][key] for key in ("warned", "flaky")] == [["a"], ["c"]]
    assert (
        runs.tasks_table(facts)
        == """\
TASK  STATUS   TIME  PHASE  WHAT
a     warned   0.2s  E      failure, tolerated: step 'Prepare' exited with code 3
b     failure  0.2s  E      step 'Prepare' exited with code 3
c     success  3.0s  E      attempt 2  flaky
"""
    )


def test_a_task_that_waits_for_another_attempt() -> None:
    facts = facts_of("a", [failed("a"), RetryScheduled("a", 2, 1.5)])
    assert runs.tasks_table(facts).splitlines()[1:] == [
        "a     waiting  -     E      for attempt 2, 1.5s after failure: step 'Prepare' exited with code 3"
    ]


def test_no_runs() -> None:
    assert runs.table([]) == "no runs yet\n"


def test_runs_for_programs() -> None:
    none = dict.fromkeys(
        [
            "success",
            "failure",
            "timeout",
            "blocked",
            "skipped",
            "cancelled",
            "lost",
            "running",
            "waiting",
        ],
        0,
    )
    assert runs.as_json(sample()[2:]) == [
        {
            "run_id": "r1",
            "result": "unfinished",
            "started_at": None,
            "duration_s": None,
            "phases": ["E"],
            "counts": {**none, "running": 1, "waiting": 1},
            "warned": [],
            "flaky": [],
        },
        {
            "run_id": "20261121-063044-4711",
            "result": "plan.json is missing",
            "started_at": None,
            "duration_s": None,
            "phases": [],
            "counts": none,
            "warned": [],
            "flaky": [],
        },
    ]


def test_tasks() -> None:
    assert (
        runs.tasks_table(seed_facts())
        == """\
TASK              STATUS   TIME  PHASE  WHAT
30-migrate        success  0.5s  E
40-seed-database  timeout  3.0s  E      step 'Seed' ran past timeout_sec (3s)
41-lint           failure  0.2s  E      step 'Prepare' exited with code 3
42-e2e-admin      blocked  -     E      dependency '40-seed-database' has status: timeout
43-e2e-report     blocked  -     E      dependency '42-e2e-admin' has status: blocked; dependency '41-lint' has status: failure
"""
    )


def test_tasks_with_what_they_used_and_below_it_what_all_attempts_did() -> None:
    events = [
        failed("a", measures=used(2, 2**30)),
        RetryScheduled("a", 2, 1.5),
        ended("a", attempt=2, measures=used(0.5)),
        failed("b", measures=used(0.25, 3 * 2**28, written=2048)),
        blocked("c", b=Status.FAILURE),
        ended("d", measures=used(0) | {"cpu_user_s": None, "cpu_system_s": None}),
    ]
    needs = {"a": (), "b": (), "c": ("b",), "d": ()}
    assert (
        runs.tasks_table(facts_of(needs, events))
        == """\
TASK  STATUS   TIME  CPU   MEMORY   PHASE  WHAT
a     success  3.0s  0.5s  -        E      attempt 2  flaky
b     failure  0.2s  0.2s  768 MiB  E      step 'Prepare' exited with code 3
c     blocked  -     -     -        E      dependency 'b' has status: failure
d     success  3.0s  -     -        E

used: 2.8s of CPU time, up to 1.0 GiB of memory in one process (a), 2.0 KiB written
"""
    )


def test_a_run_without_tasks() -> None:
    assert runs.tasks_table(facts_of({}, [])) == "TASK  STATUS  TIME  PHASE  WHAT\n"


def test_colours_change_no_word() -> None:
    coloured = runs.table(sample(), Style(colour=True))
    assert "\x1b[1;31mfailed              \x1b[0m" in coloured
    assert without_colour(coloured) == runs.table(sample())


@given(hostile_runs())
def test_nothing_a_task_says_gets_out_raw(
    run: tuple[dict[str, Any], list[Event], dict[str, list[str]]],
) -> None:
    content, events, _ = run
    facts = build(content, events)
    rows = [runs.row(facts), runs.unreadable("\x1b", "\x07")]
    assert is_safe(runs.table(rows))
    assert is_safe(runs.tasks_table(facts))
