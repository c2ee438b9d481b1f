"""Leases on `concurrency` groups: of all runs of a user on a machine, one has a group at a time.

By flock on files that are never unlinked, like the lock on a run id: a holder that dies vanishes by
itself. The descriptor goes to the worker that runs the attempt and to no other process, so a group
is free again only when the runner let go of it or both are gone. What the files say is for people.

Nothing here waits. A run that is refused keeps the *turn* on the group for a moment, in which no
other can get it; so one that asks again in time is not outrun by one with many tasks in the group.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from zf.errors import ZfError, printable
from zf.lean import lazy
from zf.proof.files import FOLDER
from zf.run.host.lock import is_alive, try_lock
from zf.run.schedule.orders import LEASE_RETRY_S

if TYPE_CHECKING:
    import json
else:  # few runs have groups
    json = lazy.module("json")

FOLDER_VARIABLE = "ZF_LEASES_DIR"
# Long enough to be asked again in; short enough that a run with all its slots taken, which will
# not ask before one is free, keeps no other waiting.
_TURN_S = 2 * LEASE_RETRY_S
_ANOTHER = "another run"


def folder(environ: Mapping[str, str], groups: Iterable[str] = ()) -> str:
    """The folder that all runs of this user on this machine share, made where it is missing.

    Not in TMPDIR or XDG_RUNTIME_DIR, which cron, ssh and a desktop session set differently: runs
    that look in different folders do not see each other. Raises ZfError (exit 2) when it is not
    this user's own: another user who can write there could hold, or free, what is ours. So it does
    when a lease on one of `groups` can never be had: then waiting for it would be in vain.
    """
    path = environ.get(FOLDER_VARIABLE) or f"/tmp/zf-{os.geteuid()}"  # noqa: S108 - see above
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        os.close(_open_folder(path))
        for group in groups:
            for kind in ("lease", "turn"):
                os.close(_open_file(path, f"{_safe(group)}.{kind}", os.O_RDWR | os.O_CREAT))
    except OSError as error:
        raise ZfError(
            f"cannot keep leases on concurrency groups in {path}: {error.strerror}",
            code="ZF124",
            hint="make it a folder of yours with mode 0700, on a disk that can be written,"
            f" or set {FOLDER_VARIABLE}",
        ) from None
    return path


class Leases:
    """The leases of one run, each by the task it was taken for; waiting runs are told `about`."""

    def __init__(self, path: str, about: Mapping[str, str]) -> None:
        self._path = path
        self._about = about
        self._held: dict[str, int] = {}
        self._turns: dict[str, tuple[int, float]] = {}
        _ALL.append(self)

    def take(self, task: str, name: str, now: float) -> str | None:
        """Take the group for a task if it is free; else its owner, in words."""
        try:
            return self._take(task, name, now)
        except OSError as error:
            # Better to wait, and say so, than to run beside another.
            return f"an unknown owner: its lease file cannot be opened ({error.strerror})"

    def _take(self, task: str, name: str, now: float) -> str | None:
        turn, _ = self._turns.pop(name, (None, now))
        if turn is None:
            turn = self._lock(f"{_safe(name)}.turn", task)
        lease = self._lock(f"{_safe(name)}.lease", task) if turn is not None else None
        if lease is None:
            if turn is not None:
                self._turns[name] = (turn, now + _TURN_S)
            return self._owner(name)
        assert turn is not None
        _let_go(turn)
        self._held[task] = lease
        return None

    def fd(self, task: str) -> int | None:
        """What holds the task's lease, for the worker that runs it."""
        return self._held.get(task)

    def release(self, task: str) -> None:
        """Let go of the lease that was taken for the task, even if a worker has its descriptor."""
        fd = self._held.pop(task, None)
        if fd is not None:
            _let_go(fd)

    def expire(self, now: float) -> None:
        """Let go of the turns that were not used in time."""
        for name in [name for name, (_, until) in self._turns.items() if until <= now]:
            _let_go(self._turns.pop(name)[0])

    def close(self) -> None:
        """Let go of everything."""
        for task in tuple(self._held):
            self.release(task)
        self.expire(float("inf"))
        _ALL.remove(self)

    def leave_to_parent(self) -> None:
        """In a forked child: have none of the descriptors. The locks stay the parent's."""
        for fd in (*self._held.values(), *(fd for fd, _ in self._turns.values())):
            os.close(fd)

    def _lock(self, file: str, task: str) -> int | None:
        """The file's descriptor, locked; None while another process has it."""
        while True:
            fd = self._open(file, os.O_RDWR | os.O_CREAT)
            kept = False
            try:
                if not try_lock(fd, json.dumps({**self._about, "task": task, "pid": os.getpid()})):
                    return None
                # If not, the file was deleted as an old one: a lock on it means nothing to others.
                kept = bool(os.fstat(fd).st_nlink)
            finally:
                if not kept:
                    os.close(fd)
            if kept:
                return fd

    def _owner(self, name: str) -> str:
        said = self._said(f"{_safe(name)}.lease")
        if said is not None:
            return said
        said = self._said(f"{_safe(name)}.turn")
        return f"{said}, next in line" if said is not None else _ANOTHER

    def _said(self, file: str) -> str | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            with closing(os.fdopen(self._open(file, os.O_RDONLY), "rb")) as stream:
                said = json.loads(stream.read(4096))
            run, task = printable(str(said["run"])), printable(str(said["task"]))
            pid = int(said["pid"])
            if is_alive(pid):
                return f"run {run} (task {task}, pid {pid})"
            return f"the workers of run {run} (task {task}, pid {pid}, which is dead)"
        return None

    def _open(self, file: str, flags: int) -> int:
        return _open_file(self._path, file, flags)


def _open_file(path: str, file: str, flags: int) -> int:
    top = _open_folder(path)
    try:
        return os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=top)
    finally:
        os.close(top)


def _open_folder(path: str) -> int:
    fd = os.open(path, FOLDER)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(fd)
        raise PermissionError(1, "others can write there, or it belongs to another user")
    return fd


def _safe(name: str) -> str:
    """A file name for a group; groups that differ in case stay two where file names do not."""
    return f"{name}.{sha256(name.encode()).hexdigest()[:8]}"


def _let_go(fd: int) -> None:
    os.ftruncate(fd, 0)
    # A worker may still have the descriptor, so closing ours would not do.
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


_ALL: list[Leases] = []


def _leave_to_parent() -> None:
    while _ALL:
        _ALL.pop().leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
