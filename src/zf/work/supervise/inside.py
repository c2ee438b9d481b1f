"""What is in a container that steps are put into: its processes by the namespace that they share,
which the kernel tells of each, whatever their parent is (Linux, pid_namespaces(7)).
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress

from zf.lean.signals import signal
from zf.work.supervise.processes import below, is_zombie, parent

# What the engine's command lines call the signals that a tree is ended by.
_NAMES: dict[int, str] = {signal.SIGTERM: "TERM", signal.SIGCONT: "CONT", signal.SIGKILL: "KILL"}
# How long the first process, and what started it, may take to go once the container is removed.
_GONE_MS = 5_000


class Inside:
    """The processes of a container but its first one, which keeps it."""

    def __init__(
        self, first: int, listed: Callable[[], list[int]], send_in_there: Callable[[str], None]
    ) -> None:
        """For a user who may neither see nor signal them, `listed` has their numbers, and
        `send_in_there` has them all get a signal, by its name. Raises OSError where the first is
        gone.
        """
        self._first = first
        self._namespace = _namespace(first)
        self._listed = listed
        self._send = send_in_there
        self._fds = [os.pidfd_open(first)]
        # Of Podman what is waiting for the first one, and a child of ours; it goes after it.
        keeper = parent(first)
        if parent(keeper) == os.getpid():
            self._fds.append(os.pidfd_open(keeper))

    def await_end(self) -> None:
        """Wait until it is gone; nothing more can be asked then."""
        for fd in self._fds:
            _ended(fd, _GONE_MS)
            os.close(fd)
        self._fds = []

    def is_alive(self) -> bool:
        """Whether the first one is there: without it there is no container."""
        return bool(self._fds) and not _ended(self._fds[0], 0)

    def members(self) -> list[int]:
        """All that live in there, and what lives in namespaces that these have made."""
        if not self.is_alive():
            return []
        if self._namespace is None:
            return [pid for pid in self._listed() if pid != self._first]
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        found = [pid for pid in numbers if pid != self._first and self._is_of_it(pid)]
        nested = [pid for pid in below([self._first, *found]) if pid not in found]
        return [pid for pid in (*found, *nested) if not is_zombie(pid)]

    def has(self, pid: int) -> bool:
        """Whether this process is in there, as far as that can be known."""
        while pid > 1:
            if self._is_of_it(pid):
                return True
            pid = parent(pid)
        return False

    def send(self, number: int) -> None:
        """Signal all of them; each is pinned and looked at again before."""
        refused = False
        for pid in self.members():
            try:
                fd = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                if self._namespace is None or self.has(pid):
                    signal.pidfd_send_signal(fd, number)
            except PermissionError:
                refused = True
            except OSError:
                pass  # gone
            finally:
                os.close(fd)
        if refused:
            self._send(_NAMES[number])

    def _is_of_it(self, pid: int) -> bool:
        return self._namespace is not None and _namespace(pid) == self._namespace


def _ended(fd: int, patience_ms: int) -> bool:
    """Whether the process of this descriptor ends in this time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(patience_ms))


def _namespace(pid: int) -> int | None:
    """The process namespace of a process; None where that is not ours to know, or it is gone."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    return None
