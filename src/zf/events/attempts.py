"""What happens to one task: attempts, conditions, cached results, retries, leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zf.events.outcomes import Cause, Status
from zf.lean.records import Struct, field


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
