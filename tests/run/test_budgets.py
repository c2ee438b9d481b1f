"""Budgets of tasks, phases and runs, decided by the scheduler alone."""

from __future__ import annotations

import pytest

from tests.support.simulated import plan_of, task
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    BudgetWarned,
    Cause,
    PhaseStarted,
    RunStarted,
    Status,
)
from zf.lean.records import replace
from zf.metrics.budget import Spent
from zf.run.schedule.orders import (
    EndPhase,
    EndRun,
    KillAttempt,
    Limits,
    NotRun,
    Record,
    StartAttempt,
)
from zf.run.schedule.scheduler import Scheduler


def ended(name: str, status: Status = Status.SUCCESS, *, cost: float = 0, attempt: int = 1):
    series = {"name": "cost_total", "type": "counter", "unit": "", "labels": {}, "value": cost}
    return AttemptEnded(
        task=name,
        attempt=attempt,
        status=status,
        exit_code=0 if status is Status.SUCCESS else 1,
        signal=None,
        cause=Cause.NONE if status is Status.SUCCESS else Cause.EXIT,
        detail="",
        step=None,
        started_at="",
        completed_at="",
        duration_s=1.0,
        task_sha256="00" * 32,
        metrics=[series] if cost else [],
    )


def scheduler(*tasks, run=None, phases=None, max_jobs=4):
    plan = plan_of(*tasks)
    limited = tuple(
        replace(phase, budget=(phases or {}).get(phase.name, {})) for phase in plan.phases
    )
    plan = replace(plan, budget=run or {}, phases=limited)
    made = Scheduler(plan, Limits(max_jobs=max_jobs))
    return made, made.start(0.0)


def of(kind, orders):
    return [order for order in orders if isinstance(order, kind)]


def warned(orders):
    return [one.event for one in of(Record, orders) if isinstance(one.event, BudgetWarned)]


def test_a_task_over_its_budget_is_ended_and_its_warning_comes_once():
    made, _ = scheduler(task("a", budget={"cost": 10}), task("b"))
    assert warned(made.handle(Spent("a", 1, {"cost": 7.9}), 1.0)) == []
    first = made.handle(Spent("a", 1, {"cost": 8.0}), 2.0)
    assert warned(first) == [BudgetWarned("task", "a", "cost", 8.0, 10, over=False)]
    assert of(KillAttempt, first) == []
    assert made.handle(Spent("a", 1, {"cost": 10.0}), 3.0) == []
    orders = made.handle(Spent("a", 1, {"cost": 10.1}), 4.0)
    assert warned(orders) == [BudgetWarned("task", "a", "cost", 10.1, 10, over=True)]
    (kill,) = of(KillAttempt, orders)
    assert (kill.task, kill.cause, kill.force) == ("a", Cause.BUDGET, False)
    assert kill.detail == "cost is 10.1, its budget 10"
    assert made.handle(Spent("a", 1, {"cost": 12.0}), 5.0) == []
    assert made.running == {"a": 1, "b": 1}


def test_what_the_attempts_used_adds_up_and_what_is_used_up_is_not_tried_again():
    made, _ = scheduler(task("a", budget={"cost": 10}, max_retries=5, retry_on=("failure",)))
    orders = made.handle(ended("a", Status.FAILURE, cost=4), 1.0)
    assert of(StartAttempt, orders) == [StartAttempt("a", 2, {"cost": 4})]
    # 6 more and there is nothing left, though it is not over.
    orders = made.handle(ended("a", Status.FAILURE, cost=6, attempt=2), 2.0)
    assert [one.over for one in warned(orders)] == [False]
    assert made.done == {"a": Status.FAILURE}


def test_an_end_with_the_cause_budget_is_not_tried_again():
    made, _ = scheduler(task("a", budget={"cost": 10}, max_retries=5, retry_on=("failure",)))
    over = replace(ended("a", Status.FAILURE, cost=4), cause=Cause.BUDGET)
    made.handle(over, 1.0)
    assert made.done == {"a": Status.FAILURE}


def test_a_phase_over_its_budget_ends_what_runs_and_starts_nothing():
    made, _ = scheduler(
        task("a"),
        task("b"),
        task("c"),
        task("d", phase="B"),
        phases={"A": {"cost": 10}},
        max_jobs=2,
    )
    assert warned(made.handle(ended("a", cost=6), 1.0)) == []
    assert set(made.running) == {"b", "c"}
    orders = made.handle(Spent("b", 1, {"cost": 5}), 2.0)
    assert [(one.scope, one.name, one.spent, one.over) for one in warned(orders)] == [
        ("phase", "A", 11, True)
    ]
    assert {one.task for one in of(KillAttempt, orders)} == {"b", "c"}
    for name in ("b", "c"):
        orders = made.handle(
            replace(ended(name, Status.FAILURE), cause=Cause.BUDGET, detail="over"), 3.0
        )
    assert of(EndPhase, orders) == [EndPhase("A", ok=False)]
    assert of(EndRun, orders) == [EndRun(1)]
    assert {one.task: one.cause for one in of(NotRun, orders)} == {"d": Cause.PHASE_FAILED}


def test_the_end_that_brings_a_run_over_its_budget_fails_it():
    made, _ = scheduler(task("a"), task("b", phase="B"), run={"cost": 10})
    orders = made.handle(ended("a", cost=11), 1.0)
    assert [(one.scope, one.name, one.over) for one in warned(orders)] == [("run", "", True)]
    assert of(EndPhase, orders) == [EndPhase("A", ok=False)]
    (not_run,) = of(NotRun, orders)
    assert (not_run.task, not_run.status, not_run.cause) == (
        "b",
        Status.CANCELLED,
        Cause.BUDGET,
    )
    assert of(EndRun, orders) == [EndRun(1)]


def test_what_is_measured_and_not_limited_matters_to_no_budget():
    made, _ = scheduler(task("a", budget={"other": 1}), task("b"), run={"other": 1})
    assert warned(made.handle(Spent("a", 1, {"cost": 50}), 1.0)) == []
    assert warned(made.handle(ended("b", cost=50), 2.0)) == []


@pytest.mark.parametrize("from_ends", [True, False])
def test_a_replayed_journal_comes_to_the_same(from_ends):
    """What was told is not told again, and what it stopped stays stopped."""
    tasks = (task("a"), task("b"), task("c", needs=["b"]))
    plan = replace(plan_of(*tasks), budget={"cost": 10})
    made = Scheduler(plan, Limits(max_jobs=4))
    made.replay(RunStarted("r", ("A",), 3, "", "", None, None, None), 0.0)
    made.replay(PhaseStarted("A", 100.0), 0.0)
    made.replay(AttemptStarted("a", 1, 0), 0.0)
    made.replay(AttemptStarted("b", 1, 1), 0.0)
    told = BudgetWarned("run", "", "cost", 12.0, 10, over=True)
    if from_ends:
        assert warned(made.replay(ended("a", cost=12), 1.0)) == [told]
        orders = made.replay(told, 1.0)
        assert orders == []
    else:
        orders = made.replay(told, 1.0)
        assert warned(orders) == []
        assert {one.task for one in of(KillAttempt, orders)} == {"a", "b"}
        made.replay(replace(ended("a", Status.FAILURE), cause=Cause.BUDGET), 1.5)
    orders = made.replay(replace(ended("b", Status.FAILURE), cause=Cause.BUDGET), 2.0)
    assert made.done["c"] is Status.BLOCKED
    assert of(EndRun, orders) == [EndRun(1)]
