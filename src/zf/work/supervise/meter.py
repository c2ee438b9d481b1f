"""What processes use: processor time, memory, what they read and write."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import Any

from zf.work.supervise.cgroup import Cgroup

# `ru_maxrss` is in KiB, but on macOS in bytes; and the kernel's count of pages may be off by this.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_RSS_SLACK = 1.05
# `ru_inblock` and `ru_oublock` are in blocks of this size on every system.
_BLOCK_BYTES = 512
# A cgroup's count may lag behind by a tick of each processor, and is split less finely.
_MORE, _NOISE_S = 1.02, 0.02
# What took less time than this is not worth another two calls of the system.
_WORTH_ASKING_S = 0.05


class Meter:
    """Counts what processes have used as they are reaped. Each brings what it has waited for itself
    and no more, so nothing counts twice however deep a tree is.

    Of processor time a cgroup, where there is one, may know of more: of processes that go on, and
    of children whose parent ignores SIGCHLD, which says that their use shall not count.
    """

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup
        self._user_s = self._system_s = 0.0
        self._largest = self._read = self._written = 0
        self._own_peak = 0
        self._before_s = (0.0, 0.0)
        self._asked = time.monotonic()
        self._ask_cgroup()

    def reap(self, pid: int, options: int = os.WNOHANG) -> bool:
        """Whether a child is dead; if so it is let go and counted. Without options, wait for it."""
        try:
            found, _, used = os.wait4(pid, options)
        except ChildProcessError:
            return True
        if not found:
            return False
        self._user_s += used.ru_utime
        self._system_s += used.ru_stime
        self._largest = max(self._largest, used.ru_maxrss)
        self._read += used.ru_inblock
        self._written += used.ru_oublock
        return True

    def take(self, *, some_go_on: bool = False) -> dict[str, Any]:
        """What was used since the last time, as status.json has it; null where that is not known,
        as when `some_go_on`.
        """
        user_s, system_s, source = self._user_s, self._system_s, "wait4"
        asked, self._asked = self._asked, time.monotonic()
        if self._cgroup is None or (self._asked - asked < _WORTH_ASKING_S and not some_go_on):
            self._before_s = self._before_s[0] + user_s, self._before_s[1] + system_s
            known = None
        else:
            known = self._ask_cgroup()
        if known and (some_go_on or sum(known) > _MORE * (user_s + system_s) + _NOISE_S):
            user_s, system_s = known
            source = "cgroup"
        is_known = source == "cgroup" or not some_go_on
        used = {
            "cpu_user_s": round(user_s, 6) if is_known else None,
            "cpu_system_s": round(system_s, 6) if is_known else None,
            "peak_memory_bytes": self._peak(),
            "read_bytes": self._read * _BLOCK_BYTES,
            "written_bytes": self._written * _BLOCK_BYTES,
            "source": source,
        }
        self._user_s = self._system_s = 0.0
        self._largest = self._read = self._written = 0
        return used

    def _ask_cgroup(self) -> tuple[float, float] | None:
        """Seconds of processor time since the last time, in user mode and in the kernel, if there
        is a cgroup. Its worker is in it, too.
        """
        if self._cgroup is None:
            return None
        own = resource.getrusage(resource.RUSAGE_SELF)
        try:
            user_s, system_s = self._cgroup.cpu_s()
        except (OSError, ValueError):  # it is gone
            self._cgroup = None
            return None
        before, self._before_s = self._before_s, (user_s - own.ru_utime, system_s - own.ru_stime)
        user_s, system_s = self._before_s
        return max(0.0, user_s - before[0]), max(0.0, system_s - before[1])

    def _peak(self) -> int | None:
        """The largest resident set, in bytes. On Linux a process counts from its start in that of
        the one that started it, so of those below the worker's no more is known than that.
        """
        if sys.platform == "linux" and self._largest > _RSS_SLACK * self._own_peak:
            self._own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        known = self._largest > _RSS_SLACK * self._own_peak
        return self._largest * _RSS_UNIT if known else None
