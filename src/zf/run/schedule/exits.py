"""What a run exits with. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zf.errors import Exit
from zf.events import FAILED, AttemptEnded, Status
from zf.model import Task, base_of

_SIGINT = 2


class Exits:
    """`only` is the task of a `zf run-task`, or the base of several, whose own exit code becomes
    the run's.
    """

    def __init__(self, tasks: Mapping[str, Task], only: str | None) -> None:
        self._tasks = tasks
        self._only = only
        self._exits: dict[str, int] = {}

    def take_in(self, ended: AttemptEnded) -> None:
        """An attempt has ended."""
        if self._only in {ended.task, base_of(ended.task)}:
            self._exits[ended.task] = _own_exit(ended)

    def of_run(
        self, done: Mapping[str, Status], signal: int | None, *, late: bool, ok: bool
    ) -> int:
        """The exit code of a run that a signal ended, or whose time was over, or that went well."""
        if signal is not None:
            return Exit.INTERRUPTED if signal == _SIGINT else Exit.TERMINATED
        if late:
            return Exit.TIMEOUT
        return Exit.OK if ok else self._of_only(done)

    def _of_only(self, done: Mapping[str, Status]) -> int:
        """That of the task of a `zf run-task`; of a matrix, of its first instance that failed."""
        failed = (name for name in self._tasks if done.get(name) in FAILED)
        return next((self._exits[name] for name in failed if name in self._exits), Exit.FAILED)


def _own_exit(ended: AttemptEnded) -> int:
    """What `zf run-task` exits with: the step's own code where that cannot be mistaken for ours."""
    if ended.status is Status.TIMEOUT:
        return Exit.TIMEOUT
    code = ended.exit_code or 0
    return code if ended.status is Status.FAILURE and 1 <= code <= 123 else Exit.FAILED
