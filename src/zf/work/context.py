"""What a worker has at hand for every attempt."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.lean.records import Struct, replace
from zf.model import NOTHING
from zf.proof.layout import ARTIFACTS, FOLDERS
from zf.proof.tree.records import Place
from zf.tracing import Trace
from zf.typed import AUTO
from zf.work.capture import Buffer
from zf.work.environment import CHANNEL, Outside, own_variables
from zf.work.shell import Shell
from zf.work.supervise.leftovers import cookie
from zf.work.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from zf.model import Need, Project, Task
    from zf.plan.graph import Met
    from zf.work.caching.lookup import Caching
    from zf.work.control import RunnerOrders
    from zf.work.services.services import Services
    from zf.work.supervise.cgroup import Cgroup
    from zf.work.walls.shield import Shield

# Where a run's tasks find the artifacts of their needs, beside the trees made ahead: covered by the
# shield, and removed with these.
_NEEDS = "needs"


class WorkerContext(Struct):
    """What a worker has at hand for every attempt. The root in `place` is as given, `real_root` has
    no links.
    """

    # The worker's own.
    pid: int
    place: Place
    proofs: str
    run_dir: str
    aside: str
    real_root: str
    shield: Shield | None
    orders: RunnerOrders
    supervisor: Supervisor
    shell: Shell
    outside: Outside
    buffer: Buffer
    # What met a need, where it was not this run.
    upstream: Mapping[str, Met]
    # The instances that joined the plan, by their base.
    joined: dict[str, list[str]]
    # How much the tasks of the run may use, and those of each phase.
    project: Project
    # What steps are told of the run's trace.
    trace: Trace
    # What tasks that say `cache` do; None where none is looked up.
    caching: Caching | None = None
    # The cgroup that this worker is in, where it could make one.
    cgroup: Cgroup | None = None
    # The ports of the services of phases, by phase, service and name.
    beside: Mapping[str, Mapping[str, Mapping[str, int]]] = NOTHING
    # The task whose steps are on the person's terminal.
    terminal: str = ""
    # The executor that the worker is of, where that is not the runner's own machine.
    executor: str = ""
    # Whether an artifact with a secret in it fails its task; it is never kept.
    leaks_fail: bool = True
    # Whether the attempt at hand told something, and whether `$NEEDS_DIR` holds copies, which a
    # task may have changed: then there is something to clear away.
    told: bool = False
    copied: bool = False
    # Why there can be no sandbox here, once that was tried: empty where there can be one.
    why_no_sandbox: str | None = None
    # What makes containers, as the setting says it.
    container_engine: str = AUTO

    def ports_of(self, phase: str, services: Services | None = None) -> Mapping[str, str]:
        """What tells the ports of the services of a phase, and of these."""
        own = services.variables() if services is not None else NOTHING
        if phase not in self.beside:
            return own
        from zf.work.services.ports import variables  # noqa: PLC0415 - few phases have any

        found = [variables(name, ports) for name, ports in self.beside[phase].items()]
        return {name: value for one in (*found, own) for name, value in one.items()}

    def no_sandbox(self, why_not: Callable[[], str]) -> str:
        """Why there can be no sandbox here, tried once."""
        if self.why_no_sandbox is None:
            self.why_no_sandbox = why_not()
        return self.why_no_sandbox

    @property
    def written_at(self) -> str:
        """Where the run's folder can be written to; steps are told `run_dir`."""
        return self.run_dir if self.shield is None else self.shield.run_dir

    @property
    def written_aside(self) -> str:
        """Where the run's scratch folder, which is no part of its proof, can be written to."""
        return self.aside if self.shield is None else self.shield.aside

    @property
    def channel(self) -> str:
        """The worker's folder for what steps tell zf, as they can write to it: it is no part of the
        proof.
        """
        return f"{self.aside}/{self.pid}{CHANNEL}"

    @property
    def written_channel(self) -> str:
        """The same, as the worker can read it."""
        return f"{self.written_aside}/{self.pid}{CHANNEL}"

    def was_told(self) -> bool:
        """Whether something was put into the channel since it was last found empty."""
        with suppress(OSError):  # a step removed it, with all that was told
            self.told = os.stat(self.written_channel).st_mtime_ns > 0
        return self.told

    def needed(self, task: Task) -> Sequence[Need]:
        """What the task needs, instances that joined the plan by their names."""
        return needed(task, self.joined)

    def needs_of(self, task: str) -> str:
        """Where below the scratch folder a task finds what its needs kept, and nothing else: a
        folder of its own, or of its worker, which is cleared, where tasks can write to it.
        """
        return f"{_NEEDS}/{task}" if self.shield else f"{self.pid}.{_NEEDS}"

    def own_variables(self, task: Task, attempt: int, left: str) -> dict[str, str]:
        """The variables that zf sets for the steps of an attempt, which has its artifacts `left`
        there until they are taken, if not in its tree.
        """
        folder = f"{self.run_dir}/{task.id}"
        return own_variables(
            self.place,
            task,
            attempt,
            folder=folder,
            artifacts=left or f"{folder}/{ARTIFACTS}",
            needs=f"{self.aside}/{self.needs_of(task.id)}" if task.needs else "",
            channel=self.channel,
            cookie=cookie(self.run_dir, task.id, attempt),
        )

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of a tree that are made before its steps run."""
        return FOLDERS if self.shield is None else self.shield.folders


def extend(
    tasks: dict[str, Task],
    joined: dict[str, list[str]],
    base: str,
    instances: Sequence[Mapping[str, Any]],
) -> None:
    """Take in the instances of a task that joined the plan, as the journal tells of them."""
    from zf.plan.matrix.dynamic import join  # noqa: PLC0415 - few plans grow

    join(tasks, base, instances)
    joined[base] = [str(one["id"]) for one in instances]


def needed(task: Task, joined: Mapping[str, Sequence[str]]) -> Sequence[Need]:
    """What the task needs; of a task whose instances joined the plan, each of them."""
    if not joined or all(need.task not in joined for need in task.needs):
        return task.needs
    return [
        one
        for need in task.needs
        for one in (
            (replace(need, task=name, matrix="all") for name in joined[need.task])
            if need.task in joined
            else (need,)
        )
    ]
