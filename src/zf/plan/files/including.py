"""What files include: further files of tasks and templates, each read once."""

from __future__ import annotations

import os

from zf.plan import places
from zf.plan.files import written
from zf.plan.files.place import Loc
from zf.plan.files.reading import Project, SharedFile, add
from zf.plan.suggest import nearest
from zf.plan.topology import shown


def include(project: Project) -> None:
    """Read what the project's files include, and what is included by that."""
    root = os.path.realpath(project.root)
    # Real paths of all shared files, with the file that included each.
    known: dict[str, SharedFile | None] = {
        os.path.realpath(file.written.path): None for file in project.files
    }
    for file in project.files:  # grows while it is read
        if ("include",) in file.errors:
            continue
        for index, name in enumerate(file.written.value.get("include", ())):
            loc: Loc = ("include", index)
            refusal = _refusal(project, root, file, name, known)
            if refusal is not None:
                project.problems.append(file.written.problem(loc, *refusal))
                continue
            path = os.path.realpath(f"{root}/{name}")
            known[path] = file
            found = written.read(path, os.path.normpath(name))
            assert found is not None
            add(project, found)


def _refusal(
    project: Project, root: str, file: SharedFile, name: str, known: dict[str, SharedFile | None]
) -> tuple[str, str, str | None] | None:
    """Why this file cannot be included by that one, as code, message and hint."""
    if "\0" in name:
        return "ZF205", "no path holds U+0000", "remove it"
    path = os.path.realpath(f"{root}/{name}")
    if not path.startswith(f"{root.rstrip('/')}/"):
        return "ZF244", f"'{name}' leads out of the project", "include files of the project"
    if not os.path.lexists(f"{root}/{name}"):
        return "ZF244", f"there is no file '{name}' in the project", _guess(root, name)
    if _is_task_file(project, path):
        return "ZF245", f"'{name}' is a task, which is read anyway", "remove it"
    if path in known:
        circle = _circle(file, path, known)
        if circle is not None:
            return "ZF245", f"files include each other in a circle: {circle}", "remove it"
        by = known[path]
        how = f"is included by {by.written.file} already" if by else "is read anyway"
        return "ZF245", f"'{name}' {how}", "remove it"
    return None


def _guess(root: str, name: str) -> str:
    folder = os.path.dirname(f"{root}/{name}")
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    guess = nearest(os.path.basename(name), names)
    if guess is None:
        return "paths are relative to the project root"
    return f"did you mean '{os.path.join(os.path.dirname(name), guess)}'?"


def _is_task_file(project: Project, path: str) -> bool:
    folder, name = os.path.split(path)
    tasks = os.path.realpath(places.tasks_folder(project.root))
    return name == places.TASK_FILE and os.path.dirname(folder) == tasks


def _circle(file: SharedFile, path: str, known: dict[str, SharedFile | None]) -> str | None:
    """The files from that at `path` to the one that includes it, if it leads there by itself."""
    chain: list[str] = []
    at: SharedFile | None = file
    while at is not None:
        chain.append(at.written.file)
        real = os.path.realpath(at.written.path)
        if real == path:
            return shown([*reversed(chain), chain[-1]])
        at = known[real]
    return None
