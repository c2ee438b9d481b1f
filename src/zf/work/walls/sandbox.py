"""The sandbox: a step sees the system read-only, the project, and of `proofs/` its own artifacts.

bubblewrap (bwrap) makes it: namespaces of its own for mounts, processes, IPC and, unless the task
asks for it, the network, and no privilege that the user has. What is where is told here, as its
command line; a step is its child, and zf supervises both as it does any other tree.

`--die-with-parent` is not among the options. With it whatever a step leaves behind would be killed
before zf saw it, where without the sandbox that fails the task; and TERM would end all at once,
with no time to clean up. zf ends such trees itself, also when a worker was killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from glob import iglob
from typing import Any

from zf.lean.records import Struct, field, replace
from zf.work.shell import REPORT, CannotStandError, which

PROGRAM = "bwrap"
MISSING = "it takes bubblewrap, and no `bwrap` is on the PATH"
# What a step keeps of the system however little it may see of the project. /run has sockets of
# daemons, which a read-only folder would not keep anything from; /tmp is everybody's.
_SYSTEM = (
    ("--ro-bind", "/", "/"),
    ("--dev", "/dev"),
    ("--proc", "/proc"),
    # Root needs no capability to write there, and what the kernel starts as root is among it.
    *(("--ro-bind-try", path, path) for path in ("/proc/sys", "/proc/sysrq-trigger", "/proc/fs")),
    ("--tmpfs", "/tmp"),  # noqa: S108 - its own
    ("--tmpfs", "/var/tmp"),  # noqa: S108 - its own
    ("--tmpfs", "/run"),
)
# With the network, names are looked up as outside: this is where /etc/resolv.conf may lead.
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", "--cap-drop", "ALL")
# What no step has to write to, whatever it may write to of the project: what is run, and where
# commits come from.
FIXED = (".git", "zf.yaml", "tasks", ".zenflow/tasks")
_PROBE_S = 10
# How bubblewrap ends when it has not begun what is in the sandbox, and what it reports otherwise.
_FAILED, _BEGUN = 1, b'"exit-code"'
# Above all descriptors that a step is given.
_HIGH = 10
# In place of true and false, where another process has made the network.
JOINED = "joined"
_WILD = frozenset("*?[")
# What a task can say of its sandbox that is not about files.
_USUAL = frozenset({"network", "if_available"})
# What may be a path in what a program prints: a word, what is in quotes, what is between colons.
_PATHS = tuple(
    re.compile(one, re.MULTILINE)
    for one in (
        r"[\w./@+~-]*[\w@+~-]",
        r"(?<=['\"`])[^'\"`\n]+(?=['\"`])",
        r"(?<=: )[^:\n]+(?=:|$)",
    )
)


class Rooms(Struct, frozen=True):
    """The folders that a sandbox is made around, absolute. Of the proofs a step can write to those
    that are `written`; and it can read what is `shown`, by where it finds that.
    """

    root: str
    proofs: str
    workdir: str
    # A file with nothing in it.
    empty: str = "/dev/null"
    written: Sequence[str] = ()
    shown: Mapping[str, str] = field(default_factory=dict)


class Sandbox:
    """The sandbox of one attempt, which its steps get one after the other, each as things are then:
    what a step has made is there for the next.
    """

    def __init__(
        self,
        program: str,
        said: Mapping[str, Any],
        rooms: Rooms,
        home: str | None = None,
        read: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        """`program` is where bubblewrap is, `home` what `~` stands for, and `read` finds what the
        task's `read` names.
        """
        self.program = program
        self._said = said
        self._rooms = rooms
        self._home = home
        self._read = read
        # Of the project, what the last step saw; None for all of it.
        self._seen: list[str] | None = None
        self._loose = loose(rooms.root)
        # What has the program be in a network that others are in; empty for one of its own, or for
        # that of the system.
        self._joining: Sequence[str] = ()
        # Where bubblewrap reports whether it began what is in the sandbox.
        self._report = -1

    @property
    def has_network(self) -> bool:
        """Whether its steps have the network of the system."""
        return bool(self._said.get("network"))

    def join(self, words: Sequence[str]) -> None:
        """From now on, have what is put behind this command line be in its network."""
        self._joining = words

    def reported(self, words: Sequence[str]) -> tuple[Sequence[str], int]:
        """The same command line, so that `stood` knows of what it runs, and the file that is to be
        on descriptor 4 of it.
        """
        if self._report < 0:
            self._report = made = os.memfd_create("zf-report", os.MFD_CLOEXEC)
            if made < _HIGH:
                self._report = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _HIGH)
                os.close(made)
        else:
            os.truncate(self._report, 0)
            os.lseek(self._report, 0, os.SEEK_SET)
        # After its own path, and its name where it stands first.
        at = len(self._joining) + 1 if self._joining else 2
        return (*words[:at], "--json-status-fd", str(REPORT), *words[at:]), self._report

    def stood(self, exit_code: int | None) -> bool:
        """Whether what was `reported`, and ended with this code, had begun in its sandbox.

        bubblewrap goes through all mounts of the machine, and gives up when one disappears before
        it gets there, as when another program unmounts a folder at that moment.
        """
        return exit_code != _FAILED or _BEGUN in os.pread(self._report, 4096, 0)

    def close(self) -> None:
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

    def words(self, workdir: str, script: str = "") -> tuple[str, ...]:
        """The command line that a step's own is put behind, for one that starts in this folder and
        has its script in that file, if in any; the first word is the program. CannotStandError.
        """
        said, self._seen = (self._said, None) if self._said.keys() <= _USUAL else self._named()
        if self._joining:
            said = {**said, "network": JOINED}
        shown = {**self._rooms.shown, script: script} if script else self._rooms.shown
        rooms = replace(self._rooms, workdir=workdir, shown=shown)
        words = command_line(said, rooms, self._seen)
        return (*self._joining, self.program, *(words[1:] if self._joining else words))

    def _named(self) -> tuple[Mapping[str, Any], list[str] | None]:
        """What the task says, its lists as the paths that are there now; and the files that `read`
        names, None where it says nothing. CannotStandError.
        """
        root, said = self._rooms.root, dict(self._said)
        if "write" in said:
            said["write"] = [path for one in said["write"] for path in writable(root, one)]
        said["hide"] = [self._in_home(one) for one in said.get("hide", ())]
        files = None if self._read is None else whole(root, self._read())
        if files is not None and "." in said.get("write", ()):
            raise CannotStandError("`write` is all of the project, so `read` keeps nothing from it")
        said["links"] = [
            link for one in self._said.get("write", ()) for link in _on_the_way(root, one)
        ]
        return said, files

    def unseen(self, workdir: str, text: str) -> list[str]:
        """The files of the project that a text, what the last step printed, speaks of though the
        step could not see them.
        """
        root, seen = self._rooms.root, self._seen
        if seen is None:
            return []
        there = (*seen, *self._said.get("write", ()))
        found = {}
        for word in (word for one in _PATHS for word in one.findall(text)):
            path = os.path.relpath(os.path.normpath(os.path.join(root, workdir, word)), root)
            is_inside = not path.startswith("..") and path != "."
            if is_inside and not any(path == one or path.startswith(f"{one}/") for one in there):
                found[path] = os.path.isfile(f"{root}/{path}")
        return [path for path, is_file in found.items() if is_file]

    def put_there(self) -> list[str]:
        """What is read-only for every sandbox, and was put in its place since this one was made: a
        mount can only be where something is.
        """
        return [path for path, was in loose(self._rooms.root).items() if was != self._loose[path]]

    def _in_home(self, path: str) -> str:
        is_there = path == "~" or path.startswith("~/")
        return f"{self._home or '/nonexistent'}{path[1:]}" if is_there else path


def writable(root: str, glob: str) -> list[str]:
    """The places that an entry of `write` names, and no link leads to them; a folder without
    wildcards is made. Raises CannotStandError.
    """
    plain = glob.removesuffix("/**").rstrip("/") or "."
    if _WILD & {*plain}:
        found = sorted(iglob(plain, root_dir=root, recursive=True, include_hidden=True))
    else:
        found = [plain]
        try:
            if not os.path.lexists(f"{root}/{plain}"):
                os.makedirs(f"{root}/{plain}")
        except OSError as error:
            raise CannotStandError(f"'{glob}' of `write`: {error.strerror}") from None
    places = []
    for path in found:
        # A bind goes where a link leads: the sandbox opens nothing outside the project, and what
        # covers a place is in the way there, too.
        real = os.path.realpath(f"{root}/{path}")
        if real != root and not real.startswith(f"{root.rstrip('/')}/"):
            raise CannotStandError(f"'{path}' of `write` leads out of the project")
        places.append(os.path.relpath(real, root))
    return places


def _on_the_way(root: str, glob: str) -> Iterator[str]:
    """The first link that an entry of `write` leads through, if any."""
    parts = glob.removesuffix("/**").rstrip("/").split("/")
    for path in ("/".join(parts[:count]) for count in range(1, len(parts) + 1)):
        if os.path.islink(f"{root}/{path}"):
            yield path
            return


def loose(root: str) -> dict[str, tuple[int, ...]]:
    """Of what no step has to write to, what it could put there or exchange though all of it is
    mounted read-only: what is not there, is a link, or lies in a folder that it can move.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in FIXED:
        try:
            info = os.lstat(f"{root}/{path}")
        except OSError:
            found[path] = ()
            continue
        is_loose = stat.S_ISLNK(info.st_mode) or "/" in path
        found[path] = (info.st_dev, info.st_ino) if is_loose else (-1,)
    return found


def whole(root: str, files: Iterable[str]) -> list[str]:
    """The same files in as few mounts as they take: a folder all of whose entries are among them
    stands for these.
    """
    mounts = set(files)
    inside: dict[str, set[str]] = {}
    for path in mounts:
        while path and path not in inside.setdefault(os.path.dirname(path), set()):
            inside[os.path.dirname(path)].add(path)
            path = os.path.dirname(path)  # noqa: PLW2901 - up to the root
    for folder in sorted(inside, key=lambda one: one.count("/"), reverse=True):
        below = inside[folder]
        listed = {f"{folder}/{name}" for name in _entries(f"{root}/{folder}")}
        if folder and below == listed and below <= mounts:
            mounts = (mounts - below) | {folder}
    return sorted(mounts)


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # gone, or not ours to read: then it is no folder that stands for what is in it
        return []


def command_line(
    said: Mapping[str, Any], rooms: Rooms, files: Sequence[str] | None = None
) -> tuple[str, ...]:
    """What stands before a step's own command line. `said` is the task's `sandbox`, each of its
    lists as paths from the root; `files` are those that `read` names, None where it says nothing.
    """
    fixed = _fixed(rooms.root)
    if files is None and fixed is FIXED and said.keys() <= _USUAL:
        around = _usual(rooms.root, rooms.proofs, said.get("network", False))
    else:
        around = tuple(_around(said, rooms, fixed, files))
    return (*around, *_inside(rooms, files))


@lru_cache(maxsize=4)
def _usual(root: str, proofs: str, network: bool | str) -> tuple[str, ...]:
    """What nearly every step is put behind, of whichever task it is."""
    return tuple(_around({"network": network}, Rooms(root, proofs, root), FIXED, None))


def _around(
    said: Mapping[str, Any], rooms: Rooms, fixed: Sequence[str], files: Sequence[str] | None
) -> Iterator[str]:
    """The system, the project and, over everything that the task may say, a cover on the proofs."""
    yield PROGRAM
    for words in _SYSTEM:
        yield from words
    if said.get("network") == JOINED:
        pass  # it is there already, and names are looked up nowhere
    elif said.get("network"):
        for path in _RESOLVERS:
            yield from ("--ro-bind-try", path, path)
    else:
        yield "--unshare-net"
    yield from _NAMESPACES
    yield from _project(said, rooms, fixed, files)
    yield from _hidden(said.get("hide", ()), rooms)
    yield from ("--tmpfs", rooms.proofs)


def _inside(rooms: Rooms, files: Sequence[str] | None) -> Iterator[str]:
    """What the attempt has of the proofs, and where its step starts."""
    for path in rooms.written:
        yield from ("--bind", path, path)
    for path, source in rooms.shown.items():
        yield from ("--ro-bind", source, path)
    yield from ("--remount-ro", rooms.proofs)
    if files is not None:
        yield from ("--remount-ro", rooms.root)
    yield from ("--chdir", rooms.workdir, "--")


def _project(
    said: Mapping[str, Any], rooms: Rooms, fixed: Sequence[str], files: Sequence[str] | None
) -> Iterator[str]:
    root, write = rooms.root, said.get("write")
    if files is not None:
        yield from ("--tmpfs", root, "--dir", rooms.workdir)
        for path in files:
            yield from _shown(f"{root}/{path}")
    elif write is None:
        yield from ("--bind", root, root)
    else:
        yield from ("--ro-bind", root, root)
    for path in write or ():
        kind = "--ro-bind" if any(_is_in(path, one) for one in fixed) else "--bind"
        yield from (kind, f"{root}/{path}", f"{root}/{path}")
    for path in parents((*fixed, os.path.relpath(rooms.proofs, root))):
        # A mount cannot be moved away, and so nothing in it.
        if files is None and (write is None or any(_is_in(path, one) for one in write)):
            yield from ("--bind-try", f"{root}/{path}", f"{root}/{path}")
    mounts = (*(files or ()), *(write or ()))
    for path in said.get("links", ()) if files is not None else ():
        if not any(_is_in(path, one) for one in mounts):
            yield from ("--symlink", os.path.realpath(f"{root}/{path}"), f"{root}/{path}")
    for path in fixed:
        if files is None or any(_is_in(path, one) for one in write or ()):
            yield from ("--ro-bind-try", f"{root}/{path}", f"{root}/{path}")


def _shown(place: str) -> tuple[str, ...]:
    """A file that `read` names, or a folder of such. A link stays one: where it leads to is there
    if it is named itself.
    """
    if os.path.islink(place):
        return "--symlink", os.readlink(place), place
    return "--ro-bind", place, place


def _fixed(root: str) -> Sequence[str]:
    """What no step has to write to, and where in the project links lead to from there."""
    if not any(os.path.islink(f"{root}/{path}") for path in _TO_FIXED):
        return FIXED
    found = dict.fromkeys(FIXED)
    for path in FIXED:
        place = os.path.relpath(os.path.realpath(f"{root}/{path}"), root)
        if any(_on_the_way(root, path)) and place != "." and not place.startswith(".."):
            found[place] = None
    return [*found]


def parents(paths: Iterable[str]) -> list[str]:
    """The folders of the project that these lie in, outermost first."""
    found = set()
    for path in paths:
        parts = path.split("/")[:-1]
        if ".." not in parts:
            found |= {"/".join(parts[: count + 1]) for count in range(len(parts))}
    return sorted(found)


# What FIXED is and lies in: where none of it is a link, none leads elsewhere.
_TO_FIXED = (*FIXED, *parents(FIXED))


def _is_in(path: str, folder: str) -> bool:
    return folder in {path, "."} or path.startswith(f"{folder}/")


def _hidden(paths: Iterable[str], rooms: Rooms) -> Iterator[str]:
    for path in paths:
        place = os.path.realpath(os.path.join(rooms.root, path))
        if os.path.isdir(place):
            yield from ("--tmpfs", place, "--remount-ro", place)
        elif os.path.exists(place):
            yield from ("--ro-bind", rooms.empty, place)


def found_on(path: str) -> tuple[str | None, str]:
    """Where bubblewrap is on this PATH; and why there can be no sandbox, empty when there can."""
    program = which(PROGRAM, path)
    return program, why_not(program)


def why_not(program: str | None) -> str:
    """Why there can be no sandbox here; empty when there can. Tried out."""
    if sys.platform != "linux":
        return "it takes Linux"
    if program is None:
        return MISSING
    words = [word for words in _SYSTEM for word in words]
    tried = [program, *words, "--unshare-net", *_NAMESPACES, "--json-status-fd", "1"]
    tried += ["--", "/bin/sh", "-c", ":"]
    try:
        ended = subprocess.run(
            tried, capture_output=True, timeout=_PROBE_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} cannot be run: {error}"
    if not ended.returncode:
        return ""
    said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"{program} exits with code {ended.returncode}"
