"""A folder of untrusted files: what is in it, read and hashed without following anything.

Every file is opened by name inside a folder that is itself held open, links refused at each step,
so nothing outside is ever opened, whatever changes underneath. Judges nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Self

from zf.lean.records import Struct, field
from zf.proof.files import NAMED_FOLDER, open_folder, open_folder_inside, open_regular

BLOCK_BYTES = 1024 * 1024
# zf's own trees are six deep; artifacts may bring folders of their own.
MAX_DEPTH = 64


class Inventory(Struct):
    """What is in a folder, all the way down: paths are relative, `/`-separated, as the file system
    has them (bytes that are not UTF-8 as lone surrogates). `odd` names what is neither file nor
    folder, or could not be looked into, and says why.

    Files and folders are the keys of dicts, in the order they were found in: going through a set of
    200 000 paths is a walk all over memory.
    """

    files: dict[str, None] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)


class Bundle:
    """An open run folder. `digests` fills up with what has been read, `hashed_bytes` counts it."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, NAMED_FOLDER)
        # The folders on the way to the last file, each inside the one before: the next is near. A
        # path ends in a slash but for the run's own, which is empty.
        self._way = [("", self._fd)]
        # One for all files: an allocation of a block each costs more than hashing most.
        self._block = bytearray()
        self.digests: dict[str, str] = {}
        self.refused: set[str] = set()
        self.hashed_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for _, folder in self._way:
            os.close(folder)

    @property
    def fd(self) -> int:
        """The run folder's descriptor."""
        return self._fd

    def place(self) -> tuple[int, int]:
        """What tells this folder from any other, wherever it is moved: device and number."""
        info = os.fstat(self._fd)
        return info.st_dev, info.st_ino

    def top(self) -> tuple[list[str], list[str]]:
        """The names at the top: of folders in the second list, of everything else in the first."""
        names: tuple[list[str], list[str]] = ([], [])
        with os.scandir(self._fd) as scan:
            for entry in scan:
                names[entry.is_dir(follow_symlinks=False)].append(entry.name)
        return names

    def inventory(self, folder: str = "") -> Inventory:
        """Everything there is, or everything in one folder, told apart without opening a file."""
        found = Inventory()
        if not folder:
            self._look(self._fd, "", 0, found)
            return found
        fd = open_folder_inside(self._fd, folder)
        try:
            self._look(fd, f"{folder}/", 0, found)
        finally:
            os.close(fd)
        return found

    def _look(self, folder: int, prefix: str, depth: int, found: Inventory) -> None:
        with os.scandir(folder) as scan:
            entries = list(scan)
        for entry in entries:
            path = prefix + entry.name
            if entry.is_file(follow_symlinks=False):
                found.files[path] = None
            elif not entry.is_dir(follow_symlinks=False):
                found.odd[path] = "a link" if entry.is_symlink() else "neither a file nor a folder"
            elif depth == MAX_DEPTH:
                found.odd[path] = f"deeper than {MAX_DEPTH} folders"
            else:
                found.folders[path] = None
                try:
                    below = open_folder(folder, entry.name)
                except OSError as error:
                    found.odd[path] = f"cannot be read: {_why(error)}"
                    continue
                try:
                    self._look(below, f"{path}/", depth + 1, found)
                finally:
                    os.close(below)

    def read(self, path: str, limit: int) -> bytes:
        """A whole small file; OSError when it is not there, no regular file, or over the limit.

        One over the limit is not hashed later either: it is harm enough already.
        """
        fd, block = self.open(path), self._reused()
        pieces = []
        # A sparse file may be any size, and takes no room.
        size, told = 0, os.fstat(fd).st_size
        try:
            while told <= limit and (count := os.readv(fd, (block,))):
                pieces.append(block[:count])
                size += count
                told = max(told, size)
            if told > limit:
                self.refused.add(path)
                raise OSError(errno.EFBIG, f"larger than {limit} bytes")
        finally:
            os.close(fd)
        data = b"".join(pieces)
        self.digests[path] = sha256(data).hexdigest()
        self.hashed_bytes += size
        return data

    def size(self, path: str) -> int | None:
        """How many bytes a file claims to have, unread; None when that cannot be said."""
        try:
            return os.stat(path, dir_fd=self._fd, follow_symlinks=False).st_size
        except OSError:
            return None

    def open(self, path: str) -> int:
        """A descriptor for a regular file, to be read piece by piece."""
        name = path.rpartition("/")[2]
        above = path.removesuffix(name)
        where, folder = self._way[-1]
        return open_regular(folder if where == above else self._go(above), name)

    def _go(self, path: str) -> int:
        """A descriptor for a folder, which stays open until a file elsewhere is wanted."""
        way = self._way
        while not path.startswith(way[-1][0]):
            os.close(way.pop()[1])
        here, folder = way[-1]
        for name in path[len(here) :].split("/")[:-1]:
            folder = open_folder(folder, name)
            here = f"{here}{name}/"
            way.append((here, folder))
        return folder

    def hash(self, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Hash what has not been read yet; yields each path that cannot be read, and why."""
        for path in sorted({p for p in paths if p not in self.digests and p not in self.refused}):
            try:
                self.digests[path] = self._digest(path)
            except OSError as error:
                self.refused.add(path)  # told once
                yield path, _why(error)

    def _reused(self) -> bytearray:
        """The block, made when the first file is read: 0.4 ms."""
        if not self._block:
            self._block = bytearray(BLOCK_BYTES)
        return self._block

    def _digest(self, path: str) -> str:
        digest, block = sha256(), self._reused()
        view = memoryview(block)
        fd = self.open(path)
        try:
            while count := os.readv(fd, (block,)):
                digest.update(view[:count])
                self.hashed_bytes += count
        finally:
            os.close(fd)
        return digest.hexdigest()


def _why(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()
