"""What the queue's keeper asks at every turn: schedules, and sources of truth that are due."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from zf.server.triggers import schedules
from zf.server.triggers.reconcile import Reconciler, lines

if TYPE_CHECKING:
    from zf.server.queue.fold import State
    from zf.server.queue.keeper import Keeper
    from zf.server.queue.records import Record
    from zf.server.triggers.current import Current


class Looking:
    """The triggers of a project that need no request."""

    def __init__(self, current: Current, reconciler: Reconciler) -> None:
        self._current = current
        self._reconciler = reconciler
        self._asking: threading.Thread | None = None

    def due(self, state: State, now: float) -> list[Record]:
        """The lines for schedules that are due."""
        flow = self._current.flow()
        return [] if flow is None else schedules.due(state, flow, self._current.schedules, now)

    def reconcile(self, keeper: Keeper) -> None:
        """Begin to ask the sources that are due, beside the queue, unless they are still asked."""
        if self._asking is not None and self._asking.is_alive():
            return
        names = self._reconciler.due(time.time())
        if not names or keeper.state.is_off("reconcile"):
            return
        self._asking = threading.Thread(
            target=self._ask, args=(keeper, names), name="reconcile", daemon=True
        )
        self._asking.start()

    def _ask(self, keeper: Keeper, names: list[str]) -> None:
        for name in names:
            source = self._current.reconcile.get(name)
            keys = self._reconciler.ask(name)
            flow = self._current.flow()
            if source is None or flow is None:
                continue
            for key in keys:
                # One at a time: the lines for the next one follow from the queue after it.
                with keeper.locked:
                    found = list(lines(keeper.state, flow, name, source, [key]))
                    keeper.write(found, time.time())
