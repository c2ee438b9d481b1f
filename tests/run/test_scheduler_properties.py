"""What holds for every flow, every outcome and every timing, in simulated time.

Flows are drawn by hypothesis (which shrinks what fails) and, in the campaigns, by plain seeds.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.random_flows import (
    OUTCOMES,
    RESOURCES,
    random_events,
    random_limits,
    random_outcomes,
    random_plan,
    scheduler,
)
from tests.support.simulated import Outcome, Simulation, drawn, plan_of, task
from zf.events import (
    AttemptEnded,
    Cause,
    ConditionEvaluated,
    Interrupted,
    RetryScheduled,
    RunTimedOut,
    Status,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.model import Need
from zf.plan.graph import Plan
from zf.run.schedule.orders import (
    LEASE_RETRY_S,
    EndPhase,
    EndRun,
    KillAttempt,
    LeaseAnswered,
    Limits,
    LoadSampled,
    NotRun,
    Order,
    Record,
    StartAttempt,
    StartPhase,
    Throttle,
    Tick,
    TimeOutPhase,
)

SUCCESS, SKIPPED, CANCELLED = Status.SUCCESS, Status.SKIPPED, Status.CANCELLED
FAILED = {Status.FAILURE, Status.TIMEOUT, Status.LOST}
CAMPAIGN = 100_000


def random_others(chance: random.Random) -> Callable[[str, float], bool]:
    """Other runs, which now and then have a group."""
    seed = chance.choice([None, chance.randint(0, 1_000_000)])

    def is_held(group: str, now: float) -> bool:
        return seed is not None and drawn(seed, group, int(now)).random() < 0.5

    return is_held


def random_run(chance: random.Random) -> Simulation:
    plan, limits = random_plan(chance), random_limits(chance)
    watch = Watch(plan, limits)
    return Simulation(
        scheduler(plan, limits),
        random_outcomes(chance),
        list(random_events(chance)),
        random_others(chance),
        before_order=watch.before_order,
        after_turn=watch.after_turn,
    ).run()


class Watch:
    """The promises again, written down independently of the scheduler."""

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self.plan = plan
        self.limits = limits
        self.ways: dict[str, float] = {}
        self.phase = ""
        self.failed: set[str] = set()
        self.stopped = self.forced = False
        self.busy = False
        self.answers: dict[str, bool | None] = {}
        self.sleeps: dict[str, float] = {}
        self.held: str | None = None  # the exclusive task that keeps its place at the head
        self.codes: dict[str, int | None] = {}

    def good(self, run: Simulation, name: str) -> bool:
        status, t = run.ends[name], self.plan.tasks[name]
        return status in {SUCCESS, SKIPPED} or t.tolerates(status, self.codes.get(name))

    def met(self, run: Simulation, need: Need) -> bool:
        if need.task not in run.ends:
            return False
        skipped = run.ends[need.task] is SKIPPED
        return need.require == "done" or (self.good(run, need.task) and not skipped)

    def before_order(self, run: Simulation, order: Order) -> None:
        self.note_exit_code(run)
        match order:
            case StartPhase(phase):
                assert not run.running
                self.stopped |= self.phase in self.failed
                self.phase = phase
            case StartAttempt(name):
                self.check_start(run, name)
            case NotRun(_, _, cause, _, needs):
                self.stopped |= cause in {Cause.FAIL_FAST, Cause.INTERRUPT}
                assert all(run.ends[need] is status for need, status in needs.items())
                assert bool(needs) == (cause is Cause.NEED)
            case Record(RetryScheduled(name, _, delay_s)):
                assert self.limits.retries
                self.sleeps[name] = run.now + delay_s
            case Record(ConditionEvaluated(name, _, value)):
                assert name not in self.answers
                assert all(need.task in run.ends for need in self.plan.tasks[name].needs)
                self.answers[name] = value
            case Record(ThrottleEntered()) | Record(ThrottleLeft()):
                self.busy = isinstance(order.event, ThrottleEntered)
            case Record(RunTimedOut()) | TimeOutPhase():
                self.stopped = True
            case EndRun():
                assert not run.running
                assert not run.pending
                assert not self.busy
                assert set(run.ends) == set(self.plan.tasks)
                assert not run.leases
            case KillAttempt(name):
                assert name in run.running
            case EndPhase(phase, ok):
                assert not run.running
                if not ok:
                    self.failed.add(phase)

    def may_start(self, name: str) -> bool:
        goes_on = "always()" in self.plan.tasks[name].condition and not self.forced
        return goes_on or not self.stopped

    def check_start(self, run: Simulation, name: str) -> None:
        t = self.plan.tasks[name]
        assert self.may_start(name)
        assert t.phase == self.phase
        assert all(need.task in run.ends for need in t.needs)
        assert run.now >= max(t.start_after_s, self.sleeps.get(name, 0))
        if t.condition:
            assert self.answers[name] is True
        else:
            assert all(self.met(run, need) for need in t.needs)
        assert not (self.busy and len(run.running) > 0)
        assert not t.concurrency or run.leases[t.concurrency] == name

    def note_exit_code(self, run: Simulation) -> None:
        event = run.turns[run.latest].event
        if isinstance(event, AttemptEnded):
            self.codes[event.task] = event.exit_code

    def after_turn(self, run: Simulation) -> None:
        self.note_exit_code(run)
        event = run.turns[run.latest].event
        if isinstance(event, Interrupted):
            self.stopped = True
            self.forced |= event.count > 1
        if self.limits.fail_fast:
            ends = run.ends.items()
            self.stopped |= any(s in FAILED and not self.good(run, name) for name, s in ends)
        assert len(run.running) <= self.limits.max_jobs
        if len(run.running) > 1:
            assert all(self.plan.tasks[name].parallel_safe for name in run.running)
        groups = Counter(self.plan.tasks[name].concurrency for name in run.running)
        assert all(count <= 1 for group, count in groups.items() if group)
        assert all(self.free(run, name) >= 0 for name in RESOURCES)
        if run.exit_code is None:
            self.check_nothing_idles(run)

    def free(self, run: Simulation, resource: str) -> int:
        if resource not in RESOURCES:
            if run.now < run.refused.get(resource, -1) + LEASE_RETRY_S:
                return 0
            return 1 - sum(self.plan.tasks[name].concurrency == resource for name in run.running)
        used = (self.plan.tasks[name].resources.get(resource, 0) for name in run.running)
        return RESOURCES[resource] - sum(used)

    def wants(self, name: str) -> dict[str, int]:
        t = self.plan.tasks[name]
        wants = {resource: amount for resource, amount in t.resources.items() if amount}
        return wants | ({t.concurrency: 1} if t.concurrency else {})

    def check_nothing_idles(self, run: Simulation) -> None:
        ready = [n for n in self.plan.tasks if self.may_start(n) and self.ready(run, n)]
        assert ready or run.running or run.scheduler.wake_at() is not None, "waits for nothing"
        scarce = {
            resource
            for name in ready
            for resource, amount in self.wants(name).items()
            if self.free(run, resource) < amount
        }
        startable = [name for name in ready if scarce.isdisjoint(self.wants(name))]
        if self.held not in ready:
            self.held = None
        alone = any(not self.plan.tasks[name].parallel_safe for name in run.running)
        full = len(run.running) == self.limits.max_jobs
        if not startable or alone or full or (self.busy and run.running):
            return
        order = sorted(startable, key=lambda n: (-self.plan.tasks[n].priority, -self.way(n), n))
        if self.somebody_gave_up(run):
            # The slots were filled before that, when others were at the head.
            order.sort(key=lambda n: self.plan.tasks[n].parallel_safe)
        self.held = self.held or order[0]
        assert not self.plan.tasks[self.held].parallel_safe, f"{self.held} could have started"
        assert run.running, f"{self.held} could have started alone"

    def way(self, name: str) -> float:
        """How much lies between the start of a task and the end of its phase."""
        if name not in self.ways:
            t = self.plan.tasks[name]
            behind = [
                self.way(other)
                for other in self.plan.dependents()[name]
                if self.plan.tasks[other].phase == t.phase
            ]
            self.ways[name] = max(1, len(t.needs)) + max(behind, default=0)
        return self.ways[name]

    def somebody_gave_up(self, run: Simulation) -> bool:
        orders = (order for turn in run.turns[run.latest :] for order in turn.orders)
        return any(isinstance(o, NotRun) and o.cause is Cause.QUEUE_TIMEOUT for o in orders)

    def ready(self, run: Simulation, name: str) -> bool:
        t = self.plan.tasks[name]
        if t.phase != self.phase or name in run.ends or name in run.running:
            return False
        if max(t.start_after_s, self.sleeps.get(name, 0)) > run.now:
            return False
        if t.condition:
            return self.answers.get(name) is True
        return all(need.task in run.ends and self.met(run, need) for need in t.needs)


def check_story(run: Simulation) -> None:
    """What can be said of a whole run afterwards."""
    orders = [order for turn in run.turns for order in turn.orders]
    started = [(o.task, o.attempt) for o in orders if isinstance(o, StartAttempt)]
    reports = [turn.event for turn in run.turns if isinstance(turn.event, AttemptEnded)]
    assert Counter(started) == Counter((event.task, event.attempt) for event in reports)
    assert max(Counter(started).values(), default=1) == 1
    for name, last in Counter(name for name, _ in started).items():
        assert [attempt for n, attempt in started if n == name] == list(range(1, last + 1))
    never = Counter(order.task for order in orders if isinstance(order, NotRun))
    assert max(never.values(), default=1) == 1
    assert never.keys().isdisjoint({name for name, _ in started})
    assert orders[-1] == EndRun(run.exit_code)
    assert run.exit_code == expected_exit(run, orders)


def expected_exit(run: Simulation, orders: list[Order]) -> int:
    signals = [turn.event.signal for turn in run.turns if isinstance(turn.event, Interrupted)]
    if signals:
        return 130 if signals[0] == 2 else 143
    if any(isinstance(o, TimeOutPhase) or o == Record(RunTimedOut(12)) for o in orders):
        return 124
    return int(any(isinstance(order, EndPhase) and not order.ok for order in orders))


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_every_run_keeps_every_promise(chance):
    check_story(random_run(chance))


def test_a_few_hundred_plain_seeds_keep_every_promise():
    """Hypothesis prefers small flows; these are of every size."""
    for seed in range(400):
        check_story(random_run(random.Random(seed)))


@pytest.mark.campaign
def test_campaign_every_run_keeps_every_promise():
    for seed in range(CAMPAIGN):
        try:
            check_story(random_run(random.Random(seed)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_the_same_events_give_the_same_orders(seed):
    told = random_run(random.Random(seed)).turns
    chance = random.Random(seed)
    again = scheduler(random_plan(chance), random_limits(chance))
    assert told[0].orders == tuple(again.start(told[0].now))
    for turn in told[1:]:
        assert turn.orders == tuple(again.handle(turn.event, turn.now))


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_ticks_that_are_not_due_change_nothing(seed):
    """An engine may look at the clock as often as it likes."""
    told = random_run(random.Random(seed)).turns
    chance = random.Random(seed)
    again = scheduler(random_plan(chance), random_limits(chance))
    again.start(told[0].now)
    for turn in told[1:]:
        wake_at = again.wake_at()
        due = wake_at is not None and turn.now >= wake_at
        # Answers about leases come before anything else, as the engine promises.
        if not due and not isinstance(turn.event, LeaseAnswered):
            assert again.handle(Tick(), turn.now) == []
        assert turn.orders == tuple(again.handle(turn.event, turn.now))


# The outcome is independent of timing.


def check_outcomes(chance: random.Random) -> None:
    """The same flow and outcomes, at other paces and with other slots: the same ends."""
    plan = random_plan(chance, timed=False)
    seed = chance.randint(0, 1_000_000)
    outcomes = []
    for _ in range(3):
        pace = chance.randint(0, 1_000_000)

        def outcome(name: str, attempt: int, pace: int = pace) -> Outcome:
            own = drawn(seed, name, attempt)
            status, code = own.choice(OUTCOMES), own.choice([None, None, 2])
            return Outcome(drawn(pace, name, attempt).choice([0, 1, 7]), status, code)

        limits = Limits(chance.randint(1, 4), resources=RESOURCES, throttle=Throttle(90, 100))
        run = Simulation(scheduler(plan, limits), outcome, list(loads(chance))).run()
        attempts = Counter(name for _, name in run.starts)
        outcomes.append((run.ends, attempts, run.exit_code))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def loads(chance: random.Random) -> Iterator[tuple[float, object]]:
    for at in range(0, 40, 4):
        yield at, LoadSampled(chance.choice([10, 95]), 200)


@settings(max_examples=100)
@given(st.randoms(use_true_random=False))
def test_outcome_is_independent_of_timing(chance):
    check_outcomes(chance)


@pytest.mark.campaign
def test_campaign_outcome_is_independent_of_timing():
    for seed in range(10_000):
        try:
            check_outcomes(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


# Cost.


def wide_and_deep(size: int) -> Plan:
    """Layers of 50 with two needs each; some exclusive, some with a resource, some retried."""
    tasks = []
    for n in range(size):
        needs = {f"t{n - 50}", f"t{n - 50 - n % 7 - 1}"} if n >= 60 else ()
        tasks.append(
            task(
                f"t{n}",
                sorted(needs),
                parallel_safe=n % 100 != 0,
                resources={"db": 1} if n % 10 == 0 else {},
                concurrency=f"g{n % 97}" if n % 5 == 0 else "",
                max_retries=n % 3,
                retry_delay_s=1,
                queue_timeout_s=10_000_000,
            )
        )
    return plan_of(*tasks, phase_timeout_s=10_000_000)


def lines_per_task(plan: Plan) -> float:
    """How many lines of the scheduler run for each task, construction included."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if "/zf/run/" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    def outcome(_, attempt: int) -> Outcome:
        return Outcome(status=Status.LOST if attempt < 3 else SUCCESS)

    limits = Limits(max_jobs=8, resources={"db": 2})
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        Simulation(scheduler(plan, limits), outcome).run()
    finally:
        sys.settrace(before)
    return count / len(plan.tasks)


def test_a_task_costs_the_same_among_20_000_as_among_1_000():
    assert lines_per_task(wide_and_deep(20_000)) <= 1.05 * lines_per_task(wide_and_deep(1_000))


def test_a_thousand_tasks_in_line_for_one_resource_cost_no_more_each():
    def in_line(size: int) -> Plan:
        return plan_of(*(task(f"t{n}", resources={"db": 1}) for n in range(size)))

    assert lines_per_task(in_line(5_000)) <= 1.05 * lines_per_task(in_line(500))
