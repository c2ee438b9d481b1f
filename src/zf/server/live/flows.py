"""The tasks of the project as its files say them now, loaded again only when one has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from zf.errors import Problem, ZfError
from zf.plan import places

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.model import Flow

# Folders of task files are no deeper than this below the folder of all tasks.
_DEPTH = 4


class Flows:
    """What `load` makes of the files at `root`, which may raise ZfError with their problems; a
    failure is remembered as well.
    """

    def __init__(self, root: str, load: Callable[[], Flow]) -> None:
        self._root = root
        self._load = load
        self._lock = Lock()
        self._seen: object = None
        self._flow: Flow | None = None
        self._error: ZfError | None = None
        # Files elsewhere than in the folder of all tasks that may say something of tasks.
        self._elsewhere: list[str] = []

    def now(self) -> Flow:
        """Raises ZfError with all problems of all files."""
        with self._lock:
            seen = tuple(self._stamps())
            if seen != self._seen:
                self._flow = self._error = None
                try:
                    self._flow = self._load()
                except ZfError as error:
                    self._error = error
                self._elsewhere = sorted(_files_elsewhere(self._root, self._flow))
                # Its own files are among what was looked at from the next time on.
                self._seen = tuple(self._stamps())
            if self._flow is None:
                assert self._error is not None
                raise self._error
            return self._flow

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files; nothing where a run can be started."""
        try:
            self.now()
        except ZfError as error:
            return tuple(error.problems)
        return ()

    def _stamps(self) -> Iterator[tuple[str, int, int]]:
        """How each file that may say something of tasks is now, and each folder of them."""
        for path in self._elsewhere:
            with suppress(OSError):
                status = os.stat(path)
                yield path, status.st_mtime_ns, status.st_size
        yield from _below(places.tasks_folder(self._root), _DEPTH)


def _files_elsewhere(root: str, flow: Flow | None) -> Iterator[str]:
    files = {places.PROJECT_FILE}
    for task in flow.tasks.values() if flow is not None else ():
        files.add(task.file)
        files.update(place.rpartition(":")[0] for place in task.origins.values())
    tasks = places.tasks_folder(root)
    return (path for file in files if not (path := f"{root}/{file}").startswith(f"{tasks}/"))


def _below(folder: str, depth: int) -> Iterator[tuple[str, int, int]]:
    with suppress(OSError), os.scandir(folder) as scan:
        for entry in scan:
            with suppress(OSError):
                is_folder = entry.is_dir()
                if is_folder or entry.name.endswith((".yaml", ".yml")):
                    status = entry.stat()
                    yield entry.path, status.st_mtime_ns, 0 if is_folder else status.st_size
                if is_folder and depth:
                    yield from _below(entry.path, depth - 1)
