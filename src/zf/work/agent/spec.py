"""What an agent is told of a run, once: all that a worker of the runner would be forked with.

Only what tasks may see of the runner's environment goes with it. Where things lie is the agent's
own, and so are its `PATH`, its `HOME` and whatever else belongs to a machine and not to a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zf.inputs import Given
from zf.lean.records import asdict, replace
from zf.model import NOTHING, Phase, Project, Task, recalled, recorded
from zf.plan.graph import Met
from zf.proof.tree.records import Place
from zf.redact.redactor import Redactor
from zf.tracing import Trace
from zf.typed import ALWAYS, NEVER
from zf.variables import ALLOWED, is_allowed
from zf.work.environment import Outside
from zf.work.worker import Shared

if TYPE_CHECKING:
    from zf.work.walls.shield import Grounds

# Those of the variables which every step sees that tell of the run, not of the machine.
_OF_A_MACHINE = (
    *("User and places", "Language and time", "Terminal", "Folders", "Proxies", "Certificates"),
    "Builds and tools",
)
_OF_A_RUN = frozenset(
    name for group, names in ALLOWED.items() if group not in _OF_A_MACHINE for name in names
)


def told(shared: Shared, tasks: Iterable[Task]) -> dict[str, Any]:
    """What the agent is to know of a run, in the plain values of JSON; `tasks` are those that it
    may be given.
    """
    tasks = list(tasks)
    project = shared.project
    return {
        "run": shared.place.run,
        "tasks": [recorded(task) for task in tasks],
        # The recorded form does not say which instances of a matrix a need means.
        "needs_of_matrix": {
            task.id: [need.matrix for need in task.needs]
            for task in tasks
            if any(need.matrix for need in task.needs)
        },
        "grace_s": shared.grace_s,
        "project": {
            "pass_env": list(project.pass_env),
            "required_env": list(project.required_env),
            "secrets": list(project.secrets),
            "secrets_in_artifacts": project.secrets_in_artifacts,
            "budget": dict(project.budget),
            "phases": {n: dict(p.budget) for n, p in project.phases.items() if p.budget},
        },
        "environ": handed(shared, tasks),
        "inputs": {name: asdict(given) for name, given in shared.inputs.items()},
        "upstream": {need: met.as_json() for need, met in shared.upstream.items()},
        "joined": {base: [*names] for base, names in shared.joined.items()},
        "trace": [shared.trace.run, shared.trace.trace_id, shared.trace.traceparent],
        "shield": NEVER if shared.shield is None else shared.shield.mode,
    }


def handed(shared: Shared, tasks: Iterable[Task]) -> dict[str, str]:
    """The variables of the runner that go with the run: those that a file names for steps or for
    secrets, and those that say of which CI job this is.
    """
    environ, project = shared.environ, shared.project
    outside = Outside(environ, project)
    names = {*_named_in_conditions(tasks)}
    patterns: dict[str, None] = dict.fromkeys(project.secrets)
    for task in tasks:
        patterns |= dict.fromkeys((*task.pass_env, *task.required_env, *task.secrets))
        patterns |= dict.fromkeys(task.cache_env)
    found = outside.passed(()) | outside.named(tuple(patterns))
    found |= {name: environ[name] for name in names | _OF_A_RUN if name in environ}
    return {n: v for n, v in found.items() if n in _OF_A_RUN or not is_allowed(n)}


def _named_in_conditions(tasks: Iterable[Task]) -> Iterable[str]:
    for task in tasks:
        for step in (*task.steps, *task.cleanup):
            if step.condition:
                from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have one

                yield from parse(step.condition).variables


def tasks_of(said: Mapping[str, Any]) -> dict[str, Task]:
    """The tasks that an agent may be given."""
    tasks = {one["id"]: recalled(one) for one in said["tasks"]}
    for name, meant in said["needs_of_matrix"].items():
        task = tasks[name]
        needs = zip(task.needs, meant, strict=True)
        tasks[name] = replace(task, needs=tuple(replace(n, matrix=m) for n, m in needs))
    return tasks


def shared_of(
    said: Mapping[str, Any],
    tasks: Mapping[str, Task],
    place: Place,
    environ: Mapping[str, str],
    *,
    run_dir: str,
    aside: str,
    executor: str,
) -> Shared:
    """What a worker of an agent has of the run; `environ` is the agent's own."""
    own = {name: value for name, value in environ.items() if is_allowed(name)}
    around = {**{n: v for n, v in own.items() if n not in _OF_A_RUN}, **said["environ"]}
    project = _project(said["project"])
    inputs = {name: _given(one) for name, one in said["inputs"].items()}
    return Shared(
        place=place,
        run_dir=run_dir,
        grace_s=said["grace_s"],
        project=project,
        environ=around,
        redactor=Redactor(tasks.values(), around, project, inputs),
        aside=aside,
        upstream={need: Met.recorded(met) for need, met in said["upstream"].items()} or NOTHING,
        joined={base: [*names] for base, names in said["joined"].items()},
        trace=Trace(*said["trace"]),
        inputs=inputs or NOTHING,
        executor=executor,
        shield=_grounds(said["shield"], os.path.dirname(run_dir), aside, tasks.values()),
    )


def _grounds(mode: str, proofs: str, aside: str, tasks: Iterable[Task]) -> Grounds | None:
    """What the agent's worker is to shield: the same as where the runner is, but that it alone has
    a run there.
    """
    if mode == NEVER:
        return None
    from zf.work.walls.shield import Grounds  # noqa: PLC0415 - not without one

    lock = f"{aside.removesuffix('.next')}.lock"
    os.close(os.open(lock, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    landlock = mode == ALWAYS and not any(task.leave_running for task in tasks)
    return Grounds(mode, proofs, os.path.dirname(lock), lock, (), lambda: (), landlock=landlock)


def _given(said: Mapping[str, Any]) -> Given:
    value = said["value"]
    fields = {**said, "phases": tuple(said["phases"])}
    return Given(**{**fields, "value": tuple(value) if isinstance(value, list) else value})


def _project(said: Mapping[str, Any]) -> Project:
    return Project(
        pass_env=tuple(said["pass_env"]),
        required_env=tuple(said["required_env"]),
        secrets=tuple(said["secrets"]),
        secrets_in_artifacts=said["secrets_in_artifacts"],
        budget=said["budget"],
        phases={name: Phase(budget=budget) for name, budget in said["phases"].items()},
    )
