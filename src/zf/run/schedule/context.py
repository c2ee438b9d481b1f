"""Condition contexts: the variables and facts each condition may refer to, and what stays hidden.

A condition sees the environment zf was started in, not only what steps are passed: naming a
variable is enough, and its value goes into the journal unless it is a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zf.inputs import Inputs, known_to, text_of
from zf.model import NOTHING, Project, Task
from zf.redact.secret_forms import SECRET_NAME_GLOBS
from zf.variables import expand, has_references
from zf.work.environment import untold

if TYPE_CHECKING:
    from zf.plan.conditions.condition import Condition, Scalar
    from zf.plan.conditions.verdict import ConditionContext


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
    facts = _run_facts(run, max_jobs, source, ci)
    return {
        task.id: _context_of(task, environ, project, facts, hide, inputs)
        for task in tasks
        if task.condition
    }


def facts_for_steps(
    tasks: Iterable[Task],
    *,
    run: str,
    max_jobs: int,
    source: Mapping[str, Any],
    ci: Mapping[str, Any] | None = None,
    inputs: Inputs = NOTHING,
) -> dict[str, dict[str, Scalar]]:
    """Task id -> what conditions of its steps may refer to beside variables, for every task with
    one; as above.
    """
    asking = [task for task in tasks if any(_asked_in(task))]
    facts = _run_facts(run, max_jobs, source, ci) if asking else {}
    return {
        task.id: {**facts, **_task_facts(task), **_fields_of_steps(task, inputs)} for task in asking
    }


def _fields_of_steps(task: Task, inputs: Inputs) -> dict[str, Scalar]:
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have a condition

    found: dict[str, Scalar] = {}
    for condition in filter(None, _asked_in(task)):
        found |= _fields(task, parse(condition), known_to(inputs, task.phase))
    return found


def _asked_in(task: Task) -> Iterator[str]:
    """The conditions that a worker asks, or nothing in the place of one."""
    for step in (*task.steps, *task.cleanup):
        yield step.condition
    if task.repeat:
        until = task.repeat["until"]
        yield "" if until == "success" else until


def _task_facts(task: Task) -> dict[str, Scalar]:
    return {"task.id": task.id, "task.title": task.title or task.id, "task.phase": task.phase}


def _run_facts(
    run: str, max_jobs: int, source: Mapping[str, Any], ci: Mapping[str, Any] | None
) -> dict[str, Scalar]:
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
    return facts


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
    names, env = condition.variables, _known_env(task, environ)
    variables = {
        name: env.get(name, environ.get(name, ""))
        for name in names
        if name in env or (name in environ and name not in task.env)
    }
    globs = (*project.secrets, *task.secrets, *SECRET_NAME_GLOBS)
    hidden = untold(variables, {**environ, **env}, globs)
    given = known_to(inputs, task.phase)
    hidden |= {f"input.{name}" for name, one in given.items() if one.hidden}
    told = {**facts, **_task_facts(task)}
    fields = _fields(task, condition, given)
    return ConditionContext(variables, told, hidden, hide, fields)


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


def _known_env(task: Task, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The task's `env`, but for what is made of folders and numbers that an attempt will have."""
    if not has_references(task.env):
        return task.env
    ours = {"TASK_ID": task.id, "PHASE": task.phase}
    return expand(task.env, lambda name: ours.get(name, environ.get(name))).values
