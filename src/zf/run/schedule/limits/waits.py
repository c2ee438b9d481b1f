"""Tasks that wait for a `concurrency` group another run has: since when, for which run, and when
that is worth a line. Pure.
"""

from __future__ import annotations

from zf.lean.records import Struct

# Many short tasks of other runs may have a group one after the other: not each is worth a line.
SAY_AGAIN_S = 10.0


class _Wait(Struct):
    since: float
    owner: str = ""
    said: str = ""
    say_again_at: float = 0.0


class Waits:
    """Each task that was refused its lease and has neither got it nor given up."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def owner(self, task: str) -> str | None:
        """The holder of its group when that was last asked for."""
        wait = self._waits.get(task)
        return None if wait is None else wait.owner

    def refused(self, task: str, owner: str, now: float) -> bool:
        """Its group is this owner's; whether that should be said."""
        wait = self._waits.setdefault(task, _Wait(now))
        wait.owner = owner
        if owner == wait.said or now < wait.say_again_at:
            return False
        wait.said, wait.say_again_at = owner, now + SAY_AGAIN_S
        return True

    def over(self, task: str, now: float) -> float:
        """It waits no longer; for how long it did, in seconds."""
        wait = self._waits.pop(task, None)
        return 0.0 if wait is None else round(now - wait.since, 6)
