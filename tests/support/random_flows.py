"""Flows for the scheduler drawn at random: plans, limits, outcomes and what interrupts a run.

`timed` flows have rules in which time is part of the rule.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from tests.support.simulated import Outcome, drawn, plan_of, task
from zf.events import CancelRequested, ConditionEvaluated, Interrupted, Status
from zf.model import Need, Task
from zf.plan.conditions.verdict import ConditionContext
from zf.plan.graph import Plan
from zf.run.schedule.orders import Limits, LoadSampled, Throttle
from zf.run.schedule.scheduler import Scheduler

OUTCOMES = [Status.SUCCESS] * 4 + sorted([Status.FAILURE, Status.TIMEOUT, Status.LOST])
CONDITIONS = [
    "${YES} == 'yes'",
    "${YES} == 'no'",
    "${NOT_SET} == 'x'",
    "always()",
    "always() && failure()",
    "failure()",
    "success() || failure()",
    "success() && ${YES} == 'yes'",
    "!cancelled()",
]
CONTEXT = ConditionContext({"YES": "yes"})
RESOURCES = {"db": 2, "cpu": 3}


def random_task(chance: random.Random, name: str, phase: str, names: list[str]) -> Task:
    def sometimes(value, otherwise, share=0.2):
        return value() if chance.random() < share else otherwise

    needs = [
        Need(other, require=sometimes(lambda: "done", "success"))
        for other in names
        if chance.random() < 0.25
    ]
    condition = sometimes(lambda: chance.choice(CONDITIONS), "")
    if needs and chance.random() < 0.1:
        condition = f"status('{needs[0].task}') in ('failure', 'skipped')"
    return task(
        name,
        needs,
        phase=phase,
        parallel_safe=chance.random() < 0.8,
        priority=sometimes(lambda: chance.choice([-1, 1]), 0),
        concurrency=sometimes(lambda: chance.choice("gh"), ""),
        resources=sometimes(
            lambda: {chance.choice(["db", "cpu"]): chance.randint(0, 2), "cpu": 1}, {}, 0.3
        ),
        allow_timeout=chance.random() < 0.1,
        allow_failure=sometimes(lambda: chance.choice([True, (1,), (2,)]), False),
        max_retries=sometimes(lambda: chance.randint(1, 3), 0),
        retry_delay_s=chance.choice([0, 2]),
        retry_on=chance.choice([("failure", "timeout", "lost"), ("lost",), (1,), (7,)]),
        condition=condition,
        start_after_s=sometimes(lambda: chance.randint(1, 9), 0),
    )


def random_plan(chance: random.Random, *, timed: bool = True) -> Plan:
    size = chance.randint(0, 12)
    phases = chance.randint(1, 3)
    tasks: list[Task] = []
    for n in range(size):
        phase = "ABC"[n * phases // size]
        drawn_task = random_task(chance, f"t{n}", phase, [t.id for t in tasks])
        if timed and chance.random() < 0.2:
            drawn_task = replace(
                drawn_task,
                deadline_s=chance.choice([None, chance.randint(1, 20)]),
                queue_timeout_s=chance.choice([None, chance.randint(0, 5)]),
            )
        tasks.append(drawn_task)
    timeout_s = chance.choice([3600, 3600, 8]) if timed else 3600
    return plan_of(*tasks, phase_timeout_s=timeout_s)


def random_limits(chance: random.Random) -> Limits:
    return Limits(
        max_jobs=chance.randint(1, 4),
        fail_fast=chance.choice([False] * 8 + [True, "now"]),
        retries=chance.random() < 0.8,
        resources=RESOURCES,
        throttle=chance.choice([None, Throttle(90, 100)]),
        deadline_s=chance.choice([None, None, None, 12]),
        seed="run",
    )


def random_outcomes(chance: random.Random) -> Callable[[str, int], Outcome]:
    seed, pace = chance.randint(0, 1_000_000), chance.randint(0, 1_000_000)

    def outcome(name: str, attempt: int) -> Outcome:
        own = drawn(seed, name, attempt)
        duration_s = drawn(pace, name, attempt).randint(0, 6)
        return Outcome(duration_s, own.choice(OUTCOMES), own.choice([None, None, 2]))

    return outcome


def random_events(chance: random.Random) -> Iterator[tuple[float, object]]:
    if chance.random() < 0.15:
        at = chance.randint(0, 20)
        for n in range(chance.randint(1, 3)):
            yield at + n, Interrupted(chance.choice([1, 2, 15]), n + 1)
    if chance.random() < 0.2:
        yield chance.randint(0, 15), CancelRequested(f"t{chance.randint(0, 12)}")
    for at in range(0, chance.choice([0, 0, 20]), 2):
        yield at, LoadSampled(chance.choice([10, 95]), chance.choice([200, 200, 50]))


def scheduler(
    plan: Plan, limits: Limits, decided: Mapping[str, ConditionEvaluated] | None = None
) -> Scheduler:
    return Scheduler(plan, limits, dict.fromkeys(plan.tasks, CONTEXT), decided or {})
