"""That an instance of a matrix which fails ends the others (`fail_fast`). Pure.

How many of them run at once is a budget of places, which `ready.py` counts like any other resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zf.events import Cause, Status
from zf.model import Task
from zf.run.schedule.outcomes import Decision


class Matrices:
    """The instances of those matrices that fail fast."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._members: dict[str, list[str]] = {}
        self._failed: set[str] = set()
        self.extend(tasks.values())

    def extend(self, tasks: Iterable[Task]) -> None:
        """Take in more instances."""
        for task in tasks:
            if task.matrix_fail_fast:
                self._members.setdefault(task.base, []).append(task.id)

    def others(self, failed: Task, status: Status) -> tuple[Decision, list[str]]:
        """What becomes of the other instances now that this one has failed, and which these are;
        none where another had failed before.
        """
        end = Decision(
            Status.CANCELLED,
            Cause.MATRIX,
            f"fail_fast of the matrix: '{failed.id}' ended with status: {status}",
        )
        if failed.base in self._failed:
            return end, []
        self._failed.add(failed.base)
        return end, [name for name in self._members[failed.base] if name != failed.id]
