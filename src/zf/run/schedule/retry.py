"""Whether an attempt that failed is tried again, and how long that waits. Pure.

The wait doubles each time up to a cap, less up to a tenth so that many do not come at once. That
jitter is drawn from (run, task, retry): a run that is replayed waits the same.
"""

from __future__ import annotations

from hashlib import sha256

from zf.events import AttemptEnded, Status
from zf.model import Task

_JITTER = 0.1
# 2**60 of anything is past every cap; a float could not hold 2**2000.
_MOST_DOUBLINGS = 60


class Retries:
    """How many retries each task has used; `seed` is the run id."""

    def __init__(self, seed: str, *, allowed: bool) -> None:
        self._seed = seed
        self._allowed = allowed
        self._used: dict[str, int] = {}

    def spend(self, task: Task, ended: AttemptEnded) -> float | None:
        """Seconds until the next attempt; None when this one was the last."""
        retry = self._used.get(task.id, 0) + 1
        if not self._allowed or retry > task.max_retries or not _is_retried(task, ended):
            return None
        self._used[task.id] = retry
        return wait_s(task, retry, self._seed)


def _is_retried(task: Task, ended: AttemptEnded) -> bool:
    by_code = ended.status is Status.FAILURE and ended.exit_code in task.retry_on
    return by_code or ended.status in task.retry_on or ended.cause in task.retry_on


def wait_s(task: Task, retry: int, seed: str) -> float:
    """Seconds before the retry with this number, from 1; milliseconds are precise enough."""
    doubled = task.retry_delay_s * 2.0 ** min(retry - 1, _MOST_DOUBLINGS)
    digest = sha256(f"{seed}/{task.id}/{retry}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2**64
    return round(min(doubled, task.retry_max_delay_s) * (1 - _JITTER * drawn), 3)
