"""What a handler is told: the JSON file that `$ZF_RUN_FACTS` names. Its form is on the page about
handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zf.lean.encoder import encoder
from zf.model.handler import RUN_PHASE

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

_encode = encoder()


def told(facts: Facts, name: str) -> str:
    """What came of the run, or of the phase, whose handler this task is."""
    claimed = facts.tasks[name].claimed
    phase = claimed.phase if claimed else ""
    handlers = {task.id for task in facts.tasks.values() if task.is_handler}
    those = [
        task
        for task in facts.tasks.values()
        if (task.phase == phase if phase else task.phase != RUN_PHASE) and task.id not in handlers
    ]
    return _encode(
        {
            "schema": "zf/run-facts/v1",
            "run": facts.run,
            "handler": name,
            "phase": phase or None,
            "result": claimed.ended if claimed else "",
            "started_at": facts.started_at,
            "counts": _counts(those),
            "causes": [_cause(task) for task in facts.failed if task in those],
            "warned": [_cause(task) for task in those if task.warned],
            "tasks": {task.id: str(task.status or task.word) for task in those},
        }
    )


def _counts(tasks: list[TaskFacts]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in tasks:
        word = str(task.status or task.word)
        counts[word] = counts.get(word, 0) + 1
    return counts


def _cause(task: TaskFacts) -> dict[str, Any]:
    return {
        "task": task.id,
        "phase": task.phase,
        "status": str(task.status),
        "cause": str(task.cause),
        "detail": task.detail,
        "exit_code": task.exit_code,
        "attempt": task.attempt,
    }
