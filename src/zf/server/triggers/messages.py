"""The messages that only a server can send: of a run that was found dead or says nothing for long,
of times of a schedule that were missed. It also sends whatever else waits in the outbox.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.notify import announce, delivery
from zf.notify.channels import Channel, channels
from zf.notify.message import of_schedule
from zf.notify.outbox import Outbox
from zf.plan.notify.keys import MISSED, REAPED, STALLED
from zf.proof import layout, read
from zf.report.facts import build
from zf.run.host.lock import is_run
from zf.server.queue.records import ItemLost, Record, RunTakenUp, TimesMissed

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.server.project import Served
    from zf.server.queue.fold import State
    from zf.server.triggers.current import Current

_log = logging.getLogger("zf.messages")
# How often it looks; after how long without a line in its journal or its logs a run is told of.
LOOK_S = 5.0
STALLED_S = 30 * 60.0
# Living runs are among the newest.
_MOST_LOOKED_AT = 50


class Messages:
    """What sends them, in a thread of its own, so that no receiver holds the queue up."""

    def __init__(
        self, project: Served, current: Current, now: Callable[[], float] = time.time
    ) -> None:
        self._project = project
        self._current = current
        self._now = now
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()

    def open(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._turn, name="messages", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave; what waits to be sent stays where it is."""
        self._ending.set()

    def take(self, records: Iterable[Record], state: State) -> None:
        """Tell of what the queue has just written down."""
        those = self._channels()
        for record in records if those else ():
            match record:
                case TimesMissed(schedule, first, last, count, why):
                    self._tell_missed(those, schedule, [first, last][:count], f"{count}: {why}")
                case RunTakenUp(item) | ItemLost(item) if item in state.entries:
                    run = state.entries[item].item.run
                    taken_up = isinstance(record, RunTakenUp)
                    note = "It is taken up again." if taken_up else "It cannot be taken up again."
                    self._tell(those, REAPED, run, note)

    def look(self) -> None:
        """Tell of runs that say nothing for long, and send what is due."""
        those = self._channels()
        if any(STALLED in one.on for one in those):
            for run, silent_s in self._stalled():
                if run not in self._told:
                    self._told.add(run)
                    self._tell(those, STALLED, run, f"Nothing for {silent_s / 60:.0f} minutes.")
        outbox = Outbox(self._project.proofs)
        if outbox.due(self._now()):
            named = {channel.name: channel for channel in those}
            delivery.send_due(outbox, named, os.environ, self._now)

    def _turn(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - the loop goes on whatever it was
                _log.exception("messages go on after an error")

    def _channels(self) -> tuple[Channel, ...]:
        flow = self._current.flow()
        return () if flow is None else channels(flow.project.notify)

    def _stalled(self) -> Iterator[tuple[str, float]]:
        """Living runs that have written nothing for too long, and for how many seconds."""
        proofs = self._project.proofs
        for run in read.list_runs(proofs)[:_MOST_LOOKED_AT]:
            if not is_run(proofs, run):
                continue
            with suppress(ZfError, OSError, KeyError, TypeError):
                facts = _facts(f"{proofs}/{run}")
                waits = not facts.running  # for an approval, or for its turn
                silent_s = self._now() - _last_written(f"{proofs}/{run}", facts)
                if silent_s >= STALLED_S and not waits:
                    yield run, silent_s

    def _tell(self, those: tuple[Channel, ...], about: str, run: str, note: str) -> None:
        run_dir = f"{self._project.proofs}/{run}"
        try:
            announce.tell(
                *(about, run_dir, _facts(run_dir), those),
                root=self._project.root,
                now=self._now(),
                hide=_as_it_is,
                note=note,
            )
        except (ZfError, OSError, KeyError, TypeError):
            _log.exception("run %s could not be told of", run)

    def _tell_missed(
        self, those: tuple[Channel, ...], schedule: str, moments: list[str], why: str
    ) -> None:
        message = of_schedule(schedule, moments, why, project=self._project.name)
        for channel in those:
            if channel.wants(MISSED, (), first=True):
                of = f"{schedule}/{moments[0]}"
                letter = announce.letter(MISSED, of, channel, message, self._now())
                with suppress(OSError):
                    Outbox(self._project.proofs).put(letter)


def _facts(run_dir: str) -> Facts:
    return build(read.plan_json(run_dir), read.journal(run_dir).events)


def _last_written(run_dir: str, facts: Facts) -> float:
    """When the run last wrote to its journal, or a running task of it to a log."""
    newest = os.stat(f"{run_dir}/{layout.JOURNAL}").st_mtime
    for task in facts.running:
        with suppress(OSError), os.scandir(f"{run_dir}/{task}/{layout.LOGS}") as logs:
            newest = max([newest, *(entry.stat().st_mtime for entry in logs)])
    return newest


def _as_it_is(text: Any) -> Any:
    """What a journal and a queue hold was redacted when it was written."""
    return text
