"""What tells the runner what the steps of an attempt use, where that is limited."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from zf.metrics.budget import Spent
from zf.model import NOTHING
from zf.work.environment import METRICS, channel_files
from zf.work.results.metrics import Meter

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext


def made(context: WorkerContext, task: Task, attempt: int) -> Meter | None:
    """The meter of an attempt; None where no budget limits it."""
    project, orders = context.project, context.orders
    phase = project.phases.get(task.phase) if project.phases else None
    limits = task.budget, project.budget, phase.budget if phase else NOTHING
    if not any(limits):
        return None
    return Meter(
        channel_files(context.written_channel, task.id, attempt)[METRICS],
        chain.from_iterable(limits),
        lambda used: orders.report_spent(Spent(task.id, attempt, used)),
    )
