"""The spans of a run: which there are, what is above each, and what each came to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.support.courses import BEGAN, layered, lines
from tests.support.report_samples import ended, plan, run_started, started
from zf.events import (
    Cause,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    Status,
    TaskNotRun,
    timestamp,
)
from zf.lean.records import replace
from zf.report.facts import Fold
from zf.report.telemetry.spans import Span, of_run, resource, trace_of


def of(planned: Any, told: Any, records: Any = None, **run: Any) -> SimpleNamespace:
    """A run that is recorded so, with these records of commands."""
    fold = Fold(planned)
    for line in told:
        fold.apply(line.event, line.mono, line.wall)
    return SimpleNamespace(
        id="r1",
        run=run,
        lines=told,
        events=tuple(line.event for line in told),
        facts=fold.facts,
        command_record=lambda *key: (records or {}).get(key),
    )


def spans(*made: Any, **keys: Any) -> dict[str, Span]:
    found = {
        str(span.attributes.get("cicd.pipeline.task.run.id", span.name)): span
        for span in of_run(of(*made, **keys))
    }
    assert sum(span.is_root for span in found.values()) == 1
    return found


def result(span: Span) -> Any:
    return span.attributes["cicd.pipeline.task.run.result"]


def not_run(task: str, status: Status, cause: Cause) -> TaskNotRun:
    return TaskNotRun(task, status, cause, "", {}, timestamp(BEGAN + 8), "0" * 64)


def test_each_end_has_its_result():
    told = [
        (0, run_started(6)),
        (0, PhaseStarted("E", 60)),
        (1, started("a")),
        (2, ended("a", Status.LOST, Cause.WORKER, exit_code=None)),
        (3, started("b")),
        (4, ended("b", Status.TIMEOUT, Cause.TIMEOUT, exit_code=124)),
        (4, started("c")),
        (5, ended("c", Status.FAILURE, Cause.EXIT, exit_code=1, warned=True, detail="no")),
        (6, not_run("d", Status.BLOCKED, Cause.NEED)),
        (7, not_run("e", Status.CANCELLED, Cause.CANCEL)),
        (8, not_run("f", Status.SKIPPED, Cause.CONDITION)),
        (9, PhaseEnded("E", ok=False, duration_s=9)),
        (9, RunEnded(1, {}, 9)),
    ]
    found = spans(plan(dict.fromkeys("abcdef", "")), list(lines(told)))
    assert {name: result(found[name]) for name in "abcdef"} == {
        "a": "error",
        "b": "timeout",
        "c": "failure",
        "d": "skip",
        "e": "cancellation",
        "f": "skip",
    }
    assert found["a"].attributes["error.type"] == "worker"
    assert found["d"].start_ns == found["d"].end_ns
    assert (found["b"].error is None, found["c"].error) == (False, None)
    assert found["c"].attributes["zf.tolerated"] is True
    assert found["phase E"].error is not None
    assert found["RUN E"].attributes["cicd.pipeline.result"] == "failure"


def test_what_had_not_ended_ends_with_the_journal():
    told = list(lines([(0, run_started(2)), (0, PhaseStarted("E", 60)), (1, started("a"))]))
    found = spans(plan({"a": "", "b": ""}), [*told])
    assert "b" not in found
    assert result(found["a"]) == result(found["a.1"]) == "error"
    assert found["a"].attributes["error.type"] == "unfinished"
    assert found["RUN E"].attributes["cicd.pipeline.result"] == "error"
    last = (int(BEGAN) + 1) * 10**9
    assert {found[name].end_ns for name in ("a", "a.1", "phase E", "RUN E")} == {last}


def test_an_interrupted_run_is_cancelled():
    told = [(0, run_started(1)), (1, Interrupted(2, 1)), (2, RunEnded(130, {}, 2))]
    root = spans(plan({"a": ""}), list(lines(told)))["RUN E"]
    assert (root.attributes["cicd.pipeline.result"], root.error) == ("cancellation", None)


def test_a_resumed_attempt_is_another():
    told = [
        (0, run_started(1)),
        (1, started("a")),
        (9, ended("a", Status.LOST, Cause.RUNNER, exit_code=None)),
        (10, started("a", 2)),
        (12, ended("a", attempt=2)),
        (12, RunEnded(0, {}, 12)),
    ]
    found = spans(plan({"a": ""}), list(lines(told)))
    assert [result(found[name]) for name in ("a", "a.1", "a.2")] == ["success", "error", "success"]
    assert found["a"].attributes["zf.attempts"] == 2
    assert found["a.1"].parent_id == found["a.2"].parent_id == found["a"].span_id


def test_steps_are_below_their_attempt_and_clocks_that_jump_back_make_no_negative_times():
    told = [(0, run_started(1)), (1, started("a")), (5, ended("a")), (5, RunEnded(0, {}, 5))]
    step = {"status": "success", "exit_code": 0, "started_at": timestamp(BEGAN + 4)}
    step["completed_at"] = timestamp(BEGAN + 2)
    found = spans(plan({"a": ""}), list(lines(told)), {("a", 1, "step-0"): step})
    assert found["a.1/step-0"].parent_id == found["a.1"].span_id
    assert found["a.1/step-0"].start_ns == found["a.1/step-0"].end_ns


def test_a_run_from_before_there_were_traces_has_one_that_stays():
    begun = run_started()
    first = trace_of(of(plan({"a": ""}), list(lines([(0, begun)]))))
    assert first == trace_of(of(plan({"a": ""}), list(lines([(0, begun)]))))
    other = trace_of(of(plan({"a": ""}), list(lines([(0, replace(begun, nonce="other"))]))))
    assert len(first.trace_id) == 32
    assert first.trace_id != other.trace_id


def test_every_parent_is_there_and_comes_first():
    run = layered(300, failing=["unit-0100"])
    seen = set()
    for span in of_run(of(run.plan, run.lines)):
        assert span.span_id not in seen
        assert span.is_root or span.parent_id in seen
        assert span.start_ns <= span.end_ns
        seen.add(span.span_id)
    assert len(seen) > 600


def test_the_resource_says_no_more_than_is_known():
    told = list(lines([(0, run_started())]))
    bare = {"cicd.pipeline.name": "E", "cicd.pipeline.run.id": "r1"}
    assert resource(of(plan({"a": ""}), told)) == bare
    source = {"repo": "https://example.org/shop.git", "branch": None, "tag": "v1", "commit": "c0"}
    ci = {"url": "https://ci.example.org/7"}
    assert resource(of(plan({"a": ""}), told, source=source, ci=ci, host="h", zf_version="1")) == {
        **bare,
        "service.version": "1",
        "host.name": "h",
        "cicd.pipeline.run.url.full": "https://ci.example.org/7",
        "vcs.repository.url.full": "https://example.org/shop.git",
        "vcs.ref.head.name": "v1",
        "vcs.ref.head.revision": "c0",
    }
