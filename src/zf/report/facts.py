"""Events folded into one `Facts` value: what became of each task, and what held up what.

Pure: no clock, no file. Works on any prefix of a run, so the live board, a finished run and the
journal of a killed one are the same fold. Says nothing in words; the other modules do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from zf.errors import Exit
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    Cause,
    ConditionEvaluated,
    Event,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    RunTimedOut,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.record import field, mutable, record, replace

FAILED = frozenset({Status.FAILURE, Status.TIMEOUT, Status.LOST})
# What keeps a run from passing, unless it is tolerated: everything but success and skipped.
_SPOILS = (*sorted(FAILED), Status.BLOCKED, Status.CANCELLED)
_NOTHING: Mapping[str, Status] = MappingProxyType({})
_NO_RESOURCES: Mapping[str, int] = MappingProxyType({})

Result = Literal[
    "passed", "failed", "timeout", "interrupted", "nothing run", "unfinished", "tampered"
]


@mutable
class TaskFacts:
    """One task of the plan and what is known of it. `status` is None until it ended; times of day
    are UTC as the events have them; `unmet` is what an event said of its needs. `held_by` is the
    run that has its `concurrency` group, while it waits for that; `waited_s` sums up those waits.
    """

    id: str
    title: str
    phase: str
    file: str
    line: int
    timeout_s: float
    needs: tuple[str, ...]
    # The needs that must succeed: the others (`require: done`) are met by any end.
    strict: tuple[str, ...]
    steps: Sequence[Mapping[str, Any]]
    optional: tuple[str, ...] = ()
    # How many lines of a failed step's log its task file wants to be shown.
    log_tail: int | None = None
    parallel_safe: bool = True
    resources: Mapping[str, int] = field(default_factory=lambda: _NO_RESOURCES)
    group: str = ""
    start_after_s: float = 0.0
    # When it is to be tried again, on the clock of `started_mono`.
    retry_at: float | None = None
    running: bool = False
    status: Status | None = None
    attempt: int = 0
    exit_code: int | None = None
    signal: int | None = None
    cause: Cause = Cause.NONE
    detail: str = ""
    # Counted from 0, as in `steps`.
    step: int | None = None
    started_at: str = ""
    completed_at: str = ""
    duration_s: float | None = None
    started_mono: float | None = None
    concurrency: str = ""
    held_by: str = ""
    waited_s: float = 0.0
    unmet: Mapping[str, Status] = field(default_factory=lambda: _NOTHING)
    # Its task file tolerates this end.
    warned: bool = False
    # Attempts that were followed by another, or should have been; in order.
    earlier: list[Tried] = field(default_factory=list)
    # What its condition was asked, with the answers; in order.
    asked: list[ConditionEvaluated] = field(default_factory=list)

    @property
    def word(self) -> str:
        """`waiting`, `running` or the status it ended with."""
        return self.status.value if self.status else "running" if self.running else "waiting"

    @property
    def conclusion(self) -> str:
        """The same, but `warned` for an end that is tolerated."""
        return "warned" if self.warned else self.word

    @property
    def flaky(self) -> bool:
        """Whether it succeeded, but not at once."""
        return self.status is Status.SUCCESS and self.attempt > 1


@record
class Tried:
    """An attempt that was not to be the last: how the task stood after it.

    `delay_s` is the wait before the next one, None when `zf resume` brought it; `dropped` is why
    the next one never came.
    """

    task: TaskFacts
    delay_s: float | None
    dropped: Cause | None = None


@mutable
class PhaseFacts:
    name: str
    title: str
    timeout_s: float
    tasks: int = 0
    state: Literal["waiting", "running", "passed", "failed"] = "waiting"
    timed_out: bool = False
    duration_s: float | None = None


@record
class Held:
    """A task held up by a root cause: directly when `via` is None, else through that task.

    `depth` counts the tasks from the cause to here, 1 when direct. `unmet` has the word for each
    need that keeps it from running; `also` names other root causes behind those needs.
    """

    task: str
    via: str | None
    depth: int
    unmet: Mapping[str, str]
    also: tuple[str, ...]


@record
class RootCause:
    """A task that held up others, or failed without doing so.

    `held` are the tasks listed under it, each directly below the one it waits for; `blocks` counts
    every task it holds up, listed here or under a bigger cause; `frees` only those that no other
    cause holds up as well.
    """

    task: str
    word: str
    held: tuple[Held, ...]
    blocks: int
    frees: int


@mutable
class Facts:
    """Everything known about one run. Only its `Fold` changes it; everybody else reads.

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
    resources: Mapping[str, int] = field(default_factory=lambda: _NO_RESOURCES)
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
    interrupted: Interrupted | None = None
    exit_code: int | None = None
    tampered: Sequence[str] = ()
    started_at: str = ""
    ended_at: str = ""
    started_mono: float | None = None
    last_mono: float | None = None
    duration_s: float | None = None
    _causes: tuple[RootCause, ...] | None = None

    @property
    def causes(self) -> tuple[RootCause, ...]:
        """Root causes, the one that blocks most first; worked out once per state."""
        if self._causes is None:
            self._causes = _root_causes(self.tasks)
        return self._causes

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

    def waiting_on(self, name: str, at_most: int = 999) -> tuple[int, bool]:
        """How many waiting tasks need this one, through others too, and whether that is all.

        Looks at a bounded number of edges, because the live board asks at every frame.
        """
        seen = {name}
        queue = deque((name,))
        looks = 4 * at_most
        while queue:
            for child in self.dependents.get(queue.popleft(), ()):
                looks -= 1
                if looks < 0 or len(seen) > at_most:
                    return len(seen) - 1, False
                if child not in seen and self.tasks[child].word == "waiting":
                    seen.add(child)
                    queue.append(child)
        return len(seen) - 1, True

    @property
    def result(self) -> Result:
        """What the run came to. It passed only if something ran and nothing spoiled it."""
        if self.exit_code is None:
            return "unfinished"
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
            self.facts = _planned(plan)
            if limits is not None:
                self.facts.max_jobs = limits["max_jobs"]
                self.facts.resources = limits["resources"]
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
            case ConditionEvaluated(task=name) if name in facts.tasks:
                facts.tasks[name].asked.append(event)
            case ThrottleEntered() | ThrottleLeft():
                self._throttled(event)
            case RunTimedOut():
                facts.run_timeout = event
            case LeaseAwaited() | LeaseTaken():
                self._lease(event)
            case PhaseStarted(phase=phase, timeout_s=timeout_s):
                facts.phase = phase
                if phase in facts.phases:
                    facts.phases[phase].state = "running"
                    facts.phases[phase].timeout_s = timeout_s
            case PhaseEnded(phase=phase, ok=ok, duration_s=duration_s):
                if phase in facts.phases:
                    facts.phases[phase].state = "passed" if ok else "failed"
                    facts.phases[phase].duration_s = duration_s
            case PhaseTimedOut():
                facts.phase_timeout = event
                if event.phase in facts.phases:
                    facts.phases[event.phase].timed_out = True
            case Interrupted():
                facts.interrupted = event
            case RunStarted(run=run):
                facts.run, facts.first_step = run, event.first_step
                facts.started_at = wall
            case RunResumed():
                # Another process goes on, perhaps after a reboot: its clock may have another zero.
                facts.started_mono = mono
            case RunEnded(exit_code=exit_code, duration_s=duration_s, tampered=tampered):
                facts.exit_code, facts.duration_s, facts.tampered = exit_code, duration_s, tampered
                facts.ended_at = wall or facts.ended_at

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
        if task is None:
            return
        if task.status is not None:  # nobody planned to try again: the runner had died
            task.earlier.append(Tried(replace(task, earlier=[], asked=[]), None))
        task.running = True
        _forget_end(task)
        task.attempt = event.attempt
        task.started_mono = mono
        task.started_at = wall
        self.facts.counts["running"] += 1
        self.facts.running[task.id] = task

    def _attempt_ended(self, event: AttemptEnded) -> None:
        task = self._leave(event.task)
        if task is None:
            return
        task.attempt = event.attempt
        task.exit_code = event.exit_code
        task.signal = event.signal
        task.step = self.facts.step_of(event)
        task.started_at = event.started_at
        task.duration_s = event.duration_s
        self._end(task, event, event.completed_at)

    def _retry_scheduled(self, event: RetryScheduled, mono: float | None) -> None:
        """The end that was told just now is not the last word: the task waits again."""
        task = self._leave(event.task)
        if task is None:
            return
        task.earlier.append(Tried(replace(task, earlier=[], asked=[]), event.delay_s))
        _forget_end(task)
        task.retry_at = None if mono is None else mono + event.delay_s
        self.facts.counts["waiting"] += 1

    def _retry_dropped(self, event: RetryDropped) -> None:
        """It was the last word after all."""
        task = self.facts.tasks.get(event.task)
        if task is None or not task.earlier or task.word != "waiting":
            return
        last = task.earlier[-1]
        task.earlier[-1] = replace(last, dropped=event.cause)
        self.facts.counts["waiting"] -= 1
        for name in _END:
            setattr(task, name, getattr(last.task, name))
        self._count(task)

    def _not_run(self, event: TaskNotRun) -> None:
        task = self._leave(event.task)
        if task is None:
            return
        task.unmet = event.needs
        self._end(task, event, event.at)

    def _lease(self, event: LeaseAwaited | LeaseTaken) -> None:
        task = self.facts.tasks.get(event.task)
        if task is None:
            return
        task.concurrency = event.concurrency
        if isinstance(event, LeaseAwaited):
            task.held_by = event.owner
        else:
            task.held_by = ""
            task.waited_s += event.waited_s

    def _leave(self, name: str) -> TaskFacts | None:
        """Take a task out of the count it is in, because it is about to enter another."""
        task = self.facts.tasks.get(name)
        if task is None:
            return None
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

    def _count(self, task: TaskFacts) -> None:
        self.facts.counts[task.word] += 1
        if task.warned:
            self.facts.tolerated[task.word] = self.facts.tolerated.get(task.word, 0) + 1


# What an attempt's end says of its task.
_END = (
    *("status", "cause", "detail", "warned", "exit_code", "signal", "step"),
    *("duration_s", "completed_at"),
)


def _forget_end(task: TaskFacts) -> None:
    """What an earlier attempt came to no longer counts."""
    task.status = task.exit_code = task.signal = task.step = task.duration_s = None
    task.cause = Cause.NONE
    task.detail = task.completed_at = ""
    task.unmet = _NOTHING
    task.warned = False


def at_end(facts: Facts, event: AttemptEnded | TaskNotRun) -> TaskFacts:
    """The task as this event left it, whatever has become of it since; KeyError if not planned.

    Events are told in batches, and a retry may have begun before the failure is told.
    """
    task = facts.tasks[event.task]
    if _is_still_so(task, event):
        return task
    ended = replace(
        task,
        running=False,
        status=event.status,
        cause=event.cause,
        detail=event.detail,
        warned=event.warned,
    )
    if isinstance(event, TaskNotRun):
        ended.unmet = event.needs
        return ended
    for name in ("attempt", "exit_code", "signal", "started_at", "duration_s"):
        setattr(ended, name, getattr(event, name))
    ended.step = facts.step_of(event)
    ended.completed_at = event.completed_at
    return ended


def _is_still_so(task: TaskFacts, event: AttemptEnded | TaskNotRun) -> bool:
    """Whether nothing has become of the task since, as nearly always: a copy costs 40 us."""
    if isinstance(event, TaskNotRun):
        return task.status is event.status and task.completed_at == event.at
    return (
        not task.running
        and task.status is event.status
        and task.attempt == event.attempt
        and task.completed_at == event.completed_at
    )


def _planned(plan: Mapping[str, Any]) -> Facts:
    phases = {
        row["name"]: PhaseFacts(row["name"], row["title"], row["timeout_s"])
        for row in plan["phases"]
    }
    tasks = {row["id"]: _task(row) for row in plan["tasks"]}
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


def _task(row: Mapping[str, Any]) -> TaskFacts:
    needs = row["needs"]
    return TaskFacts(
        id=row["id"],
        title=row["title"],
        phase=row["phase"],
        file=row["file"],
        line=row["line"],
        timeout_s=row["timeout_s"],
        needs=tuple(need["task"] for need in needs),
        strict=tuple(need["task"] for need in needs if need["require"] == "success"),
        steps=row["steps"],
        optional=tuple(need["task"] for need in needs if need["optional"]),
        log_tail=row.get("log_tail"),
        parallel_safe=row["parallel_safe"],
        resources=row.get("resources", _NO_RESOURCES),
        group=row.get("concurrency", ""),
        start_after_s=row.get("start_after_s", 0.0),
    )


# --- Root causes -------------------------------------------------------------------------------
#
# "Held" tasks are those that did not run because of a need. An edge leads from each unmet need to
# the task it holds; a root is where such edges start. Everything below is linear in the edges, but
# for the count of tasks with several causes, which is a union of bit sets.

_Unmet = Mapping[str, Mapping[str, str]]
_Below = Mapping[str, Sequence[str]]


def _root_causes(tasks: Mapping[str, TaskFacts]) -> tuple[RootCause, ...]:
    unmet = _unmet_needs(tasks)
    below: dict[str, list[str]] = {}
    for name, needs in unmet.items():
        for need in needs:
            below.setdefault(need, []).append(name)
    roots = {
        name: task.word for name, task in tasks.items() if task.status in FAILED and not task.warned
    }
    for name, needs in unmet.items():
        for need, word in needs.items():
            if need not in unmet and need not in roots:
                roots[need] = tasks[need].word if need in tasks else word
        if not needs:  # said to be blocked, but not by what: stands for itself
            roots[name] = tasks[name].word
    blocks, frees = _weights(roots, unmet, below)
    found = (RootCause(root, roots[root], (), blocks[root], frees[root]) for root in roots)
    # What was skipped is no failure, so it stands behind those.
    ranked = sorted(found, key=lambda root: (root.word == "skipped", -root.blocks, root.task))
    return tuple(_place(ranked, unmet, below))


def _unmet_needs(tasks: Mapping[str, TaskFacts]) -> dict[str, Mapping[str, str]]:
    """Held tasks, each with its unmet needs, in plan order (needs come before their dependents)."""
    unmet: dict[str, Mapping[str, str]] = {}
    for name, task in tasks.items():
        if task.status is Status.BLOCKED or (task.status is Status.SKIPPED and task.unmet):
            unmet[name] = {need: word.value for need, word in task.unmet.items()}
            if task.status is Status.BLOCKED and task.unmet:
                # The first need that fails blocks; the others may have come to nothing since.
                bad = (need for need in task.strict if _is_bad(need, tasks, unmet))
                unmet[name] = {**{need: tasks[need].word for need in bad}, **unmet[name]}
        elif task.status is None and not task.running:
            # The run ended, or has not got round, before this was said: the plan says it.
            words = {need: tasks[need].word for need in task.strict if _is_bad(need, tasks, unmet)}
            if words:
                unmet[name] = words
    return unmet


def _is_bad(need: str, tasks: Mapping[str, TaskFacts], unmet: _Unmet) -> bool:
    if need in unmet:
        return True
    if need not in tasks or tasks[need].warned:
        return False
    return tasks[need].status not in {None, Status.SUCCESS}


def _weights(
    roots: Mapping[str, str], unmet: _Unmet, below: _Below
) -> tuple[dict[str, int], dict[str, int]]:
    """For each root how many tasks it holds up, and how many of them it alone holds up."""
    order = _needs_first(unmet, below)
    only: dict[str, str | None] = {root: root for root in roots}  # None: several roots
    frees = dict.fromkeys(roots, 0)
    shared: dict[str, int] = {}  # the tasks with several roots, numbered
    for name in order:
        if name in roots:
            continue
        causes = {only.get(need) for need in unmet[name]}
        cause = only[name] = causes.pop() if len(causes) == 1 else None
        if cause is None:
            shared[name] = len(shared)
        else:
            frees[cause] += 1
    blocks = dict(frees)
    if shared:
        # Which shared tasks are at or below a task, as bits. What is below a shared task is shared.
        # A task's bits go when all above it have read them: 20 000 of them would be 50 MB.
        bits: dict[str, int] = {}
        unread = {name: len(needs) for name, needs in unmet.items()}
        for name in (*reversed(order), *(root for root in roots if root not in unmet)):
            found = 1 << shared[name] if name in shared else 0
            for child in below.get(name, ()):
                found |= bits.get(child, 0)
                unread[child] -= 1
                if not unread[child]:
                    bits.pop(child, None)
            bits[name] = found
        for root in roots:
            blocks[root] += bits[root].bit_count()
    return blocks, frees


def _needs_first(unmet: _Unmet, below: _Below) -> list[str]:
    """Held tasks so that each comes after the held tasks it needs; a cycle's tasks come last."""
    left = {name: sum(need in unmet for need in needs) for name, needs in unmet.items()}
    order = [name for name, count in left.items() if count == 0]
    for name in order:  # grows while it is read
        for child in below.get(name, ()):
            left[child] -= 1
            if left[child] == 0:
                order.append(child)
    return order + [name for name, count in left.items() if count > 0]


def _place(ranked: Sequence[RootCause], unmet: _Unmet, below: _Below) -> Iterable[RootCause]:
    """Put each held task under the first root that reaches it, by the shortest way."""
    cause_of = {root.task: root.task for root in ranked}
    children: dict[str, list[str]] = {}

    def reach(start: str) -> int:
        before = len(cause_of)
        queue = deque((start,))
        while queue:
            name = queue.popleft()
            for child in below.get(name, ()):
                if child not in cause_of:
                    cause_of[child] = start
                    children.setdefault(name, []).append(child)
                    queue.append(child)
        return len(cause_of) - before

    for root in ranked:
        reach(root.task)
    circles = []
    for name in unmet:
        if name not in cause_of:  # needs itself in the end: no root reaches it
            cause_of[name] = name
            circles.append(RootCause(name, "blocked", (), reach(name), 0))
    for root in (*ranked, *circles):
        yield replace(root, held=tuple(_tree(root.task, children, unmet, cause_of)))


def _tree(
    root: str, children: _Below, unmet: _Unmet, cause_of: Mapping[str, str]
) -> Iterable[Held]:
    """The tasks under a root, each followed by those below it (a loop: chains can be long)."""
    stack = [(child, 1) for child in reversed(children.get(root, ()))]
    via: dict[str, str] = {}
    while stack:
        name, depth = stack.pop()
        others = {cause_of[need] for need in unmet[name]} - {root}
        yield Held(name, via.get(name), depth, unmet[name], tuple(sorted(others)))
        for child in reversed(children.get(name, ())):
            via[child] = name
            stack.append((child, depth + 1))
