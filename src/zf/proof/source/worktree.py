"""What git says of a work tree, asked so that no setting, flag or local file makes it say less.

The commit comes from the repository. Everything else is asked in a repository of our own, made for
the moment: its index is read from the commit (so no entry is `assume-unchanged`), it has no
configuration but ours (no filter, hook, fsmonitor or `status.*`), no replaced objects and no
`info/exclude`, and what is ignored is what the commit's own .gitignore files name. A file is
unchanged if it is, byte for byte, what the commit has, or what checking that out would write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

from zf.lean.records import Struct, field
from zf.proof.files import NEW, READ
from zf.proof.source import git, repository
from zf.proof.source.top import NO_WORK_TREE, find_top

if TYPE_CHECKING:
    from hashlib import _Hash

    from zf.proof.source.git import Ear

# Hashing every file is the only honest answer, and takes 4 s for 100 000 of them. An index larger
# than this (some 10 000 files) is kept for the next run, which hashes only what has another change
# time. It is out of reach while a run goes on: taken away at its start, put back at its end from
# memory.
KEEP_INDEX_BYTES = 1 << 20
_STATUS = ("status", "--porcelain=v2", "--untracked-files=no", "--no-renames", "-z")
_SUBMODULES = "--ignore-submodules=dirty"  # what is inside of them is asked there, in the same way
_UNTRACKED = (
    "ls-files",
    "--others",
    "--directory",
    "--no-empty-directory",
    "-z",
    "--exclude-from",
)
# How a change is told that is a new file, or a folder of them.
_NEW = b"? "
# Prints only new files where the other two, and this takes half as long, would find no others.
_ANY_CHANGES = ("ls-files", "--modified", "--deleted", *_UNTRACKED[1:])
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


class Seen(Struct):
    """A work tree as it was at one moment: what `dirty` and `diff_sha256` come from, and what a
    second look needs to be quick. The index is kept in memory, where no task can write.
    """

    at: repository.Commit
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


# A look that was begun: each step forward hears what git said so far, asks more, and gives what
# asked. It may be sent an ear, which is listened to from then on.
Stages = Generator[git.Asking, "Ear | None", Seen]


def look(
    root: str,
    environ: Mapping[str, str],
    exclude: Iterable[str] = (),
    cache: str | None = None,
    ear: Ear | None = None,
) -> Seen:
    """Look at the work tree that `root` is in. Raises GitError, and OSError without a git.

    The folders `exclude` (absolute, or relative to the root) do not count. `cache` is a folder of
    zf's own for the index of a large repository: `withdraw` it before any step runs, and `keep` it
    when all have ended.
    """
    git.refuse_to_wait(ear)
    return finish(begin(root, environ, exclude, cache)[0], ear)


def begin(
    root: str, environ: Mapping[str, str], exclude: Iterable[str] = (), cache: str | None = None
) -> tuple[Stages, git.Asking]:
    """Begin to `look`, and what asks for it first; raises as that does. What is begun is to be
    finished or closed.
    """
    top = _top(root, environ)
    kept = f"{cache}/{sha256(os.fsencode(top)).hexdigest()[:16]}.index" if cache else None
    stages = _look(top, environ, _inside(top, root, exclude), kept)
    return stages, next(stages)


def finish(stages: Stages, ear: Ear | None = None) -> Seen:
    """What a look that was begun comes to; raises as `look` does."""
    try:
        while True:
            stages.send(ear)
    except StopIteration as end:
        seen: Seen = end.value
        return seen
    finally:
        stages.close()


def _look(top: str, environ: Mapping[str, str], exclude: Sequence[str], kept: str | None) -> Stages:
    try:
        return (yield from _stages(top, environ, exclude, kept))
    except git.GitError:
        # The run goes on without knowing, and nothing is to be left in reach of its steps.
        if kept is not None:
            with suppress(OSError):
                os.unlink(kept)
        raise


def _stages(
    top: str, environ: Mapping[str, str], exclude: Sequence[str], kept: str | None
) -> Stages:
    refs = repository.refs_of(top)
    with (
        git.scratch_folder(environ) as folder,
        git.Asking(repository.outer(environ, folder), top, folder) as outside,
    ):
        index = f"{folder}/index"
        was_kept = kept is not None and _take_kept(kept, index)
        begun = repository.ask_of_commit(outside, index, refs, environ)
        outside.ear = yield outside
        found = repository.hear_of_commit(outside, index, begun)
        seen = Seen(found.at, found.repo, found.tags, submodules=found.submodules, refs=refs)
        with repository.own_repository(folder, seen.at, environ, outside.ear) as asking:
            seen.ignored, seen.lfs, seen.converts = repository.read_rules(
                asking, seen.at, found.rules
            )
            asked = _ask_inside(asking, seen, exclude)
            asking.ear = yield asking
            if _hear_inside(asking, seen, environ, asked):
                _hear_diff(asking, seen, _ask_diff(asking, seen, exclude))
            _learn_times(asking, seen)
        if was_kept or len(seen.index) > KEEP_INDEX_BYTES:
            seen.kept = kept
    return seen


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
    git.refuse_to_wait(ear)
    at = before.at
    refs = repository.refs_of(at.top)
    same = refs is not None and refs == before.refs
    with (
        git.scratch_folder(environ) as folder,
        git.Asking(repository.outer(environ, folder), at.top, folder, ear) as outside,
        repository.own_repository(folder, at, environ, ear) as asking,
    ):
        head = None if same else outside.start(*repository.HEAD)
        _write_index(f"{folder}/index", before.index, before.index_ns)
        seen = Seen(at, ignored=before.ignored, submodules=before.submodules)
        seen.lfs, seen.converts = before.lfs, before.converts
        inside = _inside(at.top, root, exclude)
        any_changes = asked = diff = None
        if any(map(_is_tracked, before.changes)):
            diff = _ask_diff(asking, seen, inside)  # there will hardly be none now
        new = [change.removeprefix(_NEW) for change in before.changes]
        only_new = not before.changes or (at.commit is not None and diff is None)
        if not only_new or before.submodules or before.lfs or before.converts:
            asked = _ask_inside(asking, seen, inside)
        else:
            rules = _write_rules(asking, seen, inside)
            any_changes = asking.start(*_ANY_CHANGES, rules, "--", ".")

        def answer() -> Seen:
            if head is not None:
                seen.at = repository.head_commit(outside, head)
            if seen.at.commit != at.commit:
                return seen
            if any_changes is not None and _names(asking.finish(any_changes)) == new:
                seen.changes, seen.diff_sha256 = before.changes, before.diff_sha256
                seen.index, seen.index_ns = before.index, before.index_ns
            else:
                now = asked or _ask_inside(asking, seen, inside)
                if _hear_inside(asking, seen, environ, now):
                    _hear_diff(asking, seen, diff or _ask_diff(asking, seen, inside))
                _learn_times(asking, seen)
            return seen

        yield answer


def commit_of(root: str, environ: Mapping[str, str]) -> str | None:
    """The commit that is checked out, None without one; raises like `look`."""
    top = _top(root, environ)
    with (
        git.scratch_folder(environ) as folder,
        git.Asking(repository.outer(environ, folder), top, folder) as outside,
    ):
        return repository.head_commit(outside, outside.start(*repository.HEAD)).commit


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
        with os.fdopen(os.open(temporary, NEW, 0o600), "wb") as stream:
            stream.write(newest.index)
        os.utime(temporary, ns=(newest.index_ns, newest.index_ns))
        os.rename(temporary, seen.kept)


def _top(root: str, environ: Mapping[str, str]) -> str:
    top = find_top(root, environ)
    if top is None:
        raise git.GitError(NO_WORK_TREE)
    return top


def _inside(top: str, root: str, exclude: Iterable[str]) -> list[str]:
    paths = (os.path.realpath(os.path.join(root, path)) for path in exclude)
    return [os.path.relpath(path, top) for path in paths if path.startswith(f"{top}/")]


def _ask_inside(
    asking: git.Asking, seen: Seen, exclude: Sequence[str]
) -> tuple[git.Asked | None, git.Asked]:
    """Begin to compare the files with the index, and to look for new ones."""
    status = None
    if seen.at.commit is not None:
        status = asking.start(*_STATUS, _SUBMODULES, "--", *_paths(exclude))
    rules = _write_rules(asking, seen, exclude)
    return status, asking.start(*_UNTRACKED, rules, "--", ".")


def _write_rules(asking: git.Asking, seen: Seen, exclude: Sequence[str]) -> str:
    """The path of a file that says what is ignored, and left out besides."""
    rules = f"{asking.env['GIT_DIR']}/ignored"
    with open(rules, "wb") as stream:
        stream.write(seen.ignored)
        stream.writelines(b"/" + repository.escaped(os.fsencode(path)) + b"\n" for path in exclude)
    return rules


def _hear_inside(
    asking: git.Asking,
    seen: Seen,
    environ: Mapping[str, str],
    asked: tuple[git.Asked | None, git.Asked],
) -> bool:
    """What came of it; whether there is more to ask: how those files changed that are tracked."""
    status, untracked = asked
    is_changed = False
    if status is not None:
        changes = [line for line in asking.finish(status).split(b"\0") if line]
        is_changed = bool(changes)
        if changes and (seen.lfs or seen.converts):
            changes = _without_conversions(asking, seen, changes)
        seen.changes += changes
    seen.changes += [_NEW + path for path in _names(asking.finish(untracked))]
    seen.changes += _in_submodules(seen, environ, asking.ear)
    if seen.changes and not is_changed:
        seen.diff_sha256 = _digest(sha256(), seen.changes)
    return is_changed and bool(seen.changes)


def _is_tracked(change: bytes) -> bool:
    return not change.startswith(_NEW)


def _names(out: bytes) -> list[bytes]:
    return sorted(path for path in out.split(b"\0") if path)


def _learn_times(asking: git.Asking, seen: Seen) -> None:
    """Keep the index, which has learnt the files' times meanwhile."""
    index = f"{asking.env['GIT_DIR']}/index"
    if (data := git.contents(index)) is not None:  # there is none without a commit
        seen.index, seen.index_ns = data, os.stat(index).st_mtime_ns


def _without_conversions(asking: git.Asking, seen: Seen, changes: list[bytes]) -> list[bytes]:
    from zf.proof.source import conversions  # noqa: PLC0415 - few repositories have such files

    if seen.lfs:
        changes = conversions.without_lfs(asking, changes)
    if seen.converts:
        changes = conversions.without_converted(asking, seen.at, changes)
    return changes


def _paths(exclude: Sequence[str]) -> tuple[str, ...]:
    return (".", *(f":(exclude,top,literal){path}" for path in exclude))


def _write_index(path: str, data: bytes, mtime_ns: int) -> None:
    """An index with its time: what changed in the moment it was written is looked at again."""
    with open(path, "wb") as stream:
        stream.write(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _take_kept(kept: str, index: str) -> bool:
    """The index that a run before this one left, if it is ours alone."""
    with suppress(OSError), os.fdopen(os.open(kept, READ), "rb") as stream:
        info = os.fstat(stream.fileno())
        if info.st_uid == os.getuid() and not info.st_mode & 0o022:
            _write_index(index, stream.read(), info.st_mtime_ns)
            return True
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


def _ask_diff(asking: git.Asking, seen: Seen, exclude: Sequence[str]) -> git.Asked:
    """Begin to ask how files differ from the commit; the index is for others to write."""
    assert seen.at.commit is not None  # something differs from it
    return asking.start("--no-optional-locks", *_DIFF, seen.at.commit, "--", *_paths(exclude))


def _hear_diff(asking: git.Asking, seen: Seen, asked: git.Asked) -> None:
    try:
        if asking.await_end(asked) != 0:
            return
    except git.NotAwaitedError:
        raise
    except git.GitError:
        return
    with open(asked.out, "rb") as stream:
        seen.diff_sha256 = _digest(file_digest(stream, "sha256"), seen.changes)


def _digest(diff: _Hash, changes: Iterable[bytes]) -> str:
    for change in changes:
        diff.update(change + b"\0")
    return diff.hexdigest()
