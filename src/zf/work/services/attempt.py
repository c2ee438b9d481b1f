"""The services of an attempt, made of what its worker has at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from zf.events import Cause, Status
from zf.lean import lazy
from zf.proof import layout
from zf.proof.files import digest_of
from zf.work.services import network
from zf.work.services.services import Ground, ServiceError, Services
from zf.work.shell import Behind, NotStartedError
from zf.work.supervise.leftovers import COOKIE, cgroup_name, cookie

if TYPE_CHECKING:
    from zf.model import Task
    from zf.proof.tree.store import TaskTree
    from zf.redact.stream import StreamRedactor
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome
    from zf.work.services import boxed
    from zf.work.shell import Started
    from zf.work.walls.sandbox import Sandbox
else:  # few services are images
    boxed = lazy.module("zf.work.services.boxed")


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
    sandbox: Callable[[], Sandbox | None],
    env: Mapping[str, str],
) -> None:
    """Start them; the outcome is told if that fails. Raises OSError."""
    supervisor, cgroup = context.supervisor, context.cgroup
    name = partial(cgroup_name, context.run_dir)
    ground = Ground(
        orders=context.orders,
        supervisor=supervisor,
        redactor=redactor,
        starting=starting,
        boxed=lambda *of: boxed.Box(context, env, task.id, outcome.attempt, *of),
        log_of=layout.service_log,
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
        wall = sandbox() if task.sandbox else None
        if wall is not None and not wall.has_network:
            mark = cookie(context.run_dir, task.id, outcome.attempt)
            _share_network(services, ground, context, wall, mark)
        services.begin(ground)
    except (ServiceError, NotStartedError) as error:
        outcome.fail(Cause.SERVICE, str(error.args[0]))
    supervisor.measures()  # what asking took is no step's


def _share_network(
    services: Services, ground: Ground, context: WorkerContext, wall: Sandbox, mark: str
) -> None:
    """Have all that is behind this wall be on one network; its maker bears the mark of the attempt.
    Raises ServiceError, OSError.
    """
    path, until = os.environ.get("PATH", os.defpath), time.monotonic() + network.MAKING_S
    words = network.wall(wall.program)
    env = {"PATH": path, COOKIE: mark}
    start = partial(context.shell.start, env, network.SCRIPT.encode(), wall=Behind(words))
    leader = services.make_network(ground, start)
    try:
        wall.join(network.joined(leader, path, until))
    except OSError as error:
        raise ServiceError(f"the services cannot be started: {error}") from None


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
