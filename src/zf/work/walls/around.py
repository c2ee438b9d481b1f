"""The wall around the steps of an attempt, made of what its worker has at hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from zf.events import Cause, Status
from zf.proof.layout import ARTIFACTS
from zf.work.walls.sandbox import MISSING, PROGRAM, CannotStandError, Rooms, Sandbox, why_not

__all__ = ["CannotStandError", "around", "judge"]

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome

SANDBOX = "sandbox"
_NONE = "none"


def around(
    context: WorkerContext, task: Task, environ: Mapping[str, str], artifacts: str
) -> tuple[Sandbox | None, str]:
    """The sandbox that a task asks for, and what the proof is to call it: `sandbox`; or none, and
    why, where the task does without. `artifacts` is its `$ARTIFACTS_DIR`. Raises CannotStandError.
    """
    program = context.shell.find(PROGRAM)
    reason = MISSING if program is None else context.no_sandbox(partial(why_not, program))
    if program is None or reason:
        if not task.sandbox.get("if_available"):
            raise CannotStandError(f"the sandbox cannot be had: {reason}")
        return None, f"{_NONE}: {reason}"
    read = partial(_named, context, task, environ) if "read" in task.sandbox else None
    home = environ.get("HOME")
    return Sandbox(program, task.sandbox, _rooms(context, task, artifacts), home, read), SANDBOX


def judge(sandbox: Sandbox, outcome: Outcome) -> None:
    """Fail a task that made, in spite of its sandbox, what is read-only in there."""
    if outcome.status is Status.SUCCESS and (paths := sandbox.put_there()):
        told = f"{', '.join(paths)} was put into the project, and is read-only in a sandbox"
        outcome.fail(Cause.ARTIFACTS, told)


def _rooms(context: WorkerContext, task: Task, artifacts: str) -> Rooms:
    own = artifacts
    if context.shield is not None and own == f"{context.run_dir}/{task.id}/{ARTIFACTS}":
        # The scratch folder, in which a step can remove the artifacts' own and make it anew.
        own = os.path.dirname(own)
    # Mounts go where no link leads, or a link in the sandbox would lead out of it.
    real = os.path.realpath
    written = [real(path) for path in (own, context.channel) if os.path.isdir(path)]
    needs = real(f"{context.aside}/{context.needs_of(task.id)}")
    names = os.listdir(needs) if task.needs and os.path.isdir(needs) else ()
    shown = {f"{needs}/{name}": real(f"{needs}/{name}") for name in names}
    empty = f"{context.written_aside}/empty"
    with open(empty, "a"):
        pass
    root, proofs = context.real_root, real(context.proofs)
    return Rooms(root, proofs, root, real(empty), written, shown)


def _named(context: WorkerContext, task: Task, environ: Mapping[str, str]) -> Iterable[str]:
    from zf.work.caching.files import named  # noqa: PLC0415 - few tasks say what they read

    read = tuple(task.sandbox["read"])
    return named(context.real_root, read, proofs=context.proofs, environ=environ)
