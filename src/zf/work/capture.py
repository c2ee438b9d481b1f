"""A step's output on its way from the pipe to the log: redacted, hashed, written, memory flat.

The step holds a pipe and nothing else, so it can neither rewrite nor truncate its log.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from zf.model import DEFAULT_MAX_LOG_BYTES
from zf.proof.files import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.redact.stream import Stream

# What a pipe holds when it is made. A read that fills it means a step that writes a lot: then pipe
# and buffer grow, which makes a GiB a third cheaper, and quiet tasks never pay for a big buffer.
_SMALL_BYTES = 64 * 1024
_LARGE_BYTES = 1024 * 1024
_AT_HAND_BYTES = 4 * _LARGE_BYTES
# Of what comes after the step: enough for the lines that are shown of a log.
_REST_BYTES = 8 * 1024


class Buffer:
    """Read into again and again; belongs to a worker and is used by one capture at a time."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_SMALL_BYTES))

    def grow(self) -> None:
        if len(self.view) < _LARGE_BYTES:
            self.view = memoryview(bytearray(_LARGE_BYTES))
            # What glibc has been given back once, it keeps at hand from then on: else each copy of
            # a large read would be made of fresh pages, a tenth of the cost of a GiB.
            bytearray(_AT_HAND_BYTES)


class Capture:
    """One step's output on its way to `log`.

    `log_bytes` and `log_sha256` are of the log as it is on disk, `output_bytes` and `output_sha256`
    of all the output after redaction: more than that when the log was cut at `max_bytes`. `failure`
    is why the log could not be written on; what comes after it is dropped. `heard` is when output
    last came, on the monotonic clock.
    """

    def __init__(
        self,
        log: int,
        buffer: Buffer,
        redact: Stream | None = None,
        max_bytes: int = DEFAULT_MAX_LOG_BYTES,
    ) -> None:
        self.log_bytes = 0
        self.output_bytes = 0
        self.failure: OSError | None = None
        self.heard = time.monotonic()
        # Of a step that has a terminal: what shows the output as it comes, and whether that is
        # behind.
        self.came: Callable[[memoryview], None] | None = None
        self.is_behind: Callable[[], bool] | None = None
        self._log = log
        self._buffer = buffer
        self._redact = redact
        self._max_bytes = max_bytes
        self._log_hash = sha256()
        # Another object than the log's from the moment the log is cut.
        self._output_hash = self._log_hash
        self._grown = False

    def fileno(self) -> int:
        """The descriptor of the log."""
        return self._log

    @property
    def log_sha256(self) -> str:
        return self._log_hash.hexdigest()

    @property
    def output_sha256(self) -> str:
        return self._output_hash.hexdigest()

    @property
    def is_cut(self) -> bool:
        """Whether the log lacks some of the output."""
        return self._output_hash is not self._log_hash

    def pump(self, pipe: int) -> int | None:
        """Move what one read of the step's pipe gives; how many bytes that was, none while what
        shows them is behind, or None at the end of the output.
        """
        if self.is_behind is not None and self.is_behind():
            return 0
        view = self._buffer.view
        try:
            count = os.readv(pipe, (view,))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            count = 0  # the end of a terminal that is hung up
        if not count:
            return None
        self.heard = time.monotonic()
        if self.came is not None:
            self.came(view[:count])
        self._keep(view[:count] if self._redact is None else self._redact.feed(view[:count]))
        if count >= _SMALL_BYTES and not self._grown:
            self._grow(pipe)
        return count

    def late_output(self, pipe: int) -> LateOutput:
        """What comes through the pipe from now on, which is for no log any more."""
        return LateOutput(pipe, self._redact)

    def finish(self) -> None:
        """No more will come: write what was held back."""
        if self._redact is not None:
            self._keep(self._redact.flush())

    def _keep(self, chunk: bytes | memoryview) -> None:
        if not chunk or self.failure is not None:
            return
        self.output_bytes += len(chunk)
        if self.output_bytes > self._max_bytes:
            chunk = self._cut(chunk)
        if chunk:
            self._write(chunk)

    def _cut(self, chunk: bytes | memoryview) -> bytes | memoryview:
        """Count and hash a chunk that does not fit, or not wholly; what is to be written of it."""
        if self.is_cut:
            self._output_hash.update(chunk)
            return b""
        fits = len(chunk) - (self.output_bytes - self._max_bytes)
        self._write(chunk[:fits])
        self._output_hash = self._log_hash.copy()
        self._output_hash.update(chunk[fits:])
        return b"\n[zf: max_log_bytes (%d) reached, the rest is not kept]\n" % self._max_bytes

    def _write(self, chunk: bytes | memoryview) -> None:
        try:
            write_all(self._log, chunk)
        except OSError as error:
            # What follows is read and dropped, so that the step can still end in good order; half
            # a chunk goes, so that log and digest agree.
            self.failure = error
            os.ftruncate(self._log, self.log_bytes)
            return
        self._log_hash.update(chunk)
        self.log_bytes += len(chunk)

    def _grow(self, pipe: int) -> None:
        self._grown = True
        self._buffer.grow()
        if sys.platform == "linux":
            try:
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _LARGE_BYTES)
            except PermissionError:
                # The user's pipes hold as much as they may already: slower, not wrong.
                return


class LateOutput:
    """What is printed through the pipe of a step that has ended, by what was left running: read, so
    that it can go on, and counted. Its log is closed and hashed; the `end` is there to be told.
    """

    def __init__(self, pipe: int, redact: Stream | None) -> None:
        self.bytes = 0
        self.end = b""
        self._pipe = pipe
        self._redact = redact

    def pump(self) -> bool:
        """Take what is there; False at the end."""
        try:
            data = os.read(self._pipe, _SMALL_BYTES)
        except BlockingIOError:
            return True
        self._keep(data if self._redact is None else self._redact.feed(data))
        return bool(data)

    def finish(self) -> None:
        """Take what is still there: nothing more will come that is of interest."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, _SMALL_BYTES):
                self._keep(data if self._redact is None else self._redact.feed(data))
        if self._redact is not None:
            self._keep(self._redact.flush())

    def _keep(self, data: bytes) -> None:
        self.bytes += len(data)
        self.end = (self.end + data)[-_REST_BYTES:]
