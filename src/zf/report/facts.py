"""Events folded into one `Facts` value: what became of each task, and what held up what.

Pure: no clock, no file. Works on any prefix of a run, so the live board, a finished run and the
journal of a killed one are the same fold. Says nothing in words; the other modules do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, assert_never

from zf.errors import Exit
from zf.events import (
    FAILED,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptEnded,
    AttemptStarted,
    BudgetWarned,
    Cached,
    CacheMissed,
    CancelRequested,
    ConditionEvaluated,
    Event,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    Probe,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    RunSuspended,
    RunTimedOut,
    ServiceEnded,
    ServiceStarted,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING
from zf.report.task_facts import PhaseFacts, TaskFacts, Tried, extend, shared_names

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


def build(plan: Mapping[str, Any], events: Iterable[Event]) -> Facts:
    """The facts after `events`; `plan` is what plan.json holds."""
    fold = Fold(plan)
    for event in events:
        fold.apply(event)
    return fold.facts


class Fold:
    """Facts that grow: each event costs the same however many tasks there are.

    Raises ValueError for a plan that lacks something. Events about tasks or phases that are not in
    the plan change nothing.
    """

    def __init__(self, plan: Mapping[str, Any], limits: Mapping[str, Any] | None = None) -> None:
        """`limits` is what run.json says the run is allowed."""
        try:
            self._plan = plan
            self.facts = _planned(plan)
            if limits is not None:
                self.facts.max_jobs = limits["max_jobs"]
                self.facts.resources = limits["resources"]
                if any("weight_s" in row for row in plan["tasks"]):
                    from zf.report.timing.expected import Expected  # noqa: PLC0415 - if there are

                    self.facts.expected = Expected.of(plan, limits["max_jobs"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a zf plan: {error!r}") from error

    def apply(self, event: Event, mono: float | None = None, wall: str = "") -> None:
        """Add one event; `mono` and `wall` are when it was written down, where known."""
        facts = self.facts
        facts._causes = None  # noqa: SLF001 -- the fold is the one owner of the facts' state
        if mono is not None:
            if facts.started_mono is None:
                facts.started_mono = mono
            facts.last_mono = mono
        task = getattr(event, "task", None)
        if task is not None and task not in facts.tasks:
            return
        match event:
            case AttemptStarted():
                self._attempt_started(event, mono, wall)
            case AttemptEnded():
                self._attempt_ended(event)
            case TaskNotRun():
                self._not_run(event)
            case RetryScheduled():
                self._retry_scheduled(event, mono)
            case RetryDropped():
                self._retry_dropped(event)
            case ConditionEvaluated() | LeaseAwaited() | LeaseTaken():
                facts.tasks[event.task].before_a_start(event)
            case ThrottleEntered() | ThrottleLeft():
                self._throttled(event)
            case PhaseStarted() | PhaseEnded() | PhaseTimedOut():
                self._phase(event)
            case BudgetWarned():
                facts.budgets[event.scope, event.name, event.metric] = event
            case PlanExtended():
                extend(facts, self._plan, event)
            case RunTimedOut():
                facts.run_timeout = event
            case Interrupted():
                facts.interrupted = event
            case Probe() | Cached() | CacheMissed():
                facts.tasks[event.task].goes_on(event)
            case ApprovalAsked() | ApprovalGiven() | ApprovalRefused():
                facts.tasks[event.task].at_gate(event, mono)
            case CancelRequested() | ServiceStarted() | ServiceEnded():
                pass  # what comes of it has events of its own
            case RunStarted() | RunResumed() | RunSuspended() | RunEnded():
                self._run(event, mono, wall)
            case _:
                assert_never(event)

    def _run(
        self,
        event: RunStarted | RunResumed | RunSuspended | RunEnded,
        mono: float | None,
        wall: str,
    ) -> None:
        facts = self.facts
        if isinstance(event, RunStarted):
            facts.run, facts.first_step = event.run, event.first_step
            facts.started_at = wall
        elif isinstance(event, RunEnded):
            facts.exit_code, facts.duration_s = event.exit_code, event.duration_s
            facts.tampered = event.tampered
            facts.ended_at = wall or facts.ended_at
        elif isinstance(event, RunSuspended):
            facts.suspended = event.waiting
        else:
            # Another process goes on, perhaps after a reboot: its clock may have another zero.
            facts.started_mono, facts.suspended = mono, ()

    def _phase(self, event: PhaseStarted | PhaseEnded | PhaseTimedOut) -> None:
        phase = self.facts.phases.get(event.phase)
        if isinstance(event, PhaseStarted):
            self.facts.phase = event.phase
        elif isinstance(event, PhaseTimedOut):
            self.facts.phase_timeout = event
        if phase is None:
            return
        if isinstance(event, PhaseStarted):
            phase.state, phase.timeout_s = "running", event.timeout_s
        elif isinstance(event, PhaseTimedOut):
            phase.timed_out = True
        else:
            phase.state = "passed" if event.ok else "failed"
            phase.duration_s = event.duration_s

    def _throttled(self, event: ThrottleEntered | ThrottleLeft) -> None:
        facts = self.facts
        if isinstance(event, ThrottleEntered):
            facts.throttle = event
            facts.throttles += 1
        else:
            facts.throttle = None
            facts.throttled_s += event.duration_s
            facts.held_s += event.held_s

    def _attempt_started(self, event: AttemptStarted, mono: float | None, wall: str) -> None:
        task = self._leave(event.task)
        if task.status is not None:  # no retry was planned: the runner had died
            task.earlier.append(Tried(replace(task, earlier=[], asked=[]), None))
        task.running = True
        task.forget_end()
        self._expect_again(task)
        task.attempt = event.attempt
        task.started_mono = mono
        task.started_at = wall
        self.facts.counts["running"] += 1
        self.facts.running[task.id] = task

    def _attempt_ended(self, event: AttemptEnded) -> None:
        task = self._leave(event.task)
        task.attempt = event.attempt
        task.exit_code = event.exit_code
        task.signal = event.signal
        task.step = self.facts.step_of(event)
        task.started_at = event.started_at
        task.duration_s = event.duration_s
        task.measures, task.tests = shared_names(event.measures), event.tests or NOTHING
        task.outputs_sha256 = event.outputs_sha256
        if event.metrics:
            from zf.metrics.exposition import summed  # noqa: PLC0415 - few tasks have any

            task.metrics = summed((task.metrics, event.metrics))
        self._end(task, event, event.completed_at)

    def _retry_scheduled(self, event: RetryScheduled, mono: float | None) -> None:
        """The end that was told just now is not the last word: the task waits again."""
        task = self._leave(event.task)
        task.earlier.append(Tried(replace(task, earlier=[], asked=[]), event.delay_s))
        task.forget_end()
        self._expect_again(task)
        task.retry_at = None if mono is None else mono + event.delay_s
        self.facts.counts["waiting"] += 1

    def _retry_dropped(self, event: RetryDropped) -> None:
        task = self.facts.tasks[event.task]
        if not task.earlier or task.word != "waiting":
            return
        last = task.earlier[-1]
        task.earlier[-1] = replace(last, dropped=event.cause)
        self.facts.counts["waiting"] -= 1
        task.end_as(last.task)
        self._count(task)

    def _not_run(self, event: TaskNotRun) -> None:
        task = self._leave(event.task)
        task.unmet = event.needs
        self._end(task, event, event.at)

    def _leave(self, name: str) -> TaskFacts:
        """Take a task out of the count it is in, because it is about to enter another."""
        task = self.facts.tasks[name]
        self.facts.counts[task.word] -= 1
        if task.warned:
            self.facts.tolerated[task.word] -= 1
        task.running = False
        task.held_by = ""
        task.retry_at = None
        self.facts.running.pop(name, None)
        return task

    def _end(self, task: TaskFacts, event: AttemptEnded | TaskNotRun, at: str) -> None:
        facts = self.facts
        task.status = event.status
        task.cause = event.cause
        task.detail = event.detail
        task.warned = event.warned
        task.completed_at = at
        self._count(task)
        # Without the journal's clock the tasks' own times bound the run.
        start = task.started_at or at
        if not facts.started_at or start < facts.started_at:
            facts.started_at = start
        facts.ended_at = max(facts.ended_at, at)

    def _expect_again(self, task: TaskFacts) -> None:
        if self.facts.expected is not None:
            self.facts.expected.begin_again(task.id)

    def _count(self, task: TaskFacts) -> None:
        """Count an end."""
        if self.facts.expected is not None:
            self.facts.expected.end(task.id)
        self.facts.counts[task.word] += 1
        if task.warned:
            self.facts.tolerated[task.word] = self.facts.tolerated.get(task.word, 0) + 1


def _planned(plan: Mapping[str, Any]) -> Facts:
    phases = {
        row["name"]: PhaseFacts(row["name"], row["title"], row["timeout_s"], row.get("max_jobs"))
        for row in plan["phases"]
    }
    tasks = {row["id"]: TaskFacts.planned(row) for row in plan["tasks"]}
    dependents: dict[str, list[str]] = {}
    for task in tasks.values():
        if task.phase in phases:
            phases[task.phase].tasks += 1
        for need in task.needs:
            dependents.setdefault(need, []).append(task.id)
    counts = {"waiting": len(tasks), "running": 0, **{status.value: 0 for status in Status}}
    return Facts(
        phases=phases,
        tasks=tasks,
        dependents=dependents,
        needs_checked=plan["needs"] == "checked",
        # Since version 2 with the digests; here only the run's name is of interest.
        upstream={
            name: met if isinstance(met, str) else met["run"]
            for name, met in plan["upstream"].items()
        },
        counts=counts,
    )
