"""What a task has left, looked at before it is its turn: a worker has nothing else to do while the
kernel has it wait for its cgroup, and a folder of 2 000 files takes as long to look at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from zf.lean.records import Struct
from zf.work.caching.files import Generated, UnusableError, generated

if TYPE_CHECKING:
    from zf.model import Task

# Longer than this no task is to wait, and so much later what was seen may be no longer so.
_MOST_S = 0.1
_FRESH_S = 1.0


class Ahead(Struct, frozen=True):
    """What this task had left at this moment of `time.monotonic()`."""

    task: str
    moment: float
    generated: Generated

    @classmethod
    def look(cls, task: Task, root: str, proofs: str) -> Self | None:
        """Look now; None where that takes long, or cannot be told."""
        if task.generates_check == "content":
            return None
        until = time.monotonic() + _MOST_S

        def why_stop() -> str:
            return "take long" if time.monotonic() > until else ""

        with suppress(OSError, UnusableError):
            patterns, when = task.generates, time.monotonic()
            found = generated(
                root, patterns, content=False, proofs=proofs, why_stop=why_stop, whole=False
            )
            return cls(task.id, when, found)
        return None

    def of(self, task: str) -> Iterator[Generated]:
        """What was seen of this task, if it was just now."""
        if task == self.task and time.monotonic() - self.moment < _FRESH_S:
            yield self.generated
