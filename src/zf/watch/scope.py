"""Which tasks a changed file concerns.

A file concerns a task whose `sources` name it; or, of a task that says none, one in the folder that
the task works in. What tasks leave (`generates`, `artifacts`) concerns none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.model import Flow, Task, definition_sha256
from zf.plan.caching.globs import matching
from zf.plan.places import PROJECT_FILE

if TYPE_CHECKING:
    from pathspec import PathSpec

_WILD = frozenset("*?[")


class _Globs:
    """Lists of globs, each asked only about paths that begin as one of its own does."""

    def __init__(self) -> None:
        self._specs: dict[tuple[str, ...], tuple[PathSpec[Any], set[str]]] = {}
        self._by_start: dict[str, list[tuple[str, ...]]] = {}

    def add(self, globs: tuple[str, ...], name: str = "") -> None:
        if globs not in self._specs:
            self._specs[globs] = matching(globs), set()
            for start in {_first(one) for one in globs if one[0] != "!"}:
                self._by_start.setdefault(start, []).append(globs)
        self._specs[globs][1].add(name)

    def of(self, path: str) -> set[str]:
        """The names of the lists that match."""
        begin = path.partition("/")[0]
        asked = {*self._by_start.get(begin, ()), *self._by_start.get("", ())}
        found: set[str] = set()
        for globs in asked:
            spec, names = self._specs[globs]
            if spec.match_file(path):
                found |= names
        return found


def _first(glob: str) -> str:
    """The first folder of a glob, or its file; empty where that may be any."""
    parts = [part for part in glob.split("/") if part not in {"", "."}]
    return "" if not parts or _WILD & {*parts[0]} else parts[0]


class Scope:
    """What changes concern among the watched tasks of a flow."""

    def __init__(self, flow: Flow, watched: Collection[str]) -> None:
        self._made = _Globs()
        self._sources = _Globs()
        self._folders: dict[str, set[str]] = {}
        for task in flow.tasks.values():
            for globs in (task.generates, task.artifacts):
                if globs:
                    self._made.add(globs)
        for name in watched:
            task = flow.tasks[name]
            if task.sources:
                self._sources.add(task.sources, name)
            else:
                folder = _normal(task.workdir)
                self._folders.setdefault(folder, set()).add(name)

    def is_made(self, path: str) -> bool:
        """Whether tasks leave this file."""
        return bool(self._made.of(path))

    def of(self, path: str, *, by_folder: bool = True) -> set[str]:
        """The watched tasks that a file of the project concerns; its path is from the root. Without
        `by_folder`, those alone that name it in their sources.
        """
        if self.is_made(path):
            return set()
        found = self._sources.of(path)
        if not by_folder:
            return found
        for folder, names in self._folders.items():
            if not folder or path == folder or path.startswith(f"{folder}/"):
                found |= names
        return found


def _normal(workdir: str) -> str:
    return "/".join(part for part in workdir.split("/") if part not in {"", "."})


def is_plan(flow: Flow, path: str) -> bool:
    """Whether a file says what the tasks are, or may do so."""
    home = flow.home.removeprefix(flow.root).strip("/")
    tasks = f"{home}/tasks/" if home else "tasks/"
    if path == PROJECT_FILE or path in flow.shared:
        return True
    is_yaml = path.endswith((".yaml", ".yml"))
    return is_yaml and (path.startswith(tasks) or any(t.file == path for t in flow.tasks.values()))


def redefined(old: Flow, new: Flow, watched: Iterable[str]) -> set[str]:
    """The tasks that say something else than before, or were not there."""
    if old.project != new.project:
        return set(watched)
    return {name for name in watched if _says_else(old.tasks.get(name), new.tasks[name])}


def _says_else(old: Task | None, new: Task) -> bool:
    return old is None or definition_sha256(old) != definition_sha256(new)


def starts(tasks: Mapping[str, Task]) -> list[str]:
    """The places that the sources of tasks name, as far as no wildcard stands in them."""
    found = {
        _literal(glob) for task in tasks.values() for glob in task.sources if glob[0] != "!"
    } - {""}
    return sorted(found)


def _literal(glob: str) -> str:
    parts: list[str] = []
    for part in glob.split("/"):
        if _WILD & {*part}:
            break
        if part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def behind_links(links: Sequence[str], tasks: Mapping[str, Task]) -> list[str]:
    """The links to folders, of these, that sources lie behind."""
    places = starts(tasks)
    return [
        link
        for link in links
        if any(place == link or place.startswith(f"{link}/") for place in places)
    ]
