"""Where a project is: its root, and the folders of its tasks and proofs.

Kept apart from `load.py`, whose parsers are not needed to find a place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

from zf.errors import ZfError, printable
from zf.lean import lazy

TASK_FILE = "task.yaml"
PROJECT_FILE = "zf.yaml"
# How the name is misspelt.
NEAR_TASK_FILES = ("task.yml", "Task.yaml", "tasks.yaml", "task.yaml.txt")
NEAR_PROJECT_FILES = ("zf.yml", ".zf.yaml")
_HIDDEN = ".zenflow"
# In there, what a server keeps; a project that has nothing else in it is at home in its root.
_SERVER = "server"
SERVER_FOLDER = f"{_HIDDEN}/{_SERVER}"
# Deeper than tasks are sorted into folders.
_MAX_DEPTH = 4
# What a file that says something of tasks has at the start of a line, be it behind a byte order
# mark; or anywhere, if it is one mapping in braces, as JSON is.
_OF_TASKS = lazy.pattern(
    rb"""(?mx) (?: ^(?:\xef\xbb\xbf)?(?:\{\s*)? | \A(?:\xef\xbb\xbf)?\s*(?=\{)(?s:.*?)[{,]\s* )
        ["']?(?:tasks|include|templates|defaults)["']?\s*:"""
)
_HEAD_BYTES = 1 << 20
# Of the entries of a folder of tasks.
_FIRST = 4


class NoProjectError(ZfError):
    """There is no project here, nor in any folder above."""


def find_root(start: str) -> tuple[str, str]:
    """The project `start` is in: its root, and the folder of its `proofs/`.

    The nearest folder upwards that is a project, or plainly means to be one: raises ZfError (exit
    2) for the latter, as the tasks of a project further up are not what was asked for, and
    NoProjectError where there is none at all.
    """
    here = os.path.realpath(start)
    if not os.path.isdir(here):
        raise ZfError(f"{start} is not a folder", code="ZF101")
    # What lies in `.zenflow` belongs to the project around it.
    folder, hidden, _ = f"{here}/".partition(f"/{_HIDDEN}/")
    folder = (folder or "/") if hidden else here
    while not _is_project(folder):
        above = os.path.dirname(folder)
        if above == folder:
            raise NoProjectError(
                f"no tasks found in {printable(here)} or any folder above it",
                code="ZF101",
                hint="zf init proposes some; or write `tasks:` in zf.yaml, or tasks/<id>/task.yaml;"
                " or name the project's folder with -C",
            )
        folder = above
    hidden = os.path.join(folder, _HIDDEN)
    return folder, hidden if _is_home(hidden) else folder


def _is_home(hidden: str) -> bool:
    """Whether it is a folder, and not of the server alone."""
    try:
        return os.listdir(hidden) != [_SERVER]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def tasks_folder(root: str) -> str:
    """Where a project keeps its tasks."""
    hidden = os.path.join(root, _HIDDEN, "tasks")
    return hidden if os.path.isdir(hidden) else os.path.join(root, "tasks")


def _is_project(folder: str) -> bool:
    for tasks in (os.path.join(folder, _HIDDEN, "tasks"), os.path.join(folder, "tasks")):
        try:
            if _holds_one(tasks):
                return True
            names = os.listdir(tasks)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(tasks) and not os.path.exists(tasks):
                raise _unusable(tasks, "is a symbolic link to nothing", "mend the link") from None
            continue
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
            raise _unusable(tasks, why, "mend its permissions") from None
        if f"/{_HIDDEN}/" in tasks[len(folder) :] or claims(tasks, names):
            return True
    for path in nested(folder):
        why = "is no place for tasks: nothing reads them there"
        raise _unusable(path, why, f"move them to {_HIDDEN}/tasks or to tasks")
    if speaks_of_tasks(f"{folder}/{PROJECT_FILE}"):
        return True
    for name in (PROJECT_FILE, *NEAR_PROJECT_FILES):
        if os.path.lexists(f"{folder}/{name}"):
            why = "is the file of a project that has no tasks"
            hint = "write `tasks:` in it, or tasks/<id>/task.yaml beside it"
            raise _unusable(f"{folder}/{name}", why, f"{hint}, or name another project with -C")
    return False


def speaks_of_tasks(path: str) -> bool:
    """Whether a file, without being parsed, looks as if it held tasks, templates or defaults."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return _OF_TASKS.search(os.read(descriptor, _HEAD_BYTES)) is not None
    except OSError:  # a folder, or an empty pipe
        return False
    finally:
        os.close(descriptor)


def _holds_one(tasks: str) -> bool:
    """Whether one of the first folders in there is a task, so that not all need be listed."""
    with os.scandir(tasks) as entries:
        shown = (entry.path for entry in islice(entries, _FIRST) if entry.name[0] != ".")
        return any(os.path.lexists(f"{path}/{TASK_FILE}") for path in shown)


def _unusable(path: str, why: str, hint: str) -> ZfError:
    return ZfError(
        f"{printable(path)} {why}",
        code="ZF108",
        hint=f"{hint}; a project further up is not taken instead",
    )


def nested(root: str) -> Iterator[str]:
    """Folders like `.zenflow/x/tasks` that hold tasks: those of `.zenflow/tasks` alone are read."""
    hidden = os.path.join(root, _HIDDEN)
    try:
        names = sorted(os.listdir(hidden))
    except OSError:
        return
    for name in names:
        tasks = f"{hidden}/{name}/tasks"
        if name not in {"tasks", "proofs"} and holds_task_file(tasks):
            yield tasks


def claims(tasks: str, names: Iterable[str]) -> bool:
    """Whether a folder `tasks` with these names in it is one of task files, right or misplaced."""
    shown = [name for name in names if name[0] != "."]
    if any(os.path.lexists(f"{tasks}/{name}/{TASK_FILE}") for name in shown):
        return True
    near = (TASK_FILE, *NEAR_TASK_FILES)
    if any(name in near for name in shown):
        return True
    return any(
        next(misplaced(f"{tasks}/{name}"), None) is not None
        or (name.endswith((".yaml", ".yml")) and speaks_of_tasks(f"{tasks}/{name}"))
        for name in shown
    )


def has_folders(tasks: int, name: str) -> bool:
    """Whether there may be folders in the one of that name in the open folder `tasks`: one without
    has two links, where links are counted.
    """
    try:
        return os.stat(name, dir_fd=tasks).st_nlink != 2
    except OSError:
        return False


def deeper(folder: str) -> Iterator[str]:
    """Paths of task files in the folders of a task's folder; a project in there is its own."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name[0] == "." or not entry.is_dir(follow_symlinks=False):
            continue
        for path in misplaced(entry.path, _MAX_DEPTH - 1, own_projects=False):
            if os.path.basename(path) == TASK_FILE:
                yield f"{entry.name}/{path}"


def misplaced(folder: str, depth: int = _MAX_DEPTH, *, own_projects: bool = True) -> Iterator[str]:
    """Paths below a folder without task.yaml, of files that are plainly meant to be task files; in
    projects of their own only if these count.
    """
    if _leads_up(folder):
        return  # what is found through it is read where it lies
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if not own_projects and any(entry.name == PROJECT_FILE for entry in entries):
        return
    for entry in entries:
        if entry.name in NEAR_TASK_FILES or entry.name == TASK_FILE:
            yield entry.name
        elif depth and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
            for path in misplaced(entry.path, depth - 1, own_projects=own_projects):
                yield f"{entry.name}/{path}"


def _leads_up(folder: str) -> bool:
    """Whether it is a link to a folder that it lies in."""
    if not os.path.islink(folder):
        return False
    lies_in = os.path.realpath(os.path.dirname(folder))
    return f"{lies_in}/".startswith(f"{os.path.realpath(folder).rstrip('/')}/")


def holds_task_file(tasks: str) -> bool:
    """Whether a folder of tasks holds any."""
    try:
        names = os.listdir(tasks)
    except OSError:
        return False
    return any(
        name[0] != "."
        and (
            os.path.lexists(f"{tasks}/{name}/{TASK_FILE}")
            or (name.endswith(".yaml") and speaks_of_tasks(f"{tasks}/{name}"))
        )
        for name in names
    )
