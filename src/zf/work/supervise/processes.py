"""What processes a worker has below it, and signals that reach those and no others.

`SubreaperTree` (Linux) sees every descendant and can prove there is none; `GroupTree` (elsewhere)
knows a step's process group only. Both only look and signal; when to is the supervisor's business.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from zf.lean.records import Struct
from zf.lean.signals import signal
from zf.work.supervise.cgroup import Cgroup
from zf.work.supervise.meter import Meter

if TYPE_CHECKING:
    from zf.work.supervise.inside import Inside

_PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_LIST_BYTES = 64 * 1024
# Cut to what is told only when secrets were taken out of it: half of one would not be found.
_COMMAND_BYTES = 65_536
# Where in /proc/PID/stat, counted from the state, the number of threads is.
_THREADS = 17


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

    def send(self, number: int, leader: int, left: list[int], *, spare: bool = False) -> None:
        """Signal all of them: the leader's group (0 once it is reaped), those that `left` has just
        named, and what is below; the leader itself not, if it is to be spared.
        """
        ...

    def is_empty(self) -> bool:
        """Whether none is left, once the leader is reaped."""
        ...

    def keep(self, leader: int) -> None:
        """Have what this leader left stay one of the others to look after, its zombie with it."""
        ...

    def leave_alone(self, pid: int) -> None:
        """Have this child, and what is below it, be none of them until it is `forget`ten: it looks
        after its own processes.
        """
        ...

    def forget(self, pid: int) -> None:
        """Such a child is gone, and reaped."""
        ...

    def enclose(self, inside: Inside | None) -> None:
        """Have steps be what is in a container, whose engine has just started what it keeps for it;
        or, for None, once that is removed, be what is below this process again.
        """
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
    """All descendants of this process, which must be a subreaper and have no other children but
    those that it is to leave alone.
    """

    look_again_s: float | None = None

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self.containment = "subreaper" if cgroup is None else "subreaper+cgroup"
        self._cgroup = cgroup
        self.meter = Meter(cgroup)
        self._self = os.getpid()
        self._alone: set[int] = set()
        # A container that steps are put into, and what its engine keeps for it.
        self._inside: Inside | None = None
        self._engines: set[int] = set()
        self._fd: int | None = None
        with suppress(FileNotFoundError):  # kernels without CONFIG_PROC_CHILDREN
            self._fd = os.open(f"/proc/self/task/{self._self}/children", os.O_RDONLY)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def has_only(self, leader: int) -> bool:
        if self._inside is not None:
            return not self.left(leader)
        if self._alone:
            return self._own() == [leader]
        return self._fd is not None and os.pread(self._fd, 64, 0) == b"%d " % leader

    def left(self, leader: int) -> list[int]:
        found = [pid for pid in self._own() if pid != leader and not self.meter.reap(pid)]
        if self._inside is not None:
            found += [pid for pid in self._inside.members() if pid not in found]
        return found

    def members(self, leader: int) -> list[int]:  # noqa: ARG002 - groups need it
        if self._inside is not None:
            return self._inside.members()  # what brought them there is no step's
        direct = self._own()
        return [pid for pid in (*direct, *below(direct)) if not is_zombie(pid)]

    def send(self, number: int, leader: int, left: list[int], *, spare: bool = False) -> None:
        if self._inside is not None:
            self._inside.send(number)
            if spare:
                return  # what brought them there ends with them, and says how
            left = [pid for pid in left if not self._inside.has(pid)]
        try:
            # Listed first: a process whose parent is killed moves, and would be missed.
            deeper = below([*left, leader])
        except OSError:
            # No descriptors left to look with. The children of what is killed become ours, which
            # needs no look; so a kill, which is repeated, reaches all of them in the end.
            deeper = []
        if not spare:
            _send_group(leader, number)
        for pid in left:
            # Children that only this process can reap, so their numbers are still theirs.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        for pid in deeper:
            self._send_below(pid, number)
        if number == signal.SIGKILL and self._cgroup is not None:
            self._cgroup.kill()

    def is_empty(self) -> bool:
        """The kernel's word: waitid answers ECHILD exactly when there is no child, and every
        descendant of a subreaper is one or has a living ancestor that is.

        Beside children that are to be left alone it is the list of children that tells: it can miss
        one only while another is reaped, which this process alone does, and not here.
        """
        if self._alone or self._inside is not None:
            return not self.left(0)
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    def keep(self, leader: int) -> None:
        """They are children like others; so is the leader, to be reaped with them."""

    def leave_alone(self, pid: int) -> None:
        self._alone.add(pid)

    def forget(self, pid: int) -> None:
        self._alone.discard(pid)

    def enclose(self, inside: Inside | None) -> None:
        if self._inside is not None:
            self._inside.await_end()
        self._inside = inside
        if inside is not None:
            self._engines |= {pid for pid in self._own() if not self.meter.reap(pid)}
            self._alone |= self._engines
            return
        # What keeps all containers of a user goes on.
        gone = {pid for pid in self._engines if self.meter.reap(pid)}
        self._engines -= gone
        self._alone -= gone

    def _own(self) -> list[int]:
        """The children of this process but those that are to be left alone."""
        return [pid for pid in self.children() if pid not in self._alone]

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
                if os.getpgid(pid) in groups and not is_zombie(pid):
                    found.append(pid)
        return found

    def send(self, number: int, leader: int, left: list[int], *, spare: bool = False) -> None:  # noqa: ARG002 - as above
        for group in (leader, *self._kept):
            _send_group(group, number)

    def is_empty(self) -> bool:
        """Once the leader, and with it the group's number, is let go, no more can be known."""
        return True

    def keep(self, leader: int) -> None:
        self._kept.add(leader)

    def leave_alone(self, pid: int) -> None:
        """It has a group of its own."""

    def forget(self, pid: int) -> None:
        """As above."""

    def enclose(self, inside: Inside | None) -> None:
        """No system without subreapers has containers."""


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


def below(pids: list[int]) -> list[int]:
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
    else:  # noqa: RET505 - as in is_zombie
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


def is_first(pid: int) -> bool:
    """Whether a process is the first of its own process namespace (Linux), which reaps the rest."""
    try:
        with open(f"/proc/{pid}/status", "rb") as stream:
            numbers = next((line.split()[1:] for line in stream if line.startswith(b"NSpid:")), [])
    except OSError:
        return False
    return len(numbers) > 1 and numbers[-1] == b"1"


def is_stopped(pid: int) -> bool:
    """Whether something has stopped a process, with SIGSTOP say, and nothing has woken it since."""
    if sys.platform == "linux":
        return _stat(pid)[:1] == [b"T"]
    else:  # noqa: RET505 - as in is_zombie
        import psutil  # noqa: PLC0415 - 20 ms that Linux never pays

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False


def is_zombie(pid: int) -> bool:
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
