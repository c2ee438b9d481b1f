"""Condition contexts: the variables and facts each condition may refer to, and what stays hidden.

A condition sees the environment zf was started in, not only what steps are passed: naming a
variable is enough, and its value goes into the journal unless it is a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zf.inputs import Inputs, known_to, text_of
from zf.model import NOTHING, Project, Task
from zf.redact.secret_forms import SECRET_NAME_GLOBS, is_secret_name
from zf.work.environment import has_password

if TYPE_CHECKING:
    from zf.plan.conditions.condition import Condition, Scalar
    from zf.plan.conditions.verdict import ConditionContext

# Shorter values turn up inside innocent ones.
_TELLING = 4


def condition_contexts(
    tasks: Iterable[Task],
    environ: Mapping[str, str],
    project: Project,
    *,
    run: str,
    max_jobs: int,
    source: Mapping[str, Any],
    ci: Mapping[str, Any] | None = None,
    hide: Callable[[str], str] = str,
    inputs: Inputs = NOTHING,
) -> dict[str, ConditionContext]:
    """Task id -> context, for every task with a condition. `source` and `ci` are run.json's.

    `hide` takes secrets out of what is shown of a condition.
    """
    facts: dict[str, Scalar] = {
        "run.id": run,
        "run.commit": source.get("commit") or "",
        "run.branch": source.get("branch") or "",
        "run.tag": source.get("tag") or "",
        "run.event": (ci or {}).get("event") or "",
        "run.actor": (ci or {}).get("actor") or "",
        "run.max_jobs": max_jobs,
    }
    if isinstance(source.get("dirty"), bool):
        facts["run.dirty"] = source["dirty"]
    return {
        task.id: _context_of(task, environ, project, facts, hide, inputs)
        for task in tasks
        if task.condition
    }


def _context_of(
    task: Task,
    environ: Mapping[str, str],
    project: Project,
    facts: Mapping[str, Scalar],
    hide: Callable[[str], str],
    inputs: Inputs,
) -> ConditionContext:
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - 4 ms, and few tasks have a condition
    from zf.plan.conditions.verdict import ConditionContext  # noqa: PLC0415 - as above

    condition = parse(task.condition)
    names = condition.variables
    variables = {
        name: task.env.get(name, environ.get(name, ""))
        for name in names
        if name in task.env or name in environ
    }
    globs = (*project.secrets, *task.secrets, *SECRET_NAME_GLOBS)
    hidden = {name for name in variables if is_secret_name(name, globs)}
    if variables.keys() - hidden:
        secrets = [v for n, v in {**environ, **task.env}.items() if is_secret_name(n, globs)]
        hidden |= {name for name in variables if _holds_secret(variables[name], secrets)}
    own = {"task.id": task.id, "task.title": task.title or task.id, "task.phase": task.phase}
    given = known_to(inputs, task.phase)
    hidden |= {f"input.{name}" for name, one in given.items() if one.hidden}
    fields = _fields(task, condition, given)
    return ConditionContext(variables, {**facts, **own}, frozenset(hidden), hide, fields)


def _fields(task: Task, condition: Condition, inputs: Inputs) -> dict[str, Scalar]:
    """The values that a project names itself, by the keys of `condition.Field`. What only another
    instance of a matrix has is empty, as in GitHub's; a list is looked at as steps have it.
    """
    axes = {
        field.key: task.matrix.get(field.path[0], "")
        for field in condition.fields
        if field.kind == "matrix"
    }
    given = {
        f"input.{name}": text_of(one.value) if isinstance(one.value, tuple) else one.value
        for name, one in inputs.items()
    }
    return {**axes, **given}


def _holds_secret(value: str, secrets: Iterable[str]) -> bool:
    if has_password(value):
        return True
    return any(len(secret) >= _TELLING and secret in value for secret in secrets)
