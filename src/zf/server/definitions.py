"""What the project's files define, as it is now: phases, inputs and tasks, secrets hidden."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from zf.inputs import Input
from zf.lean.records import asdict
from zf.model import Flow, Task, definition_sha256
from zf.plan.phases import phase_order
from zf.plan.refusals import refuse_task
from zf.plan.resolve import explain
from zf.proof.canonical import canonical
from zf.redact.redactor import Redactor


def listed(flow: Flow) -> dict[str, Any]:
    """All of it, short; `tag` changes with whatever a run of it would do."""
    hidden = _hidden(flow)
    tasks = [_short(hidden, hidden.defined(task)) for task in flow.tasks.values()]
    phases = [
        {
            "name": name,
            "title": about.title if (about := flow.project.phases.get(name)) else "",
            "inputs": _inputs(about.inputs if about else {}),
            "tasks": sum(task["phase"] == name for task in tasks),
        }
        for name in phase_order(flow.tasks, flow.project)
    ]
    return {"phases": phases, "inputs": _inputs(flow.project.inputs), "tasks": tasks}


def _short(hidden: Redactor, task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "title": hidden.text(task.title or task.id),
        "phase": task.phase,
        "needs": [need.task for need in task.needs],
        "condition": bool(task.condition),
        "file": task.file,
        "line": task.line,
        "sha256": definition_sha256(task),
    }


def tag(said: Mapping[str, Any]) -> str:
    """The digest of what `listed` gives."""
    return sha256(canonical(said)).hexdigest()


def resolved(flow: Flow, name: str) -> list[dict[str, Any]]:
    """What a task comes to, and which line says each part of it; of a matrix, each instance.
    Raises ZfError where there is none.
    """
    tasks = [task for task in flow.tasks.values() if name in {task.id, task.base}]
    if not tasks:
        refuse_task(flow, name)
    hidden = _hidden(flow)
    return [explain.as_json(flow.root, hidden.defined(task)) for task in tasks]


def _hidden(flow: Flow) -> Redactor:
    return Redactor(flow.tasks.values(), os.environ, flow.project, {})


def _inputs(inputs: Mapping[str, Input]) -> list[dict[str, Any]]:
    """What can be given; a default of a secret one is not told."""
    return [
        {
            "name": name,
            **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(one).items()},
            "default": None if one.secret else _plain(one.default),
        }
        for name, one in inputs.items()
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
