"""The keeper of a served project's queue, put together; and what the server's routes use of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zf.lean.records import Struct
from zf.server.queue.file import QueueFile
from zf.server.queue.keeper import Keeper
from zf.server.queue.runs import Runs
from zf.server.triggers.current import Current
from zf.server.triggers.deliveries import Deliveries
from zf.server.triggers.looking import Looking
from zf.server.triggers.messages import Messages
from zf.server.triggers.reconcile import Reconciler

if TYPE_CHECKING:
    from zf.server.project import Served
    from zf.server.starting import Starting


class Kept(Struct):
    """All of it: for `zf serve` with what is declared in zf.yaml, for `zf ui` without."""

    keeper: Keeper
    current: Current
    reconciler: Reconciler
    deliveries: Deliveries | None
    messages: Messages | None

    def close(self) -> None:
        """Give the queue back."""
        if self.messages is not None:
            self.messages.close()
        self.keeper.close()


def keep(project: Served, starting: Starting) -> Kept:
    """Take the queue of a project, and keep it from now on. Raises ZfError: exit 5 where another
    process has it, 1 where it is damaged.
    """
    return _kept(project, starting, QueueFile.own(project.folder), triggers=True)


def keep_if_free(project: Served, starting: Starting) -> Kept | None:
    """The same for a person's own look: without what starts runs by itself, and None where another
    process has the queue.
    """
    queue = QueueFile.own_if_free(project.folder)
    return None if queue is None else _kept(project, starting, queue, triggers=False)


def _kept(project: Served, starting: Starting, queue: QueueFile, *, triggers: bool) -> Kept:
    current = Current(project.root, project.flows.now)
    reconciler = Reconciler(current, project.root)
    looking = Looking(current, reconciler)
    messages = Messages(project, current) if triggers else None
    keeper = Keeper(
        queue,
        project.folder,
        Runs(starting, project),
        max_runs=lambda: current.max_runs,
        triggers=[looking.due] if triggers else [],
        beside=looking.reconcile if triggers else None,
        written=messages.take if messages else None,
    )
    deliveries = Deliveries(keeper, current, project.folder, os.environ) if triggers else None
    keeper.open()
    if messages is not None:
        messages.open()
    return Kept(keeper, current, reconciler, deliveries, messages)
