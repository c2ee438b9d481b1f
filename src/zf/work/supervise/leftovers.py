"""What a dead run left running: found by marks only its own processes bear, ended, never guessed.

A worker ends its tree whatever happens to the runner; only when it is killed itself can something
remain. Every process of an attempt was started with a cookie in its environment, and where cgroups
can be made it is in one named after the run; what bears neither is left alone. A process is
pinned by a pidfd, looked at again, and signalled through that: a number that has passed to another
process is not hit. (PROOF_DIR would not do as a mark: people source env.sh to debug.)
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Container
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

from zf.lean.signals import signal
from zf.work.supervise.cgroup import kill_all, members, mount_point
from zf.work.supervise.processes import SubreaperTree
from zf.work.supervise.supervisor import KILL_LIMIT_S

COOKIE = "ZF_COOKIE"


def cookie(run_dir: str, task: str, attempt: int) -> str:
    """What ZF_COOKIE is for an attempt: unlike any other run's, on this machine and elsewhere."""
    return f"{_run_key(run_dir)}.{task}.{attempt}"


def cgroup_name(run_dir: str, worker: int) -> str:
    """What the cgroup of this worker process is called, if it gets one."""
    return f"zf-{_run_key(run_dir)}-{worker}"


def end(run_dir: str) -> int:
    """Kill what is left of a run of which neither the runner nor a worker is alive; how many
    processes that was. There is no grace, as no worker is left to wait for it.
    """
    key = _run_key(run_dir)
    in_cgroups = _end_cgroups(lambda name: name.startswith(f"zf-{key}-"))
    ended = in_cgroups + _end_bearing(f"\0{COOKIE}={key}.".encode())
    from zf.work.limits.cgroups import remove_left  # noqa: PLC0415 - a run has died

    remove_left(f"zf-{key}-")
    return ended


def end_worker(run_dir: str, worker: int) -> int:
    """The same for the cgroup of one dead worker."""
    its_own = cgroup_name(run_dir, worker)
    return _end_cgroups(lambda name: name == its_own)


def end_attempt(run_dir: str, task: str, attempt: int) -> int:
    """The same for one attempt of a dead worker."""
    return _end_bearing(f"\0{COOKIE}={cookie(run_dir, task, attempt)}\0".encode())


def end_orphans(tree: SubreaperTree, ours: Container[int]) -> None:
    """The same for what became children of this process, and is not ours. What it starts itself is
    told apart by its session.
    """
    until = time.monotonic() + KILL_LIMIT_S
    while time.monotonic() < until:
        orphans = [pid for pid in tree.children() if pid not in ours and is_apart(pid)]
        if not orphans:
            return
        tree.send(signal.SIGKILL, 0, orphans)
        for pid in orphans:
            await_end(pid, until)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def await_end(pid: int, until: float) -> bool:
    """Wait for the end of a process that cannot go away unnoticed; whether it came in time. A child
    may be reaped by it.
    """
    fd = _pin(pid)
    if fd is not None:
        return _await([fd], until)
    import psutil  # noqa: PLC0415 - where there are no pidfds, 20 ms more do not matter

    try:
        psutil.Process(pid).wait(max(0.0, until - time.monotonic()))
    except psutil.TimeoutExpired:
        return False
    except psutil.NoSuchProcess:
        pass
    return True


def _pin(pid: int) -> int | None:
    """A descriptor that stands for the process whatever becomes of its number, if it is there."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def _await(fds: list[int], until: float) -> bool:
    """Wait for the end of these processes, and let go of them; whether all have ended."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left = set(fds)
    while left and (ready := poll.poll(max(0, until - time.monotonic()) * 1000)):
        for fd, _ in ready:
            poll.unregister(fd)
            left.discard(fd)
    for fd in fds:
        os.close(fd)
    return not left


def _end_bearing(mark: bytes) -> int:
    ended = 0
    until = time.monotonic() + KILL_LIMIT_S
    # Again, until a look finds nothing: what was just being forked is seen the next time.
    while (found := _bearing(mark)) and time.monotonic() < until:
        ended += sum(_end_one(pid, mark, until) for pid in found)
    return ended


@lru_cache
def _run_key(run_dir: str) -> str:
    """Names the run by its folder, as run ids are unique only within a project."""
    return sha256(os.fsencode(os.path.realpath(run_dir))).hexdigest()[:16]


def _end_cgroups(is_wanted: Callable[[str], bool]) -> int:
    """Kill cgroups of workers, which hold nothing else, and remove them."""
    top = mount_point()
    if top is None:
        return 0
    ended = 0
    for folder, below, _ in os.walk(top):
        for name in [name for name in below if is_wanted(name)]:
            below.remove(name)
            with suppress(OSError):  # another command may be at it too
                ended += _end_cgroup(f"{folder}/{name}")
    return ended


def _end_cgroup(path: str) -> int:
    pids = members(path)
    fds = [fd for pid in pids if (fd := _pin(pid)) is not None]
    kill_all(path)
    _await(fds, time.monotonic() + KILL_LIMIT_S)
    os.rmdir(path)
    return len(pids)


if sys.platform == "linux":

    def _bearing(mark: bytes) -> list[int]:
        """The processes that bear the mark and are alive."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _bears(name, mark)]

    def _bears(pid: str, mark: bytes) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                return mark in b"\0" + stream.read()
        except OSError:
            # Gone, or another user's.
            return False

    def _end_one(pid: int, mark: bytes, until: float) -> bool:
        fd = _pin(pid)
        if fd is None:
            return False
        # Only now is the number sure to stay this process's; so only now does a look count.
        if _bears(str(pid), mark):
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                return _await([fd], until)
        os.close(fd)
        return False

else:
    import psutil

    def _bearing(mark: bytes) -> list[int]:
        """The processes that bear the mark and are alive, as far as the system tells."""
        name, _, value = mark.strip(b"\0").decode().partition("=")
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.environ().get(name, "").startswith(value):
                    found.append(one.pid)
        return found

    def _end_one(pid: int, mark: bytes, until: float) -> bool:
        """Psutil looks at the start time before it signals: as near to a pidfd as there is."""
        with suppress(psutil.Error):
            one = psutil.Process(pid)
            if pid in _bearing(mark):
                one.kill()
                one.wait(until - time.monotonic())
                return True
        return False


def is_apart(pid: int) -> bool:
    """Whether a process is in another session than ours, as every step is."""
    try:
        return os.getsid(pid) != os.getsid(0)
    except ProcessLookupError:
        return False
