"""The attempt that will probably come next, made ready while the one before it runs.

Between the exit of a step and the start of its dependent lie 0.5 ms that a worker spends on the
folders of the tree, task.json and env.sh. While a step runs, its worker has nothing to do. So the
runner says which task it expects to follow in the same slot, and the worker makes that one's tree
at a place of its own; when the order comes, the tree takes its place with one rename. Until then it
is no part of the run: a wrong guess, or a death, leaves nothing in the proof.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from zf.model import Task
from zf.proof.files import remove_tree
from zf.work.attempt import Attempt, WorkerContext
from zf.work.outcome import Outcome


class Prefetch:
    """At most one attempt, the first of its task; `aside` is the run's folder for such trees."""

    def __init__(
        self, context: WorkerContext, aside: str, outcome_of: Callable[[Task, int], Outcome]
    ) -> None:
        self._context = context
        self._aside = aside
        self._outcome_of = outcome_of
        self._ready: Attempt | None = None

    @property
    def _place(self) -> str:
        return f"{self._context.written_aside}/{os.getpid()}"

    def prepare(self, task: Task) -> None:
        """Make the task's first attempt ready. Whatever keeps it from that will come up again when
        it is its turn, and be told then.
        """
        self.discard()
        try:
            os.makedirs(self._aside, exist_ok=True)
            self._ready = Attempt(self._context, task, self._outcome_of(task, 1), at=self._place)
        except Exception:  # noqa: BLE001 - see above
            remove_tree(self._place)

    def take(self, task: Task, attempt: int) -> Attempt | None:
        """The attempt, its tree in place and its time begun, if that is what was made ready."""
        ready = self._ready
        if ready is None:
            return None
        if attempt == 1 and ready.tree.path == f"{self._context.written_at}/{task.id}":
            with suppress(OSError):  # another tree is there: of an attempt that was lost, say
                ready.tree.put_in_place()
                ready.outcome.begin()
                self._ready = None
                return ready
        self.discard()
        return None

    def discard(self) -> None:
        """The guess was wrong, or nothing follows."""
        if self._ready is not None:
            self._ready.tree.close()
            self._ready = None
            remove_tree(self._place)
