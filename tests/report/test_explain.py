"""`zf explain`, whole texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.support.report_samples import (
    SEED,
    TAILS,
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
    used,
)
from tests.support.report_strategies import hostile_runs, is_safe
from zf.events import Cause, ConditionEvaluated, Event, RetryScheduled, Status
from zf.lean.records import replace
from zf.report import explain, summary
from zf.report.blocked import report
from zf.report.facts import build
from zf.report.remarks import failed_cases

ADVICE = """\
Fix first: 40-seed-database - frees 1 task
Next: zf rerun r1 --failed
"""


def test_a_run_ends_with_what_to_do_and_can_be_told_with_its_trees() -> None:
    facts = seed_facts()
    told = {"tails": TAILS, "proof": "proofs/r1"}
    end_of_run = summary.summary(facts, advice=ADVICE.splitlines(), **told)
    assert ADVICE in end_of_run
    assert explain.run(facts, **told) == end_of_run
    whole = report(facts, **told)
    end = end_of_run[end_of_run.index("FAIL r1") :]
    assert explain.run(facts, whole=True, **told) == f"{whole}\n{end}"


@pytest.mark.parametrize("whole", [True, False])
def test_each_failure_is_told_once_with_its_log_and_the_old_lines_once(whole: bool) -> None:
    events = [
        failed("a"),
        failed("x", 9),
        blocked("b", a=Status.FAILURE),
        run_ended(1),
    ]
    facts = facts_of({"a": (), "b": ("a",), "x": ()}, events)
    tails = {name: [f"{name}{n}" for n in range(5)] for name in "ax"}
    text = explain.run(facts, tails=tails, whole=whole)
    assert [text.count(f"| {name}{n}\n") for name in "ax" for n in range(5)] == [1] * 10
    assert text.count("Deadlock detected") == 1
    assert text.count("    -> dependency 'a' has status: failure\n") == 1


def test_what_a_task_used_and_what_it_had_asked_for() -> None:
    facts = facts_of("a", [ended("a", measures=used(0.6, 3 * 2**30))])
    facts.tasks["a"].resources = {"cpu": 4, "mem_mb": 2048}
    text = explain.task(facts, "a", remarks=["odd"])
    assert "  used:     0.6s of CPU time, up to 3.0 GiB of memory in one process\n" in text
    notes = ["odd", "asked for 4 cpu, used 0.2", "memory: 3.0 GiB of the 2.0 GiB asked for"]
    assert "".join(f"  note:     {line}\n" for line in notes) in text
    assert "used:" not in explain.task(facts_of("a", [ended("a")]), "a")


def test_what_a_task_measured_itself() -> None:
    facts = facts_of("a", [ended("a")])
    series = {"name": "llm_cost_usd_total", "labels": {"model": "m"}, "value": 0.75, "unit": "USD"}
    others = [{"name": f"m{n}", "labels": {}, "value": 12345.0, "unit": ""} for n in range(6)]
    facts.tasks["a"].metrics = [series, *others]
    text = explain.task(facts, "a")
    assert "  measured: llm_cost_usd_total{model=m} = 0.75 USD\n" in text
    assert "  measured: m3 = 12 345\n  measured: and 2 more\n" in text


def test_a_plain_failure_is_no_deadlock() -> None:
    facts = facts_of("a b", [failed("a"), ended("b"), run_ended(1)])
    assert "Deadlock" not in explain.run(facts)
    assert "Deadlock" not in explain.run(facts, whole=True)


def test_what_is_held_up_by_several_is_freed_by_mending_those() -> None:
    events = [
        *(failed(name) for name in "abc"),
        blocked("d", a=Status.FAILURE),
        blocked("e", b=Status.FAILURE),
        blocked("f", c=Status.FAILURE),
        run_ended(1),
    ]
    needs = {"a": (), "b": (), "c": (), "d": ("a", "b"), "e": ("a", "b", "c"), "f": ("c", "a")}
    text = explain.run(facts_of(needs, events))
    assert "Fix first: a and b - none frees a task by itself, together they free 1 task\n" in text


@pytest.mark.parametrize(
    ("alive", "wanted"), [(True, []), (False, ["Next: zf resume r1"])], ids=["alive", "killed"]
)
def test_nothing_is_advised_while_it_runs_and_resume_after_a_kill(
    alive: bool, wanted: list[str]
) -> None:
    facts = facts_of("a b", [run_started(2), failed("a"), started("b")])
    text = explain.run(facts, alive=alive)
    assert [line for line in text.splitlines() if line.startswith("Next:")] == wanted
    assert ("next:" in explain.task(facts, "a", alive=alive)) is not alive


def test_a_run_in_which_all_went_well_is_one_line() -> None:
    facts = facts_of("a", [run_started(), ended("a"), run_ended(0)])
    assert explain.run(facts) == "PASS r1: 1 task: 1 success in 3.4s\n"


TASKS = {
    "43-e2e-report": """\
43-e2e-report: blocked
  title:    Report
  phase:    E
  what:     dependency '42-e2e-admin' has status: blocked; dependency '41-lint' has status: failure
  when:     2026-11-21 06:30:45 UTC
  where:    tasks/43-e2e-report/task.yaml:1
  needs:    42-e2e-admin (blocked), 41-lint (failure)
  held by:  40-seed-database (timeout) -> 42-e2e-admin -> 43-e2e-report
  also by:  41-lint
  proof:    proofs/r1/43-e2e-report
  next:     zf rerun r1 --failed
""",
    "40-seed-database": """\
40-seed-database: timeout
  title:    40-seed-database
  phase:    E
  what:     step 'Seed' ran past timeout_sec (3s)
  when:     2026-11-21 06:30:41 UTC to 2026-11-21 06:30:44 UTC, 3.0s, attempt 1
  where:    tasks/40-seed-database/task.yaml:8
  needs:    30-migrate (success)
  holds up: 2 tasks: 42-e2e-admin, 43-e2e-report
  proof:    proofs/r1/40-seed-database
  next:     zf rerun r1 --failed
  log:
    | connecting
    | still   connecting
""",
    "41-lint": """\
41-lint: failure
  title:    41-lint
  phase:    E
  what:     step 'Prepare' exited with code 3
  when:     2026-11-21 06:30:41 UTC to 2026-11-21 06:30:41 UTC, 0.2s, attempt 1
  where:    tasks/41-lint/task.yaml:5
  holds up: 1 task, listed under another cause
  proof:    proofs/r1/41-lint
  next:     zf rerun r1 --failed
  log:
    | core.py:1: unused import
""",
    "30-migrate": """\
30-migrate: success
  title:    30-migrate
  phase:    E
  when:     2026-11-21 06:30:41 UTC to 2026-11-21 06:30:42 UTC, 0.5s, attempt 1
  where:    tasks/30-migrate/task.yaml:1
  proof:    proofs/r1/30-migrate
""",
}


@pytest.mark.parametrize(("name", "text"), TASKS.items(), ids=TASKS)
def test_a_task(name: str, text: str) -> None:
    facts = build(plan(SEED, **{"43-e2e-report": "Report"}), seed_events())
    assert explain.task(facts, name, log=TAILS.get(name, ()), proof="proofs/r1") == text


def test_every_condition_that_was_asked_is_told_with_its_values() -> None:
    events = [
        ConditionEvaluated(
            "a",
            "${CI} == 'main' && attempts > 3",
            value=False,
            operands={"${CI}": "dev\n", "attempts": 4.5, "task.ok": True},
            error="",
        ),
        not_run("a", Status.SKIPPED, Cause.CONDITION, detail="condition is false"),
    ]
    text = explain.task(facts_of("a", events), "a")
    assert (
        "  asked:    condition is false: ${CI} == 'main' && attempts > 3 "
        "(${CI} = 'dev\\n', attempts = 4.5, task.ok = true)\n"
    ) in text


def test_a_condition_without_an_answer_says_why() -> None:
    events = [ConditionEvaluated("a", "${X}", value=None, operands={}, error="X is not set")]
    text = explain.task(facts_of("a", events), "a")
    assert "  asked:    condition is cannot be evaluated" not in text
    assert "  asked:    condition cannot be evaluated: ${X}: X is not set\n" in text


def test_every_attempt_is_told_with_the_wait_before_the_next() -> None:
    events = [
        started("a"),
        failed("a"),
        RetryScheduled("a", 2, 1.5),
        started("a", attempt=2),
        ended("a", Status.LOST, Cause.RUNNER, attempt=2, duration_s=1),
        started("a", attempt=3),
        ended("a", attempt=3),
    ]
    assert explain.task(facts_of("a", events), "a").startswith(
        """\
a: success (flaky)
  title:    a
  phase:    E
  what:     flaky
  tried:    attempt 1: failure after 0.2s: step 'Prepare' exited with code 3; attempt 2 scheduled 1.5s later
  tried:    attempt 2: lost: zf itself died while it ran; attempt 3 by zf resume
"""
    )


def test_a_tolerated_end_says_so_in_its_own_story_and_in_its_dependents() -> None:
    facts = facts_of({"a": (), "b": ("a",)}, [failed("a", warned=True), ended("b")])
    assert explain.task(facts, "a").startswith("a: failure (warned)\n")
    assert "  needs:    a (failure, tolerated)\n" in explain.task(facts, "b")


def test_an_optional_need_that_is_not_in_the_run_is_absent() -> None:
    content = plan({"a": ("x",)})
    content["tasks"][0]["needs"][0]["optional"] = True
    assert "  needs:    x (absent)\n" in explain.task(build(content, []), "a")


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([], ["a: waiting", "  needs:    up (success in run r0), other (not checked)"]),
        ([started("a")], ["a: running"]),
    ],
    ids=["waiting", "running"],
)
def test_a_task_that_has_not_ended(events: list[Event], lines: list[str]) -> None:
    content = plan({"a": ("up", "other")})
    content["upstream"] = {"up": "r0"}
    text = explain.task(build(content, events), "a")
    assert "  when:" not in text
    for line in lines:
        assert line in text.splitlines()


def test_a_need_that_failed_after_the_task_was_blocked_is_told_too() -> None:
    events = [
        failed("a"),
        blocked("c", a=Status.FAILURE),
        failed("b"),
    ]
    text = explain.task(facts_of({"a": (), "b": (), "c": ("a", "b")}, events), "c")
    assert (
        "  what:     dependency 'a' has status: failure; dependency 'b' has status: failure\n"
        in text
    )


def test_a_task_held_up_from_outside_the_plan_is_run_again() -> None:
    blocks = blocked("a", up=Status.FAILURE)
    events = [run_started(), blocks, run_ended(1)]
    text = explain.task(facts_of({"a": ("up",)}, events), "a")
    assert "  held by:  up (failure) -> a\n" in text
    assert text.endswith("  next:     zf rerun r1 --failed\n")


def test_a_task_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        explain.task(facts_of({}, []), "a")


@given(hostile_runs())
def test_nothing_a_task_says_gets_out_raw(
    run: tuple[dict[str, Any], list[Event], dict[str, list[str]]],
) -> None:
    content, events, tails = run
    facts = build(content, events)
    assert is_safe(explain.run(facts, tails=tails))
    for name in facts.tasks:
        assert is_safe(explain.task(facts, name, log=tails.get(name, ()), proof="\x1b"))


CASES = [
    {"name": "x", "classname": "a.B", "outcome": "failed", "file": "a.py", "line": 3},
    {"name": "a.B y", "classname": "a.B", "outcome": "error", "message": "no\\nmore", "file": "z"},
    {"name": 5, "classname": None, "message": ["\x1b"], "line": "7"},
    "no case",
]


def test_failed_cases_are_told_with_their_place_and_message() -> None:
    said = {"total": 9, "failed": 2, "errors": 1, "skipped": 1}
    lines = failed_cases({"tests": {**said, "cases": CASES}})
    assert lines == ["a.B.x (a.py:3)", "a.B y (z): no", "5: ['\\x1b']"]
    event = replace(failed("a"), tests={**said, "names": ["x"]})
    text = explain.task(facts_of({"a": ()}, [event]), "a", cases=lines)
    assert "  tests:    9 tests: 2 failed, 1 error, 1 skipped\n  failed:   a.B.x (a.py:3)\n" in text


def test_of_many_failed_cases_the_first_are_told() -> None:
    cases = [CASES[0]] * 100
    lines = failed_cases({"tests": {"failed": 300, "errors": 2, "cases": cases}})
    assert (len(lines), lines[-1]) == (21, "and 282 more")


@pytest.mark.parametrize("said", [None, [], {"cases": 3}, {"cases": [1], "failed": "many"}])
def test_a_status_that_says_nothing_sensible_of_cases_has_none(said: object) -> None:
    assert failed_cases({"tests": said}) == []
