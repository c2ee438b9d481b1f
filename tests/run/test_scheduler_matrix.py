"""The instances of a matrix in the scheduler: `max_parallel`, `fail_fast`, and what they come to."""

from __future__ import annotations

from tests.support.simulated import ended, plan_of, task
from zf.events import AttemptEnded, AttemptStarted, Cause, RetryDropped, RunStarted, Status
from zf.plan.conditions.verdict import ConditionContext
from zf.run.schedule.orders import EndRun, KillAttempt, Limits, NotRun, Record, StartAttempt
from zf.run.schedule.scheduler import Scheduler

FAILURE, SUCCESS, CANCELLED = Status.FAILURE, Status.SUCCESS, Status.CANCELLED


def instances(*values, base="t", **more):
    return [
        task(f"{base}@v={value}", base=base, matrix={"v": str(value)}, **more) for value in values
    ]


def scheduler(*tasks, max_jobs=4, context=None, **limits):
    plan = plan_of(*tasks)
    seen = dict.fromkeys(plan.tasks, context or ConditionContext())
    return Scheduler(plan, Limits(max_jobs=max_jobs, **limits), seen)


def starts(orders):
    return [order.task for order in orders if isinstance(order, StartAttempt)]


def not_run(orders):
    return {o.task: (o.status, o.cause) for o in orders if isinstance(o, NotRun)}


def kills(orders):
    return {o.task: o.cause for o in orders if isinstance(o, KillAttempt)}


class TestMaxParallel:
    def test_no_more_instances_run_at_once_and_others_go_past_them(self):
        s = scheduler(*instances(1, 2, 3, max_parallel=2), task("u"), max_jobs=10)
        assert starts(s.start(0)) == ["t@v=1", "t@v=2", "u"]
        assert starts(s.handle(ended("u", SUCCESS), 1)) == []
        assert starts(s.handle(ended("t@v=1", SUCCESS), 2)) == ["t@v=3"]

    def test_each_matrix_has_its_own_places(self):
        one, other = instances(1, 2, max_parallel=1), instances(1, 2, base="s", max_parallel=1)
        s = scheduler(*one, *other, max_jobs=10)
        assert sorted(starts(s.start(0))) == ["s@v=1", "t@v=1"]

    def test_what_waits_too_long_says_for_what(self):
        s = scheduler(*instances(1, 2, max_parallel=1, queue_timeout_s=5), max_jobs=10)
        s.start(0)
        assert s.wake_at() == 5
        orders = s.handle(ended("x", SUCCESS), 5)
        (end,) = [order for order in orders if isinstance(order, NotRun)]
        assert (end.task, end.cause) == ("t@v=2", Cause.QUEUE_TIMEOUT)
        assert end.detail == "waited 5s for its turn: max_parallel of its matrix"


class TestFailFast:
    def test_the_first_failure_ends_what_runs_and_what_has_not_started(self):
        s = scheduler(*instances(1, 2, 3, matrix_fail_fast=True), task("u"), max_jobs=2)
        assert starts(s.start(0)) == ["t@v=1", "t@v=2"]
        orders = s.handle(ended("t@v=1", FAILURE), 1)
        assert kills(orders) == {"t@v=2": Cause.MATRIX}
        assert not_run(orders) == {"t@v=3": (CANCELLED, Cause.MATRIX)}
        assert starts(orders) == ["u"]
        (told,) = [order.detail for order in orders if isinstance(order, NotRun)]
        assert told == "fail_fast of the matrix: 't@v=1' ended with status: failure"
        assert s.handle(ended("t@v=2", CANCELLED), 2) == []
        assert s.handle(ended("u", SUCCESS), 3)[-1] == EndRun(1)

    def test_without_it_the_others_go_on(self):
        s = scheduler(*instances(1, 2, 3), max_jobs=2)
        s.start(0)
        orders = s.handle(ended("t@v=1", FAILURE), 1)
        assert (kills(orders), starts(orders)) == ({}, ["t@v=3"])

    def test_a_tolerated_failure_and_one_that_is_tried_again_end_nothing(self):
        s = scheduler(*instances(1, 2, matrix_fail_fast=True, allow_failure=True))
        s.start(0)
        assert kills(s.handle(ended("t@v=1", FAILURE), 1)) == {}
        s = scheduler(*instances(1, 2, matrix_fail_fast=True, max_retries=1, retry_delay_s=1))
        s.start(0)
        assert kills(s.handle(ended("t@v=1", FAILURE), 1)) == {}
        assert starts(s.handle(ended("x", SUCCESS), 2)) == ["t@v=1"]
        assert kills(s.handle(ended("t@v=1", FAILURE, attempt=2), 3)) == {"t@v=2": Cause.MATRIX}

    def test_an_instance_that_waits_for_its_retry_ends_as_it_did(self):
        two = instances(1, matrix_fail_fast=True)
        two += instances(2, matrix_fail_fast=True, max_retries=1, retry_delay_s=60)
        s = scheduler(*two)
        s.start(0)
        s.handle(ended("t@v=2", FAILURE), 1)
        orders = s.handle(ended("t@v=1", FAILURE), 2)
        assert Record(RetryDropped("t@v=2", 2, Cause.MATRIX)) in orders
        assert orders[-1] == EndRun(1)

    def test_only_its_own_matrix_ends(self):
        one = instances(1, 2, matrix_fail_fast=True)
        s = scheduler(*one, *instances(1, 2, base="s", matrix_fail_fast=True))
        s.start(0)
        assert kills(s.handle(ended("t@v=1", FAILURE), 1)) == {"t@v=2": Cause.MATRIX}

    def test_dependents_are_blocked_once(self):
        two = instances(1, 2, 3, matrix_fail_fast=True)
        s = scheduler(*two, task("after", [one.id for one in two]), max_jobs=1)
        s.start(0)
        orders = s.handle(ended("t@v=1", FAILURE), 1)
        assert not_run(orders)["after"] == (Status.BLOCKED, Cause.NEED)
        assert [o.task for o in orders if isinstance(o, NotRun)].count("after") == 1

    def test_a_resumed_run_comes_to_the_same(self):
        two = instances(1, 2, 3, matrix_fail_fast=True)
        s = scheduler(*two, max_jobs=2)
        s.replay(RunStarted("r", ("A",), 3, "0" * 64, "", None, None, None), 0)
        for number in (1, 2):
            s.replay(AttemptStarted(f"t@v={number}", 1, 0), 0)
        failed: AttemptEnded = ended("t@v=1", FAILURE)
        orders = s.replay(failed, 1)
        assert kills(orders) == {"t@v=2": Cause.MATRIX}
        assert not_run(orders) == {"t@v=3": (CANCELLED, Cause.MATRIX)}
        assert not [order for order in orders if isinstance(order, StartAttempt)]


class TestTogether:
    def test_the_exit_code_of_a_single_task_is_that_of_its_first_instance_that_failed(self):
        s = scheduler(*instances(1, 2, 3), only="t")
        s.start(0)
        s.handle(ended("t@v=3", FAILURE, exit_code=7), 1)
        s.handle(ended("t@v=2", FAILURE, exit_code=5), 2)
        assert s.handle(ended("t@v=1", SUCCESS), 3)[-1] == EndRun(5)

    def test_the_status_of_a_matrix_is_the_worst_of_its_instances(self):
        two = instances(1, 2)
        condition = "status('t') == 'failure'"
        last = task("last", [one.id for one in two], condition=condition)
        for ends, runs in (((SUCCESS, FAILURE), True), ((SUCCESS, SUCCESS), False)):
            s = scheduler(*two, last)
            s.start(0)
            s.handle(ended("t@v=1", ends[0]), 1)
            assert (starts(s.handle(ended("t@v=2", ends[1]), 2)) == ["last"]) is runs

    def test_a_condition_may_ask_for_the_values(self):
        context = ConditionContext(fields={"matrix.v": "1"})
        s = scheduler(*instances(1, condition="matrix.v == '2'"), context=context)
        assert not_run(s.start(0)) == {"t@v=1": (Status.SKIPPED, Cause.CONDITION)}
