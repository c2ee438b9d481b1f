"""Journals that grow, each followed once however many clients look on.

What is kept of a journal is where its lines end: 8 bytes a line. The lines themselves are read from
the file when a client has room for them, so a client that reads nothing holds nothing; for all who
keep up they are read and made ready once.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Callable

from zf.events import RunEnded
from zf.events.records import NAMES
from zf.proof import read
from zf.proof.growing import GrowingJournal
from zf.proof.layout import JOURNAL
from zf.run.host.lock import has_runner

# Between two looks at a journal, and between two at whether anything still writes it.
_LOOK_S = 0.1
_ALIVE_S = 1.0
# Once something was told, what comes next waits: the more look on, the more is sent at a time, for
# they are not to take from the run what it could have used. What comes after silence does not wait.
_MANY, _LONGEST_PAUSE_S = 40, 0.5
_ENDED = NAMES[RunEnded]
# Lines that are taken in at a time, so that many clients are served meanwhile.
_AT_ONCE = 2000
# What a quick run writes between two looks, as each piece costs as much again for each client; no
# more, as one that takes nothing may hold a piece.
_PIECE_BYTES = 256 * 1024
# More than are written between two looks: each client takes all of them before the next one does.
_MOST_PIECES = 8


class Tail:
    """The journal of one run, as far as its chain holds. Raises ZfError when there is none."""

    def __init__(self, proofs: str, run: str) -> None:
        self.run = run
        # Whether its last line is there; or, without one, whether no zf runs it any more.
        self.ended = False
        self.dead = False
        self.closing = False
        self._proofs = proofs
        run_dir = f"{proofs}/{run}"
        self._journal = GrowingJournal(run_dir)
        self._stream = read.open_file(run_dir, JOURNAL)
        self._ends = array("Q")
        # Pieces that were made last, by their first line, each with the number behind its last.
        self._pieces: dict[int, tuple[bytes, int]] = {}
        # Called once there is more, and when no more will come.
        self.watchers: set[Callable[[], None]] = set()

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._ends)

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return self._ends[-1] if self._ends else 0

    @property
    def over(self) -> bool:
        """Whether no line will come any more."""
        return self.ended or self.dead or self.closing

    def lines(self, first: int) -> list[bytes]:
        """Lines from this number on, without their newlines: as many as make a piece, one at
        least.
        """
        last = first
        start = self._ends[first - 1] if first else 0
        while last + 1 < self.count and self._ends[last + 1] - start <= _PIECE_BYTES:
            last += 1
        data = os.pread(self._stream.fileno(), self._ends[last] - start, start)
        return data.removesuffix(b"\n").split(b"\n")

    def piece(self, first: int, make: Callable[[int, list[bytes]], bytes]) -> tuple[bytes, int]:
        """What `make` makes of the lines from this number on, and the number of the line behind
        them. It has to make the same for every client.
        """
        found = self._pieces.get(first)
        if found is None:
            lines = self.lines(first)
            found = self._pieces[first] = make(first, lines), first + len(lines)
            if len(self._pieces) > _MOST_PIECES:
                del self._pieces[next(iter(self._pieces))]
        return found

    async def follow(self) -> None:
        """Take in what is written, until the end."""
        silent_s = 0.0
        while not self.over:
            taken = await asyncio.to_thread(self._take)
            if taken:
                silent_s = 0.0
                self._tell()
                if taken >= _AT_ONCE:
                    continue
            elif silent_s >= _ALIVE_S:
                silent_s = 0.0
                await self._look_for_life()
                continue
            many = max(1.0, len(self.watchers) / _MANY) if taken else 1.0
            pause_s = min(_LOOK_S * many, _LONGEST_PAUSE_S)
            if not self.over:
                await asyncio.sleep(pause_s)
            silent_s += pause_s
        self._tell()

    def close(self) -> None:
        """The server ends: so do all streams."""
        self.closing = True
        self._tell()

    def release(self) -> None:
        """Nothing looks on any more."""
        self._journal.close()
        self._stream.close()

    def _take(self) -> int:
        taken = 0
        for said in self._journal.objects():
            self._ends.append(self._journal.offset)
            taken += 1
            if said.get("type") == _ENDED:
                self.ended = True
            if taken >= _AT_ONCE:
                break
        return taken

    async def _look_for_life(self) -> None:
        if not await asyncio.to_thread(has_runner, self._proofs, self.run):
            # It may have written its end just before it went.
            self.dead = not await asyncio.to_thread(self._take) and not self.ended

    def _tell(self) -> None:
        for watch in [*self.watchers]:
            watch()


class Tails:
    """The journals that are followed now."""

    def __init__(self, proofs: str) -> None:
        self._proofs = proofs
        # The newest of each run; those that are followed, and for how many clients.
        self._open: dict[str, Tail] = {}
        self._tasks: dict[Tail, asyncio.Task[None]] = {}
        self._users: dict[Tail, int] = {}

    def attach(self, run: str) -> Tail:
        """The tail of a run's journal, for one more client. Raises ZfError when there is none."""
        found = self._open.get(run)
        # One that was dead may have been resumed: whether it was is seen anew.
        if found is None or found.dead:
            found = self._open[run] = Tail(self._proofs, run)
            self._tasks[found] = asyncio.get_running_loop().create_task(found.follow())
        self._users[found] = self._users.get(found, 0) + 1
        return found

    def detach(self, tail: Tail) -> None:
        """One client less; without any, nothing is followed."""
        self._users[tail] -= 1
        if self._users[tail]:
            return
        del self._users[tail]
        if self._open.get(tail.run) is tail:
            del self._open[tail.run]
        task = self._tasks.pop(tail)
        if task.done():
            tail.release()
        else:
            task.cancel()
            task.add_done_callback(lambda _: tail.release())

    def close(self) -> None:
        """End every stream."""
        for tail in self._tasks:
            tail.close()


class Attached:
    """A tail for as long as a client looks on."""

    def __init__(self, tails: Tails, run: str) -> None:
        self._tails = tails
        self._tail = tails.attach(run)

    def __enter__(self) -> Tail:
        return self._tail

    def __exit__(self, *_: object) -> None:
        self._tails.detach(self._tail)
