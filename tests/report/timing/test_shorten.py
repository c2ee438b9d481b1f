"""What would have made a run shorter: the trials against the real scheduler, run again in simulated
time with the task at half its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.support.courses import Recorded, layered, lines, recorded
from tests.support.report_samples import (
    ended,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    started,
)
from tests.support.simulated import Outcome, task
from zf.events import Cause, LeaseAwaited, LeaseTaken, PhaseStarted, RetryScheduled, Status
from zf.model import Task
from zf.report.timing.shorten import Advice, Again, what_helps


def advice(run: Recorded) -> Advice:
    return what_helps(run.plan, run.limits, run.course)


def lasting(spent: Mapping[str, float]) -> Callable[[str, int], Outcome]:
    return lambda name, _: Outcome(spent[name])


def saved_by_the_scheduler(
    tasks: tuple[Task, ...], spent: Mapping[str, float], halved: str, jobs: int
) -> float:
    lengths = [
        recorded(tasks, lasting(times), jobs=jobs).course.length_s
        for times in (spent, {**spent, halved: spent[halved] / 2})
    ]
    return lengths[0] - lengths[1]


CHAIN = (task("a"), task("b", ["a"]), task("c", ["b"]), task("aside"), task("short"))
SPENT = {"a": 8.0, "b": 6.0, "c": 2.0, "aside": 11.0, "short": 0.2}


def test_half_of_a_task_on_the_only_way_is_saved_whole_until_another_way_is_longer() -> None:
    found = advice(recorded(CHAIN, lasting(SPENT)))
    assert [(h.task, round(h.saved_s, 2)) for h in found.best] == [("a", 4), ("b", 3), ("c", 1)]
    assert not found.left_out
    assert found.slots_saved_s == 0
    longer = SPENT | {"aside": 13.0}
    found = advice(recorded(CHAIN, lasting(longer)))
    assert [(h.task, round(h.saved_s, 2)) for h in found.best] == [("a", 3), ("b", 3), ("c", 1)]


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_what_it_says_is_what_the_scheduler_would_have_done(jobs: int) -> None:
    found = advice(recorded(CHAIN, lasting(SPENT), jobs=jobs))
    assert found.best
    for one in found.best:
        # The order in line is the recorded one, so what others do meanwhile may differ a little.
        truth = saved_by_the_scheduler(CHAIN, SPENT, one.task, jobs)
        assert one.saved_s == pytest.approx(truth, rel=0.06)
    others = SPENT.keys() - {one.task for one in found.best}
    best = [saved_by_the_scheduler(CHAIN, SPENT, name, jobs) for name in others]
    assert len(found.best) < 3 or max(best) <= 1.06 * found.best[-1].saved_s


def test_only_slots_help_where_the_work_is_even() -> None:
    names = [f"t{n}" for n in range(200)]
    found = advice(recorded(map(task, names), lasting(dict.fromkeys(names, 1.0)), jobs=4))
    assert found.best == ()
    assert (found.slots, round(found.slots_saved_s)) == (8, 25)


def test_a_run_gone_through_again_unchanged_takes_as_long_as_it_took() -> None:
    """With retries, resources, phases and failures; else no difference would mean anything."""
    run = layered(600, failing=["unit-0100"])
    again = Again(run.plan, run.limits, run.course)
    assert again.length_s(None) == pytest.approx(run.course.length_s, abs=0.01)


def test_instances_of_a_matrix_are_gone_through_one_by_one_where_no_more_may_run() -> None:
    matrix = {"base": "t", "max_parallel": 1}
    tasks = (task("a", **matrix), task("b", **matrix), task("c"))
    run = recorded(tasks, lasting({"a": 3.0, "b": 4.0, "c": 1.0}))
    assert Again(run.plan, run.limits, run.course).length_s(None) == pytest.approx(7.0, abs=0.01)
    assert advice(run).slots_saved_s == 0


def test_of_a_large_run_not_all_are_tried_and_that_is_said() -> None:
    names = [f"t{n:04}" for n in range(4000)]
    even = dict.fromkeys(names, 1.0) | dict.fromkeys(names[:40], 30.0)
    found = advice(recorded(map(task, names), lasting(even), jobs=8))
    assert found.left_out or len(found.best) == 3


def test_a_task_not_run_between_two_that_ran_still_orders_them() -> None:
    told = (
        (0.0, run_started()),
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (4.0, ended("a")),
        (4.0, not_run("b", Status.SKIPPED, Cause.CONDITION)),
        (4.0, started("c")),
        (8.0, ended("c")),
        (8.0, run_ended(0)),
    )
    needs = {"a": "", "b": "a", "c": "b"}
    found = advice(Recorded(plan(needs), {"max_jobs": 4}, tuple(lines(told))))
    assert {one.task: round(one.saved_s) for one in found.best} == {"a": 2, "c": 2}


def test_of_a_task_that_was_tried_again_every_attempt_is_halved_and_no_delay() -> None:
    told = (
        (0.0, run_started()),
        (0.0, PhaseStarted("E", 60)),
        (0.0, started("a")),
        (4.0, failed("a")),
        (4.0, RetryScheduled("a", 2, 2.0)),
        (6.0, started("a", 2)),
        (10.0, ended("a", attempt=2)),
        (10.0, run_ended(0)),
    )
    run = Recorded(plan("a"), {"max_jobs": 4}, tuple(lines(told)))
    assert Again(run.plan, run.limits, run.course).length_s(None) == 10
    assert [(one.duration_s, one.saved_s) for one in advice(run).best] == [(8, 4)]


def test_a_wait_for_another_run_is_not_shortened_by_a_task() -> None:
    told = (
        (0.0, run_started()),
        (0.0, PhaseStarted("E", 60)),
        (0.0, LeaseAwaited("a", "db", "run r0")),
        (6.0, LeaseTaken("a", "db", 6.0)),
        (6.0, started("a")),
        (10.0, ended("a")),
        (10.0, run_ended(0)),
    )
    run = Recorded(plan("a"), {"max_jobs": 4}, tuple(lines(told)))
    assert Again(run.plan, run.limits, run.course).length_s(None) == 10
    assert [one.saved_s for one in advice(run).best] == [2]
