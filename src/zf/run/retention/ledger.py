"""`proofs/retention.jsonl`: a line for each run that was pruned, held or released, each hashed into
the next as the lines of a journal are; the tombstones of runs that are gone.

It is appended to by one process at a time, and never rewritten. What a crash left unfinished at its
end is dropped by the next that appends; damage anywhere else is reported, and then nothing is
removed any more.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, Self

from zf.errors import Exit, ZfError, printable
from zf.events import timestamp
from zf.lean.encoder import encoder
from zf.lean.records import Struct
from zf.proof.files import APPEND, READ, sync_folder, write_all
from zf.proof.journal import GENESIS, MAX_LINE_BYTES, Chain, raw_lines
from zf.proof.layout import RETENTION
from zf.proof.source.provenance import user_name
from zf.report.words import moment

PRUNED, HELD, RELEASED = "run_pruned", "run_held", "run_released"

_encode = encoder()


class Entry(Struct, frozen=True):
    """One line: of which kind, about which run, when it was written, and all that it says."""

    kind: str
    run: str
    wall: str
    said: Mapping[str, Any]

    @property
    def by(self) -> str:
        """Who wrote it, as `user@host`."""
        return f"{self.text('user')}@{self.text('host')}"

    def text(self, name: str) -> str:
        """What it says under this name, for people."""
        return printable(str(self.said.get(name) or "")).strip()


class Ledger:
    """What the file says, as far as it was read: `catch_up` reads on."""

    def __init__(self, fd: int | None, path: str) -> None:
        self._fd = fd
        self._path = path
        self._chain = Chain()
        self.size = 0
        self.entries: list[Entry] = []
        # The hash of each line, in order: one that was noted once must be among them for ever.
        self.heads: list[str] = []
        self.damage: str | None = None
        self.is_torn = False

    @classmethod
    def read(cls, proofs: str) -> Self:
        """What is there now; ZfError (exit 1) for a file that can be none of zf's."""
        path = f"{proofs}/{RETENTION}"
        try:
            fd = os.open(path, READ)
        except FileNotFoundError:
            return cls(None, path)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from None
        try:
            found = cls(fd, path)
            found.catch_up()
        finally:
            os.close(fd)
        return found

    @property
    def head(self) -> str:
        """The hash of the last line: 64 zeros before the first."""
        return self._chain.head if self.heads else GENESIS

    @property
    def pruned(self) -> dict[str, Entry]:
        """The newest tombstone of each run that has one. A run may be there all the same: pruning
        it was cut short, or it came back out of an archive.
        """
        return {entry.run: entry for entry in self.entries if entry.kind == PRUNED}

    @property
    def held(self) -> dict[str, Entry]:
        """The runs that are held now, each by the line that says so."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.kind == HELD:
                found[entry.run] = entry
            else:
                found.pop(entry.run, None)
        return found

    def catch_up(self) -> None:
        """Read on from where the last look ended."""
        if self._fd is None or self.damage is not None:
            return
        info = os.fstat(self._fd)
        if not stat.S_ISREG(info.st_mode):
            raise _unusable(self._path, "it is no file")
        data = os.pread(self._fd, max(0, info.st_size - self.size), self.size)
        self.is_torn = False
        for raw in raw_lines(BytesIO(data)):
            if not raw.endswith(b"\n"):
                self.is_torn = len(raw) <= MAX_LINE_BYTES
                self.damage = None if self.is_torn else f"line {len(self.heads) + 1} is too long"
                return
            try:
                self._take(raw[:-1])
            except ValueError as error:
                self.damage = f"line {len(self.heads) + 1}: {error}"
                return
            self.size += len(raw)

    def _take(self, raw: bytes) -> None:
        before = self._chain.seq, self._chain.head
        try:
            entry = _entry(self._chain.accept(raw))
        except ValueError:
            self._chain.seq, self._chain.head = before
            raise
        self.entries.append(entry)
        self.heads.append(self._chain.head)

    def refuse_damaged(self) -> None:
        """Raises ZfError (exit 1) for a file whose chain does not hold."""
        if self.damage is not None:
            raise _unusable(self._path, self.damage)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While nothing else appends; what others had appended was read. Raises ZfError (exit 1)
        when the chain does not hold.
        """
        assert self._fd is not None
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self.catch_up()
            self.refuse_damaged()
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def append(
        self, kind: str, run: str, said: Mapping[str, Any], then: Callable[[], object] | None = None
    ) -> Entry:
        """Write a line that lasts, while it is locked, and do `then` what it says. Raises OSError
        when either fails, and then the line is not there.
        """
        assert self._fd is not None
        line = {
            "seq": self._chain.seq,
            "prev": self.head,
            "wall": timestamp(time.time()),
            "mono": round(time.monotonic(), 6),
            "run": run,
            "type": kind,
            **said,
            "user": user_name(),
            "host": os.uname().nodename,
        }
        raw = _encode(line).encode("ascii")
        try:
            if os.fstat(self._fd).st_size != self.size:
                os.ftruncate(self._fd, self.size)  # what a crash left unfinished
            write_all(self._fd, raw + b"\n")
            os.fsync(self._fd)
            if then is not None:
                then()
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self._take(raw)
        self.size += len(raw) + 1
        return self.entries[-1]


def _entry(said: Mapping[str, Any]) -> Entry:
    kind, run = said.get("type"), said.get("run")
    if type(kind) is str and type(run) is str:
        return Entry(kind, run, said["wall"], said)
    raise ValueError("names no run")


@contextmanager
def opened(proofs: str) -> Iterator[Ledger]:
    """The file to append to, made if it is not there. Raises ZfError (exit 1), OSError."""
    path = f"{proofs}/{RETENTION}"
    try:
        fd = os.open(path, APPEND)
    except FileNotFoundError:
        fd = os.open(path, APPEND | os.O_CREAT, 0o644)
        sync_folder(proofs)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    try:
        found = Ledger(fd, path)
        found.catch_up()
        found.refuse_damaged()
        yield found
    finally:
        os.close(fd)


class PrunedError(ZfError):
    """The run that was named is not there any more: `entry` is its tombstone."""

    def __init__(self, entry: Entry) -> None:
        name = printable(entry.run)
        why = entry.text("reason") or entry.text("why")
        super().__init__(
            f"run {name!r} was pruned {moment(entry.wall)} by {entry.by}: {why}",
            code="ZF613",
            hint=f"zf verify {name} says what it came to, and which head it had",
        )
        self.entry = entry


def told(entry: Entry) -> str:
    """What a tombstone says, for people: when and by whom the run was pruned, and what it was."""
    rows = {
        "PRUNED": f"{moment(entry.wall)} by {entry.by}: {entry.text('why')}",
        "REASON": entry.text("reason"),
        "RESULT": f"{entry.text('result').upper()}, ended {moment(entry.text('ended_at'))}",
        "COMMIT": entry.text("commit"),
        "HEAD": entry.text("head"),
        "MANIFEST": entry.text("manifest_sha256"),
    }
    verdicts = entry.said.get("verdicts")
    if isinstance(verdicts, dict):
        rows |= {printable(name): printable(str(state)).upper() for name, state in verdicts.items()}
    lines = [f"{name:<9}  {text}" for name, text in rows.items() if text]
    lines.append(
        "Nothing of the run is left to verify: this is what was found before it was removed."
    )
    return "\n".join(lines)


def refuse_pruned(proofs: str, run: str, *, whole: bool = False) -> None:
    """Raises PrunedError for a run with a tombstone that is named so or, unless that must be the
    `whole` id, begins so. Only for one that is not there: what is there counts, whatever the file
    says. ZfError (exit 1) for a file that can be none of zf's.
    """
    pruned = Ledger.read(proofs).pruned
    begin = [run] if run in pruned else [name for name in pruned if name.startswith(run)]
    if run and len(begin) == 1 and (not whole or run in pruned):
        raise PrunedError(pruned[begin[0]])


def _unusable(path: str, why: str) -> ZfError:
    return ZfError(
        f"{printable(path)} cannot be used: {printable(why)}",
        exit_code=Exit.FAILED,
        code="ZF614",
        hint="it says which runs are held, so nothing is removed; take it from a backup, or move it"
        " away if what it said may be forgotten",
    )
