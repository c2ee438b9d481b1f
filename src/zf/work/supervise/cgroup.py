"""A cgroup (v2) for what a worker starts, where one can be made: killed as one, forks and all.

An addition to the subreaper, never a replacement: most machines do not let users make cgroups.
A worker lives in its own cgroup, so that everything it starts is born there, and steps out of it
for the moment of a kill.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_SELF = b"0"


class Cgroup:
    """A cgroup this process is in, below the one it was in before."""

    def __init__(self, parent: str, name: str) -> None:
        self._parent = parent
        self._path = f"{parent}/{name}"
        self._cpu_stat: int | None = None

    @classmethod
    def enter(cls, name: str) -> Cgroup | None:
        """Make a cgroup of this name and go there; None where the system does not allow that."""
        try:
            parent = own_folder()
            return None if parent is None else cls._made(parent, name)
        except OSError:
            return None

    @classmethod
    def _made(cls, parent: str, name: str) -> Cgroup:
        """The same below this cgroup; OSError where the system does not allow that."""
        new = cls(parent, name)
        os.mkdir(new._path)
        try:
            # Kernels before 5.14 have no cgroup.kill, and then all this is of no use.
            os.close(os.open(f"{new._path}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC))
            _write(f"{new._path}/cgroup.procs", _SELF)
        except OSError:
            with suppress(OSError):
                os.rmdir(new._path)
            raise
        return new

    @classmethod
    def why_not(cls, name: str) -> str:
        """Why this process can enter no cgroup; empty where it can. It has left it again, or it
        ends, and its parent is to `remove` it.
        """
        parent = own_folder()
        if parent is None:
            return (
                "cgroup v2 is not mounted here" if mount_point() is None else "it is not in sight"
            )
        try:
            cls._made(parent, name).leave()
        except FileNotFoundError:
            return "this kernel has no cgroup.kill, which came with Linux 5.14"
        except OSError as error:
            return f"it cannot be written to: {error.strerror}"
        return ""

    def beside(self, name: str) -> Cgroup | None:
        """Make another where this one is, and go there: what is in it is not killed with this one.
        None where that cannot be.
        """
        try:
            return self._made(self._parent, name)
        except OSError:
            return None

    def remove_beside(self, name: str) -> None:
        """Remove such a cgroup, of a process that has ended."""
        remove(self._parent, name)

    def kill(self) -> None:
        """Kill everything in it, but not this process."""
        with suppress(OSError):
            _write(f"{self._parent}/cgroup.procs", _SELF)
            kill_all(self._path)
            _write(f"{self._path}/cgroup.procs", _SELF)

    def cpu_s(self) -> tuple[float, float]:
        """Seconds of processor time that what is or was in it has used: in user mode, and else.

        The kernel counts these in every cgroup. What else it can count, memory say, it counts in
        none whose parent has processes in it, as the runner is in that of this one.
        """
        if self._cpu_stat is None:
            self._cpu_stat = os.open(f"{self._path}/cpu.stat", os.O_RDONLY | os.O_CLOEXEC)
        _, _, _, user, _, system, *_ = os.pread(self._cpu_stat, 128, 0).split(None, 6)
        return int(user) / 1e6, int(system) / 1e6

    def leave(self) -> None:
        """Go back and remove it, if nothing else is in it.

        Every change of cgroup waits for the kernel (RCU), some 10 ms when there was none just
        before; a worker that is about to end leaves it to its parent to `remove` it.
        """
        with suppress(OSError):
            _write(f"{self._parent}/cgroup.procs", _SELF)
            os.rmdir(self._path)


def get_ready() -> None:
    """Have the kernel ready for changes of cgroup: for some 15 ms after this, none waits for RCU.

    This one does, up to 20 ms, and changes nothing: it is for a process that nothing waits for.
    """
    with suppress(OSError):
        own = own_folder()
        if own is not None:
            _write(f"{own}/cgroup.procs", _SELF)


def remove(parent: str, name: str) -> None:
    """Remove the cgroup of a process that has ended, if there was one and nothing is in it."""
    with suppress(OSError):
        os.rmdir(f"{parent}/{name}")


def own_folder() -> str | None:
    """Where the cgroup of this process is mounted; None without cgroup v2."""
    top = mount_point()
    if top is None:
        return None
    with open("/proc/self/cgroup") as stream:
        path = next((line[3:].rstrip("\n") for line in stream if line.startswith("0::")), "..")
    # Outside of what this namespace may see, the kernel shows it as a way up.
    return None if ".." in path else top + path.rstrip("/")


def mount_point() -> str | None:
    """Where the whole of cgroup v2 is mounted; None where it is not."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/mountinfo") as stream:
        for line in stream:
            fields = line.split(" ")
            kind = fields[fields.index("-") + 1]
            if kind == "cgroup2" and fields[3] == "/":
                return fields[4]
    return None


def members(path: str) -> list[int]:
    """The processes in a cgroup."""
    with open(f"{path}/cgroup.procs") as stream:
        return [int(line) for line in stream]


def kill_all(path: str) -> None:
    """Have the kernel kill every process in a cgroup, those just being forked included."""
    _write(f"{path}/cgroup.kill", b"1")


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
