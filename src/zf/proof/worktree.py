"""What git says of a work tree, asked so that no setting, flag or local file makes it say less.

The commit comes from the repository. Everything else is asked in a repository of our own, made for
the moment: its index is read from the commit (so no entry is `assume-unchanged`), it has no
configuration but ours (no filter, hook, fsmonitor or `status.*`), no replaced objects and no
`info/exclude`, and what is ignored is what the commit's own .gitignore files name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

from zf import late
from zf.errors import printable
from zf.record import field, mutable, record

if TYPE_CHECKING:
    import subprocess
    from typing import Self

# A repository so large that git needs longer is described without its state: it is not waited for.
GIT_TIMEOUT_S = 30.0
# Hashing every file is the only honest answer, and takes 4 s for 100 000 of them. An index that
# took longer than this is kept for the next run, which hashes only what has another change time.
KEEP_INDEX_S = 0.5
NO_WORK_TREE = "this is not a git work tree"
# Nothing git reads on the way may run a program or wait for a person.
_GIT = ("git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "color.ui=false")
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
# Lines of `ls-tree -r -z`: submodules, and the files that say what is ignored or filtered.
_TOLD = late.pattern(
    rb"(\d{6}) [a-z]+ ([0-9a-f]+)\t((?:[^\0]*/)?\.git(?:ignore|attributes))\0"
    rb"|160000 commit ([0-9a-f]+)\t([^\0]*)\0"
)
_LFS = late.pattern(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
_MAX_POINTER = 1024


class GitError(Exception):
    """Git gave no answer; the message is for source.note."""


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


def find_top(root: str, environ: Mapping[str, str]) -> str | None:
    """The nearest folder from here upwards that has a `.git`; asking git itself takes 8 ms more."""
    ceilings = environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    folder = os.path.realpath(root)
    while not os.path.lexists(f"{folder}/.git"):
        above = os.path.dirname(folder)
        if above in {folder, *ceilings}:
            return None
        folder = above
    return folder


def look(
    root: str,
    environ: Mapping[str, str],
    exclude: Iterable[str] = (),
    cache: str | None = None,
    before: Seen | None = None,
) -> Seen:
    """Look at the work tree that `root` is in. Raises GitError, and OSError without a git.

    The folders `exclude` (absolute, or relative to the root) do not count. `cache` is a folder of
    zf's own for the index of a large repository; `before` an earlier look at the same one.
    """
    top = find_top(root, environ)
    if top is None:
        raise GitError(NO_WORK_TREE)
    inside = [
        os.path.relpath(path, top)
        for path in (os.path.realpath(os.path.join(root, path)) for path in exclude)
        if path.startswith(f"{top}/")
    ]
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - 2 ms where there is no repository

    with (
        TemporaryDirectory(prefix="zf-git-", ignore_cleanup_errors=True) as folder,
        _Asking(_outer(environ, folder), top) as outside,
    ):
        index = f"{folder}/index"
        if before is not None:
            seen = Seen(_commit(outside, outside.start(*_HEAD)))
            if seen.at.commit != before.at.commit:
                return seen
            seen.ignored, seen.submodules, seen.lfs = before.ignored, before.submodules, before.lfs
            _write_index(index, before.index, before.index_ns)
            listed: list[tuple[bytes, ...]] = []
        else:
            kept = f"{cache}/{sha256(os.fsencode(top)).hexdigest()[:16]}.index" if cache else None
            seen, listed = _look_at_commit(outside, index, kept)
        with _own_repository(folder, seen.at, environ) as asking:
            began = time.monotonic()
            _look_inside(asking, seen, environ, inside, listed)
            with suppress(OSError):  # there is none without a commit
                with open(index, "rb") as stream:
                    seen.index, seen.index_ns = stream.read(), os.stat(index).st_mtime_ns
                if before is None and kept and time.monotonic() - began > KEEP_INDEX_S:
                    _keep(kept, seen)
    return seen


def _look_at_commit(
    outside: _Asking, index: str, kept: str | None
) -> tuple[Seen, list[tuple[bytes, ...]]]:
    """Where HEAD is, with a new index of it; and what its tree has of files that matter here."""
    if kept is not None:
        _take_kept(kept, index)
    head = outside.start(*_HEAD)
    reading = outside.start(*_READ_TREE, "-m", "HEAD")
    listing = outside.start("ls-tree", "-r", "-z", "--full-tree", "HEAD")
    url = outside.start("config", "--get", "remote.origin.url")
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
    seen.repo = _first(outside.finish(url, or_none=True))
    seen.tags = tuple(_lines(outside.finish(tags, or_none=True)))
    return seen, listed


def _outer(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """For the questions that go to the repository itself: no configuration changes their answers,
    and `safe.directory` may come from a variable.
    """
    usual = environment(environ) | {"GIT_INDEX_FILE": f"{folder}/index"}
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"):
        if name in environ:
            usual[name] = environ[name]
    return usual | {"GIT_NO_REPLACE_OBJECTS": "1"}


class _Asking:
    """Git commands in one folder and environment, side by side: most of their time is waiting."""

    def __init__(self, env: Mapping[str, str], folder: str) -> None:
        self.env = env
        self.folder = folder
        self.deadline = time.monotonic() + GIT_TIMEOUT_S
        self._asked: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was begun and is not needed any more, as something else went wrong."""
        for git in self._asked:
            git.kill()
            git.communicate()

    def start(self, *words: str, given: bool = False) -> subprocess.Popen[bytes]:
        """Begin to ask; with `given`, something will be given on its standard input."""
        import subprocess  # noqa: PLC0415 - 3 ms where there is no repository

        git = subprocess.Popen(
            (*_GIT, *words),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._asked.append(git)
        return git

    def outcome(
        self, git: subprocess.Popen[bytes], given: bytes | None = None
    ) -> tuple[int, bytes, bytes]:
        """How it ended and what it printed. Raises GitError when that takes too long."""
        from subprocess import TimeoutExpired  # noqa: PLC0415 - as above

        try:
            out, said = git.communicate(given, max(0.0, self.deadline - time.monotonic()))
        except TimeoutExpired:
            raise GitError(f"git gave no answer in {GIT_TIMEOUT_S:g} s") from None
        self._asked.remove(git)
        return git.returncode, out, said

    def finish(
        self, git: subprocess.Popen[bytes], given: bytes | None = None, *, or_none: bool = False
    ) -> bytes:
        """What git printed; with `or_none`, nothing when it failed. Raises GitError."""
        code, out, said = self.outcome(git, given)
        if code == 0:
            return out
        if or_none:
            return b""
        raise GitError(_refusal(said))

    def ask(self, *words: str, given: bytes | None = None) -> bytes:
        """Begin and finish."""
        return self.finish(self.start(*words, given=given is not None), given)


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


def _commit(asking: _Asking, head: subprocess.Popen[bytes]) -> Commit:
    code, out, said = asking.outcome(head)
    told = _lines(out)
    if code == 0 and len(told) == len(Commit.__match_args__) - 1:
        objects, form, commit, tree, name = told
        branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
        return Commit(asking.folder, objects, form, commit, tree, branch)
    if len(told) < 2:
        raise GitError(_refusal(said))
    name = _first(asking.finish(asking.start("symbolic-ref", "-q", "HEAD"), or_none=True)) or ""
    if not name or asking.finish(asking.start("rev-parse", "--verify", "-q", name), or_none=True):
        raise GitError(_refusal(said))
    return Commit(asking.folder, told[0], told[1], None, None, name.removeprefix("refs/heads/"))


def _own_repository(folder: str, at: Commit, environ: Mapping[str, str]) -> _Asking:
    """A repository of our own over the same objects and the same files."""
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
    return _Asking(own, at.top)


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
    listed: Sequence[tuple[bytes, ...]],
) -> None:
    """Compare the files with the index; `listed` are files of the commit to read first."""
    paths = (".", *(f":(exclude,top,literal){path}" for path in exclude))
    status = None
    if seen.at.commit is not None:
        status = asking.start(*_STATUS, _SUBMODULES, "--", *paths)
    _read_rules(asking, seen, [(path, oid) for _, oid, path, *_ in listed if path])
    rules = f"{asking.env['GIT_DIR']}/ignored"
    with open(rules, "wb") as stream:
        stream.write(seen.ignored)
        stream.writelines(b"/" + _escaped(os.fsencode(path)) + b"\n" for path in exclude)
    untracked = asking.start(*_UNTRACKED, f"--exclude-from={rules}", "--", ".")
    if status is not None:
        changes = [line for line in asking.finish(status).split(b"\0") if line]
        seen.changes += _without_lfs(asking, changes) if seen.lfs else changes
    new = sorted(path for path in asking.finish(untracked).split(b"\0") if path)
    seen.changes += [b"? " + path for path in new]
    seen.changes += _in_submodules(seen, environ)
    if seen.changes:
        seen.diff_sha256 = _diff_digest(asking, seen, paths)


def _write_index(path: str, data: bytes, mtime_ns: int) -> None:
    """An index with its time: what changed in the moment it was written is looked at again."""
    with open(path, "wb") as stream:
        stream.write(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _take_kept(kept: str, index: str) -> None:
    """The index that a run before this one left, if it is ours alone."""
    with suppress(OSError):
        fd = os.open(kept, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            info = os.fstat(stream.fileno())
            if info.st_uid == os.getuid() and not info.st_mode & 0o022:
                _write_index(index, stream.read(), info.st_mtime_ns)


def _keep(kept: str, seen: Seen) -> None:
    temporary = f"{kept}.{os.getpid()}"
    with suppress(OSError):
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(seen.index)
        os.utime(temporary, ns=(seen.index_ns, seen.index_ns))
        os.rename(temporary, kept)


def _read_rules(asking: _Asking, seen: Seen, files: Sequence[tuple[bytes, bytes]]) -> None:
    """What the commit itself says is ignored, in the order of git: the deeper file wins."""
    if not files:
        return
    given = b"".join(oid + b"\n" for _, oid in files)
    texts = _blobs(asking.ask("cat-file", "--batch", given=given))
    rules = []
    for path, oid in sorted(files, key=lambda file: file[0].count(b"/")):
        folder, _, name = path.rpartition(b"/")
        text = texts.get(oid, b"")
        if name == b".gitignore":
            rules += list(_ignored_in(folder, text))
        elif b"filter=lfs" in text:
            seen.lfs = True
    seen.ignored = b"".join(rule + b"\n" for rule in rules)


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
    """A path as a pattern that means just itself."""
    return b"".join(b"\\" + bytes([c]) if c in b"\\*?[ " else bytes([c]) for c in path)


def _without_lfs(asking: _Asking, changes: list[bytes]) -> list[bytes]:
    """The changes but for files that Git LFS put in the place of their pointers: those are
    compared with the pointer here, as its filter is a program that somebody configured.
    """
    oids = {}
    for change in changes:
        words = change.split(b" ", 8)
        # 1 .M N... <mode HEAD> <mode index> <mode tree> <oid HEAD> <oid index> <path>
        if words[0] == b"1" and words[1] == b".M" and words[3] == words[5]:
            oids[change] = (words[6], words[8])
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
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            if os.fstat(stream.fileno()).st_size != int(told[2]):
                return False
            return file_digest(stream, "sha256").hexdigest().encode() == told[1]
    except OSError:
        return False


def _in_submodules(seen: Seen, environ: Mapping[str, str]) -> Iterator[bytes]:
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
        inner = look(folder, environ)
        if inner.changes or inner.at.commit != oid.decode():
            yield line


def _diff_digest(asking: _Asking, seen: Seen, paths: Sequence[str]) -> str | None:
    digest = sha256()
    if seen.at.commit is not None:
        try:
            digest.update(asking.ask(*_DIFF, seen.at.commit, "--", *paths))
        except GitError:
            return None
    for change in seen.changes:
        digest.update(change + b"\0")
    return digest.hexdigest()


def _lines(out: bytes) -> list[str]:
    return out.decode("utf-8", "backslashreplace").splitlines()


def _first(out: bytes) -> str | None:
    lines = _lines(out)
    return lines[0].strip() or None if lines else None
