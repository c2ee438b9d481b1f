"""Journals with clocks, of runs of the real scheduler in simulated time: what the parts that show a
run over time are tried on.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.simulated import Outcome, Simulation, plan_of, task
from tests.support.simulated_journals import journal_of
from zf.events import (
    SCHEMA,
    AttemptEnded,
    AttemptStarted,
    Event,
    RunEnded,
    RunStarted,
    Status,
    timestamp,
)
from zf.lean.records import replace
from zf.model import Task
from zf.plan.graph import Plan
from zf.proof.journal import Journal, Line
from zf.report.timing.course import Course, of_run
from zf.run.schedule.orders import Limits
from zf.run.schedule.scheduler import Scheduler

# 2026-11-26 02:14:12 UTC.
BEGAN = 1_795_659_252.0
_BOOTED = 1000.0


@dataclass(frozen=True)
class Recorded:
    """What a run's files would have: plan.json, the limits of run.json, and the journal's lines."""

    plan: Mapping[str, Any]
    limits: Mapping[str, Any]
    lines: tuple[Line, ...]

    @property
    def course(self) -> Course:
        return of_run(self.plan, self.limits, self.lines)


def recorded(
    tasks: Iterable[Task],
    outcome: Callable[[str, int], Outcome],
    *,
    jobs: int = 4,
    resources: Mapping[str, int] | None = None,
    **simulation: Any,
) -> Recorded:
    """The run of these tasks, whose attempts come to `outcome`."""
    plan = plan_of(*tasks)
    limits = Limits(jobs, resources=resources or {})
    simulated = Simulation(Scheduler(plan, limits), outcome, **simulation).run()
    code = simulated.exit_code
    assert code is not None
    told = [(0.0, _begin(plan)), *journal_of(simulated.turns)]
    told.append((told[-1][0], RunEnded(code, {}, told[-1][0])))
    return Recorded(plan.as_json(), limits.as_json(), tuple(lines(told)))


def lines(told: Iterable[tuple[float, Event]]) -> Iterable[Line]:
    """As the journal has them: with both clocks, and attempts on the lowest slot that is free."""
    slots: dict[str, int] = {}
    for seq, (at, event) in enumerate(told):
        written = event
        if isinstance(event, AttemptStarted):
            free = next(n for n in range(len(slots) + 1) if n not in slots.values())
            slots[event.task] = free
            written = replace(event, slot=free)
        elif isinstance(event, AttemptEnded):
            slots.pop(event.task, None)
        yield Line(seq, timestamp(BEGAN + at), round(_BOOTED + at, 6), written)


def write(run: Recorded, folder: Path) -> Path:
    """The run as a folder with nothing but what its pictures are made from."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"run_id": "r1", "limits": dict(run.limits)}))
    (folder / "plan.json").write_text(json.dumps(dict(run.plan)))
    with closing(Journal.create(str(folder / "events.jsonl"))) as journal:
        for line in run.lines:
            journal.append(line.event, line.wall, line.mono)
        journal.commit()
    return folder


def _begin(plan: Plan) -> RunStarted:
    phases = tuple(phase.name for phase in plan.phases)
    digest = "0" * 64
    return RunStarted("r1", phases, len(plan.tasks), digest, "n", None, None, None, schema=SCHEMA)


def layered(count: int, *, seed: int = 1, failing: Iterable[str] = ()) -> Recorded:
    """A run of `count` tasks in three phases, with retries, resources and a heavy tail; `failing`
    tasks fail.
    """
    chance = random.Random(seed)
    bad = set(failing)
    tasks: list[Task] = []
    spent: dict[str, float] = {}
    for number in range(count):
        phase = "ABC"[3 * number // count]
        kind = chance.choice(("build", "unit", "lint", "e2e"))
        before = [t.id for t in tasks if t.phase == phase][-40:]
        needs = chance.sample(before, min(len(before), chance.choice((0, 1, 1, 2, 3))))
        name = f"{kind}-{number:04}"
        more: dict[str, Any] = {}
        if kind == "e2e":
            more["resources"] = {"browser": 1}
        if chance.random() < 0.05:
            more |= {"max_retries": 2, "retry_delay_s": 4.0}
        tasks.append(task(name, needs, phase=phase, **more))
        spent[name] = round(chance.paretovariate(1.6), 3)

    def outcome(name: str, attempt: int) -> Outcome:
        flaky = attempt == 1 and name.endswith("7")
        status = Status.FAILURE if name in bad or (flaky and name in retried) else Status.SUCCESS
        return Outcome(spent[name], status)

    retried = {t.id for t in tasks if t.max_retries}
    return recorded(tasks, outcome, jobs=8, resources={"browser": 2})
