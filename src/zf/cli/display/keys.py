"""Keys that are pressed while something goes on, one at a time, as they come."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class Keys:
    """The keys of the terminal that stdin is, while this zf is in its foreground; none elsewhere.

    They are not shown as they are pressed; Ctrl-C and Ctrl-Z go on meaning what they do.
    """

    def __init__(self) -> None:
        self._fd: int | None = None
        # The same while something else has them.
        self._lent: int | None = None
        self._before: list[Any] | None = None
        self._old_handler: Any = None

    def __enter__(self) -> Self:
        if self._is_ours():
            self._fd = sys.stdin.fileno()
            self._set()
            # What goes on after Ctrl-Z finds the terminal as the shell left it.
            self._old_handler = signal.signal(signal.SIGCONT, lambda *_: self._set())
        return self

    def __exit__(self, *_: object) -> None:
        if self._lent is not None:
            self.take_back()
        if self._fd is None:
            return
        signal.signal(signal.SIGCONT, self._old_handler)
        self._restore()
        self._fd = None

    def fileno(self) -> int | None:
        """What becomes readable when a key is pressed; None without keys."""
        return self._fd

    def pressed(self) -> str:
        """The keys that were pressed since."""
        if self._fd is None or not select.select([self._fd], [], [], 0)[0]:
            return ""
        found = b""
        with suppress(OSError):
            found = os.read(self._fd, 1024)
        if not found:  # the terminal is gone
            self._fd = None
        return found.decode("utf-8", "replace")

    def lend(self) -> None:
        """Leave them to something else, on a terminal as it was before."""
        self._restore()
        self._lent, self._fd = self._fd, None

    def take_back(self) -> None:
        """Have them again, also when what had them was killed, and has not given them back."""
        fd, self._lent = self._lent, None
        if fd is None:
            return
        self._fd = fd
        # A process in the background that asks for the terminal is stopped by SIGTTOU.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError):
            os.tcsetpgrp(fd, os.getpgrp())
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._set()

    def _is_ours(self) -> bool:
        try:
            fd = sys.stdin.fileno()
            return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            return False

    def _set(self) -> None:
        import termios

        if self._fd is None or not self._is_ours():
            return
        with suppress(termios.error):
            mode = termios.tcgetattr(self._fd)
            self._before = self._before or [*mode]
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)

    def _restore(self) -> None:
        import termios

        if self._before is not None and self._is_ours():
            with suppress(termios.error):
                termios.tcsetattr(self._fd or 0, termios.TCSADRAIN, self._before)
