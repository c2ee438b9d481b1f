"""What ran when, what each start waited for, and the critical path: small journals by hand, and
runs of the real scheduler in simulated time.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.support.courses import Recorded, layered, lines, recorded
from tests.support.report_samples import ended, failed, plan, run_ended, run_started, started
from tests.support.simulated import Outcome, task
from zf.events import (
    AttemptStarted,
    Cause,
    Event,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    RetryDropped,
    RetryScheduled,
    RunResumed,
    Status,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.records import replace
from zf.report.timing.course import Course, of_run

LIMITS = {"max_jobs": 2, "resources": {}}


def course(needs: dict[str, str], *told: tuple[float, Event]) -> Course:
    return of_run(plan(needs), LIMITS, tuple(lines(((0.0, run_started()), *told))))


def spans(found: Course) -> list[tuple[str, float, float]]:
    return [(a.task, a.start_s, a.end_s) for a in found.attempts]


def path(found: Course) -> list[tuple[str, str]]:
    return [(found.attempts[i].task, found.attempts[i].why) for i in found.critical()]


def test_attempts_have_the_runners_clock_and_their_slots() -> None:
    found = course(
        {"a": "", "b": "", "c": "a"},
        (0.5, PhaseStarted("E", 60)),
        (0.5, started("a")),
        (0.5, started("b")),
        (2.0, ended("a")),
        (2.0, started("c")),
        (3.0, failed("b")),
        (4.0, ended("c")),
        (4.0, PhaseEnded("E", ok=False, duration_s=3.5)),
        (4.5, run_ended(1)),
    )
    assert spans(found) == [("a", 0.5, 2.0), ("b", 0.5, 3.0), ("c", 2.0, 4.0)]
    assert [a.slot for a in found.attempts] == [0, 1, 0]
    assert [a.word for a in found.attempts] == ["success", "failure", "success"]
    assert path(found) == [("a", "begin"), ("c", "need")]
    assert (found.slots, found.length_s, found.ended) == (2, 4.5, True)
    assert [(p.name, p.start_s, p.end_s) for p in found.phases] == [("E", 0.5, 4.0)]


def test_a_start_that_needed_nothing_but_a_slot_comes_after_what_had_it() -> None:
    found = course(
        {"a": "", "b": "", "c": ""},
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (0.0, started("b")),
        (5.0, ended("b")),
        (5.0, started("c")),
        (6.0, ended("a")),
        (9.0, ended("c")),
    )
    assert path(found) == [("b", "begin"), ("c", "slot")]
    # A wait for a slot is no gap: the slots were busy.
    assert found.waits == []


def test_what_still_runs_goes_on_to_the_last_line() -> None:
    found = course({"a": "", "b": ""}, (1.0, started("a")), (2.0, started("b")), (4.0, ended("b")))
    assert spans(found) == [("a", 1.0, 4.0), ("b", 2.0, 4.0)]
    assert found.attempts[0].word == "running"
    assert not found.ended


def test_a_retry_waits_and_comes_after_the_attempt_before() -> None:
    found = course(
        {"a": ""},
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (1.0, failed("a")),
        (1.0, RetryScheduled("a", 2, 3.0)),
        (4.0, AttemptStarted("a", 2, 0)),
        (6.0, ended("a", attempt=2)),
    )
    assert [(w.task, w.why, w.start_s, w.end_s) for w in found.waits] == [("a", "retry", 1.0, 4.0)]
    assert path(found) == [("a", "begin"), ("a", "retry")]


def test_a_retry_that_was_dropped_is_no_wait() -> None:
    found = course(
        {"a": ""},
        (0.0, started("a")),
        (1.0, failed("a")),
        (1.0, RetryScheduled("a", 2, 30.0)),
        (2.0, RetryDropped("a", 2, Cause.INTERRUPT)),
        (9.0, run_ended(130)),
    )
    assert found.waits == []


def test_a_retry_to_come_waits_up_to_the_last_line() -> None:
    found = course(
        {"a": ""},
        (0.0, started("a")),
        (1.0, failed("a")),
        (1.0, RetryScheduled("a", 2, 30.0)),
        (8.0, LeaseTaken("a", "g", 0.0)),
    )
    assert [(w.why, w.start_s, w.end_s) for w in found.waits] == [("retry", 1.0, 8.0)]


def test_a_lease_of_another_run() -> None:
    found = course(
        {"a": ""},
        (0.0, PhaseStarted("E", 60)),
        (1.0, LeaseAwaited("a", "db", "run r0")),
        (7.0, LeaseTaken("a", "db", 6.0)),
        (7.0, started("a")),
        (8.0, ended("a")),
    )
    assert [(w.why, w.name, w.start_s, w.end_s) for w in found.waits] == [
        ("lease", "run r0", 1.0, 7.0)
    ]
    assert path(found) == [("a", "lease")]


def test_a_lease_that_was_free_is_no_wait() -> None:
    found = course({"a": ""}, (1.0, LeaseTaken("a", "db", 0.0)), (1.0, started("a")))
    assert found.waits == []


def test_a_busy_machine() -> None:
    found = course(
        {"a": "", "b": ""},
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (0.5, ThrottleEntered("CPU at 97 %", 97, 100)),
        (6.0, ThrottleLeft(5.5, 5.5)),
        (6.0, started("b")),
        (7.0, ended("b")),
        (7.5, ended("a")),
    )
    assert [(b.name, b.start_s, b.end_s) for b in found.throttled] == [("CPU at 97 %", 0.5, 6.0)]
    assert [(w.task, w.why, w.start_s, w.end_s) for w in found.waits] == [
        ("b", "throttle", 0.5, 6.0)
    ]


def test_a_resume_stops_the_clock_and_ends_what_ran() -> None:
    told = [
        (0.0, run_started()),
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (5.0, started("b")),
        (905.0, RunResumed(0)),
        (905.1, ended("a", Status.LOST, Cause.RUNNER)),
        (905.1, ended("b", Status.LOST, Cause.RUNNER)),
        (905.2, AttemptStarted("a", 2, 0)),
        (907.2, ended("a", attempt=2)),
    ]
    found = of_run(plan("a b"), LIMITS, tuple(lines(told)))
    assert [(p.at_s, p.idle_s) for p in found.pauses] == [(5.0, 900.0)]
    assert [(a.task, a.start_s, round(a.end_s, 3), a.word) for a in found.attempts] == [
        ("a", 0.0, 5.0, "lost"),
        ("b", 5.0, 5.0, "lost"),
        ("a", pytest.approx(5.2), 7.2, "success"),
    ]
    assert path(found) == [("a", "begin"), ("a", "resume")]


def test_after_a_reboot_the_clock_has_another_zero() -> None:
    told = list(lines([(0.0, run_started()), (4.0, started("a")), (64.0, RunResumed(0))]))
    told[-1] = replace(told[-1], mono=3.0)
    found = of_run(plan("a"), LIMITS, tuple(told))
    assert [(p.at_s, p.idle_s) for p in found.pauses] == [(4.0, 60.0)]


def test_events_of_other_tasks_and_plans_of_others() -> None:
    assert course({"a": ""}, (0.0, started("z")), (1.0, ended("z"))).attempts == []
    with pytest.raises(ValueError, match="not a zf plan"):
        of_run({"tasks": [{}]}, None, ())
    assert of_run(plan("a"), None, ()).critical() == []


def simulated(*tasks: object, jobs: int = 4, resources: dict[str, int] | None = None) -> Recorded:
    return recorded(tasks, lambda name, _: Outcome(float(name[1:])), jobs=jobs, resources=resources)  # type: ignore[arg-type]


def test_the_real_scheduler_short_of_a_resource() -> None:
    db = {"resources": {"db": 1}}
    found = simulated(task("a5", **db), task("b3", **db), task("c1"), resources={"db": 1}).course
    assert [(w.task, w.why, w.name, w.start_s, w.end_s) for w in found.waits] == [
        ("b3", "resource", "db", pytest.approx(0, abs=1e-3), pytest.approx(5, abs=1e-3))
    ]
    assert path(found) == [("a5", "begin"), ("b3", "resource")]


def test_a_resource_that_was_not_short_is_not_what_a_task_waited_for() -> None:
    db = {"resources": {"db": 1}}
    found = simulated(task("a5", **db), task("b3", **db), jobs=1, resources={"db": 2}).course
    assert path(found) == [("a5", "begin"), ("b3", "slot")]
    assert found.waits == []


def test_the_real_scheduler_with_a_group_and_a_task_that_runs_alone() -> None:
    found = simulated(task("a5", concurrency="g"), task("b3", concurrency="g")).course
    assert [(w.task, w.why, w.name) for w in found.waits] == [("b3", "concurrency", "g")]
    found = simulated(
        task("a5", priority=9), task("b3", parallel_safe=False), task("c1", ["b3"])
    ).course
    assert path(found) == [("a5", "begin"), ("b3", "alone"), ("c1", "need")]


def test_the_real_scheduler_with_a_matrix_of_which_one_instance_runs_at_a_time() -> None:
    matrix = {"base": "t", "max_parallel": 1}
    found = simulated(task("a5", **matrix), task("b3", **matrix), task("c1")).course
    assert [(w.task, w.why, w.name) for w in found.waits] == [("b3", "matrix", "t")]
    assert path(found) == [("a5", "begin"), ("b3", "matrix")]


def test_the_path_has_no_gap_that_nothing_explains() -> None:
    found = layered(400, failing=["unit-0200"]).course
    chain = [found.attempts[i] for i in found.critical()]
    assert chain[-1].end_s == max(a.end_s for a in found.attempts)
    assert chain[0].why == "begin"
    for before, attempt in pairwise(chain):
        gap = attempt.start_s - before.end_s
        assert gap < 0.05 or attempt.why == "retry", attempt


@pytest.mark.parametrize(
    "event",
    [
        AttemptStarted("a", 1, -1),
        AttemptStarted("a", 1, 10**12),
        AttemptStarted("a", "1", 0),  # type: ignore[arg-type]
        AttemptStarted(["a"], 1, 0),  # type: ignore[arg-type]
        RetryScheduled("a", 2, "soon"),  # type: ignore[arg-type]
        RetryScheduled("a", 2, 1e308),
        LeaseTaken("a", "db", None),  # type: ignore[arg-type]
        LeaseAwaited("a", "db", {}),  # type: ignore[arg-type]
        ThrottleEntered(3, 97, 100),  # type: ignore[arg-type]
    ],
)
def test_what_no_zf_wrote_is_left_out(event: Event) -> None:
    told = ((0.0, run_started()), (0.0, started("a")), (1.0, failed("a")), (2.0, started("a", 2)))
    written = list(lines(told))
    whole = of_run(plan("a"), LIMITS, tuple(written))
    assert [attempt.start_s for attempt in whole.attempts] == [0, 2]
    written.insert(3, replace(written[2], event=event))
    assert of_run(plan("a"), LIMITS, tuple(written)) == whole


def test_slots_that_no_machine_has_are_numbered_anew() -> None:
    found = course({"a": "", "b": ""}, (0.0, started("a")))
    assert found.slots == 1
    told = [*lines([(0.0, run_started()), (0.0, started("a")), (1.0, started("b"))])]
    told[2] = replace(told[2], event=AttemptStarted("b", 1, 900_000))
    found = of_run(plan("a b"), None, tuple(told))
    assert [(a.slot, found.slots) for a in found.attempts] == [(0, 2), (1, 2)]


def test_clocks_that_say_nothing_sensible() -> None:
    told = [*lines([(0.0, run_started()), (0.0, started("a")), (1.0, RunResumed(0))])]
    told[1] = replace(told[1], mono=1.7e308)
    told[2] = replace(told[2], wall="yesterday", mono=-1.7e308)
    found = of_run(plan("a"), None, tuple(told))
    assert found.length_s == 1e9
    assert [pause.idle_s for pause in found.pauses] == [0]
