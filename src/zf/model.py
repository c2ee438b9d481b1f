"""What the user wrote, after it was checked: tasks, steps, phases and the project, all frozen.

`plan/load.py` is the door that reads YAML and lets only valid values in; behind it nothing checks
them again. Plain records, so that a worker or a replayed plan needs no pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

from zf.errors import Problem
from zf.inputs import Input
from zf.lean.encoder import encoder
from zf.lean.records import Struct, asdict, astuple, field

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
# Of a task that runs: an id, and behind `@` which instance of a matrix it is.
TASK_PATTERN = ID_PATTERN + r"(?:@[A-Za-z0-9_=,.+-]{1,100})?"
_ID = re.compile(ID_PATTERN)
# Of an output of a task: no dot, so that `task.output` can be told apart from its end.
OUTPUT_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
_TASK = re.compile(TASK_PATTERN)
# The environment and resources of most tasks, one object for all of them, and any empty mapping.
NOTHING: Mapping[str, Any] = MappingProxyType({})

DEFAULT_MAX_LOG_BYTES = 1024**3
QUEUE, CANCEL_RUNNING = "queue", "cancel_running"
# The phase of a task that names none, in a project whose tasks name none.
DEFAULT_PHASE = "main"

# What zf itself tells every step; a task that set one of these would be overruled in silence.
RESERVED_ENV = frozenset(
    {
        "RUN_ID",
        "TASK_ID",
        "PHASE",
        "TASK_DIR",
        "ZENFLOW_ROOT",
        "PROOF_DIR",
        "ARTIFACTS_DIR",
        "NEEDS_DIR",
        "ATTEMPT",
        "STEP_INDEX",
        "COMPOSE_PROJECT_NAME",
        "ZF_COOKIE",
        "ZF_METRICS",
        "ZF_OUTPUT",
        "TRACEPARENT",
    }
)


def is_valid_id(text: str) -> bool:
    """Whether text may name a task, a phase or a run (it is used as a folder's name)."""
    return _ID.fullmatch(text) is not None


def is_task_id(text: str) -> bool:
    """Whether a task of a run may be called so: an id, or the name of an instance of a matrix."""
    return _TASK.fullmatch(text) is not None


def base_of(task: str) -> str:
    """The id in the task file: of `test@py=3.11` it is `test`, of others the whole."""
    return task.partition("@")[0]


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


class Service(Struct, frozen=True):
    """A program that runs beside the steps of a task, or the tasks of a phase: a script, or an
    image. `ready` is empty where it is ready once something listens on its ports.
    """

    name: str
    run: str = ""
    image: str = ""
    ready: str = ""
    ready_timeout_s: float = 60
    ports: tuple[str, ...] = ()


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
    # What runs beside its steps.
    services: tuple[Service, ...] = ()

    def tolerates(self, status: str, exit_code: int | None) -> bool:
        """Whether dependents go on after this outcome: its conclusion is then `warned`."""
        if status == "timeout":
            return self.allow_timeout
        codes = self.allow_failure
        return status == "failure" and (codes if isinstance(codes, bool) else exit_code in codes)


_OTHER_KEYS = {"steps": "commands", "start_after_s": "start_after"}


def _key(name: str) -> str:
    return _OTHER_KEYS.get(name) or (name + "ec" if name.endswith("_s") else name)


def _defaults_after(count: int) -> list[tuple[str, Any]]:
    silent = Task("", "", ())
    return [(name, getattr(silent, name)) for name in Task.__struct_fields__[count:]]


# What task.yaml, and so a proof, calls each field of a task.
TASK_KEYS: Mapping[str, str] = {name: _key(name) for name in Task.__struct_fields__}
_FIRST = [*TASK_KEYS][: [*TASK_KEYS].index("line") + 1]
_FIRST_KEYS = [TASK_KEYS[name] for name in _FIRST]
# The others, with their keys and defaults.
LATER = [(name, TASK_KEYS[name], default) for name, default in _defaults_after(len(_FIRST))]
_LATER_DEFAULTS = [default for _, _, default in LATER]
_encode = encoder()


def recorded(task: Task) -> dict[str, Any]:
    """The task as it was loaded, defaults filled in, in the plain values of JSON: what a proof
    says of it and what tasks are compared by. `recalled` makes the task of it again.
    """
    first, later = _parts(task)
    return first | later if later else first


def _parts(task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    """What it says with the keys that have always been there, and with those that came later."""
    values = astuple(task)
    said = dict(zip(_FIRST_KEYS, values, strict=False))
    said["title"] = task.title or task.id
    said["needs"] = [
        {"task": need.task, "optional": need.optional, "require": need.require}
        for need in task.needs
    ]
    said["commands"] = _recorded_steps(task.steps)
    said["cleanup"] = _recorded_steps(task.cleanup)
    said["env"] = dict(task.env) if task.env else {}
    said["resources"] = dict(task.resources) if task.resources else {}
    said["budget"] = dict(task.budget) if task.budget else {}
    said["reports"] = dict(task.reports) if task.reports else {}
    rest = [*values][len(_FIRST) :]  # CPython 3.11 never reuses a tuple of 20, as it would be now
    if rest == _LATER_DEFAULTS:  # as nearly every task has them
        return said, {}
    rows = zip(LATER, rest, strict=True)
    later = {key: value for (_, key, default), value in rows if value != default}
    if task.services:
        later["services"] = [recorded_service(one) for one in task.services]
    return said, later


def recorded_service(service: Service) -> dict[str, Any]:
    """What a service says, by the keys of task files; what it leaves out is left out."""
    values = asdict(service)
    said = {"ready_timeout_sec": values.pop("ready_timeout_s"), "ports": [*values.pop("ports")]}
    return {key: value for key, value in values.items() if value} | said


def _recalled_service(said: Mapping[str, Any]) -> Service:
    fields = {**said, "ready_timeout_s": said["ready_timeout_sec"], "ports": tuple(said["ports"])}
    del fields["ready_timeout_sec"]
    return Service(**fields)


# What a task file calls those fields of a step that are recorded only where it says them.
_STEP_KEYS = {"timeout_s": "timeout_sec", "condition": "if"}
STEP_KEYS: Mapping[str, str] = {
    name: _STEP_KEYS.get(name, name) for name in Step.__struct_fields__[3:]
}
_step_values = attrgetter(*STEP_KEYS)
_PLAIN_STEP = _step_values(Step("", ""))


def recorded_step(step: Step) -> dict[str, Any]:
    """What a step says beside its name, script and line, by the keys of task files."""
    values = _step_values(step)
    if values == _PLAIN_STEP:
        return {}
    rows = zip(STEP_KEYS.values(), values, _PLAIN_STEP, strict=True)
    said = {key: value for key, value, default in rows if value != default}
    return said | {"env": dict(step.env)} if step.env else said


def _recorded_steps(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    return [
        {"name": step.name, "run": step.run, "line": step.line, **recorded_step(step)}
        for step in steps
    ]


STEP_FIELDS = {key: name for name, key in STEP_KEYS.items()}


def _recalled_step(step: Mapping[str, Any]) -> Step:
    fields: dict[str, Any] = {STEP_FIELDS.get(key, key): value for key, value in step.items()}
    fields["shell"] = tuple(fields.get("shell", ()))
    return Step(**fields)


def recalled(said: Mapping[str, Any]) -> Task:
    """The task of a recorded form; what an older zf did not record is as if it had not been said.

    Raises TypeError or KeyError for what was never one.
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value := said[key], list) else value
        for name, key in TASK_KEYS.items()
        if key in said
    }
    fields["needs"] = tuple(Need(**need) for need in said["needs"])
    fields["steps"] = tuple(map(_recalled_step, said["commands"]))
    fields["cleanup"] = tuple(map(_recalled_step, said["cleanup"]))
    if "services" in said:
        fields["services"] = tuple(map(_recalled_service, said["services"]))
    return Task(**fields)


def definition_sha256(task: Task) -> str:
    """The digest of everything a task file says: two tasks with the same one do the same. What
    plan.json shows is that of the task without its secrets, which could be guessed from it.

    SHA-256, in hex, over the values of the recorded form, in its order, as JSON. Where steps stand
    in the file counts if the file is the task's alone: in a file of several tasks a line more above
    does not change those below. Keys that came later follow as one mapping, where there are any.
    """
    first, later = _parts(task)
    later.pop("origins", None)
    if task.file and not task.file.endswith("/task.yaml"):
        first["line"] = 0
        for step in (*first["commands"], *first["cleanup"]):
            step["line"] = 0
    values = [*first.values(), later] if later else [*first.values()]
    return sha256(_encode(values).encode("ascii")).hexdigest()


def script_sha256(task: Task) -> str:
    """The digest of what a task runs: one with the same id and the same digest took as long in an
    earlier run as it will now, whatever else its file says. As above of the task without secrets.

    SHA-256, in hex, over the commands of its steps and of its cleanup, as JSON.
    """
    said = [[step.run for step in task.steps], [step.run for step in task.cleanup]]
    return sha256(_encode(said).encode("ascii")).hexdigest()


class Phase(Struct, frozen=True):
    """What the project file says of a phase."""

    title: str = ""
    timeout_s: float | None = None
    budget: Mapping[str, float] = NOTHING
    # The phases that it needs, which are run before it; how many of its tasks run at once.
    needs: tuple[str, ...] = ()
    max_jobs: int | None = None
    inputs: Mapping[str, Input] = NOTHING


class Project(Struct, frozen=True):
    """The optional `zf.yaml`; None where it is silent."""

    file: str | None = None
    pass_env: tuple[str, ...] = ()
    required_env: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    # Whether an artifact that is left out for a secret in it fails its task: "fail" or "warn".
    secrets_in_artifacts: str = "fail"
    max_jobs: int | None = None
    grace_s: float | None = None
    sign: bool | None = None
    shield: str | None = None
    # Whether results of earlier runs count for tasks that say `cache`.
    cached: bool | None = None
    # How much there is of what tasks ask for in `resources`, beside the machine's own cpu, mem_mb.
    resources: Mapping[str, int] = NOTHING
    # A machine busier than this gets no new task.
    throttle_cpu_percent: float | None = None
    throttle_min_free_mem_mb: float | None = None
    # How much of what tasks measure a run may use.
    budget: Mapping[str, float] = NOTHING
    inputs: Mapping[str, Input] = NOTHING
    phases: Mapping[str, Phase] = field(default_factory=dict)


def declares_inputs(project: Project) -> bool:
    """Whether anything can be given to a run of it."""
    return bool(project.inputs) or any(phase.inputs for phase in project.phases.values())


class Flow(Struct, frozen=True):
    """Everything a project asks for. `root` is absolute; `home` is root or `<root>/.zenflow`:
    where `tasks/` and `proofs/` are. Tasks are keyed by id, in id order.
    """

    root: str
    home: str
    tasks: Mapping[str, Task]
    project: Project = field(default_factory=Project)
    # The values that `--matrix` chose, by axis: the tasks are without the other instances.
    matrix: Mapping[str, Sequence[str]] = NOTHING
    # The phases of those: a run of one has not all of its tasks.
    partly: frozenset[str] = frozenset()
    # How many instances each matrix has, also those that were left out, by the id of its task.
    instances: Mapping[str, int] = NOTHING
    # Files of which any task may take something, beside zf.yaml: those with templates.
    shared: tuple[str, ...] = ()

    def present(self, task: Task) -> Iterable[Need]:
        """What the task needs, without the optional needs that the project has no task for."""
        return (need for need in task.needs if need.task in self.tasks)

    @property
    def proofs(self) -> str:
        return f"{self.home}/proofs"


class Asked(Struct, frozen=True):
    """What a command is about to run, as far as warnings depend on it: some phases (None: all), or
    a task, or what the words of `zf run` name, and, with `needs`, all that this needs. `forced`:
    the phase timeout given comes before that of zf.yaml.
    """

    phases: tuple[str, ...] | None = None
    task: str | None = None
    words: tuple[str, ...] = ()
    needs: bool = False
    forced: bool = False


class Loaded(Struct, frozen=True):
    """A flow, or None with at least one error among the problems; warnings come with a flow."""

    flow: Flow | None
    problems: tuple[Problem, ...] = ()
