"""What is wrong with values of variables, and lacking where a run begins, as problems of files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from zf.errors import Problem
from zf.inputs import variable
from zf.instances import matrix_variable
from zf.model import Project, Task
from zf.plan.drafts import Draft, of_task
from zf.plan.files.place import Loc
from zf.plan.files.pointer import Pointer, pointer_to
from zf.plan.inputs.used import known_to
from zf.plan.places import PROJECT_FILE
from zf.plan.steps.env import Finding, check

if TYPE_CHECKING:
    from zf.plan.matrix.expand import Matrix


def check_env(drafts: list[Draft], project: Project) -> Iterator[Problem]:
    """Values of `env` that name what is not there, and ones that cannot be read."""
    for draft in drafts:
        if draft.task is not None:
            for one in check(draft.task, project, _told(project, draft)):
                yield _at(*draft.pointer(one.loc), one)


def _told(project: Project, draft: Draft) -> Collection[str]:
    """The variables that a task has without saying so."""
    inputs = known_to(project, draft)
    later: Collection[str] = ()
    if draft.task is not None and "from" in draft.task.matrix_from:
        later = matrix_named(draft.task)
    return {*map(variable, inputs), *_matrix_variables(draft.matrix), *later}


def matrix_named(task: Task) -> Collection[str]:
    """Variables of a matrix that values of `env` name, where it is known later which there are."""
    if not task.matrix_from:
        return ()
    maps = (task.env, *(step.env for step in (*task.steps, *task.cleanup)))
    texts = [text for env in maps for text in env.values()]
    return {one for text in texts for one in _MATRIX_NAMED.findall(text)}


_MATRIX_NAMED = re.compile(rf"\$\{{({re.escape(matrix_variable(''))}[A-Z0-9_]+)")


def _matrix_variables(matrix: Matrix | None) -> Collection[str]:
    """Those that instances are told their values with."""
    if matrix is None:
        return ()
    from zf.plan.matrix.names import variables  # noqa: PLC0415 - few tasks have one

    axes = [*matrix.axes, *(key for entry in matrix.include for key in entry)]
    return variables(dict.fromkeys(axes, ""), matrix.counts)


def unset(root: str, task: Task, findings: Iterable[Finding]) -> Iterator[Problem]:
    """What a task asks of the environment of a run, and what is not set there."""
    for one in findings:
        yield of_task(root, task, one.loc, one.code, one.message, one.hint)


def unset_for_all(root: str, findings: Iterable[Finding]) -> Iterator[Problem]:
    """What the project asks of it for every run."""
    for one in findings:
        yield _at(pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE), one.loc, one)


def _at(pointer: Pointer, loc: Loc, one: Finding) -> Problem:
    if one.length:
        return pointer.inside(loc, one.at, one.length, one.code, one.message, one.hint)
    return pointer.problem(loc, one.code, one.message, one.hint)
