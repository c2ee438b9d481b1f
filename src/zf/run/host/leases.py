"""Leases on `concurrency` groups: of all runs of a user on a machine, one has a group at a time.

By flock on files that are never unlinked, like the lock on a run id: a holder that dies vanishes by
itself. The descriptor goes to the worker that runs the attempt and to no other process, so a group
is free again only when the runner let go of it or both are gone. What the files say is for people.

The newest run whose task says `cancel_running` is written down beside them: it tells an older one
that has the group to end, and older ones do not get it any more.

Nothing here waits. A run that is refused keeps the *turn* on the group for a moment, in which no
other can get it; so one that asks again in time is not outrun by one with many tasks in the group.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError, printable
from zf.events import timestamp
from zf.lean import lazy
from zf.proof.files import FOLDER
from zf.run.host.lock import is_alive, order, try_lock
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
        # The tasks of older runs that were told to end.
        self._told: set[tuple[str, str, str, str]] = set()
        _ALL.append(self)

    def take(self, task: str, name: str, now: float, *, wants: bool = False) -> str | None:
        """Take the group for a task if it is free; else its owner, in words. `wants`: an owner in
        an older run is told to end, and older runs do not get the group any more.
        """
        try:
            owner = self._take(task, name, now)
            if wants and owner is None:
                self._claim(task, name, had=True)
            elif wants and owner is not None:
                owner += self._tell_to_end(name)
        except OSError as error:
            # Better to wait, and say so, than to run beside another.
            return f"an unknown owner: its lease file cannot be opened ({error.strerror})"
        return owner

    def newer(self, task: str, name: str, *, wants: bool = False) -> str:
        """The run, in words, that is newer than ours and wants the group for itself, if there is
        one; if not, and ours `wants` that, it is known to others from now on.
        """
        said = self._read(f"{_safe(name)}.newest")
        is_ours = said.get("run_dir") == self._about.get("run_dir")
        if not is_ours and self._is_newer(said):
            return f"run {printable(str(said.get('run')))}"
        if wants and not (is_ours and said.get("pid") == os.getpid()):
            with suppress(OSError):  # then older runs are not kept from it, but that is all
                self._claim(task, name, had=False)
        return ""

    def _is_newer(self, said: Mapping[str, object]) -> bool:
        """Whether that run began after ours, and had the group, or may yet have it. What a wrong
        clock said, of a time that is still to come, counts for nothing.
        """
        began, pid = said.get("started_at"), said.get("pid")
        if not isinstance(began, str) or not isinstance(pid, int):
            return False
        is_later = self._about.get("started_at", "~") < began <= timestamp(time.time())
        return is_later and (said.get("had") is True or is_alive(pid))

    def _claim(self, task: str, name: str, *, had: bool) -> None:
        """Let others know that our run is the newest that wants the group."""
        top = _open_folder(self._path)
        try:
            new, file = f"{_safe(name)}.{os.getpid()}.new", f"{_safe(name)}.newest"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(new, flags, 0o600, dir_fd=top)
            try:
                os.write(fd, json.dumps({**self._told_of(task), "had": had}).encode())
            finally:
                os.close(fd)
            os.replace(new, file, src_dir_fd=top, dst_dir_fd=top)
        finally:
            os.close(top)

    def _tell_to_end(self, name: str) -> str:
        """Ask the run that has the group to end the task that it has it for, if it is older than
        ours; once. What to say of that.
        """
        said = self._read(f"{_safe(name)}.lease")
        began, run_dir, run, task = (
            text if isinstance(text := said.get(key), str) else ""
            for key in ("started_at", "run_dir", "run", "task")
        )
        # An older zf does not say when it began.
        if not began or began >= self._about["started_at"]:
            return ""
        if (began, run_dir, run, task) not in self._told:
            try:
                text = f"supersede {task} {self._about['run']}"
                order(os.path.dirname(run_dir), run, text)
            except OSError:
                return ""  # its runner is dead, or takes no orders from here
            self._told.add((began, run_dir, run, task))
        return ", which was told to end"

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
                if not try_lock(fd, json.dumps(self._told_of(task))):
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

    def _told_of(self, task: str) -> dict[str, str | int]:
        return {**self._about, "task": task, "pid": os.getpid()}

    def _read(self, file: str) -> dict[str, Any]:
        """What it says; nothing where it says nothing that can be used."""
        try:
            with closing(os.fdopen(self._open(file, os.O_RDONLY), "rb")) as stream:
                said = json.loads(stream.read(16_384))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _said(self, file: str) -> str | None:
        with suppress(ValueError, KeyError, TypeError):
            said = self._read(file)
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
