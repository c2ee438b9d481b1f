"""The project as its files are now, for what looks at it again and again: read anew when zf.yaml,
or a folder of tasks, has changed. While the files are bad, what was good last stands.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from zf.errors import ZfError
from zf.model import Flow
from zf.plan.places import PROJECT_FILE, tasks_folder
from zf.server.triggers import declared
from zf.server.triggers.declared import Reconcile, Schedule, Webhook


class Current:
    """What the project declares, from `load`, which raises ZfError for bad files."""

    def __init__(self, root: str, load: Callable[[], Flow]) -> None:
        self._root = root
        self._load = load
        self._mark: object = None
        self._lock = threading.Lock()
        self._flow: Flow | None = None
        # Why the files as they are now are not what stands; empty when they are.
        self.problem = ""
        self.schedules: dict[str, Schedule] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.reconcile: dict[str, Reconcile] = {}

    def flow(self) -> Flow | None:
        """The tasks; None before the files were good for the first time."""
        with self._lock:
            mark = self._look()
            if mark != self._mark:
                self._mark = mark
                self._read()
            return self._flow

    @property
    def max_runs(self) -> int:
        """How many items run at once."""
        flow = self.flow()
        return 1 if flow is None else int(flow.project.queue.get("max_runs", 1))

    def _read(self) -> None:
        try:
            flow = self._load()
        except ZfError as error:
            self.problem = str(error)
            return
        self._flow, self.problem = flow, ""
        self.schedules = declared.schedules(flow)
        self.webhooks = declared.webhooks(flow)
        self.reconcile = declared.reconciled(flow)

    def _look(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(_stamp, (f"{self._root}/{PROJECT_FILE}", tasks_folder(self._root))))


def _stamp(path: str) -> tuple[int, int]:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size
    return 0, 0
