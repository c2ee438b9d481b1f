"""The fold itself: what each event changes in the facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptEnded,
    AttemptPlaced,
    AttemptStarted,
    BudgetWarned,
    Cached,
    CacheMissed,
    CancelRequested,
    ConditionEvaluated,
    Event,
    ExecutorDrained,
    HandlerClaimed,
    HandlerEnded,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    Probe,
    ResultQuarantined,
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
from zf.lean.records import replace
from zf.model import NOTHING
from zf.report.facts.run import Facts
from zf.report.task_facts import PhaseFacts, TaskFacts, Tried, extend, shared_names


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
            # Those that stand for instances which are not known yet: of the plan nothing else is
            # needed later, and of many tasks it is large.
            self._bases = {row["id"]: row for row in plan["tasks"] if "matrix_from" in row}
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
                extend(facts, self._bases, event)
            case RunTimedOut():
                facts.run_timeout = event
            case Interrupted():
                facts.interrupted = event
            case Probe() | Cached() | CacheMissed() | AttemptPlaced() | ResultQuarantined():
                facts.tasks[event.task].goes_on(event)
            case ApprovalAsked() | ApprovalGiven() | ApprovalRefused():
                self._at_gate(event, mono)
            case HandlerClaimed():
                facts.tasks[event.task].claimed = event
            case ExecutorDrained():
                facts.drained.append(event.executor)
            case CancelRequested() | ServiceStarted() | ServiceEnded() | HandlerEnded():
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

    def _at_gate(
        self, event: ApprovalAsked | ApprovalGiven | ApprovalRefused, mono: float | None
    ) -> None:
        task = self.facts.tasks[event.task]
        if isinstance(event, ApprovalAsked) and task.status is not None:  # the runner had died
            self._leave(event.task)
            task.earlier.append(Tried(replace(task, earlier=[], asked=[]), None))
            task.forget_end()
            self._expect_again(task)
            self.facts.counts["waiting"] += 1
        task.at_gate(event, mono)

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
