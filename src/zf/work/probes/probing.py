"""Probe after probe of one attempt: its steps run, what came of that is told to the runner, and the
runner says whether there is to be another, and when.

The log of the last probe is that of the steps, as in any attempt. Those of the first and of the bad
ones stay beside it under names of their own.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from zf.events import Cause, Probe, Probed, Status
from zf.model.repeat import Repeat
from zf.proof import layout
from zf.proof.files import opened, remove
from zf.proof.lines import first_line
from zf.work.environment import OUTPUT, channel_files
from zf.work.probes.until import Asked, Look, is_met

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zf.model import Task
    from zf.plan.conditions.condition import Scalar
    from zf.proof.tree.store import TaskTree
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome
    from zf.work.supervise.supervisor import Terms

# What the commands themselves say; anything else is about the attempt, and ends it.
_ANSWERS = frozenset(
    {Cause.EXIT, Cause.SIGNAL, Cause.STEP_TIMEOUT, Cause.PROBE_TIMEOUT, Cause.SILENCE}
)
_LINE_CHARS = 200
_LINE_BYTES = 4 * _LINE_CHARS


def run(
    context: WorkerContext,
    task: Task,
    outcome: Outcome,
    tree: TaskTree,
    run_steps: Callable[[Terms], None],
    terms: Terms,
    look: Look,
    facts: Mapping[str, Scalar],
    hide: Callable[[str], str],
) -> None:
    """All probes, until the runner, or something that is no probe's answer, ends them. `run_steps`
    runs the steps once; `terms` are those of the task. `until` may ask for variables, which `look`
    tells, and `facts`; what is told of it goes through `hide`.
    """
    asked = Asked(context.written_channel, look, facts, hide)
    orders, repeat = context.orders, Repeat.of(task.repeat)
    for number in count(1):
        began = time.monotonic()
        run_steps(terms.ending(began + repeat.probe_timeout_s, Cause.PROBE_TIMEOUT))
        result = _result(repeat, asked, task, outcome)
        if result is None:
            return
        ms, code = round((time.monotonic() - began) * 1000), outcome.exit_code
        line = _first_line(tree, len(task.steps))
        orders.report_found(Probe(task.id, outcome.attempt, number, code, ms, line, result))
        word = orders.await_word()
        if word is None:
            assert orders.stop is not None
            outcome.begin_anew()
            outcome.take_stop_between_probes(orders.stop)
            return
        if word["after"] == "end":
            if word["ending"]:
                outcome.end_series(Cause(word["ending"]), word["detail"])
            return
        _keep(tree, len(task.steps), number if number == 1 or result is Probed.BAD else None)
        _forget_output(context, task, outcome)
        outcome.begin_anew()


def _result(repeat: Repeat, asked: Asked, task: Task, outcome: Outcome) -> Probed | None:
    """What the probe came to; None where that is no answer."""
    if outcome.status is Status.SUCCESS:
        return Probed.GOOD if is_met(asked, repeat.condition, task, outcome) else Probed.BAD
    if outcome.cause not in _ANSWERS:
        return None
    if outcome.cause is Cause.EXIT and outcome.exit_code in repeat.inconclusive:
        return Probed.INCONCLUSIVE
    return Probed.BAD


def _first_line(tree: TaskTree, steps: int) -> str:
    """The first line that a step printed."""
    for index in range(steps):
        with suppress(OSError):
            start = tree.start_of(layout.step_log(index), _LINE_BYTES)
            if line := first_line(start, _LINE_CHARS):
                return line
    return ""


def _keep(tree: TaskTree, steps: int, number: int | None) -> None:
    """Make room for the next probe; the logs of this one stay under this number, if any."""
    for index in range(steps):
        command = f"step-{index}"
        if number is None:
            tree.drop(layout.log(command))
        else:
            tree.move(layout.log(command), layout.probe_log(number, command))
        tree.drop(layout.script(command))
        tree.drop(layout.command_record(command))


def _forget_output(context: WorkerContext, task: Task, outcome: Outcome) -> None:
    """What a probe hands on is its own: the last one's counts."""
    output = channel_files(context.written_channel, task.id, outcome.attempt)[OUTPUT]
    folder, name = os.path.split(output)
    with suppress(OSError), opened(folder) as channel:
        remove(channel, name)
