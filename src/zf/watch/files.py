"""The files of a project as they were when last looked at, so that an event is a hint where to look
and nothing more: none that is lost, doubled or late changes what is found to have changed.

Files that git ignores are passed over, by git's own answer, unless sources name them or a folder
they lie in; so are git's own folder and proofs, and what editors write beside a file while it is
open or being saved, unless sources name just that. In a project without git, folders are that are
known to hold no sources. Links to files stand for the files, links to folders are not followed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from zf.errors import ZfError, printable
from zf.lean import lazy
from zf.proof.source import git

# Never the user's own work, whatever git thinks of them.
_NEVER = frozenset({".git", ".hg", ".svn", ".jj", "__pycache__"})
# Swap files of Vim and its probe whether it may write in a folder, which is called 4913; locks and
# autosaves of Emacs; the backups of many; files of Kate, GTK editors and JetBrains' on their way.
_SCRATCH = lazy.pattern(
    r"\..*\.sw[a-px]|4913|\.?#.*#|\.#.*|.+~"
    r"|\..*\.kate-swp|\.goutputstream-\w{6}|.*___jb_(tmp|old)___"
)
# A file that was written so shortly before it was looked at may be written again and look the same:
# file systems count time in ticks of some milliseconds.
_RACY_NS = 50_000_000
# One look at so many new names asks git; more of them are looked at with everything.
_MOST_SINGLE = 2_000

# After so long a look at everything finds no such write that no event told of.
_RACY_S = 1.0

Look = tuple[int, int, int, int]


class Files:
    """What is followed below `root`. `folders` are those to be told about, each as
    it was found, `named` are places that
    count though git ignores them.
    """

    def __init__(
        self, root: str, proofs: str, environ: Mapping[str, str], named: Sequence[str] = ()
    ) -> None:
        self.folders: dict[str, tuple[int, int] | None] = {}
        # Links to folders, from the root.
        self.links: list[str] = []
        self._root = root
        self._proofs = proofs
        self._environ = environ
        self._named = tuple(named)
        self._here = _identity(root)
        # Where this process itself writes, as with `zf watch > watch.log`: every line that tells
        # of a change would be the next one.
        self._own = {_identity(fd) for fd in (1, 2)}
        self._looks: dict[str, Look] = {}
        # When those were looked at, on the monotonic clock, that may have been written since and
        # look the same.
        self._racy: dict[str, float] = {}
        # Repositories inside this one, from the root, the deepest first.
        self._inner: list[str] = []
        # What links to files lead to, with the links.
        self._targets: dict[str, set[str]] = {}
        self.look_at_all()

    def __len__(self) -> int:
        return len(self._looks)

    def also(self, named: Sequence[str]) -> None:
        """These places count though git ignores them, from the next look at all on."""
        self._named = tuple(named)

    def look_at_all(self) -> set[str]:
        """The files that have changed since they were looked at last: new, different or gone; paths
        from the root. Raises ZfError when the project itself is gone.
        """
        self.refuse_gone()
        before, self._looks = self._looks, {}
        since = time.monotonic() - _RACY_S
        racy = {name for name, looked in self._racy.items() if looked >= since}
        folders, self._targets, self.links = {self._root}, {}, []
        self._racy, self._inner = {}, []
        self._walk([""], folders)
        folders |= {os.path.dirname(target) for target in self._targets}
        self.folders = {folder: _identity(folder) for folder in folders}
        names = before.keys() | self._looks.keys()
        return {n for n in names if n in racy or self._looks.get(n) != before.get(n)}

    def refuse_gone(self) -> None:
        """Raises ZfError (exit 2) when the project's folder is not the one it was."""
        if _identity(self._root) != self._here:
            raise ZfError(
                f"the project's folder {printable(self._root)} is gone, or was replaced",
                code="ZF170",
                hint="start zf watch again where the project is now",
            )

    def written_at(self, name: str) -> float | None:
        """When the file was written, in seconds since the epoch; None for one that is gone."""
        found = self._looks.get(name)
        return None if found is None else found[0] / 1e9

    def look(self, told: Iterable[str]) -> tuple[set[str], bool]:
        """Of the places that events named, the files that have changed; and whether there are new
        folders, which means that all has to be looked at again.
        """
        self.refuse_gone()
        changed: set[str] = set()
        new: list[str] = []
        for path in told:
            for name in self._names_of(path):
                if name in self._looks:
                    if self._look(name):
                        changed.add(name)
                elif self._is_below(name) or os.path.lexists(f"{self._root}/{name}"):
                    new.append(name)
        if any(os.path.basename(name) == ".gitignore" for name in (*changed, *new)):
            return changed, True
        return changed | self._take(new), self._is_grown(new)

    def _names_of(self, path: str) -> Iterable[str]:
        linked = self._targets.get(path, ())
        prefix = f"{self._root}/"
        if not path.startswith(prefix):
            return linked
        name = path.removeprefix(prefix)
        if _NEVER.intersection(name.split("/")) or f"{path}/".startswith(f"{self._proofs}/"):
            return linked
        return (name, *linked)

    def _is_below(self, name: str) -> bool:
        """Whether it is a folder that files were in, which may be gone."""
        return f"{self._root}/{name}" in self.folders

    def _take(self, new: Sequence[str]) -> set[str]:
        """Those of new names that are files to be followed."""
        found = [name for name in new if not os.path.isdir(f"{self._root}/{name}")]
        found = [n for n in found if not self._is_below(n) and not self._is_scratch(n)]
        if len(found) > _MOST_SINGLE:
            return set()
        ignored = self._ignored(found) if found else set()
        return {name for name in found if name not in ignored and self._look(name)}

    def _is_grown(self, new: Sequence[str]) -> bool:
        if len(new) > _MOST_SINGLE:
            return True
        folders = [n for n in new if os.path.isdir(f"{self._root}/{n}") or self._is_below(n)]
        unknown = [name for name in folders if not self._is_below(name)]
        if len(unknown) < len(folders):
            return True  # one that was there is gone, or was made anew
        return bool(unknown) and len(self._ignored(unknown)) < len(unknown)

    def _look(self, name: str) -> bool:
        """Whether the file has changed since the last look."""
        before, racy = self._looks.pop(name, None), self._racy.pop(name, None)
        now = self._seen(name)
        if now is not None:
            self._looks[name] = now
        return now != before or racy is not None

    def _seen(self, name: str) -> Look | None:
        path = f"{self._root}/{name}"
        with suppress(OSError):
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                return self._linked(name, path, found)
            if stat.S_ISREG(found.st_mode):
                if (found.st_dev, found.st_ino) in self._own:
                    return None
                return self._looked(name, found)
        return None

    def _looked(self, name: str, found: os.stat_result) -> Look:
        if time.time_ns() - found.st_mtime_ns < _RACY_NS:
            self._racy[name] = time.monotonic()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _linked(self, name: str, path: str, link: os.stat_result) -> Look | None:
        target = os.path.realpath(path)
        if os.path.isdir(target):
            if name not in self.links:
                self.links.append(name)
            return None
        self._targets.setdefault(target, set()).add(name)
        try:
            return self._looked(name, os.stat(target))
        except OSError:
            return self._looked(name, link)

    def _walk(self, level: list[str], folders: set[str]) -> None:
        """Level by level, so that git is asked once for each."""
        while level:
            below: list[str] = []
            files: list[str] = []
            for folder in level:
                self._list(folder, below, files)
            ignored = self._ignored([*below, *files])
            level = [name for name in below if name not in ignored]
            folders.update(f"{self._root}/{name}" for name in level)
            for name in files:
                if name not in ignored and (seen := self._seen(name)) is not None:
                    self._looks[name] = seen

    def _list(self, folder: str, below: list[str], files: list[str]) -> None:
        with suppress(OSError), os.scandir(f"{self._root}/{folder}") as entries:
            for entry in entries:
                if entry.name == ".git" and folder:
                    self._inner.insert(0, folder)
                if entry.name in _NEVER or entry.path == self._proofs:
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(name)
                elif not self._is_scratch(name):
                    files.append(name)

    def _is_scratch(self, name: str) -> bool:
        """Whether an editor's own file would be called so."""
        return bool(_SCRATCH.fullmatch(os.path.basename(name))) and name not in self._named

    def _ignored(self, names: Collection[str]) -> set[str]:
        """Those that git ignores, each by the answer of the repository that it is in."""
        asked: dict[str, list[str]] = {}
        for name in (*names, *(place for place in self._named if self._is_straight(place))):
            inner = next((repo for repo in self._inner if name.startswith(f"{repo}/")), "")
            asked.setdefault(inner, []).append(name)
        found: set[str] = set()
        for repository, those in asked.items():
            found |= self._ignored_in(repository, those)
        kept = [place for place in self._named if place in found]
        return {name for name in found if not any(_touch(name, place) for place in kept)}

    def _ignored_in(self, repository: str, names: Sequence[str]) -> set[str]:
        """The same of one repository; without git, those known to be of no interest."""
        prefix = f"{repository}/" if repository else ""
        inside = [name.removeprefix(prefix) for name in names]
        try:
            found = _asked_git(f"{self._root}/{repository}", inside, self._environ)
        except (git.GitError, OSError):
            from watchfiles import DefaultFilter  # noqa: PLC0415 - an extra; it is there by now

            return {name for name in names if os.path.basename(name) in DefaultFilter.ignore_dirs}
        return {f"{prefix}{name}" for name in found}

    def _is_straight(self, place: str) -> bool:
        """Whether no link leads there: git answers for no place behind one."""
        folder = os.path.dirname(f"{self._root}/{place}")
        return os.path.realpath(folder) == os.path.normpath(folder)


def _touch(name: str, place: str) -> bool:
    """Whether one is the other, or lies in it."""
    return name == place or name.startswith(f"{place}/") or place.startswith(f"{name}/")


def _asked_git(root: str, names: Collection[str], environ: Mapping[str, str]) -> set[str]:
    given = b"".join(os.fsencode(f"./{name}") + b"\0" for name in names)
    with (
        git.scratch_folder(environ) as scratch,
        git.Asking(git.environment(environ), root, scratch) as asking,
    ):
        asked = asking.start("check-ignore", "-z", "--stdin", given=given)
        code, ignored, said = asking.outcome(asked)
        if code not in {0, 1}:  # 1: none of them
            raise git.GitError(git.refusal(said))
    return {os.fsdecode(name).removeprefix("./") for name in ignored.split(b"\0") if name}


def _identity(path: str | int) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
