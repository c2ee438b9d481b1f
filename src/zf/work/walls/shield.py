"""The shield: what keeps a step's hands off the proof while it runs (Linux).

A worker lives in a mount namespace of its own, and so does what it starts. There the folders of
runs that are going on are read-only, the run's lock, fifo and prepared trees are covered, and over
the task's own folder lies a scratch folder with nothing writable in it but `30-artifacts`. So a
step can wipe that folder and make it anew, which a mount point would not allow. At the attempt's
end the worker moves it into the tree.

All mounts are made once. The one over the scratch folder goes from task to task by being moved,
which takes 2 us.

The worker goes on writing the proof through folders which it opened before they were covered: a
descriptor leads to the mount it was opened on. A process that could look into the worker's
descriptors could do the same, so the worker cannot be traced, nor can the runner. With Landlock,
which only `shield: always` asks for, a step can signal and trace nothing outside itself either.

What a step can do against it as root is told in conventions/SECURITY.md.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

from zf.lean.records import Struct
from zf.proof.files import FOLDER, remove, remove_tree
from zf.proof.layout import ARTIFACTS, ATTEMPTS, FOLDERS
from zf.proof.tree.store import TaskTree
from zf.work.environment import CHANNEL, UNTOUCHED_NS
from zf.work.walls.namespace import Namespace, ShieldError

_MOUNT = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0
_BESIDES_ARTIFACTS = tuple(name for name in FOLDERS if name != ARTIFACTS)
# What a step sees of its tree besides: these, and what earlier attempts left.
_SHOWN = (*_BESIDES_ARTIFACTS, ATTEMPTS)
# What a worker has beside the run, each after its number: the scratch folder, where the mount over
# it is while no task has it, the run's folder as steps may read it, and a link into that, to the
# folder of the task it is at; and the one folder there that steps can write to.
_SCRATCH, _PARKED, _RUN, _NOW = ".scratch", ".parked", ".run", ".now"


class Grounds(Struct, frozen=True):
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


class Shield:
    """The worker's namespace. It is entered at once, by a process with no other thread; the run's
    folders are covered at the first attempt, as the run has none before.
    """

    # Of a tree, those that are made before its steps run.
    folders = _BESIDES_ARTIFACTS

    def __init__(self, grounds: Grounds, run_dir: str, aside: str) -> None:
        """Raises ShieldError where that is not possible."""
        self._grounds = grounds
        self._run_dir = run_dir
        self._aside_dir = aside
        self._namespace = Namespace(grounds.mode)
        self.what = "mount"
        # Puts the thread that starts a step into a Landlock domain, where there is to be one.
        self.confine: Callable[[], None] | None = None
        if grounds.landlock and self._namespace.has_landlock():
            self.what, self.confine = "mount+landlock", self._namespace.enter_landlock
        self._is_up = False
        self._seen = -1
        self._covered: set[str] = set()
        # Open from before they were covered. Paths through these lead below the cover.
        self._run = self._aside = self._scratch = self._locks = -1
        # The mount over the scratch folder, and the folder that it covers.
        self._cover = -1
        self._covers = ""
        kinds = (_SCRATCH, _PARKED, _RUN, _NOW, CHANNEL)
        self._names = tuple(f"{os.getpid()}{kind}" for kind in kinds)
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

    def set_up(self) -> None:
        """Cover what the run has by now. Once only; raises OSError, and then the half of it stands:
        this worker has to give way to another.
        """
        if self._is_up:
            return
        grounds = self._grounds
        os.makedirs(self._aside_dir, exist_ok=True)
        # As a mount point it cannot be moved away, with the run's folder in it. Before anything is
        # opened in there: what is renamed from one folder to another has to be in one mount.
        self._namespace.bind(grounds.proofs, grounds.proofs)
        self._run = os.open(self._run_dir, FOLDER)
        self._aside = os.open(self._aside_dir, FOLDER)
        self._locks = os.open(grounds.locks, FOLDER)
        scratch, parked, run, now, channel = self._names
        for name in (scratch, parked, run, channel):
            os.mkdir(name, dir_fd=self._aside)
        os.utime(channel, ns=UNTOUCHED_NS, dir_fd=self._aside)
        self._scratch = os.open(scratch, FOLDER, dir_fd=self._aside)
        info = os.fstat(self._scratch)
        self._scratch_is = info.st_dev, info.st_ino
        os.mkdir(ARTIFACTS, dir_fd=self._scratch)
        self._links = {name: f"{self._aside_dir}/{now}/{name}" for name in _SHOWN}
        for name, to in self._links.items():
            os.symlink(to, name, dir_fd=self._scratch)
        # So that it cannot be moved away either, with all that is covered in there. A step may call
        # zf, which writes there.
        self._namespace.bind(grounds.locks, grounds.locks)
        self._cover_deaf(grounds.orders)
        for path in (grounds.lock, self._run_dir, self._aside_dir):
            self._namespace.bind_read_only(path)
        self.open_up(f"{self.aside}/{channel}", f"{self._aside_dir}/{channel}")
        # From below a read-only mount: read-only too, and the task's folder is not covered there.
        self._namespace.bind(self._run_dir, f"{self._aside_dir}/{run}")
        self._park()
        self._covered.add(self._run_dir)
        self._is_up = True

    @property
    def scratch(self) -> str:
        """Where the scratch folder is for what is outside of the namespace."""
        return f"{self._aside_dir}/{self._names[0]}"

    def begin(self, tree: TaskTree, task: str) -> None:
        """Have the steps that come see this task's folder as the scratch folder; OSError."""
        self._cover_others()
        scratch, _, run, now, _ = self._names
        # It also says which task's artifacts these are, should the worker die.
        with suppress(FileNotFoundError):
            os.unlink(now, dir_fd=self._aside)
        os.symlink(f"{run}/{task}", now, dir_fd=self._aside)
        # What is outside of the namespace, such as a container engine, comes to the same folder.
        os.symlink(f"{self._aside_dir}/{scratch}/{ARTIFACTS}", ARTIFACTS, dir_fd=tree.fd)
        target = f"{self._run_dir}/{task}"
        if target == self._covers:
            self.uncover()  # in between it may have been removed, and the mount with it
        try:
            self._move(target)
        except OSError:
            self.uncover()
            self._move(target)
        self._target = target

    def open_up(self, source: str, path: str) -> None:
        """Have this folder of the prepared trees be one that steps can write to."""
        self._namespace.bind(source, path)

    def end(self, tree: TaskTree) -> list[str]:
        """Take the task's artifacts into its tree, and what else lies in the scratch folder; what
        of that found its place taken. OSError.

        The task's folder stays covered until the next task's is, or until it is uncovered.
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

    def uncover(self) -> None:
        """Uncover the last task's folder; OSError."""
        if not self._is_up:
            return
        try:
            self._move(f"{self._aside_dir}/{self._names[1]}")
        except OSError:
            # Gone with the folder that it was mounted on, which something outside has removed.
            os.close(self._cover)
            self._park()

    def give_up(self, tree: TaskTree | None) -> None:
        """After an error: the task's artifacts go into its tree as far as that is possible, and
        what is left of them is not taken for another attempt's.
        """
        self.is_spoiled = True
        with suppress(OSError):
            if tree is not None:
                self.end(tree)
            self.uncover()
        self._target = ""

    def close(self) -> None:
        """Remove what it made beside the run's folder; the namespace ends with the worker."""
        if self._aside < 0 or self._target:
            return
        scratch, parked, run, now, channel = self._names
        with suppress(OSError):
            self.uncover()
        for name in (parked, run, channel):
            self._namespace.detach(f"{self._aside_dir}/{name}")
        # The link first: it says which task's artifacts are in the scratch folder.
        for name in (now, scratch, parked, run, channel):
            with suppress(OSError):
                remove(self._aside, name)

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
                    self._namespace.bind_read_only(path)

    def _cover_deaf(self, orders: tuple[str, ...]) -> None:
        """Cover the fifo by one without write permission: it still shows that the run is going on,
        but takes no orders.
        """
        path = next(filter(_is_fifo, orders), None)
        if path is None:
            return
        # On the file system of the fifo, as that of the proofs may have none.
        folder = self._aside_dir if path == orders[0] else os.path.dirname(path)
        deaf = f"{folder}/{os.getpid()}.deaf"
        os.mkfifo(deaf, 0o400)
        # With a reader, for root, which permissions do not stop.
        os.open(deaf, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._namespace.bind(deaf, path)
        finally:
            if path == orders[0]:
                os.unlink(f"{os.getpid()}.deaf", dir_fd=self._aside)
            else:
                os.unlink(deaf)

    def _park(self) -> None:
        """Mount the scratch folder where it is while no task has it."""
        place = f"{self._aside_dir}/{self._names[1]}"
        self._namespace.bind(f"/proc/self/fd/{self._scratch}", place)
        self._cover = os.open(place, _MOUNT)
        self._covers = place

    def _move(self, target: str) -> None:
        """Move that mount to another place."""
        self._namespace.move(self._cover, target)
        self._covers = target


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
    """After a worker died under a shield: move the artifacts its task had made into the task's
    tree, or those of all such tasks where none is named.
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
