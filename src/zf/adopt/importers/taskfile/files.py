"""A Taskfile and what it includes -> tasks by their whole names, each with what is around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from zf.adopt.importers import reading
from zf.adopt.importers.model import Import, Job, Origin
from zf.adopt.importers.reading import Map, as_map, as_text
from zf.errors import ZfError
from zf.lean.records import Struct, field

NAMES = (
    "Taskfile.yml",
    "taskfile.yml",
    "Taskfile.yaml",
    "taskfile.yaml",
    "Taskfile.dist.yml",
    "taskfile.dist.yml",
    "Taskfile.dist.yaml",
    "taskfile.dist.yaml",
)
_MOST_FILES = 60


class File(Struct):
    """One Taskfile: under which name it is included, with which variables, and where it runs."""

    said: Map
    name: str
    file: str
    folder: str = ""
    # Where the file itself is, from the one that was named.
    place: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    around: File | None = None


class Task(Struct):
    """A task as it is written, its whole name, and its file."""

    name: str
    said: Any
    line: int
    file: File


def read(origin: Origin, source: Import) -> list[Task]:
    """All tasks of a Taskfile and of what it includes."""
    root = File(reading.yaml_of(origin.path, origin.file), "", origin.file)
    return [*_tasks(root, origin, source, [os.path.realpath(origin.path)])]


def _tasks(file: File, origin: Origin, source: Import, seen: list[str]) -> Iterator[Task]:
    tasks = file.said.get("tasks")
    if isinstance(tasks, Map):
        for name, said in tasks.items():
            yield Task(f"{file.name}{name}", said, tasks.line_of(name), file)
    includes = as_map(file.said.get("includes"))
    for name, said in includes.items():
        yield from _included(file, name, said, includes.line_of(name), origin, source, seen)


def _included(
    file: File,
    name: str,
    said: Any,
    line: int,
    origin: Origin,
    source: Import,
    seen: list[str],
) -> Iterator[Task]:
    keys = said if isinstance(said, Map) else Map(line)
    path = as_text(keys.get("taskfile") if isinstance(said, Map) else said) or ""
    construct = f"includes {name}: {path}"
    found = _found(origin, path)
    if found is None or found.unread:
        why = found.unread if found else "the file is not on this machine"
        if keys.get("optional") is True:
            why = f"{why}; Task does without it, too"
            source.dropped(construct, why, line=line, job=None)
            return
        job = Job(f"{file.name}{name}", line, file.file)
        source.jobs.append(job)
        source.manual(construct, f"{why}: import it too", job=job)
        return
    real = os.path.realpath(found.path)
    if (real in seen[-20:] and seen.count(real) > 1) or len(seen) > _MOST_FILES:
        raise ZfError(f"{origin.file} includes itself", code="ZF680", hint="mend its includes")
    folder = file.folder
    if "dir" in keys:
        folder = _folder(file.folder, as_text(keys["dir"]) or "")
    is_flat = keys.get("flatten") is True
    inner = File(
        reading.yaml_of(found.path, found.file),
        file.name if is_flat else f"{file.name}{name}:",
        found.file,
        folder,
        os.path.normpath(os.path.join(file.place, os.path.dirname(path))),
        dict(as_map(keys.get("vars"))),
        file,
    )
    source.exact(construct, line=line, job=None)
    for key in ("aliases", "internal", "excludes", "checksum"):
        if key in keys:
            why = "its tasks have their whole names alone"
            source.dropped(f"{key} of {name}", why, line=line, job=None)
    yield from _tasks(inner, found, source, [*seen, real])


def _folder(around: str, said: str) -> str:
    return said if said.startswith("/") else os.path.normpath(os.path.join(around, said))


def _found(origin: Origin, path: str) -> Origin | None:
    """The file that is included, if it is told which and it is one of this machine."""
    if "://" in path or path.startswith(("~", "git@")) or not path or "{{" in path:
        return None
    inner = origin.beside(path)
    if os.path.isdir(inner.path):
        for name in NAMES:
            if os.path.isfile(f"{inner.path}/{name}"):
                return origin.beside(f"{path.rstrip('/')}/{name}")
    return inner
