"""The first look at the work tree in a second process, while this one gets ready to run something.

Git takes 30 ms for a small work tree and a second for 40 000 files, and nothing needs its answer
before run.json is written. The look is over by then, or waited for: no task starts before.

What was seen comes back through a pipe as a pickle, as from `zf.plan.preload`.
"""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from zf.lean import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from zf.proof import files
    from zf.proof.source import git, repository, worktree
    from zf.proof.source.provenance import Source
else:
    files = lazy.module("zf.proof.files")
    git = lazy.module("zf.proof.source.git")
    repository = lazy.module("zf.proof.source.repository")
    worktree = lazy.module("zf.proof.source.worktree")

NO_WORK_TREE = "this is not a git work tree"


class Looking:
    """A look that was begun. To be closed: the other process never outlives the use of it."""

    def __init__(
        self,
        about: tuple[str, tuple[str, ...], Mapping[str, str]],
        pid: int,
        results: int,
        scratch: str,
    ) -> None:
        self._about = about
        self._pid = pid
        self._results = results
        self._scratch = scratch

    @classmethod
    def begin(
        cls, root: str, exclude: tuple[str, ...], environ: Mapping[str, str], cache: str
    ) -> Self | None:
        """Begin; None where there is nothing to look at, or no process to be had."""
        if find_top(root, environ) is None:
            return None
        scratch = git.scratch_name(environ)
        try:
            results, theirs = os.pipe()
        except OSError:
            return None
        try:
            pid = os.fork()
        except OSError:
            os.close(results)
            return None
        else:
            if pid == 0:
                _look_and_exit(theirs, root, exclude, environ, cache, scratch)
            # In both processes, whichever comes first: it is ended with all the gits it has, and
            # Ctrl-C, which is for the run, does not reach it.
            with suppress(OSError):
                os.setpgid(pid, pid)
            return cls((root, exclude, environ), pid, results, scratch)
        finally:
            os.close(theirs)

    def source(self, ear: git.Ear | None = None) -> Source | None:
        """What was seen, once; None when the other process died and the caller has to look itself,
        or when the run is to end.
        """
        if self._results < 0:
            return None
        try:
            git.await_readable(self._results, ear)
        except git.NotAwaitedError:
            self.close()
            return None
        with os.fdopen(self._results, "rb") as stream:
            self._results = -1
            data = stream.read()
        self.close()
        try:
            facts, seen = pickle.loads(data)  # noqa: S301 - from a process of our own
        except (EOFError, pickle.UnpicklingError):
            return None
        from zf.proof.source.provenance import Source  # noqa: PLC0415 - by now it is there

        return Source(*self._about, facts, seen)

    def close(self) -> None:
        """End the other process, if it still is there."""
        if self._results >= 0:
            os.close(self._results)
            self._results = -1
        if self._pid:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # where a parent's ignored SIGCHLD is inherited
                os.waitpid(self._pid, 0)
            self._pid = 0
            files.remove_tree(self._scratch)


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


def _look_and_exit(
    results: int,
    root: str,
    exclude: tuple[str, ...],
    environ: Mapping[str, str],
    cache: str,
    scratch: str,
) -> NoReturn:
    """The other process; it says nothing, not even why it fails: looking again will."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with suppress(OSError):
            os.setpgid(0, 0)
        from zf.proof.source.provenance import Source  # noqa: PLC0415 - this side needs it at once

        seen = Source.look(root, exclude=exclude, environ=environ, cache=cache, scratch=scratch)
        with os.fdopen(results, "wb") as stream:
            pickle.dump((seen.facts, seen.seen), stream)
    finally:
        os._exit(0)
