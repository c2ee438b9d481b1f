"""The shield: what keeps a step's hands off the proof while it runs (Linux).

A worker lives in a mount namespace of its own, and so does what it starts. There the folders of
runs that are going on are read-only, the run's lock, fifo and prepared trees are covered, and over
the task's own folder lies a scratch folder with nothing writable in it but `30-artifacts`. So a
step can wipe that folder and make it anew, which a mount point would not allow. At the attempt's
end the worker moves it into the tree.

The worker goes on writing the proof through folders which it opened before they were covered: a
descriptor leads to the mount it was opened on. Whoever could look into the worker's descriptors
could do the same, so it cannot be traced, nor can the runner. With Landlock, which only
`shield: always` asks for, a step can signal and trace nothing outside itself either.

What a step can do against it as root is told in conventions/SECURITY.md.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from zf.proof.store import ARTIFACTS, FOLDERS, TaskTree, remove, remove_tree
from zf.record import record
from zf.settings import ALWAYS

NONE = "none"

T = TypeVar("T")

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 1, 32, 4096, 16384, 1 << 19
# What a remount in a user namespace may not drop, and no remount should. The numbers are those of
# statvfs as well.
_MS_KEPT = os.ST_NOSUID | 4 | 8  # nodev, noexec
_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4
_CAP_SYS_ADMIN = 1 << 21
# The same on every architecture, as for all system calls since 2019.
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION, _LANDLOCK_SCOPE_SIGNAL, _LANDLOCK_SIGNALS_SINCE = 1, 2, 6

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Everything a tree has but its artifacts, and what earlier attempts left.
_SHOWN = (*(name for name in FOLDERS if name != ARTIFACTS), "attempts")
BESIDES_ARTIFACTS = tuple(name for name in FOLDERS if name != ARTIFACTS)
_OF = ".of."
_ID_MAP = "{0} {0} 1"


@record
class Grounds:
    """What is to be shielded. `lock` and `orders` (one of these paths) are the run's own files,
    `others` tells the folders of the other runs that are going on, and `landlock` whether steps may
    be kept from signalling anything outside themselves.
    """

    mode: str
    proofs: str
    locks: str
    lock: str
    orders: tuple[str, ...]
    others: Callable[[], Iterable[str]]
    landlock: bool = False


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except OSError:
        return False


class ShieldError(Exception):
    """There can be no shield; the message says why, and what would have to be otherwise."""


class Shield:
    """The worker's namespace. Entered at once, by a process that has no thread but its own; what
    there is to cover is covered with the first attempt, when the run has its folder.
    """

    def __init__(self, grounds: Grounds, run_dir: str, aside: str) -> None:
        """Raises ShieldError where that is not possible."""
        self._grounds = grounds
        self._run_dir = run_dir
        self._aside_dir = aside
        self._call = ctypes.CDLL(None, use_errno=True)
        self._enter()
        self._abi = self._landlock_abi() if grounds.landlock else 0
        self.what = "mount+landlock" if self._abi >= _LANDLOCK_SIGNALS_SINCE else "mount"
        self._is_up = False
        self._seen = -1
        self._covered: set[str] = set()
        # Open from before they were covered. Paths through these lead below the cover.
        self._run = self._aside = self._scratch = self._locks = -1
        self._place = self._tree = self._target = ""

    @property
    def run_dir(self) -> str:
        """The run's folder, as the worker can write to it."""
        return f"/proc/self/fd/{self._run}"

    @property
    def aside(self) -> str:
        """The folder for trees made ahead, as the worker can write to it."""
        return f"/proc/self/fd/{self._aside}"

    def raise_(self) -> None:
        """Cover what the run has by now. Once only; raises OSError."""
        if self._is_up:
            return
        grounds = self._grounds
        os.makedirs(self._aside_dir, exist_ok=True)
        self._run = os.open(self._run_dir, _FOLDER)
        self._aside = os.open(self._aside_dir, _FOLDER)
        self._locks = os.open(grounds.locks, _FOLDER)
        pid = os.getpid()
        self._place, self._tree = f"{pid}.task", f"{self._aside_dir}/{pid}.tree"
        os.mkdir(self._tree)
        os.mkdir(self._place, dir_fd=self._aside)
        self._scratch = os.open(self._place, _FOLDER, dir_fd=self._aside)
        os.mkdir(ARTIFACTS, dir_fd=self._scratch)
        for name in _SHOWN:
            os.symlink(f"{self._tree}/{name}", name, dir_fd=self._scratch)
        # As a mount point it cannot be moved away, with the run's folder in it.
        self._bind(grounds.proofs, grounds.proofs)
        self._cover_deaf(grounds.orders)
        for path in (grounds.lock, self._run_dir, self._aside_dir):
            self._bind_read_only(path)
        self._covered.add(self._run_dir)
        self._is_up = True

    def begin(self, tree: TaskTree, task: str) -> None:
        """Have the steps that come see this task's folder as the scratch folder; OSError."""
        self._cover_others()
        place = f"{os.getpid()}{_OF}{task}"
        if place != self._place:
            # Named after the task, so that what a dead worker's step left can be given to it.
            os.rename(self._place, place, src_dir_fd=self._aside, dst_dir_fd=self._aside)
            self._place = place
        # What is outside of the namespace, such as a container engine, comes to the same folder.
        live = f"{self._aside_dir}/{place}/{ARTIFACTS}"
        os.symlink(live, ARTIFACTS, dir_fd=tree.fd)
        target = f"{self._run_dir}/{task}"
        # From below a read-only mount: read-only too.
        self._bind(target, self._tree)
        self._bind(f"/proc/self/fd/{self._scratch}", target)
        self._target = target

    def open_up(self, source: str, path: str) -> None:
        """Have this folder of the prepared trees be one that steps can write to."""
        self._bind(source, path)

    def end(self, tree: TaskTree) -> list[str]:
        """Take the task's artifacts into its tree, and what else lies in the scratch folder; what
        of that found its place taken. OSError.
        """
        if not self._target:
            return []
        for path in (self._target, self._tree):
            self._check(self._call.umount2(os.fsencode(path), _MNT_DETACH), path)
        self._target = ""
        with suppress(FileNotFoundError):
            os.unlink(ARTIFACTS, dir_fd=tree.fd)
        lost = []
        left = os.listdir(self._scratch)
        for name in left:
            kind = stat.S_IFMT(os.stat(name, dir_fd=self._scratch, follow_symlinks=False).st_mode)
            if name in _SHOWN:
                is_fine = kind == stat.S_IFLNK
            else:
                # What else is there is judged in the tree, like all that is found there.
                is_fine = name != ARTIFACTS or kind == stat.S_IFDIR
            if not is_fine:
                remove(self._scratch, name)
                lost.append(name)
            elif name not in _SHOWN:
                os.rename(name, name, src_dir_fd=self._scratch, dst_dir_fd=tree.fd)
        for name in _SHOWN:
            if name not in left or name in lost:
                os.symlink(f"{self._tree}/{name}", name, dir_fd=self._scratch)
        os.mkdir(ARTIFACTS, dir_fd=self._scratch)
        tree.take_back(ARTIFACTS)
        return lost

    def start(self, spawn: Callable[[], T]) -> T:
        """Start a step by `spawn`: from a thread in a Landlock domain of its own if there is to be
        one, which ends with that, so that the step becomes the worker's child like any other.
        """
        if self.what == "mount":
            return spawn()
        done = _thread.allocate_lock()
        result: list[T] = []
        error: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter_landlock()
                result.append(spawn())
            except BaseException as raised:  # noqa: BLE001 - raised again where it belongs
                error.append(raised)
            finally:
                done.release()

        done.acquire()
        _thread.start_new_thread(inside, ())
        with done:
            if error:
                raise error[0]
            return result[0]

    def close(self) -> None:
        """Remove what it made beside the run's folder; the namespace ends with the worker."""
        if self._is_up and not self._target:
            with suppress(OSError):
                self._call.umount2(os.fsencode(self._tree), _MNT_DETACH)
                os.rmdir(f"{os.getpid()}.tree", dir_fd=self._aside)
                remove(self._aside, self._place)

    def _enter(self) -> None:
        if sys.platform != "linux":
            raise ShieldError("it needs Linux")
        if not os.path.isdir("/proc/self/fd"):
            raise ShieldError("it needs /proc, which is not mounted")
        if has_capability():
            flags = _CLONE_NEWNS
        elif os.geteuid() == 0:
            raise ShieldError("root is without CAP_SYS_ADMIN here, as in most containers")
        elif self._grounds.mode != ALWAYS:
            raise ShieldError(
                "without root it takes a user namespace, in which sudo does not work: "
                "only 'shield: always' asks for that"
            )
        else:
            flags = _CLONE_NEWNS | _CLONE_NEWUSER
        uid, gid = os.geteuid(), os.getegid()
        if self._call.unshare(flags):
            kind = "user" if flags & _CLONE_NEWUSER else "mount"
            raise ShieldError(f"the system allows no {kind} namespace: {_error()}")
        try:
            if flags & _CLONE_NEWUSER:
                self._call.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # else these are root's files
                for name, text in (
                    ("uid_map", _ID_MAP.format(uid)),
                    ("setgroups", "deny"),
                    ("gid_map", _ID_MAP.format(gid)),
                ):
                    with open(f"/proc/self/{name}", "w") as stream:
                        stream.write(text)
            # What is mounted outside goes on to appear here; what is mounted here stays here.
            self._check(self._call.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "/")
        except OSError as error:
            raise ShieldError(f"its namespace cannot be set up: {error.strerror}") from None
        hide_from_tracers()

    def _cover_others(self) -> None:
        """Cover the runs that have begun beside this one since the last look."""
        changed = os.fstat(self._locks).st_mtime_ns
        if changed == self._seen:
            return
        self._seen = changed
        for path in self._grounds.others():
            if path not in self._covered:
                self._covered.add(path)
                with suppress(OSError):  # it may have ended, and been moved, meanwhile
                    self._bind_read_only(path)

    def _cover_deaf(self, orders: tuple[str, ...]) -> None:
        """Cover the fifo by one that nobody may write to: a look says that the run is going on,
        an order finds nobody.
        """
        path = next(filter(_is_fifo, orders), None)
        if path is None:
            return
        # On the file system of the fifo, as that of the proofs may have none.
        folder = self._aside_dir if path == orders[0] else os.path.dirname(path)
        deaf = f"{folder}/{os.getpid()}.deaf"
        os.mkfifo(deaf, 0o400)
        # With a reader, for those whom permissions do not stop.
        os.open(deaf, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._bind(deaf, path)
        if path == orders[0]:
            os.unlink(f"{os.getpid()}.deaf", dir_fd=self._aside)
        else:
            os.unlink(deaf)

    def _bind(self, source: str, target: str) -> None:
        result = self._call.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
        self._check(result, target)

    def _bind_read_only(self, path: str) -> None:
        self._bind(path, path)
        kept = os.statvfs(path).f_flag & _MS_KEPT
        flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept
        self._check(self._call.mount(None, os.fsencode(path), None, flags, None), path)

    def _check(self, result: int, path: str) -> None:
        if result:
            code = ctypes.get_errno()
            raise OSError(code, f"the shield: {os.strerror(code)}", path)

    def _landlock_abi(self) -> int:
        flags = _LANDLOCK_VERSION
        return int(self._call.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, flags))

    def _enter_landlock(self) -> None:
        # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped.
        attr = (ctypes.c_uint64 * 3)(0, 0, _LANDLOCK_SCOPE_SIGNAL)
        size = ctypes.c_size_t(ctypes.sizeof(attr))
        ruleset = self._call.syscall(_SYS_LANDLOCK_CREATE_RULESET, attr, size, 0)
        if ruleset < 0:
            raise OSError(ctypes.get_errno(), f"Landlock: {_error()}")
        try:
            if self._call.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0):
                raise OSError(ctypes.get_errno(), f"Landlock: {_error()}")
        finally:
            os.close(ruleset)


def hide_from_tracers() -> None:
    """Keep other processes of the same user from tracing this one, from its memory and from its
    descriptors, on which a proof is written. What it starts is as usual again.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def why_not(grounds: Grounds) -> str:
    """Why there can be no shield here; empty when there can. Tried out in a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = "an internal error"
        try:
            Shield(grounds, "", "")
            reason = ""
        except ShieldError as error:
            reason = str(error)
        finally:
            os.write(write, reason.encode("utf-8", "replace"))
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        reason = stream.read().decode()
    os.waitpid(pid, 0)
    return reason


def rescue(aside: str, run_dir: str, task: str | None = None) -> None:
    """Give the tree of a task (of all of them) whose worker died under a shield the artifacts that
    its step had made.
    """
    with suppress(FileNotFoundError):
        for name in os.listdir(aside):
            _, of, its = name.partition(_OF)
            if of and task in {None, its}:
                with suppress(OSError):  # a worker that came to its end had moved them itself
                    _move_artifacts(f"{aside}/{name}/{ARTIFACTS}", f"{run_dir}/{its}")
                remove_tree(f"{aside}/{name}")


def _move_artifacts(source: str, path: str) -> None:
    tree = os.open(path, _FOLDER)
    try:
        os.unlink(ARTIFACTS, dir_fd=tree)  # the link to it
        os.rename(source, ARTIFACTS, dst_dir_fd=tree)
    finally:
        os.close(tree)


def has_capability() -> bool:
    """Whether this process may make mounts without a user namespace."""
    with suppress(OSError), open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("CapEff:"):
                return bool(int(line[7:], 16) & _CAP_SYS_ADMIN)
    return False


def _error() -> str:
    return os.strerror(ctypes.get_errno() or errno.EPERM)
