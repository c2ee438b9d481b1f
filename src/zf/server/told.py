"""What is known of one run, for programs: facts and causes, out of its own files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from zf.errors import ZfError
from zf.inputs import shown
from zf.proof import read
from zf.report import advice, blocked, waiting
from zf.report.excerpt import LOOK_LINES
from zf.report.facts import Facts
from zf.report.task_facts import TaskFacts
from zf.server.live.opened import FollowedRun
from zf.server.planning import of_run

# Of a run with more tasks, those that wait are not asked what for.
_MOST_WAITS = 2000


def run(found: FollowedRun, *, tasks: bool = True) -> dict[str, Any]:
    """All of it but for the tasks' own records; of many tasks most is the list of these."""
    facts, about, alive, sealed = found.facts, found.run, found.alive, found.sealed
    source = about.get("source") or {}
    return {
        "run": found.name,
        "result": "running" if alive else str(facts.result),
        "alive": alive,
        "ended": facts.exit_code is not None,
        "sealed": sealed,
        "exit_code": facts.exit_code,
        "started_at": facts.started_at or None,
        "ended_at": facts.ended_at or None,
        "duration_s": facts.duration_s,
        "plan_sha256": of_run(found.folder),
        "head": found.head,
        "events": found.seq + 1,
        "counts": facts.counts,
        "phases": [{"name": phase, "state": about.state} for phase, about in facts.phases.items()],
        **({"tasks": [_task(task) for task in facts.tasks.values()]} if tasks else {}),
        "report": blocked.as_json(facts, tails=_tails(found.folder, facts)),
        "waits": waiting.as_json(_waits(facts)) if alive or facts.suspended else {},
        "next": advice.commands(facts, alive=alive, sealed=sealed),
        "inputs": {name: shown(one) for name, one in (about.get("inputs") or {}).items()},
        "arguments": about.get("arguments") or [],
        "source": {key: source.get(key) for key in ("commit", "branch", "tag", "dirty", "repo")},
        "user": about.get("user"),
        "trigger": about.get("trigger"),
        "rerun_of": about.get("rerun_of"),
    }


def task(found: FollowedRun, task: str) -> dict[str, Any]:
    """One task of a run, with what its tree has: attempts, logs, artifacts, outputs. Raises ZfError
    where there is none.
    """
    if task not in found.facts.tasks:
        raise ZfError(f"run {found.name} has no task {task!r}", code="ZF130")
    one = found.facts.tasks[task]
    return {
        **_task(one),
        "run": found.name,
        "steps": [dict(step) for step in one.steps],
        "earlier": [_plain(tried) for tried in one.earlier],
        "conditions": [_plain(asked) for asked in one.asked],
        "logs": {
            str(attempt): [
                {"name": log.name, "bytes": log.bytes} for log in found.logs(task, attempt)
            ]
            for attempt in range(1, one.attempt + 1)
        },
        "artifacts": [_plain(artifact) for artifact in found.artifacts(task)],
        "outputs": dict(found.outputs(task)),
        "measures": dict(one.measures),
        "metrics": list(one.metrics),
        "tests": dict(one.tests),
    }


def _task(task: TaskFacts) -> dict[str, Any]:
    return {
        "id": task.id,
        "title": task.title,
        "phase": task.phase,
        "status": task.conclusion,
        "attempt": task.attempt,
        "needs": list(task.needs),
        "exit_code": task.exit_code,
        "signal": task.signal,
        "cause": task.cause.value,
        "detail": task.detail,
        "step": task.step,
        "warned": task.warned,
        "started_at": task.started_at or None,
        "completed_at": task.completed_at or None,
        "duration_s": task.duration_s,
        "base": task.base or None,
        "matrix": dict(task.matrix),
        "cached_from": task.cached_from or None,
    }


def _plain(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _tails(run_dir: str, facts: Facts) -> Mapping[str, list[str]]:
    return {
        task.id: read.log_tail(run_dir, task.id, facts.step_number(task), lines=LOOK_LINES)
        for task in facts.failed
    }


def _waits(facts: Facts) -> dict[str, waiting.Wait]:
    if facts.counts["waiting"] > _MOST_WAITS:
        return {}
    with suppress(KeyError, TypeError):
        return waiting.waits(facts, time.monotonic())
    return {}
