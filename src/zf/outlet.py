"""Writing to a descriptor without ever waiting for its reader: what it does not take yet is kept.

A pipe that is full and a terminal stopped with Ctrl-S take nothing, perhaps for hours. A run has
clocks to keep, so it cannot wait for them. Switching a descriptor to non-blocking would do that to
every process that shares it (the shell, the other end of `2>&1`), so it is opened a second time.
"""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

# Text that is kept for a slow reader: ten thousand lines, and next to nothing beside a run.
_MOST_BYTES = 1024 * 1024
# Written before the caller gets its turn again.
_AT_ONCE_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
# POSIX: a pipe that is ready to be written takes this much (_POSIX_PIPE_BUF) without blocking.
_SAFE_BYTES = 512


def no_notice(_lines: int) -> str:
    """Nothing is said of lines that were dropped."""
    return ""


class Outlet:
    """Text on its way to one descriptor. Lines that find no room are dropped, counted, and
    replaced by what `notice` says of that number.
    """

    def __init__(self, fd: int, notice: Callable[[int], str] = no_notice) -> None:
        self.notice = notice
        # Why nothing can be written any more.
        self.error: OSError | None = None
        # Whether any line was dropped since it was opened.
        self.has_dropped = False
        self._fd = fd
        self._write: Callable[[bytes], int]
        self._queue: deque[bytes | Iterator[bytes]] = deque()
        self._kept = 0
        self._dropped = 0
        self._open()

    @property
    def pending(self) -> bool:
        """Whether there is anything that the reader has not taken yet."""
        return bool(self._queue or self._dropped)

    def fileno(self) -> int:
        """What becomes writable when the reader takes more."""
        return self._fd

    def put(self, text: str) -> None:
        """Write whole lines now, or as soon as `pump` can; never raises, never waits."""
        if self.error is not None:
            return
        data = text.encode("utf-8", "backslashreplace")
        # Something that is larger than all the room is still taken when nothing else is there.
        if self._kept and self._kept + len(data) > _MOST_BYTES:
            self._dropped += text.count("\n")
            self.has_dropped = True
            return
        self._say_what_was_dropped()
        self._queue.append(data)
        self._kept += len(data)
        self.pump()

    def follow(self, pieces: Iterator[bytes]) -> None:
        """Write what `pieces` gives, asking it for more only when there is room: what comes from a
        file can wait there, and none of it is dropped.
        """
        if self.error is None:
            self._say_what_was_dropped()
            self._queue.append(pieces)
            self.pump()

    def pump(self) -> None:
        """Write what can be written now."""
        left = _AT_ONCE_BYTES
        try:
            while left > 0 and (piece := self._next()):
                written = self._write(piece)
                left -= written
                self._kept -= written
                if written < len(piece):
                    self._queue.appendleft(piece[written:])
                if not written:
                    break
        except OSError as error:
            self.error = error
            self._queue.clear()
            self._kept = self._dropped = 0

    def drain(self, patience_s: float | None = None) -> bool:
        """Wait until all is written; with `patience_s` only while the reader takes something that
        often. Whether it is.
        """
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        while True:
            self.pump()
            if not self.pending:
                return self.error is None
            if not ready.poll(None if patience_s is None else patience_s * 1000):
                self._queue.clear()
                self._kept = self._dropped = 0
                return False

    def _next(self) -> bytes:
        """The next piece, taken out of the queue; empty when there is none."""
        while True:
            if not self._queue:
                self._say_what_was_dropped()
                if not self._queue:
                    return b""
            first = self._queue[0]
            if isinstance(first, bytes):
                self._queue.popleft()
                if len(first) > _PIECE_BYTES:
                    self._queue.appendleft(first[_PIECE_BYTES:])
                    first = first[:_PIECE_BYTES]
                return first
            piece = next(first, None)
            if piece is None:
                self._queue.popleft()
            elif piece:
                self._kept += len(piece)
                return piece

    def _say_what_was_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped and (data := self.notice(dropped).encode()):
            self._queue.append(data)
            self._kept += len(data)

    def _open(self) -> None:
        try:
            mode = os.fstat(self._fd).st_mode
            if stat.S_ISSOCK(mode):
                self._write = _to_socket(self._fd)
            elif stat.S_ISFIFO(mode) or os.isatty(self._fd):
                self._write = self._to_reader(_opened_again(self._fd))
            else:
                self._write = self._plainly
        except OSError as error:
            self.error = error

    def _plainly(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def _to_reader(self, again: int) -> Callable[[bytes], int]:
        if again >= 0:
            self._fd = again
            return self._if_possible
        # Opened by another user, or there is no /proc: the system says when it has room for a bit.
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)

        def write(data: bytes) -> int:
            return self._if_possible(data[:_SAFE_BYTES]) if ready.poll(0) else 0

        return write

    def _if_possible(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0


def say_if_possible(text: str) -> None:
    """Say something on stderr if that can be done without waiting; for processes that are not to
    be held up by a display, whatever they have to say.
    """
    Outlet(2).put(text)


def _opened_again(fd: int) -> int:
    """The pipe or terminal behind a descriptor, opened for writing without blocking; -1 where that
    is not possible.
    """
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{fd}", flags)
    with suppress(OSError):
        return os.open(os.ttyname(fd), flags)
    return -1


def _to_socket(fd: int) -> Callable[[bytes], int]:
    import socket  # noqa: PLC0415 - hardly any display is one

    def write(data: bytes) -> int:
        sock = socket.socket(fileno=fd)
        try:
            return sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        finally:
            sock.detach()  # it is not ours to close

    return write
