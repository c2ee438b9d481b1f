"""What is known of one task and of one phase of a run, and of the instances of a matrix together.

Pure values, which only the fold changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any, Literal, Self

from zf.errors import ZfError
from zf.events import (
    WELL,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptPlaced,
    Cached,
    CacheMissed,
    Cause,
    ConditionEvaluated,
    HandlerClaimed,
    LeaseAwaited,
    LeaseTaken,
    PlanExtended,
    Probe,
    ResultQuarantined,
    Status,
)
from zf.instances import listed_by, rows_of
from zf.lean.records import Struct, field
from zf.model import NOTHING

if TYPE_CHECKING:
    from zf.report.facts import Facts


class Gate(Struct):
    """An approval that was asked for, when by the journal's clock, and the answers to it."""

    asked: ApprovalAsked
    mono: float | None = None
    answers: list[ApprovalGiven | ApprovalRefused] = field(default_factory=list)

    @property
    def given(self) -> list[ApprovalGiven]:
        """The answers that approve."""
        return [answer for answer in self.answers if isinstance(answer, ApprovalGiven)]

    @property
    def is_open(self) -> bool:
        """Whether more of them are needed, and none has said no."""
        said = {answer.why for answer in self.answers if isinstance(answer, ApprovalRefused)}
        return len(self.given) < self.asked.min and "rejected" not in said


class TaskFacts(Struct):
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
    resources: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    group: str = ""
    # Of an instance of a matrix: the id in its task file, its values, and how many run at once.
    base: str = ""
    matrix: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    max_parallel: int | None = None
    # Of a task whose instances are not known yet: the outputs that will say which there are.
    listed_by: tuple[str, ...] = ()
    start_after_s: float = 0.0
    # How long it was expected to take, by earlier runs; None where there is none to say so.
    weight_s: float | None = None
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
    unmet: Mapping[str, Status] = field(default_factory=lambda: NOTHING)
    # What the attempt used, as its event has it; empty where that is not known.
    measures: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    # Its task file tolerates this end.
    warned: bool = False
    # What the reports it left say of its test cases: `total`, `failed`, `errors`, `skipped`, and
    # the first `names` of those that failed; empty where there are none.
    tests: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    # The digest of what it handed on, by which that may be looked for; empty without outputs.
    outputs_sha256: str = ""
    # What its attempts measured of themselves: counters added up, of a gauge the last value.
    metrics: Sequence[Mapping[str, Any]] = ()
    # Attempts that were followed by another, or should have been; in order.
    earlier: list[Tried] = field(default_factory=list)
    # What its condition was asked, with the answers; in order.
    asked: list[ConditionEvaluated] = field(default_factory=list)
    # What came of looking for an earlier result, for the attempt that counts.
    looked_up: Cached | CacheMissed | None = None
    # Which agent has the last attempt that was given to one; results that came too late to count.
    placed: AttemptPlaced | None = None
    late: list[ResultQuarantined] = field(default_factory=list)
    # Whether it is a handler; and of one that was begun, for what.
    is_handler: bool = False
    claimed: HandlerClaimed | None = None
    # Of one that is probed: the last probe of the attempt, how many in a row came to the same, and
    # how many in all to what.
    probe: Probe | None = None
    probe_row: int = 0
    probes: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    # The approval that was asked for last, with what was answered.
    gate: Gate | None = None

    @classmethod
    def planned(cls, row: Mapping[str, Any]) -> Self:
        """What a row of plan.json says of it. Raises KeyError or TypeError for what is none."""
        needs = row["needs"]
        name, title, phase, file, line, timeout_s = _of_all(row)
        task = cls(
            name,
            title,
            phase,
            file,
            line,
            timeout_s,
            needs=tuple([need["task"] for need in needs]),
            strict=tuple([need["task"] for need in needs if need["require"] == "success"]),
            steps=row["steps"],
            parallel_safe=row["parallel_safe"],
        )
        if needs:
            task.optional = tuple([need["task"] for need in needs if need["optional"]])
        for key in row.keys() & _OF_SOME:
            setattr(task, "group" if key == "concurrency" else key, row[key])
        if "on_end" in row:
            task.is_handler = True
        if "matrix_from" in row:
            task.listed_by = listed_by(row["matrix_from"])
        return task

    @property
    def word(self) -> str:
        """`waiting`, `running` or the status it ended with."""
        # Not its `value`, which is a call of Python's each time.
        return f"{self.status}" if self.status else "running" if self.running else "waiting"

    @property
    def conclusion(self) -> str:
        """The same, but `warned` for an end that is tolerated."""
        return "warned" if self.warned else self.word

    @property
    def flaky(self) -> bool:
        """Whether it succeeded, but not at once."""
        return self.status is Status.SUCCESS and self.attempt > 1

    @property
    def cached_from(self) -> str:
        """The run whose result counts for it; empty where its own steps were run."""
        found = self.looked_up if self.status is Status.SUCCESS else None
        return found.origin if isinstance(found, Cached) else ""

    def before_a_start(self, event: ConditionEvaluated | LeaseAwaited | LeaseTaken) -> None:
        """Its condition was asked, or it waits for its group, or has it."""
        if isinstance(event, ConditionEvaluated):
            self.asked.append(event)
            return
        self.concurrency = event.concurrency
        if isinstance(event, LeaseAwaited):
            self.held_by = event.owner
        else:
            self.held_by = ""
            self.waited_s += event.waited_s

    def at_gate(
        self, event: ApprovalAsked | ApprovalGiven | ApprovalRefused, mono: float | None
    ) -> None:
        """It was to be approved, or that was answered."""
        if isinstance(event, ApprovalAsked):
            self.gate = Gate(event, mono)
        elif self.gate is not None and self.gate.asked.attempt == event.attempt:
            self.gate.answers.append(event)

    @property
    def unanswered(self) -> Gate | None:
        """What it waits for, where that is approval."""
        gate = self.gate if self.status is None and not self.running else None
        return gate if gate is not None and gate.is_open else None

    def need_instead(self, joined: Mapping[str, Sequence[str]]) -> None:
        """Have it need the instances of tasks whose instances are known."""

        def instead(needs: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for need in needs for name in joined.get(need, (need,)))

        self.needs, self.strict = instead(self.needs), instead(self.strict)
        self.optional = instead(self.optional)

    def end_as(self, then: TaskFacts) -> None:
        """It ended as it stood then."""
        for name in _END:
            setattr(self, name, getattr(then, name))

    def forget_end(self) -> None:
        """What an earlier attempt came to no longer counts."""
        self.status = self.exit_code = self.signal = self.step = self.duration_s = None
        self.cause = Cause.NONE
        self.detail = self.completed_at = self.outputs_sha256 = ""
        self.unmet = self.measures = self.tests = NOTHING
        self.warned = False
        self.looked_up = self.probe = None
        self.probes = NOTHING

    def goes_on(
        self, event: Probe | Cached | CacheMissed | AttemptPlaced | ResultQuarantined
    ) -> None:
        """Something happened to its attempt, which does not end it."""
        if isinstance(event, Probe):
            self._probed(event)
        elif isinstance(event, AttemptPlaced):
            self.placed = event
        elif isinstance(event, ResultQuarantined):
            self.late.append(event)
        else:
            self.looked_up = event

    def _probed(self, probe: Probe) -> None:
        same = self.probe is not None and self.probe.result is probe.result
        self.probe_row = self.probe_row + 1 if same else 1
        self.probe = probe
        self.probes = {**self.probes, probe.result: self.probes.get(probe.result, 0) + 1}


# What every row of plan.json begins a task with, and what only some rows have.
_of_all = itemgetter("id", "title", "phase", "file", "line", "timeout_s")
_OF_SOME = {
    *("log_tail", "resources", "concurrency", "base", "matrix", "max_parallel"),
    *("start_after_s", "weight_s"),
}
# What an attempt's end says of its task.
_END = (
    *("status", "cause", "detail", "warned", "exit_code", "signal", "step"),
    *("duration_s", "completed_at", "measures", "tests", "outputs_sha256", "looked_up"),
)


class Tried(Struct, frozen=True):
    """An attempt that was not to be the last: how the task stood after it.

    `delay_s` is the wait before the next one, None when `zf resume` brought it; `dropped` is why
    the next one never came.
    """

    task: TaskFacts
    delay_s: float | None
    dropped: Cause | None = None


class PhaseFacts(Struct):
    name: str
    title: str
    timeout_s: float
    # How many of its tasks run at once, where that is less than the run's.
    max_jobs: int | None = None
    tasks: int = 0
    state: Literal["waiting", "running", "passed", "failed"] = "waiting"
    timed_out: bool = False
    duration_s: float | None = None


def shared_names(measures: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with names that are shared: of 20 000 tasks each is read from a line of its own."""
    told = dict(zip(map(intern, measures), measures.values(), strict=True))
    if type(source := told.get("source")) is str:
        told["source"] = intern(source)
    return told or NOTHING


# The instances of a matrix, together.

# The worst first. One that was skipped makes nothing better and nothing worse.
_WORST_FIRST = (
    *("lost", "failure", "timeout", "blocked", "cancelled"),
    *("running", "waiting", "warned", "success", "skipped"),
)


class Base(Struct, frozen=True):
    """A task with a matrix, as its instances in one run."""

    id: str
    tasks: tuple[TaskFacts, ...]

    @property
    def conclusion(self) -> str:
        """The worst of its instances: a status, `warned`, `running` or `waiting`."""
        return min((task.conclusion for task in self.tasks), key=_WORST_FIRST.index)

    @property
    def told(self) -> str:
        """`4 instances: 3 success, 1 failure`."""
        from zf.report.words import WORDS, count  # noqa: PLC0415 - words is made of facts

        counted = Counter(task.word for task in self.tasks)
        words = ", ".join(f"{counted[word]} {word}" for word in WORDS if counted[word])
        return f"{count(len(self.tasks), 'instance')}: {words}"


def bases(tasks: Iterable[TaskFacts]) -> dict[str, Base]:
    """Those among these tasks, in their order."""
    found: dict[str, list[TaskFacts]] = {}
    for task in tasks:
        if task.base:
            found.setdefault(task.base, []).append(task)
    return {name: Base(name, tuple(of)) for name, of in found.items()}


def extend(facts: Facts, rows_of_bases: Mapping[str, Any], event: PlanExtended) -> None:
    """Put the instances that joined a plan in the place of their base, if that is there and has
    not ended. Raises ValueError for what are no instances.
    """
    base, row = facts.tasks.get(event.base), rows_of_bases.get(event.base)
    if base is None or row is None or base.word != "waiting" or not event.instances:
        return
    try:
        rows = rows_of(row, event.instances)
        found = {one["id"]: TaskFacts.planned(one) for one in rows}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no instances of {event.base!r}: {error!r}") from error
    facts.joined.append(event)
    facts.tasks = {
        name: task
        for each in facts.tasks.values()
        for name, task in (found.items() if each is base else [(each.id, each)])
    }
    facts.counts["waiting"] += len(found) - 1
    if base.phase in facts.phases:
        facts.phases[base.phase].tasks += len(found) - 1
    if facts.expected is not None:
        facts.expected.extend(event.base, rows)
    joined = {one.base: [str(of["id"]) for of in one.instances] for one in facts.joined}
    dependents: dict[str, list[str]] = {}
    for task in facts.tasks.values():
        if any(need in joined for need in task.needs):
            task.need_instead(joined)
        for need in task.needs:
            dependents.setdefault(need, []).append(task.id)
    facts.dependents = dependents


def grouped(tasks: Iterable[TaskFacts]) -> list[TaskFacts | Base]:
    """The tasks in their order, but each base with its instances where the first of them stands."""
    rows = list(tasks)
    of_base = bases(rows)
    found: list[TaskFacts | Base] = []
    for task in rows:
        if not task.base:
            found.append(task)
        elif task is of_base[task.base].tasks[0]:
            found += [of_base[task.base], *of_base[task.base].tasks]
    return found


def not_well(facts: Facts) -> set[str]:
    """The tasks that did not end well, which `--failed` runs again; and what lists the instances of
    one that has none for what was listed. Handlers are no part of it: every run has them.
    """
    tasks = [task for task in facts.tasks.values() if not task.is_handler]
    found = {task.id for task in tasks if task.status not in WELL}
    for task in facts.tasks.values():
        if task.cause is Cause.INSTANCES and task.status not in WELL:
            found |= {one.rpartition(".")[0] for one in task.listed_by} & facts.tasks.keys()
    return found


def named(facts: Facts, name: str) -> tuple[str, ...]:
    """The tasks that a name stands for in a run: one, or all instances of a matrix.

    Raises ZfError (exit 2) for a task that the run did not plan.
    """
    if name in facts.tasks:
        return (name,)
    found = tuple(task.id for task in facts.tasks.values() if task.base == name)
    if not found:
        raise ZfError(
            f"run {facts.run!r} has no task {name!r}",
            code="ZF130",
            hint=f"zf status {facts.run} lists its tasks",
        )
    return found
