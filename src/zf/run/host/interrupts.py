"""A runner's inbox: signals (Ctrl-C, TERM, HUP) and orders from other terminals, in order of
arrival, on one descriptor that its loop can wait on.

A signal is one byte, its number. An order is a line of text. Both come through a fifo beside the
run's lock, which only the runner reads; so whether it can be opened for writing says whether
the run has a runner.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from zf.lean.signals import signal

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# More than a line of any order, and a write of it is all or nothing (PIPE_BUF is at least 512).
MAX_ORDER_BYTES = 400
CANCEL = "cancel"
# Before an order that the server was asked for, with who asked as the next word.
FOR = "for"
_FIFO = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Inbox:
    """What has come for the runner; made by `listening`."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._read_fd, select.POLLIN)
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._path = ""
        self._partial = b""
        self._is_to_end = False
        # Taken from the descriptor, and not returned by `read` yet.
        self.kept: list[int | str] = []

    def hear_signals(self) -> int:
        """Have signals written here; the descriptor they were written to before."""
        return signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def take_in(self, signals: list[int]) -> None:
        """Signals that came before this inbox was there."""
        if signals:
            os.write(self._write_fd, bytes(signals))
            signals.clear()

    def fileno(self) -> int:
        """What becomes readable when something has come."""
        return self._read_fd

    def read(self) -> list[int | str]:
        """What has come: numbers of signals, and orders without their newline."""
        self._take()
        found, self.kept = self.kept, []
        return found

    def is_to_end(self) -> bool:
        """Whether a signal or `cancel` has come, read already or not: what is only waited for to
        record more of the run is not waited for any longer.
        """
        self._take()
        return self._is_to_end

    def _take(self) -> None:
        if not self._poll.poll(0):  # an error for nothing to read costs ten times as much
            return
        try:
            data = os.read(self._read_fd, 65_536)
        except BlockingIOError:
            return
        found = self.kept
        for byte in data:
            if byte in INTERRUPTS:
                found.append(byte)
                self._is_to_end = True
            elif byte == 0x0A:
                found.append(self._partial.decode("utf-8", "replace"))
                self._is_to_end |= _ends_the_run(self._partial)
                self._partial = b""
            elif len(self._partial) < MAX_ORDER_BYTES:
                self._partial += bytes((byte,))

    def open_to_others(self, *paths: str) -> None:
        """Take orders through a fifo at the first of these paths that can be one, from now on. What
        had come is not lost.

        The caller holds the run's lock. Where no fifo can be made, only signals are heard.
        """
        for path in paths:
            with suppress(OSError):
                if path != paths[0]:
                    _own_folder(os.path.dirname(path))
                _make_fifo(path)
                read_fd = os.open(path, os.O_RDONLY | _FIFO)
                break
        else:
            return
        try:
            # A writer of our own keeps the fifo from coming to its end whenever another one leaves.
            write_fd = os.open(path, os.O_WRONLY | _FIFO)
        except OSError:
            os.close(read_fd)
            return
        old_read_fd, old_write_fd = self._read_fd, self._write_fd
        self._read_fd, self._write_fd, self._path = read_fd, write_fd, path
        self._poll.unregister(old_read_fd)
        self._poll.register(read_fd, select.POLLIN)
        self.hear_signals()
        with suppress(BlockingIOError):
            os.write(write_fd, os.read(old_read_fd, 65_536))
        os.close(old_read_fd)
        os.close(old_write_fd)

    def leave_to_parent(self) -> None:
        """In a forked child: hear nothing, and leave the fifo to the parent."""
        signal.set_wakeup_fd(-1)
        self._close_descriptors()

    def close(self) -> None:
        if self._path:
            with suppress(OSError):  # one that stays serves the next runner
                os.unlink(self._path)
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)


def _ends_the_run(order: bytes) -> bool:
    words = order.split(b" ")
    return (words[2:] if words[0] == FOR.encode() else words) == [CANCEL.encode()]


def _own_folder(path: str) -> None:
    """OSError for a folder of another user; made if it is missing."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if os.lstat(path).st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it is another user's", path)


def _make_fifo(path: str) -> None:
    """A fifo that only this user can open; one left by a killed runner serves again."""
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        if stat.S_ISFIFO(found.st_mode) and found.st_uid == os.geteuid():
            return
        os.unlink(path)
    os.mkfifo(path, 0o600)


def heed() -> None:
    """Signals as zf needs them, whatever its parent made of them.

    What is ignored stays so: `nohup` asks for that. SIGCHLD does not: if it is, the kernel
    reaps children, and no exit code is left to read. Blocked ones are an accident (of a supervisor
    that waits with sigwait), and would make zf deaf to TERM.

    Until `listening`, Ctrl-C ends zf as usual, and is kept for the inbox if it does not: Python
    drops an exception that is raised in a finalizer or a weak reference's callback. Every import
    has two of those, so one Ctrl-C in a hundred was lost, and the run about to start went on.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*INTERRUPTS, signal.SIGCHLD))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, _frame: object) -> NoReturn:
    _before.append(number)
    raise KeyboardInterrupt


_before: list[int] = []


@contextmanager
def listening() -> Iterator[Inbox]:
    """While it lasts, an interrupt ends nothing by itself: it is in the inbox."""
    inbox = Inbox()
    # The handler itself does nothing: its being there is what makes Python write the byte.
    # A signal that the caller had ignored stays so: that is what `nohup zf` and `zf &` ask for.
    heard = [n for n in INTERRUPTS if signal.getsignal(n) is not signal.SIG_IGN]
    old_wakeup = inbox.hear_signals()
    old_handlers = {number: signal.signal(number, lambda *_: None) for number in heard}
    _listening.append(inbox)
    inbox.take_in(_before)
    try:
        yield inbox
    finally:
        _listening.remove(inbox)
        signal.set_wakeup_fd(old_wakeup)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        inbox.close()


_listening: list[Inbox] = []


def _leave_to_parent() -> None:
    """A worker holds the run's lock, but it takes no orders in the runner's place."""
    while _listening:
        _listening.pop().leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
