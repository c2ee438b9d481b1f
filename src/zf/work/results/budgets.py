"""What tells the runner, while an attempt goes on, what it uses of the budgets that limit it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from zf.metrics.budget import Spent
from zf.model import NOTHING
from zf.work.environment import METRICS, channel_files

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext
    from zf.work.results.metrics import Meter


def meter_of(context: WorkerContext, task: Task, attempt: int) -> Meter | None:
    """What tells that of this attempt; None where nothing is limited."""
    project = context.project
    phase = project.phases.get(task.phase) if project.phases else None
    limits = task.budget, project.budget, phase.budget if phase else NOTHING
    if not any(limits):
        return None
    from zf.work.results.metrics import Meter  # noqa: PLC0415 - few tasks have a budget

    orders = context.orders
    return Meter(
        channel_files(context.written_channel, task.id, attempt)[METRICS],
        chain.from_iterable(limits),
        lambda used: orders.report_spent(Spent(task.id, attempt, used)),
    )
