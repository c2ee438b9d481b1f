"""What processes a worker has below it, what they use, and signals that reach those and no others.

`SubreaperTree` (Linux) sees every descendant and can prove there is none; `GroupTree` (elsewhere)
knows a step's process group only. Both only look and signal; when to is the supervisor's business.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from zf.lean.records import Struct
from zf.lean.signals import signal
from zf.work.supervise.cgroup import Cgroup

_PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_LIST_BYTES = 64 * 1024
# Cut to what is told only when secrets were taken out of it: half of one would not be found.
_COMMAND_BYTES = 65_536
# Where in /proc/PID/stat, counted from the state, the number of threads is.
_THREADS = 17
# `ru_maxrss` is in KiB, but on macOS in bytes; and the kernel's count of pages may be off by this.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_RSS_SLACK = 1.05
# `ru_inblock` and `ru_oublock` are in blocks of this size on every system.
_BLOCK_BYTES = 512
# A cgroup's count may lag behind by a tick of each processor, and is split less finely.
_MORE, _NOISE_S = 1.02, 0.02
# What took less time than this is not worth another two calls of the system.
_WORTH_ASKING_S = 0.05


class Process(Struct, frozen=True):
    """One that was found where none should be; `command` is its command line, by its own word."""

    pid: int
    command: str


class Tree(Protocol):
    """What a supervisor needs to know of and do to the processes of one step."""

    containment: str
    # Seconds after which to look again where no exit of these processes is ever announced.
    look_again_s: float | None
    # What the reaped ones have used; the leader is to be reaped through it.
    meter: Meter

    def left(self, leader: int) -> list[int]:
        """Those to wait for besides the leader; the dead among them are reaped."""
        ...

    def members(self, leader: int) -> list[int]:
        """All of them, the leader included while it lives."""
        ...

    def has_only(self, leader: int) -> bool:
        """Whether the leader is the only one, alive or dead; quick, as it nearly always is."""
        ...

    def send(self, number: int, leader: int, left: list[int]) -> None:
        """Signal all of them: the leader's group (0 once it is reaped), those that `left` has just
        named, and what is below.
        """
        ...

    def is_empty(self) -> bool:
        """Whether none is left, once the leader is reaped."""
        ...

    def keep(self, leader: int) -> None:
        """Have what this leader left stay one of the others to look after, its zombie with it."""
        ...


def become_subreaper() -> bool:
    """Have orphaned descendants become children of this process; whether the system can do it."""
    if sys.platform != "linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def go_on_when_parent_dies() -> None:
    """Have the kernel wake this process, should it be stopped when its parent dies (Linux): else
    it could not notice. A change of its rights undoes this, so those come first.
    """
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT), 0, 0, 0)


def hide_from_tracers() -> None:
    """Keep other processes of the same user from tracing this one, from its memory and from its
    descriptors, on which a proof is written. What it starts is as usual again.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


class SubreaperTree:
    """All descendants of this process, which must be a subreaper and have no other children."""

    look_again_s: float | None = None

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self.containment = "subreaper" if cgroup is None else "subreaper+cgroup"
        self._cgroup = cgroup
        self.meter = Meter(cgroup)
        self._self = os.getpid()
        self._fd: int | None = None
        with suppress(FileNotFoundError):  # kernels without CONFIG_PROC_CHILDREN
            self._fd = os.open(f"/proc/self/task/{self._self}/children", os.O_RDONLY)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def has_only(self, leader: int) -> bool:
        return self._fd is not None and os.pread(self._fd, 64, 0) == b"%d " % leader

    def left(self, leader: int) -> list[int]:
        return [pid for pid in self.children() if pid != leader and not self.meter.reap(pid)]

    def members(self, leader: int) -> list[int]:  # noqa: ARG002 - groups need it
        direct = self.children()
        return [pid for pid in (*direct, *_below(direct)) if not _is_zombie(pid)]

    def send(self, number: int, leader: int, left: list[int]) -> None:
        try:
            # Listed first: a process whose parent is killed moves, and would be missed.
            below = _below([*left, leader])
        except OSError:
            # No descriptors left to look with. The children of what is killed become ours, which
            # needs no look; so a kill, which is repeated, reaches all of them in the end.
            below = []
        _send_group(leader, number)
        for pid in left:
            # Children that only this process can reap, so their numbers are still theirs.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        for pid in below:
            self._send_below(pid, number)
        if number == signal.SIGKILL and self._cgroup is not None:
            self._cgroup.kill()

    def is_empty(self) -> bool:
        """The kernel's word: waitid answers ECHILD exactly when there is no child, and every
        descendant of a subreaper is one or has a living ancestor that is.
        """
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    def keep(self, leader: int) -> None:
        """They are children like others; so is the leader, to be reaped with them."""

    def _send_below(self, pid: int, number: int) -> None:
        """Signal a deeper descendant: pin it by a pidfd, make sure it is still ours, signal it."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            # Gone; or no pidfds here: its parent's end makes it a child, and `send` is repeated.
            return
        try:
            if self._is_below(pid):
                signal.pidfd_send_signal(fd, number)
        except OSError:
            pass  # gone, not ours to signal, or as in `send`
        finally:
            os.close(fd)

    def _is_below(self, pid: int) -> bool:
        while pid > 1:
            pid = parent(pid)
            if pid == self._self:
                return True
        return False

    def children(self) -> list[int]:
        """The children of this process, dead ones too."""
        if self._fd is None:
            return list(_children_by_scan(self._self))
        found = b""
        while piece := os.pread(self._fd, _LIST_BYTES, len(found)):
            found += piece
        return [int(pid) for pid in found.split()]


class GroupTree:
    """The process group of one step, where the system has no subreaper: best effort."""

    containment = "process-group"
    look_again_s: float | None = 0.05

    def __init__(self) -> None:
        self.meter = Meter()
        self._kept: set[int] = set()

    def has_only(self, leader: int) -> bool:
        return not self.left(leader)

    def left(self, leader: int) -> list[int]:
        return [pid for pid in self.members(leader) if pid != leader]

    def members(self, leader: int) -> list[int]:
        from psutil import pids  # noqa: PLC0415 - 20 ms that Linux never pays

        groups = {leader, *self._kept} - {0}
        found = []
        for pid in pids():
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) in groups and not _is_zombie(pid):
                    found.append(pid)
        return found

    def send(self, number: int, leader: int, left: list[int]) -> None:  # noqa: ARG002 - as above
        for group in (leader, *self._kept):
            _send_group(group, number)

    def is_empty(self) -> bool:
        """Once the leader, and with it the group's number, is let go, no more can be known."""
        return True

    def keep(self, leader: int) -> None:
        self._kept.add(leader)


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


def describe(pids: list[int]) -> tuple[Process, ...]:
    """What they are, for the proof."""
    return tuple(Process(pid, _command(pid)) for pid in pids)


def children(pid: int) -> list[int]:
    """The children of any process (Linux); empty when it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as stream:
                found += map(int, stream.read().split())
    except FileNotFoundError:
        if os.path.exists(f"/proc/{pid}"):
            return list(_children_by_scan(pid))
    except (ProcessLookupError, PermissionError):
        pass
    return found


def parent(pid: int) -> int:
    """The parent of a process (Linux); 0 when it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _send_group(leader: int, number: int) -> None:
    if leader:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)


def _below(pids: list[int]) -> list[int]:
    """The descendants of these processes, nearest first."""
    found: list[int] = []
    seen = set(pids)
    while pids:
        pids = [pid for one in pids for pid in children(one) if pid not in seen]
        seen.update(pids)
        found += pids
    return found


def cpu_ticks(pid: int) -> int:
    """Processor time a process has used, in whatever unit; 0 when it is gone."""
    if sys.platform == "linux":
        fields = _stat(pid)
        return int(fields[11]) + int(fields[12]) if fields else 0
    else:  # noqa: RET505 - as in _is_zombie
        import psutil  # noqa: PLC0415 - 20 ms that Linux never pays

        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            return 0
        return int(1000 * (times.user + times.system))


def _children_by_scan(pid: int) -> Iterator[int]:
    """The slow way, for kernels that do not list children."""
    for name in os.listdir("/proc"):
        if name.isdigit() and parent(int(name)) == pid:
            yield int(name)


def _stat(pid: int) -> list[bytes]:
    """/proc/PID/stat from the state on: state, parent, group, session, ...; empty when gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # The name before it, in parentheses, may hold anything, parentheses too.
            return stream.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_stopped(pid: int) -> bool:
    """Whether something has stopped a process, with SIGSTOP say, and nothing has woken it since."""
    if sys.platform == "linux":
        return _stat(pid)[:1] == [b"T"]
    else:  # noqa: RET505 - as in _is_zombie
        import psutil  # noqa: PLC0415 - 20 ms that Linux never pays

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False


def _is_zombie(pid: int) -> bool:
    if sys.platform == "linux":
        fields = _stat(pid)
        # The main thread may have ended before the others: a zombie by its state, and alive.
        return not fields or (fields[0] in b"ZX" and int(fields[_THREADS]) <= 1)
    else:  # noqa: RET505 - what the type checker takes for a platform it is not on
        import psutil  # noqa: PLC0415 - 20 ms that Linux never pays

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return True


def _command(pid: int) -> str:
    """Its arguments with spaces between; `?` when they cannot be read (or it is a zombie)."""
    if sys.platform == "linux":
        try:
            # The last thread: what the first one was is gone when that has ended before others.
            thread = os.listdir(f"/proc/{pid}/task")[-1]
            with open(f"/proc/{pid}/task/{thread}/cmdline", "rb") as stream:
                words = stream.read(_COMMAND_BYTES).rstrip(b"\0").split(b"\0")
        except OSError:
            words = []
        text = b" ".join(words).decode("utf-8", "replace")
    else:
        import psutil  # noqa: PLC0415 - 20 ms that Linux never pays

        try:
            text = " ".join(psutil.Process(pid).cmdline())
        except psutil.Error:
            text = ""
    return text or "?"
