"""What the system lets zf and its tasks have: its own folders, files, processors and memory, and
where a container gives less than the machine has.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress

from zf.doctor.finding import NOTE, OK, Finding
from zf.doctor.here import Here
from zf.proof.source import ci
from zf.run.host import machine
from zf.settings import OPTIONS
from zf.work.supervise import cgroup

_GIB, _MIB = 1 << 30, 1 << 20
# Less is short for the tests of most projects; a browser in a container asks for more.
_LITTLE_MEMORY, _LITTLE_SHARED = _GIB, 64 * _MIB
# A system that sets no limit says so by a number like this, 2**63 less a page (cgroup v1).
_UNLIMITED = 1 << 60
_SHARED = "/dev/shm"  # noqa: S108 - looked at, not written to
# Where cgroup v1 is mounted, which has no other way to be found than by habit.
_V1 = "/sys/fs/cgroup"


def files(here: Here) -> Iterator[Finding]:
    """The folders of the system, and how many files may be open, as a run asks for them."""
    slots = here.settings.max_jobs.value if here.settings else OPTIONS["max_jobs"].default
    if here.flow is not None:
        slots = min(slots, len(here.flow.tasks))
    machine.refuse_unfit(slots)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = "any number of" if most == resource.RLIM_INFINITY else str(most)
    if size != resource.RLIM_INFINITY:
        found = f"no file may be larger than {_size(size)}, and a run ends where one would be"
        yield Finding("files", NOTE, found, "lift it where zf is started: ulimit -f unlimited")
        return
    yield Finding("files", OK, f"{many} open files, enough for {slots} tasks at once")


def processors(here: Here) -> Iterator[Finding]:
    """How many processors there are for how many tasks at once."""
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    have = min(usable, quota or usable)
    jobs = here.settings.max_jobs.value if here.settings else OPTIONS["max_jobs"].default
    told = f"{usable} processor{'s' * (usable != 1)}"
    if quota and quota < usable:
        told += f", of which a container may use {quota:g}"
    if jobs > 2 * have:
        remedy = f"-j {max(1, round(have))}, or max_jobs in zf.yaml, if tasks take long for it"
        yield Finding("processors", NOTE, f"{told}, for {jobs} tasks at once", remedy)
    else:
        yield Finding("processors", OK, f"{told}, for {jobs} tasks at once")


def memory(_here: Here) -> Iterator[Finding]:
    """How much memory tasks may use, and of the shared kind."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _memory_limit()
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    told = _size(total)
    if limit is not None and limit < total:
        told += f", of which a container may use {_size(limit)}"
    if space != resource.RLIM_INFINITY:
        told += f", {_size(space)} of address space for each process"
    least = min(total, limit or total, space if space != resource.RLIM_INFINITY else total)
    if least < _LITTLE_MEMORY:
        remedy = "raise the limit, if tasks are killed for memory (ulimit -v, docker run --memory)"
        yield Finding("memory", NOTE, told, remedy)
    else:
        yield Finding("memory", OK, told)
    if sys.platform == "linux":
        yield _shared_memory()


def _shared_memory() -> Finding:
    remedy = "docker run --shm-size=1g, or --ipc=host, where tasks run browsers or databases"
    try:
        at = os.statvfs(_SHARED)
    except OSError as error:
        return Finding(_SHARED, NOTE, f"it is not there: {error.strerror}", remedy)
    size = at.f_frsize * at.f_blocks
    if not os.access(_SHARED, os.W_OK):
        return Finding(_SHARED, NOTE, "it cannot be written to", f"mount -o remount,rw {_SHARED}")
    if size <= _LITTLE_SHARED:
        return Finding(_SHARED, NOTE, f"{_size(size)} of shared memory", remedy)
    return Finding(_SHARED, OK, f"{_size(size)} of shared memory")


def ci_system(here: Here) -> Iterator[Finding]:
    """Whose job this is."""
    told = ci.told(here.environ)
    if told is None:
        yield Finding("ci", OK, "this is no job of a CI system that zf knows")
        return
    system, job = told.about["system"], told.about["job"]
    yield Finding("ci", OK, f"{system} is set{f': job {job}' if job else ''}")


def _cpu_quota() -> float | None:
    """The processors that the cgroups of this process let it use, fractions too: cpu.max of cgroup
    v2, or cfs_quota of v1. https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    found = []
    for text in _settings("cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            found.append(int(quota) / int(period))
    for place in (f"{_V1}/cpu", f"{_V1}/cpu,cpuacct"):
        quota, period = (_read(f"{place}/cpu.cfs_{n}_us") for n in ("quota", "period"))
        if quota.isdigit() and period.isdigit():
            found.append(int(quota) / int(period))
    return min(found, default=None)


def _memory_limit() -> int | None:
    """How many bytes its cgroups let it use."""
    texts = [*_settings("memory.max"), _read(f"{_V1}/memory/memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.isdigit() and int(text) < _UNLIMITED]
    return min(limits, default=None)


def _settings(name: str) -> Iterator[str]:
    """A setting of each cgroup that this process is in, from its own upwards."""
    try:
        folder, top = cgroup.own_folder(), cgroup.mount_point()
    except OSError:  # no /proc
        return
    while folder and top and folder.startswith(top):
        yield _read(f"{folder}/{name}")
        folder = os.path.dirname(folder)


def _read(path: str) -> str:
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as stream:
        return stream.read(100).strip()
    return ""


def _size(count: int) -> str:
    """So many bytes, for people."""
    if count >= _GIB:
        return f"{count / _GIB:.1f} GiB"
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count} bytes"
