"""The first look at the work tree, begun before the project is loaded: git works meanwhile.

Git takes 30 ms for a small work tree and a second for 40 000 files, and nothing needs its answer
before run.json is written. The look is over by then, or waited for: no task starts before.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from zf.lean import lazy
from zf.proof.source.top import find_top

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from zf.proof.source import git, worktree
else:
    git = lazy.module("zf.proof.source.git")
    worktree = lazy.module("zf.proof.source.worktree")


class Looking:
    """A look that was begun. To be closed: its gits never outlive the use of it."""

    def __init__(self, stages: worktree.Stages, first: git.Asking) -> None:
        self._stages: worktree.Stages | None = stages
        self._first = first

    @classmethod
    def begin(
        cls, root: str, exclude: tuple[str, ...], environ: Mapping[str, str], cache: str
    ) -> Self | None:
        """Begin; None where there is nothing to look at, or git cannot be asked: looking again will
        say why.
        """
        if find_top(root, environ) is None:
            return None
        with suppress(git.GitError, OSError):
            return cls(*worktree.begin(root, environ, exclude, cache))
        return None

    def go_on(self) -> None:
        """Ask what can only be asked once the first answers are there, if they are: nothing waits
        for git before the run can hear that it is to end.
        """
        if self._stages is not None:
            try:
                if self._first.is_answered():
                    next(self._stages)
            except (git.GitError, OSError):
                self._stages = None

    def seen(self, ear: git.Ear | None = None) -> worktree.Seen | None:
        """What was seen, once; None when that failed and the caller has to look itself. Raises
        NotAwaitedError when the run is to end.
        """
        stages, self._stages = self._stages, None
        if stages is None:
            return None
        try:
            return worktree.finish(stages, ear)
        except git.NotAwaitedError:
            raise
        except (git.GitError, OSError):
            return None

    def close(self) -> None:
        """End what is under way."""
        if self._stages is not None:
            self._stages.close()
            self._stages = None
