"""The command of an executor at work: frames to its agent and from it, and nothing waited for."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from zf.lean.signals import signal
from zf.work.agent.frames import PIECE_BYTES, Frame, FrameError, Listener, Saying, Speaker

# Of what the command prints on stderr, so much of the end is kept.
_SAID_BYTES = 8192
_AT_ONCE_BYTES = 1024 * 1024


class Connection:
    """`error` says why nothing more is believed of what comes. Raises OSError where the command
    cannot be started.
    """

    def __init__(
        self, words: Sequence[str], environ: Mapping[str, str], selector: selectors.BaseSelector
    ) -> None:
        self.words = tuple(words)
        self.began = self.heard_at = self.renewed_at = time.monotonic()
        self.error = ""
        self.ended = False
        self._selector = selector
        self._listener, self._speaker = Listener(after_magic=True), Speaker()
        self._queue: deque[Saying] = deque()
        self._pending = memoryview(b"")
        self._said = b""
        # A group of its own, as Ctrl-C is for the run, which says what is to become of it; but not
        # a session, by which children of the runner are told apart from what tasks started.
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            process_group=0,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._err = self._process.stderr
        for stream in (self._in, self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        selector.register(self._out, selectors.EVENT_READ, self)
        selector.register(self._err, selectors.EVENT_READ, self)
        self._writes = False

    @property
    def spoke(self) -> bool:
        """Whether what is there said that it is an agent."""
        return self._listener.said_magic

    @property
    def said(self) -> str:
        """The end of what the command printed for people."""
        return (self._said.decode("utf-8", "backslashreplace") + self._listener.noise)[
            -_SAID_BYTES:
        ]

    def say(self, kind: bytes, header: Mapping[str, Any], body: bytes = b"") -> None:
        self.say_all(iter([(kind, header, body)]))

    def say_all(self, frames: Saying) -> None:
        """Say these when what was said before is on its way; each is made when it is its turn."""
        self._queue.append(frames)
        self.write()

    def write(self) -> None:
        """Give the pipe what it takes. Raises OSError of what the frames are made of."""
        if self._in.closed:
            self._queue.clear()
            return
        written = 0
        while written < _AT_ONCE_BYTES and (self._pending or self._pull()):
            try:
                count = os.write(self._in.fileno(), self._pending)
            except BlockingIOError:
                break
            except OSError:  # nothing reads any more, which its end tells
                self.hang_up()
                return
            self._pending = self._pending[count:]
            written += count
        self._watch_writing(wanted=bool(self._pending or self._queue))

    def _watch_writing(self, *, wanted: bool) -> None:
        if wanted and not self._writes:
            self._selector.register(self._in, selectors.EVENT_WRITE, self)
        elif self._writes and not wanted:
            self._selector.unregister(self._in)
        self._writes = wanted

    def _pull(self) -> bool:
        self._pending = memoryview(self._speaker.next_of(self._queue))
        return bool(self._pending)

    def read(self) -> list[Frame]:
        """What has come since the last look, as far as it is the other side's."""
        with suppress(BlockingIOError):
            if data := os.read(self._err.fileno(), _SAID_BYTES):
                self._said = (self._said + data)[-_SAID_BYTES:]
            else:
                self._forget(self._err)
        found: list[Frame] = []
        if self.ended:
            return found
        try:
            data = os.read(self._out.fileno(), PIECE_BYTES)
        except BlockingIOError:
            return found
        if not data:
            self.ended = True
            self._forget(self._out)
            return found
        if self.error:
            return found
        try:
            for frame in self._listener.feed(data):
                self.heard_at = time.monotonic()
                found.append(frame)
        except FrameError as error:
            self.error = str(error)
        return found

    def _forget(self, stream: Any) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(stream)

    def hang_up(self) -> None:
        """Say nothing more: an agent that reads this ends what it runs, and itself."""
        if not self._in.closed:
            self._watch_writing(wanted=False)
            self._queue.clear()
            self._pending = memoryview(b"")
            self._in.close()

    def exit_code(self, until: float) -> int | None:
        """What the command ended with, minus a signal; None where it has not by then, in monotonic
        seconds.
        """
        try:
            return self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def wake(self) -> None:
        """Have the command, and an agent in its group, go on that something has stopped: it finds
        that it is to end what it runs.
        """
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the command, and not what is in its group: a worker whose agent has died ends what
        that ran, and would be killed before it could.
        """
        self._process.kill()

    def close(self) -> None:
        """Let go of a command that has ended."""
        self.hang_up()
        for stream in (self._out, self._err):
            self._forget(stream)
            stream.close()
        self._process.wait()

    def reap(self) -> bool:
        """Reap what has ended of the group of a command that is closed: what a dead agent leaves on
        this machine comes to this process, which is a subreaper. Whether some of it still runs.
        """
        with suppress(ChildProcessError):
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass
            return True
        return False
