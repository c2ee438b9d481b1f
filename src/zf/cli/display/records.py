"""What the record of a run that is over says beside its journal: of failures, for people; of every
task, for programs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.proof.layout import STATUS, step_log

if TYPE_CHECKING:
    from collections.abc import Collection

    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts
    from zf.run.sealing import Launched

RESULT_SCHEMA = "zf/result/v1"


def tails_of(facts: Facts, run_dir: str) -> dict[str, list[str]]:
    """The ends of the logs of what failed, long enough to find the reason in them."""
    if not facts.failed:
        return {}
    from zf.proof.read import log_tail
    from zf.report.excerpt import LOOK_LINES

    return {
        task.id: log_tail(run_dir, task.id, facts.step_number(task), lines=LOOK_LINES)
        for task in facts.failed
    }


# A run of more tasks than this is looked through for remarks only where something went wrong:
# reading what 20 000 tasks recorded would take a second.
_MOST_READ = 500


def remarks_of(
    facts: Facts, run_dir: str, odd: Collection[str] | None = None
) -> dict[str, list[str]]:
    """What only the tasks' own records say: what was refused, left running, ... Where it is known
    which tasks may be `odd`, no others are read.
    """
    tasks = [*facts.tasks.values()]
    if len(tasks) > _MOST_READ:
        tasks = [*facts.failed, *facts.warned]
    elif odd is not None:
        tasks = [facts.tasks[name] for name in odd]
    found = {task.id: remarks_of_task(task, run_dir) for task in tasks}
    return {name: lines for name, lines in found.items() if lines}


def remarks_of_task(task: TaskFacts, run_dir: str) -> list[str]:
    """The same of one task, if it ran."""
    if task.attempt and task.status is not None and not _is_plain(run_dir, task.id):
        from zf.proof.read import status_json
        from zf.report.remarks import remarks

        with suppress(ZfError):
            return remarks(status_json(run_dir, task.id))
    return []


def outputs_of(facts: Facts, run_dir: str) -> dict[str, dict[str, str]]:
    """What tasks handed on, for those that did."""
    return {
        task.id: values
        for task in facts.tasks.values()
        if task.outputs_sha256 and (values := outputs_of_task(task, run_dir))
    }


def outputs_of_task(task: TaskFacts, run_dir: str) -> dict[str, str]:
    """The same of one task."""
    if task.outputs_sha256:
        from zf.proof.read import outputs

        with suppress(ZfError):
            return outputs(run_dir, task.id)
    return {}


# How status.json says that there is nothing of a kind.
_NOTHING = [f'\n  "{key}": []'.encode() for key in ("survivors", "refused", "unmatched", "notes")]
_STATUS_BYTES = 16 * 1024


def _is_plain(run_dir: str, task: str) -> bool:
    """Whether there is nothing to remark on: so it is with nearly all tasks, and one look tells."""
    try:
        fd = os.open(f"{run_dir}/{task}/{STATUS}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        told = os.read(fd, _STATUS_BYTES)
    except OSError:
        return False
    finally:
        os.close(fd)
    return all(nothing in told for nothing in _NOTHING)


def result_json(done: Launched, signed_by: str | None) -> dict[str, object]:
    """What `--json` prints of a finished run."""
    from zf.report.runs import as_json, row

    facts = done.facts
    return {
        "schema": RESULT_SCHEMA,
        **as_json([row(facts)])[0],
        "exit_code": done.exit_code,
        "proof": done.run_dir,
        "head": done.head,
        "signed_by": signed_by,
        "tampered": list(facts.tampered),
        # Before a signature all are.
        "trees_compared": done.compared[signed_by is not None],
        "trees": done.compared[1],
        "tasks": {task.id: _task_json(facts, task, done.run_dir) for task in facts.tasks.values()},
    }


def _task_json(facts: Facts, task: TaskFacts, run_dir: str) -> dict[str, Any]:
    """What a task came to, and where that is recorded."""
    tree = f"{run_dir}/{task.id}"
    # Of a success that of the last step which ran: what it came to stands at the end.
    numbers = range(facts.first_step + max(0, len(task.steps) - 1), facts.first_step - 1, -1)
    if task.step is not None:
        numbers = range(facts.step_number(task), facts.step_number(task) + 1)
    logs = (f"{tree}/{step_log(number)}" for number in numbers) if task.attempt else ()
    return {
        "status": task.word,
        "cause": task.cause.value or None,
        "duration_s": task.duration_s,
        "attempt": task.attempt,
        "log": next(filter(os.path.lexists, logs), None),
        "proof": tree if task.status is not None else None,
        **({"outputs": outputs_of_task(task, run_dir)} if task.outputs_sha256 else {}),
        **({"cached_from": task.cached_from} if task.cached_from else {}),
    }
