"""Orders of the scheduler, the limits it is given, and what it is told beside events.

What happened is in `events/`; what need not be read again, and so is not recorded, is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from zf.events import Cause, Event, PlanExtended, Status
from zf.lean.records import Struct, asdict, field
from zf.model import LOCAL, NOTHING, Executor, Task, fitting

if TYPE_CHECKING:
    from zf.plan.conditions.verdict import ConditionContext

# How soon a group that another run has is asked for again: four looks a second cost nothing, and
# compared with a whole task of another run a quarter of a second is no wait.
LEASE_RETRY_S = 0.25


class Throttle(Struct, frozen=True):
    """A machine busier than this gets no new task, unless nothing of ours runs."""

    cpu_percent: float = 90
    min_free_mem_mb: float = 0


class Limits(Struct, frozen=True):
    """What the user allows the run.

    `fail_fast`: nothing more starts after the first failure; with "now" what runs is ended, too.
    `keep_going`: after a phase that failed, those run that do not need it. `only` names the task
    of a `zf run-task`, whose own exit code becomes the run's. `resources` is how much there is of
    everything tasks ask for. `seed` (the run id) fixes the retries' jitter.
    """

    max_jobs: int
    fail_fast: bool | Literal["now"] = False
    only: str | None = None
    retries: bool = True
    resources: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    throttle: Throttle | None = None
    deadline_s: float | None = None
    seed: str = ""
    keep_going: bool = False
    # Whether a run that can only wait for approval waits, or ends and is resumed later.
    on_approval: Literal["wait", "exit"] = "wait"
    # Where tasks may run that do not run here, and which of these has the tasks that name none.
    executors: Mapping[str, Executor] = field(default_factory=lambda: NOTHING)
    executor: str = ""

    def as_json(self) -> dict[str, Any]:
        """As run.json has them; what came later only where it is used."""
        said = asdict(self) | {"throttle": self.throttle and asdict(self.throttle)}
        for name in ("keep_going", "executors", "executor"):
            if not said[name]:
                del said[name]
        if self.on_approval == "wait":
            del said["on_approval"]
        if self.executors:
            said["executors"] = {name: asdict(one) for name, one in self.executors.items()}
        return said

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """The limits that a run.json has."""
        throttle, executors = said["throttle"], said.get("executors", {})
        found = {
            **said,
            "throttle": throttle and Throttle(**throttle),
            "executors": {name: _executor(one) for name, one in executors.items()},
        }
        return cls(**found)


def _executor(said: Mapping[str, Any]) -> Executor:
    return Executor(**{**said, "start": tuple(said["start"]), "labels": tuple(said["labels"])})


def runs_here(task: Task, limits: Limits) -> bool:
    """Whether it runs on this machine and nowhere else."""
    return fitting_of(task, limits) == (LOCAL,)


def fitting_of(task: Task, limits: Limits) -> tuple[str, ...]:
    """Where it may run."""
    return fitting(task.executor, task.labels, limits.executor, limits.executors)


# What the scheduler is told beside events.


class Tick(Struct, frozen=True):
    """Nothing happened but time; needed at `wake_at`."""


class LoadSampled(Struct, frozen=True):
    """How busy the machine is; due about once a poll interval when there is a throttle."""

    cpu_percent: float
    free_mem_mb: float


class LeaseAnswered(Struct, frozen=True):
    """The answer to an AskLease: `owner` is None when the lease is ours, else its holder; `newer`
    says which newer run wants the group for itself: then the task is not to have it any more.
    """

    task: str
    owner: str | None
    newer: str = ""


class OutputsRead(Struct, frozen=True):
    """What a task handed on, told before its end is, to a scheduler that has conditions on it."""

    task: str
    values: Mapping[str, str]


class Extended(Struct, frozen=True):
    """The answer to an Extend: the instances, which are in the journal; and what conditions of
    theirs may refer to, by instance.
    """

    event: PlanExtended
    contexts: Mapping[str, ConditionContext] = field(default_factory=lambda: NOTHING)


class NotExtended(Struct, frozen=True):
    """The other one: there are no instances, for this reason."""

    base: str
    status: Status
    detail: str


class NotAsked(Struct, frozen=True):
    """The other answer to an AskApproval: it cannot be said what would be approved."""

    task: str
    detail: str


# Orders. Each counts as carried out when it is given.


class StartPhase(Struct, frozen=True):
    phase: str
    timeout_s: float


class StartAttempt(Struct, frozen=True):
    """`spent` is what the attempts before it used of the task's budget."""

    task: str
    attempt: int
    spent: Mapping[str, float] = field(default_factory=lambda: NOTHING)


class AskLease(Struct, frozen=True):
    """The task could start if no other run has its `concurrency` group: try to take it, without
    waiting, and answer with LeaseAnswered before anything else is handed over.
    """

    task: str
    concurrency: str
    # Whether what has the group in an older run is to end for it; whether a newer one's wish counts
    # for nothing.
    cancels: bool = False
    protected: bool = False


class Extend(Struct, frozen=True):
    """The instances of this task are to join the plan, as what says which there are is known: once
    all other orders are carried out, answer with Extended, or with NotExtended, before anything
    else is handed over.
    """

    base: str


class AskApproval(Struct, frozen=True):
    """Before this attempt the task is to be approved: put the question, and answer with the
    ApprovalAsked of the journal, or with NotAsked, before anything else is handed over.
    """

    task: str
    attempt: int


class ReleaseLease(Struct, frozen=True):
    """Let go of the lease that was taken for this task."""

    task: str


class KillAttempt(Struct, frozen=True):
    """End it for this cause; `force` skips the grace period, `detail` says more of the cause."""

    task: str
    attempt: int
    cause: Cause
    force: bool
    detail: str = ""


class RestAttempt(Struct, frozen=True):
    """Its probe has ended and the next is not due: it gives its slot back and goes on waiting."""

    task: str


class StartProbe(Struct, frozen=True):
    """The next probe of an attempt that rests, in a slot of its own."""

    task: str
    attempt: int


class ConcludeAttempt(Struct, frozen=True):
    """Its last probe was this one: it ends well, or as a failure for this cause."""

    task: str
    attempt: int
    cause: Cause = Cause.NONE
    detail: str = ""


class NotRun(Struct, frozen=True):
    """The task ends without an attempt; `needs` are the ones known to be unmet. `warned`: its task
    file tolerates this end.
    """

    task: str
    status: Status
    cause: Cause
    detail: str
    needs: Mapping[str, Status] = field(default_factory=lambda: NOTHING)
    warned: bool = False


class Record(Struct, frozen=True):
    """Write down what the scheduler itself has decided; there is nothing else to do."""

    event: Event


class TimeOutPhase(Struct, frozen=True):
    phase: str
    timeout_s: float


class EndPhase(Struct, frozen=True):
    phase: str
    ok: bool


class Suspend(Struct, frozen=True):
    """Nothing can go on before these tasks are approved: the runner is to leave, and the run to be
    resumed.
    """

    waiting: tuple[str, ...]


class EndRun(Struct, frozen=True):
    exit_code: int


Order = (
    StartPhase
    | AskLease
    | Extend
    | AskApproval
    | ReleaseLease
    | StartAttempt
    | KillAttempt
    | RestAttempt
    | StartProbe
    | ConcludeAttempt
    | NotRun
    | Record
    | TimeOutPhase
    | EndPhase
    | Suspend
    | EndRun
)
