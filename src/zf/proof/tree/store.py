"""The proof tree of one task, writer side: folders, files written once, checksums, the outcome.

How it survives a crash without an fsync per file: everything is written plainly inside the task's
folder, its SHA-256 taken from the bytes on their way, and `99-summary/status.json` comes last, a
finished temporary file renamed onto its final name. A tree without it is undecided, whatever else
it holds. One with it proves nothing by itself either: anything may have been written there by other
processes of the same user. An outcome counts once the worker has told the runner its digest on its
socket, or, after the runner's death, when the journal names that digest; what makes it durable is
the journal's sync, not this module.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from hashlib import sha256
from operator import and_, attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, NoReturn

from zf.lean import lazy
from zf.proof import checksums, layout
from zf.proof.files import FOLDER, NEW, READ, digest_of, opened, refuse_mount, remove, write_all
from zf.proof.lines import object_lines

if TYPE_CHECKING:
    from zf.proof.tree import attempts
else:
    attempts = lazy.module("zf.proof.tree.attempts")


NO_ARTIFACT = "was written into zf's own part of the proof"
# Where artifacts are gathered when their folder is not the one it was.
_TAKEN = f".{layout.ARTIFACTS}"
# A folder's rights for its owner, which it needs to be read and written.
_OWNERS = stat.S_IRWXU
_MODE, _INODE = attrgetter("st_mode"), attrgetter("st_ino")
_NAME, _NUMBER = attrgetter("name"), methodcaller("inode")
_OWN_FILE = lazy.pattern(layout.OWN_FILE)


class TreeLostError(OSError):
    """A step moved the tree, or a folder of it that is zf's own: what it held is lost."""


class TaskTree:
    """The tree of the attempt under way. Every folder is held open from the start, so a step that
    puts a link in a folder's place moves nothing but its own evidence.
    """

    def __init__(
        self, run_dir: str, task: str, folders: tuple[str, ...], *, at: str | None = None
    ) -> None:
        self.path = f"{run_dir}/{task}"
        self.digests: dict[str, str] = {}
        self.listed = b""  # what task.sha256 says, once there is one
        self._fds: dict[str, int] = {}
        # The files of earlier attempts, and what lay between them that zf had not written.
        self._earlier: set[str] = set()
        self._planted: list[str] = []
        self._at = at
        self.fd = os.open(at or self.path, FOLDER)
        try:
            self._open(folders)
        except BaseException:
            self.close()
            raise

    def _open(self, folders: tuple[str, ...]) -> None:
        for name in folders:
            self._fds[name] = os.open(name, FOLDER, dir_fd=self.fd)

    @classmethod
    def create(
        cls, run_dir: str, task: str, attempt: int = 1, folders: tuple[str, ...] = layout.FOLDERS
    ) -> TaskTree:
        """A new, empty tree; one that an earlier attempt left is moved to `attempts/K/` first."""
        path = f"{run_dir}/{task}"
        is_first = True
        try:
            os.mkdir(path)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                is_first = not attempts.set_aside(path, attempt - 1)
            else:
                # Planted: with a link there, all of this would be made where it leads.
                os.unlink(path)
                os.mkdir(path)
        tree = cls(run_dir, task, ())
        tree._fill(folders)
        if not is_first:
            tree._list_attempts()
        return tree

    @classmethod
    def create_at(
        cls, place: str, run_dir: str, task: str, folders: tuple[str, ...] = layout.FOLDERS
    ) -> TaskTree:
        """The tree of a first attempt, at another place until it is `put_in_place`."""
        os.mkdir(place)
        tree = cls(run_dir, task, (), at=place)
        tree._fill(folders)
        return tree

    def put_in_place(self) -> None:
        """Move it to where it belongs; OSError when something is there already."""
        assert self._at is not None
        os.rename(self._at, self.path)
        self._at = None

    def _fill(self, folders: tuple[str, ...]) -> None:
        try:
            for name in folders:
                os.mkdir(name, dir_fd=self.fd)
            self._open(folders)
        except BaseException:
            self.close()
            raise

    @classmethod
    def reopen(cls, run_dir: str, task: str) -> TaskTree:
        """The tree a dead worker left, made fit to be decided: missing folders made, what it wrote
        hashed, everything else removed, checksum lists and any outcome too. 30-artifacts is left
        as it is. Takes whatever lies there: links, fifos and files in the place of folders go.
        """
        path = f"{run_dir}/{task}"
        for folder in (path, *(f"{path}/{name}" for name in layout.FOLDERS)):
            _make_room(folder)
        tree = cls(run_dir, task, layout.FOLDERS)
        try:
            for fd in tree._fds.values():
                refuse_mount(fd, tree.fd)
            for own in filter(_OWN_FILE.fullmatch, tree._own_paths()):
                folder, _, name = own.partition("/")
                digest = digest_of(tree._fds[folder], name)
                if digest is not None:
                    tree.wrote(own, digest)
            tree.sweep()
            for name in os.listdir(tree.fd):
                if name not in layout.FOLDERS and (
                    name != layout.ATTEMPTS or os.path.islink(f"{path}/{name}")
                ):
                    remove(tree.fd, name)
            if os.path.lexists(f"{path}/{layout.ATTEMPTS}"):
                _make_room(f"{path}/{layout.ATTEMPTS}")
                # The list may have been cut short, or the worker killed before it came to it.
                tree._list_attempts()
        except BaseException:
            tree.close()
            raise
        return tree

    def _list_attempts(self) -> None:
        listed = attempts.list_files(self.fd)
        self.write(layout.ATTEMPTS_LIST, listed)
        self._earlier = set(checksums.parse(listed))
        self._planted = attempts.sweep(self.fd, self._earlier)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def take_back(self, name: str) -> None:
        """Open one of its folders anew, which was elsewhere for a while; made if it is missing."""
        try:
            fd = os.open(name, FOLDER, dir_fd=self.fd)
        except FileNotFoundError:
            os.mkdir(name, dir_fd=self.fd)
            fd = os.open(name, FOLDER, dir_fd=self.fd)
        before = self._fds.pop(name, None)
        self._fds[name] = fd
        if before is not None:
            os.close(before)

    def folder(self, name: str) -> int:
        """The descriptor of one of the tree's folders."""
        return self._fds[name]

    def create_file(self, path: str) -> int:
        """A new file in one of the tree's folders, to be written piece by piece; `wrote` takes its
        digest when it is complete.
        """
        folder, _, name = path.partition("/")
        return os.open(name, NEW, 0o666, dir_fd=self._fds[folder])

    def end_of(self, path: str, most: int) -> bytes:
        """The last bytes of a file in one of the tree's folders, at most so many. OSError."""
        folder, _, name = path.partition("/")
        with open(os.open(name, READ, dir_fd=self._fds[folder]), "rb") as stream:
            stream.seek(-min(most, os.fstat(stream.fileno()).st_size), os.SEEK_END)
            return stream.read(most)

    def start_of(self, path: str, most: int) -> bytes:
        """The first ones."""
        folder, _, name = path.partition("/")
        with open(os.open(name, READ, dir_fd=self._fds[folder]), "rb") as stream:
            return stream.read(most)

    def drop(self, path: str) -> None:
        """Remove a file that was written, if it was."""
        folder, _, name = path.partition("/")
        if self.digests.pop(path, None) is not None:
            with suppress(FileNotFoundError):
                remove(self._fds[folder], name)

    def move(self, path: str, to: str) -> None:
        """Have a file that was written, if it was, be called otherwise in its folder. OSError."""
        folder, _, name = path.partition("/")
        if (digest := self.digests.pop(path, None)) is not None:
            fd = self._fds[folder]
            os.rename(name, to.partition("/")[2], src_dir_fd=fd, dst_dir_fd=fd)
            self.digests[to] = digest

    def wrote(self, path: str, digest: str) -> None:
        """Take the digest of a file written elsewhere (a log, an artifact) into the list."""
        self.digests[path] = digest

    def write(self, path: str, data: bytes) -> str:
        """Write a whole file, once; returns the SHA-256 of its bytes."""
        folder, _, name = path.partition("/")
        _write_new(self._fds[folder] if name else self.fd, name or folder, data)
        digest = self.digests[path] = sha256(data).hexdigest()
        return digest

    def write_status(self, status: Mapping[str, Any]) -> str:
        """Write the lists, then status.json, the claim; returns the SHA-256 of task.sha256.

        What lies in the outcome's place is not ours and gives way: one process decides a tree.
        """
        data = object_lines(status)
        prefix = f"{layout.ARTIFACTS}/"
        kept = filter(methodcaller("startswith", prefix), self.digests)
        artifacts = {path[len(prefix) :]: self.digests[path] for path in kept}
        self.write(layout.ARTIFACTS_LIST, checksums.listing(artifacts).encode("ascii"))
        self.digests[layout.STATUS] = sha256(data).hexdigest()
        self.listed = checksums.listing(self.digests).encode("ascii")
        folder, _, name = layout.TASK_LIST.partition("/")
        _write_new(self._fds[folder], name, self.listed)
        self._claim(data)
        return sha256(self.listed).hexdigest()

    def take_over(self) -> list[tuple[str, str]]:
        """Take the tree as the task left it, by name: its folders are where they were, or the tree
        is lost; 30-artifacts may have been made anew; everything else there is no part of it.

        What is removed, and why. Raises TreeLostError, the place of the tree then being free.
        """
        own = os.fstat(self.fd)
        if not _is_at(own, self.path):
            self._give_up("its folder")
        if own.st_mode & _OWNERS != _OWNERS:
            _give_back(self.fd, own)
        # One look at the folder tells all names and numbers. Where those are not the ones that
        # stat tells, as on some overlays, it is asked.
        with os.scandir(self.fd) as scan:
            entries = [*scan]
        present = dict(zip(map(_NAME, entries), map(_NUMBER, entries), strict=True))
        held = dict(zip(self._fds, map(os.fstat, self._fds.values()), strict=True))
        if reduce(and_, map(_MODE, held.values()), _OWNERS) != _OWNERS:
            for name, info in held.items():
                _give_back(self._fds[name], info)
        refused = []
        if present != dict(zip(held, map(_INODE, held.values()), strict=True)):
            refused = self._put_right(present, held)
        surplus, gone = self._differences()
        self._remove(surplus)
        if self._earlier:
            surplus += self._planted + attempts.sweep(self.fd, self._earlier)
        for path in gone:
            del self.digests[path]
        refused += [(path, NO_ARTIFACT) for path in surplus]
        return refused + [(path, "was removed while the task ran") for path in gone]

    def _put_right(
        self, present: dict[str, int], held: dict[str, os.stat_result]
    ) -> list[tuple[str, str]]:
        """Take the folders and files that lie in the tree for those that it is to have; what is
        removed, and why.
        """
        moved = [
            name
            for name, info in held.items()
            if present.get(name) != info.st_ino and not _is_at(info, name, self.fd)
        ]
        refused = self._take_artifacts() if layout.ARTIFACTS in moved else []
        for name in moved:
            if name != layout.ARTIFACTS:
                self._give_up(name)
        for name in present.keys() - self._fds.keys():
            if not (self._earlier and name == layout.ATTEMPTS):
                remove(self.fd, name)
                refused.append((name, NO_ARTIFACT))
        return refused

    def _differences(self) -> tuple[list[str], list[str]]:
        """What is in zf's own folders besides what zf wrote, and what of that is not there."""
        present = set(self._own_paths())
        if present == self.digests.keys():
            return [], []
        own = {path for path in self.digests if not path.startswith(f"{layout.ARTIFACTS}/")}
        return sorted(present - own), sorted(own - present)

    def _take_artifacts(self) -> list[tuple[str, str]]:
        """What is called 30-artifacts is not the folder it was: its files are taken into a new one,
        if it is a folder of ours; one of another account is not made a part of the proof.
        """
        os.close(self._fds.pop(layout.ARTIFACTS))
        with suppress(FileExistsError):
            os.mkdir(_TAKEN, dir_fd=self.fd)
        target = self._fds[layout.ARTIFACTS] = os.open(_TAKEN, FOLDER, dir_fd=self.fd)
        refused = []
        try:
            source = os.open(layout.ARTIFACTS, FOLDER, dir_fd=self.fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = f"is no folder that can be read ({error.strerror})"
            remove(self.fd, layout.ARTIFACTS)
            refused.append((layout.ARTIFACTS, f"{reason}, in the place of the task's own"))
        else:
            try:
                refused += self._move_in(source, target)
            finally:
                os.close(source)
            remove(self.fd, layout.ARTIFACTS)
        os.rename(_TAKEN, layout.ARTIFACTS, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        return refused

    def _move_in(self, source: int, target: int) -> list[tuple[str, str]]:
        if reason := _why_strange(source, self.fd):
            return [(layout.ARTIFACTS, f"{reason}, in the place of the task's own")]
        refused = []
        for name in os.listdir(source):
            try:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as error:
                refused.append((f"{layout.ARTIFACTS}/{name}", f"cannot be taken: {error.strerror}"))
        return refused

    def _give_up(self, what: str) -> NoReturn:
        folder, name = os.path.split(self.path)
        with opened(folder) as parent:
            try:
                remove(parent, name)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:  # emptied, and still covered by the shield
                    raise
        raise TreeLostError(errno.ENOENT, f"{what} was removed or replaced while the task ran")

    def sweep(self) -> list[str]:
        """Remove what zf did not write from its own folders; the paths of it."""
        swept = [path for path in self._own_paths() if path not in self.digests]
        self._remove(swept)
        return swept

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            folder, _, name = path.partition("/")
            remove(self._fds[folder], name)

    def _own_paths(self) -> list[str]:
        """What lies in zf's own folders, whatever wrote it."""
        paths: list[str] = []
        for folder, fd in self._fds.items():
            if folder != layout.ARTIFACTS:
                paths += map(f"{folder}/".__add__, os.listdir(fd))
        return paths

    def _claim(self, data: bytes) -> None:
        folder, _, name = layout.STATUS.partition("/")
        temporary = f".{name}.{os.getpid()}"
        fd = self._fds[folder]
        _write_new(fd, temporary, data)
        try:
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except IsADirectoryError:
            remove(fd, name)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)


def _write_new(folder: int, name: str, data: bytes) -> None:
    fd = os.open(name, NEW, 0o666, dir_fd=folder)
    try:
        if data:
            write_all(fd, data)
    finally:
        os.close(fd)


def _make_room(path: str) -> None:
    """Have a folder at `path` that can be written to; anything else that is there goes."""
    with suppress(FileExistsError):
        os.mkdir(path)
        return
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        os.unlink(path)
        os.mkdir(path)
    elif mode & _OWNERS != _OWNERS:
        os.chmod(path, stat.S_IMODE(mode) | _OWNERS)


def _give_back(fd: int, held: os.stat_result) -> None:
    """Give its owner back the rights to an open folder: without them no proof could be read."""
    with suppress(PermissionError):  # another's
        os.fchmod(fd, stat.S_IMODE(held.st_mode) | _OWNERS)


def _is_at(held: os.stat_result, path: str, folder: int | None = None) -> bool:
    """Whether an open folder is what stands at a path, which leads through no link at its end."""
    try:
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return found.st_ino == held.st_ino and found.st_dev == held.st_dev


def _why_strange(folder: int, beside: int) -> str:
    """Why an open folder is not one that a task made in its tree, if it is not."""
    refuse_mount(folder, beside)
    owner = os.fstat(folder).st_uid
    if owner != os.geteuid():
        return f"is the folder of another account ({owner})"
    return ""
