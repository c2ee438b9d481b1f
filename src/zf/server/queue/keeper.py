"""Keeps the queue of a project: takes orders in, starts what is due, and sees to runs that are over
or dead. One thread; what others ask of it goes through its lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from zf.lean.records import Struct
from zf.server.queue import inbox, machine, rules
from zf.server.queue.file import QueueFile, UnwritableError
from zf.server.queue.records import (
    ENDS,
    ItemClaimed,
    ItemLost,
    Record,
    RunTakenUp,
    Switched,
)
from zf.server.queue.rules import End, Order, Start, TakeUp
from zf.server.queue.runs import Runs

if TYPE_CHECKING:
    from zf.server.queue.fold import Entry, State
    from zf.server.queue.items import Item

_log = logging.getLogger("zf.queue")
# How often the queue is looked at where nothing wakes it; and dead runs are looked for.
LOOK_S = 1.0
REAP_S = 5.0
_ENDED: tuple[type[Any], ...] = tuple(ENDS)


class Loop(Struct):
    """How a loop is doing: shown, so that a look says whether it still turns."""

    interval_s: float
    last_run: float | None = None
    runs: int = 0
    errors: int = 0
    last_error: str = ""


class Keeper:
    """The owner of a project's queue, from `open` to `close`."""

    def __init__(
        self,
        queue: QueueFile,
        folder: str,
        runs: Runs,
        *,
        max_runs: Callable[[], int] = lambda: 1,
        triggers: Iterable[Callable[[State, float], list[Record]]] = (),
        beside: Callable[[Keeper], None] | None = None,
        written: Callable[[list[Record], State], None] | None = None,
    ) -> None:
        self._queue = queue
        self._folder = folder
        self._runs = runs
        self._max_runs = max_runs
        self._triggers = [*triggers]
        self._beside = beside
        self._written = written
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._suspended: set[str] = set()
        self.is_ready = False
        self.failed = ""
        self._tried_at = 0.0
        self.look = Loop(LOOK_S)
        self.reaper = Loop(REAP_S)

    # From other threads.

    @property
    def state(self) -> State:
        """The queue as it is; read it under `locked`."""
        return self._queue.state

    @property
    def locked(self) -> threading.RLock:
        return self._lock

    def open(self) -> None:
        """Begin; `is_ready` once everything that was left was looked at."""
        self._thread = threading.Thread(target=self._turn, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the queue back. Runs go on."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._queue.close()

    def enqueue(self, item: Item) -> Entry:
        """Take an item in: it is on the disk when this returns. Raises OSError."""
        with self._lock:
            now = time.time()
            self.write(inbox.taken_in(self.state, item, now), now)
            self._wake.set()
            return self.state.entries[item.item]

    def cancel(self, item: str, by: str) -> bool:
        """End an item, or ask its run to end; whether there was anything to end."""
        with self._lock:
            record = rules.cancel(self.state, item, by)
            if record is not None:
                self.write([record], time.time())
                self._wake.set()
            return record is not None

    def switch(self, name: str, by: str, *, is_off: bool) -> None:
        """Set a switch."""
        with self._lock:
            if (name in self.state.off) is not is_off:
                self.write([Switched(name, is_off, by)], time.time())
                self._wake.set()

    def write(self, records: list[Record], now: float) -> None:
        """Make these records durable; after a failure nothing more is taken until it goes on."""
        if self.failed:
            raise OSError(self.failed)
        try:
            self._queue.write(records, now)
        except UnwritableError:
            raise  # nothing was changed
        except Exception as error:
            self.failed = f"the queue cannot be written: {error}"
            raise
        if records and self._written is not None:
            self._written(records, self.state)

    # The loop.

    def _turn(self) -> None:
        while not self._ending:
            self._wake.clear()
            self._guarded(self.look, self._look)
            self._wake.wait(LOOK_S)

    def _guarded(self, loop: Loop, turn: Callable[[float], None]) -> None:
        """One turn of a loop, which no exception ends."""
        now = time.time()
        try:
            turn(now)
        except Exception as error:  # noqa: BLE001 - the loop goes on whatever it was
            loop.errors += 1
            loop.last_error = f"{type(error).__name__}: {error}"
            _log.exception("the queue goes on after an error")
        loop.last_run = now
        loop.runs += 1

    def _look(self, now: float) -> None:
        with self._lock:
            if not self._goes_on(now):
                return
            inbox.empty(self._folder, self._queue, now)
            self._settle(now)
        if self.is_ready:
            for trigger in self._triggers:
                with self._lock:
                    self.write(trigger(self.state, now), now)
            if self._beside is not None:
                self._beside(self)
        with self._lock:
            self.write(rules.expired(self.state, now), now)
            if self.is_ready:
                self._start(now)
        self.is_ready = True

    def _goes_on(self, now: float) -> bool:
        """Whether the queue can be written: after a failure it is tried again now and then, as a
        full disk may have room by now.
        """
        if not self.failed:
            return True
        if 0 <= now - self._tried_at < REAP_S:
            return False
        self._tried_at = now
        try:
            self._queue.renew()
        except OSError:
            return False
        self.failed = ""
        _log.warning("the queue can be written again")
        return True

    def _settle(self, now: float) -> None:
        """See to every claimed item: what ended is closed, what died is taken up or given up."""
        due = self.reaper.last_run is None or now - self.reaper.last_run >= REAP_S
        # A clock that was set back must not keep the reaper from turning.
        due |= self.reaper.last_run is not None and now < self.reaper.last_run
        reaping = due and not self.state.is_off("reaper")
        for entry in list(self.state.claimed()):
            try:
                self._settle_one(entry, now, reaping=reaping)
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - one item must not hold up the others
                self.reaper.errors += 1
                self.reaper.last_error = f"{type(error).__name__}: {error}"
                _log.exception("item %s could not be looked at", entry.item.item)
        if reaping:
            self.reaper.last_run = now
            self.reaper.runs += 1

    def _settle_one(self, entry: Entry, now: float, *, reaping: bool) -> None:
        seen = self._runs.look(entry.item)
        (self._suspended.add if seen.suspended else self._suspended.discard)(entry.item.item)
        wanted = rules.settle(entry, seen, reaping=reaping)
        if wanted is None:
            return
        if isinstance(wanted, Start | TakeUp | End):
            self._carry_out(wanted, now)
            return
        self.write([wanted], now)
        if isinstance(wanted, _ENDED):
            self._runs.forget(entry.item)

    def _carry_out(self, order: Order, now: float) -> None:
        item = order.item
        match order:
            case Start():
                self._begin(item, now)
            case TakeUp(_, is_new):
                self.write([RunTakenUp(item.item)] if is_new else [], now)
                self._runs.take_up(item)
            case End():
                self._runs.end(item)

    def _begin(self, item: Item, now: float) -> None:
        try:
            self._runs.start(item)
        except OSError as error:
            self.write([ItemLost(item.item, f"zf cannot be started: {error.strerror}")], now)
        except ValueError as error:  # NUL in a word
            self.write([ItemLost(item.item, f"zf cannot be started: {error}")], now)

    def _start(self, now: float) -> None:
        found = machine.look(now)
        chosen = rules.startable(self.state, found, self._suspended, self._max_runs())
        for entry in list(chosen):
            self.write([ItemClaimed(entry.item.item, entry.item.run)], now)
            self._begin(entry.item, now)
