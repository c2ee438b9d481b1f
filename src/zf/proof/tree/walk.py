"""Going through what a task left, to take it into its proof; imported when there is something.

All of it may be hostile. Only plain files are taken: links are not followed in any part of a path,
devices, fifos and sockets are not opened, nothing outside the root is read, and every name ends up
as one that all systems and checksum tools hold alike.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fnmatch import translate
from hashlib import sha256

from zf.lean import lazy
from zf.proof.files import FOLDER, NAMED_FOLDER, READ, opened, remove
from zf.proof.layout import ARTIFACTS
from zf.proof.tree.artifacts import Collected, RefusedError, copy_to, pass_bytes
from zf.proof.tree.store import TaskTree

MAX_DEPTH = 32
# File systems hold 255 bytes; this leaves room for the mark of a second name alike.
MAX_NAME = 240
_MAX_ENDING = 16
_PLAIN = re.compile(r"[A-Za-z0-9._+=@,~ -]")
_STORED = [chr(n) if _PLAIN.match(chr(n)) else f"%{n:02X}" for n in range(256)]
# No folder's identity.
_NOWHERE = (-1, -1)
# What follows `**` when it stands for all there is, as it does at the end of a pattern.
_EVERYTHING = {(), ("*",), ("**",), ("**", "*")}
_ODD = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFIFO: "is a fifo",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFBLK: "is a device",
    stat.S_IFCHR: "is a device",
}
_WILD = lazy.pattern(r"[*?\[]")


def take_all(
    tree: TaskTree,
    found: Collected,
    left: str | None,
    root: str,
    patterns: Sequence[str],
    proofs: str,
) -> None:
    """Keep what is in the tree's 30-artifacts, then copy what is `left` and what matches."""
    names = _Names()
    _Own(tree, found, names).keep(tree.folder(ARTIFACTS), "", "")
    if left is not None:
        _copy_left(tree, left, found, names)
    if patterns:
        with opened(root, NAMED_FOLDER) as folder:
            walk = _Walk(tree, found, names, _identity(os.stat(proofs)))
            for pattern in patterns:
                walk.take(folder, pattern)


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
            with self._found.telling(original + name):
                self._keep_one(folder, name, original, stored, present)

    def _keep_one(
        self, folder: int, name: str, original: str, stored: str, present: set[str]
    ) -> None:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_folder = stat.S_ISDIR(info.st_mode)
        reason = _why_deep(original) if is_folder else _why_not(info, self._found)
        reason = reason or self._found.why_stopped()
        if reason:
            remove(folder, name)
            raise RefusedError(reason)
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
        except RefusedError:
            with suppress(FileNotFoundError):
                os.unlink(final, dir_fd=folder)
            raise
        self._tree.wrote(f"{ARTIFACTS}/{stored}{final}", digest)
        self._found.keep(original + name, stored + final)

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
                return pass_bytes(path, source, None, self._found)
            # Its other name may be anywhere; what is written there would change the proof.
            os.unlink(name, dir_fd=folder)
            return copy_to(path, source, folder, name, self._found)


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
        except RefusedError as refusal:
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
            raise RefusedError(_ODD.get(stat.S_IFMT(mode), "is not a folder"))
        if reason := _why_deep(path) or self._found.why_stopped():
            raise RefusedError(reason)
        try:
            below = os.open(name, FOLDER, dir_fd=folder)
        except OSError as error:
            raise RefusedError(f"cannot be read: {error.strerror}") from None
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
        with self._found.telling(path + name):
            self._copy(folder, path, name, info)

    def _copy(self, folder: int, path: str, name: str, info: os.stat_result) -> None:
        if reason := _why_not(info, self._found) or self._found.why_stopped():
            raise RefusedError(reason)
        try:
            source = os.open(name, READ, dir_fd=folder)
        except OSError as error:
            raise RefusedError(f"cannot be read: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise RefusedError("was replaced while it was looked at")
            target, stored = self._target_folder(path)
            try:
                final = self._names.for_file(stored, name)
                digest = copy_to(path + name, source, target, final, self._found)
            except RefusedError:
                self._drop_empty(stored)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)
        self._tree.wrote(f"{ARTIFACTS}/{stored}{final}", digest)
        self._found.keep(path + name, stored + final)
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


def _look(folder: int, name: str) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise RefusedError(f"cannot be read: {error.strerror}") from None


def _why_not(info: os.stat_result, found: Collected) -> str:
    if not stat.S_ISREG(info.st_mode):
        return _ODD.get(stat.S_IFMT(info.st_mode), "is not a file")
    return found.why_beyond(info.st_size)


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


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
