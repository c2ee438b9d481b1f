"""Where tasks are put: executors are counted like any other resource, under hand-moved time."""

import sys
from collections import deque
from functools import partial

import pytest

from tests.support.simulated import ended, plan_of, task
from zf.events import Cause, ExecutorDrained, Status
from zf.model import LOCAL, Executor
from zf.run.schedule.orders import Limits, NotRun, Record, StartAttempt
from zf.run.schedule.scheduler import Scheduler

A, B = Executor(("a",), 1, ("linux",)), Executor(("b",), 2, ("linux", "gpu"))


def scheduler(*tasks, executors=None, **limits):
    limits = Limits(limits.pop("max_jobs", 2), executors=executors or {"a": A, "b": B}, **limits)
    return Scheduler(plan_of(*tasks), limits)


def started(orders):
    return [order.task for order in orders if isinstance(order, StartAttempt)]


def on(name, **keys):
    return task(name, parallel_safe=True, **keys)


def test_slots_of_executors_and_of_this_machine_are_counted_apart():
    tasks = [on(f"a{n}", executor="a") for n in range(2)] + [on(f"t{n}") for n in range(3)]
    tasks += [on(f"b{n}", executor="b") for n in range(3)]
    made = scheduler(*tasks, max_jobs=2)
    assert started(made.start(0)) == ["a0", "b0", "b1", "t0", "t1"]
    assert made.placed == {"a0": "a", "b0": "b", "b1": "b", "t0": LOCAL, "t1": LOCAL}
    assert started(made.handle(ended("b0"), 1)) == ["b2"]
    assert started(made.handle(ended("a0"), 2)) == ["a1"]
    assert started(made.handle(ended("t1"), 3)) == ["t2"]


def test_labels_take_any_executor_that_has_them_where_most_is_left():
    tasks = [on(f"t{n}", labels=("linux",)) for n in range(4)] + [on("u", labels=("gpu",))]
    made = scheduler(*tasks)
    assert started(made.start(0)) == ["t0", "t1", "t2"]
    assert sorted(made.placed.values()) == ["a", "b", "b"]
    free = next(name for name, where in made.placed.items() if where == "a")
    # A place of `a` is of no use to what needs a GPU: the one behind it goes past.
    assert started(made.handle(ended(free), 1)) == ["t3"]
    other = next(name for name, where in made.placed.items() if where == "b")
    assert started(made.handle(ended(other), 2)) == ["u"]


def test_the_default_is_for_tasks_that_say_nothing():
    made = scheduler(on("t"), on("here", executor=LOCAL), executor="a")
    made.start(0)
    assert made.placed == {"t": "a", "here": LOCAL}


def test_what_this_machine_has_is_not_taken_by_what_runs_elsewhere():
    tasks = [on("t", executor="a", resources={"cpu": 64, "db": 1}), on("u", resources={"db": 1})]
    made = scheduler(*tasks, resources={"cpu": 4, "db": 1})
    assert started(made.start(0)) == ["t"]
    assert started(made.handle(ended("t"), 1)) == ["u"]
    with pytest.raises(ValueError, match="cpu"):
        scheduler(on("v", resources={"cpu": 64}), resources={"cpu": 4})


def test_a_drained_executor_gets_nothing_more_and_what_needs_it_ends():
    tasks = [on("a0", executor="a"), on("a1", executor="a"), on("l", labels=("linux",))]
    made = scheduler(*tasks)
    assert started(made.start(0)) == ["a0", "l"]
    orders = made.handle(ExecutorDrained("a"), 1)
    (end,) = [order for order in orders if isinstance(order, NotRun)]
    assert (end.task, end.status, end.cause) == ("a1", Status.TIMEOUT, Cause.QUEUE_TIMEOUT)
    assert "'a'" in end.detail
    # What runs there ends as it would, and its place does not come back.
    assert started(made.handle(ended("a0"), 2)) == []


def test_a_preempted_attempt_is_tried_again_without_a_retry():
    made = scheduler(on("t", executor="a"))
    made.start(0)
    lost = ended("t", status=Status.LOST, cause=Cause.PREEMPTED)
    orders = made.handle(lost, 1)
    assert started(orders) == ["t"]
    assert not any(isinstance(order, Record) for order in orders)


def calls(decide):
    """How many calls, of Python's functions and of C's, a decision makes."""
    count = 0

    def hear(frame, event, arg):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(hear)
    try:
        decide()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.campaign
def test_a_decision_costs_the_same_with_1000_executors_and_100_000_tasks():
    executors = {f"e{n}": Executor((f"e{n}",), 2, (f"l{n % 10}",)) for n in range(1000)}
    cost = {}
    for size in (10_000, 100_000):
        tasks = [on(f"t{n}", executor=f"e{n % 1000}") for n in range(size)]
        made = scheduler(*tasks, executors=executors)
        running = deque(started(made.start(0)))
        counted = []
        while running:
            name = running.popleft()
            decide = partial(made.handle, ended(name), 1)
            if len(made.done) % 100 == 50 and len(made.done) < size - 2000:
                orders = []
                counted.append(calls(lambda d=decide, o=orders: o.extend(d())))
            else:
                orders = decide()
            running += started(orders)
        assert len(made.done) == size
        cost[size] = sum(counted) / len(counted)
    print(f"calls a decision: {cost}")
    assert cost[100_000] < 1.05 * cost[10_000]
