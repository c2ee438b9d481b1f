"""The standard streams as they are in real life: closed, full, slow, or with no reader left.

Results go to stdout and are complete, or zf does not exit with 0. A run's progress goes to stderr
through an `Outlet`, so that a display that is not read holds up nothing.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import IO, Any

from zf.outlet import Outlet

# The stream that is never waited for, and what it is written through.
_display: tuple[IO[str], Outlet] | None = None
# What stdout or stderr did not take; the streams themselves are silent from then on.
_lost: list[OSError] = []
# Kept, as a stream that is collected closes its descriptor.
_replaced: list[Any] = []
# Whether what is said must not be taken for a command of GitHub's runner.
_escapes = False


class ReaderGoneError(OSError):
    """A BrokenPipeError by a name that click, which would exit with 1 then, does not know."""


class _Patient(io.FileIO):
    """A descriptor that another process may have made non-blocking (they share the flag): where it
    would give up with a part written, this waits for the reader.
    """

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:
                ready = select.poll()
                ready.register(self.fileno(), select.POLLOUT)
                ready.poll()
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            error.filename = "stdout" if self.fileno() == 1 else "stderr"
            raise
        return written


def make_ready() -> None:
    """Let there be three streams which wait for their reader, and take any character.

    Where zf was started with one of 0, 1, 2 closed (`zf list >&-`) Python has no stream, and the
    next file opened would come to lie there. A closed stdout is replaced by something that cannot
    be written, so that a result is never lost without being noticed.
    """
    global _display, _escapes  # noqa: PLW0603 - as there is one stderr
    _display = None
    _escapes = os.environ.get("GITHUB_ACTIONS") == "true"
    _lost.clear()
    closed = sys.stdin is None, sys.stdout is None, sys.stderr is None
    if any(closed):
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(fd, True)
        os.close(fd)
        if closed[1]:
            fd = os.open(os.devnull, os.O_RDONLY)
            os.dup2(fd, 1)
            os.close(fd)
        sys.stdin = sys.stdin or os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = _patient(sys.stdout, 1, "backslashreplace")
    sys.stderr = _patient(sys.stderr, 2, "backslashreplace")


def _patient(stream: Any, fd: int, errors: str) -> Any:
    """The stream, opened anew if it is the one that Python made of this descriptor."""
    if stream is not None:
        if not isinstance(stream, io.TextIOWrapper) or _number(stream) != fd:
            return stream
        if isinstance(getattr(stream.buffer, "raw", None), _Patient):
            return stream
        stream.flush()
        _replaced.append(stream)
    made = _Escaping if _escapes else io.TextIOWrapper
    return made(
        io.BufferedWriter(_Patient(fd, "w", closefd=False)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors=errors,
        line_buffering=fd == 2 or (stream is not None and stream.line_buffering),
    )


class _Escaping(io.TextIOWrapper):
    """A stream in a job of GitHub, where `print` and all else gives no commands."""

    def write(self, text: str, /) -> int:
        super().write(_harmless(text))
        return len(text)


def escape_commands() -> None:
    """From here on nothing that is said, whatever it quotes, is a command to GitHub's runner."""
    global _escapes  # noqa: PLW0603 - as there is one pair of streams
    _escapes = True


def _harmless(text: str) -> str:
    """The text without what the runner takes for a command wherever in a line it stands; what JSON
    means stays the same. At the start of a line, where `::` would be one, stand words of zf.
    """
    return text.replace("##[", "#\\u0023[") if _escapes else text


def display() -> Outlet | None:
    """From here on stderr is never waited for: what is said there goes through this. None where
    stderr is no descriptor at all.
    """
    global _display  # noqa: PLW0603 - as there is one stderr
    if (_display is None or _display[0] is not sys.stderr) and _number(sys.stderr) is not None:
        with suppress(OSError):
            sys.stderr.flush()
        _display = sys.stderr, Outlet(sys.stderr.fileno(), _not_shown)
    return _shown_through(sys.stderr)


def _shown_through(stream: IO[str]) -> Outlet | None:
    return _display[1] if _display is not None and _display[0] is stream else None


def _not_shown(lines: int) -> str:
    from zf.report.words import not_shown

    return not_shown(lines)


def say(stream: IO[str], text: str) -> bool:
    """Write at once; False when that is not possible, and then nothing is ever written again."""
    outlet = _shown_through(stream)
    text = _harmless(text)
    if outlet is not None:
        outlet.put(text)
        return outlet.error is None
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        _lost.append(error)
        silence(stream)
        return False
    return True


def lost() -> OSError | None:
    """Why a part of what was to be said could not be, if that happened."""
    return _lost[0] if _lost else None


def show_rest(patience_s: float | None = None) -> None:
    """Wait for the reader of the display, as any program does at its end; with `patience_s` no
    longer than this for each bit it takes.
    """
    if _display is not None:
        _display[1].drain(patience_s)


def say_result(text: str, patience_s: float | None = None) -> OSError | None:
    """Write what a run came to on stdout, after all that is on its way to the display; what went
    wrong, if something did. `patience_s` is as for `show_rest`.
    """
    show_rest(patience_s)
    if patience_s is None or _number(sys.stdout) is None:
        return None if say(sys.stdout, text) else lost()
    result = Outlet(sys.stdout.fileno())
    result.follow(iter([_harmless(text).encode("utf-8", "backslashreplace")]))
    if result.drain(patience_s):
        return None
    return result.error or TimeoutError(0, "its reader takes nothing")


def linger(seconds: float) -> None:
    """Wait for a moment before writing more to stdout. Raises ReaderGoneError as soon as there is
    nothing that reads it any more, which else would show only with the next word.
    """
    sys.stdout.flush()
    gone = select.poll()
    gone.register(1, 0)
    if gone.poll(seconds * 1000):
        raise ReaderGoneError


def silence(stream: IO[str]) -> None:
    """Send what is still buffered, and all that is to come, nowhere. Python would try again at
    exit, and change zf's exit code.
    """
    with suppress(OSError):
        fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(fd, stream.fileno())
        os.close(fd)


def give_up() -> None:
    """Wait for no reader any more: Ctrl-C was pressed, perhaps because one has stopped."""
    global _display  # noqa: PLW0603 - as above
    _display = None
    silence(sys.stdout)
    silence(sys.stderr)


def _number(stream: Any) -> int | None:
    """The stream's descriptor; None for one that is no file, as in a test."""
    try:
        return int(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None
