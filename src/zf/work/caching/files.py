"""The files that a task reads and those that it leaves: found by its globs, and hashed.

Of files to read, those that git ignores are passed over, by git's own answer, unless a pattern
names them or a folder they lie in; in a project without git all count. Links are never followed
into folders, and proofs are no part of either.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

from zf.lean.records import Struct, field
from zf.plan.caching.globs import matching
from zf.proof.files import READ
from zf.proof.source import git
from zf.work.caching.parts import digest

if TYPE_CHECKING:
    from pathspec import PathSpec

# Of a folder with more entries only their digest is recorded.
_MOST_ENTRIES = 5_000
# Python's own cache of what it has imported, which using a folder changes: no part of its state.
_PASSED_OVER = "__pycache__"
_WILD = frozenset("*?[")
# What a path that is a pattern may not go through, to be taken for one.
_SPECIAL = frozenset({"", ".", "..", ".git"})
_GIT_MODES = {True: "100755", False: "100644"}
LINK, DIRECTORY = "120000", "040000"


class UnusableError(Exception):
    """No result can be cached, as the files cannot be told; the message says why."""


def sources(
    root: str,
    patterns: tuple[str, ...],
    generates: tuple[str, ...],
    *,
    proofs: str,
    environ: Mapping[str, str],
    why_stop: Callable[[], str],
) -> dict[str, str]:
    """Each file that the patterns name, with git's idea of its mode and the SHA-256 of its bytes;
    of a link, that of where it leads and of the file there. What the task itself generates is no
    source, unless it is named. Raises UnusableError.
    """
    literal = {one for one in patterns if one[0] != "!" and not _WILD & {*one}}
    real = os.path.realpath(proofs)
    if all(one in literal and _is_file(root, one, real) for one in patterns):
        paths = literal  # nothing is to be asked, of git or of a pattern
    else:
        wanted, made = matching(patterns), matching(generates)
        paths = {
            path
            for path in _listed(root, patterns, proofs, environ)
            if wanted.match_file(path) and (path in literal or not made.match_file(path))
        }
    found: dict[str, str] = {}
    for path in sorted(paths):
        if why := why_stop():
            raise UnusableError(f"its sources {why}")
        entry = _entry(f"{root}/{path}")
        if entry:
            found[told(path)] = entry
    return found


def named(
    root: str, patterns: tuple[str, ...], *, proofs: str, environ: Mapping[str, str]
) -> list[str]:
    """Each file that the patterns name, as `sources` finds them."""
    return list(filter(matching(patterns).match_file, _listed(root, patterns, proofs, environ)))


class Generated(Struct, frozen=True):
    """What a task has left: files by path, with mode and SHA-256; and what its folders hold."""

    files: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_json(self, check: str) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "files": dict(self.files),
            "folders": {
                path: {
                    "check": check or "list",
                    "count": len(entries),
                    "sha256": digest(dict(entries)),
                    **({} if len(entries) > _MOST_ENTRIES else {"entries": dict(entries)}),
                }
                for path, entries in self.folders.items()
            },
        }


def generated(
    root: str,
    patterns: tuple[str, ...],
    *,
    content: bool,
    proofs: str,
    why_stop: Callable[[], str],
    whole: bool = True,
) -> Generated:
    """What is there of what the patterns name: a folder that is named is told by what is in it, by
    paths, sizes, modes and times, or (`content`) by what is in its files. Raises UnusableError, if
    it is to be `whole` also for a pattern that nothing matches.
    """
    files: dict[str, str] = {}
    folders: dict[str, dict[str, str]] = {}
    named = {
        one: place
        for one in patterns
        if one[0] != "!"
        and not _WILD & {*one}
        and _is_folder(f"{root}/{(place := one.rstrip('/'))}")
    }
    # Where all are folders, none takes out what another one holds.
    spec = None if len(named) == len(patterns) else matching(patterns)
    for pattern in patterns:
        if pattern in named:
            place = named[pattern]
            folders[told(place)] = _folder(root, place, spec, content, proofs, why_stop)
        elif spec is not None and pattern[0] != "!":
            found = _matches(root, pattern, spec, proofs, why_stop)
            if whole and not found:
                raise UnusableError(f"nothing is there of '{pattern}', which it generates")
            files |= found
    return Generated(files, folders)


def _matches(
    root: str, pattern: str, spec: PathSpec[Any], proofs: str, why_stop: Callable[[], str]
) -> dict[str, str]:
    """The files that a pattern names and no other takes out."""
    found, matches = {}, matching((pattern,))
    for path, _ in _walk(root, _start(pattern), proofs):
        if _PASSED_OVER in path.split("/") and _PASSED_OVER not in pattern:
            continue
        if matches.match_file(path) and spec.match_file(path):
            if why := why_stop():
                raise UnusableError(f"what it generates {why}")
            found[told(path)] = _entry(f"{root}/{path}")
    return found


def _folder(
    root: str,
    place: str,
    spec: PathSpec[Any] | None,
    content: bool,
    proofs: str,
    why_stop: Callable[[], str],
) -> dict[str, str]:
    """What is in a folder; without `spec` all of it."""
    entries = {}
    for path, info in _walk(root, place, proofs, of_folder=True):
        if spec is not None and not spec.match_file(path):
            continue
        name, mode = told(path[len(place) + 1 :]), info.st_mode
        is_plain = not (content or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
        if is_plain:
            entries[name] = f"{stat.S_IMODE(mode):06o} {info.st_size} {info.st_mtime_ns}"
        elif why := why_stop():
            raise UnusableError(f"what it generates {why}")
        elif stat.S_ISDIR(mode):
            entries[name] = DIRECTORY
        elif stat.S_ISLNK(mode):
            entries[name] = f"{LINK} {told(os.readlink(f'{root}/{path}'))}"
        else:
            entries[name] = _entry(f"{root}/{path}")
    return entries


def told(path: str) -> str:
    """A path as JSON has it: those that are no UTF-8 byte by byte."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "bytes:" + os.fsencode(path).hex()
    return path


def _start(pattern: str) -> str:
    parts = []
    for part in pattern.split("/"):
        if _WILD & {*part}:
            break
        if part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _listed(
    root: str, patterns: tuple[str, ...], proofs: str, environ: Mapping[str, str]
) -> Iterable[str]:
    """Every file that may be a source."""
    starts = {_start(one) for one in patterns if one[0] != "!"}
    try:
        listed, ignored = _git_listed(root, starts, environ)
    except (git.GitError, OSError):
        return {path for start in starts for path, _ in _walk(root, start, proofs)}
    found: set[str] = set()
    for path in listed:
        if path[-1] == "/" or _is_folder(f"{root}/{path}"):
            # A repository inside this one: git says no more of it.
            found.update(below for below, _ in _walk(root, path.rstrip("/"), proofs))
        else:
            found.add(path)
    for start in ignored:
        found.update(path for path, _ in _walk(root, start, proofs))
    real = os.path.realpath(proofs)
    return {path for path in found if not _is_below(f"{root}/{path}", real)}


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _git_listed(
    root: str, starts: set[str], environ: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """What git has or would take, and which of these places it ignores."""
    with (
        git.scratch_folder(environ) as scratch,
        git.Asking(git.environment(environ), root, scratch) as asking,
    ):
        files = asking.start("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        given = b"".join(os.fsencode(one) + b"\0" for one in sorted(starts - {""}))
        places = asking.start("check-ignore", "-z", "--stdin", given=given) if given else None
        listed = asking.finish(files)
        ignored = b""
        if places is not None:
            code, ignored, said = asking.outcome(places)
            if code not in {0, 1}:  # 1: none of them
                raise git.GitError(git.refusal(said))
    return _names(listed), _names(ignored)


def _names(out: bytes) -> list[str]:
    return [os.fsdecode(name) for name in out.split(b"\0") if name]


def _walk(
    root: str, start: str, proofs: str, *, of_folder: bool = False
) -> Iterator[tuple[str, os.stat_result]]:
    """Every file at or below a place of the project, in no order, with its lstat; git's own folder
    and the proofs are passed over. What is told `of_folder` includes the folders below it, and
    leaves out what Python keeps of imports.
    """
    top = f"{root}/{start}" if start else root
    try:
        info = os.lstat(top)
    except OSError:
        return
    if not stat.S_ISDIR(info.st_mode):
        yield start, info
        return
    real, queue = os.path.realpath(proofs), [start]
    while queue:
        here = queue.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(f"{root}/{here}") as found:
            for entry in found:
                path = f"{here}/{entry.name}" if here else entry.name
                if of_folder and entry.name == _PASSED_OVER:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name == ".git" or f"{root}/{path}" == real:
                        continue
                    queue.append(path)
                    if not of_folder:
                        continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield path, info


def _is_file(root: str, path: str, proofs: str) -> bool:
    """Whether a pattern is no more than the path of a file that can be a source; no link leads to
    `proofs`.
    """
    place = f"{root}/{path}"
    try:
        is_folder = stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return False
    return (
        not is_folder
        and not _SPECIAL & {*path.split("/")}
        and "\\" not in path
        and path == path.strip()
        and not _is_below(place, proofs)
    )


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _entry(path: str) -> str:
    """A file's mode as git has it, and its SHA-256; empty for what is no file, or not there."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            where = os.fsencode(os.readlink(path))
            there = f" {_hash(path)}" if os.path.isfile(path) else ""
            return f"{LINK} {sha256(where).hexdigest()}{there}"
        if not stat.S_ISREG(info.st_mode):
            return ""
        return f"{_GIT_MODES[bool(info.st_mode & stat.S_IXUSR)]} {_hash(path)}"
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnusableError(f"{path!r} cannot be read: {error.strerror}") from None


def _hash(path: str) -> str:
    fd = os.open(path, READ & ~os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
