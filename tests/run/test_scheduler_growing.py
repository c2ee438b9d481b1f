"""Plans that grow while their run goes on: instances come to what they would have come to, had they
been known, and a journal that is cut anywhere is finished. In simulated time.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.random_flows import (
    CONTEXT,
    RESOURCES,
    random_events,
    random_limits,
    random_outcomes,
    random_task,
    scheduler,
)
from tests.support.simulated import Outcome, Simulation, drawn, ended, plan_of, task
from tests.support.simulated_journals import check_once, ends_in, journal_of, runner_died
from zf.events import CancelRequested, Cause, PlanExtended, RunResumed, RunStarted, Status
from zf.model import Need, Task, base_of
from zf.plan.matrix.dynamic import recalled
from zf.proof.journal import Line
from zf.run.recover import conditions_answered, open_attempts, outstanding
from zf.run.schedule.orders import (
    EndRun,
    Extend,
    Extended,
    KillAttempt,
    Limits,
    NotExtended,
    NotRun,
    StartAttempt,
)

CAMPAIGN = 20_000
SUCCESS, FAILURE, SKIPPED, BLOCKED = (
    Status.SUCCESS,
    Status.FAILURE,
    Status.SKIPPED,
    Status.BLOCKED,
)


def later(name, source="plan", needs=(), **more) -> Task:
    """A task whose instances `source` lists."""
    return task(name, [source, *needs], matrix_from={"from": f"{source}.list"}, **more)


def joined(base, *values, **more) -> Extended:
    told = [
        {"id": f"{base}@v={value}", "matrix": {"v": str(value)}, "sha256": "", **more}
        for value in values
    ]
    event = PlanExtended(base, told, len(told))
    return Extended(event, {one["id"]: CONTEXT for one in told})


def starts(orders):
    return [order.task for order in orders if isinstance(order, StartAttempt)]


def extends(orders):
    return [order.base for order in orders if isinstance(order, Extend)]


def not_run(orders):
    return {o.task: (o.status, o.cause) for o in orders if isinstance(o, NotRun)}


class TestExtending:
    def test_it_is_asked_for_once_and_only_when_the_list_is_there(self):
        s = scheduler(plan_of(task("plan"), task("slow"), later("t", needs=["slow"])), Limits(4))
        assert extends(s.start(0)) == []
        assert extends(s.handle(ended("plan"), 1)) == ["t"]
        assert s.handle(joined("t", 1, 2), 1) == []
        assert starts(s.handle(ended("slow"), 2)) == ["t@v=1", "t@v=2"]

    def test_a_list_that_does_not_come_blocks_the_task_itself(self):
        s = scheduler(plan_of(task("plan"), later("t")), Limits(4))
        s.start(0)
        orders = s.handle(ended("plan", FAILURE), 1)
        assert extends(orders) == []
        assert not_run(orders) == {"t": (BLOCKED, Cause.NEED)}

    @pytest.mark.parametrize("status", [SKIPPED, FAILURE])
    def test_without_instances_the_task_itself_ends(self, status):
        plan = plan_of(task("plan"), later("t"), task("after", ["t"]))
        s = scheduler(plan, Limits(4))
        s.start(0)
        s.handle(ended("plan"), 1)
        orders = s.handle(NotExtended("t", status, "no instances: none"), 1)
        held = SKIPPED if status is SKIPPED else BLOCKED
        assert not_run(orders) == {"t": (status, Cause.INSTANCES), "after": (held, Cause.NEED)}
        assert EndRun(int(status is FAILURE)) in orders

    def test_what_needs_it_waits_for_every_instance(self):
        s = scheduler(plan_of(task("plan"), later("t"), task("after", ["t"])), Limits(4))
        s.start(0)
        s.handle(ended("plan"), 1)
        assert starts(s.handle(joined("t", 1, 2), 1)) == ["t@v=1", "t@v=2"]
        assert starts(s.handle(ended("t@v=1"), 2)) == []
        assert starts(s.handle(ended("t@v=2"), 3)) == ["after"]

    def test_those_that_take_longest_come_first(self):
        s = scheduler(plan_of(task("plan"), later("t")), Limits(1))
        s.start(0)
        s.handle(ended("plan"), 1)
        found = joined("t", 1, 2)
        found.event.instances[1]["weight_s"] = 9.0
        assert starts(s.handle(found, 1)) == ["t@v=2"]

    def test_max_parallel_and_fail_fast_hold(self):
        base = later("t", max_parallel=1, matrix_fail_fast=True)
        s = scheduler(plan_of(task("plan"), base), Limits(4))
        s.start(0)
        s.handle(ended("plan"), 1)
        assert starts(s.handle(joined("t", 1, 2, 3), 1)) == ["t@v=1"]
        orders = s.handle(ended("t@v=1", FAILURE), 2)
        assert {cause for _, cause in not_run(orders).values()} == {Cause.MATRIX}

    def test_a_base_that_cannot_be_extended_ends_no_other_matrix(self):
        bases = [later("t", matrix_fail_fast=True), later("u", matrix_fail_fast=True)]
        s = scheduler(plan_of(task("plan"), *bases), Limits(4))
        s.start(0)
        assert extends(s.handle(ended("plan"), 1)) == ["t", "u"]
        s.handle(NotExtended("t", FAILURE, ""), 1)
        assert starts(s.handle(joined("u", 1), 1)) == ["u@v=1"]

    def test_same_waits_for_the_instances_to_be_known_and_not_for_their_ends(self):
        other = later("u", needs=[Need("t", matrix="same")])
        s = scheduler(plan_of(task("plan"), later("t"), other), Limits(4))
        s.start(0)
        assert extends(s.handle(ended("plan"), 1)) == ["t"]
        assert extends(s.handle(joined("t", 1, 2), 1)) == ["u"]
        found = joined("u", 1, 2)
        for one in found.event.instances:
            one["needs"] = ["plan", one["id"].replace("u", "t")]
        assert starts(s.handle(found, 1)) == []
        assert starts(s.handle(ended("t@v=2"), 2)) == ["u@v=2"]
        orders = s.handle(ended("t@v=1", FAILURE), 3)
        assert not_run(orders) == {"u@v=1": (BLOCKED, Cause.NEED)}

    def test_a_condition_is_asked_of_each_instance(self):
        base = later("t", condition="failure()", needs=[Need("bad")])
        s = scheduler(plan_of(task("plan"), task("bad"), base), Limits(4))
        s.start(0)
        s.handle(ended("plan"), 1)
        s.handle(joined("t", 1, 2), 1)
        assert starts(s.handle(ended("bad", FAILURE), 2)) == ["t@v=1", "t@v=2"]

    def test_instances_can_be_cancelled_and_their_base_no_longer(self):
        s = scheduler(plan_of(task("plan"), later("t")), Limits(1))
        s.start(0)
        s.handle(ended("plan"), 1)
        s.handle(joined("t", 1, 2), 1)
        assert s.handle(CancelRequested("t"), 2) == []
        orders = s.handle(CancelRequested("t@v=2"), 2)
        assert not_run(orders) == {"t@v=2": (Status.CANCELLED, Cause.CANCEL)}

    def test_an_instance_with_a_budget_is_held_to_it(self):
        s = scheduler(plan_of(task("plan"), later("t", budget={"cost": 1})), Limits(1))
        s.start(0)
        s.handle(ended("plan"), 1)
        assert starts(s.handle(joined("t", 1), 1)) == ["t@v=1"]


# The same as if the instances had been known.


def random_growing(chance: random.Random) -> tuple[list[Task], dict[str, int]]:
    """Tasks, some of whose instances are listed by tasks that need nothing and succeed; and how
    many instances each of these has.
    """
    sources = [f"s{n}" for n in range(chance.randint(1, 2))]
    tasks = [task(name) for name in sources]
    counts: dict[str, int] = {}
    for n in range(chance.randint(1, 9)):
        name = f"t{n}"
        own = random_task(chance, name, "A", [t.id for t in tasks])
        own = replace(own, start_after_s=0)
        if chance.random() < 0.5:
            source = chance.choice(sources)
            needs = [need for need in own.needs if need.task != source]
            needs = [
                replace(need, matrix="same")
                if need.task in counts and need.require == "success" and chance.random() < 0.5
                else need
                for need in needs
            ]
            counts[name] = chance.randint(1, 3)
            limit = chance.choice([None, None, 1])
            own = replace(
                own,
                needs=(*needs, Need(source)),
                matrix_from={"from": f"{source}.list"},
                max_parallel=limit,
            )
        tasks.append(own)
    return tasks, counts


def told(tasks: list[Task], counts: dict[str, int], base: str) -> Extended:
    found = joined(base, *range(counts[base]))
    needs = next(t for t in tasks if t.id == base).needs
    if any(need.matrix == "same" for need in needs):
        for value, one in enumerate(found.event.instances):
            one["needs"] = [
                name
                for need in needs
                for name in (
                    [f"{need.task}@v={value}"] * (value < counts[need.task])
                    if need.matrix == "same"
                    else [need.task]
                )
            ]
    return found


def known(tasks: list[Task], counts: dict[str, int]) -> list[Task]:
    """The same tasks with all instances, as if they had been known."""
    instances = {
        base: [recalled(t, one) for one in told(tasks, counts, base).event.instances]
        for base in counts
        for t in tasks
        if t.id == base
    }
    found = []
    for each in (one for t in tasks for one in instances.get(t.id, [t])):
        needs = [
            replace(need, task=one.id, matrix="all") if one else need
            for need in each.needs
            for one in instances.get(need.task, [None])
        ]
        found.append(replace(each, needs=tuple(needs)))
    return found


def good_sources(outcomes):
    def outcome(name: str, attempt: int) -> Outcome:
        drawn_one = outcomes(name, attempt)
        return Outcome(drawn_one.duration_s) if name.startswith("s") else drawn_one

    return outcome


def check_growing(chance: random.Random) -> None:
    tasks, counts = random_growing(chance)
    limits = Limits(max_jobs=chance.randint(1, 4), resources=RESOURCES, seed="run")
    outcomes = good_sources(random_outcomes(chance))
    grown = Simulation(
        scheduler(plan_of(*tasks), limits),
        outcomes,
        extend=lambda base: told(tasks, counts, base),
    ).run()
    plan = plan_of(*known(tasks, counts))
    static = Simulation(scheduler(plan, limits), outcomes).run()
    assert grown.ends == static.ends
    assert grown.exit_code == static.exit_code
    assert {n: (o.status, o.cause) for n, o in grown.not_run.items()} == {
        n: (o.status, o.cause) for n, o in static.not_run.items()
    }
    # However long each task takes, the instances are the same, and so is what they come to.
    pace = chance.randint(0, 1_000_000)
    other = Simulation(
        scheduler(plan_of(*tasks), limits),
        lambda name, attempt: replace_pace(outcomes(name, attempt), pace, name),
        extend=lambda base: told(tasks, counts, base),
    ).run()
    assert other.ends == grown.ends


def replace_pace(outcome: Outcome, pace: int, name: str) -> Outcome:
    return Outcome(drawn(pace, name, 0).randint(0, 6), outcome.status, outcome.exit_code)


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_instances_come_to_what_they_would_have_had_they_been_known(chance):
    check_growing(chance)


def test_a_few_hundred_plain_seeds_come_to_the_same():
    for seed in range(300):
        check_growing(random.Random(seed))


@pytest.mark.campaign
def test_campaign_they_come_to_the_same():
    for seed in range(CAMPAIGN):
        try:
            check_growing(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def check_cut(chance: random.Random) -> None:
    """A run with everything that can befall one, whose lists may be empty or bad; its journal is
    cut anywhere, and finished.
    """
    tasks, counts = random_growing(chance)
    none = {base: chance.choice([None] * 4 + [SKIPPED, FAILURE]) for base in counts}
    limits, outcomes = random_limits(chance), random_outcomes(chance)

    def extend(base):
        if none[base] is not None:
            return NotExtended(base, none[base], "no instances")
        found = told(tasks, counts, base)
        for one in found.event.instances:
            # Of those that have none, the base itself is what is needed.
            of = [base_of(name) for name in one.get("needs", ())]
            if any(none.get(name) is not None for name in of):
                one["needs"] = [
                    base_of(name) if none.get(base_of(name)) is not None else name
                    for name in one["needs"]
                ]
        return found

    plan = plan_of(*tasks)
    first = Simulation(
        scheduler(plan, limits), outcomes, list(random_events(chance)), extend=extend
    ).run()
    started = RunStarted("r", (), 0, "", "", None, None, None)
    journal = [(0.0, started), *journal_of(first.turns)]
    journal = journal[: chance.randint(1, len(journal))]
    now = journal[-1][0]
    lost = open_attempts(event for _, event in journal)
    journal.append((now, RunResumed(0)))
    journal += [(now, runner_died(attempt)) for attempt in lost]
    events = [event for _, event in journal]
    before = [event for event in events if isinstance(event, PlanExtended)]
    again = scheduler(plan, limits, conditions_answered(events))
    again._outcomes._contexts |= {one["id"]: CONTEXT for event in before for one in event.instances}
    lines = [Line(0, "", at, event) for at, event in journal]
    orders = outstanding(again, lines, [at for at, _ in journal])
    assert not any(isinstance(order, KillAttempt) for order in orders)
    # What joined the plan is not asked for again.
    assert not set(extends(orders)) & {event.base for event in before}
    second = Simulation(again, outcomes, now=now, ends=ends_in(events), extend=extend)
    second.go_on(orders)
    events += [event for _, event in journal_of(second.turns)]
    check_once(events)
    grown = [event for event in events if isinstance(event, PlanExtended)]
    assert len({event.base for event in grown}) == len(grown)
    wanted = {t.id for t in tasks} - {event.base for event in grown}
    wanted |= {str(one["id"]) for event in grown for one in event.instances}
    assert set(again.done) == wanted


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_a_journal_cut_anywhere_is_finished_with_the_instances_it_has(chance):
    check_cut(chance)


def test_a_few_hundred_plain_seeds_are_finished():
    for seed in range(300):
        check_cut(random.Random(seed))


@pytest.mark.campaign
def test_campaign_a_journal_cut_anywhere_is_finished():
    for seed in range(CAMPAIGN):
        try:
            check_cut(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
