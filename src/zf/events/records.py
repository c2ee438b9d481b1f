"""Every event there is, what it is called on disk, and its way there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from zf.events.attempts import (
    AttemptEnded,
    AttemptStarted,
    Cached,
    CacheMissed,
    ConditionEvaluated,
    LeaseAwaited,
    LeaseTaken,
    RetryDropped,
    RetryScheduled,
    TaskNotRun,
)
from zf.events.gates import ApprovalAsked, ApprovalGiven, ApprovalRefused, RunSuspended
from zf.events.handlers import HandlerClaimed, HandlerEnded
from zf.events.places import AttemptPlaced, ExecutorDrained, ResultQuarantined
from zf.events.probes import Probe
from zf.events.runs import (
    BudgetWarned,
    CancelRequested,
    Instance,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    RunEnded,
    RunResumed,
    RunStarted,
    RunTimedOut,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.events.services import ServiceEnded, ServiceStarted
from zf.lean import lazy
from zf.lean.records import asdict, astuple, convert, replace

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


Event = (
    RunStarted
    | RunResumed
    | PhaseStarted
    | AttemptStarted
    | AttemptEnded
    | Probe
    | TaskNotRun
    | ConditionEvaluated
    | PlanExtended
    | Cached
    | CacheMissed
    | AttemptPlaced
    | ResultQuarantined
    | ExecutorDrained
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
    | HandlerClaimed
    | HandlerEnded
    | ApprovalAsked
    | ApprovalGiven
    | ApprovalRefused
    | RunSuspended
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
