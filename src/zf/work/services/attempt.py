"""The services of an attempt, made of what its worker has at hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from zf.events import Cause, Status
from zf.proof.files import digest_of
from zf.work.services.services import Ground, ServiceError, Services
from zf.work.supervise.leftovers import cgroup_name

if TYPE_CHECKING:
    from zf.model import Task
    from zf.proof.tree.store import TaskTree
    from zf.redact.stream import StreamRedactor
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome
    from zf.work.shell import Started


def prepare(task: Task) -> Services:
    """The services of a task, each with its ports. Raises OSError."""
    return Services(task.services)


def begin(
    services: Services,
    context: WorkerContext,
    task: Task,
    outcome: Outcome,
    tree: TaskTree,
    redactor: StreamRedactor,
    starting: Callable[[str], Callable[[], Started]],
) -> None:
    """Start them; the outcome is told if that fails. Raises OSError."""
    supervisor, cgroup = context.supervisor, context.cgroup
    name = partial(cgroup_name, context.run_dir)
    ground = Ground(
        orders=context.orders,
        supervisor=supervisor,
        redactor=redactor,
        starting=starting,
        create=tree.create_file,
        wrote=tree.wrote,
        head=tree.start_of,
        digest=partial(_digest, tree),
        report=context.orders.report_found,
        enter=lambda pid: None if cgroup is None else cgroup.beside(name(pid)),
        gone=lambda pid: None if cgroup is None else cgroup.remove_beside(name(pid)),
        about={"task": task.id, "attempt": outcome.attempt, "phase": task.phase},
        grace_s=supervisor.grace_s,
        max_log_bytes=task.max_log_bytes,
        walled=bool(task.sandbox),
    )
    try:
        services.begin(ground)
    except ServiceError as error:
        outcome.fail(Cause.SERVICE, str(error))
    supervisor.measures()  # what asking took is no step's


def end(services: Services, outcome: Outcome) -> None:
    """End those that were started, and tell the outcome."""
    outcome.notes += services.end()
    outcome.services = services.as_json()
    if services.died and outcome.status is Status.SUCCESS:
        outcome.fail(Cause.SERVICE, services.died)
    elif services.died and outcome.cause is not Cause.SERVICE:
        outcome.notes.append(services.died)


def _digest(tree: TaskTree, path: str) -> str | None:
    folder, _, name = path.partition("/")
    return digest_of(tree.folder(folder), name)
