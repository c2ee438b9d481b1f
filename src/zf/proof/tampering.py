"""What lies in a run's folder beside what its runner knows: the differences, found before the seal.

A process of the same user can have written there while the run went on. Nothing is mended: what is
there is evidence. Judges only against digests in memory; `verify.py` judges a folder by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from hashlib import file_digest, sha256
from math import gcd

from zf.proof import checksums
from zf.proof.bundle import Bundle
from zf.proof.files import READ
from zf.proof.known import Known
from zf.proof.layout import ATTEMPTS, ATTEMPTS_LIST, FOLDERS, TASK_LIST, earlier_tree

# Trees whose files are compared however short the run was: 4 ms.
_ALWAYS_TREES = 16
# So much of the files in them: 10 ms.
_ALWAYS_BYTES = 16 * 1024 * 1024
_BYTES_PER_S = 1_000_000_000
# No file at the top of a run comes near this: the journal of 100 000 tasks has 0.1 GiB.
_LARGEST_TOP_BYTES = 1024**3


class Differences:
    """Collects `found`, one line each, a path first. The same path is told once. With
    `believe_lists`, the lists that the runner has whole are not read again.
    """

    def __init__(self, bundle: Bundle, known: Known, *, believe_lists: bool = False) -> None:
        self.known = known
        self._believe_lists = believe_lists
        self._bundle = bundle
        self._found: dict[str, str] = {}
        self._bytes_left = 0
        # How many trees were compared with their lists, every file of them.
        self.compared = 0

    @property
    def found(self) -> list[str]:
        """What differs, in the order of the paths."""
        return [f"{path}: {self._found[path]}" for path in sorted(self._found)]

    def _differs(self, path: str, why: str) -> None:
        self._found.setdefault(path, why)

    def look_at_top(
        self, names: Iterable[str], folders: Iterable[str], loose: Iterable[str] = ()
    ) -> None:
        """Tell of what lies at the top of the run and is not of it, and of what is missing; `loose`
        are tasks that have no list.
        """
        for name in sorted({*names, *folders} - {*self.known.tops, *self.known.trees, *loose}):
            self._differs(name, "was put there")
        for name, digest in self.known.tops.items():
            self._compare_file(name, digest)

    def _compare_file(self, path: str, digest: str) -> None:
        try:
            fd = self._bundle.open(path)
        except OSError as error:
            self._differs(path, f"cannot be read: {(error.strerror or '?').lower()}")
            return
        with os.fdopen(fd, "rb") as stream:
            is_too_large = os.fstat(fd).st_size > _LARGEST_TOP_BYTES
            if is_too_large or file_digest(stream, "sha256").hexdigest() != digest:
                self._differs(path, "is not what zf wrote")

    def look_at_lists(self) -> None:
        """Tell of lists that are not what their tasks ended with."""
        for task in self.known.trees:
            text = self.list_of(task)
            if text is not None and ATTEMPTS_LIST in text:
                self.attempts_of(task, checksums.told(text))

    def list_of(self, task: str) -> str | None:
        """What the task's own list says, if the runner knows that; the one on the disk is compared
        with it. None when the list on the disk is another and the runner has only the digest.
        """
        told = self.known.lists.get(task)
        path = f"{task}/{TASK_LIST}"
        if told is not None:
            if not self._believe_lists and self._there(path, len(told)) != told.encode("ascii"):
                self._differs(path, "is not the list that the worker told")
            return told
        try:
            data = self._bundle.read(path, checksums.MAX_LIST_BYTES)
            if sha256(data).digest() == self.known.trees[task]:
                return data.decode("ascii")
        except OSError as error:
            self._differs(path, f"cannot be read: {(error.strerror or '?').lower()}")
        else:
            self._differs(path, "is not the list that the task ended with")
        return None

    def _there(self, path: str, size: int) -> bytes | None:
        """The first bytes of a file, one more than it should have, in the fewest calls."""
        try:
            fd = os.open(path, READ, dir_fd=self._bundle.fd)
        except OSError:
            return None
        try:
            return os.read(fd, size + 1)
        except OSError:
            return None
        finally:
            os.close(fd)

    def attempts_of(self, task: str, listed: dict[str, str]) -> dict[str, str]:
        """The files of the attempts before the last one, as the task's list of those has them."""
        path = f"{task}/{ATTEMPTS_LIST}"
        found: dict[str, str] = {}
        if ATTEMPTS_LIST in listed:
            try:
                found = checksums.parse(self._bundle.read(path, checksums.MAX_LIST_BYTES))
            except (OSError, ValueError):
                self._differs(path, "is no checksum list")
            else:
                if self._bundle.digests[path] != listed[ATTEMPTS_LIST]:
                    self._differs(path, "is not what zf wrote")
        for place, digest in self._earlier(task):
            if found.get(f"{place}/{TASK_LIST}") != digest.hex():
                self._differs(f"{task}/{place}", "is not the attempt that ended there")
        return found

    def _earlier(self, task: str) -> Iterator[tuple[str, bytes]]:
        number = 1
        while (digest := self.known.earlier.get(earlier_tree(task, number))) is not None:
            yield f"{ATTEMPTS}/{number}", digest
            number += 1

    def compare_trees(self, seconds: float) -> None:
        """Compare the files of the trees with their lists: of some always, of others while there is
        time. Which ones is not to be foreseen.
        """
        tasks = list(self.known.trees)
        count = len(tasks)
        if not count:
            return
        until = time.monotonic() + seconds
        self._bytes_left = max(_ALWAYS_BYTES, int(seconds * _BYTES_PER_S))
        at = int.from_bytes(os.urandom(8)) % count
        stride = _stride(count)
        for done in range(count):
            if done >= _ALWAYS_TREES and time.monotonic() >= until:
                break
            self.compared += self._compare_tree(tasks[at])
            at = (at + stride) % count

    def _compare_tree(self, task: str) -> bool:
        """Whether all of it was compared, or there is nothing to compare it with: a difference."""
        if f"{task}/{TASK_LIST}" in self._found and task not in self.known.lists:
            return True  # there is nothing to hold its files against
        text = self.list_of(task)
        if text is None:
            return True
        listed = checksums.told(text)
        listed |= self.attempts_of(task, listed)
        try:
            there = self._bundle.inventory(task)
        except OSError:
            self._differs(task, "is no folder any more")
            return True
        expected = {f"{task}/{path}": digest for path, digest in listed.items()}
        for path, what in there.odd.items():
            self._differs(path, what if what.startswith("cannot ") else f"is {what}")
        for path in there.files.keys() - expected.keys() - {f"{task}/{TASK_LIST}"}:
            self._differs(path, "was put there")
        for path in there.folders.keys() - _explained(task, there.files):
            self._differs(path, "was put there")
        for path in expected.keys() - there.files.keys():
            self._differs(path, "is not there any more")
        present = [path for path in expected if path in there.files]
        wanted = [path for path in present if self._affords(path)]
        for path, why in self._bundle.hash(wanted):
            self._differs(path, f"cannot be read: {why}")
        digests = self._bundle.digests
        for path in wanted:
            if digests.get(path, expected[path]) != expected[path]:
                self._differs(path, "is not what zf wrote")
        return len(wanted) == len(present)

    def _affords(self, path: str) -> bool:
        """Whether there is time to read it: a file with holes in it can be of any size."""
        size = self._bundle.size(path)
        if size is None:
            return True
        if size > self._bytes_left:
            return False  # which keeps no smaller one from being read
        self._bytes_left -= size
        return True


def _explained(task: str, files: Iterable[str]) -> set[str]:
    """The folders of a task that its files, or its being a tree, account for."""
    folders: set[str] = set()
    for path in files:
        above = path.rpartition("/")[0]
        while above and above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    roots = {f for f in folders if f.count("/") == 2 and f.startswith(f"{task}/{ATTEMPTS}/")}
    return folders | {f"{root}/{name}" for root in {task, *roots} for name in FOLDERS}


def _stride(count: int) -> int:
    """A step with which one comes to all of so many places."""
    stride = max(1, int(count * 0.618))
    while gcd(stride, count) != 1:
        stride += 1
    return stride
