"""What needs left, for the task that needs it: its files are in `$NEEDS_DIR`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zf.errors import error_text, printable
from zf.proof.files import link, remove_tree
from zf.proof.tree.contents import checked_artifacts, copy_artifacts

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext


# Below the scratch folder: what earlier runs kept.
_COPIES = "kept"


class NeedError(Exception):
    """What a need left cannot be used; the message says of which and why."""

    def __init__(self, what: str, need: str, error: OSError | ValueError) -> None:
        why = error_text(error) if isinstance(error, OSError) else str(error)
        super().__init__(f"the {what} of need {need} cannot be used: {why}")


def lay_out(
    context: WorkerContext, task: Task, digests: Mapping[str, str], hide: Callable[[str], str]
) -> str:
    """Have the artifacts of the needs in `$NEEDS_DIR`, in whatever run those were met; `digests`
    are the `task_sha256` of those that this run met. If some are not what they were: what fails the
    task before it does anything with them.

    No step can change them in the proof that they are of. The shield keeps it from this run's, to
    which a link leads, and from copies of what other runs kept, one for all tasks; where there is
    no shield, the task gets a copy.
    """
    place = f"{context.written_aside}/{context.needs_of(task.id)}"
    if context.copied and not context.shield:
        context.copied = False
        remove_tree(place)  # an earlier task may have changed its copies
    for need in context.needed(task):
        tree, digest = tree_of(context, context.run_dir, need.task, digests)
        if digest is None:
            continue
        try:
            if not context.shield:
                if copy_artifacts(tree, digest, f"{place}/{need.task}"):
                    context.copied = True
            elif artifacts := _shielded(context, need.task, tree, digest):
                link(artifacts, place, need.task)
        except (OSError, ValueError) as error:
            return printable(hide(str(NeedError("artifacts", need.task, error))))
    return ""


def _shielded(context: WorkerContext, need: str, tree: str, digest: str) -> str:
    """What a need kept, compared, where no step can write to it; an empty text if it kept nothing.
    Raises OSError and ValueError.
    """
    if need not in context.upstream:
        return checked_artifacts(tree, digest)
    copy = f"{_COPIES}/{need}"
    if not copy_artifacts(tree, digest, f"{context.written_aside}/{copy}"):
        return ""
    return f"{context.aside}/{copy}"


def tree_of(
    context: WorkerContext, run_dir: str, need: str, digests: Mapping[str, str]
) -> tuple[str, str | None]:
    """Where a need's tree is, which may be in the folder of this run, and the digest of its list:
    None for one that kept nothing, was not run or not even checked.
    """
    met = context.upstream.get(need)
    if met is None:
        return f"{run_dir}/{need}", digests.get(need)
    return f"{context.proofs}/{met.run}/{need}", met.task_sha256
