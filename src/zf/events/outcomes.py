"""How a task, or an attempt at it, can end, and why: the stable words of journals and proofs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


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
    APPROVAL_TIMEOUT = "approval_timeout"  # it was not approved in time
    APPROVAL_REJECTED = "approval_rejected"  # one of those who may approve it said no
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
    OOM = "oom"  # it was killed, as it had reached its memory_mb, or what its executor gives
    LIMIT = "limit"  # it failed as it had reached another of its limits
    SERVICE = "service"  # a service could not be started, was not ready in time, or died
    SURVIVORS = "survivors"  # processes were left behind
    CLEANUP = "cleanup"  # the steps succeeded, a cleanup command did not
    REPEAT_LIMIT = "repeat_limit"  # no probe of `repeat` was good, or not for so long, in `limit`
    BAD_PROBES = "bad_probes"  # `fail_after` probes in a row were bad
    INCONCLUSIVE = "inconclusive"  # `inconclusive_limit` probes in a row could not measure
    PROBE_TIMEOUT = "probe_timeout"  # probe_timeout_sec of `repeat` ran out
    ON_END = "on_end"  # a handler of `on_end` that is there for another end
    BUDGET = "budget"  # it, its phase or its run used more than the budget, or did not say
    INSTANCES = (
        "instances"  # its list, an output of a need, has none that were asked for, or is bad
    )
    OUTPUTS = "outputs"  # a declared output was not written, or one of a need cannot be used
    METRICS = "metrics"  # what it measured could not be read, and its file demands that it can
    ARTIFACTS = "artifacts"  # an artifact was refused or could not be read
    STORAGE = "storage"  # the proof could not be written
    WORKER = "worker"  # the worker died or stopped answering
    NODE = "node"  # the machine of its executor failed
    PREEMPTED = "preempted"  # its executor gave the place to something else; no retry is spent
    EVICTED = "evicted"  # its executor sent it away, as the machine was short of something
    WALLTIME = "walltime"  # its executor ended it, as the time it gave was over
    UNREACHABLE = "unreachable"  # its executor could not be reached, or was not heard any more
    RUNNER = "runner"  # the runner died; `zf resume` tries the task again
