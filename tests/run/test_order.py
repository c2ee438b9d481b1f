"""The order in which tasks start: by the time that is left, else by how much is joined; and what it
comes to, beside what no order can beat, beside make, and beside a run that knew no times.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from math import exp, log

import pytest
from msgspec.structs import replace

from tests.support.random_flows import RESOURCES
from tests.support.simulated import Outcome, Simulation, plan_of, task
from tests.support.traces import OTHERS, WORKFLOWS, Trace, draw, drawn_of
from zf.plan.graph import Plan
from zf.run.schedule.order import rehearse, start_order
from zf.run.schedule.orders import Limits
from zf.run.schedule.scheduler import Scheduler


def names(plan: Plan, slots: int = 1) -> list[str]:
    return [t.id for t in start_order(plan, Limits(slots))]


def weighed(plan: Plan, **weight_s: float) -> Plan:
    return replace(plan, weight_s=weight_s)


def run_s(plan: Plan, slots: int, took_s: Mapping[str, float], **limits: object) -> float:
    """How long the scheduler takes for it, in simulated time."""
    given = Limits(slots, **limits)
    run = Simulation(Scheduler(plan, given), lambda name, _: Outcome(took_s[name])).run()
    assert run.exit_code == 0
    return run.now


class TestWithoutTimes:
    def test_the_longest_way_comes_first_then_the_id(self):
        plan = plan_of(task("a"), task("z"), task("b"), task("y", ["z"]), task("x", ["y"]))
        assert names(plan) == ["z", "y", "a", "b", "x"]

    def test_what_many_join_in_counts_as_many(self):
        """A chain of three is shorter than one of two that ends in a merge of five."""
        parts = [task(f"part{n}") for n in range(5)]
        merge = task("merge", [part.id for part in parts])
        chain = [task("c1"), task("c2", ["c1"]), task("c3", ["c2"])]
        order = names(plan_of(*parts, merge, *chain))
        assert order.index("part4") < order.index("c1")

    def test_priority_comes_before_any_way(self):
        assert names(plan_of(task("a"), task("b", ["a"]), task("c", priority=1)))[0] == "c"


class TestWithTimes:
    def test_the_longest_time_comes_first_not_the_longest_count(self):
        plan = plan_of(task("a"), task("b", ["a"]), task("c", ["b"]), task("long"))
        assert names(plan)[0] == "a"
        assert names(weighed(plan, a=1, b=1, c=1, long=10))[0] == "long"

    def test_priority_comes_before_any_time(self):
        plan = plan_of(task("a"), task("b", priority=1))
        assert names(weighed(plan, a=9, b=1)) == ["b", "a"]

    def test_a_later_phase_lengthens_no_way(self):
        plan = plan_of(task("a"), task("b"), task("c", ["a"], phase="B"))
        assert names(weighed(plan, a=1, b=2, c=99)) == ["b", "a", "c"]

    @pytest.mark.parametrize("odd", [0.0, 1e300, 5e-324])
    def test_odd_times_give_an_order_all_the_same(self, odd):
        plan = plan_of(*(task(f"t{n}") for n in range(9)), task("z", [f"t{n}" for n in range(9)]))
        weight_s = dict.fromkeys(plan.tasks, odd)
        assert set(names(replace(plan, weight_s=weight_s), 2)) == set(plan.tasks)

    def test_another_order_is_taken_where_the_longest_way_first_is_worse(self):
        """Two slots; the longest first are 3 and 3, then 2, 2, 2 make 7; 3 + 3 and 2 + 2 + 2 are 6."""
        took_s = {"a": 3.0, "b": 3.0, "c": 2.0, "d": 2.0, "e": 2.0}
        plan = plan_of(*(task(name) for name in took_s), phase_timeout_s=1e9)
        hours = {name: took * 3600 for name, took in took_s.items()}
        assert run_s(replace(plan, weight_s=hours), 2, hours) == 6 * 3600

    def test_it_is_the_same_each_time(self):
        trace = draw(WORKFLOWS[1], 3, 150)
        plan = replace(trace.plan(), weight_s=trace.took_s)
        assert names(plan, 4) == names(plan, 4)


def random_tasks(chance: random.Random) -> Plan:
    """Tasks of three phases, some alone, some short of a resource, some in a group."""
    tasks = []
    for n in range(chance.randint(1, 30)):
        needs = [t.id for t in tasks if chance.random() < 0.1]
        more = {
            "phase": "ABC"[n // 10],
            "parallel_safe": chance.random() < 0.8,
            "resources": {"cpu": chance.randint(1, 3)} if chance.random() < 0.3 else {},
            "concurrency": chance.choice(["", "", "g"]),
            "priority": chance.choice([0, 0, 0, 1]),
        }
        tasks.append(task(f"t{n}", needs, **more))
    return plan_of(*tasks)


def test_a_rehearsal_takes_as_long_as_the_run():
    """What the rehearsal leaves out, such as retries, these flows have not."""
    for seed in range(300):
        chance = random.Random(seed)
        plan = random_tasks(chance)
        took_s = {name: chance.uniform(1, 9) for name in plan.tasks}
        limits = Limits(chance.randint(1, 4), resources=RESOURCES)
        order = start_order(plan, limits)
        rehearsed = sum(
            rehearse([t for t in order if t.phase == phase.name], took_s, limits)
            for phase in plan.phases
        )
        took = run_s(plan, limits.max_jobs, took_s, resources=RESOURCES)
        assert rehearsed == pytest.approx(took), seed


# What it comes to.


def second_run(trace: Trace, slots: int, tries: int) -> tuple[float, float]:
    """What a run that knew no times took, and the next one, which knew them, of the least that any
    order can take; both checked.
    """
    least_s = trace.least_s(slots)
    plan = trace.plan()
    first_s = run_s(plan, slots, trace.took_s)
    second_s = run_s(replace(plan, weight_s=trace.took_s), slots, trace.took_s)
    about = f"{trace.shape}, {len(trace.needs)} tasks, -j {slots}"
    assert second_s <= 1.01 * first_s, about
    enough_s = 1.05 * least_s
    if second_s > enough_s:
        assert trace.searched_s(slots, tries, enough_s) > enough_s, f"{about}: one is shorter"
    return first_s / least_s, second_s / least_s


@pytest.mark.parametrize("shape", [*WORKFLOWS, *OTHERS], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("slots", [4, 8])
def test_a_second_run_is_near_to_what_no_order_can_beat(shape, slots):
    for seed in range(2):
        second_run(draw(shape, seed, 150), slots, tries=20)


@pytest.mark.campaign
@pytest.mark.parametrize("shape", [*WORKFLOWS, *OTHERS], ids=lambda shape: shape.__name__)
def test_campaign_a_second_run_is_near_to_what_no_order_can_beat(shape, capsys):
    found = [
        second_run(trace, slots, tries=200)
        for trace in drawn_of((shape,), range(30))
        for slots in (4, 8)
    ]
    with capsys.disabled():
        firsts, seconds = zip(*found, strict=True)
        print(
            f"\n{shape.__name__:12} first {mean(firsts):.3f}, at most {max(firsts):.3f};"
            f" second {mean(seconds):.3f}, at most {max(seconds):.3f};"
            f" within 5 %: {sum(one <= 1.05 for one in seconds)} of {len(seconds)}"
        )


def mean(ratios: Iterable[float]) -> float:
    """The geometric one, as of all ratios."""
    logs = [log(ratio) for ratio in ratios]
    return exp(sum(logs) / len(logs))


def beside_make(traces: Iterable[Trace]) -> list[float]:
    """How long runs that know no times take, make being 1."""
    return [
        run_s(trace.plan(), slots, trace.took_s) / trace.make_s(slots)
        for trace in traces
        for slots in (4, 8)
    ]


@pytest.mark.parametrize("shape", WORKFLOWS, ids=lambda shape: shape.__name__)
def test_without_times_make_is_not_quicker(shape):
    """In the mean: which of two blind orders meets a long task sooner is chance. Make is given the
    better of two files each time, so that 1.01 is about what an equal has.
    """
    assert mean(beside_make(draw(shape, seed, 150) for seed in range(12))) <= 1.01


@pytest.mark.campaign
@pytest.mark.parametrize("shape", WORKFLOWS, ids=lambda shape: shape.__name__)
def test_campaign_without_times_make_is_not_quicker(shape, capsys):
    ratios = beside_make(drawn_of((shape,), range(60)))
    with capsys.disabled():
        print(
            f"\n{shape.__name__:12} {mean(ratios):.4f} of make's time; quicker"
            f" {sum(r < 0.9999 for r in ratios)}, slower {sum(r > 1.0001 for r in ratios)}"
            f" of {len(ratios)}"
        )
    assert mean(ratios) <= 1.01
