"""What an attempt of a task that says `cache` asks for: a look for an earlier result, and its files
in the place of those that steps would leave.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zf.plan.caching.checks import never_cached
from zf.proof.layout import OUTPUTS, step_log
from zf.proof.tree.artifacts import Collected
from zf.work.artifacts import ArtifactSecrets, Collecting, collecting_limit_s
from zf.work.caching import restore
from zf.work.caching.files import UnusableError
from zf.work.caching.use import MAX_TOOL_BYTES, Around, Use, left_by
from zf.work.capture import Capture
from zf.work.results.needs import tree_of
from zf.work.shell import NotStartedError
from zf.work.supervise.supervisor import Terms

if TYPE_CHECKING:
    from zf.model import Task
    from zf.proof.tree.store import TaskTree
    from zf.work.caching.lookup import Origin
    from zf.work.context import WorkerContext
    from zf.work.environment import Environment
    from zf.work.outcome import Outcome

# A version is printed at once, unless something is wrong.
_TOOL_S = 60.0


def begin(
    context: WorkerContext,
    task: Task,
    outcome: Outcome,
    tree: TaskTree,
    env: Environment,
    digests: Mapping[str, str],
    hide: Callable[[str], str],
    enter: Callable[[], None],
) -> Use | None:
    """Tell the attempt's key, and look for an earlier result where the run is to; the runner hears
    what came of that, and the outcome and the tree are told whose result it is. None for a task
    whose results never count. `digests` are those of its needs; `hide` tells what may be shown of
    a text, and `enter` goes where the task's steps run.
    """
    if never_cached(task, context.project):
        return None
    around = Around(
        root=context.real_root,
        proofs=context.proofs,
        environ=env.values,
        env=env,
        outside=context.outside,
        needs=_needs(context, task, digests),
        hide=hide,
        ask=lambda command: _ask(context, env, enter, command),
        looking=lambda: _looking(Collecting(context.orders, collecting_limit_s(task.timeout_s))),
    )
    use = Use(task, outcome.task, outcome.attempt, around)
    if context.caching is not None and context.caching.look_up and context.orders.stop is None:
        context.orders.report_found(use.find(context.caching.lookup(context.proofs)))
    if use.origin is not None:
        outcome.cached_from = use.origin.as_json()
        tree.write(step_log(0), use.origin.told())
    return use


def taken_over(
    origin: Origin,
    tree: TaskTree,
    outcome: Outcome,
    secrets: ArtifactSecrets,
    stop_reason: Collecting,
) -> Collected:
    """The artifacts of an earlier result, in the tree of the attempt that it counts for; its
    outputs come with them.
    """
    found = Collected(secrets, stop_reason)
    restore.tree(origin, tree, found)
    outcome.outputs_sha256 = tree.digests.get(OUTPUTS, "")
    return found


def _looking(collecting: Collecting) -> Callable[[], str]:
    return lambda: "could not be looked at to the end" if collecting() else ""


def _needs(context: WorkerContext, task: Task, digests: Mapping[str, str]) -> dict[str, str]:
    left = {}
    for need in context.needed(task):
        # The folder of this worker's last task may still be covered by the shield.
        folder, digest = tree_of(context, context.written_at, need.task, digests)
        left[need.task] = left_by(folder, digest) if digest else ""
    return left


def _ask(context: WorkerContext, env: Environment, enter: Callable[[], None], command: str) -> str:
    """What a tool prints where the task's steps run. Raises UnusableError when it fails."""
    from tempfile import TemporaryFile  # noqa: PLC0415 - 3 ms, and few tasks have tools

    with TemporaryFile() as log:
        capture = Capture(log.fileno(), context.buffer, None, MAX_TOOL_BYTES)
        try:
            enter()
            script = command.encode("utf-8", "surrogateescape")
            leader, pipe = context.shell.start(env.for_step(0), script)
        except NotStartedError as error:
            raise UnusableError(f"the tool {command!r} cannot be asked: {error.args[0]}") from None
        ended = context.supervisor.run(leader, pipe, capture, Terms(time.monotonic() + _TOOL_S))
        context.supervisor.measures()  # what a tool used is not the steps'
        capture.finish()
        if ended.exit_code != 0 or ended.stop is not None or capture.is_cut:
            how = f"exited with code {ended.exit_code}" if ended.exit_code else "did not end well"
            raise UnusableError(f"the tool {command!r} {how}")
        log.seek(0, os.SEEK_SET)
        return log.read().decode("utf-8", "backslashreplace")
