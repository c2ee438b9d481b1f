"""The scheduler's rules one by one: events and times in, orders out."""

from __future__ import annotations

import pytest

from tests.support.simulated import GRACE_S, Outcome, Simulation, ended, plan_of, task
from zf.events import CancelRequested, Cause, Interrupted, Status
from zf.model import Need
from zf.run.schedule.orders import (
    EndPhase,
    EndRun,
    KillAttempt,
    Limits,
    NotRun,
    StartAttempt,
    StartPhase,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.scheduler import Scheduler

FAILURE, TIMEOUT, LOST = Status.FAILURE, Status.TIMEOUT, Status.LOST
BLOCKED, SKIPPED, CANCELLED = Status.BLOCKED, Status.SKIPPED, Status.CANCELLED


def scheduler(*tasks, max_jobs=4, phase_timeout_s=3600, checked=True, **limits):
    plan = plan_of(*tasks, phase_timeout_s=phase_timeout_s, checked=checked)
    return Scheduler(plan, Limits(max_jobs=max_jobs, **limits))


def blocked(name, **needs):
    told = "; ".join(f"dependency '{need}' has status: {status}" for need, status in needs.items())
    return NotRun(name, BLOCKED, Cause.NEED, told, needs)


class TestPhases:
    def test_a_run_without_phases_ends_at_once(self):
        assert scheduler().start(0) == [EndRun(0)]

    def test_phases_run_strictly_one_after_the_other(self):
        s = scheduler(task("a"), task("b"), task("c", phase="B"), task("d", ["a"], phase="B"))
        assert s.start(0) == [StartPhase("A", 3600), StartAttempt("a", 1), StartAttempt("b", 1)]
        assert s.handle(ended("a"), 1) == []
        assert s.handle(ended("b"), 2) == [
            EndPhase("A", ok=True),
            StartPhase("B", 3600),
            StartAttempt("c", 1),
            StartAttempt("d", 1),
        ]
        assert s.handle(ended("c"), 3) == []
        assert s.handle(ended("d"), 4) == [EndPhase("B", ok=True), EndRun(0)]
        assert s.wake_at() is None

    def test_after_a_failed_phase_nothing_of_the_later_ones_starts(self):
        s = scheduler(
            task("a"),
            task("b", phase="B"),
            task("c", ["a"], phase="B"),
            task("d", ["c"], phase="C"),
            task("e", ["b"], phase="C"),
        )
        s.start(0)
        never = "phase 'A' failed"
        assert s.handle(ended("a", FAILURE), 1) == [
            EndPhase("A", ok=False),
            NotRun("b", CANCELLED, Cause.PHASE_FAILED, never),
            blocked("c", a=FAILURE),
            NotRun("e", CANCELLED, Cause.PHASE_FAILED, never),
            blocked("d", c=BLOCKED),
            EndRun(1),
        ]
        assert s.handle(Tick(), 2) == []
        assert s.wake_at() is None

    def test_needs_that_nobody_checks_hold_nothing_up(self):
        s = scheduler(task("a", ["elsewhere"]), checked=False)
        assert StartAttempt("a", 1) in s.start(0)


class TestNeeds:
    def test_a_task_starts_when_its_last_need_succeeded(self):
        s = scheduler(task("a"), task("b"), task("c", ["a", "b"]))
        s.start(0)
        assert s.handle(ended("a"), 1) == []
        assert s.handle(ended("b"), 2) == [StartAttempt("c", 1)]

    @pytest.mark.parametrize("status", [FAILURE, TIMEOUT, LOST, CANCELLED])
    def test_a_need_that_did_not_succeed_blocks_at_once_near_and_far(self, status):
        s = scheduler(task("a"), task("slow"), task("b", ["a", "slow"]), task("c", ["b"]))
        s.start(0)
        assert s.handle(ended("a", status), 1) == [blocked("b", a=status), blocked("c", b=BLOCKED)]
        assert s.handle(ended("slow"), 2) == [EndPhase("A", ok=False), EndRun(1)]

    def test_every_need_known_to_be_unmet_is_told(self):
        s = scheduler(task("a"), task("x"), task("b", ["a"]), task("c", ["b", "x", "a"]))
        s.start(0)
        s.handle(ended("x"), 1)
        assert s.handle(ended("a", TIMEOUT), 2)[:2] == [
            blocked("b", a=TIMEOUT),
            blocked("c", b=BLOCKED, a=TIMEOUT),
        ]

    def test_a_task_is_told_blocked_once(self):
        s = scheduler(task("a"), task("b"), task("c", ["a", "b"]))
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == [blocked("c", a=FAILURE)]
        assert s.handle(ended("b", FAILURE), 2) == [EndPhase("A", ok=False), EndRun(1)]

    def test_a_need_that_only_has_to_be_done_is_met_by_any_end(self):
        after = task("b", [Need("a", require="done")])
        s = scheduler(task("a"), after, task("c", ["b"]))
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == [StartAttempt("b", 1)]
        assert s.handle(ended("b"), 2) == [StartAttempt("c", 1)]

    def test_a_long_chain_is_blocked_without_recursion(self):
        chain = [task("t0"), *(task(f"t{n}", [f"t{n - 1}"]) for n in range(1, 5000))]
        s = scheduler(*chain)
        s.start(0)
        orders = s.handle(ended("t0", FAILURE), 1)
        assert sum(isinstance(order, NotRun) for order in orders) == 4999

    def test_independent_tasks_go_on_after_a_failure(self):
        s = scheduler(task("a"), task("b"), task("c", ["b"]))
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        assert s.handle(ended("b"), 2) == [StartAttempt("c", 1)]


class TestSlots:
    def test_never_more_than_max_jobs(self):
        s = scheduler(*(task(f"t{n}") for n in range(5)), max_jobs=2)
        assert s.start(0)[1:] == [StartAttempt("t0", 1), StartAttempt("t1", 1)]
        assert s.handle(ended("t1"), 1) == [StartAttempt("t2", 1)]
        assert dict(s.running) == {"t0": 1, "t2": 1}
        assert dict(s.done) == {"t1": Status.SUCCESS}

    def test_the_longest_chain_comes_first_then_the_id(self):
        s = scheduler(
            task("a"), task("z"), task("b"), task("y", ["z"]), task("x", ["y"]), max_jobs=1
        )
        assert s.start(0)[1:] == [StartAttempt("z", 1)]
        assert s.handle(ended("z"), 1) == [StartAttempt("y", 1)]
        assert s.handle(ended("y"), 2) == [StartAttempt("a", 1)]

    def test_an_exclusive_task_is_alone_both_ways(self):
        s = scheduler(task("a"), task("b", parallel_safe=False), task("c"))
        assert s.start(0)[1:] == [StartAttempt("a", 1)]
        assert s.handle(ended("a"), 1) == [StartAttempt("b", 1)]
        assert s.handle(ended("b"), 2) == [StartAttempt("c", 1)]

    def test_an_exclusive_task_at_the_head_keeps_its_place(self):
        s = scheduler(
            task("a1"),
            task("a2"),
            task("p", parallel_safe=False),
            task("p1", ["p"]),
            task("p2", ["p1"]),
            task("p3", ["p2"]),
            # Longer chains that become ready while p waits do not overtake it.
            task("q0", ["a1"]),
            task("q1", ["q0"]),
            task("q2", ["q1"]),
            task("q3", ["q2"]),
            task("q4", ["q3"]),
            task("r0", ["a2"]),
            task("r1", ["r0"]),
            task("r2", ["r1"]),
            task("r3", ["r2"]),
            task("r4", ["r3"]),
        )
        assert s.start(0)[1:] == [StartAttempt("a1", 1), StartAttempt("a2", 1)]
        assert s.handle(ended("a1"), 1) == []
        assert s.handle(ended("a2"), 2) == [StartAttempt("p", 1)]
        assert s.handle(ended("p"), 3)[:2] == [StartAttempt("q0", 1), StartAttempt("r0", 1)]

    def test_a_late_or_doubled_report_changes_nothing(self):
        s = scheduler(task("a"), task("b", ["a"]))
        s.start(0)
        assert s.handle(ended("a", FAILURE, attempt=2), 1) == []
        assert s.handle(ended("a"), 1) == [StartAttempt("b", 1)]
        assert s.handle(ended("a", FAILURE), 1) == []
        assert s.handle(ended("b"), 2)[-1] == EndRun(0)
        assert s.handle(ended("b", FAILURE), 2) == []


class TestFailFast:
    def test_nothing_new_starts_and_what_runs_may_finish(self):
        s = scheduler(
            task("a"), task("b"), task("c"), task("a1", ["a"]), max_jobs=2, fail_fast=True
        )
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == [
            blocked("a1", a=FAILURE),
            NotRun("c", CANCELLED, Cause.FAIL_FAST, "--fail-fast: 'a' ended with status: failure"),
        ]
        assert s.handle(ended("b"), 2) == [EndPhase("A", ok=False), EndRun(1)]

    def test_who_needs_a_running_task_is_told_when_it_has_ended(self):
        s = scheduler(task("a"), task("b"), task("b1", ["b"]), fail_fast=True)
        s.start(0)
        assert s.handle(ended("a", FAILURE), 1) == []
        assert s.handle(ended("b", LOST), 2)[0] == blocked("b1", b=LOST)
        s = scheduler(task("a"), task("b"), task("b1", ["b"]), fail_fast=True)
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        assert s.handle(ended("b"), 2)[0].cause == Cause.FAIL_FAST

    def test_dependents_that_only_wait_for_the_end_do_not_start_either(self):
        s = scheduler(task("a"), task("b", [Need("a", require="done")]), fail_fast=True)
        s.start(0)
        orders = s.handle(ended("a", FAILURE), 1)
        assert [type(order) for order in orders] == [NotRun, EndPhase, EndRun]

    def test_now_ends_what_runs(self):
        now = {"fail_fast": "now", "max_jobs": 2}
        again = {"max_retries": 3, "retry_on": ("cancelled", "failure")}
        s = scheduler(task("a"), task("b", **again), task("c"), task("b1", ["b"]), **now)
        s.start(0)
        why = "--fail-fast=now: 'a' ended with status: failure"
        assert s.handle(ended("a", FAILURE), 1) == [
            KillAttempt("b", 1, Cause.FAIL_FAST, force=False),
            NotRun("c", CANCELLED, Cause.FAIL_FAST, why),
        ]
        assert s.handle(ended("b", CANCELLED, cause=Cause.FAIL_FAST), 2) == [
            NotRun("b1", CANCELLED, Cause.FAIL_FAST, why),
            EndPhase("A", ok=False),
            EndRun(1),
        ]

    def test_now_who_needs_what_failed_meanwhile_is_blocked_by_it(self):
        s = scheduler(task("a"), task("b"), task("b1", ["b"]), fail_fast="now")
        s.start(0)
        s.handle(ended("a", FAILURE), 1)
        assert s.handle(ended("b", FAILURE), 2)[0] == blocked("b1", b=FAILURE)


class TestPhaseTimeout:
    def test_running_tasks_are_killed_and_the_rest_is_cancelled(self):
        s = scheduler(
            task("a"),
            task("b"),
            task("c", parallel_safe=False),
            task("d", phase="B"),
            phase_timeout_s={"A": 5},
        )
        s.start(10)
        assert s.wake_at() == 15
        assert s.handle(ended("a"), 12) == []
        assert s.handle(Tick(), 14.9) == []
        assert s.handle(Tick(), 15) == [
            TimeOutPhase("A", 5),
            KillAttempt("b", 1, Cause.PHASE_TIMEOUT, force=False),
            NotRun("c", CANCELLED, Cause.PHASE_TIMEOUT, "phase timeout (5s) exceeded"),
        ]
        assert s.wake_at() is None
        assert s.handle(ended("b", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 16) == [
            EndPhase("A", ok=False),
            NotRun("d", CANCELLED, Cause.PHASE_FAILED, "phase 'A' failed"),
            EndRun(124),
        ]

    def test_who_needs_a_running_task_is_blocked_by_what_it_comes_to(self):
        s = scheduler(
            task("a"),
            task("b", ["a"]),
            task("c", ["b"]),
            task("d", [Need("a", require="done")]),
            phase_timeout_s=5,
        )
        s.start(0)
        assert s.handle(Tick(), 5) == [
            TimeOutPhase("A", 5),
            KillAttempt("a", 1, Cause.PHASE_TIMEOUT, force=False),
            NotRun("d", CANCELLED, Cause.PHASE_TIMEOUT, "phase timeout (5s) exceeded"),
        ]
        assert s.handle(ended("a", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6) == [
            blocked("b", a=TIMEOUT),
            blocked("c", b=BLOCKED),
            EndPhase("A", ok=False),
            EndRun(124),
        ]

    def test_nobody_starts_after_a_task_that_succeeded_while_it_was_killed(self):
        s = scheduler(task("a"), task("b", ["a"]), phase_timeout_s=5)
        s.start(0)
        s.handle(Tick(), 5)
        assert s.handle(ended("a"), 6) == [
            NotRun("b", CANCELLED, Cause.PHASE_TIMEOUT, "phase timeout (5s) exceeded"),
            EndPhase("A", ok=False),
            EndRun(124),
        ]

    def test_what_finished_in_time_counts_even_if_we_look_late(self):
        s = scheduler(task("a"), task("b", phase="B"), phase_timeout_s={"A": 5})
        s.start(0)
        assert s.handle(ended("a"), 60) == [
            EndPhase("A", ok=True),
            StartPhase("B", 3600),
            StartAttempt("b", 1),
        ]
        assert s.wake_at() == 3660

    def test_nothing_starts_at_the_moment_the_phase_is_over(self):
        s = scheduler(task("a"), task("b", ["a"]), phase_timeout_s=5)
        s.start(0)
        assert s.handle(ended("a"), 5) == [
            TimeOutPhase("A", 5),
            NotRun("b", CANCELLED, Cause.PHASE_TIMEOUT, "phase timeout (5s) exceeded"),
            EndPhase("A", ok=False),
            EndRun(124),
        ]


class TestInterrupts:
    @pytest.mark.parametrize(("signal", "exit_code"), [(2, 130), (15, 143), (1, 143)])
    def test_once_twice_thrice(self, signal, exit_code):
        s = scheduler(
            task("a"), task("b", ["a"]), task("c", phase="B"), task("d", phase="C"), max_jobs=1
        )
        s.start(0)
        name = {2: "SIGINT", 15: "SIGTERM", 1: "SIGHUP"}[signal]
        told = (CANCELLED, Cause.INTERRUPT, f"interrupted by {name}")
        assert s.handle(Interrupted(signal, 1), 1) == [
            KillAttempt("a", 1, Cause.INTERRUPT, force=False),
            NotRun("b", *told),
            NotRun("c", *told),
            NotRun("d", *told),
        ]
        now_kill = [KillAttempt("a", 1, Cause.INTERRUPT, force=True)]
        assert s.handle(Interrupted(15, 2), 2) == now_kill
        assert s.handle(Interrupted(2, 3), 3) == now_kill
        assert s.wake_at() is None
        assert s.handle(ended("a", CANCELLED), 4) == [EndPhase("A", ok=False), EndRun(exit_code)]

    def test_an_interrupt_outranks_a_phase_timeout(self):
        s = scheduler(task("a"), phase_timeout_s=5)
        s.start(0)
        s.handle(Tick(), 5)
        s.handle(Interrupted(2, 1), 6)
        assert s.handle(ended("a", TIMEOUT), 7)[-1] == EndRun(130)

    def test_an_unknown_signal_is_told_by_number(self):
        s = scheduler(task("a"), task("b"), max_jobs=1)
        s.start(0)
        assert s.handle(Interrupted(3, 1), 1)[1].detail == "interrupted by signal 3"


class TestExitOfOneTask:
    @pytest.mark.parametrize(
        ("report", "code"),
        [
            (ended("a"), 0),
            (ended("a", FAILURE, exit_code=7), 7),
            (ended("a", FAILURE, exit_code=123), 123),
            (ended("a", FAILURE, exit_code=124), 1),
            (ended("a", FAILURE, exit_code=255), 1),
            (ended("a", FAILURE, exit_code=0), 1),
            (ended("a", TIMEOUT), 124),
            (ended("a", LOST), 1),
            (ended("a", CANCELLED), 1),
        ],
        ids=lambda value: "" if isinstance(value, int) else f"{value.status}-{value.exit_code}",
    )
    def test_the_tasks_own_code_where_it_cannot_be_mistaken(self, report, code):
        s = scheduler(task("a"), only="a")
        s.start(0)
        assert s.handle(report, 1)[-1] == EndRun(code)

    def test_a_need_that_failed_is_a_plain_failure(self):
        s = scheduler(task("a"), task("b", ["a"]), only="b")
        s.start(0)
        assert s.handle(ended("a", FAILURE, exit_code=7), 1)[-1] == EndRun(1)


def test_a_simulated_run_from_start_to_end():
    # The harness itself: a killed attempt ends after the grace, once.
    s = scheduler(task("a"), task("b", ["a"]), phase_timeout_s=5)
    run = Simulation(s, lambda *_: Outcome(duration_s=60)).run()
    assert run.ends == {"a": TIMEOUT, "b": BLOCKED}
    assert run.now == 5 + GRACE_S
    assert run.exit_code == 124


class TestWhatComesNext:
    """Guesses: what a worker may make ready while it waits for a task to end."""

    def test_the_task_that_needs_only_the_one_that_runs(self):
        s = scheduler(task("a"), task("b", ["a"]), task("c", ["b"]))
        s.start(0)
        assert s.guess_next("a") == "b"
        assert s.guess_next("c") is None
        s.handle(ended("a"), 1)
        assert s.guess_next("a") is None
        assert s.guess_next("b") == "c"

    def test_not_one_that_waits_for_others_too(self):
        s = scheduler(task("a"), task("b"), task("c", ["a", "b"]))
        s.start(0)
        assert s.guess_next("a") is None
        s.handle(ended("a"), 1)
        assert s.guess_next("b") == "c"

    def test_not_while_others_wait_for_a_slot(self):
        s = scheduler(task("a"), task("b", ["a"]), task("x"), max_jobs=1)
        s.start(0)
        assert s.guess_next("a") is None
        s.handle(ended("a"), 1)
        s.handle(ended("b"), 2)
        assert s.running == {"x": 1}

    def test_not_one_of_a_later_phase(self):
        s = scheduler(task("a"), task("b", ["a"], phase="B"))
        s.start(0)
        assert s.guess_next("a") is None

    @pytest.mark.parametrize("more", [{"condition": "true"}, {"concurrency": "group"}])
    def test_not_one_that_may_be_kept_from_starting(self, more):
        s = scheduler(task("a"), task("b", ["a"], **more), task("c", ["a"]))
        s.start(0)
        assert s.guess_next("a") == "c"

    def test_not_one_that_has_ended(self):
        s = scheduler(task("a"), task("b", ["a"]))
        s.start(0)
        s.handle(CancelRequested("b"), 1)
        assert s.guess_next("a") is None
