"""The phases of a run, one after the other: which is under way, what is left of each. Pure."""

from __future__ import annotations

from collections import deque

from zf.model.handler import FAILURE, SUCCESS, TIMEOUT
from zf.plan.graph import Plan


class Phases:
    """`name` is that of the phase under way, `struck` says that its time limit has passed, or
    matters no longer. `all_ok`: no phase that ended has failed.
    """

    def __init__(self, plan: Plan) -> None:
        self.name: str | None = None
        self.timeout_s = 0.0
        self.max_jobs: int | None = None
        self._later = deque(plan.phases)
        self.all_ok = True
        self.struck = False
        # Of the later ones, those in which nothing starts any more: they need one that failed.
        self.given_up: set[str] = set()
        self._members: dict[str, list[str]] = {phase.name: [] for phase in plan.phases}
        for task in plan.tasks.values():
            self._members[task.phase].append(task.id)
        self._left = {phase: len(members) for phase, members in self._members.items()}
        self._failed: set[str] = set()
        # That ran out of time, or of which no task had its turn.
        self._late: set[str] = set()
        self._idle: set[str] = set()

    def extend(self, phase: str, base: str, names: list[str]) -> None:
        """These tasks are in the place of one that has not ended."""
        members = self._members[phase]
        at = members.index(base)
        members[at : at + 1] = names
        self._left[phase] += len(names) - 1

    @property
    def to_come(self) -> list[str]:
        return [phase.name for phase in self._later]

    def needing(self, failed: str) -> list[str]:
        """The phases to come that need this one."""
        return [p.name for p in self._later if p.needs is None or failed in p.needs]

    @property
    def is_over(self) -> bool:
        """Whether all tasks of the phase under way have ended; also when there is none."""
        return self.name is None or not self._left[self.name]

    def members(self, phase: str | None) -> list[str]:
        return self._members[phase] if phase is not None else []

    def left(self, phase: str) -> int:
        """How many of its tasks have not ended."""
        return self._left[phase]

    def had_no_turn(self) -> None:
        """Of the phase under way nothing but handlers is left: it was given up, or stopped."""
        assert self.name is not None
        self._idle.add(self.name)

    def came_to(self, phase: str) -> str:
        """What its tasks came to, in the words of handlers; nothing where none had its turn."""
        if phase in self._idle:
            return ""
        return TIMEOUT if phase in self._late else FAILURE if phase in self._failed else SUCCESS

    def note_end(self, phase: str, *, good: bool) -> None:
        """A task of this phase has ended, perhaps before the phase began: it was cancelled."""
        self._left[phase] -= 1
        if not good:
            self._failed.add(phase)

    def run_out_of_time(self) -> None:
        """The phase under way has failed, even if what is killed now turns out to succeed."""
        assert self.name is not None
        self.struck = True
        self._failed.add(self.name)
        self._late.add(self.name)

    def run_out_of_budget(self, phase: str) -> None:
        """The phase has failed, or the one under way where the budget is the run's."""
        failed = phase or self.name
        if failed is not None:
            self._failed.add(failed)

    def end(self) -> bool:
        """Whether the phase that ends now was successful."""
        ok = self.name not in self._failed
        self.name = None
        self.all_ok &= ok
        return ok

    def begin_next(self, *, with_work: bool) -> str | None:
        """The phase that begins now; `with_work`: those with no task left are passed over, as those
        always are that were given up.
        """
        while self._later and not self._left[self._later[0].name]:
            if not with_work and self._later[0].name not in self.given_up:
                break
            self._later.popleft()
        self.struck = False
        if self._later:
            phase = self._later.popleft()
            self.name, self.timeout_s = phase.name, phase.timeout_s
            self.max_jobs = phase.max_jobs
        return self.name
