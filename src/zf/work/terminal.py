"""A task's own terminal: a pseudo terminal that its step is on, whose other end is the log and the
person's terminal at once.

What the step prints goes to the log redacted, as ever, and to the person as it is. What the person
types goes to the step, Ctrl-C too: the pseudo terminal makes a signal of it for the step's
foreground group. Meanwhile the person's terminal only hands bytes on (raw), as with ssh.

The worker does this, as it is in the session of the person's terminal. Should it be killed, the
runner restores the modes (`run/interactive/terminal.py`).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from zf.errors import error_text
from zf.work.shell import CANNOT_START, NotStartedError

if TYPE_CHECKING:
    from zf.work.capture import Capture

THE_TERMINAL = "/dev/tty"
_SIZE = struct.Struct("HHHH")
_OPEN = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
_KEYS_BYTES = 4096
# As long as the person's terminal takes nothing, orders of the runner are looked for this often.
_PATIENCE_MS = 50
# And this long for the last of it, when the step has ended.
_LAST_MS = 1000
_BELL = b"\a"


class Terminal:
    """The two terminals of one step. `master` is read as a pipe is; `name` is for the step to open,
    which makes it its controlling terminal.
    """

    def __init__(self) -> None:
        """Raises OSError where this process has no terminal, or there can be no other."""
        # Opened anew: that no read or write here waits is not for others to see.
        self.fd = os.open(THE_TERMINAL, _OPEN | os.O_NONBLOCK)
        try:
            self._modes = modes_in_the_foreground(self.fd)
            self.master, self._slave = os.openpty()
        except OSError:
            os.close(self.fd)
            raise
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self._slave)
        termios.tcsetattr(self._slave, termios.TCSANOW, self._modes)
        self._shown = b""
        self._is_gone = False
        self._resize()

    def close(self) -> None:
        """Close all but `master`, and give the person's terminal back as it was."""
        left = -1
        while self.is_behind(_LAST_MS) and len(self._shown) != left:
            left = len(self._shown)  # its reader is slow, but goes on
        self._set(self._modes)
        os.close(self._slave)
        os.close(self.fd)

    @contextmanager
    def handing_on(self) -> Iterator[None]:
        """While the step runs: bytes as they are, and the size of the one is that of the other."""
        numbers = (signal.SIGWINCH, signal.SIGCONT)
        before = {number: signal.signal(number, self._look_again) for number in numbers}
        try:
            self._take()
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def keys(self) -> bool:
        """Hand on what was typed; False when the terminal is gone."""
        try:
            typed = os.read(self.fd, _KEYS_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            typed = b""
        if not typed:
            self._is_gone = True
            return False
        self._take()
        taken = 0
        with suppress(OSError):
            taken = os.write(self.master, typed)
        if taken < len(typed):
            self.show(_BELL)  # as a terminal does whose reader is behind
        return True

    def show(self, data: bytes | memoryview) -> None:
        """Show what the step printed, as soon as it can be."""
        if not self._is_gone:
            self._shown += bytes(data)
            self.is_behind(0)

    def is_behind(self, patience_ms: int = _PATIENCE_MS) -> bool:
        """Whether the person's terminal has not taken everything yet, after so long a wait."""
        while self._shown and not self._is_gone:
            try:
                self._shown = self._shown[os.write(self.fd, self._shown) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self.fd, select.POLLOUT)
                if not patience_ms or not poll.poll(patience_ms):
                    return True
                patience_ms = 0
            except OSError:
                self._is_gone = True
        return False

    def _look_again(self, *_: object) -> None:
        """The size is another one, or the shell has brought the job back to the foreground."""
        with suppress(OSError):
            self._resize()
            if os.tcgetpgrp(self.fd) == os.getpgrp():
                self._take()

    def _resize(self) -> None:
        size = fcntl.ioctl(self.fd, termios.TIOCGWINSZ, bytes(_SIZE.size))
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)

    def _take(self) -> None:
        """Have it hand on bytes. In the background, this stops the job, as with any program that
        wants the terminal.
        """
        with suppress(termios.error, OSError):
            if termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ISIG):
                tty.setraw(self.fd, termios.TCSANOW)

    def _set(self, modes: list[Any]) -> None:
        """From the background, too: what was taken is given back."""
        with suppress(termios.error, OSError), unstopped():
            termios.tcsetattr(self.fd, termios.TCSANOW, modes)


@contextmanager
def for_step(capture: Capture, label: str) -> Iterator[Terminal]:
    """A terminal for the step of this label, whose output goes to the person and the capture."""
    try:
        on = Terminal()
    except OSError as error:
        problem = f"no terminal can be had for {label}: {error_text(error)}"
        raise NotStartedError(problem, CANNOT_START) from None
    capture.came, capture.is_behind = on.show, on.is_behind
    with closing(on), on.handing_on():
        yield on


def modes_in_the_foreground(fd: int) -> list[Any]:
    """The modes of the terminal, for this job. Where it is in the background, they are those of the
    shell's prompt: the kernel stops it, until it is in the foreground. Raises OSError.
    """
    try:
        termios.tcdrain(fd)
        return termios.tcgetattr(fd)
    except termios.error as error:
        raise OSError(*error.args) from None


@contextmanager
def unstopped() -> Iterator[None]:
    """Where the kernel would stop a process in the background for it, let it change the modes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
