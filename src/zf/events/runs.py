"""What happens to a run as a whole, and to its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zf.lean.records import Struct, field

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
    """A run whose runner had died goes on; `leftovers` counts the processes found and ended.
    `asked_by` is who asked the server for that, as `trigger.py` has it.
    """

    leftovers: int
    asked_by: Mapping[str, str] = field(default_factory=dict)


class PhaseStarted(Struct, frozen=True):
    phase: str
    timeout_s: float


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
    the newer run that wants the task's `concurrency` group, if it was one that asked; `asked_by`
    who asked the server for it, as `trigger.py` has it.
    """

    task: str | None
    by: str = ""
    asked_by: Mapping[str, str] = field(default_factory=dict)


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
