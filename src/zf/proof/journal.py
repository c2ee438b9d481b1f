"""The run's journal, `events.jsonl`: append-only, one event a line, each line hashed into the next.

One writer, the runner. A torn last line (a crash while writing) is recognised and dropped when the
run is taken up again; damage anywhere else is reported and never repaired. What the events mean is
`events/`' business.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from zf.errors import ZfError, in_shell
from zf.events import Event, RunStarted, from_json, to_json
from zf.lean.encoder import encoder
from zf.lean.records import Struct, field
from zf.proof.files import APPEND, READ, sync_folder
from zf.proof.layout import JOURNAL

if TYPE_CHECKING:
    from hashlib import _Hash as HASH
    from json import JSONDecoder

GENESIS = "0" * 64
# A blocked task names its unmet needs; 16 MiB is some hundred thousand of them.
MAX_LINE_BYTES = 16 * 1024 * 1024

# macOS has no fdatasync; there fsync is what Python offers.
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class JournalDamagedError(ZfError):
    """The journal is damaged before its last line; it is left exactly as it was found."""


class Line(Struct, frozen=True):
    """One intact line: when it was written, by both clocks, and what it says."""

    seq: int
    wall: str
    mono: float
    event: Event


class JournalReading(Struct, frozen=True):
    """What a journal holds up to its end or to the first damage.

    `head` is the hash of the last intact line, `size` the bytes up to and including it. `torn`
    says that unfinished bytes follow it, `damage` what is wrong with the first bad line.
    """

    lines: tuple[Line, ...]
    head: str
    size: int
    torn: bool
    damage: str | None

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(line.event for line in self.lines)


class Journal:
    """The writing side: `append` buffers, `commit` makes everything appended durable.

    After a failed write nothing more is accepted: what reached the disk is then unknown, and a
    second fsync would report success without meaning it.
    """

    __slots__ = ("_buffer", "_failed", "_fd", "_hash", "_head", "_run", "_seq", "_unsynced")

    def __init__(
        self,
        fd: int,
        *,
        seq: int = 0,
        head: str = GENESIS,
        run: str = "",
        written: HASH | None = None,
    ) -> None:
        self._fd = fd
        self._hash = written or sha256()
        self._seq = seq
        self._head = head
        self._run = f'"run":{_encode(run)},' if run else ""
        self._buffer: list[bytes] = []
        self._failed = False
        self._unsynced = False

    @classmethod
    def create(cls, path: str) -> Self:
        """A new, empty journal; raises FileExistsError if there is one."""
        fd = os.open(path, APPEND | os.O_CREAT | os.O_EXCL, 0o666)
        sync_folder(os.path.dirname(path))
        return cls(fd)

    @classmethod
    def reopen(cls, path: str) -> tuple[Self, JournalReading]:
        """Take a journal up again where it ended, without its torn tail if it had one.

        Raises JournalDamagedError, changing nothing, when damage is found before the last line.
        """
        # Read and written through one descriptor: what is gone on with is what was looked at.
        fd = os.open(path, APPEND)
        try:
            written = sha256()
            reading = _read_fd(fd, path, written)
            _refuse_damaged(path, reading)
            if reading.torn:
                os.ftruncate(fd, reading.size)
                _datasync(fd)
        except BaseException:
            os.close(fd)
            raise
        first = reading.lines[0].event if reading.lines else None
        run = first.run if isinstance(first, RunStarted) else ""
        seq = len(reading.lines)
        return cls(fd, seq=seq, head=reading.head, run=run, written=written), reading

    @property
    def head(self) -> str:
        """The hash of the last line appended: 64 zeros before the first."""
        return self._head

    @property
    def sha256(self) -> str:
        """The SHA-256 of all that was written, whatever lies at the journal's path by now."""
        return self._hash.hexdigest()

    def read_back(self) -> JournalReading:
        """All that was written so far, through the descriptor it was written with."""
        self.flush()
        return _read_fd(self._fd, JOURNAL)

    def append(self, event: Event, wall: str, mono: float) -> None:
        """Add one line; `wall` is UTC in RFC 3339 with microseconds, `mono` monotonic seconds."""
        if self._seq == 0:
            if not isinstance(event, RunStarted):
                raise ValueError("a journal begins with run_started")
            self._run = f'"run":{_encode(event.run)},'
            said = {k: v for k, v in to_json(event).items() if k != "run"}
        else:
            said = to_json(event)
        self.append_said(said, wall, mono)

    def append_said(self, said: Mapping[str, Any], wall: str, mono: float) -> None:
        """The same for a journal of something else than a run: the object that the line is, without
        what every line has.
        """
        if self._failed:
            raise OSError("the journal could not be written before; it takes no more events")
        body = _encode(said)
        # The envelope is the same for every event, so it is formatted, not encoded: this keeps
        # an append near 5 us.
        line = (
            f'{{"seq":{self._seq},"prev":"{self._head}","wall":"{wall}","mono":{mono:.6f},'
            f"{self._run}{body[1:]}"
        ).encode("ascii")
        self._head = sha256(line).hexdigest()
        self._seq += 1
        self._buffer.append(line)

    def flush(self) -> None:
        """Hand everything appended to the system, in one write: it survives a kill from here on."""
        if not self._buffer:
            return
        self._buffer.append(b"")
        data = memoryview(b"\n".join(self._buffer))
        self._buffer.clear()
        self._hash.update(data)
        # Only success clears this: an error, and an interruption too, leave the file's end unknown.
        self._failed = True
        while data:
            data = data[os.write(self._fd, data) :]
        self._failed = False
        self._unsynced = True

    def commit(self) -> None:
        """Make everything appended survive a power cut too: a flush and one fdatasync."""
        self.flush()
        if self._unsynced:
            self._failed = True
            _datasync(self._fd)
            self._failed = False
            self._unsynced = False

    def close(self) -> None:
        """Give the file back; what was appended and not committed is forgotten."""
        os.close(self._fd)


def _refuse_damaged(path: str, reading: JournalReading) -> None:
    if reading.damage is not None:
        raise JournalDamagedError(
            f"{path}: the journal is damaged: {reading.damage}",
            code="ZF601",
            hint=f"it was left as it is; zf verify {in_shell(os.path.dirname(path))} says what else"
            " changed",
        )


class Chain(Struct):
    """Checks lines one after the other: each must follow, by number and hash, the one before."""

    seq: int = 0
    head: str = field(default=GENESIS)

    def accept(self, raw: bytes) -> dict[str, Any]:
        """The object on the next line, given without its newline; ValueError says what is wrong."""
        data = decode(raw)
        if type(data) is not dict:
            raise ValueError("not a JSON object")
        seq, prev = data.get("seq"), data.get("prev")
        if type(seq) is not int or seq != self.seq:
            raise ValueError(f"sequence number {str(seq)[:40]} where {self.seq} belongs")
        if prev != self.head:
            raise ValueError("does not carry the hash of the line before it")
        if type(data.get("wall")) is not str or type(data.get("mono")) not in {int, float}:
            raise ValueError("lacks its clocks")
        self.seq += 1
        self.head = sha256(raw).hexdigest()
        return data


def _read_fd(fd: int, path: str, written: HASH | None = None) -> JournalReading:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(f"{path}: not a regular file")
    with os.fdopen(fd, "rb", closefd=False) as stream:
        stream.seek(0)
        return read_stream(stream, written)


def read_stream(stream: BinaryIO, written: HASH | None = None) -> JournalReading:
    """The journal in an open file, whatever it says; `written` takes in the bytes of the lines that
    count. Raises OSError when it cannot be read.
    """
    chain, lines, size = Chain(), [], 0
    torn, damage = False, None
    for raw in raw_lines(stream):
        if not raw.endswith(b"\n"):
            torn, damage = len(raw) <= MAX_LINE_BYTES, _overlong(raw, chain.seq)
            break
        head = chain.head
        try:
            data = chain.accept(raw[:-1])
            lines.append(Line(data["seq"], data["wall"], data["mono"], from_json(data)))
        except (ValueError, TypeError) as error:
            damage = f"line {len(lines) + 1}: {error}"
            chain.head = head
            break
        size += len(raw)
        if written is not None:
            written.update(raw)
    return JournalReading(tuple(lines), chain.head, size, torn, damage)


def raw_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines with their newlines; one longer than MAX_LINE_BYTES comes cut, and is the last."""
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        yield raw
        if not raw.endswith(b"\n"):
            return


def _overlong(raw: bytes, number: int) -> str | None:
    if len(raw) <= MAX_LINE_BYTES:
        return None
    return f"line {number + 1}: longer than {MAX_LINE_BYTES} bytes"


def decode(raw: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN; ValueError for anything else."""
    try:
        return _decoder().decode(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


@cache
def _decoder() -> JSONDecoder:
    from json import JSONDecoder  # noqa: PLC0415 - 2 ms; a new run reads no journal

    return JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_encode = encoder()


def last_line(path: str, *, block_bytes: int = 65_536) -> bytes | None:
    """The last whole line, read from the end; None when there is none. Its chain is not checked."""
    with suppress(OSError), os.fdopen(os.open(path, READ), "rb") as stream:
        return _last_line(stream, block_bytes)
    return None


def _last_line(stream: BinaryIO, block_bytes: int) -> bytes | None:
    end = stream.seek(0, os.SEEK_END)
    tail = b""
    while end > 0 and len(tail) <= MAX_LINE_BYTES:
        start = max(0, end - block_bytes)
        stream.seek(start)
        tail = stream.read(end - start) + tail
        end = start
        whole, newline, _torn = tail.rpartition(b"\n")
        if newline and (b"\n" in whole or end == 0):
            return whole.rpartition(b"\n")[2]
    return None
