"""What a task file says of its cache that cannot be meant, or keeps it from ever being used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Project, Task
    from zf.plan.drafts import Draft


def check_caching(drafts: Iterable[Draft]) -> Iterator[Problem]:
    """A cache without sources."""
    for draft in drafts:
        task = draft.task
        if task and task.cache and not any(not one.startswith("!") for one in task.sources):
            yield draft.problem(
                ("cache",),
                "ZF530",
                "`cache` needs `sources`: without them a changed file would go unnoticed",
                "name what the task reads, such as sources: [src/**, pyproject.toml]",
            )


def caching_warnings(drafts: Iterable[Draft], project: Project) -> Iterator[Problem]:
    """What says `cache` and is never cached, among what is about to run."""
    for draft in drafts:
        if draft.task and draft.task.cache and (why := never_cached(draft.task, project)):
            message = f"is never cached: {why[0]}"
            yield draft.problem(("cache",), "ZF531", message, why[1], "warning")


def never_cached(task: Task, project: Project) -> tuple[str, str] | None:
    """Why no result of a task that says `cache` may ever count for another run, and a remedy; None
    where one may.
    """
    if task.leave_running:
        return (
            "it leaves processes running, which no earlier run's result brings back",
            "remove `cache` or `leave_running`",
        )
    patterns = (*project.pass_env, *task.pass_env, *project.required_env, *task.required_env)
    loose = [one for one in dict.fromkeys(patterns) if not _is_held(one, task.cache_env)]
    if loose:
        names = ", ".join(f"'{one}'" for one in loose)
        return (
            f"its steps see {names} (pass_env), which the key does not hold",
            f"add what changes its result: cache: {{env: [{', '.join(loose)}]}}",
        )
    return _loose_condition(task)


def _loose_condition(task: Task) -> tuple[str, str] | None:
    """Whether a step runs or not by what the key does not hold."""
    for step in (*task.steps, *task.cleanup):
        if not step.condition:
            continue
        from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have one

        found = parse(step.condition)
        held = {*task.env, *step.env, *task.env_from}
        loose = [n for n in found.variables if n not in held and not _is_held(n, task.cache_env)]
        loose += [word for word in sorted(FACTS) if word in step.condition]
        if loose:
            names = ", ".join(f"'{one}'" for one in sorted(loose))
            return (
                f"the `if` of step '{step.name}' looks at {names}, which the key does not hold",
                "add variables to cache: {env: [...]}; facts of a run cannot be held",
            )
    return None


# What differs from run to run though nothing else does.
FACTS = ("run.actor", "run.branch", "run.commit", "run.dirty", "run.event", "run.id", "run.tag")


def _is_held(pattern: str, held: tuple[str, ...]) -> bool:
    """Whether all that a pattern of `pass_env` names is in the key, too."""
    is_name = not set(pattern) & set("*?[")
    return pattern in held or (is_name and any(fnmatchcase(pattern, one) for one in held))
