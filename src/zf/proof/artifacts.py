"""Artifacts into the proof: what a task left in `$ARTIFACTS_DIR`, and what its `artifacts:` name.

Everything here was written by somebody else. Only plain files are taken: links are not followed in
any part of a path, devices, fifos and sockets are not opened, nothing outside the root is read,
and every name ends up as one that all systems and checksum tools hold alike.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import translate
from hashlib import sha256
from typing import Protocol

from zf.errors import printable
from zf.lean import lazy
from zf.lean.record import field, mutable
from zf.proof.files import FOLDER, NAMED_FOLDER, NEW, READ, opened, remove, write_all
from zf.proof.layout import ARTIFACTS, RENAMED
from zf.proof.lines import object_lines
from zf.proof.store import TaskTree

# Far beyond any report, far below what fills a disk by mistake or makes a list unreadable.
MAX_FILES = 20_000
MAX_BYTES = 16 * 1024**3
MAX_DEPTH = 32
# File systems hold 255 bytes; this leaves room for the mark of a second name alike.
MAX_NAME = 240
_MAX_ENDING = 16

_BLOCK_BYTES = 1024 * 1024
# From here on a thread to hash in is worth starting.
_LARGE_BYTES = 16 * _BLOCK_BYTES
_SWITCH_S = 0.000_02
# What is told of a task stays readable, for people and for zf itself, whatever the task does.
TOLD_MOST = 100
_PATH_CHARS = 400


class Secrets(Protocol):
    """What must not get into a proof."""

    def search(self, path: str, data: Iterable[bytes]) -> Iterable[str]:
        """The rules that find something in an artifact; none when it may be kept."""
        ...

    def text(self, text: str) -> str:
        """The text without what must not be seen."""
        ...


@mutable
class Collected:
    """What became of a task's artifacts. `refused` tells what was left out and why, `leaks` which
    of them for what must not be seen, `unmatched` the patterns that no file matches, `missing`
    those for which none is kept, `notes` what is odd but no loss, `renamed` what is called
    otherwise in the proof. The first of `refused` and `leaks` are told, of all there is the number.
    """

    secrets: Secrets | None = None
    # Why no more is to be taken, asked between files and blocks; nothing while it may go on.
    heed: Callable[[], str] | None = None
    stopped: str = ""
    count: int = 0
    size_bytes: int = 0
    leaks: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    renamed: list[dict[str, str]] = field(default_factory=list)
    refusals: int = 0
    leaked: int = 0

    def why_stopped(self) -> str:
        """Why nothing more is taken, once that is so."""
        if not self.stopped and self.heed is not None:
            self.stopped = self.heed()
        return self.stopped

    def refuse(self, path: str, reason: str) -> None:
        """Tell that this is not in the proof."""
        self.refusals += 1
        if self.refusals <= TOLD_MOST:
            self.refused.append({"path": self.shown(path), "reason": reason})

    def leak(self, path: str, rules: Iterable[str]) -> None:
        """Tell that this is not in the proof because it would give something away."""
        self.refuse(path, f"contains a secret ({listed(sorted(rules))})")
        self.leaked += 1
        if self.leaked <= TOLD_MOST:
            self.leaks.append(self.shown(path))

    def shown(self, path: str) -> str:
        """A path as it may be told: cut only when no secret is in it any more."""
        shown = printable(path if self.secrets is None else self.secrets.text(path))
        return shown if len(shown) <= _PATH_CHARS else f"{shown[: _PATH_CHARS - 3]}..."


def listed(told: Sequence[str], count: int | None = None, most: int = 10) -> str:
    """The first of them, and how many more there are of `count`."""
    more = (len(told) if count is None else count) - min(len(told), most)
    shown = ", ".join(told[:most])
    return f"{shown} and {more} more" if more else shown


class _RefusedError(Exception):
    """A file or folder is not taken; the message says why."""


class _LeakError(_RefusedError):
    """A file contains a secret; the arguments are the rules that say so."""


def collect(
    tree: TaskTree,
    root: str,
    patterns: Sequence[str],
    *,
    proofs: str,
    secrets: Secrets | None = None,
    left: str | None = None,
    heed: Callable[[], str] | None = None,
) -> Collected:
    """Take the task's artifacts into its tree; what had to be called otherwise there is written to
    `40-checksums/artifacts.json`, a file that is there only then.

    `patterns` are relative to `root`; the folder `proofs` is never looked into. Everything in the
    folder `left` is copied: somebody may go on writing there. When `heed` gives a reason, whatever
    has not been taken by then is refused for it.
    """
    found = Collected(secrets, heed)
    names = _Names()
    folder = tree.folder(ARTIFACTS)
    if os.listdir(folder):
        _Own(tree, found, names).keep(folder, "", "")
    if left is not None:
        _copy_left(tree, left, found, names)
    if patterns:
        _copy_matching(tree, root, patterns, proofs, found, names)
    if found.renamed:
        data = object_lines({"schema": "zf/artifacts/v1", "renamed": found.renamed})
        tree.write(RENAMED, data)
    return found


def stored_name(name: str) -> str:
    """What a file of this name is called in the proof, if no other is called so.

    Letters, digits and `._+=@,~-` stay, and spaces inside; the rest becomes `%XX` for each byte. A
    name too long for that is cut and marked with the hash of the whole.
    """
    data = os.fsencode(name)
    stored = "".join(map(_STORED.__getitem__, data))
    if stored[0] in "-~ ":
        stored = f"%{ord(stored[0]):02X}{stored[1:]}"
    if stored[-1] == " ":
        stored = f"{stored[:-1]}%20"
    if len(stored) > MAX_NAME:
        stem, dot, ending = stored.rpartition(".")
        ending = dot + ending if stem and len(ending) <= _MAX_ENDING else ""
        mark = f"~{sha256(data).hexdigest()[:16]}{ending}"
        stored = stored[: MAX_NAME - len(mark)] + mark
    return stored


_PLAIN = re.compile(r"[A-Za-z0-9._+=@,~ -]")
_STORED = [chr(n) if _PLAIN.match(chr(n)) else f"%{n:02X}" for n in range(256)]


class _Names:
    """Which names are taken in which folder of 30-artifacts, upper and lower case being one."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}
        self._folders: dict[tuple[str, str], str] = {}

    def for_file(self, folder: str, name: str, but: Iterable[str] = ()) -> str:
        """A free name in a stored folder (its path with a `/` behind); never one of `but`."""
        taken = self._taken.setdefault(folder, set())
        first = final = stored_name(name)
        count = 1
        while final.casefold() in taken or (final != name and final in but):
            count += 1
            final = f"{first}~{count}"
        taken.add(final.casefold())
        return final

    def for_folder(self, folder: str, name: str, but: Iterable[str] = ()) -> str:
        """The same for a folder; asked again for the same one, the answer is the same."""
        final = self._folders.get((folder, name))
        if final is None:
            final = self._folders[folder, name] = self.for_file(folder, name, but)
        return final


class _Own:
    """Goes through what the task itself put into 30-artifacts, while nothing of it runs any more;
    what may not stay is taken out.
    """

    def __init__(self, tree: TaskTree, found: Collected, names: _Names) -> None:
        self._tree = tree
        self._found = found
        self._names = names

    def keep(self, folder: int, original: str, stored: str) -> None:
        """Keep what is in an open folder; both paths are relative and end in `/` or are empty."""
        present = set(os.listdir(folder))
        # Names that can stay as they are come first, so that none of them has to give way.
        for name in sorted(present, key=lambda name: (stored_name(name) != name, name)):
            try:
                self._keep_one(folder, name, original, stored, present)
            except _LeakError as leak:
                self._found.leak(original + name, leak.args)
            except _RefusedError as refusal:
                self._found.refuse(original + name, str(refusal))

    def _keep_one(
        self, folder: int, name: str, original: str, stored: str, present: set[str]
    ) -> None:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_folder = stat.S_ISDIR(info.st_mode)
        reason = _why_deep(original) if is_folder else _why_not(info, self._found)
        reason = reason or self._found.why_stopped()
        if reason:
            remove(folder, name)
            raise _RefusedError(reason)
        if is_folder:
            final = self._names.for_folder(stored, name, present)
        else:
            final = self._names.for_file(stored, name, present)
        if final != name:
            os.rename(name, final, src_dir_fd=folder, dst_dir_fd=folder)
        if is_folder:
            self._keep_below(folder, final, f"{original}{name}/", f"{stored}{final}/")
            return
        try:
            digest = self._hash(original + name, folder, final, info)
        except _RefusedError:
            with suppress(FileNotFoundError):
                os.unlink(final, dir_fd=folder)
            raise
        self._tree.wrote(f"{ARTIFACTS}/{stored}{final}", digest)
        _count(self._found, original + name, stored + final)

    def _keep_below(self, folder: int, name: str, original: str, stored: str) -> None:
        os.chmod(name, 0o700, dir_fd=folder)
        with opened(name, FOLDER, folder) as below:
            self.keep(below, original, stored)
            is_empty = not os.listdir(below)
        if is_empty:
            os.rmdir(name, dir_fd=folder)

    def _hash(self, path: str, folder: int, name: str, info: os.stat_result) -> str:
        if not info.st_mode & stat.S_IRUSR:
            os.chmod(name, 0o644, dir_fd=folder)
        with opened(name, READ, folder) as source:
            if info.st_nlink == 1:
                return _pass_bytes(path, source, None, self._found)
            # Its other name may be anywhere; what is written there would change the proof.
            os.unlink(name, dir_fd=folder)
            return _copy_to(path, source, folder, name, self._found)


def _copy_left(tree: TaskTree, left: str, found: Collected, names: _Names) -> None:
    try:
        left_fd = os.open(left, FOLDER)
    except OSError as error:
        found.refuse("$ARTIFACTS_DIR", f"cannot be read: {error.strerror}")
        return
    try:
        _Walk(tree, found, names, _NOWHERE).take_all(left_fd)
    finally:
        os.close(left_fd)


# No folder's identity.
_NOWHERE = (-1, -1)


def _copy_matching(
    tree: TaskTree,
    root: str,
    patterns: Sequence[str],
    proofs: str,
    found: Collected,
    names: _Names,
) -> None:
    with opened(root, NAMED_FOLDER) as root_fd:
        walk = _Walk(tree, found, names, _identity(os.stat(proofs)))
        for pattern in patterns:
            walk.take(root_fd, pattern)


class _Walk:
    """Goes down from the root through folders held open, links refused at each step."""

    def __init__(
        self, tree: TaskTree, found: Collected, names: _Names, proofs: tuple[int, int]
    ) -> None:
        self._tree = tree
        self._found = found
        self._names = names
        self._proofs = proofs
        self._taken: set[str] = set()
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._matched = 0
        self._kept: set[str] = set()
        self._found_kept = False

    def take(self, root: int, pattern: str) -> None:
        """Copy every file the pattern names; a folder stands for everything in it."""
        parts = [part for part in pattern.split("/") if part not in {"", "."}]
        if pattern.startswith("/") or ".." in parts or not parts:
            self._found.refuse(pattern, "is not a path inside the project")
            return
        self._matched, self._found_kept = 0, False
        self._seen.clear()
        self._descend(root, "", tuple(parts))
        if not self._matched:
            self._found.unmatched.append(self._found.shown(pattern))
        if not self._found_kept:
            self._found.missing.append(self._found.shown(pattern))

    def take_all(self, root: int) -> None:
        """Copy everything there is."""
        self._descend(root, "", ("**",))

    def _descend(self, folder: int, path: str, parts: tuple[str, ...]) -> None:
        """Take what matches `parts` in an open folder; `path` is where it is, with a `/` behind."""
        if (path, parts) in self._seen:
            # `**/a/**/a` comes to the same place in many ways.
            return
        self._seen.add((path, parts))
        part, rest = parts[0], parts[1:]
        if part == "**" and rest in _EVERYTHING:
            for name in _matching(folder, "*"):
                self._take(folder, path, name)
        elif part == "**":
            self._descend(folder, path, rest)
            for name in _matching(folder, "*"):
                self._below(folder, path, name, parts, named=False)
        elif rest:
            for name in _matching(folder, part):
                self._below(folder, path, name, rest, named=part == name)
        else:
            for name in _matching(folder, part):
                self._take(folder, path, name)

    def _below(
        self, folder: int, path: str, name: str, parts: tuple[str, ...], *, named: bool
    ) -> None:
        """Go on in a folder. One that is not entered is told of only if the pattern named it."""
        try:
            below = self._enter(folder, path, name)
        except _RefusedError as refusal:
            if named:
                self._matched += 1
                self._found.refuse(path + name, str(refusal))
            return
        try:
            # A proof is never a part of a proof, whatever the pattern.
            if _identity(os.fstat(below)) != self._proofs:
                self._descend(below, f"{path}{name}/", parts)
        finally:
            os.close(below)

    def _enter(self, folder: int, path: str, name: str) -> int:
        mode = _look(folder, name).st_mode
        if not stat.S_ISDIR(mode):
            raise _RefusedError(_ODD.get(stat.S_IFMT(mode), "is not a folder"))
        if reason := _why_deep(path) or self._found.why_stopped():
            raise _RefusedError(reason)
        try:
            below = os.open(name, FOLDER, dir_fd=folder)
        except OSError as error:
            raise _RefusedError(f"cannot be read: {error.strerror}") from None
        return below

    def _take(self, folder: int, path: str, name: str) -> None:
        info = _look(folder, name)
        if stat.S_ISDIR(info.st_mode):
            self._below(folder, path, name, ("**",), named=True)
            return
        self._matched += 1
        if path + name in self._taken:
            self._found_kept |= path + name in self._kept
            return
        self._taken.add(path + name)
        try:
            self._copy(folder, path, name, info)
        except _LeakError as leak:
            self._found.leak(path + name, leak.args)
        except _RefusedError as refusal:
            self._found.refuse(path + name, str(refusal))

    def _copy(self, folder: int, path: str, name: str, info: os.stat_result) -> None:
        if reason := _why_not(info, self._found) or self._found.why_stopped():
            raise _RefusedError(reason)
        try:
            source = os.open(name, READ, dir_fd=folder)
        except OSError as error:
            raise _RefusedError(f"cannot be read: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise _RefusedError("was replaced while it was looked at")
            target, stored = self._target_folder(path)
            try:
                final = self._names.for_file(stored, name)
                digest = _copy_to(path + name, source, target, final, self._found)
            except _RefusedError:
                self._drop_empty(stored)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)
        self._tree.wrote(f"{ARTIFACTS}/{stored}{final}", digest)
        _count(self._found, path + name, stored + final)
        self._kept.add(path + name)
        self._found_kept = True

    def _target_folder(self, path: str) -> tuple[int, str]:
        """The folder below 30-artifacts that stands for a folder of the project."""
        folder = os.dup(self._tree.folder(ARTIFACTS))
        stored = ""
        for part in path.split("/")[:-1]:
            name = self._names.for_folder(stored, part)
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            folder = _gone_into(folder, name)
            stored += f"{name}/"
        return folder, stored

    def _drop_empty(self, stored: str) -> None:
        """Take out a folder made for a file that was then refused, and those above it likewise:
        a proof has no folder without a file.
        """
        *above, name = stored.split("/")[:-1] or [""]
        while name:
            folder = os.dup(self._tree.folder(ARTIFACTS))
            try:
                for part in above:
                    folder = _gone_into(folder, part)
                os.rmdir(name, dir_fd=folder)
            except OSError:
                return  # another file is in it
            finally:
                os.close(folder)
            *above, name = above or [""]


def _gone_into(folder: int, name: str) -> int:
    """The open folder of this name in an open one, which is closed."""
    below = os.open(name, FOLDER, dir_fd=folder)
    os.close(folder)
    return below


# What follows `**` when it stands for all there is, as it does at the end of a pattern.
_EVERYTHING = {(), ("*",), ("**",), ("**", "*")}
_ODD = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFIFO: "is a fifo",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFBLK: "is a device",
    stat.S_IFCHR: "is a device",
}


def _look(folder: int, name: str) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise _RefusedError(f"cannot be read: {error.strerror}") from None


def _why_not(info: os.stat_result, found: Collected) -> str:
    if not stat.S_ISREG(info.st_mode):
        return _ODD.get(stat.S_IFMT(info.st_mode), "is not a file")
    if found.count >= MAX_FILES:
        return f"is beyond the limit of {MAX_FILES} artifacts a task"
    # By the size it claims: a sparse file of 8 TiB takes no room, and hours to read.
    return _why_large(found.size_bytes + info.st_size)


def _why_large(size_bytes: int) -> str:
    if size_bytes <= MAX_BYTES:
        return ""
    return f"is beyond the limit of {MAX_BYTES >> 30} GiB of artifacts a task"


def _why_deep(path: str) -> str:
    return f"is nested deeper than {MAX_DEPTH} folders" if path.count("/") >= MAX_DEPTH else ""


def _matching(folder: int, part: str) -> list[str]:
    """Names in a folder that match one part of a pattern, in byte order; wildcards match a leading
    dot too, as in GitLab's `artifacts:paths`.
    """
    names = os.listdir(folder)
    if not _WILD.search(part):
        return [part] if part in names else []
    match = re.compile(translate(part)).match
    return sorted((name for name in names if match(name)), key=os.fsencode)


_WILD = lazy.pattern(r"[*?\[]")


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _copy_to(path: str, source: int, folder: int, name: str, found: Collected) -> str:
    target = os.open(name, NEW, 0o666, dir_fd=folder)
    try:
        return _pass_bytes(path, source, target, found)
    except _RefusedError:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(target)


def _pass_bytes(path: str, source: int, target: int | None, found: Collected) -> str:
    """The SHA-256 of what is read, and in `target` the same bytes."""
    if found.secrets is not None and found.secrets.text(path) != path:
        raise _LeakError("in its name")
    digest = sha256()
    with _beside(digest.update, os.fstat(source).st_size) as hash_on:
        blocks = _blocks(source, target, hash_on, found)
        if found.secrets is not None and (rules := found.secrets.search(path, blocks)):
            raise _LeakError(*rules)
        for _ in blocks:
            pass
    return digest.hexdigest()


@contextmanager
def _beside(hash_on: Callable[[bytes], None], size: int) -> Iterator[Callable[[bytes], None]]:
    """Hash a large file on another core, one block behind: what else is done with the blocks, a
    look for secrets say, then takes no time of its own (2 GiB: 1.8 -> 1.2 times the hashing alone).
    """
    if size < _LARGE_BYTES:
        yield hash_on
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 5 ms, and few are large

    usual_s = sys.getswitchinterval()
    # Hashing begins as soon as it is asked for, not when the rest has nothing to do for once.
    sys.setswitchinterval(_SWITCH_S)
    try:
        with ThreadPoolExecutor(1) as beside:
            under_way = beside.submit(hash_on, b"")

            def hash_next(block: bytes) -> None:
                nonlocal under_way
                under_way.result()
                under_way = beside.submit(hash_on, block)

            yield hash_next
            under_way.result()
    finally:
        sys.setswitchinterval(usual_s)


def _blocks(
    source: int, target: int | None, hash_on: Callable[[bytes], None], found: Collected
) -> Iterator[bytes]:
    """Each piece of a file as it passes."""
    while block := os.read(source, _BLOCK_BYTES):
        found.size_bytes += len(block)
        if reason := _why_large(found.size_bytes) or found.why_stopped():
            raise _RefusedError(reason)
        hash_on(block)
        if target is not None:
            write_all(target, block)
        yield block


def _count(found: Collected, original: str, stored: str) -> None:
    """One more is kept."""
    found.count += 1
    if stored == original:
        return
    try:
        found.renamed.append({"stored": stored, "original": os.fsencode(original).decode()})
    except UnicodeDecodeError:
        coded = b64encode(os.fsencode(original)).decode()
        found.renamed.append({"stored": stored, "original_base64": coded})
