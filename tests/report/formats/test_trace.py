"""The trace of a run: by the rules of its format, and true to the course it is made from."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.courses import Recorded, layered, lines
from tests.support.report_samples import ended, failed, plan, run_started, started
from tests.support.trace_format import problems
from zf.events import (
    AttemptStarted,
    Cause,
    LeaseAwaited,
    LeaseTaken,
    PhaseStarted,
    RetryScheduled,
    RunResumed,
    Status,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.report.facts import Fold
from zf.report.formats.trace import render


def traced(run: Recorded, steps: dict[tuple[str, int, int], dict[str, Any]] | None = None) -> Any:
    """The trace of a run whose step records are these, by task, attempt and step."""
    fold = Fold(run.plan)
    for line in run.lines:
        fold.apply(line.event, line.mono, line.wall)
    recorded = SimpleNamespace(
        id="r1",
        plan=run.plan,
        run={"limits": run.limits},
        lines=run.lines,
        facts=fold.facts,
        step_record=lambda *key: (steps or {}).get(key),
    )
    text = b"".join(render(recorded))  # type: ignore[arg-type]
    assert text.isascii()
    return json.loads(text)


def spans(trace: Any, kind: str) -> list[tuple[str, int, int, int]]:
    return [
        (e["name"], e["tid"], e["ts"], e["dur"])
        for e in trace["traceEvents"]
        if e["ph"] == "X" and e["cat"].split(",")[0] == kind
    ]


EVERYTHING = Recorded(
    plan({"a": "", "b": "", "c": "a"}),
    {"max_jobs": 2, "resources": {}},
    tuple(
        lines(
            (
                (0.0, run_started()),
                (0.0, PhaseStarted("E", 60)),
                (0.0, started("a")),
                (0.0, LeaseAwaited("b", "db", "run r0")),
                (1.0, failed("a")),
                (1.0, RetryScheduled("a", 2, 3.0)),
                (2.0, ThrottleEntered("CPU at 97 %", 97, 100)),
                (4.0, ThrottleLeft(2.0, 1.0)),
                (4.0, AttemptStarted("a", 2, 0)),
                (6.0, LeaseTaken("b", "db", 6.0)),
                (6.0, started("b")),
                (906.0, RunResumed(0)),
                (906.0, ended("a", Status.LOST, Cause.RUNNER, attempt=2)),
                (906.0, ended("b", Status.LOST, Cause.RUNNER)),
                (906.5, AttemptStarted("a", 3, 0)),
                (908.5, ended("a", attempt=3)),
                (908.5, started("c")),
            )
        )
    ),
)


def test_every_kind_of_event_is_by_the_rules() -> None:
    trace = traced(EVERYTHING)
    assert list(problems(trace)) == []
    assert {e["ph"] for e in trace["traceEvents"]} == {"M", "X", "C", "i", "s", "f"}
    assert spans(trace, "attempt")[0] == ("a", 10, 0, 1_000_000)
    assert spans(trace, "attempt")[-1] == ("c", 10, 8_500_000, 0)
    assert sorted(name for name, *_ in spans(trace, "wait")) == [
        "a: retry",
        "b: lease run r0",
    ]
    assert spans(trace, "throttle") == [("CPU at 97 %", 3, 2_000_000, 2_000_000)]
    (resumed,) = (e for e in trace["traceEvents"] if e["ph"] == "i")
    assert resumed["args"] == {"seconds_without_zf": 900.0}


def test_steps_lie_within_their_attempt_by_the_workers_clock() -> None:
    record = {"status": "success", "exit_code": 0, "duration_s": 1.5}
    steps = {
        ("a", 1, 0): record | {"started_at": "2026-11-21T06:30:42.000000Z"},
        # What its clock says past the end of the attempt is cut off there.
        ("a", 1, 1): record | {"started_at": "2026-11-21T06:30:43.500000Z", "duration_s": 99.0},
    }
    told = ((0.0, run_started()), (2.0, started("a")), (5.0, ended("a")))
    trace = traced(Recorded(plan("a"), {}, tuple(lines(told))), steps)
    assert list(problems(trace)) == []
    # The attempt began at 41.5, two seconds into the run.
    assert spans(trace, "step") == [
        ("Prepare", 10, 2_500_000, 1_500_000),
        ("Seed", 10, 4_000_000, 1_000_000),
    ]


def test_names_from_outside_cannot_end_the_text() -> None:
    hostile = '</script>"\n\x00\u202e'
    told = (
        (0.0, run_started()),
        (0.0, LeaseAwaited("a", "db", hostile)),
        (1.0, LeaseTaken("a", "db", 1.0)),
        (1.0, started("a")),
        (2.0, ended("a", Status.FAILURE, Cause.EXIT, detail=hostile)),
    )
    trace = traced(Recorded(plan("a"), {}, tuple(lines(told))))
    assert list(problems(trace)) == []
    assert [name for name, *_ in spans(trace, "wait")] == [f"a: lease {hostile}"]


def test_a_large_run_is_by_the_rules_and_shows_its_critical_path() -> None:
    run = layered(300, failing=["unit-0150"])
    trace = traced(run)
    assert list(problems(trace)) == []
    course = run.course
    assert len(spans(trace, "attempt")) == len(course.attempts)
    assert [name for name, *_ in spans(trace, "critical")] == [
        course.attempts[index].task for index in course.critical()
    ]
    running = [e["args"]["attempts"] for e in trace["traceEvents"] if e["ph"] == "C"]
    assert max(running) == 8
    assert running[-1] == 0


def test_the_judge_sees_what_is_wrong() -> None:
    for change in (
        {"ph": "B"},
        {"ts": 1.5},
        {"dur": -1},
        {"name": ""},
        {"tid": 99},
    ):
        trace = traced(EVERYTHING)
        next(e for e in trace["traceEvents"] if e["ph"] == "X").update(change)
        assert list(problems(trace)), change


@pytest.mark.parametrize("told", [(), ((0.0, run_started()),)])
def test_a_run_in_which_nothing_happened(told: Any) -> None:
    trace = traced(Recorded(plan("a"), {}, tuple(lines(told))))
    assert list(problems(trace)) == []
