"""What needs left, for the task that needs it: `$NEEDS_DIR` leads there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.proof.files import link
from zf.proof.tree.contents import checked_artifacts
from zf.work.outcome import error_text

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext

# Where a run's tasks find the artifacts of their needs, beside the trees made ahead: covered by the
# shield, and removed with these.
FOLDER = "needs"


def link_needs(
    context: WorkerContext, task: Task, digests: Mapping[str, str], hide: Callable[[str], str]
) -> str:
    """Lead to the artifacts of the needs, in whatever run those were met; `digests` are the
    `task_sha256` of those that this run met. If some are not what they were: what fails the task
    before it does anything with them.
    """
    for need in task.needs:
        met = context.upstream.get(need.task)
        if met is None:
            of, digest = context.run_dir, digests.get(need.task)
        else:
            of, digest = f"{context.proofs}/{met.run}", met.task_sha256
        if digest is None:
            continue  # it kept nothing, was not run or not even checked
        try:
            artifacts = checked_artifacts(f"{of}/{need.task}", digest)
        except (OSError, ValueError) as error:
            what = hide(error_text(error) if isinstance(error, OSError) else str(error))
            return f"the artifacts of need {need.task} cannot be used: {printable(what)}"
        if artifacts:
            link(artifacts, f"{context.written_aside}/{FOLDER}", need.task)
    return ""
