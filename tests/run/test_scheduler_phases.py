"""Phases that say what they need and how many of their tasks run at once, and `--keep-going`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.support.simulated import Outcome, Simulation, ended, plan_of, task
from zf.events import Cause, Interrupted, PhaseTimedOut, RunStarted, Status
from zf.plan.conditions.verdict import ConditionContext
from zf.run.schedule.order import start_order
from zf.run.schedule.orders import EndPhase, EndRun, Limits, StartAttempt, StartPhase, Tick
from zf.run.schedule.scheduler import Scheduler

FAILURE, CANCELLED, SUCCESS = Status.FAILURE, Status.CANCELLED, Status.SUCCESS
BLOCKED, TIMEOUT = Status.BLOCKED, Status.TIMEOUT


def plan(*tasks, needs=None, jobs=None, **more):
    made = plan_of(*tasks, **more)
    phases = [
        structs.replace(
            phase,
            needs=None if needs is None else tuple(needs.get(phase.name, ())),
            max_jobs=(jobs or {}).get(phase.name),
        )
        for phase in made.phases
    ]
    return structs.replace(made, phases=tuple(phases))


def scheduler(the_plan, *, max_jobs=4, **limits):
    contexts = dict.fromkeys(the_plan.tasks, ConditionContext())
    return Scheduler(the_plan, Limits(max_jobs, **limits), contexts)


def simulate(the_plan, outcomes, events=(), **limits):
    def outcome(name, _attempt):
        drawn = outcomes.get(name, SUCCESS)
        return drawn if isinstance(drawn, Outcome) else Outcome(status=drawn)

    return Simulation(scheduler(the_plan, **limits), outcome, events).run()


def started(done):
    return [o.phase for turn in done.turns for o in turn.orders if isinstance(o, StartPhase)]


FOUR = (task("a"), task("b", phase="B"), task("c", phase="C"), task("d", phase="D"))


class TestMaxJobs:
    def test_a_phase_runs_no_more_at_once_than_it_says(self):
        tasks = [task(f"{p}{n}", phase=p.upper()) for p in "ab" for n in range(3)]
        s = scheduler(plan(*tasks, jobs={"A": 1}), max_jobs=2)
        assert [o.task for o in s.start(0) if isinstance(o, StartAttempt)] == ["a0"]
        assert s.handle(ended("a0"), 1) == [StartAttempt("a1", 1)]
        assert s.handle(ended("a1"), 2) == [StartAttempt("a2", 1)]
        # The next phase says nothing, so the limit of the run holds.
        assert [o.task for o in s.handle(ended("a2"), 3) if isinstance(o, StartAttempt)] == [
            *("b0", "b1")
        ]

    def test_a_phase_cannot_have_more_than_the_run(self):
        tasks = [task(f"a{n}") for n in range(4)]
        s = scheduler(plan(*tasks, jobs={"A": 3}), max_jobs=2)
        assert sum(isinstance(o, StartAttempt) for o in s.start(0)) == 2

    def test_the_start_order_is_looked_for_with_the_slots_that_there_are(self):
        # Long first is best for two slots; one slot leaves nothing to be gained.
        tasks = [task(f"a{n}") for n in range(9)]
        weights = {f"a{n}": 100.0 * (n + 1) for n in range(9)}
        wide = structs.replace(plan(*tasks), weight_s=weights)
        narrow = structs.replace(plan(*tasks, jobs={"A": 1}), weight_s=weights)
        assert start_order(narrow, Limits(4)) == start_order(wide, Limits(1))


class TestKeepGoing:
    def test_phases_that_do_not_need_the_failed_one_run(self):
        the_plan = plan(*FOUR, needs={"C": ["A"], "D": ["B"]})
        done = simulate(the_plan, {"a": FAILURE}, keep_going=True)
        assert done.ends == {"a": FAILURE, "b": SUCCESS, "c": CANCELLED, "d": SUCCESS}
        assert done.not_run["c"].cause is Cause.PHASE_FAILED
        assert done.not_run["c"].detail == "phase 'A' failed"
        assert started(done) == ["A", "B", "D"]
        assert done.exit_code == 1

    def test_without_it_the_first_failure_ends_the_run(self):
        done = simulate(plan(*FOUR, needs={"C": ["A"], "D": ["B"]}), {"a": FAILURE})
        assert done.ends == {"a": FAILURE, "b": CANCELLED, "c": CANCELLED, "d": CANCELLED}
        assert started(done) == ["A"]

    def test_where_no_phase_says_what_it_needs_each_needs_the_one_before_it(self):
        done = simulate(plan(*FOUR), {"b": FAILURE}, keep_going=True)
        assert done.ends == {"a": SUCCESS, "b": FAILURE, "c": CANCELLED, "d": CANCELLED}

    def test_a_task_that_needs_a_failed_one_is_blocked_in_a_phase_that_goes_on(self):
        after = (task("x", ["a"], phase="B"), task("y", phase="B"), task("z", ["x"], phase="C"))
        done = simulate(plan(task("a"), *after, needs={}), {"a": FAILURE}, keep_going=True)
        assert done.ends == {"a": FAILURE, "x": BLOCKED, "y": SUCCESS, "z": BLOCKED}

    def test_a_phase_that_failed_because_of_that_keeps_those_that_need_it_from_running(self):
        tasks = (task("a"), task("x", ["a"], phase="B"), task("y", phase="C"))
        done = simulate(plan(*tasks, needs={"C": ["B"]}), {"a": FAILURE}, keep_going=True)
        assert done.ends["y"] is CANCELLED
        assert done.not_run["y"].detail == "phase 'B' failed"

    def test_always_has_its_turn_in_a_phase_that_was_given_up(self):
        tasks = (
            task("a"),
            task("b", phase="B"),
            task("tell", phase="B", condition="always()"),
            task("c", phase="C"),
        )
        done = simulate(plan(*tasks, needs={"B": ["A"]}), {"a": FAILURE}, keep_going=True)
        assert done.ends == {"a": FAILURE, "b": CANCELLED, "tell": SUCCESS, "c": SUCCESS}
        assert started(done) == ["A", "B", "C"]

    def test_what_needs_a_task_of_a_phase_that_was_given_up_is_not_started(self):
        tasks = (task("a"), task("b", phase="B"), task("c", ["b"], phase="C"), task("d", phase="C"))
        done = simulate(plan(*tasks, needs={"B": ["A"]}), {"a": FAILURE}, keep_going=True)
        assert done.ends["b"] is CANCELLED
        assert done.ends["c"] is BLOCKED
        assert done.ends["d"] is SUCCESS

    def test_a_phase_that_ran_out_of_time_is_one_that_failed(self):
        tasks = (task("a"), task("b", phase="B"), task("c", phase="C"))
        the_plan = plan(*tasks, needs={"C": ["A"]}, phase_timeout_s={"A": 5})
        done = simulate(the_plan, {"a": Outcome(100)}, keep_going=True)
        assert done.ends == {"a": TIMEOUT, "b": SUCCESS, "c": CANCELLED}
        assert done.exit_code == 124

    def test_an_interrupt_ends_it_all_also_after_a_phase_that_ran_out_of_time(self):
        tasks = (task("a"), task("b", phase="B"))
        for at in (5.5, 8.5):
            the_plan = plan(*tasks, needs={"C": ["A"]}, phase_timeout_s={"A": 5})
            ways = {"a": Outcome(100), "b": Outcome(100)}
            done = simulate(the_plan, ways, [(at, Interrupted(2, 1))], keep_going=True)
            assert done.ends["b"] is CANCELLED
            assert done.exit_code == 130

    def test_a_deadline_of_the_run_ends_it_all(self):
        done = simulate(plan(*FOUR, needs={}), {"a": Outcome(100)}, keep_going=True, deadline_s=5)
        assert set(done.ends.values()) == {TIMEOUT, CANCELLED}

    def test_taken_up_from_the_journal_it_goes_on_the_same(self):
        the_plan = plan(*FOUR, needs={"C": ["A"]}, phase_timeout_s={"A": 5})
        s = scheduler(the_plan, keep_going=True)
        s.start(0)
        s.handle(Tick(), 5)
        first = s.handle(ended("a", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6)
        again = scheduler(the_plan, keep_going=True)
        again.replay(RunStarted("r", (), 4, "", "", None, None, None), 0)
        again.start(0)
        again.replay(PhaseTimedOut("A", 5), 5)
        assert again.replay(ended("a", TIMEOUT, cause=Cause.PHASE_TIMEOUT), 6) == [
            order for order in first if not isinstance(order, StartAttempt)
        ]


@given(data=st.data(), count=st.integers(1, 6))
def test_exactly_those_phases_run_that_need_no_failed_one(data, count):
    """Against the rule itself: a phase runs if nothing it needs, near or far, has failed."""
    names = [chr(ord("A") + n) for n in range(count)]
    needs: dict[str, set[str]] = {}
    for n, name in enumerate(names):
        direct = data.draw(st.sets(st.sampled_from(names[:n])) if n else st.just(set()))
        needs[name] = direct.union(*(needs[other] for other in direct))
    bad = data.draw(st.sets(st.sampled_from(names)))
    tasks = [task(name.lower(), phase=name) for name in names]
    outcomes = {name.lower(): FAILURE for name in bad}
    done = simulate(plan(*tasks, needs=needs), outcomes, keep_going=True)
    failed: set[str] = set()
    for name in names:
        runs = not needs[name] & failed
        assert (done.ends[name.lower()] is not CANCELLED) is runs
        if runs and name in bad:
            failed.add(name)
    ends = [o for turn in done.turns for o in turn.orders if isinstance(o, EndPhase)]
    assert {o.phase for o in ends if not o.ok} == failed
    assert EndRun(1 if bad else 0) in done.turns[-1].orders


@pytest.mark.parametrize("keep_going", [False, True])
def test_it_is_recorded_only_where_it_was_asked_for(keep_going):
    said = Limits(4, keep_going=keep_going).as_json()
    assert said.get("keep_going", False) is keep_going
    assert ("keep_going" in said) is keep_going
