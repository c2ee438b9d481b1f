"""What of the proofs the steps of an attempt reach behind a wall: their own artifacts and what they
tell zf, for writing; what their needs kept, for reading.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from zf.lean.records import Struct
from zf.proof.layout import ARTIFACTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zf.model import Task
    from zf.work.context import WorkerContext


class Reach(Struct, frozen=True):
    """Paths to which no link leads: or a link behind the wall would lead out of it. `shown` has
    where each thing really is by where it is found.
    """

    written: Sequence[str]
    shown: Mapping[str, str]


def reach(context: WorkerContext, task: Task, artifacts: str) -> Reach:
    """`artifacts` is the task's `$ARTIFACTS_DIR`."""
    real = os.path.realpath
    aside = folder_of_run(context.aside)
    written = [_real(own(context, task, artifacts))]
    channel = f"{aside}/{os.path.basename(context.channel)}"
    if not os.path.islink(channel):  # as another task could make it
        written.append(channel)
    shown = {}
    if task.needs:
        needs = real(f"{aside}/{context.needs_of(task.id)}")
        names = os.listdir(needs) if os.path.isdir(needs) else ()
        shown = {f"{needs}/{name}": real(f"{needs}/{name}") for name in names}
    return Reach([path for path in written if os.path.isdir(path)], shown)


def _real(path: str) -> str:
    """Where a folder of an attempt really is. It and the one it is in may have been exchanged by a
    task; those are in a folder of the run.
    """
    above, folder, name = path.rsplit("/", 2)
    if os.path.islink(path) or os.path.islink(f"{above}/{folder}"):
        return os.path.realpath(path)
    return f"{folder_of_run(above)}/{folder}/{name}"


@lru_cache(maxsize=4)
def folder_of_run(path: str) -> str:
    """Where a folder that stands as long as its run does really is: `realpath` takes 0.05 ms, and
    every task behind a wall asks.
    """
    return os.path.realpath(path)


def own(context: WorkerContext, task: Task, artifacts: str) -> str:
    """The folder of the artifacts; under the shield the scratch folder, in which a step can remove
    that and make it anew.
    """
    is_scratch = context.shield is not None and artifacts == (
        f"{context.run_dir}/{task.id}/{ARTIFACTS}"
    )
    return os.path.dirname(artifacts) if is_scratch else artifacts
