"""A task, its steps and its needs, as they were checked: plain records, all frozen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

from zf.lean.records import Struct
from zf.model.service import Service

# The environment and resources of most tasks, one object for all of them, and any empty mapping.
NOTHING: Mapping[str, Any] = MappingProxyType({})
DEFAULT_MAX_LOG_BYTES = 1024**3
QUEUE, REPLACE_QUEUED, CANCEL_RUNNING = "queue", "replace_queued", "cancel_running"


class Step(Struct, frozen=True):
    """One entry of `commands:` or `cleanup:`; `line` is where it starts in its file, from 1.

    `shell` is what runs it, as the beginning of a command line; empty for bash as zf calls it.
    `workdir` is empty for that of the task; `condition` is what the file calls `if`.
    """

    name: str
    run: str
    line: int = 0
    # A proof has these, and a digest counts them, only where they are not at their defaults.
    shell: tuple[str, ...] = ()
    env: Mapping[str, str] = NOTHING
    workdir: str = ""
    timeout_s: float | None = None
    condition: str = ""
    continue_on_error: bool = False


class Need(Struct, frozen=True):
    """One entry of `needs:`; `require` is what the needed task must have come to.

    `line` is where it stands in the task file, for messages only. `matrix` is which instances of a
    matrix it means, once each of them is a need: an output is then one value, or all.
    """

    task: str
    optional: bool = False
    require: Literal["success", "done"] = "success"
    line: int = 0
    # "same", or "all" where the file names a task with a matrix: see plan/matrix/instances.py.
    matrix: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Need) and self._meant() == other._meant()

    def __hash__(self) -> int:
        return hash(self._meant())

    def is_missing(
        self, tasks: Collection[str], upstream: Collection[str], unmet: Collection[str]
    ) -> bool:
        """Whether nothing meets it. An optional one is dropped where its task is absent: neither in
        this run nor in the runs it builds on.
        """
        if self.task in tasks or self.task in upstream:
            return False
        return not self.optional or self.task in unmet

    def _meant(self) -> tuple[str, bool, str]:
        return self.task, self.optional, self.require


class Task(Struct, frozen=True):
    """One task.yaml. Times in seconds; `file` is relative to the project root, `/`-separated."""

    id: str
    phase: str
    steps: tuple[Step, ...]
    title: str = ""
    needs: tuple[Need, ...] = ()
    parallel_safe: bool = False
    timeout_s: float = 300
    workdir: str = "."
    env: Mapping[str, str] = NOTHING
    pass_env: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    # Those of them for which there must be a file.
    required_artifacts: tuple[str, ...] = ()
    # Artifacts that are read as reports of tests: the format -> globs.
    reports: Mapping[str, Sequence[str]] = NOTHING
    # How much of what it measures it may use, over all attempts; and whether it has to say.
    budget: Mapping[str, float] = NOTHING
    budget_required: bool = False
    # Whether what it measures of itself fails it where that cannot be read.
    metrics_strict: bool = False
    # Names of variables whose values are hidden, globs; and of artifacts that may hold them.
    secrets: tuple[str, ...] = ()
    allow_secrets_in: tuple[str, ...] = ()
    # Run after the steps however they ended, together within their own time.
    cleanup: tuple[Step, ...] = ()
    cleanup_timeout_s: float = 60
    silence_timeout_s: float | None = None
    # What is kept of the output of each step.
    max_log_bytes: int = DEFAULT_MAX_LOG_BYTES
    # How many lines of a failed step's log are shown.
    log_tail: int | None = None
    leave_running: bool = False
    allow_timeout: bool = False
    # All failures, or those with one of these exit codes.
    allow_failure: bool | tuple[int, ...] = False
    max_retries: int = 0
    retry_delay_s: float = 0
    retry_max_delay_s: float = 300
    # Words for how an attempt ended, or exit codes of failures.
    retry_on: tuple[str | int, ...] = ("failure", "timeout", "lost")
    condition: str = ""
    resources: Mapping[str, int] = NOTHING
    priority: int = 0
    concurrency: str = ""
    # Both count from the start of the run.
    deadline_s: float | None = None
    start_after_s: float = 0
    queue_timeout_s: float | None = None
    file: str = ""
    line: int = 1
    # Fields below came after the form of a task was first hashed: a proof has them, and a digest
    # counts them, only where they are not at their defaults, so that other tasks keep theirs.
    tags: tuple[str, ...] = ()
    # Words that its commands get as "$@": given to a run of it, not in its file.
    arguments: tuple[str, ...] = ()
    # What it has to write to `$ZF_OUTPUT`, by name; and variables that hold outputs of its needs,
    # each with its `task.output`.
    outputs: tuple[str, ...] = ()
    env_from: Mapping[str, str] = NOTHING
    # Where it says what does not stand in its own place: `file:line` by a key, such as
    # `timeout_sec`, `env.NAME` or `needs[0]`. No part of what it does, so no digest counts it.
    origins: Mapping[str, str] = NOTHING
    # A step that exits with one of these ends its task as skipped.
    skip_exit_codes: tuple[int, ...] = ()
    # Names of variables without which a run with this task does not begin; steps see them.
    required_env: tuple[str, ...] = ()
    # What it reads and what it leaves, globs; of a folder that it leaves its list is the check, or
    # ("content") what is in it.
    sources: tuple[str, ...] = ()
    generates: tuple[str, ...] = ()
    generates_check: str = ""
    # Whether an earlier run's success with the same key may count for it; and what the key holds
    # besides: variables (names and globs), and what commands print.
    cache: bool = False
    cache_env: tuple[str, ...] = ()
    cache_tools: tuple[str, ...] = ()
    # Of an instance of a matrix: the id in the task file, and the value of each axis as text.
    base: str = ""
    matrix: Mapping[str, str] = NOTHING
    # How many instances of its matrix run at once; whether one that fails ends the others.
    max_parallel: int | None = None
    matrix_fail_fast: bool = False
    # The wall that its steps run behind: what they may see and do, by the keys of a task file.
    sandbox: Mapping[str, Any] = NOTHING
    # What a newer run does to an older one that has its group: waits, or ends the task there.
    on_newer: str = QUEUE
    # The `matrix:` of a task whose instances are only known when a need has handed on which.
    matrix_from: Mapping[str, Any] = NOTHING
    # The container that its steps run in, by the keys of a task file; of a task that is to run also
    # the `digest` and the `id` of the image that its name stands for in this run.
    container: Mapping[str, Any] = NOTHING
    # What runs beside its steps.
    services: tuple[Service, ...] = ()
    # What its processes may have of the machine, together or (files) each; None for no limit.
    nice: int | None = None
    memory_mb: int | None = None
    cpus: float | None = None
    pids_max: int | None = None
    open_files: int | None = None
    # That its steps are run again and again, by the keys of a task file: see `repeat.py`.
    repeat: Mapping[str, Any] = NOTHING
    # Who has to approve each attempt before it begins, and on which terms, by the keys of a file.
    approval: Mapping[str, Any] = NOTHING
    # Where it runs, if not where the runner is: an executor by its name, or by what it has.
    executor: str = ""
    labels: tuple[str, ...] = ()
    # Of a handler: the `phase` whose end it is for (empty: the run's), `when`, whether it is
    # `required` and `repeatable`.
    on_end: Mapping[str, Any] = NOTHING

    def tolerates(self, status: str, exit_code: int | None) -> bool:
        """Whether dependents go on after this outcome: its conclusion is then `warned`. Of a
        handler that is not required no bad end counts.
        """
        if self.on_end and not self.on_end["required"]:
            return status in {"failure", "timeout", "lost", "cancelled"}
        if status == "timeout":
            return self.allow_timeout
        codes = self.allow_failure
        return status == "failure" and (codes if isinstance(codes, bool) else exit_code in codes)


def is_conditional(task: Task) -> bool:
    """Whether it, or one of its steps, has a condition."""
    if task.condition or task.repeat:
        return True
    for step in (*task.steps, *task.cleanup):  # no expression: every task comes here  # noqa: SIM110
        if step.condition:
            return True
    return False


# The fields that limit what the processes of a task may have of the machine.
LIMITS = ("nice", "memory_mb", "cpus", "pids_max", "open_files")
_limits = attrgetter(*LIMITS)
_UNLIMITED = (None,) * len(LIMITS)


def is_limited(task: Task) -> bool:
    """Whether any of them is set."""
    return _limits(task) != _UNLIMITED
