"""Tolerance, retries, conditions, resources, load and deadlines: each rule as events and orders."""

from __future__ import annotations

import pytest

from tests.support.simulated import ended, plan_of, task
from zf.events import (
    AttemptStarted,
    CancelRequested,
    Cause,
    ConditionEvaluated,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    RetryDropped,
    RetryScheduled,
    RunStarted,
    RunTimedOut,
    Status,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.model import Need
from zf.plan.conditions.verdict import ConditionContext
from zf.run.schedule.orders import (
    AskLease,
    EndPhase,
    EndRun,
    KillAttempt,
    LeaseAnswered,
    Limits,
    LoadSampled,
    NotRun,
    Record,
    ReleaseLease,
    StartAttempt,
    StartPhase,
    Throttle,
    Tick,
)
from zf.run.schedule.scheduler import Scheduler

FAILURE, TIMEOUT, LOST, SUCCESS = Status.FAILURE, Status.TIMEOUT, Status.LOST, Status.SUCCESS
BLOCKED, SKIPPED, CANCELLED = Status.BLOCKED, Status.SKIPPED, Status.CANCELLED


def scheduler(*tasks, max_jobs=4, phase_timeout_s=3600, context=None, decided=None, **limits):
    plan = plan_of(*tasks, phase_timeout_s=phase_timeout_s)
    seen = dict.fromkeys(plan.tasks, context or ConditionContext())
    return Scheduler(plan, Limits(max_jobs=max_jobs, **limits), seen, decided or {})


def starts(orders):
    return [order.task for order in orders if isinstance(order, StartAttempt)]


def decisions(orders):
    return [order.event for order in orders if isinstance(order, Record)]


class TestTolerance:
    @pytest.mark.parametrize(
        ("tolerance", "report", "goes_on"),
        [
            ({"allow_failure": True}, ended("a", FAILURE, exit_code=3), True),
            ({"allow_failure": True}, ended("a", TIMEOUT), False),
            ({"allow_failure": True}, ended("a", LOST), False),
            ({"allow_failure": (3, 4)}, ended("a", FAILURE, exit_code=3), True),
            ({"allow_failure": (3, 4)}, ended("a", FAILURE, exit_code=5), False),
            ({"allow_timeout": True}, ended("a", TIMEOUT), True),
            ({"allow_timeout": True}, ended("a", FAILURE), False),
            ({"allow_timeout": True, "allow_failure": True}, ended("a", CANCELLED), False),
        ],
        ids=str,
    )
    def test_a_tolerated_outcome_is_kept_and_dependents_go_on(self, tolerance, report, goes_on):
        s = scheduler(task("a", **tolerance), task("b", ["a"]))
        s.start(0)
        assert (starts(s.handle(report, 1)) == ["b"]) is goes_on
        assert s.done["a"] is report.status
        if goes_on:
            assert s.handle(ended("b"), 2) == [EndPhase("A", ok=True), EndRun(0)]

    def test_a_tolerated_failure_does_not_fail_fast(self):
        s = scheduler(task("a", allow_failure=True), task("b"), max_jobs=1, fail_fast=True)
        s.start(0)
        assert starts(s.handle(ended("a", FAILURE), 1)) == ["b"]


class TestRetries:
    def test_a_failed_attempt_is_tried_again_after_a_doubling_wait(self):
        s = scheduler(task("a", max_retries=2, retry_delay_s=10), task("b", ["a"]), seed="r1")
        s.start(0)
        [order] = s.handle(ended("a", FAILURE), 1)
        first_s = order.event.delay_s
        assert order == Record(RetryScheduled("a", 2, first_s))
        assert 9 <= first_s <= 10
        assert (dict(s.running), dict(s.done)) == ({}, {})
        assert s.wake_at() == 1 + first_s
        assert s.handle(Tick(), 1 + first_s) == [StartAttempt("a", 2)]
        [order] = s.handle(ended("a", LOST, attempt=2), 20)
        assert 18 <= order.event.delay_s <= 20
        assert s.handle(Tick(), 40) == [StartAttempt("a", 3)]
        assert starts(s.handle(ended("a", attempt=3), 41)) == ["b"]

    def test_the_last_attempt_is_what_counts(self):
        s = scheduler(task("a", max_retries=1), task("b", ["a"]))
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == [
            Record(RetryScheduled("a", 2, 0)),
            StartAttempt("a", 2),
        ]
        orders = s.handle(ended("a", TIMEOUT, attempt=2), 2)
        assert orders[0].needs == {"a": TIMEOUT}
        assert orders[-1] == EndRun(1)

    def test_tolerance_looks_at_the_last_attempt_only(self):
        s = scheduler(task("a", max_retries=1, allow_failure=True))
        s.start(0)
        assert starts(s.handle(ended("a", FAILURE), 1)) == ["a"]
        assert s.handle(ended("a", FAILURE, attempt=2), 2)[-1] == EndRun(0)

    @pytest.mark.parametrize(
        ("retry_on", "report", "again"),
        [
            (("failure", "timeout", "lost"), ended("a", FAILURE), True),
            (("failure", "timeout", "lost"), ended("a", TIMEOUT), True),
            (("failure", "timeout", "lost"), ended("a", LOST), True),
            (("failure", "timeout", "lost"), ended("a", CANCELLED), False),
            (("failure",), ended("a", TIMEOUT), False),
            ((75,), ended("a", FAILURE, exit_code=75), True),
            ((75,), ended("a", FAILURE, exit_code=1), False),
            ((124,), ended("a", TIMEOUT), False),
        ],
        ids=str,
    )
    def test_retry_on(self, retry_on, report, again):
        s = scheduler(task("a", max_retries=1, retry_on=retry_on))
        s.start(0)
        assert (starts(s.handle(report, 1)) == ["a"]) is again

    def test_none_with_no_retries(self):
        s = scheduler(task("a", max_retries=3), retries=False)
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1)[-1] == EndRun(1)

    def test_a_waiting_retry_gives_its_slot_and_its_resources_back(self):
        flaky = task("a", max_retries=1, retry_delay_s=10, parallel_safe=False, resources={"db": 1})
        s = scheduler(flaky, task("b", resources={"db": 1}), max_jobs=1, resources={"db": 1})
        assert starts(s.start(0)) == ["a"]
        assert starts(s.handle(ended("a", FAILURE), 1)) == ["b"]
        assert s.handle(Tick(), 11) == []
        assert s.handle(ended("b"), 12) == [StartAttempt("a", 2)]

    @pytest.mark.parametrize(
        ("event", "cause", "code"),
        [
            (Interrupted(2, 1), Cause.INTERRUPT, 130),
            (Tick(), Cause.PHASE_TIMEOUT, 124),
            (CancelRequested("a"), Cause.CANCEL, 1),
        ],
        ids=str,
    )
    def test_a_retry_that_will_not_come_leaves_the_last_attempt(self, event, cause, code):
        flaky = task("a", max_retries=1, retry_delay_s=60)
        s = scheduler(flaky, task("b", ["a"]), phase_timeout_s=5)
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        orders = s.handle(event, 5 if event == Tick() else 2)
        assert decisions(orders) == [RetryDropped("a", 2, cause)]
        assert [(o.task, o.status) for o in orders if isinstance(o, NotRun)] == [("b", BLOCKED)]
        assert s.done["a"] is FAILURE
        assert orders[-1] == EndRun(code)

    def test_fail_fast_drops_the_retries_of_others_but_waits_for_its_own(self):
        s = scheduler(
            task("a", max_retries=1, retry_delay_s=9),
            task("b", max_retries=1, retry_delay_s=9),
            fail_fast=True,
        )
        s.start(0)
        assert decisions(s.handle(ended("a", FAILURE), 1))[0].attempt == 2
        assert decisions(s.handle(ended("b", FAILURE), 2))[0].attempt == 2
        assert starts(s.handle(Tick(), 10)) == ["a"]
        orders = s.handle(ended("a", FAILURE, attempt=2), 10.5)
        assert orders == [
            Record(RetryDropped("b", 2, Cause.FAIL_FAST)),
            EndPhase("A", ok=False),
            EndRun(1),
        ]

    def test_nothing_is_retried_while_the_run_stops(self):
        s = scheduler(task("a", max_retries=1))
        s.start(0)
        s.handle(Interrupted(2, 1), 1)
        assert s.handle(ended("a", FAILURE), 2)[-1] == EndRun(130)

    def test_an_attempt_lost_with_the_runner_is_tried_again_and_no_retry_is_spent(self):
        s = scheduler(task("a", max_retries=1, retry_on=("failure",)))
        s.start(0)
        lost = ended("a", LOST, cause=Cause.RUNNER)
        assert s.handle(lost, 1) == [StartAttempt("a", 2)]
        assert starts(s.handle(ended("a", FAILURE, attempt=2), 2)) == ["a"]
        assert s.handle(ended("a", FAILURE, attempt=3), 3)[-1] == EndRun(1)


class TestConditions:
    CONTEXT = ConditionContext({"CI_BRANCH": "main", "CI_EVENT": "push"}, {"task.phase": "A"})

    @pytest.mark.parametrize(
        ("condition", "value"),
        [("${CI_BRANCH} == 'main' && ${CI_EVENT} == 'push'", True), ("${CI_BRANCH} == 'x'", False)],
    )
    def test_the_answer_is_recorded_with_its_operands(self, condition, value):
        s = scheduler(task("a", condition=condition), task("b", ["a"]), context=self.CONTEXT)
        orders = s.start(0)
        [asked] = decisions(orders)
        assert (asked.task, asked.condition, asked.value) == ("a", condition, value)
        assert asked.operands["${CI_BRANCH}"] == "main"
        assert (starts(orders) == ["a"]) is value
        if not value:
            told = "condition is false: ${CI_BRANCH} == 'x' (${CI_BRANCH} = 'main')"
            assert orders[2:] == [
                NotRun("a", SKIPPED, Cause.CONDITION, told),
                NotRun(
                    "b", SKIPPED, Cause.NEED, "dependency 'a' has status: skipped", {"a": SKIPPED}
                ),
                EndPhase("A", ok=True),
                EndRun(0),
            ]

    def test_one_that_cannot_be_evaluated_fails_the_task(self):
        s = scheduler(task("a", condition="${NOPE} == 'x'"), task("b", ["a"]))
        orders = s.start(0)
        why = "${NOPE} is not set; ${NOPE:-} would stand for nothing"
        assert decisions(orders)[0].error == why
        told = f"condition cannot be evaluated: {why}"
        assert orders[2] == NotRun("a", FAILURE, Cause.CONDITION, told)
        assert orders[3].status is BLOCKED
        assert orders[-1] == EndRun(1)

    def test_a_fact_that_is_not_known_is_an_error(self):
        s = scheduler(task("a", condition="run.branch == 'x'"))
        assert decisions(s.start(0))[0].error == "run.branch is not known here"

    def test_a_condition_is_asked_when_all_needs_have_ended(self):
        s = scheduler(task("a"), task("b"), task("c", ["a", "b"], condition="failure()"))
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == []
        assert starts(s.handle(ended("b"), 2)) == ["c"]

    def test_failure_looks_at_every_ancestor_and_cancelled_too(self):
        after = [Need("b", require="done")]
        s = scheduler(
            task("a"),
            task("b", ["a"]),
            task("c", after, condition="failure() && !cancelled()"),
            task("d", after, condition="cancelled()"),
        )
        s.start(0)
        assert starts(s.handle(ended("a", FAILURE), 1)) == ["c"]
        s = scheduler(task("a"), task("b", ["a"]), task("c", after, condition="cancelled()"))
        s.start(0)
        assert starts(s.handle(ended("a", CANCELLED), 1)) == ["c"]

    def test_an_answer_from_before_is_not_asked_again(self):
        before = ConditionEvaluated("a", "${GONE} == 'x'", True, {"${GONE}": "x"}, "")
        s = scheduler(task("a", condition="${GONE} == 'x'"), decided={"a": before})
        orders = s.start(0)
        assert decisions(orders) == [before]
        assert starts(orders) == ["a"]

    def test_status_knows_needs_outside_the_plan(self):
        asks = task("a", ["gone", "up"], condition="status('gone') == 'absent' && success()")
        plan = plan_of(asks)
        s = Scheduler(plan, Limits(1))
        orders = s.start(0)
        assert decisions(orders)[0].operands == {"status('gone')": "absent", "success()": True}
        s = Scheduler(plan_of(asks, checked=False), Limits(1))
        assert decisions(s.start(0))[0].operands == {"status('gone')": "success"}

    def test_a_task_skipped_in_an_earlier_phase_skips_across_phases(self):
        s = scheduler(
            task("a", condition="false"), task("b", ["a"], phase="B"), task("c", ["b"], phase="B")
        )
        orders = s.start(0)
        assert [(o.task, o.status) for o in orders if isinstance(o, NotRun)] == [
            ("a", SKIPPED),
            ("b", SKIPPED),
            ("c", SKIPPED),
        ]
        assert orders[-1] == EndRun(0)


def ends(orders):
    return [(o.task, o.status, o.cause) for o in orders if isinstance(o, NotRun)]


class TestAlways:
    """`condition: always()` means always: whatever stopped the run, the task has its turn."""

    def flow(self, **limits):
        s = scheduler(
            task("a", max_retries=0),
            task("b", ["a"]),
            task("tidy", ["a"], condition="always()"),
            task("other", phase="B"),
            task("tell", ["a", "other"], phase="B", condition="always()"),
            task("last", ["tell"], phase="C"),
            **limits,
        )
        assert starts(s.start(0)) == ["a"]
        return s

    def rest_of(self, s, orders, now=10):
        """From where `tidy` has started to the end of the run."""
        assert starts(orders) == ["tidy"]
        orders = s.handle(ended("tidy"), now)
        assert starts(orders) == ["tell"]
        assert StartPhase("B", 3600) in orders
        return orders + s.handle(ended("tell"), now + 1)

    def test_it_runs_after_a_failure_in_its_phase_and_in_later_ones(self):
        s = self.flow()
        orders = s.handle(ended("a", FAILURE), 1)
        assert ends(orders) == [("b", BLOCKED, Cause.NEED)]
        orders = self.rest_of(s, orders)
        assert ends(orders) == [
            ("other", CANCELLED, Cause.PHASE_FAILED),
            ("last", CANCELLED, Cause.PHASE_FAILED),
        ]
        assert [o for o in orders if isinstance(o, EndPhase)] == [
            EndPhase("A", ok=False),
            EndPhase("B", ok=False),
        ]
        assert orders[-1] == EndRun(1)

    def test_a_phase_in_which_only_that_succeeded_makes_no_run_succeed(self):
        s = scheduler(task("a"), task("z", ["a"], phase="Z", condition="always()"))
        s.start(0)
        assert starts(s.handle(ended("a", FAILURE), 1)) == ["z"]
        assert s.handle(ended("z"), 2) == [EndPhase("Z", ok=True), EndRun(1)]

    @pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
    def test_it_runs_after_an_interrupt(self, signal, code):
        s = self.flow()
        orders = s.handle(Interrupted(signal, 1), 1)
        assert KillAttempt("a", 1, Cause.INTERRUPT, force=False) in orders
        assert starts(orders) == []
        orders = s.handle(ended("a", CANCELLED), 2)
        orders = self.rest_of(s, orders)
        assert orders[-1] == EndRun(code)

    @pytest.mark.parametrize("when", ["before it starts", "while it runs"])
    def test_a_second_interrupt_ends_that_too(self, when):
        s = self.flow()
        s.handle(Interrupted(2, 1), 1)
        if when == "while it runs":
            assert starts(s.handle(ended("a", CANCELLED), 2)) == ["tidy"]
            orders = s.handle(Interrupted(2, 2), 3)
            assert KillAttempt("tidy", 1, Cause.INTERRUPT, force=True) in orders
            orders += s.handle(ended("tidy", CANCELLED), 4)
        else:
            orders = s.handle(Interrupted(2, 2), 2)
            orders += s.handle(ended("a", CANCELLED), 3)
        assert starts(orders) == []
        assert ("tell", CANCELLED, Cause.INTERRUPT) in ends(orders)
        assert orders[-1] == EndRun(130)

    def test_one_that_runs_when_the_interrupt_comes_is_ended_like_any_other(self):
        s = self.flow()
        s.handle(ended("a"), 1)  # starts b and tidy
        orders = s.handle(Interrupted(2, 1), 2)
        assert KillAttempt("tidy", 1, Cause.INTERRUPT, force=False) in orders
        s.handle(ended("b", CANCELLED), 3)
        assert starts(s.handle(ended("tidy", CANCELLED), 3)) == ["tell"]

    def test_it_runs_after_fail_fast(self):
        s = scheduler(
            task("a"), task("b"), task("c", ["b"]),
            task("tidy", [Need("b", require="done")], condition="always()"),
            fail_fast=True,
        )  # fmt: skip
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        orders = s.handle(ended("b"), 2)
        assert (starts(orders), ends(orders)) == (["tidy"], [("c", CANCELLED, Cause.FAIL_FAST)])
        assert s.handle(ended("tidy"), 3)[-1] == EndRun(1)

    def test_it_runs_after_the_phase_timeout_and_its_own_phase_has_its_own(self):
        s = self.flow(phase_timeout_s=5)
        orders = s.handle(Tick(), 5)
        assert KillAttempt("a", 1, Cause.PHASE_TIMEOUT, force=False) in orders
        orders = s.handle(ended("a", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6)
        assert starts(orders) == ["tidy"]
        assert s.wake_at() is None  # of that phase no time is left to run out
        assert starts(s.handle(ended("tidy"), 20)) == ["tell"]
        assert s.wake_at() == 25
        orders = s.handle(Tick(), 25)
        assert KillAttempt("tell", 1, Cause.PHASE_TIMEOUT, force=False) in orders
        assert s.handle(ended("tell", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 26)[-1] == EndRun(124)

    def test_it_runs_after_the_deadline_of_the_run(self):
        s = self.flow(deadline_s=5)
        orders = s.handle(Tick(), 5)
        assert KillAttempt("a", 1, Cause.DEADLINE, force=False) in orders
        orders = s.handle(ended("a", TIMEOUT, cause=Cause.DEADLINE), 6)
        assert self.rest_of(s, orders)[-1] == EndRun(124)

    def test_it_is_tried_again_although_the_run_was_stopped(self):
        s = scheduler(task("a"), task("z", ["a"], phase="Z", condition="always()", max_retries=1))
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        assert starts(s.handle(ended("z", FAILURE), 2)) == ["z"]

    def test_what_is_ended_by_a_limit_of_the_run_is_not_tried_again(self):
        s = scheduler(
            task("a", condition="always()", max_retries=5, retry_on=("timeout",)),
            phase_timeout_s=5,
        )
        s.start(0)
        s.handle(Tick(), 5)
        assert s.handle(ended("a", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6)[-1] == EndRun(124)

    def test_more_can_be_asked(self):
        s = scheduler(
            task("a"),
            task("bad", ["a"], phase="Z", condition="always() && failure()"),
            task("good", ["a"], phase="Z", condition="always() && success()"),
        )
        s.start(0)
        orders = s.handle(ended("a", FAILURE), 1)
        assert starts(orders) == ["bad"]
        assert ends(orders) == [("good", BLOCKED, Cause.NEED)]

    def test_one_that_was_cancelled_itself_stays_so(self):
        s = self.flow()
        s.handle(CancelRequested("tell"), 1)
        s.handle(ended("a", FAILURE), 2)
        assert s.handle(ended("tidy"), 3)[-1] == EndRun(1)


class TestResources:
    def test_no_more_is_claimed_than_there_is(self):
        s = scheduler(*(task(f"t{n}", resources={"db": 1}) for n in range(3)), resources={"db": 2})
        assert starts(s.start(0)) == ["t0", "t1"]
        assert starts(s.handle(ended("t0"), 1)) == ["t2"]

    def test_others_go_past_but_not_those_that_want_the_same(self):
        s = scheduler(
            task("t0", resources={"db": 1}),
            task("t1", resources={"db": 2}),
            task("t2", resources={"db": 1}),
            task("t3", resources={"cpu": 1}),
            resources={"db": 2, "cpu": 1},
        )
        assert starts(s.start(0)) == ["t0", "t3"]
        assert starts(s.handle(ended("t0"), 1)) == ["t1"]
        assert starts(s.handle(ended("t1"), 2)) == ["t2"]

    def test_a_group_has_one_place(self):
        s = scheduler(task("a", concurrency="db"), task("b", concurrency="db"), task("c"))
        assert s.start(0) == [StartPhase("A", 3600), AskLease("a", "db")]
        assert starts(s.handle(LeaseAnswered("a", None), 0)) == ["a", "c"]
        assert s.handle(ended("a"), 1) == [ReleaseLease("a"), AskLease("b", "db")]
        assert starts(s.handle(LeaseAnswered("b", None), 1)) == ["b"]

    def test_a_higher_priority_comes_first(self):
        s = scheduler(
            task("a"), task("b", priority=1), task("c", ["a"]), task("d", priority=-1), max_jobs=1
        )
        assert starts(s.start(0)) == ["b"]
        assert starts(s.handle(ended("b"), 1)) == ["a"]
        assert starts(s.handle(ended("a"), 2)) == ["c"]

    @pytest.mark.parametrize("limits", [{}, {"db": 1}])
    def test_what_can_never_be_met_is_refused(self, limits):
        with pytest.raises(ValueError, match="task 'a' asks for more 'db' than there is"):
            scheduler(task("a", resources={"db": 2}), resources=limits)

    def test_one_that_leaves_the_line_holds_nobody_up(self):
        s = scheduler(
            task("t0", resources={"db": 1}),
            task("t1", resources={"db": 2}, queue_timeout_s=5),
            task("t2", resources={"db": 1}),
            resources={"db": 2},
        )
        assert starts(s.start(0)) == ["t0"]
        told = "waited 5s for 'db'"
        assert s.handle(Tick(), 5) == [
            NotRun("t1", TIMEOUT, Cause.QUEUE_TIMEOUT, told),
            StartAttempt("t2", 1),
        ]


class TestLeases:
    """Other runs may have the group of a task."""

    def held(self, *tasks, **limits):
        """A scheduler that has asked for `a` first and been told that it is another run's."""
        s = scheduler(task("a", concurrency="db"), *tasks, **limits)
        asked = s.start(0)
        assert asked[-1] == AskLease("a", "db")
        return s, s.handle(LeaseAnswered("a", "run r2"), 0)

    def test_who_waits_takes_no_slot_and_is_asked_for_again(self):
        s, orders = self.held(task("b"), max_jobs=1)
        assert orders == [Record(LeaseAwaited("a", "db", "run r2")), StartAttempt("b", 1)]
        s.handle(ended("b"), 0.1)
        assert s.wake_at() == 0.25
        assert s.handle(Tick(), 0.25) == [AskLease("a", "db")]
        assert s.handle(LeaseAnswered("a", "run r2"), 0.25) == []
        assert s.handle(Tick(), 0.5) == [AskLease("a", "db")]
        assert s.handle(LeaseAnswered("a", None), 0.5) == [
            Record(LeaseTaken("a", "db", 0.5)),
            StartAttempt("a", 1),
        ]
        assert s.handle(ended("a"), 1)[0] == ReleaseLease("a")

    def test_nobody_is_asked_while_there_is_no_slot(self):
        s, _ = self.held(task("b"), max_jobs=1)
        assert s.handle(Tick(), 0.25) == []
        assert s.handle(ended("b"), 9) == [AskLease("a", "db")]

    def test_a_new_owner_is_said_but_not_each_of_many(self):
        s, _ = self.held()
        told = {}
        for n in range(1, 100):
            s.handle(Tick(), n / 4)
            owner = "run r3" if n < 60 else "run r4"
            told[n / 4] = s.handle(LeaseAnswered("a", owner), n / 4)
        assert {at: orders for at, orders in told.items() if orders} == {
            10: [Record(LeaseAwaited("a", "db", "run r3"))],
            20: [Record(LeaseAwaited("a", "db", "run r4"))],
        }

    def test_many_refusals_do_not_add_up_to_many_questions(self):
        s, _ = self.held(task("b", concurrency="db", priority=1, start_after_s=0.1))
        assert s.handle(Tick(), 0.1) == []  # it steps aside without a question
        asked = []
        for n in range(1, 9):
            orders = s.handle(Tick(), n * 0.25)
            asked += [order.task for order in orders]
            s.handle(LeaseAnswered("b", "run r2"), n * 0.25)
        assert asked == ["b"] * 8

    def test_it_waits_no_longer_than_its_queue_timeout(self):
        s = scheduler(task("a", concurrency="db", queue_timeout_s=5))
        s.start(0)
        s.handle(LeaseAnswered("a", "run r2"), 0)
        assert s.handle(Tick(), 5) == [AskLease("a", "db")]
        told = "waited 5s for 'db', held by run r2"
        orders = s.handle(LeaseAnswered("a", "run r2"), 5)
        assert orders[0] == NotRun("a", TIMEOUT, Cause.QUEUE_TIMEOUT, told)

    def test_a_lease_that_comes_at_the_last_moment_is_used(self):
        s = scheduler(task("a", concurrency="db", queue_timeout_s=5))
        s.start(0)
        s.handle(LeaseAnswered("a", "run r2"), 0)
        s.handle(Tick(), 6)
        assert starts(s.handle(LeaseAnswered("a", None), 6)) == ["a"]

    def test_one_that_must_be_alone_keeps_its_lease_until_it_is(self):
        s = scheduler(
            task("a", priority=1),
            task("b", concurrency="db", parallel_safe=False, start_after_s=1),
            task("c", start_after_s=2, priority=-1),
        )
        s.start(0)
        assert s.handle(Tick(), 1) == [AskLease("b", "db")]
        assert s.handle(LeaseAnswered("b", None), 1) == [Record(LeaseTaken("b", "db", 0))]
        assert s.handle(Tick(), 2) == []
        assert s.handle(ended("a"), 3) == [StartAttempt("b", 1)]

    @pytest.mark.parametrize("why", [CancelRequested("b"), Interrupted(15, 1)], ids=repr)
    def test_and_gives_it_back_when_it_is_not_to_start(self, why):
        s = scheduler(task("a"), task("b", concurrency="db", parallel_safe=False, start_after_s=1))
        s.start(0)
        s.handle(Tick(), 1)
        s.handle(LeaseAnswered("b", None), 1)
        assert ReleaseLease("b") in s.handle(why, 2)

    def test_one_that_must_be_alone_holds_nobody_up_while_it_waits(self):
        first = task("a", concurrency="db", parallel_safe=False, priority=1)
        s = scheduler(first, task("b"), task("c", ["b"]))
        s.start(0)
        assert starts(s.handle(LeaseAnswered("a", "run r2"), 0)) == ["b"]
        assert starts(s.handle(ended("b"), 0.1)) == ["c"]

    def test_a_resumed_run_asks_again(self):
        s = scheduler(task("a", concurrency="db"), task("b"))
        started = RunStarted("r", ("A",), 2, "", "", None, None, None)
        for event in (started, LeaseTaken("a", "db", 0), AttemptStarted("a", 1, 0)):
            s.replay(event, 0)
        s.replay(ended("a", LOST, cause=Cause.RUNNER), 1)
        assert s.handle(Tick(), 2) == [AskLease("a", "db")]
        assert s.handle(LeaseAnswered("a", "run r2"), 2) == [
            Record(LeaseAwaited("a", "db", "run r2")),
            StartAttempt("b", 1),
        ]
        s.handle(Tick(), 3)
        assert starts(s.handle(LeaseAnswered("a", None), 3)) == ["a"]


class TestThrottle:
    BUSY, CALM = LoadSampled(95, 4000), LoadSampled(20, 4000)

    def test_nothing_starts_on_a_busy_machine_while_something_of_ours_runs(self):
        s = scheduler(*(task(f"t{n}") for n in range(4)), max_jobs=2, throttle=Throttle())
        assert starts(s.start(0)) == ["t0", "t1"]
        assert s.handle(self.BUSY, 1) == [
            Record(ThrottleEntered("CPU at 95 %, above 90 %", 95, 4000))
        ]
        assert s.handle(self.BUSY, 2) == []
        assert s.handle(ended("t0"), 3) == []
        assert s.handle(self.CALM, 7) == [Record(ThrottleLeft(6, 4)), StartAttempt("t2", 1)]

    def test_one_may_always_start_when_nothing_runs(self):
        s = scheduler(task("a"), task("b"), throttle=Throttle(min_free_mem_mb=500))
        assert starts(s.start(0)) == ["a", "b"]
        s = scheduler(task("a"), task("b"), task("c", ["b"]), throttle=Throttle(), max_jobs=1)
        s.start(0)
        s.handle(self.BUSY, 1)
        assert starts(s.handle(ended("b"), 2)) == ["a"]

    def test_little_memory_counts_too_and_the_end_of_the_run_opens_the_gate(self):
        s = scheduler(task("a"), throttle=Throttle(min_free_mem_mb=500))
        s.start(0)
        orders = s.handle(LoadSampled(1, 499), 1)
        assert decisions(orders)[0].reason == "499 MB free, below 500 MB"
        assert s.handle(ended("a"), 3) == [
            EndPhase("A", ok=True),
            Record(ThrottleLeft(2, 0)),
            EndRun(0),
        ]

    def test_without_a_throttle_readings_mean_nothing(self):
        s = scheduler(task("a"))
        s.start(0)
        assert s.handle(LoadSampled(100, 0), 1) == []

    def test_a_replayed_run_is_told_of_the_gate(self):
        s = scheduler(task("a"), task("b"), task("c"), max_jobs=2, throttle=Throttle())
        started = RunStarted("r", ("A",), 3, "", "", None, None, None)
        for event in (started, AttemptStarted("a", 1, 0), AttemptStarted("b", 1, 1)):
            s.replay(event, 0)
        assert s.replay(ThrottleEntered("", 0, 0), 1) == []
        assert s.replay(ended("a"), 2) == []
        assert s.handle(Tick(), 3) == []
        s.replay(ThrottleLeft(0, 0), 3)
        assert s.handle(Tick(), 3) == [StartAttempt("c", 1)]


class TestDeadlines:
    def test_a_running_task_is_killed_at_its_deadline_and_not_tried_again(self):
        s = scheduler(task("a", deadline_s=10, max_retries=3), task("b", ["a"]))
        s.start(100)
        assert s.wake_at() == 110
        assert s.handle(Tick(), 110) == [KillAttempt("a", 1, Cause.DEADLINE, force=False)]
        assert s.wake_at() == 3700
        orders = s.handle(ended("a", TIMEOUT, cause=Cause.DEADLINE), 111)
        assert orders[0].status is BLOCKED

    def test_one_that_has_not_started_by_then_times_out(self):
        s = scheduler(task("a"), task("b", ["a"], deadline_s=10), task("c", ["b"]))
        s.start(0)
        orders = s.handle(Tick(), 10)
        told = "deadline (10s after the start) passed"
        assert orders[0] == NotRun("b", TIMEOUT, Cause.DEADLINE, told)
        assert orders[1].needs == {"b": TIMEOUT}

    def test_a_retry_that_would_come_too_late_is_dropped(self):
        s = scheduler(task("a", deadline_s=10, max_retries=1, retry_delay_s=60))
        s.start(0)
        s.handle(ended("a", FAILURE), 5)
        assert s.handle(Tick(), 10) == [
            Record(RetryDropped("a", 2, Cause.DEADLINE)),
            EndPhase("A", ok=False),
            EndRun(1),
        ]

    def test_nothing_is_tried_again_after_its_deadline_even_if_nobody_looked_at_the_clock(self):
        s = scheduler(task("a", deadline_s=10, max_retries=1))
        s.start(0)
        assert s.handle(ended("a", FAILURE), 10) == [EndPhase("A", ok=False), EndRun(1)]

    def test_the_deadline_of_a_later_phase_counts_from_the_start_of_the_run(self):
        s = scheduler(task("a"), task("b", phase="B", deadline_s=10))
        s.start(0)
        orders = s.handle(ended("a"), 11)
        assert [o.status for o in orders if isinstance(o, NotRun)] == [TIMEOUT]

    def test_a_replayed_deadline_of_the_run_ends_it_as_the_clock_did(self):
        s = scheduler(task("a"), task("b", ["a"]), deadline_s=5)
        s.replay(RunStarted("r", ("A",), 2, "", "", None, None, None), 0)
        s.replay(AttemptStarted("a", 1, 0), 0)
        [told, _] = s.replay(RunTimedOut(5), 6)
        assert told == Record(RunTimedOut(5))
        assert s.replay(RunTimedOut(5), 6) == []
        assert s.replay(ended("a", LOST, cause=Cause.RUNNER), 7)[-1] == EndRun(124)

    def test_a_cancel_of_the_whole_run_is_followed_by_its_interrupt(self):
        s = scheduler(task("a"))
        s.start(0)
        assert s.handle(CancelRequested(None), 1) == []

    def test_waiting_too_long_for_a_slot_is_a_timeout(self):
        s = scheduler(task("a"), task("b", queue_timeout_s=5, allow_timeout=True), max_jobs=1)
        s.start(0)
        told = "waited 5s for its turn"
        assert s.handle(Tick(), 5) == [NotRun("b", TIMEOUT, Cause.QUEUE_TIMEOUT, told, warned=True)]
        assert s.handle(ended("a"), 6)[-1] == EndRun(0)

    def test_no_patience_at_all_still_starts_at_once_when_there_is_a_slot(self):
        s = scheduler(task("a", queue_timeout_s=0), task("b", queue_timeout_s=0), max_jobs=1)
        orders = s.start(0)
        assert starts(orders) == ["a"]
        assert [o.task for o in orders if isinstance(o, NotRun)] == ["b"]

    def test_waiting_for_needs_or_for_a_retry_is_not_waiting_for_a_slot(self):
        s = scheduler(
            task("a", queue_timeout_s=5, max_retries=1), task("b", ["a"], queue_timeout_s=5)
        )
        s.start(0)
        assert s.wake_at() == 3600
        assert starts(s.handle(ended("a", FAILURE), 100)) == ["a"]
        assert starts(s.handle(ended("a", attempt=2), 200)) == ["b"]

    def test_start_after_counts_from_the_start_of_the_run(self):
        s = scheduler(task("a", start_after_s=10), task("c"), task("b", ["c"], start_after_s=10))
        assert starts(s.start(50)) == ["c"]
        assert s.wake_at() == 60
        assert starts(s.handle(Tick(), 60)) == ["a"]
        assert starts(s.handle(ended("c"), 70)) == ["b"]

    def test_the_deadline_of_the_run_ends_everything(self):
        s = scheduler(
            task("a"),
            task("b", ["a"]),
            task("d", start_after_s=60),
            task("c", phase="B"),
            deadline_s=5,
        )
        s.start(0)
        told = (CANCELLED, Cause.DEADLINE, "deadline of the run (5s) passed")
        assert s.handle(Tick(), 5) == [
            Record(RunTimedOut(5)),
            KillAttempt("a", 1, Cause.DEADLINE, force=False),
            NotRun("d", *told),
            NotRun("c", *told),
        ]
        assert s.wake_at() is None
        orders = s.handle(ended("a", TIMEOUT, cause=Cause.DEADLINE), 6)
        assert [(o.task, o.status) for o in orders if isinstance(o, NotRun)] == [("b", BLOCKED)]
        assert orders[-1] == EndRun(124)


class TestCancel:
    def test_a_running_task_is_killed_and_blocks(self):
        s = scheduler(task("a", max_retries=1), task("b", ["a"]))
        s.start(0)
        kill = [KillAttempt("a", 1, Cause.CANCEL, force=False)]
        assert s.handle(CancelRequested("a"), 1) == kill
        assert s.handle(CancelRequested("a"), 1) == []
        orders = s.handle(ended("a", CANCELLED, cause=Cause.CANCEL), 2)
        assert orders[0].needs == {"a": CANCELLED}
        assert orders[-1] == EndRun(1)

    def test_one_that_fails_by_itself_meanwhile_is_not_tried_again(self):
        s = scheduler(task("a", max_retries=1))
        s.start(0)
        s.handle(CancelRequested("a"), 1)
        assert s.handle(ended("a", FAILURE), 2)[-1] == EndRun(1)

    def test_a_waiting_one_never_starts(self):
        s = scheduler(task("a"), task("b"), task("c", ["b"]), max_jobs=1)
        s.start(0)
        orders = s.handle(CancelRequested("a"), 1)
        assert orders == [NotRun("a", CANCELLED, Cause.CANCEL, "cancelled on request")]
        assert s.handle(CancelRequested("nobody"), 1) == []
        assert starts(s.handle(ended("b"), 2)) == ["c"]

    def test_one_of_a_later_phase_is_told_at_once_and_fails_its_phase(self):
        s = scheduler(
            task("a"),
            task("b", phase="B"),
            task("c", ["b"], phase="B"),
            task("d", [Need("b", require="done")], phase="B"),
        )
        s.start(0)
        assert s.handle(CancelRequested("b"), 1)[0].task == "b"
        orders = s.handle(ended("a"), 2)
        assert [(o.task, o.status) for o in orders if isinstance(o, NotRun)] == [("c", BLOCKED)]
        assert starts(orders) == ["d"]
        assert s.handle(ended("d"), 3) == [EndPhase("B", ok=False), EndRun(1)]
