"""Tasks for which there is no place, and tasks that cannot be anywhere but here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from zf.errors import Problem
from zf.model import LOCAL, Executor, Project, Task, fitting
from zf.plan.drafts import Draft
from zf.plan.suggest import nearest

SERVICES_ELSEWHERE = "have it run here, or move it to a phase without services and give it its own"


def check_places(drafts: Iterable[Draft], project: Project) -> Iterator[Problem]:
    """What is wrong with what tasks say of executors."""
    for draft in drafts:
        task = draft.task
        if task is None or not (task.executor or task.labels):
            continue
        executors = project.executors
        if task.executor not in {"", LOCAL, *executors}:
            message = f"'{task.executor}' is no executor of zf.yaml"
            yield draft.problem(("executor",), "ZF770", message, _hint(task.executor, executors))
        elif not fitting(task.executor, task.labels, "", executors):
            yield _no_labels(draft, task.executor, task.labels, executors)
        elif task.executor != LOCAL:
            yield from _kept_here(draft, task, project)


def _kept_here(draft: Draft, task: Task, project: Project) -> Iterator[Problem]:
    """What is beside a task, or stays of it, is on this machine."""
    if task.leave_running:
        yield draft.problem(
            ("leave_running",),
            "ZF776",
            "a task that leaves processes running cannot run on an executor",
            "what it starts would end with its agent: start it in a task that runs here",
        )
    if task.phase in project.phases and project.phases[task.phase].services:
        where = "executor" if task.executor else "labels"
        told = f"the task runs elsewhere, and the services of its phase '{task.phase}' do not"
        yield draft.problem((where,), "ZF716", told, SERVICES_ELSEWHERE)


def _no_labels(
    draft: Draft, executor: str, labels: tuple[str, ...], executors: Mapping[str, Executor]
) -> Problem:
    listed = ", ".join(labels)
    if executor:
        message = f"executor '{executor}' does not have all of these labels: {listed}"
        return draft.problem(("labels",), "ZF771", message, "leave `labels` or `executor` out")
    known = {label for one in executors.values() for label in one.labels}
    unknown = next((label for label in labels if label not in known), None)
    guess = unknown and nearest(unknown, known)
    hint = f"did you mean '{guess}'?" if guess else _declared(executors)
    message = f"no executor of zf.yaml has the labels: {listed}"
    return draft.problem(("labels",), "ZF771", message, hint)


def _hint(name: str, executors: Mapping[str, Executor]) -> str:
    guess = nearest(name, (*executors, LOCAL))
    return f"did you mean '{guess}'?" if guess else _declared(executors)


def _declared(executors: Mapping[str, Executor]) -> str:
    if not executors:
        return "declare it in zf.yaml: executors: {NAME: {start: [ssh, HOST, zf, agent]}}"
    told = (
        f"{name} [{', '.join(one.labels)}]" if one.labels else name
        for name, one in executors.items()
    )
    return f"there are: {', '.join(told)}"
