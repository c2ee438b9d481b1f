"""A cycle as the watcher sees it: another zf, which carries out an ordinary run, and its journal.

That zf says on a pipe that something happened; what happened is in the journal. The pipe's end
comes when it and all its workers are gone.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from zf.errors import ZfError
from zf.lean.records import Struct, replace
from zf.proof import read
from zf.proof.growing import GrowingJournal
from zf.proof.journal import Line
from zf.proof.layout import JOURNAL
from zf.report.facts import Facts, Fold
from zf.run.host import lock
from zf.watch.standby import Standby

_MOST_SAID = 64 * 1024


class Orders(Struct, frozen=True):
    """What the other zf is told: the run to carry out. `values` are the options as they were typed
    for `zf watch`, `command` is how that was called, and `parent` the process to end with.
    """

    run: str
    tasks: frozenset[str]
    upstream: Mapping[str, str]
    folder: str
    values: Mapping[str, Any]
    command: tuple[str, ...]
    parent: int
    wake_fd: int

    def packed(self) -> bytes:
        """As bytes, for a process that trusts this one."""
        return pickle.dumps({name: getattr(self, name) for name in self.__struct_fields__})

    def with_parent(self, parent: int) -> Orders:
        """The same with another process to end with."""
        return replace(self, parent=parent)

    @classmethod
    def unpacked(cls, data: bytes) -> Orders:
        return cls(**pickle.loads(data))  # noqa: S301 - from the process that started this one


class Running:
    """A cycle under way."""

    def __init__(
        self,
        other: Standby,
        proofs: str,
        run: str,
        tasks: frozenset[str],
        upstream: Mapping[str, str],
        folder: str,
        values: Mapping[str, Any],
        command: Sequence[str],
    ) -> None:
        """Has the `other` zf go, in this folder."""
        self.run = run
        self.run_dir = f"{proofs}/{run}"
        self.facts: Facts | None = None
        self.exit_code: int | None = None
        self.head = ""
        # What it said on stderr, which is only what keeps it from running.
        self.said = b""
        self._proofs = proofs
        self._journal: GrowingJournal | None = None
        self._fold: Fold | None = None
        self._other = other
        self.wake_fd, self.said_fd = other.wake_fd, other.said.fileno()
        wake_fd = other.its_wake_fd
        orders = Orders(run, tasks, upstream, folder, values, tuple(command), os.getpid(), wake_fd)
        other.order(orders.packed())

    def is_over(self) -> bool:
        """Take what came on the pipes; whether it and all its workers are gone."""
        over = _drained(self.wake_fd) is None
        said = _drained(self.said_fd)
        self.said = (self.said + (said or b""))[:_MOST_SAID]
        if over:
            self.exit_code = self._other.process.wait()
        return over

    def happened(self) -> Iterator[Line]:
        """What was written into its journal since the last call, each line with `facts` as it left
        them. Raises ZfError for a journal that cannot be read.
        """
        if self._journal is None:
            if not os.path.exists(f"{self.run_dir}/{JOURNAL}"):
                return
            limits = read.run_json(self.run_dir)["limits"]
            self._fold = Fold(read.plan_json(self.run_dir), limits)
            self.facts = self._fold.facts
            self._journal = GrowingJournal(self.run_dir)
        assert self._fold is not None
        for line in self._journal.more():
            self._fold.apply(line.event, line.mono, line.wall)
            yield line
        self.head = self._journal.head

    def supersede(self, tasks: Sequence[str], by: str) -> bool:
        """End these tasks, as that run takes their place; whether it could be told so."""
        with suppress(OSError):
            for task in tasks:
                lock.order(self._proofs, self.run, f"supersede {task} {by}")
            return True
        return False

    def interrupt(self, number: int) -> None:
        """End it as this signal ends a run: in order, and at once when it comes again."""
        if self._other.is_there():
            with suppress(ProcessLookupError):
                self._other.process.send_signal(number)

    def abandon(self) -> None:
        """The watcher cannot go on: it is told to end."""
        with suppress(ZfError, OSError):
            self.interrupt(signal.SIGTERM)

    def close(self) -> None:
        """Let go of what was open."""
        self._other.close()
        if self._journal is not None:
            self._journal.close()


def _drained(fd: int) -> bytes | None:
    """What can be read now; None when it has ended."""
    found = b""
    with suppress(BlockingIOError):
        while piece := os.read(fd, 65_536):
            found += piece
        return found or None
    return found
