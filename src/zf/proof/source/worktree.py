"""What git says of a work tree, asked so that no setting, flag or local file makes it say less.

The commit comes from the repository. Everything else is asked in a repository of our own, made for
the moment: its index is read from the commit (so no entry is `assume-unchanged`), it has no
configuration but ours (no filter, hook, fsmonitor or `status.*`), no replaced objects and no
`info/exclude`, and what is ignored is what the commit's own .gitignore files name. A file is
unchanged if it is, byte for byte, what the commit has, or what checking that out would write.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import file_digest, new, sha256
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.lean import lazy
from zf.lean.record import field, mutable, record, replace
from zf.proof.source.prefetch import NO_WORK_TREE, find_top

if TYPE_CHECKING:
    from io import BufferedReader
    from typing import Protocol, Self

    class Ear(Protocol):
        """What hears that the run is to end: nothing is waited for any more then."""

        def fileno(self) -> int:
            """What becomes readable when something has come."""
            ...

        def is_to_end(self) -> bool:
            """Whether that is what has come."""
            ...


# A repository so large that git needs longer is described without its state: it is not waited for.
GIT_TIMEOUT_S = 30.0
# Hashing every file is the only honest answer, and takes 4 s for 100 000 of them. An index that
# took longer than this is kept for the next run, which hashes only what has another change time. It
# is out of reach while a run goes on: taken away at its start, put back at its end from memory.
KEEP_INDEX_S = 0.5
# Nothing git reads on the way may run a program or wait for a person.
_GIT = ("--no-pager", "-c", "core.fsmonitor=false", "-c", "color.ui=false")
# Set inside hooks and by hand; they would make git answer for another repository than the root's.
_GIT_LOCAL = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_HEAD = (
    "rev-parse",
    "--path-format=absolute",
    "--git-path",
    "objects",
    "--show-object-format",
    "HEAD^{commit}",
    "HEAD^{tree}",
    "--symbolic-full-name",
    "HEAD",
)
_READ_TREE = (
    "-c",
    "core.sparseCheckout=false",
    "-c",
    "core.splitIndex=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "read-tree",
)
_STATUS = ("status", "--porcelain=v2", "--untracked-files=no", "--no-renames", "-z")
_SUBMODULES = "--ignore-submodules=dirty"  # what is inside of them is asked there, in the same way
_UNTRACKED = ("ls-files", "--others", "--directory", "--no-empty-directory", "-z")
_DIFF = (
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-relative",
    "--diff-algorithm=myers",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    _SUBMODULES,
)
_CONFIG = """\
[core]
repositoryformatversion = {version}
bare = false
filemode = {filemode}
excludesFile = /dev/null
attributesFile = /dev/null
hooksPath = /dev/null
untrackedCache = false
fsmonitor = false
[extensions]
{extensions}
"""
# Otherwise git compares what is left of a file once line endings, `$Id: anything $` and encodings
# are undone, and all that can hide there. This outranks what the files say, a macro included.
_ATTRIBUTES = b"* -text -ident -filter !working-tree-encoding\n"
# With these words a checkout may write other bytes than the commit has.
_CONVERTING = (b"eol", b"ident", b"working-tree-encoding")
# Lines of `ls-tree -r -z`: submodules, and the files that say what is ignored or filtered.
_TOLD = lazy.pattern(
    rb"(\d{6}) [a-z]+ ([0-9a-f]+)\t((?:[^\0]*/)?\.git(?:ignore|attributes))\0"
    rb"|160000 commit ([0-9a-f]+)\t([^\0]*)\0"
)
# Lines of a configuration as git itself writes them: nothing quoted, no comment.
_SECTION = lazy.pattern(rb'\[([a-zA-Z0-9-]+)(?: "([^"\\]*)")?\]')
_VALUE = lazy.pattern(rb'\t([a-zA-Z][a-zA-Z0-9-]*) = ([^\s"#;\\](?:[^"#;\\]*[^\s"#;\\])?)')
_LFS = lazy.pattern(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
# Sections that send git to other files.
_ELSEWHERE = {b"include", b"includeif", b"extensions"}
_MAX_POINTER = 1024
_MAX_RULES = 1 << 20
_PIECE = 1 << 20


class GitError(Exception):
    """Git gave no answer; the message is for source.note."""


class NotAwaitedError(GitError):
    """The run is to end, and git's answer was not waited for."""

    def __init__(self) -> None:
        super().__init__("git's answer was not waited for, as the run was to end")


@record
class Commit:
    """Where HEAD is. `git_dir`, `objects` and `form` say where the repository keeps it."""

    top: str
    objects: str
    form: str
    commit: str | None
    tree: str | None
    branch: str | None


@mutable
class Seen:
    """A work tree as it was at one moment: what `dirty` and `diff_sha256` come from, and what a
    second look needs to be quick. The index is kept in memory, where no task can write.
    """

    at: Commit
    repo: str | None = None
    tags: tuple[str, ...] = ()
    changes: list[bytes] = field(default_factory=list)
    diff_sha256: str | None = None
    index: bytes = b""
    index_ns: int = 0
    ignored: bytes = b""
    submodules: list[tuple[bytes, bytes]] = field(default_factory=list)
    lfs: bool = False
    converts: bool = False
    # What the commit that HEAD names comes from, where this is files alone; and where the index of
    # a large repository is kept.
    refs: tuple[bytes | None, ...] | None = None
    kept: str | None = None

    def is_as(self, before: Seen) -> bool:
        """Whether commit and files are what they were."""
        return (
            self.at.commit == before.at.commit
            and self.changes == before.changes
            and self.diff_sha256 == before.diff_sha256
        )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which git answers for the folder it is asked in, and asks nobody."""
    kept = {name: value for name, value in environ.items() if name not in _GIT_LOCAL}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def look(
    root: str,
    environ: Mapping[str, str],
    exclude: Iterable[str] = (),
    cache: str | None = None,
    scratch: str | None = None,
    ear: Ear | None = None,
) -> Seen:
    """Look at the work tree that `root` is in. Raises GitError, and OSError without a git.

    The folders `exclude` (absolute, or relative to the root) do not count. `cache` is a folder of
    zf's own for the index of a large repository: `withdraw` it before any step runs, and `keep` it
    when all have ended.
    `scratch` names the folder for the moment, for who may have to remove it.
    """
    top = _top(root, environ)
    kept = f"{cache}/{sha256(os.fsencode(top)).hexdigest()[:16]}.index" if cache else None
    try:
        return _look(top, environ, _inside(top, root, exclude), kept, scratch, ear)
    except GitError:
        # The run goes on without knowing, and nothing is to be left in reach of its steps.
        if kept is not None:
            with suppress(OSError):
                os.unlink(kept)
        raise


def _look(
    top: str,
    environ: Mapping[str, str],
    exclude: Sequence[str],
    kept: str | None,
    scratch: str | None,
    ear: Ear | None,
) -> Seen:
    _refuse_to_wait(ear)
    refs = _refs(top)
    with (
        _scratch(environ, scratch) as folder,
        _Asking(_outer(environ, folder), top, folder, ear) as outside,
    ):
        index = f"{folder}/index"
        was_kept = kept is not None and _take_kept(kept, index)
        seen, listed = _look_at_commit(outside, index, refs, environ)
        seen.refs = refs
        began = time.monotonic()
        with _own_repository(folder, seen.at, environ, ear) as asking:
            _read_rules(asking, seen, [(path, oid) for _, oid, path, *_ in listed if path])
            _look_inside(asking, seen, environ, exclude)
        if was_kept or time.monotonic() - began > KEEP_INDEX_S:
            seen.kept = kept
    return seen


def _refuse_to_wait(ear: Ear | None) -> None:
    if ear is not None and ear.is_to_end():
        raise NotAwaitedError


@contextmanager
def looking_again(
    before: Seen,
    root: str,
    environ: Mapping[str, str],
    exclude: Iterable[str] = (),
    ear: Ear | None = None,
) -> Iterator[Callable[[], Seen]]:
    """Begin to look whether the tree is as it was; what is given waits for the answer, once.

    Everything is asked at once, as the commit is most likely what it was. Both raise like `look`.
    """
    _refuse_to_wait(ear)
    at = before.at
    refs = _refs(at.top)
    same = refs is not None and refs == before.refs
    with (
        _scratch(environ) as folder,
        _Asking(_outer(environ, folder), at.top, folder, ear) as outside,
        _own_repository(folder, at, environ, ear) as asking,
    ):
        head = None if same else outside.start(*_HEAD)
        _write_index(f"{folder}/index", before.index, before.index_ns)
        seen = Seen(at, ignored=before.ignored, submodules=before.submodules)
        seen.lfs, seen.converts = before.lfs, before.converts
        inside = _inside(at.top, root, exclude)
        asked = _ask_inside(asking, seen, inside)

        def answer() -> Seen:
            if head is not None:
                seen.at = _commit(outside, head)
            if seen.at.commit == at.commit:
                _hear_inside(asking, seen, environ, inside, asked)
            return seen

        yield answer


def commit_of(root: str, environ: Mapping[str, str]) -> str | None:
    """The commit that is checked out, None without one; raises like `look`."""
    top = _top(root, environ)
    with _scratch(environ) as folder, _Asking(_outer(environ, folder), top, folder) as outside:
        return _commit(outside, outside.start(*_HEAD)).commit


def withdraw(seen: Seen) -> None:
    """Take the index of a large repository away, so that no step can write to it."""
    if seen.kept is not None:
        with suppress(OSError):
            os.unlink(seen.kept)


def keep(seen: Seen, now: Seen | None = None) -> None:
    """Put the index of a large repository where the next look finds it: the newer one."""
    if seen.kept is None:
        return
    newest = now if now is not None and now.index else seen
    temporary = f"{seen.kept}.{os.getpid()}"
    with suppress(OSError):
        os.makedirs(os.path.dirname(seen.kept), exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(newest.index)
        os.utime(temporary, ns=(newest.index_ns, newest.index_ns))
        os.rename(temporary, seen.kept)


def _top(root: str, environ: Mapping[str, str]) -> str:
    top = find_top(root, environ)
    if top is None:
        raise GitError(NO_WORK_TREE)
    return top


def _inside(top: str, root: str, exclude: Iterable[str]) -> list[str]:
    paths = (os.path.realpath(os.path.join(root, path)) for path in exclude)
    return [os.path.relpath(path, top) for path in paths if path.startswith(f"{top}/")]


@contextmanager
def _scratch(environ: Mapping[str, str], name: str | None = None) -> Iterator[str]:
    """A new folder for a moment. (`tempfile` takes 7 ms to import.)"""
    folder = name or scratch_name(environ)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        remove_scratch(folder)


def scratch_name(environ: Mapping[str, str]) -> str:
    """A name for a folder that nobody else has."""
    usual = environ.get("TMPDIR", "")
    place = usual if os.path.isabs(usual) and os.path.isdir(usual) else "/tmp"  # noqa: S108
    return f"{place}/zf-git-{os.getpid()}-{os.urandom(8).hex()}"


def remove_scratch(folder: str) -> None:
    """Remove it with all that is in there."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                remove_scratch(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)


def _refs(top: str) -> tuple[bytes | None, ...] | None:
    """The files that say which commit HEAD is, in an ordinary repository; None for others, or when
    it takes more files to know. Asking git takes 4 ms.
    """
    git = f"{top}/.git"
    if os.path.lexists(f"{git}/reftable") or os.path.lexists(f"{git}/commondir"):
        return None
    head = _bytes(f"{git}/HEAD")
    if head is None or not os.path.isdir(git) or os.path.islink(f"{git}/HEAD"):
        return None
    name = head.removeprefix(b"ref: ").removesuffix(b"\n")
    if name == head.removesuffix(b"\n"):
        return (head,)
    if not name.startswith(b"refs/heads/") or b".." in name:
        return None
    own = _bytes(f"{git}/{os.fsdecode(name)}")
    if own is not None:
        return None if own.startswith(b"ref:") else (head, own)
    return head, None, _bytes(f"{git}/packed-refs")


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _look_at_commit(
    outside: _Asking,
    index: str,
    refs: tuple[bytes | None, ...] | None,
    environ: Mapping[str, str],
) -> tuple[Seen, list[tuple[bytes, ...]]]:
    """Where HEAD is, with a new index of it; and what its tree has of files that matter here."""
    head = outside.start(*_HEAD)
    reading = outside.start(*_READ_TREE, *(["-m"] if os.path.exists(index) else []), "HEAD")
    listing = outside.start("ls-tree", "-r", "-z", "--full-tree", "HEAD")
    repo = _plain_url(outside.folder, environ) if refs is not None else None
    url = outside.start("config", "--get", "remote.origin.url") if repo is None else None
    tags = None
    if refs is None or _may_have_tags(f"{outside.folder}/.git"):
        tags = outside.start(
            "for-each-ref", "--points-at=HEAD", "--format=%(refname:strip=2)", "refs/tags"
        )
    seen = Seen(_commit(outside, head))
    failed = outside.outcome(reading)[0] != 0
    listed = _TOLD.findall(outside.finish(listing, or_none=True))
    if seen.at.commit is not None and failed:
        with suppress(FileNotFoundError):
            os.unlink(index)  # what was kept is none
        outside.ask(*_READ_TREE, "HEAD")
    seen.submodules = [(path, oid) for *_, oid, path in listed if oid]
    seen.repo = repo if url is None else _first(outside.finish(url, or_none=True))
    if tags is not None:
        seen.tags = tuple(_lines(outside.finish(tags, or_none=True)))
    return seen, listed


def _plain_url(top: str, environ: Mapping[str, str]) -> str | None:
    """The remote's address out of a configuration as git writes it, without a word on other files;
    None when git itself must be asked.
    """
    if "GIT_CONFIG_COUNT" in environ or "GIT_CONFIG_PARAMETERS" in environ:
        return None
    section: tuple[bytes, bytes] = (b"", b"")
    url = None
    for line in (_bytes(f"{top}/.git/config") or b"").split(b"\n"):
        if head := _SECTION.fullmatch(line):
            section = head[1].lower(), head[2] or b""
            if section[0] in _ELSEWHERE:
                return None
        elif value := _VALUE.fullmatch(line):
            if section == (b"remote", b"origin") and value[1].lower() == b"url":
                url = os.fsdecode(value[2])
        elif line:
            return None
    return url


def _may_have_tags(git: str) -> bool:
    try:
        if os.listdir(f"{git}/refs/tags"):
            return True
    except OSError:
        return True
    return b" refs/tags/" in (_bytes(f"{git}/packed-refs") or b"")


def _outer(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """For the questions that go to the repository itself: no configuration changes their answers,
    and `safe.directory` may come from a variable.
    """
    usual = environment(environ) | {"GIT_INDEX_FILE": f"{folder}/index"}
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"):
        if name in environ:
            usual[name] = environ[name]
    return usual | {"GIT_NO_REPLACE_OBJECTS": "1"}


@record
class _Asked:
    """A git at work, and the files that its output goes to."""

    pid: int
    out: str
    said: str


class _Asking:
    """Git commands in one folder and environment, side by side: most of their time is waiting.

    What they print goes to files in a scratch folder, so that none waits for a reader. (The module
    `subprocess` takes 5 ms to import.)
    """

    def __init__(
        self, env: dict[str, str], folder: str, scratch: str, ear: Ear | None = None
    ) -> None:
        self.env = env
        self.folder = folder
        self.ear = ear
        self.deadline = time.monotonic() + GIT_TIMEOUT_S
        self._scratch = scratch
        self._git = _program(env)
        self._asked: list[_Asked] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was begun and is not needed any more, as something else went wrong."""
        for asked in self._asked:
            os.kill(asked.pid, signal.SIGKILL)
            os.waitpid(asked.pid, 0)

    def start(self, *words: str, given: bytes | None = None) -> _Asked:
        """Begin to ask; `given` is what git reads on its standard input."""
        name = f"{self._scratch}/{os.urandom(6).hex()}"
        source = os.devnull
        if given is not None:
            source = f"{name}.in"
            with open(source, "xb") as stream:
                stream.write(given)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        pid = os.posix_spawn(
            self._git,
            ("git", "-C", self.folder, *_GIT, *words),
            self.env,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{name}.out", new, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, f"{name}.said", new, 0o600),
            ),
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
        asked = _Asked(pid, f"{name}.out", f"{name}.said")
        self._asked.append(asked)
        return asked

    def await_end(self, asked: _Asked) -> int:
        """Its exit code. Raises GitError when that takes too long, or is not waited for."""
        status = _await(asked.pid, self.deadline, self.ear)
        if status is None:
            raise GitError(f"git gave no answer in {GIT_TIMEOUT_S:g} s")
        self._asked.remove(asked)
        return os.waitstatus_to_exitcode(status)

    def outcome(self, asked: _Asked) -> tuple[int, bytes, bytes]:
        """How it ended and what it printed. Raises GitError when that takes too long."""
        code = self.await_end(asked)
        return code, _bytes(asked.out) or b"", _bytes(asked.said) or b""

    def finish(self, asked: _Asked, *, or_none: bool = False) -> bytes:
        """What git printed; with `or_none`, nothing when it failed. Raises GitError."""
        code, out, said = self.outcome(asked)
        if code == 0:
            return out
        if or_none:
            return b""
        raise GitError(_refusal(said))

    def ask(self, *words: str, given: bytes | None = None) -> bytes:
        """Begin and finish."""
        return self.finish(self.start(*words, given=given))


def _program(env: Mapping[str, str]) -> str:
    for folder in os.get_exec_path(env):
        path = os.path.join(folder, "git")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "git")


def _await(pid: int, until: float, ear: Ear | None) -> int | None:
    """The status that a child ends with; None when the time is up."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            _refuse_to_wait(ear)
            if time.monotonic() >= until:
                return None
            time.sleep(0.001)
        return ended[1]
    try:
        if not await_readable(fd, ear, until):
            return None
    finally:
        os.close(fd)
    return os.waitpid(pid, 0)[1]


def await_readable(fd: int, ear: Ear | None, until: float | None = None) -> bool:
    """Wait for it; False when the time is up. Raises NotAwaitedError when the run is to end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if ear is not None:
        poll.register(ear.fileno(), select.POLLIN)
    while True:
        patience = None if until is None else max(0.0, until - time.monotonic()) * 1000
        ready = [number for number, _ in poll.poll(patience)]
        if ear is not None and ear.fileno() in ready:
            _refuse_to_wait(ear)
        if fd in ready or not ready:
            return fd in ready


def _refusal(said: bytes) -> str:
    """What git said, as one line for the record."""
    text = said.decode("utf-8", "backslashreplace")
    if "not a git repository" in text:
        return NO_WORK_TREE
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0].removeprefix("fatal: ") if lines else "it failed without a word"
    if "dubious ownership" in text:
        first += " (git config --global --add safe.directory FOLDER allows it)"
    return f"git refused: {printable(first)}"


def _commit(asking: _Asking, head: _Asked) -> Commit:
    code, out, said = asking.outcome(head)
    # The first is a path: it may hold line breaks, and bytes that are no text.
    if code == 0:
        objects, *rest = out.removesuffix(b"\n").rsplit(b"\n", 4)
        form, commit, tree, name = map(_text, rest)
        branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
        return Commit(asking.folder, os.fsdecode(objects), form, commit, tree, branch)
    objects, line_break, told = out.removesuffix(b"HEAD^{commit}\n")[:-1].rpartition(b"\n")
    if not line_break:
        raise GitError(_refusal(said))
    name = _first(asking.finish(asking.start("symbolic-ref", "-q", "HEAD"), or_none=True)) or ""
    if not name or asking.finish(asking.start("rev-parse", "--verify", "-q", name), or_none=True):
        raise GitError(_refusal(said))
    branch = name.removeprefix("refs/heads/")
    return Commit(asking.folder, os.fsdecode(objects), _text(told), None, None, branch)


def _own_repository(
    folder: str, at: Commit, environ: Mapping[str, str], ear: Ear | None
) -> _Asking:
    """A repository of our own over the same objects and the same files, which are compared byte for
    byte.
    """
    asking = _repository(folder, at, environ, ear)
    os.mkdir(f"{folder}/info")
    with open(f"{folder}/info/attributes", "wb") as stream:
        stream.write(_ATTRIBUTES)
    return asking


def _repository(folder: str, at: Commit, environ: Mapping[str, str], ear: Ear | None) -> _Asking:
    os.mkdir(f"{folder}/refs")
    with open(f"{folder}/HEAD", "w", encoding="ascii") as stream:
        stream.write(f"{at.commit or 'ref: refs/heads/none'}\n")
    extensions = "" if at.form == "sha1" else f"objectformat = {at.form}"
    with open(f"{folder}/config", "w", encoding="utf-8") as stream:
        stream.write(
            _CONFIG.format(
                version=1 if extensions else 0,
                # File systems without modes make every file executable, git's own too.
                filemode="false" if _all_executable(at) else "true",
                extensions=extensions,
            )
        )
    own = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    if "GIT_EXEC_PATH" in environ:
        own["GIT_EXEC_PATH"] = environ["GIT_EXEC_PATH"]
    own |= {
        "GIT_DIR": folder,
        "GIT_WORK_TREE": at.top,
        "GIT_OBJECT_DIRECTORY": at.objects,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    return _Asking(own, at.top, folder, ear)


def _all_executable(at: Commit) -> bool:
    head = os.path.join(os.path.dirname(at.objects), "HEAD")
    try:
        return bool(os.stat(head).st_mode & 0o100)
    except OSError:
        return False


def _look_inside(
    asking: _Asking,
    seen: Seen,
    environ: Mapping[str, str],
    exclude: Sequence[str],
) -> None:
    """Compare the files with the index."""
    _hear_inside(asking, seen, environ, exclude, _ask_inside(asking, seen, exclude))


def _ask_inside(
    asking: _Asking, seen: Seen, exclude: Sequence[str]
) -> tuple[_Asked | None, _Asked]:
    """Begin to compare the files with the index, and to look for new ones."""
    status = None
    if seen.at.commit is not None:
        status = asking.start(*_STATUS, _SUBMODULES, "--", *_paths(exclude))
    rules = f"{asking.env['GIT_DIR']}/ignored"
    with open(rules, "wb") as stream:
        stream.write(seen.ignored)
        stream.writelines(b"/" + _escaped(os.fsencode(path)) + b"\n" for path in exclude)
    return status, asking.start(*_UNTRACKED, f"--exclude-from={rules}", "--", ".")


def _hear_inside(
    asking: _Asking,
    seen: Seen,
    environ: Mapping[str, str],
    exclude: Sequence[str],
    asked: tuple[_Asked | None, _Asked],
) -> None:
    """What came of it; the index has learnt the files' times meanwhile."""
    status, untracked = asked
    if status is not None:
        changes = [line for line in asking.finish(status).split(b"\0") if line]
        if seen.lfs:
            changes = _without_lfs(asking, changes)
        if seen.converts:
            changes = _without_converted(asking, seen.at, changes)
        seen.changes += changes
    new = sorted(path for path in asking.finish(untracked).split(b"\0") if path)
    seen.changes += [b"? " + path for path in new]
    seen.changes += _in_submodules(seen, environ, asking.ear)
    if seen.changes:
        seen.diff_sha256 = _diff_digest(asking, seen, _paths(exclude))
    index = f"{asking.env['GIT_DIR']}/index"
    if (data := _bytes(index)) is not None:  # there is none without a commit
        seen.index, seen.index_ns = data, os.stat(index).st_mtime_ns


def _paths(exclude: Sequence[str]) -> tuple[str, ...]:
    return (".", *(f":(exclude,top,literal){path}" for path in exclude))


def _write_index(path: str, data: bytes, mtime_ns: int) -> None:
    """An index with its time: what changed in the moment it was written is looked at again."""
    with open(path, "wb") as stream:
        stream.write(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _take_kept(kept: str, index: str) -> bool:
    """The index that a run before this one left, if it is ours alone."""
    with suppress(OSError):
        fd = os.open(kept, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            info = os.fstat(stream.fileno())
            if info.st_uid == os.getuid() and not info.st_mode & 0o022:
                _write_index(index, stream.read(), info.st_mtime_ns)
                return True
    return False


def _read_rules(asking: _Asking, seen: Seen, files: Sequence[tuple[bytes, bytes]]) -> None:
    """What the commit itself says is ignored, in the order of git: the deeper file wins."""
    texts = _as_committed(seen.at, files)
    missing = {oid for _, oid in files} - texts.keys()
    if missing:
        given = b"".join(oid + b"\n" for oid in sorted(missing))
        texts |= _blobs(asking.ask("cat-file", "--batch", given=given))
    rules = []
    for path, oid in sorted(files, key=lambda file: file[0].count(b"/")):
        folder, _, name = path.rpartition(b"/")
        text = texts.get(oid, b"")
        if name == b".gitignore":
            rules += list(_ignored_in(folder, text))
        else:
            seen.lfs = seen.lfs or b"filter=lfs" in text
            seen.converts = seen.converts or any(word in text for word in _CONVERTING)
    seen.ignored = b"".join(rule + b"\n" for rule in rules)


def _as_committed(at: Commit, files: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The contents, by name, of those files that are on disk what they are in the commit: the hash
    tells. That spares a git.
    """
    found = {}
    for path, oid in files:
        data = _regular(os.path.join(at.top, os.fsdecode(path)))
        if data is not None:
            name = new(at.form, b"blob %d\0" % len(data), usedforsecurity=False)
            name.update(data)
            if name.hexdigest().encode() == oid:
                found[oid] = data
    return found


def _regular(path: str) -> bytes | None:
    """The contents of a small file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            info = os.fstat(fd)
            is_small = stat.S_ISREG(info.st_mode) and info.st_size <= _MAX_RULES
            return stream.read(_MAX_RULES) if is_small else None
    except OSError:
        return None


def _blobs(out: bytes) -> dict[bytes, bytes]:
    """`cat-file --batch` -> the contents by name."""
    found = {}
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        words = out[at:end].split(b" ")
        at = end + 1
        if len(words) == 3:
            size = int(words[2])
            found[words[0]] = out[at : at + size]
            at += size + 1
    return found


def _ignored_in(folder: bytes, text: bytes) -> Iterator[bytes]:
    """The rules of a .gitignore in a folder, as they would stand in the one at the top."""
    if b"\n" in folder:
        return
    prefix = b"/" + _escaped(folder) + b"/" if folder else b""
    for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        rule = line.removesuffix(b"\r")
        while rule.endswith(b" ") and not rule.endswith(b"\\ "):
            rule = rule[:-1]
        if not rule or rule.startswith(b"#"):
            continue
        if not prefix:
            yield rule
            continue
        negated = rule.startswith(b"!")
        rule = rule[negated:]
        if b"/" in rule.removesuffix(b"/"):
            placed = prefix + rule.removeprefix(b"/")
        else:
            placed = prefix + b"**/" + rule
        yield b"!" + placed if negated else placed


def _escaped(path: bytes) -> bytes:
    """A path as a pattern that means just itself; no pattern can have a line break, so one stands
    as any character.
    """
    plain = b"".join(b"\\" + bytes([c]) if c in b"\\*?[ " else bytes([c]) for c in path)
    return plain.replace(b"\n", b"?")


def _contents_alone(changes: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Those changes that are of nothing but a file's contents, with its committed name and path."""
    oids = {}
    for change in changes:
        words = change.split(b" ", 8)
        # 1 .M N... <mode HEAD> <mode index> <mode tree> <oid HEAD> <oid index> <path>
        if words[0] == b"1" and words[1] == b".M" and words[3] == words[5]:
            oids[change] = (words[6], words[8])
    return oids


def _without_converted(asking: _Asking, at: Commit, changes: list[bytes]) -> list[bytes]:
    """The changes but for files that are what a checkout writes with the commit's own attributes
    (`eol=crlf`, `ident`, an encoding): they are checked out beside, and compared byte for byte.
    """
    paths = {change: path for change, (_, path) in _contents_alone(changes).items()}
    if not paths:
        return changes
    folder = f"{asking.env['GIT_DIR']}/beside"
    beside = f"{folder}/files"
    os.makedirs(beside)
    # Its attributes come from the index, which is the commit's, as there are no files.
    with _repository(folder, replace(at, top=beside), asking.env, asking.ear) as checking:
        checking.env["GIT_INDEX_FILE"] = f"{asking.env['GIT_DIR']}/index"
        given = b"".join(path + b"\0" for path in paths.values())
        # It fails if it cannot write one of them, which is a change then.
        checking.outcome(checking.start("checkout-index", "-q", "-z", "--stdin", given=given))
    return [
        change
        for change in changes
        if change not in paths
        or not _same_bytes(
            os.path.join(at.top, os.fsdecode(paths[change])),
            os.path.join(beside, os.fsdecode(paths[change])),
        )
    ]


def _same_bytes(path: str, other: str) -> bool:
    try:
        with _opened(path) as one, _opened(other) as two:
            if os.fstat(one.fileno()).st_size != os.fstat(two.fileno()).st_size:
                return False
            while piece := one.read(_PIECE):
                if piece != two.read(len(piece)):
                    return False
            return not two.read(1)
    except OSError:
        return False


def _opened(path: str) -> BufferedReader:
    return os.fdopen(
        os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
    )


def _without_lfs(asking: _Asking, changes: list[bytes]) -> list[bytes]:
    """The changes but for files that Git LFS put in the place of their pointers: those are
    compared with the pointer here, as its filter is a program that somebody configured.
    """
    oids = _contents_alone(changes)
    if not oids:
        return changes
    given = b"".join(oid + b"\n" for oid, _ in oids.values())
    sizes = {}
    for line in asking.ask("cat-file", "--batch-check", given=given).splitlines():
        oid, _, rest = line.partition(b" ")
        sizes[oid] = rest.rpartition(b" ")[2]
    small = {oid for oid, size in sizes.items() if size.isdigit() and int(size) <= _MAX_POINTER}
    given = b"".join(oid + b"\n" for oid in sorted(small))
    texts = _blobs(asking.ask("cat-file", "--batch", given=given)) if small else {}
    return [
        change
        for change in changes
        if change not in oids
        or not _is_pointed_at(
            texts.get(oids[change][0], b""),
            os.path.join(asking.folder, os.fsdecode(oids[change][1])),
        )
    ]


def _is_pointed_at(pointer: bytes, path: str) -> bool:
    told = _LFS.fullmatch(pointer)
    if told is None:
        return False
    try:
        with _opened(path) as stream:
            if os.fstat(stream.fileno()).st_size != int(told[2]):
                return False
            return file_digest(stream, "sha256").hexdigest().encode() == told[1]
    except OSError:
        return False


def _in_submodules(seen: Seen, environ: Mapping[str, str], ear: Ear | None) -> Iterator[bytes]:
    """A line for every submodule that is not as its own commit says."""
    for path, oid in seen.submodules:
        folder = os.path.join(seen.at.top, os.fsdecode(path))
        line = b"1 .M S.M. 160000 160000 160000 %b %b %b" % (oid, oid, path)
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # not there: git has told of it, if it should be
        if ".git" not in names:
            if names:
                yield line
            continue
        inner = look(folder, environ, ear=ear)
        if inner.changes or inner.at.commit != oid.decode():
            yield line


def _diff_digest(asking: _Asking, seen: Seen, paths: Sequence[str]) -> str | None:
    digest = sha256()
    if seen.at.commit is not None:
        try:
            asked = asking.start(*_DIFF, seen.at.commit, "--", *paths)
            if asking.await_end(asked) != 0:
                return None
        except NotAwaitedError:
            raise
        except GitError:
            return None
        with open(asked.out, "rb") as stream:
            digest = file_digest(stream, "sha256")
    for change in seen.changes:
        digest.update(change + b"\0")
    return digest.hexdigest()


def _text(out: bytes) -> str:
    return out.decode("utf-8", "backslashreplace")


def _lines(out: bytes) -> list[str]:
    """Not `splitlines`, as the name of a branch or tag may hold what else it takes for a break."""
    return _text(out).removesuffix("\n").split("\n") if out else []


def _first(out: bytes) -> str | None:
    lines = _lines(out)
    return lines[0].strip() or None if lines else None
