"""What happened: small frozen records in the past tense, and the words on disk for them.

The journal (`events.jsonl`) holds one per line; status, report, explain and resume are folds over
them. Please do not subclass: a new thing that can happen is a new record and a row in `Event`.
"""

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
from zf.events.outcomes import FAILED, WELL, Cause, Status, worst
from zf.events.places import AttemptPlaced, ExecutorDrained, ResultQuarantined
from zf.events.probes import Probe, Probed
from zf.events.records import TYPES, Event, from_json, timestamp, to_json
from zf.events.runs import (
    SCHEMA,
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

__all__ = [
    "FAILED",
    "SCHEMA",
    "TYPES",
    "WELL",
    "ApprovalAsked",
    "ApprovalGiven",
    "ApprovalRefused",
    "AttemptEnded",
    "AttemptPlaced",
    "AttemptStarted",
    "BudgetWarned",
    "CacheMissed",
    "Cached",
    "CancelRequested",
    "Cause",
    "ConditionEvaluated",
    "Event",
    "ExecutorDrained",
    "HandlerClaimed",
    "HandlerEnded",
    "Instance",
    "Interrupted",
    "LeaseAwaited",
    "LeaseTaken",
    "PhaseEnded",
    "PhaseStarted",
    "PhaseTimedOut",
    "PlanExtended",
    "Probe",
    "Probed",
    "ResultQuarantined",
    "RetryDropped",
    "RetryScheduled",
    "RunEnded",
    "RunResumed",
    "RunStarted",
    "RunSuspended",
    "RunTimedOut",
    "ServiceEnded",
    "ServiceStarted",
    "Status",
    "TaskNotRun",
    "ThrottleEntered",
    "ThrottleLeft",
    "from_json",
    "timestamp",
    "to_json",
    "worst",
]
