"""The channel: a worker's folder in which steps tell zf something, each kind in a file of its own.

It lies beside the run and is no part of its proof. Steps can write to it, so that anything may lie
in the place of a file; what is kept of one is read here, after the steps, and bounded.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.events import Cause
from zf.proof import layout
from zf.proof.files import READ, opened, own_folder, remove
from zf.proof.lines import object_lines
from zf.work.environment import METRICS, OUTPUT, UNTOUCHED_NS, channel_files, facts_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.model import Task
    from zf.proof.tree.store import TaskTree
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome


def take_told(
    context: WorkerContext,
    task: Task,
    tree: TaskTree,
    outcome: Outcome,
    hide: Callable[[str], str],
) -> None:
    """Take what the steps of an attempt told into its tree, and tell the outcome. OSError where
    that cannot be written.
    """
    context.told = True
    files = channel_files(context.written_channel, task.id, outcome.attempt)
    if os.path.lexists(files[METRICS]):
        from zf.work.results.metrics import read_measured  # noqa: PLC0415 - few tasks have any

        outcome.measured = measured = read_measured(files[METRICS], hide)
        if measured.text:
            tree.write(layout.METRICS, measured.text)
        problem = measured.problem if task.metrics_strict else ""
        outcome.take_told(measured.notes, Cause.METRICS, problem)
    if task.outputs or os.path.lexists(files[OUTPUT]):
        from zf.work.results.outputs import read_handed  # noqa: PLC0415 - few tasks have any

        secret_names = (*context.project.secrets, *task.secrets)
        handed = read_handed(files[OUTPUT], task.outputs, hide, secret_names)
        if handed.values:
            outcome.outputs_sha256 = tree.write(layout.OUTPUTS, object_lines(handed.values))
        outcome.take_told(handed.notes, Cause.OUTPUTS, handed.problem)


def tell(context: WorkerContext, task: str, attempt: int, text: str) -> None:
    """Put what a handler is told where its steps can read it; OSError."""
    mend(context.written_channel)
    path = facts_file(context.written_channel, task, attempt)
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)


def mend(path: str) -> None:
    """Make the folder one that steps can write to, whatever became of it; OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.chmod(path, stat.S_IRWXU)
    os.close(own_folder(path))


def clear(path: str) -> None:
    """Remove all that steps left in the folder, so that nothing is taken for what a later attempt
    told.
    """
    with suppress(OSError):
        mend(path)
        with opened(path) as folder:
            for name in os.listdir(folder):
                remove(folder, name)
        os.utime(path, ns=UNTOUCHED_NS)


def contents(path: str, most: int) -> bytes:
    """As much of a file as is read, and one byte more where there is more; FileNotFoundError where
    nothing was told, another OSError for what is no file.
    """
    fd = os.open(path, READ)
    with os.fdopen(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return stream.read(most + 1)
