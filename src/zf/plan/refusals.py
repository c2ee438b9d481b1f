"""What a run cannot do, and what to type instead. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from zf.errors import Problem, ZfError
from zf.instances import listed_by
from zf.lean.records import replace
from zf.model import Flow, Need, Project, Task, base_of
from zf.plan.phases import phase_order, stated_needs
from zf.plan.suggest import phase_hint, task_hint


def refuse_phases(flow: Flow, unknown: Iterable[str]) -> NoReturn:
    known = sorted({task.phase for task in flow.tasks.values()})
    problems = [
        Problem(code="ZF102", message=f"unknown phase '{name}'", hint=phase_hint(name, known))
        for name in unknown
    ]
    raise ZfError(problems[0].message, problems=tuple(problems))


def refuse_task(flow: Flow, unknown: str) -> NoReturn:
    hint = later_hint(flow, unknown) or task_hint(unknown, flow.tasks)
    raise ZfError(f"unknown task '{unknown}'", code="ZF103", hint=hint)


def later_hint(flow: Flow, unknown: str) -> str | None:
    """What to do in place of naming an instance of a matrix that is only known in a run."""
    base = flow.tasks.get(base_of(unknown))
    if base is None or not base.matrix_from or base.id == unknown:
        return None
    listed = " and ".join(listed_by(base.matrix_from))
    return f"its instances are known when {listed} is: zf run {base.id}"


def refuse_unlisted(task: Task) -> NoReturn:
    """Raises ZfError (exit 2) for a task to be run without what says which instances it has."""
    raise ZfError(
        f"the instances of '{task.id}' are known when {' and '.join(listed_by(task.matrix_from))}"
        " is, which this run would be without",
        code="ZF162",
        hint=f"zf run-task {task.id} --with-needs",
    )


def unmet_need(flow: Flow, task: Task, need: Need, tasks: Collection[str]) -> Problem:
    phase = flow.tasks[need.task].phase
    message = f"{needed_by(task, need)} of phase '{phase}', which "
    if need.task in tasks:
        message += f"this run does only after phase '{task.phase}'"
    else:
        message += "is not in this run"
    return Problem(code="ZF104", message=message, file=task.file, line=need.line)


def refuse_needs(problems: list[Problem], command: str) -> NoReturn:
    """Tell of all needs that cannot be met, and once, at the end, what to type instead."""
    told = list(dict.fromkeys(problems))  # of a matrix each is told once
    told[-1] = replace(told[-1], hint=command)
    raise ZfError(told[0].message, problems=tuple(told))


def needed_by(task: Task, need: Need) -> str:
    """Which task needs which; instances of a matrix as the task that has it."""
    needed = base_of(need.task) if need.matrix else need.task
    return f"'{task.base or task.id}' needs '{needed}'"


def refuse_left_out(flow: Flow, tasks: Collection[Task], upstream: Collection[str]) -> None:
    """Raises ZfError (exit 2) for a task that needs a matrix of which `--matrix` leaves nothing: it
    would run without what it needs.
    """
    problems = [
        Problem(
            code="ZF160",
            message=f"{needed_by(task, need)}, of which --matrix leaves no instance",
            file=task.file,
            line=need.line,
        )
        for task in tasks
        for need in task.needs
        if not (need.optional or need.task in flow.tasks or need.task in upstream)
    ]
    if problems:
        refuse_needs(problems, "choose values that it has, or run the tasks that you want by name")


def refuse_order(flow: Flow, order: Sequence[str]) -> None:
    """Raises ZfError when a phase comes before one that zf.yaml says it needs."""
    problems = [
        Problem(
            code="ZF104",
            message=f"phase '{name}' needs phase '{later}', which this run does only after it",
            file=flow.project.file,
            line=_needs_line(flow.project, name),
        )
        for index, name in enumerate(order)
        for later in order[index + 1 :]
        if later in stated_needs(flow.project, name)
    ]
    if problems:
        refuse_needs(problems, run_with_needs(flow, order, (), (), ()))


def _needs_line(project: Project, phase: str) -> int | None:
    said = project.phases.get(phase)
    return said.needs_line if said is not None else None


def run_with_needs(
    flow: Flow,
    phases: Sequence[str],
    upstream: Collection[str],
    unmet: Collection[str],
    builds_on: Sequence[str],
) -> str:
    """The command that runs these phases with everything they need, through others too; but for
    what the runs meet that are built on.

    Raises ZfError (exit 2) for phases that need each other.
    """
    from shlex import quote  # noqa: PLC0415 - of a plan that lacks needs

    tasks = _phases_with_needs(flow, phases, upstream, unmet)
    order = phase_order(tasks, flow.project)
    if builds_on:
        return " ".join(["zf run-phase", *order, *(f"--upstream {quote(r)}" for r in builds_on)])
    told = " ".join(["zf run", *(f"phase:{p}" if p in flow.tasks else p for p in phases)])
    grown = len(order) > len(phases)
    return f"{told} (or build on an earlier run with --upstream RUN)" if grown else told


def _phases_with_needs(
    flow: Flow, phases: Sequence[str], upstream: Collection[str], unmet: Collection[str]
) -> dict[str, Task]:
    """The tasks of these phases, and of every phase they need that is not met by a run."""
    members: dict[str, list[Task]] = {}
    for task in flow.tasks.values():
        members.setdefault(task.phase, []).append(task)
    tasks: dict[str, Task] = {}
    queue = list(phases)
    wanted = set(phases)
    for phase in queue:  # grows while it is read
        for task in members[phase]:
            tasks[task.id] = task
            for need in flow.present(task):
                other = flow.tasks[need.task].phase
                if other not in wanted and need.is_missing((), upstream, unmet):
                    wanted.add(other)
                    queue.append(other)
    return tasks
