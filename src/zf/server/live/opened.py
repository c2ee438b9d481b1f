"""Runs that are looked at, kept in memory with what was folded from their journals: the pages, the
lists and the API all tell of the same fold.

A run that goes on is folded on from where it was, however many look at it; one that is over is
folded once. What was not looked at for longest goes first.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from http import HTTPStatus
from itertools import islice
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

from zf.errors import ZfError
from zf.events import AttemptStarted
from zf.instances import extended
from zf.proof import growing, layout, read
from zf.report.facts import Fold
from zf.report.formats.recorded import RecordedRun
from zf.run.host.lock import has_runner
from zf.server.problems import Refused

if TYPE_CHECKING:
    from zf.proof.journal import Line

# So many runs, and fewer of large ones: a fold takes about four times the bytes of its journal.
_MOST_RUNS = 12
_MOST_BYTES = 24 * 1024 * 1024


Made = TypeVar("Made")


class FollowedRun(RecordedRun):
    """A run with its facts as of the last `catch_up`."""

    def __init__(self, proofs: str, name: str) -> None:
        super().__init__(f"{proofs}/{name}")
        self.name = name
        self.lock = RLock()
        self._proofs = proofs
        self._journal = growing.GrowingJournal(self.folder)
        # Not when it is given up: someone may look at it still.
        finalize(self, self._journal.close)
        # The number of the last line that was taken in, and its hash.
        self.seq = -1
        self.head = ""
        self._kept: dict[str, Any] = {}
        self._kept_at = -1
        # On which slot each task was started last.
        self.slots: dict[str, int] = {}

    @cached_property
    def _fold(self) -> Fold:
        limits = self.run.get("limits")
        return Fold(read.plan_json(self.folder), limits if _is_whole(limits) else None)

    @property
    def plan(self) -> Mapping[str, Any]:
        """What plan.json says, with the instances that joined the plan so far; read anew, as it is
        large and little of it is shown.
        """
        return extended(read.plan_json(self.folder), self.facts.joined)

    @property
    def lines(self) -> Iterator[Line]:
        """The lines that were taken in so far; read anew, too."""
        journal = growing.GrowingJournal(self.folder)
        try:
            yield from islice(journal.more(), self.seq + 1)
        finally:
            journal.close()

    def tree(self, task: str, attempt: int | None) -> str:
        """Where in the run the tree of an attempt is, of the newest one for None or 0. Raises
        Refused (404) where there was no such attempt.
        """
        found = self.facts.tasks.get(task)
        if attempt and (found is None or attempt > found.attempt):
            why = f"run {self.name} has no attempt {attempt} of task {task}"
            raise Refused(HTTPStatus.NOT_FOUND, why, code="ZF130")
        return read.attempt_tree(self.folder, task, attempt or 0)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What was made under this name since the last line came, or what is made now."""
        if self._kept_at != self.seq:
            self._kept, self._kept_at = {}, self.seq
        if name not in self._kept:
            self._kept[name] = make()
        made: Made = self._kept[name]
        return made

    @property
    def bytes(self) -> int:
        """How much of its journal was taken in."""
        return self._journal.offset

    @property
    def is_same_file(self) -> bool:
        """Whether its journal is still the one it began with."""
        with suppress(OSError):
            status = os.stat(f"{self.folder}/{layout.JOURNAL}")
            return (status.st_dev, status.st_ino) == self._journal.file
        return False

    def catch_up(self) -> None:
        """Take in what was written since."""
        for line in self._journal.more():
            if isinstance(line.event, AttemptStarted):
                self.slots[line.event.task] = line.event.slot
            self._fold.apply(line.event, line.mono, line.wall)
            self.seq, self.head = line.seq, self._journal.head
        self.__dict__["facts"] = self._fold.facts
        alive = self._fold.facts.exit_code is None and has_runner(self._proofs, self.name)
        if alive != self.alive or not self.is_over:
            # What was read of a run that went on may be old by now.
            for stale in ("sealed", "_sealed_artifacts"):
                self.__dict__.pop(stale, None)
        self.alive = alive

    @property
    def is_over(self) -> bool:
        """Whether it has ended and is closed: nothing of it changes any more."""
        return self.facts.exit_code is not None and self.sealed


def _is_whole(limits: object) -> bool:
    return isinstance(limits, dict) and {"max_jobs", "resources"} <= limits.keys()


class OpenRuns:
    """Those of one folder of proofs. Calls may come from any thread."""

    def __init__(self, proofs: str) -> None:
        self.proofs = proofs
        self._runs: OrderedDict[str, FollowedRun] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def open(self, run: str, *, in_passing: bool = False) -> Iterator[FollowedRun]:
        """The run of this id as it is now, for this thread alone; raises ZfError when it cannot be
        read. One that is opened `in_passing`, for a list of many, takes the place of none that was
        looked at.
        """
        found = self._found(run, in_passing=in_passing)
        with found.lock:
            try:
                found.catch_up()
            except ValueError as error:
                self._runs.pop(run, None)
                raise ZfError(f"run {run!r} cannot be read: {error}", code="ZF611") from None
            yield found
        self._make_room()

    def _found(self, run: str, *, in_passing: bool) -> FollowedRun:
        with self._lock:
            found = self._runs.get(run)
            if found is not None and found.is_same_file:
                if not in_passing:
                    self._runs.move_to_end(run)
                return found
            found = self._runs[run] = FollowedRun(self.proofs, run)
            self._runs.move_to_end(run, last=not in_passing)
            return found

    def _make_room(self) -> None:
        with self._lock:
            held = sum(run.bytes for run in self._runs.values())
            while len(self._runs) > 1 and (len(self._runs) > _MOST_RUNS or held > _MOST_BYTES):
                _, gone = self._runs.popitem(last=False)
                held -= gone.bytes
