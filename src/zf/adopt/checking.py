"""Files of a project as they would be: checked beside it before any of them is written, and then
written whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from zf.errors import Problem, ZfError, printable
from zf.plan import load, places
from zf.settings import DEFAULT_PHASE_TIMEOUT_S


def problems_with(root: str, files: Mapping[str, str]) -> list[Problem]:
    """The errors of the project once it has these files, by their paths from its root."""
    with tempfile.TemporaryDirectory(prefix="zf-") as beside:
        _mirror(root, beside, files)
        home = f"{beside}/.zenflow" if os.path.isdir(f"{root}/.zenflow") else beside
        found = load.load(beside, home, default_phase_timeout_s=DEFAULT_PHASE_TIMEOUT_S)
    return [problem for problem in found.problems if problem.severity == "error"]


def _mirror(root: str, beside: str, files: Mapping[str, str]) -> None:
    """What a folder holds, as links, but for these files and the folders that they are in."""
    firsts = {name.partition("/")[0] for name in files}
    with suppress(OSError):
        for entry in os.listdir(root):
            if entry not in firsts:
                os.symlink(os.path.join(root, entry), os.path.join(beside, entry))
    for first in firsts:
        inner = {name.partition("/")[2]: text for name, text in files.items()}
        if first in files:
            with open(os.path.join(beside, first), "x", encoding="utf-8", newline="") as file:
                file.write(files[first])
        else:
            os.mkdir(os.path.join(beside, first))
            within = {n: t for n, t in inner.items() if f"{first}/{n}" in files}
            _mirror(os.path.join(root, first), os.path.join(beside, first), within)


def refuse_problems(found: Collection[Problem], what: str) -> None:
    """Raises ZfError (exit 2) with the errors that something would have."""
    if found:
        raise ZfError(what, problems=tuple(found))


def refuse_outside(root: str, names: Iterable[str]) -> None:
    """Raises ZfError (exit 2) for a file that a link in the project would lead out of it: a
    stranger's repository says where nothing is written.
    """
    real = os.path.realpath(root)
    for name in names:
        folder = os.path.realpath(os.path.dirname(f"{root}/{name}"))
        if folder != real and not folder.startswith(f"{real.rstrip('/')}/"):
            raise ZfError(
                f"{printable(name)} would lie outside of the project, in {printable(folder)}",
                hint="a link in its path leads there: nothing was written",
            )


def write_new(path: str, text: str) -> None:
    """A file that was not there, whole or not at all.

    Raises ZfError (exit 2) if it is there by now.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    beside = _written_beside(path, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        raise ZfError(
            f"{printable(path)} is there already", hint="it is left as it is: move it away first"
        ) from None
    finally:
        os.unlink(beside)


def write_over(path: str, text: str) -> None:
    """A file in place of one that is there, whole or not at all, with its mode; a link stays one,
    and what it leads to is replaced.
    """
    path = os.path.realpath(path)
    beside = _written_beside(path, text)
    try:
        os.chmod(beside, os.stat(path).st_mode & 0o7777)
        os.replace(beside, path)
    except OSError:
        os.unlink(beside)
        raise


def _written_beside(path: str, text: str) -> str:
    fd, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(fd, 0o666 & ~umask)
            file.write(text)
            file.flush()
            os.fsync(fd)
    except OSError:
        os.unlink(name)
        raise
    return name


def is_project(root: str) -> str:
    """What makes this folder a project of zf already: the name of that; empty if nothing does."""
    for name in (places.PROJECT_FILE, *places.NEAR_PROJECT_FILES):
        if os.path.lexists(f"{root}/{name}"):
            return name
    for tasks in (".zenflow/tasks", "tasks"):
        if places.holds_task_file(f"{root}/{tasks}"):
            return tasks
    return ""
