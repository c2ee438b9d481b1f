"""Frames between a runner and an agent: what one side says, each hashed into the next.

A frame is its length (4 bytes, big-endian, of all that follows), its kind (1 byte), the length of
its header (4 bytes), the header (a JSON object in UTF-8), and a body of bytes. The header's `prev`
is the SHA-256, in hex, of the whole frame before it from the same side; the first one names
`BEGINNING`. So a frame that was dropped, doubled, changed or moved is noticed with the next one.

The agent says `MAGIC` before its first frame: what a login shell prints before that is passed over.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from zf.lean.encoder import decoder, encoder
from zf.lean.records import Struct

# The version of all that is said here. Both sides must have the same.
PROTOCOL = 1
MAGIC = b"\nzf-agent\n"
BEGINNING = "0" * 64
PIECE_BYTES = 256 * 1024
# Of one frame: the plan of 100 000 tasks goes in one.
MAX_BYTES = 256 * 1024 * 1024
# What may be printed before an agent says that it is one.
MAX_NOISE_BYTES = 64 * 1024

# What a runner says. HELLO is its first word, and an agent says nothing before that: what something
# prints is lost until kubectl has attached to it.
BEGIN, EXTEND, START, WORD, KILL = b"B", b"X", b"S", b"M", b"K"
RENEW, PIECE, BYE = b"R", b"P", b"Q"
# What an agent says. It says HELLO, PIECE and BYE, too.
# BUSY: nothing more until READY.
HELLO, WANT, BUSY, READY, LOG = b"H", b"W", b"U", b"Y", b"L"
ALIVE, TOLD, END = b"A", b"T", b"E"
_KINDS = frozenset(b"BXSMKRPQHWUYLATE")

_HEAD = struct.Struct(">IBI")
_LENGTH = struct.Struct(">I")
_to_json, _from_json = encoder(), decoder()

# What is to be said: the kind, header and body of each frame, made when it is its turn.
Saying = Iterator[tuple[bytes, Mapping[str, Any], bytes]]


class FrameError(ValueError):
    """What came is not what the other side said, or it is no other side of ours."""


class Frame(Struct, frozen=True):
    """What was said; `body` is empty for most."""

    kind: bytes
    header: Mapping[str, Any]
    body: bytes = b""


class Speaker:
    """Makes the frames of one side."""

    def __init__(self) -> None:
        self._prev = BEGINNING

    def frame(self, kind: bytes, header: Mapping[str, Any], body: bytes = b"") -> bytes:
        """The bytes of the next frame, which is to be sent before any other is made."""
        head = _to_json({**header, "prev": self._prev}).encode()
        whole = _HEAD.pack(5 + len(head) + len(body), kind[0], len(head)) + head + body
        self._prev = sha256(whole).hexdigest()
        return whole

    def next_of(self, queue: deque[Saying]) -> bytes:
        """The next frames of what is to be said, as many as make a piece: whatever is written wakes
        the other side. Raises OSError of what the frames are made of.
        """
        said, size = [], 0
        while queue and size < PIECE_BYTES:
            one = next(queue[0], None)
            if one is None:
                queue.popleft()
            else:
                said.append(self.frame(*one))
                size += len(said[-1])
        return b"".join(said)


class Splitter:
    """Takes what the other side says apart into whole frames, for one who hands them on and reads
    at most what kind they are. `said_magic`: it is another side of ours.
    """

    def __init__(self, *, after_magic: bool = False) -> None:
        self._pending = b""
        self.said_magic = not after_magic

    @property
    def noise(self) -> str:
        """What came instead of an agent's first word."""
        return "" if self.said_magic else self._pending.decode("utf-8", "backslashreplace")

    def split(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole by now. Raises FrameError; nothing more is to be given then."""
        self._pending += data
        if not self.said_magic and not self._find_magic():
            return
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if not 5 <= length <= MAX_BYTES:
                raise FrameError(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            whole, self._pending = self._pending[:end], self._pending[end:]
            yield whole

    def _find_magic(self) -> bool:
        # Where nothing was printed before it, the empty line it begins with is all there is.
        at = self._pending.find(MAGIC)
        if at < 0:
            if len(self._pending) > MAX_NOISE_BYTES:
                raise FrameError("it prints, and is no agent")
            return False
        self._pending = self._pending[at + len(MAGIC) :]
        self.said_magic = True
        return True


class Listener(Splitter):
    """Takes the frames of the other side apart, each of which follows the one before it."""

    def __init__(self, *, after_magic: bool = False) -> None:
        super().__init__(after_magic=after_magic)
        self._prev = BEGINNING

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole by now. Raises FrameError; nothing more is to be fed then."""
        for whole in self.split(data):
            yield self._taken(whole)

    def _taken(self, whole: bytes) -> Frame:
        kind, header, size = _read(whole)
        if header.pop("prev", None) != self._prev:
            raise FrameError("a frame that does not follow the one before it")
        self._prev = sha256(whole).hexdigest()
        return Frame(kind, header, whole[_HEAD.size + size :])


def kind_of(whole: bytes) -> bytes:
    """What kind a whole frame is."""
    return whole[_LENGTH.size : _LENGTH.size + 1]


def header_of(whole: bytes) -> Mapping[str, Any]:
    """What a whole frame says, whatever it follows. Raises FrameError."""
    return _read(whole)[1]


def _read(whole: bytes) -> tuple[bytes, dict[str, Any], int]:
    """The kind of a whole frame, its header, and how long that is there."""
    _, kind, size = _HEAD.unpack_from(whole)
    if kind not in _KINDS or _HEAD.size + size > len(whole):
        raise FrameError("a frame of no known form")
    try:
        header = _from_json(whole[_HEAD.size : _HEAD.size + size].decode())
    except ValueError:
        raise FrameError("a frame whose header is no JSON") from None
    if not isinstance(header, dict):
        raise FrameError("a frame whose header is none")
    return bytes((kind,)), header, size
