"""What is known of a run as a whole, and what can be asked of it. Pure values, which only the fold
changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from zf.errors import Exit
from zf.events import (
    FAILED,
    AttemptEnded,
    BudgetWarned,
    Interrupted,
    PhaseTimedOut,
    PlanExtended,
    RunTimedOut,
    Status,
    ThrottleEntered,
)
from zf.lean.records import Struct, field
from zf.model import NOTHING
from zf.report.task_facts import PhaseFacts, TaskFacts

if TYPE_CHECKING:
    from zf.report.causes import RootCause
    from zf.report.timing.expected import Expected

# What keeps a run from passing, unless it is tolerated: everything but success and skipped.
_SPOILS = (*FAILED, Status.BLOCKED, Status.CANCELLED)
_MOST_WAITING = 99  # a row of the live board counts no further

Result = Literal[
    "passed", "failed", "timeout", "interrupted", "nothing run", "unfinished", "waiting", "tampered"
]


class Facts(Struct):
    """Everything known about one run. Only its `Fold` changes it.

    `counts` has every status, `waiting` and `running`; `tolerated` says how many of each status are
    `warned`; `running` is in order of start. `throttled_s` is how long the machine was too busy,
    `held_s` for how much of that a task was kept waiting.
    """

    phases: Mapping[str, PhaseFacts]
    tasks: Mapping[str, TaskFacts]
    dependents: Mapping[str, Sequence[str]]
    needs_checked: bool
    upstream: Mapping[str, str]
    counts: dict[str, int]
    tolerated: dict[str, int] = field(default_factory=dict)
    # What the run is allowed, where that is known.
    max_jobs: int | None = None
    resources: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    # What is expected of it, where its plan has times and its limits are known.
    expected: Expected | None = None
    run: str = ""
    # The number of every task's first step in the names of its files: 1 for runs of zf 0.1.
    first_step: int = 0
    phase: str = ""
    running: dict[str, TaskFacts] = field(default_factory=dict)
    phase_timeout: PhaseTimedOut | None = None
    run_timeout: RunTimedOut | None = None
    throttle: ThrottleEntered | None = None
    throttles: int = 0
    throttled_s: float = 0.0
    held_s: float = 0.0
    # Budgets of which a large part is used up, or more than all: by scope, name and metric.
    budgets: dict[tuple[str, str, str], BudgetWarned] = field(default_factory=dict)
    interrupted: Interrupted | None = None
    exit_code: int | None = None
    tampered: Sequence[str] = ()
    started_at: str = ""
    ended_at: str = ""
    started_mono: float | None = None
    last_mono: float | None = None
    duration_s: float | None = None
    # What it was given, in words, where that is known.
    given: Sequence[str] = ()
    # The executors on which nothing starts any more.
    drained: list[str] = field(default_factory=list)
    # What joined the plan while it went on.
    joined: list[PlanExtended] = field(default_factory=list)
    # The tasks for whose approval its runner left it, where it is so.
    suspended: tuple[str, ...] = ()
    _causes: tuple[RootCause, ...] | None = None

    @property
    def causes(self) -> tuple[RootCause, ...]:
        """Root causes, the one that blocks most first; worked out once per state."""
        if self._causes is None:
            if self.all_well:
                return ()
            from zf.report.causes import root_causes  # noqa: PLC0415 - of no use while all is well

            self._causes = root_causes(self.tasks)
        return self._causes

    @property
    def all_well(self) -> bool:
        """Whether every task succeeded, and in time."""
        late = self.phase_timeout or self.run_timeout
        return late is None and self.counts[Status.SUCCESS] == len(self.tasks)

    def eta_s(self, now: float) -> float | None:
        """In how many seconds it is likely to be over, at this moment on the journal's clock; None
        where earlier runs do not say how long its tasks take.
        """
        if self.expected is None:
            return None
        return self.expected.eta_s(self.phase, self.running.values(), now)

    def share_done(self, now: float) -> float:
        """How much of it is done, from 0 to 1: of the expected time, or else of the tasks."""
        if self.expected is not None:
            return self.expected.share_done(self.running.values(), now)
        left = self.counts["waiting"] + self.counts["running"]
        return 1 - left / len(self.tasks) if self.tasks else 1.0

    @property
    def failed(self) -> list[TaskFacts]:
        """The tasks that failed, timed out or were lost, and may not; in plan order."""
        return [task for task in self.tasks.values() if task.status in FAILED and not task.warned]

    @property
    def warned(self) -> list[TaskFacts]:
        """The tasks whose end is tolerated, in plan order."""
        return [task for task in self.tasks.values() if task.warned]

    @property
    def flaky(self) -> list[TaskFacts]:
        """The tasks that succeeded only after another try, in plan order."""
        return [task for task in self.tasks.values() if task.flaky]

    def step_of(self, event: AttemptEnded) -> int | None:
        """The failing step, counted from 0 also where the event counts from 1."""
        return None if event.step is None else event.step - self.first_step

    def step_number(self, task: TaskFacts) -> int:
        """The step that failed, or the first, as the names of its files have it."""
        return self.first_step + (task.step or 0)

    def waiting_on(self, name: str, word: str = "waiting") -> tuple[int, bool]:
        """How many waiting tasks (or those of another `word`) need this one, through others too,
        and whether that is all.

        Looks at a bounded number of edges, because the live board asks at every frame.
        """
        seen = {name}
        queue = deque((name,))
        looks = 40 * _MOST_WAITING
        while queue:
            for child in self.dependents.get(queue.popleft(), ()):
                looks -= 1
                if looks < 0 or len(seen) > _MOST_WAITING:
                    return len(seen) - 1, False
                if child not in seen and self.tasks[child].word == word:
                    seen.add(child)
                    queue.append(child)
        return len(seen) - 1, True

    @property
    def result(self) -> Result:
        """What the run came to. It passed only if something ran and nothing spoiled it."""
        if self.exit_code is None:
            return "waiting" if self.suspended else "unfinished"
        if self.tampered:
            return "tampered"
        if self.interrupted is not None:
            return "interrupted"
        if self.exit_code == Exit.TIMEOUT:
            return "timeout"
        if self.exit_code or any(
            self.counts[word] > self.tolerated.get(word, 0) for word in _SPOILS
        ):
            return "failed"
        return (
            "passed"
            if self.counts[Status.SUCCESS] or any(self.tolerated.values())
            else "nothing run"
        )
