"""Outputs of needs in the conditions of tasks: who asks for them, and what the answer is."""

from __future__ import annotations

import pytest

from tests.support.simulated import ended, plan_of, task
from zf.events import AttemptEnded, RunStarted, Status
from zf.lean.records import replace
from zf.model import Need
from zf.plan.conditions.verdict import ConditionContext
from zf.run.schedule.orders import Limits, NotRun, OutputsRead, Record, StartAttempt, Tick
from zf.run.schedule.scheduler import Scheduler

DIGEST = "a" * 64


def handed(name: str) -> AttemptEnded:
    return replace(ended(name, Status.SUCCESS), outputs_sha256=DIGEST)


def scheduler(*tasks):
    plan = plan_of(*tasks)
    return Scheduler(plan, Limits(max_jobs=4), dict.fromkeys(plan.tasks, ConditionContext()))


def asks(text: str, *needs: Need, **more):
    return task("t", condition=text, needs=needs or (Need("build"),), **more)


def answer(orders):
    """Which task starts or is not run, and with what answer of its condition."""
    asked = [o.event for o in orders if isinstance(o, Record)]
    starts = [o.task for o in orders if isinstance(o, StartAttempt)]
    ends = [(o.task, o.status) for o in orders if isinstance(o, NotRun)]
    return (asked[0].value, asked[0].operands, asked[0].error), starts, ends


def test_only_what_a_condition_asks_for_is_wanted():
    s = scheduler(task("build"), task("other"), asks("needs.build.version == '1'"))
    assert s.asks_for_outputs(handed("build"))
    assert not s.asks_for_outputs(handed("other"))
    assert not s.asks_for_outputs(ended("build", Status.SUCCESS))
    assert not scheduler(task("build")).asks_for_outputs(handed("build"))


def test_a_variable_that_holds_an_output_asks_for_it_where_the_condition_mentions_it():
    env_from = {"V": "build.version"}
    s = scheduler(task("build"), asks("${V} == '1'", env_from=env_from))
    assert s.asks_for_outputs(handed("build"))
    silent = scheduler(task("build"), asks("run.id == 'r'", env_from=env_from))
    assert not silent.asks_for_outputs(handed("build"))


@pytest.mark.parametrize("told", ["1", "2"])
@pytest.mark.parametrize("text", ["needs.build.version == '1'", "${V} == '1'"])
def test_the_condition_has_the_value(text, told):
    s = scheduler(task("build"), asks(text, env_from={"V": "build.version"}))
    s.start(0)
    s.take_outputs(OutputsRead("build", {"version": told}))
    (value, operands, _), starts, ends = answer(s.handle(handed("build"), 1))
    assert (value, [*operands.values()]) == (told == "1", [told])
    assert (starts, ends) == ((["t"], []) if told == "1" else ([], [("t", Status.SKIPPED)]))


def test_without_a_value_there_is_no_answer():
    done = Need("build", require="done")
    s = scheduler(task("build"), asks("needs.build.version == '1'", done))
    s.start(0)
    (value, _, error), starts, ends = answer(s.handle(ended("build", Status.FAILURE), 1))
    assert (value, starts, ends) == (None, [], [("t", Status.FAILURE)])
    assert error == "needs.build.version is not set: 'build' handed on no output 'version'"


def test_a_value_of_a_task_that_is_not_needed_is_not_seen():
    s = scheduler(task("build"), task("other"), asks("needs.other.version == '1'"))
    s.start(0)
    s.handle(handed("other"), 1)
    s.take_outputs(OutputsRead("other", {"version": "1"}))
    (value, _, _), _, _ = answer(s.handle(handed("build"), 2))
    assert value is None


def test_of_a_matrix_the_condition_has_an_object_by_instance():
    instances = [task(f"m@v={n}", base="m", matrix={"v": str(n)}) for n in (1, 2)]
    needs = [Need(one.id, matrix="all") for one in instances]
    s = scheduler(*instances, asks('\'"m@v=2":"b"\' in needs.m.out', *needs))
    s.start(0)
    for at, (one, value) in enumerate(zip(instances, "ab", strict=True), start=1):
        assert s.asks_for_outputs(handed(one.id))
        s.take_outputs(OutputsRead(one.id, {"out": value}))
        orders = s.handle(handed(one.id), at)
    (value, operands, _), starts, _ = answer(orders)
    assert (value, starts) == (True, ["t"])
    assert operands == {"needs.m.out": '{"m@v=1":"a","m@v=2":"b"}'}


def test_a_replay_decides_the_same():
    """What a resumed run reads again is told before its journal is gone through."""
    tasks = task("build"), asks("needs.build.version == '1'")
    again = scheduler(*tasks)
    started = RunStarted("r", ("A",), 2, "", "", None, None, None)
    again.take_outputs(OutputsRead("build", {"version": "1"}))
    again.replay(started, 0)
    orders = again.handle(Tick(), 0)
    assert [o.task for o in orders if isinstance(o, StartAttempt)] == ["build"]
    (value, _, _), starts, _ = answer([*again.handle(handed("build"), 1)])
    assert (value, starts) == (True, ["t"])


def test_what_takes_an_output_is_not_made_ready_before_it_is_known():
    takes = task("t", needs=(Need("build"),), env_from={"V": "build.version"})
    s = scheduler(task("build"), takes)
    s.start(0)
    assert s.guess_next("build") is None
    plain = scheduler(task("build"), task("t", needs=(Need("build"),)))
    plain.start(0)
    assert plain.guess_next("build") == "t"
