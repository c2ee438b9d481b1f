"""Files where nothing reads them: what is meant to be a task or project file, and is called or
placed otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from zf.errors import Problem
from zf.plan import places
from zf.plan.places import NEAR_TASK_FILES, TASK_FILE
from zf.plan.yaml import source

_TASK_PLACE = f"a task file is tasks/<id>/{TASK_FILE}"


def misnamed(file: str, wanted: str, what: str) -> Problem:
    return Problem(
        code="ZF219",
        message=f"this file is not read: a {what} file is called {wanted}",
        file=file,
        hint=f"rename it to {wanted}",
    )


def without_task_file(folder: str, shown: str) -> Iterator[Problem]:
    """A folder without task.yaml is no task, unless the file's name is only misspelt, or it holds
    folders that are tasks.
    """
    if os.path.islink(folder) and not os.path.exists(folder):
        yield source.unreadable(shown, "it is a symbolic link to nothing")
        return
    for path in places.misplaced(folder):
        if "/" in path:
            yield _too_deep(f"{shown}/{path}", os.path.dirname(shown))
        else:
            yield misnamed(f"{shown}/{path}", TASK_FILE, "task")


def inside_task(folder: str, shown: str) -> Iterator[Problem]:
    """Task files deeper in the folder of a task."""
    for path in places.deeper(folder):
        yield _too_deep(f"{shown}/{path}", os.path.dirname(shown))


def _too_deep(file: str, tasks: str) -> Problem:
    above, task = os.path.split(os.path.dirname(file))
    return Problem(
        code="ZF219",
        message=f"this file is not read: {_TASK_PLACE}, no deeper",
        file=file,
        hint=f"move the folder {above}/{task} to {tasks}/{task}",
    )


def loose(file: str) -> Problem:
    """A file among the tasks that says nothing of tasks."""
    message = f"this file is not read: {_TASK_PLACE}"
    name = os.path.basename(file)
    if name in {TASK_FILE, *NEAR_TASK_FILES}:
        hint = f"move it to {os.path.dirname(file)}/<id>/{TASK_FILE}, where <id> is the task's"
        return Problem(code="ZF219", message=message, file=file, hint=hint)
    stem = os.path.splitext(name)[0]
    return Problem(
        code="ZF219",
        message=message,
        file=file,
        hint=f"if it is a task, move it to {os.path.dirname(file)}/{stem}/{TASK_FILE}, or write"
        f" its keys below `tasks: {{{stem}: ...}}`",
        severity="warning",
    )


def passed_over(root: str) -> Iterator[Problem]:
    """Other sets of tasks, in places that are not read, would be missed in silence."""
    read = places.tasks_folder(root)
    beside = [os.path.relpath(path, root) for path in places.nested(root)]
    if read != os.path.join(root, "tasks"):
        beside += ["tasks"] if places.holds_task_file(os.path.join(root, "tasks")) else []
    shown = os.path.relpath(read, root)
    for path in beside:
        yield Problem(
            code="ZF219",
            message=f"these tasks are not read, because {shown}/ exists",
            file=path,
            hint=f"keep all tasks in {shown}",
            severity="warning",
        )
