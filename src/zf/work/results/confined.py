"""Reading hostile files in a process of its own, which may crash, hang or grow without harm.

The process is a fork of the worker: that takes a millisecond, an interpreter's start fifty. It
holds nothing open but the folder it reads and the pipe it answers on, and the kernel ends it when
it takes more memory or time than it may.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Self

import msgspec

from zf.errors import printable
from zf.lean.records import Struct
from zf.proof.files import open_inside, write_all
from zf.work.results import junit
from zf.work.results.junit import Counts, UnreadableError

# For all files of a task: 64 MiB take half a second.
LIMIT_S = 30
# Of address space. A worker has about a quarter of this before it reads anything.
MEMORY_BYTES = 2 * 1024**3
_ANSWER_BYTES = 4 * 1024 * 1024
_LOOK_S = 0.05


class Answer(Struct, frozen=True):
    """What a file came to: its counts, or why it cannot be read."""

    counts: Counts | None = None
    problem: str = ""


class StoppedError(Exception):
    """Reading was ended before all files were read; the message says why."""


def read_all(
    folder: int,
    paths: Sequence[str],
    hide: Callable[[str], str],
    stop_reason: Callable[[], str],
    limit_s: float = LIMIT_S,
) -> Iterator[tuple[str, Answer]]:
    """Each file below an open folder with its answer, in order. One that ends the process is told
    of, and another process goes on behind it. `hide` takes secrets out of a text. Raises
    StoppedError.
    """
    until = time.monotonic() + limit_s
    left = list(paths)
    while left:
        with _Reader(folder, left, hide, until) as reader:
            for answer in reader.answers(stop_reason):
                yield left.pop(0), answer
        if left:
            yield left.pop(0), Answer(problem=f"cannot be read: {reader.how_it_ended}")


class _Reader:
    """The process that reads, and the answers that have come from it."""

    def __init__(
        self, folder: int, paths: Sequence[str], hide: Callable[[str], str], until: float
    ) -> None:
        self._until = until
        self.how_it_ended = "reading it ended early"
        ours, theirs = os.pipe()
        try:
            self._pid = os.fork()
        except BaseException:
            os.close(ours)
            os.close(theirs)
            raise
        if not self._pid:
            _read_and_exit(folder, paths, hide, theirs, until - time.monotonic())
        os.close(theirs)
        self._pipe = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._pipe)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        _pid, state = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(state):
            name = signal.Signals(os.WTERMSIG(state)).name
            self.how_it_ended = f"the process that read it was ended by {name}"

    def answers(self, stop_reason: Callable[[], str]) -> Iterator[Answer]:
        """What comes, until nothing more does. Raises StoppedError."""
        poll, partial = select.poll(), b""
        poll.register(self._pipe, select.POLLIN)
        while len(partial) < _ANSWER_BYTES:
            if stop_reason():
                raise StoppedError("collecting the artifacts was stopped")
            if time.monotonic() >= self._until:
                raise StoppedError("it took too long")
            if not poll.poll(_LOOK_S * 1000):
                continue
            piece = os.read(self._pipe, 65536)
            if not piece:
                return
            *whole, partial = (partial + piece).split(b"\n")
            try:
                yield from (msgspec.json.decode(line, type=Answer) for line in whole)
            except msgspec.MsgspecError:
                return  # it does not say any more what zf wrote


def _read_and_exit(
    folder: int, paths: Sequence[str], hide: Callable[[str], str], pipe: int, limit_s: float
) -> None:
    """All that the process does; it never returns."""
    code = 1
    try:
        _confine(folder, pipe, limit_s)
        for path in paths:
            write_all(pipe, msgspec.json.encode(_answer(folder, path, hide)) + b"\n")
        code = 0
    finally:
        os._exit(code)


def _confine(folder: int, pipe: int, limit_s: float) -> None:
    """Leave open what is needed, and take on the limits. The alarm ends it should the worker, which
    ends it before, be gone.
    """
    below, above = sorted((folder, pipe))
    os.closerange(3, below)
    os.closerange(below + 1, above)
    os.closerange(above + 1, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGXCPU})
    seconds = max(int(limit_s), 0) + 2
    signal.alarm(seconds)
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a limit of ours may be lower, macOS has not all
            resource.setrlimit(what, (most, most))


def _answer(folder: int, path: str, hide: Callable[[str], str]) -> Answer:
    try:
        with os.fdopen(open_inside(folder, path), "rb", buffering=0) as stream:
            return Answer(junit.read(stream, hide))
    except UnreadableError as error:
        return Answer(problem=printable(hide(str(error))))
    except OSError as error:
        return Answer(problem=f"cannot be read: {error.strerror}")
    except MemoryError:
        return Answer(problem="cannot be read: not enough memory")
