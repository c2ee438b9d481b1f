"""Where the kernel counts and limits processes together: cgroups, of version 2 or 1.

Other than the cgroup of a worker (`supervise/cgroup.py`), which can be made nearly everywhere,
these take controllers: `memory`, `pids` and `cpu`. Version 2 has them in one tree, and gives none
to a cgroup whose parent has processes of its own; version 1 has a tree for each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

from zf.lean.records import Struct
from zf.work.supervise.cgroup import mount_point, own_folder

CONTROLLERS = ("memory", "pids", "cpu")
_PERIOD_US = 100_000
_MB = 1024 * 1024
# What is written for a limit, by controller and version: files and how the value is written there.
# Files that a system may lack are marked; without swap accounting memory is limited all the same.
_WRITTEN = {
    ("memory", 2): (("memory.max", _MB, True), ("memory.swap.max", 0, False)),
    ("memory", 1): (
        ("memory.limit_in_bytes", _MB, True),
        ("memory.memsw.limit_in_bytes", _MB, False),
    ),
    ("pids", 2): (("pids.max", 1, True),),
    ("pids", 1): (("pids.max", 1, True),),
    ("cpu", 1): (("cpu.cfs_quota_us", _PERIOD_US, True),),
}
# Where it is counted how often a limit was reached, and under which word.
_COUNTED = {
    ("memory", 2): ("memory.events", "oom_kill"),
    ("memory", 1): ("memory.oom_control", "oom_kill"),
    ("pids", 2): ("pids.events", "max"),
    ("pids", 1): ("pids.events", "max"),
}


class Place(Struct, frozen=True):
    """A folder in which cgroups with a controller can be made, and the version of these."""

    version: int
    folder: str


def places() -> dict[str, Place]:
    """Where this process can make cgroups that limit something, by controller."""
    if sys.platform != "linux":
        return {}
    found: dict[str, Place] = {}
    with suppress(OSError):
        found |= dict(_version_1())
    with suppress(OSError):
        found |= dict(_version_2())
    return {name: place for name, place in found.items() if _can_make(place.folder)}


def _version_1() -> Iterator[tuple[str, Place]]:
    own = {}
    with open("/proc/self/cgroup") as stream:
        for line in stream:
            _, names, path = line.rstrip("\n").split(":", 2)
            own.update(dict.fromkeys(names.split(","), path))
    with open("/proc/self/mountinfo") as stream:
        for line in stream:
            fields = line.split()
            at = fields.index("-")
            if fields[at + 1] != "cgroup":
                continue
            for name in {*fields[at + 3].split(",")} & {*CONTROLLERS} & own.keys():
                below = os.path.relpath(own[name], fields[3])
                if not below.startswith(".."):
                    yield name, Place(1, os.path.normpath(f"{fields[4]}/{below}"))


def _version_2() -> Iterator[tuple[str, Place]]:
    """The nearest cgroup around this process that gives controllers to those in it."""
    top, folder = mount_point(), own_folder()
    while top and folder and folder.startswith(top):
        with open(f"{folder}/cgroup.subtree_control") as stream:
            given = stream.read().split()
        if given:
            for name in {*CONTROLLERS} & {*given}:
                yield name, Place(2, folder)
            return
        folder = os.path.dirname(folder)


def give() -> None:
    """Have the cgroup of this process give its controllers to those in it, if it can: where there
    is no process in it but this one, which then goes into one of its own (version 2).
    """
    with suppress(OSError):
        folder = own_folder()
        if sys.platform != "linux" or folder is None or dict(_version_2()):
            return
        with open(f"{folder}/cgroup.controllers") as stream:
            wanted = [name for name in stream.read().split() if name in CONTROLLERS]
        with open(f"{folder}/cgroup.procs") as stream:
            alone = stream.read().split() == [str(os.getpid())]
        if not wanted or not os.access(f"{folder}/cgroup.procs", os.W_OK):
            return
        if alone:
            own = f"{folder}/zf-{os.getpid()}"
            os.mkdir(own)
            write(f"{own}/cgroup.procs", "0")
        write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in wanted))


def _can_make(folder: str) -> bool:
    name = f"{folder}/zf-try-{os.getpid()}"
    try:
        os.mkdir(name)
        os.rmdir(name)
    except OSError:
        return False
    return True


class Group:
    """One cgroup with limits, in all trees that it takes."""

    def __init__(self, name: str, wanted: Mapping[str, float], there: Mapping[str, Place]) -> None:
        """Make it: `wanted` is how much it may have, by controller: MB, processes, processors.
        Raises OSError.
        """
        self._at = {one: (there[one].version, f"{there[one].folder}/{name}") for one in wanted}
        try:
            for folder in self.folders:
                os.mkdir(folder)
            for one, value in wanted.items():
                self._limit(one, value)
        except OSError:
            self.remove()
            raise

    @property
    def folders(self) -> list[str]:
        return [*dict.fromkeys(folder for _, folder in self._at.values())]

    def reached(self, controller: str) -> int:
        """How often its limit was reached: processes that the kernel killed, forks refused."""
        version, folder = self._at.get(controller, (0, ""))
        name, word = _COUNTED.get((controller, version), ("", ""))
        with suppress(OSError, ValueError), open(f"{folder}/{name}") as stream:
            return {key: int(n) for key, n in (line.split() for line in stream)}.get(word, 0)
        return 0

    def remove(self) -> None:
        """Remove it, if nothing is in it."""
        for folder in self.folders:
            with suppress(OSError):
                os.rmdir(folder)

    def _limit(self, controller: str, value: float) -> None:
        version, folder = self._at[controller]
        if (controller, version) == ("cpu", 2):
            write(f"{folder}/cpu.max", f"{round(value * _PERIOD_US)} {_PERIOD_US}")
            return
        for name, factor, must in _WRITTEN[controller, version]:
            try:
                write(f"{folder}/{name}", str(round(value * factor)))
            except OSError:
                if must:
                    raise


def remove_left(prefix: str) -> None:
    """Remove the cgroups of version 1 whose names begin so, of what is dead; those of version 2
    are found with all others.
    """
    for place in places().values():
        for name in os.listdir(place.folder) if place.version == 1 else ():
            if name.startswith(prefix):
                with suppress(OSError):
                    os.rmdir(f"{place.folder}/{name}")


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
