"""What the project file says, all tasks with it, and what a command is about to run of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zf.errors import Problem
from zf.inputs import Input
from zf.lean.records import Struct, field
from zf.model.executors import Executor
from zf.model.service import Service
from zf.model.task import NOTHING, Need, Task


class Phase(Struct, frozen=True):
    """What the project file says of a phase."""

    title: str = ""
    timeout_s: float | None = None
    budget: Mapping[str, float] = NOTHING
    # The phases that it needs, which are run before it; how many of its tasks run at once.
    needs: tuple[str, ...] = ()
    max_jobs: int | None = None
    inputs: Mapping[str, Input] = NOTHING
    # Whether nothing that a server queues later ends a run of it.
    protected: bool = False
    # What runs beside its tasks.
    services: tuple[Service, ...] = ()
    # Where the project file says what it needs.
    needs_line: int | None = None


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
    container_engine: str | None = None
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
    # Where those are who may approve: the file with their keys, and names of tokens.
    approvers: Mapping[str, Any] = NOTHING
    phases: Mapping[str, Phase] = field(default_factory=dict)
    # Where tasks can run that do not run here.
    executors: Mapping[str, Executor] = NOTHING
    # What a server starts by itself, by name, and how its queue works: as the file says it.
    schedules: Mapping[str, Any] = NOTHING
    webhooks: Mapping[str, Any] = NOTHING
    reconcile: Mapping[str, Any] = NOTHING
    queue: Mapping[str, Any] = NOTHING
    # Where messages about runs go, by name: as the file says it.
    notify: Mapping[str, Any] = NOTHING
    server: Mapping[str, Any] = NOTHING


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
    # Of phases and of the run, in their order: in every plan with what they are handlers of.
    handlers: tuple[Task, ...] = ()

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
