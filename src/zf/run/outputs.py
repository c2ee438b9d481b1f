"""What tasks handed on, read for the conditions that ask for it, each compared with its digest."""

from __future__ import annotations

from zf.events import AttemptEnded
from zf.plan.graph import Met
from zf.proof.tree.contents import checked_outputs
from zf.run.schedule.orders import OutputsRead


def read_ended(run_dir: str, ended: AttemptEnded) -> OutputsRead:
    """The outputs of an attempt of this run that has just ended, or of an earlier one: without any
    where its tree is not what it was, as that of an attempt which was followed by another.
    """
    return _read(f"{run_dir}/{ended.task}", ended.task, ended.task_sha256)


def read_met(proofs: str, task: str, met: Met) -> OutputsRead:
    """The outputs of a need that an earlier run met."""
    return _read(f"{proofs}/{met.run}/{task}", task, met.task_sha256 or "")


def _read(folder: str, task: str, task_sha256: str) -> OutputsRead:
    try:
        return OutputsRead(task, checked_outputs(folder, task_sha256))
    except (OSError, ValueError):
        # What was changed there is found when the run is verified; a condition has no answer.
        return OutputsRead(task, {})
