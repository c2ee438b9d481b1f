"""The deadlock report word for word, and blocked.json against its schema and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from tests.support.report_samples import (
    SEED,
    TAILS,
    B,
    C,
    F,
    S,
    T,
    blocked,
    ended,
    facts_of,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    seed_events,
    seed_facts,
    started,
    timed_out,
)
from tests.support.report_strategies import finished_runs, hostile_runs, is_safe
from zf.events import (
    Cause,
    Event,
    Interrupted,
    PhaseTimedOut,
    RetryScheduled,
    RunTimedOut,
    Status,
)
from zf.report.blocked import CODES, SCHEMA, as_json, report
from zf.report.facts import build
from zf.report.words import TAIL_CHARS, TAIL_LINES, Style, without_colour

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def told(needs: dict[str, str], events: list[Event], **options: Any) -> str:
    content = plan(needs)
    return report(build(content, events), **options)


def test_the_whole_report() -> None:
    facts = seed_facts()
    assert (
        report(facts, tails=TAILS, proof="proofs/r1")
        == """\
ERROR: Deadlock detected - 2 tasks still pending:
  - 42-e2e-admin (needs: 40-seed-database)
    -> dependency '40-seed-database' has status: timeout
  - 43-e2e-report (needs: 42-e2e-admin, 41-lint)
    -> dependency '42-e2e-admin' has status: blocked
    -> dependency '41-lint' has status: failure

1. ZF503 40-seed-database: timeout
   what:     step 'Seed' ran past timeout_sec (3s)
   when:     2026-11-21 06:30:44 UTC, attempt 1, after 3.0s
   where:    tasks/40-seed-database/task.yaml:8
   log:      last 2 lines
     | connecting
     | still   connecting
   proof:    proofs/r1/40-seed-database
   holds up: 2 tasks
     42-e2e-admin
       43-e2e-report (held up by 41-lint too)

2. ZF501 41-lint: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/41-lint/task.yaml:5
   log:      last 1 line
     | core.py:1: unused import
   proof:    proofs/r1/41-lint
   holds up: 1 task, listed above
"""
    )


REPORTS: dict[str, tuple[dict[str, str], list[Event], str]] = {
    "nothing went wrong": ({"a": "", "b": "a"}, [ended("a"), ended("b"), run_ended(0)], ""),
    "failures that hold up nobody are the summary's matter": (
        {"a": ""},
        [failed("a"), run_ended(1)],
        "",
    ),
    "skipped tasks are no deadlock": (
        {"a": "", "b": "a"},
        [not_run("a", S, Cause.NONE), not_run("b", S, Cause.NEED, needs={"a": S}), run_ended(0)],
        "",
    ),
    "one task": (
        {"40-seed-database": "", "42-e2e-admin": "40-seed-database"},
        [
            timed_out("40-seed-database"),
            not_run("42-e2e-admin", B, Cause.NEED, needs={"40-seed-database": T}),
        ],
        """\
ERROR: Deadlock detected - 1 tasks still pending:
  - 42-e2e-admin (needs: 40-seed-database)
    -> dependency '40-seed-database' has status: timeout

1. ZF503 40-seed-database: timeout
   what:     step 'Seed' ran past timeout_sec (3s)
   when:     2026-11-21 06:30:44 UTC, attempt 1, after 3.0s
   where:    tasks/40-seed-database/task.yaml:8
   holds up: 1 task
     42-e2e-admin
""",
    ),
    "phase timeout": (
        {"a": "", "b": "a", "c": "", "d": "c"},
        [
            PhaseTimedOut("E", 5),
            ended("a", T, Cause.PHASE_TIMEOUT, exit_code=124, step=0),
            blocked("b", a=T),
            not_run("c", C, Cause.PHASE_TIMEOUT),
            not_run("d", C, Cause.PHASE_TIMEOUT),
            run_ended(124),
        ],
        """\
ERROR: Phase timeout (5s) exceeded
ERROR: Deadlock detected - 1 tasks still pending:
  - b (needs: a)
    -> dependency 'a' has status: timeout

1. ZF504 a: timeout
   what:     step 'Prepare' was running when the phase timeout struck
   when:     2026-11-21 06:30:44 UTC, attempt 1, after 3.0s
   where:    tasks/a/task.yaml:5
   holds up: 1 task
     b

Cancelled by the phase timeout: 2 tasks
   c
   d
""",
    ),
    "phase timeout alone": (
        {"a": ""},
        [
            PhaseTimedOut("E", 0.5),
            ended("a", T, Cause.PHASE_TIMEOUT, exit_code=124, step=0),
            run_ended(124),
        ],
        """\
ERROR: Phase timeout (0.5s) exceeded
""",
    ),
    "an interrupt": (
        {"a": "", "b": "a"},
        [
            Interrupted(2, 1),
            ended("a", C, Cause.INTERRUPT, exit_code=None, step=0),
            not_run("b", C, Cause.INTERRUPT),
            run_ended(130),
        ],
        """\
Cancelled by the interrupt: 2 tasks
   a: step 'Prepare' was interrupted
   b
""",
    ),
    "fail fast, and a failure beside the cause": (
        {"a": "", "b": "a", "c": "", "x": ""},
        [
            failed("a"),
            blocked("b", a=F),
            not_run("c", C, Cause.FAIL_FAST),
            failed("x", 9),
            run_ended(1),
        ],
        """\
ERROR: Deadlock detected - 1 tasks still pending:
  - b (needs: a)
    -> dependency 'a' has status: failure

1. ZF501 a: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/a/task.yaml:5
   holds up: 1 task
     b

Cancelled by --fail-fast: 1 task
   c
""",
    ),
    "nobody is freed by one repair alone": (
        {"a": "", "b": "", "c": "a b", "d": "c"},
        [failed("a"), failed("b"), blocked("c", a=F, b=F), blocked("d", c=B)],
        """\
ERROR: Deadlock detected - 2 tasks still pending:
  - c (needs: a, b)
    -> dependency 'a' has status: failure
    -> dependency 'b' has status: failure
  - d (needs: c)
    -> dependency 'c' has status: blocked

1. ZF501 a: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/a/task.yaml:5
   holds up: 2 tasks
     c (held up by b too)
       d

2. ZF501 b: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/b/task.yaml:5
   holds up: 2 tasks, listed above
""",
    ),
    "partly listed above": (
        {"a": "", "z": "", "b": "z", "c": "z", "d": "a z", "e": "a"},
        [
            failed("a"),
            failed("z"),
            blocked("b", z=F),
            blocked("c", z=F),
            blocked("d", a=F, z=F),
            blocked("e", a=F),
        ],
        """\
ERROR: Deadlock detected - 4 tasks still pending:
  - b (needs: z)
    -> dependency 'z' has status: failure
  - c (needs: z)
    -> dependency 'z' has status: failure
  - d (needs: a, z)
    -> dependency 'a' has status: failure
    -> dependency 'z' has status: failure
  - e (needs: a)
    -> dependency 'a' has status: failure

1. ZF501 z: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/z/task.yaml:5
   holds up: 3 tasks
     b
     c
     d (held up by a too)

2. ZF501 a: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/a/task.yaml:5
   holds up: 2 tasks (1 listed above)
     e
""",
    ),
    "a killed run": (
        {"a": "", "b": "a", "c": "", "d": "c", "e": ""},
        [run_started(5), failed("a"), started("c")],
        """\
ERROR: Deadlock detected - 1 tasks still pending:
  - b (needs: a)
    -> dependency 'a' has status: failure

1. ZF501 a: failure
   what:     step 'Prepare' exited with code 3
   when:     2026-11-21 06:30:41 UTC, attempt 1, after 0.2s
   where:    tasks/a/task.yaml:5
   holds up: 1 task
     b

Still running when the record ends: 1 task
   c

Still waiting when the record ends: 2 tasks
   d
   e
""",
    ),
    "a need outside the plan, and one never started": (
        {"a": "up", "b": "", "c": "b"},
        [blocked("a", up=F), not_run("b", C, Cause.PHASE_FAILED), blocked("c", b=C)],
        """\
ERROR: Deadlock detected - 2 tasks still pending:
  - a (needs: up)
    -> dependency 'up' has status: failure
  - c (needs: b)
    -> dependency 'b' has status: cancelled

1. ZF507 b: cancelled
   what:     an earlier phase failed
   when:     2026-11-21 06:30:45 UTC
   where:    tasks/b/task.yaml:1
   holds up: 1 task
     c

2. ZF500 up: failure
   holds up: 1 task
     a
""",
    ),
    "a need said to have failed that has not ended": (
        {"a": "", "b": "a"},
        [blocked("b", a=F)],
        """\
ERROR: Deadlock detected - 1 tasks still pending:
  - b (needs: a)
    -> dependency 'a' has status: failure

1. ZF500 a: waiting
   what:     waiting
   where:    tasks/a/task.yaml:1
   holds up: 1 task
     b
""",
    ),
    "blocked by nothing known": (
        {"a": ""},
        [not_run("a", B, Cause.NEED)],
        """\
ERROR: Deadlock detected - 1 tasks still pending:
  - a (needs: )
""",
    ),
}


@pytest.mark.parametrize(("needs", "events", "expected"), REPORTS.values(), ids=REPORTS)
def test_report(needs: dict[str, str], events: list[Event], expected: str) -> None:
    assert told(needs, events) == expected


def test_a_deep_chain_says_its_depth_instead_of_walking_off_the_screen() -> None:
    names = [f"t{n:02d}" for n in range(12)]
    needs = {name: names[n - 1] if n else "" for n, name in enumerate(names)}
    events = [failed("t00")]
    events += [not_run(n, B, Cause.NEED, needs={needs[n]: B}) for n in names[1:]]
    lines = told(needs, events).splitlines()
    assert "   " + "  " * 8 + "t08" in lines
    assert "   " + "  " * 8 + "t09 (9 deep, through t08)" in lines
    assert "   " + "  " * 8 + "t11 (11 deep, through t10)" in lines


def test_a_deep_chain_of_hostile_names_is_printable() -> None:
    names = [f"{n}\x1b[2J" for n in range(12)]
    needs = {name: (names[n - 1],) if n else () for n, name in enumerate(names)}
    events = [failed(names[0])]
    events += [not_run(n, B, Cause.NEED, needs={needs[n][0]: B}) for n in names[1:]]
    assert is_safe(report(facts_of(needs, events)))


def test_colours_change_no_word() -> None:
    facts = facts_of(SEED, [PhaseTimedOut("E", 5), *seed_events()])
    coloured = report(facts, tails=TAILS, style=Style(colour=True))
    assert "\x1b[31mtimeout\x1b[0m" in coloured
    assert without_colour(coloured) == report(facts, tails=TAILS)


@given(finished_runs())
def test_every_unmet_need_has_its_line_and_every_blocked_task_its_place(
    run: tuple[dict[str, tuple[str, ...]], list[Event]],
) -> None:
    needs, events = run
    facts = facts_of(needs, events)
    text = report(facts)
    held = [task for task in facts.tasks.values() if task.status is B]
    for task in held:
        entry = text.split(f"\n  - {task.id} (needs: ")[1].split("\n  - ")[0].split("\n\n")[0]
        for need, word in task.unmet.items():
            assert f"\n    -> dependency '{need}' has status: {word.value}" in entry
    tree = [line.split(" (")[0].strip() for line in text.splitlines() if line.startswith("     ")]
    assert sorted(tree) == sorted(task.id for task in held)
    if held:
        assert text.startswith(f"ERROR: Deadlock detected - {len(held)} tasks still pending:\n")


# --- Hostile text --------------------------------------------------------------------------------


@given(hostile_runs())
def test_no_text_of_a_task_gets_out_raw(
    run: tuple[dict[str, Any], list[Event], dict[str, list[str]]],
) -> None:
    content, events, tails = run
    facts = build(content, events)
    assert is_safe(report(facts, tails=tails, proof="pro\x1bofs"))
    strings: list[str] = []
    gather(as_json(facts, tails=tails), strings)
    assert all(is_safe(text) and "\n" not in text for text in strings)


def gather(value: object, strings: list[str]) -> None:
    if isinstance(value, str):
        strings.append(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            strings.append(key)
            gather(item, strings)
    elif isinstance(value, list):
        for item in value:
            gather(item, strings)


# --- blocked.json --------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    return json.loads((REFERENCE / "schemas" / "blocked.schema.json").read_text())


def test_blocked_json() -> None:
    facts = seed_facts()
    assert as_json(facts, tails=TAILS) == {
        "schema": "zf/blocked/v2",
        "run_id": "r1",
        "pending": 2,
        "phase_timeout": None,
        "run_timeout": None,
        "fix_first": {"task": "40-seed-database", "with": [], "frees": 1},
        "next": ["zf rerun r1 --failed"],
        "causes": [
            {
                "code": "ZF503",
                "task": "40-seed-database",
                "status": "timeout",
                "cause": "timeout",
                "what": "step 'Seed' ran past timeout_sec (3s)",
                "detail": "",
                "phase": "E",
                "attempt": 1,
                "exit_code": 124,
                "signal": None,
                "step": 1,
                "started_at": "2026-11-21T06:30:41.500000Z",
                "completed_at": "2026-11-21T06:30:44.500000Z",
                "duration_s": 3.0,
                "file": "tasks/40-seed-database/task.yaml",
                "line": 8,
                "log_tail": ["connecting", "still   connecting"],
                "proof": "40-seed-database",
                "blocks": 2,
                "frees": 1,
                "held_up": [
                    {
                        "task": "42-e2e-admin",
                        "phase": "E",
                        "status": "blocked",
                        "via": None,
                        "depth": 1,
                        "needs": {"40-seed-database": "timeout"},
                        "also": [],
                    },
                    {
                        "task": "43-e2e-report",
                        "phase": "E",
                        "status": "blocked",
                        "via": "42-e2e-admin",
                        "depth": 2,
                        "needs": {"42-e2e-admin": "blocked", "41-lint": "failure"},
                        "also": ["41-lint"],
                    },
                ],
            },
            {
                "code": "ZF501",
                "task": "41-lint",
                "status": "failure",
                "cause": "exit",
                "what": "step 'Prepare' exited with code 3",
                "detail": "",
                "phase": "E",
                "attempt": 1,
                "exit_code": 3,
                "signal": None,
                "step": 0,
                "started_at": "2026-11-21T06:30:41.500000Z",
                "completed_at": "2026-11-21T06:30:41.750000Z",
                "duration_s": 0.25,
                "file": "tasks/41-lint/task.yaml",
                "line": 5,
                "log_tail": ["core.py:1: unused import"],
                "proof": "41-lint",
                "blocks": 1,
                "frees": 0,
                "held_up": [],
            },
        ],
        "not_started": [],
        "warned": [],
        "flaky": [],
    }


def test_blocked_json_names_what_was_tolerated_and_what_was_flaky() -> None:
    events = [
        run_started(),
        failed("a", warned=True),
        failed("b"),
        RetryScheduled("b", 2, 1.5),
        ended("b", attempt=2),
        RunTimedOut(60),
        run_ended(124),
    ]
    told = as_json(facts_of("a b", events))
    assert told["causes"] == []
    assert told["run_timeout"] == {"deadline_s": 60}
    assert told["flaky"] == ["b"]
    assert told["warned"] == [
        {
            "code": "ZF501",
            "task": "a",
            "phase": "E",
            "status": "failure",
            "cause": "exit",
            "what": "step 'Prepare' exited with code 3",
        }
    ]
    Draft202012Validator(schema()).validate(told)


def test_the_deadline_of_a_run_is_in_the_report() -> None:
    events = [run_started(), RunTimedOut(60), not_run("a", C, Cause.DEADLINE), run_ended(124)]
    assert report(facts_of("a", events)).startswith(
        "ERROR: Run deadline (60s) exceeded\n\nCancelled by the deadline of the run: 1 task\n   a\n"
    )


def test_a_tolerated_failure_holds_up_nobody() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",)}
    for events in ([], [started("b")]):
        assert facts_of(needs, [failed("a", warned=True), *events]).causes == ()


def test_blocked_json_knows_little_of_a_cause_outside_the_plan() -> None:
    facts = facts_of({"a": ("up",)}, [blocked("a", up=F)])
    [cause] = as_json(facts)["causes"]
    assert {name: value for name, value in cause.items() if value} == {
        "code": "ZF500",
        "task": "up",
        "status": "failure",
        "blocks": 1,
        "frees": 1,
        "held_up": [
            {
                "task": "a",
                "phase": "E",
                "status": "blocked",
                "via": None,
                "depth": 1,
                "needs": {"up": "failure"},
                "also": [],
            }
        ],
    }
    assert cause["attempt"] == 0


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(("needs", "events"), [case[:2] for case in REPORTS.values()], ids=REPORTS)
def test_blocked_json_is_valid(needs: dict[str, str], events: list[Event]) -> None:
    content = plan(needs)
    Draft202012Validator(schema()).validate(as_json(build(content, events), tails=TAILS))


@settings(max_examples=50)
@given(hostile_runs())
def test_blocked_json_is_valid_whatever_tasks_say(
    run: tuple[dict[str, Any], list[Event], dict[str, list[str]]],
) -> None:
    content, events, tails = run
    Draft202012Validator(schema()).validate(as_json(build(content, events), tails=tails))


def test_the_same_facts_before_and_after_the_run_is_over() -> None:
    events = seed_events()
    before, after = facts_of(SEED, events[:-1]), facts_of(SEED, events)
    assert as_json(before) == as_json(after)


def test_schema_says_every_word_that_can_occur() -> None:
    definitions = schema()["$defs"]
    words = {*(status.value for status in Status), "running", "waiting"}
    for name in ("cause", "held", "not_started"):
        assert set(definitions[name]["properties"]["status"]["enum"]) == words
    for name in ("cause", "not_started"):
        assert set(definitions[name]["properties"]["cause"]["enum"]) == {c.value for c in Cause}
        assert set(definitions[name]["properties"]["code"]["enum"]) == set(CODES.values())
    assert schema()["properties"]["schema"]["const"] == SCHEMA


def test_schema_bounds_the_log_as_the_code_does() -> None:
    log = schema()["$defs"]["cause"]["properties"]["log_tail"]
    assert (log["maxItems"], log["items"]["maxLength"]) == (TAIL_LINES, TAIL_CHARS)


def test_every_cause_has_its_own_code() -> None:
    assert set(CODES) == set(Cause)
    assert len(set(CODES.values())) == len(CODES)


def table_rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table whose first heading is this."""
    lines = page.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_lists_every_code() -> None:
    page = (REFERENCE / "blocked-json.md").read_text()
    listed = {code: cause for code, cause, _ in table_rows(page, "code")}
    assert listed == {code: cause.value for cause, code in CODES.items()}


def test_the_page_describes_every_field_as_the_schema_does() -> None:
    page = (REFERENCE / "blocked-json.md").read_text()
    content = schema()
    objects = [content, *content["$defs"].values()]
    objects += [
        content["properties"][name]["oneOf"][1]
        for name in ("phase_timeout", "run_timeout", "fix_first")
    ]
    described = {
        (name, what["description"]) for o in objects for name, what in o["properties"].items()
    }
    tables = page.split("\n| field |")[1:]
    listed = {
        (row[0], row[2])
        for number in range(len(tables))
        for row in table_rows("\n| field |" + tables[number], "field")
    }
    assert listed == described
