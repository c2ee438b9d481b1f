"""The shield: what keeps a step's hands off the proof while it runs (Linux).

A worker lives in a mount namespace of its own, and so does what it starts. There the folders of
runs that are going on are read-only, the run's lock, fifo and prepared trees are covered, and over
the task's own folder lies a scratch folder with nothing writable in it but `30-artifacts`. So a
step can wipe that folder and make it anew, which a mount point would not allow. At the attempt's
end the worker moves it into the tree.

All mounts are made once. The one over the scratch folder goes from task to task by being moved,
which takes 2 us; to end a mount takes the kernel up to 100, since it waits for all processors.

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

from zf.lean.record import record
from zf.proof.files import FOLDER, remove, remove_tree
from zf.proof.layout import ARTIFACTS, ATTEMPTS, FOLDERS
from zf.proof.tree.store import TaskTree
from zf.settings import ALWAYS

NONE = "none"

T = TypeVar("T")

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_MOVE = 1, 32, 4096, 8192
_MS_REC, _MS_SLAVE = 16384, 1 << 19
# What a remount in a user namespace may not drop, and no remount should. The numbers are those of
# statvfs as well.
_MS_KEPT = os.ST_NOSUID | 4 | 8  # nodev, noexec
_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4
_CAP_SYS_ADMIN = 1 << 21
# The same on every architecture, as for all system calls since 2019.
_SYS_MOVE_MOUNT, _FROM_DESCRIPTOR, _HERE = 429, 4, -100
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION, _LANDLOCK_SCOPE_SIGNAL, _LANDLOCK_SIGNALS_SINCE = 1, 2, 6

_MOUNT = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0
# Everything a tree has but its artifacts, and what earlier attempts left.
_SHOWN = (*(name for name in FOLDERS if name != ARTIFACTS), ATTEMPTS)
BESIDES_ARTIFACTS = tuple(name for name in FOLDERS if name != ARTIFACTS)
# What a worker has beside the run, each after its number: the scratch folder, where the mount over
# it is while no task has it, the run's folder as steps may read it, and a link into that, to the
# folder of the task it is at.
_SCRATCH, _PARKED, _RUN, _NOW = ".scratch", ".parked", ".run", ".now"
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
        # The mount over the scratch folder, and the folder that it covers.
        self._cover = -1
        self._covers = ""
        self._names = tuple(f"{os.getpid()}{kind}" for kind in (_SCRATCH, _PARKED, _RUN, _NOW))
        self._links: dict[str, str] = {}
        self._target = ""
        self._scratch_is = (-1, -1)
        # Whether it stands by half, or the scratch folder is as a task left it, with a mount in it,
        # say: no other task may have it, and mounts of this namespace end with the worker only.
        self.is_spoiled = False

    @property
    def run_dir(self) -> str:
        """The run's folder, as the worker can write to it."""
        return f"/proc/self/fd/{self._run}" if self._run >= 0 else self._run_dir

    @property
    def aside(self) -> str:
        """The folder for trees made ahead, as the worker can write to it."""
        return f"/proc/self/fd/{self._aside}"

    def raise_(self) -> None:
        """Cover what the run has by now. Once only; raises OSError, and then the half of it stands:
        this worker has to give way to another.
        """
        if self._is_up:
            return
        grounds = self._grounds
        os.makedirs(self._aside_dir, exist_ok=True)
        # As a mount point it cannot be moved away, with the run's folder in it. Before anything is
        # opened in there: what is renamed from one folder to another has to be in one mount.
        self._bind(grounds.proofs, grounds.proofs)
        self._run = os.open(self._run_dir, FOLDER)
        self._aside = os.open(self._aside_dir, FOLDER)
        self._locks = os.open(grounds.locks, FOLDER)
        scratch, parked, run, now = self._names
        for name in (scratch, parked, run):
            os.mkdir(name, dir_fd=self._aside)
        self._scratch = os.open(scratch, FOLDER, dir_fd=self._aside)
        info = os.fstat(self._scratch)
        self._scratch_is = info.st_dev, info.st_ino
        os.mkdir(ARTIFACTS, dir_fd=self._scratch)
        self._links = {name: f"{self._aside_dir}/{now}/{name}" for name in _SHOWN}
        for name, to in self._links.items():
            os.symlink(to, name, dir_fd=self._scratch)
        # So that it cannot be moved away either, with all that is covered in there. A step may call
        # zf, which writes there.
        self._bind(grounds.locks, grounds.locks)
        self._cover_deaf(grounds.orders)
        for path in (grounds.lock, self._run_dir, self._aside_dir):
            self._bind_read_only(path)
        # From below a read-only mount: read-only too, and the task's folder is not covered there.
        self._bind(self._run_dir, f"{self._aside_dir}/{run}")
        self._park()
        self._covered.add(self._run_dir)
        self._is_up = True

    def begin(self, tree: TaskTree, task: str) -> None:
        """Have the steps that come see this task's folder as the scratch folder; OSError."""
        self._cover_others()
        scratch, _, run, now = self._names
        # Which also says whose artifacts these are, should the worker die.
        with suppress(FileNotFoundError):
            os.unlink(now, dir_fd=self._aside)
        os.symlink(f"{run}/{task}", now, dir_fd=self._aside)
        # What is outside of the namespace, such as a container engine, comes to the same folder.
        os.symlink(f"{self._aside_dir}/{scratch}/{ARTIFACTS}", ARTIFACTS, dir_fd=tree.fd)
        target = f"{self._run_dir}/{task}"
        if target == self._covers:
            self.lower()  # in between it may have been removed, and the mount with it
        try:
            self._move(target)
        except OSError:
            self.lower()
            self._move(target)
        self._target = target

    def open_up(self, source: str, path: str) -> None:
        """Have this folder of the prepared trees be one that steps can write to."""
        self._bind(source, path)

    def end(self, tree: TaskTree) -> list[str]:
        """Take the task's artifacts into its tree, and what else lies in the scratch folder; what
        of that found its place taken. OSError.

        The task's folder stays covered until the next task's is, or until it is `lower`ed.
        """
        if not self._target:
            return []
        target, self._target = self._target, ""
        try:
            self._refuse_covered(target, tree)
            return self._take_back(tree)
        except OSError as error:
            self.is_spoiled = True
            if error.errno != errno.EBUSY:
                raise
            name = os.path.basename(error.filename or target)
            raise OSError(errno.EBUSY, "a step has mounted something there", name) from None

    def _refuse_covered(self, target: str, tree: TaskTree) -> None:
        """See that a step has mounted nothing over the scratch folder: OSError (EBUSY)."""
        try:
            info = os.stat(target)
        except OSError:
            return  # something outside has removed it
        if (info.st_dev, info.st_ino) != self._scratch_is:
            own = os.fstat(tree.fd)  # root can have taken the scratch folder away from there
            if (info.st_dev, info.st_ino) != (own.st_dev, own.st_ino):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), target)

    def _take_back(self, tree: TaskTree) -> list[str]:
        with suppress(FileNotFoundError):
            os.unlink(ARTIFACTS, dir_fd=tree.fd)
        lost = self._cleared(tree)
        with suppress(FileNotFoundError):
            os.rename(ARTIFACTS, ARTIFACTS, src_dir_fd=self._scratch, dst_dir_fd=tree.fd)
        os.mkdir(ARTIFACTS, dir_fd=self._scratch)
        tree.take_back(ARTIFACTS)
        return lost

    def _cleared(self, tree: TaskTree) -> list[str]:
        """Have nothing but the artifacts' folder and the links in the scratch folder, which the
        next task gets; what was in the place of those.
        """
        lost = []
        left = set(os.listdir(self._scratch))
        for name in left - self._links.keys() - {ARTIFACTS}:
            # It is judged in the tree, like all that is found there.
            os.rename(name, name, src_dir_fd=self._scratch, dst_dir_fd=tree.fd)
        for name, to in self._links.items():
            if name in left:
                try:
                    if os.readlink(name, dir_fd=self._scratch) == to:
                        continue
                except OSError:
                    pass  # it is no link
                remove(self._scratch, name)
                lost.append(name)
            os.symlink(to, name, dir_fd=self._scratch)
        if ARTIFACTS in left:
            info = os.stat(ARTIFACTS, dir_fd=self._scratch, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode):
                remove(self._scratch, ARTIFACTS)
                lost.append(ARTIFACTS)
        return lost

    def lower(self) -> None:
        """Uncover the last task's folder; OSError."""
        if not self._is_up:
            return
        try:
            self._move(f"{self._aside_dir}/{self._names[1]}")
        except OSError:
            # Gone with the folder that it was mounted on, which something outside has removed.
            os.close(self._cover)
            self._park()

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

    def give_up(self, tree: TaskTree | None) -> None:
        """After an error: the task's artifacts go into its tree as far as that is possible, and
        nobody takes what is left of them for another attempt's.
        """
        self.is_spoiled = True
        with suppress(OSError):
            if tree is not None:
                self.end(tree)
            self.lower()
        self._target = ""

    def close(self) -> None:
        """Remove what it made beside the run's folder; the namespace ends with the worker."""
        if self._aside < 0 or self._target:
            return
        scratch, parked, run, now = self._names
        with suppress(OSError):
            self.lower()
        for name in (parked, run):
            self._call.umount2(os.fsencode(f"{self._aside_dir}/{name}"), _MNT_DETACH)
        # The link first: it says whose artifacts are in the scratch folder.
        for name in (now, scratch, parked, run):
            with suppress(OSError):
                remove(self._aside, name)

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
        try:
            self._bind(deaf, path)
        finally:
            if path == orders[0]:
                os.unlink(f"{os.getpid()}.deaf", dir_fd=self._aside)
            else:
                os.unlink(deaf)

    def _bind(self, source: str, target: str) -> None:
        result = self._call.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
        self._check(result, target)

    def _park(self) -> None:
        """Mount the scratch folder where it is while no task has it."""
        place = f"{self._aside_dir}/{self._names[1]}"
        self._bind(f"/proc/self/fd/{self._scratch}", place)
        self._cover = os.open(place, _MOUNT)
        self._covers = place

    def _move(self, target: str) -> None:
        """Move that mount to another place."""
        call, cover, to = self._call, self._cover, os.fsencode(target)
        if call.syscall(_SYS_MOVE_MOUNT, cover, b"", _HERE, to, _FROM_DESCRIPTOR):
            # Before Linux 5.2, and where a filter knows nothing newer; it takes half as long again.
            source = b"/proc/self/fd/%d" % cover
            self._check(call.mount(source, to, None, _MS_MOVE, None), target)
        self._covers = target

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
            if not name.endswith(_NOW):
                continue
            with suppress(OSError):  # it is no link
                its = os.path.basename(os.readlink(f"{aside}/{name}"))
                if task in {None, its}:
                    scratch = f"{aside}/{name.removesuffix(_NOW)}{_SCRATCH}"
                    with suppress(OSError):  # a worker that came to its end had moved them itself
                        _move_artifacts(f"{scratch}/{ARTIFACTS}", f"{run_dir}/{its}")
                    os.unlink(f"{aside}/{name}")
                    remove_tree(scratch)


def _move_artifacts(source: str, path: str) -> None:
    tree = os.open(path, FOLDER)
    try:
        os.unlink(ARTIFACTS, dir_fd=tree)  # the link to it
        try:
            os.rename(source, ARTIFACTS, dst_dir_fd=tree)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Of a run in a step, from where the folder with the locks is a mount of its own.
            from shutil import copytree  # noqa: PLC0415 - 2 ms, and hardly ever needed

            copytree(source, f"{path}/{ARTIFACTS}", symlinks=True)
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
