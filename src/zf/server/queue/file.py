"""`queue.jsonl`: one process owns it, and appends; every other one reads it, as far as it is whole.

The lines are chained as those of a run's journal are, and written by the same code. Owning it is
holding the lock on `queue.lock` beside it, which a process that dies gives back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime

from zf.errors import Exit, ZfError, printable
from zf.events import timestamp
from zf.proof.files import APPEND, sync_folder, write_pieces
from zf.proof.journal import Chain, Journal, raw_lines
from zf.run.host.lock import try_lock
from zf.server.queue.fold import State, apply
from zf.server.queue.records import Record, record_from, said_of

QUEUE_FILE, QUEUE_LOCK = "queue.jsonl", "queue.lock"


class UnwritableError(ValueError):
    """A record has text which is none, and so no line."""


class QueueFile:
    """The queue of a project, owned by this process until it is closed."""

    def __init__(self, path: str, fd: int, lock_fd: int) -> None:
        """Raises ZfError (exit 1) for a file that is damaged before its last line."""
        self._path = path
        self._fd = fd
        self._lock_fd = lock_fd
        self._take_up()

    def _take_up(self) -> None:
        self.state, chain, size = _read(self._fd, self._path)
        if size < os.fstat(self._fd).st_size:  # what a crash left unfinished
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        self._journal = Journal(self._fd, seq=chain.seq, head=chain.head)

    @classmethod
    def own(cls, folder: str) -> QueueFile:
        """Take the queue of this folder; ZfError (exit 5) naming the process that has it."""
        found = cls.own_if_free(folder)
        if found is None:
            raise ZfError(
                f"the queue of this project is in use by {owner(folder) or 'another zf'}",
                exit_code=Exit.RUN_ID_TAKEN,
                code="ZF830",
                hint="one zf serve or zf ui keeps it; end that one first",
            )
        return found

    @classmethod
    def own_if_free(cls, folder: str) -> QueueFile | None:
        """The same, and None while another process has it. Raises ZfError (exit 1) for a file that
        is damaged before its last line, and changes nothing.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock_fd = os.open(f"{folder}/{QUEUE_LOCK}", flags, 0o600)
        fd = None
        try:
            if not try_lock(lock_fd, f"pid {os.getpid()} on {os.uname().nodename}"):
                os.close(lock_fd)
                return None
            path = f"{folder}/{QUEUE_FILE}"
            is_new = not os.path.lexists(path)
            fd = os.open(path, APPEND | os.O_CREAT, 0o600)
            if is_new:
                sync_folder(folder)
            return cls(path, fd, lock_fd)
        except BaseException:
            for one in (fd, lock_fd):
                if one is not None:
                    os.close(one)
            raise

    def write(self, records: Sequence[Record], now: float) -> None:
        """Take these records in, in order: they are on the disk when this returns.

        Raises OSError when they may not be; then nothing more is taken. Raises UnwritableError, and
        changes nothing, for records that no line can say.
        """
        try:
            said = [said_of(record) for record in records]
        except ValueError as error:
            raise UnwritableError(str(error)) from None
        # As exactly as the line says it, so that another fold of the lines is the same.
        now = round(now * 1_000_000) / 1_000_000
        for record, line in zip(records, said, strict=True):
            apply(self.state, record, now)
            self._journal.append_said(line, timestamp(now), time.monotonic())
        self._journal.commit()

    def renew(self) -> None:
        """Go on after a failed write with the lines that are whole, written anew: it is not known
        what of the old file is on the disk. Raises OSError while that cannot be done.
        """
        _, _, size = _read(self._fd, self._path)
        with open(self._path, "rb") as file:
            write_pieces(self._path, (file.read(size),))
        new = os.open(self._path, APPEND)
        os.dup2(new, self._fd, inheritable=False)
        os.close(new)
        self._take_up()

    def close(self) -> None:
        """Give the queue back."""
        os.close(self._fd)
        os.ftruncate(self._lock_fd, 0)
        os.close(self._lock_fd)


def read(folder: str) -> State:
    """What the queue is, whichever process owns it; empty where there is none."""
    path = f"{folder}/{QUEUE_FILE}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return State()
    try:
        return _read(fd, path)[0]
    finally:
        os.close(fd)


def owner(folder: str) -> str:
    """Which process has the queue, as it says itself: `pid N on HOST`; empty for none."""
    try:
        with open(f"{folder}/{QUEUE_LOCK}", encoding="utf-8", errors="replace") as file:
            return printable(file.readline(200).rstrip("\n"))
    except FileNotFoundError:
        return ""


def _read(fd: int, path: str) -> tuple[State, Chain, int]:
    state, chain, size = State(), Chain(), 0
    with os.fdopen(os.dup(fd), "rb") as stream:
        stream.seek(0)
        for raw in raw_lines(stream):
            if not raw.endswith(b"\n"):
                break
            try:
                said = chain.accept(raw[:-1])
                at = datetime.fromisoformat(said["wall"]).timestamp()
                apply(state, record_from(said), at)
            except (ValueError, TypeError) as error:
                raise ZfError(
                    f"{printable(path)}: line {state.lines + 1} is damaged: {error}",
                    exit_code=Exit.FAILED,
                    code="ZF831",
                    hint="it was left as it is; put it aside to begin a new queue",
                ) from None
            size += len(raw)
    return state, chain, size
