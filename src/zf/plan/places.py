"""Where a project is: its root, and the folder that holds its `tasks/` and `proofs/`.

Kept apart from `load.py`, which imports parsers that whoever only asks for a place has no use for.
"""

from __future__ import annotations

import os

from zf.errors import ZfError

TASK_FILE = "task.yaml"


def find_root(start: str) -> tuple[str, str]:
    """The project `start` is in: its root, and the folder of `tasks/` and `proofs/`."""
    here = os.path.realpath(start)
    if not os.path.isdir(here):
        raise ZfError(f"{start} is not a folder", code="ZF101")
    folder = here
    while True:
        home = _home(folder)
        if home is not None:
            return folder, home
        above = os.path.dirname(folder)
        if above == folder:
            raise ZfError(
                f"no tasks found in {here} or any folder above it",
                code="ZF101",
                hint="write tasks/<id>/task.yaml, or name the project's folder with -C",
            )
        folder = above


def _home(folder: str) -> str | None:
    if os.path.basename(folder) == ".zenflow":
        return None  # the project is the folder around it
    hidden = os.path.join(folder, ".zenflow")
    if os.path.isdir(f"{hidden}/tasks"):
        return hidden
    return folder if holds_task_file(os.path.join(folder, "tasks")) else None


def holds_task_file(tasks: str) -> bool:
    """Whether a folder of tasks holds any."""
    try:
        names = os.listdir(tasks)
    except OSError:
        return False
    return any(name[0] != "." and os.path.lexists(f"{tasks}/{name}/{TASK_FILE}") for name in names)
