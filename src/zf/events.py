"""What happened: small frozen records in the past tense, and the words on disk for them.

The journal (`events.jsonl`) holds one per line; status, report, explain and resume are folds over
them. Please do not subclass: a new thing that can happen is a new record and a row in `Event`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from zf.lean import lazy
from zf.lean.records import Struct, asdict, astuple, convert, field, replace

if TYPE_CHECKING:
    from zf.metrics import told
else:  # a new run reads no journal
    told = lazy.module("zf.metrics.told")


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as every file of a proof writes them: UTC, RFC 3339, microseconds."""
    whole, microseconds = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{microseconds:06}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """Remembered: a task takes six stamps, most of them in one second, and this is most of one."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


class Status(StrEnum):
    """How a task, or one attempt at it, ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    LOST = "lost"


# The task itself is to blame, or its worker; `blocked` and `cancelled` are consequences.
FAILED = frozenset({Status.FAILURE, Status.TIMEOUT, Status.LOST})
WELL = frozenset({Status.SUCCESS, Status.SKIPPED})


# A base's status is the worst of its instances'; one that was skipped is no better and no worse.
_WORST_FIRST = (
    Status.LOST,
    Status.FAILURE,
    Status.TIMEOUT,
    Status.BLOCKED,
    Status.CANCELLED,
    Status.SUCCESS,
    Status.SKIPPED,
)


def worst(statuses: Iterable[Status]) -> Status | None:
    """What the instances of a matrix have come to together; None for none at all."""
    return min(statuses, key=_WORST_FIRST.index, default=None)


class Cause(StrEnum):
    """Why it ended that way: the stable word programs may match; `detail` says it for people."""

    NONE = ""
    EXIT = "exit"  # a step exited with a code other than 0
    SIGNAL = "signal"  # a step was ended by a signal zf did not send
    TIMEOUT = "timeout"  # timeout_sec of the task ran out
    STEP_TIMEOUT = "step_timeout"  # timeout_sec of a step ran out
    SKIP_EXIT_CODE = "skip_exit_code"  # a step exited with one of skip_exit_codes: it is skipped
    SILENCE = "silence"  # no output for silence_timeout_sec
    PHASE_TIMEOUT = "phase_timeout"
    INTERRUPT = "interrupt"  # Ctrl-C or TERM to zf
    NEED = "need"  # a need did not succeed
    PHASE_FAILED = "phase_failed"  # an earlier phase of the run failed
    FAIL_FAST = "fail_fast"
    MATRIX = "matrix"  # another instance of its matrix failed, and that has `fail_fast`
    CONDITION = "condition"  # its condition is false, or that or a step's cannot be evaluated
    DEADLINE = "deadline"  # deadline_sec of the task, or --deadline of the run, passed
    QUEUE_TIMEOUT = "queue_timeout"  # it could have started, but waited too long for its turn
    CANCEL = "cancel"  # `zf cancel` was called for this task
    SUPERSEDED = "superseded"  # a newer run wants its `concurrency` group for itself
    SPAWN = "spawn"  # a step could not be started
    WORKDIR = "workdir"  # the workdir is missing or outside the project
    SERVICE = "service"  # a service could not be started, was not ready in time, or died
    SURVIVORS = "survivors"  # processes were left behind
    CLEANUP = "cleanup"  # the steps succeeded, a cleanup command did not
    BUDGET = "budget"  # it, its phase or its run used more than the budget, or did not say
    INSTANCES = "instances"  # its list of instances, an output of a need, is empty or no such list
    OUTPUTS = "outputs"  # a declared output was not written, or one of a need cannot be used
    METRICS = "metrics"  # what it measured could not be read, and its file demands that it can
    ARTIFACTS = "artifacts"  # an artifact was refused or could not be read
    STORAGE = "storage"  # the proof could not be written
    WORKER = "worker"  # the worker died or stopped answering
    RUNNER = "runner"  # the runner died; `zf resume` tries the task again


# What `run_started` says of the events of this version.
SCHEMA = "zf/events/v2"


class RunStarted(Struct, frozen=True):
    """Commits to the plan and to run.json by their digests: the journal's head vouches for them."""

    run: str
    phases: tuple[str, ...]
    tasks: int
    plan_sha256: str
    nonce: str
    commit: str | None
    previous_run: str | None
    previous_head: str | None
    run_sha256: str = ""
    # The form of the run's events and files; those of zf 0.1 say none, and count steps from 1.
    schema: str = ""
    # The trace that its spans belong to; the traceparent that it was handed, if it was.
    trace_id: str = ""
    traceparent: str = ""

    @property
    def first_step(self) -> int:
        """The number of the first step of every task, in file names and events."""
        return 0 if self.schema else 1


class RunResumed(Struct, frozen=True):
    """A run whose runner had died goes on; `leftovers` counts the processes found and ended."""

    leftovers: int


class PhaseStarted(Struct, frozen=True):
    phase: str
    timeout_s: float


class AttemptStarted(Struct, frozen=True):
    task: str
    attempt: int
    slot: int


class AttemptEnded(Struct, frozen=True):
    """The one terminal event of an attempt. Times of day are UTC, RFC 3339 with microseconds;
    `exit_code` is the failing step's (124 after a timeout, None when none was reached);
    `signal` is the number that ended the step; `step` is the failing step, counted from the run's
    `first_step`; `warned` says that the task tolerates this outcome. `measures` is what the attempt
    used, as status.json has it but for its steps; empty when that is not known. `tests` counts the
    cases of the task's own reports and has the first names of failed ones; empty without any.
    `metrics` are the series that the attempt wrote to `$ZF_METRICS`, as status.json has them.
    `outputs_sha256` is the digest of its 30-outputs.json, empty where it has none.
    `cached_from` says whose result counts where no step was run: `run`, `task`, and `head`, the end
    of that run's journal; empty otherwise.
    """

    task: str
    attempt: int
    status: Status
    exit_code: int | None
    signal: int | None
    cause: Cause
    detail: str
    step: int | None
    started_at: str
    completed_at: str
    duration_s: float
    task_sha256: str
    warned: bool = False
    measures: Mapping[str, Any] = field(default_factory=dict)
    tests: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] = field(default_factory=list)
    outputs_sha256: str = ""
    cached_from: Mapping[str, str] = field(default_factory=dict)


class TaskNotRun(Struct, frozen=True):
    """The terminal event of a task that was never attempted: blocked, skipped, cancelled, out of
    time before it started, or failed for a condition that cannot be evaluated.

    `needs` holds the unmet needs and what became of each, for a blocked one.
    """

    task: str
    status: Status
    cause: Cause
    detail: str
    needs: Mapping[str, Status]
    at: str
    task_sha256: str
    warned: bool = False


class ConditionEvaluated(Struct, frozen=True):
    """What a task's condition came to: `value` is None when `error` says why there is none."""

    task: str
    condition: str
    value: bool | None
    operands: Mapping[str, Any]
    error: str


class PlanExtended(Struct, frozen=True):
    """The instances of `base` are known, and are in its place in the plan from here on; before any
    of them starts. Each has its `id`, `matrix` and `sha256`, as a row of plan.json has them;
    `weight_s`, where earlier runs say how long it takes; and `needs`, the names of the tasks that
    it needs, where it has not those of its base. `of` is how many there are, also those that
    `--matrix` left out.
    """

    base: str
    instances: Sequence[Mapping[str, Any]]
    of: int


class Instance(Struct, frozen=True):
    """The form of one of them, which they are held to when they are read."""

    id: str
    matrix: Mapping[str, str]
    sha256: str
    weight_s: float | None = None
    needs: Sequence[str] = ()


class Cached(Struct, frozen=True):
    """An earlier run's result counts for the attempt: `origin` is that run, `head` the end of its
    journal, and `key` is what both attempts have in common.
    """

    task: str
    attempt: int
    key: str
    origin: str
    head: str


class CacheMissed(Struct, frozen=True):
    """No earlier run's result counts for the attempt, for this `reason`. `changed` has what differs
    from `origin`, the newest run that says something of the task: `part`, `name`, `old` and `new`.
    """

    task: str
    attempt: int
    key: str
    reason: str
    origin: str = ""
    changed: Sequence[Mapping[str, str]] = field(default_factory=list)


class ServiceStarted(Struct, frozen=True):
    """A service was started: of an attempt at a task, or of a whole phase, whose `task` is None and
    `attempt` 0. `ports` are those that it was given, by their names.
    """

    name: str
    task: str | None
    attempt: int
    phase: str
    ports: Mapping[str, int]


class ServiceEnded(Struct, frozen=True):
    """It has ended, and nothing of it is left. `cause` is "stopped" where zf ended it as it was no
    longer needed; else "died", "not_ready" or "not_started", and `detail` says more. `ready_s` is
    how long it took to be ready, None where it never was; `log_sha256` is the digest of its log,
    which lies at `log` in the tree of the task, or in the run's folder.
    """

    name: str
    task: str | None
    attempt: int
    phase: str
    ports: Mapping[str, int]
    exit_code: int | None
    signal: int | None
    cause: str
    detail: str
    ready_s: float | None
    log: str
    log_sha256: str


class RetryScheduled(Struct, frozen=True):
    """The attempt failed and another, numbered `attempt`, starts in `delay_s` or soon after."""

    task: str
    attempt: int
    delay_s: float


class RetryDropped(Struct, frozen=True):
    """The retry will not come, for this cause: the last attempt is what the task came to."""

    task: str
    attempt: int
    cause: Cause


class LeaseAwaited(Struct, frozen=True):
    """The task could start, but its `concurrency` group is another run's; `owner` says whose, for
    people. Said again when the owner has changed, but not for each of many.
    """

    task: str
    concurrency: str
    owner: str


class LeaseTaken(Struct, frozen=True):
    """The group is this run's, for one attempt; `waited_s` is how long another run had it."""

    task: str
    concurrency: str
    waited_s: float


class ThrottleEntered(Struct, frozen=True):
    """The machine is too busy: nothing new starts while something of ours runs."""

    reason: str
    cpu_percent: float
    free_mem_mb: float


class ThrottleLeft(Struct, frozen=True):
    """`duration_s` is how long it lasted, `held_s` for how much of that a task was kept waiting."""

    duration_s: float
    held_s: float


class BudgetWarned(Struct, frozen=True):
    """A large part of a budget is used up, or (`over`) more than all of it: `spent` of `budget`, of
    what `metric` counts. `scope` is "task", "phase" or "run", `name` which of them.
    """

    scope: str
    name: str
    metric: str
    spent: float
    budget: float
    over: bool


class RunTimedOut(Struct, frozen=True):
    """The run's own deadline passed."""

    deadline_s: float


class PhaseTimedOut(Struct, frozen=True):
    phase: str
    timeout_s: float


class Interrupted(Struct, frozen=True):
    signal: int
    count: int


class CancelRequested(Struct, frozen=True):
    """`zf cancel` wants this task ended, or never started; the whole run when it is None. `by` is
    the newer run that wants the task's `concurrency` group, if it was one that asked.
    """

    task: str | None
    by: str = ""


class PhaseEnded(Struct, frozen=True):
    phase: str
    ok: bool
    duration_s: float


class RunEnded(Struct, frozen=True):
    """`blocked_sha256` is the digest of blocked.json, None when there is none. `source_changed`:
    whether the commit or the work tree is another than at the start, None where git cannot say.
    `tampered` tells what lay in the run's folder that zf had not written, a path first: such a run
    is no success.
    """

    exit_code: int
    counts: Mapping[str, int]
    duration_s: float
    blocked_sha256: str | None = None
    source_changed: bool | None = None
    tampered: tuple[str, ...] = ()


Event = (
    RunStarted
    | RunResumed
    | PhaseStarted
    | AttemptStarted
    | AttemptEnded
    | TaskNotRun
    | ConditionEvaluated
    | PlanExtended
    | Cached
    | CacheMissed
    | ServiceStarted
    | ServiceEnded
    | RetryScheduled
    | RetryDropped
    | LeaseAwaited
    | LeaseTaken
    | ThrottleEntered
    | ThrottleLeft
    | BudgetWarned
    | RunTimedOut
    | PhaseTimedOut
    | Interrupted
    | CancelRequested
    | PhaseEnded
    | RunEnded
)


def _name(kind: type) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__)[1:]


# On disk an event is called as here: `RunStarted` is `run_started`.
NAMES: Mapping[type[Event], str] = {kind: _name(kind) for kind in get_args(Event)}
TYPES: Mapping[str, type[Event]] = {name: kind for kind, name in NAMES.items()}
# Those with a default come last.
_REQUIRED = {
    kind: frozenset(kind.__struct_fields__[: -len(kind.__struct_defaults__) or None])
    for kind in NAMES
}


def to_json(event: Event) -> dict[str, Any]:
    """The record as a JSON object with its type first."""
    return {"type": NAMES[type(event)], **asdict(event)}


def from_json(data: Mapping[str, Any]) -> Event:
    """The record a JSON object describes.

    Raises ValueError for an unknown type, and for a field that is missing or of another type;
    surplus keys (the journal's own `seq`, `prev`, clocks) are passed over.
    """
    kind = TYPES.get(data.get("type", ""))
    if kind is None:
        raise ValueError(f"unknown event type {data.get('type')!r}")
    lacking = _REQUIRED[kind] - data.keys()
    if lacking:
        raise ValueError(f"{data['type']} lacks {', '.join(sorted(lacking))}")
    event = convert(data, kind)
    if any(type(value) is int and not -told.MOST <= value < told.MOST for value in astuple(event)):
        raise ValueError(f"{data['type']} has a number that no other program reads")
    if isinstance(event, PlanExtended):
        convert(event.instances, Sequence[Instance])
    if not isinstance(event, AttemptEnded):
        return event
    return replace(
        event,
        measures=told.measures(event.measures),
        metrics=told.metrics(event.metrics),
        tests=told.tests(event.tests),
    )
