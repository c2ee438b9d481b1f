"""What zf itself says in a tree: task.json, status.json, and the tree of a task that is not run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

from zf.errors import printable
from zf.events import AttemptEnded, Status, TaskNotRun
from zf.lean.records import Struct
from zf.model import Task, recorded
from zf.proof.layout import NOT_RUN_FOLDERS, TASK, approval, signature
from zf.proof.lines import framed, key_lines
from zf.proof.tree.store import TaskTree


class Place(Struct, frozen=True):
    """Where a run's tasks run: which run, on whose account, and the project's root there."""

    run: str
    hostname: str
    user: str
    root: str

    def workdir(self, task: Task) -> str:
        """The folder in which the task's steps start."""
        if task.workdir == ".":
            return self.root
        return os.path.normpath(f"{self.root}/{task.workdir}")


def keep_answers(tree: TaskTree, answers: Iterable[Sequence[str]]) -> None:
    """Write what was answered when the attempt was to be approved: each statement, as it came, with
    its signature, if it has one.
    """
    for number, (statement, signed) in enumerate(answers, 1):
        path = approval(number)
        tree.write(path, statement.encode("utf-8", "surrogatepass"))
        if signed:
            tree.write(signature(path), signed.encode("utf-8", "surrogatepass"))


def write_not_run(
    run_dir: str,
    place: Place,
    task: Task,
    event: TaskNotRun,
    answers: Iterable[Sequence[str]] = (),
) -> str:
    """The whole tree of a task that was never attempted, with what was `answered` when it was to be
    approved; returns the SHA-256 of its task.sha256.
    """
    tree = TaskTree.create(run_dir, task.id, folders=NOT_RUN_FOLDERS)
    try:
        keep_answers(tree, answers)
        tree.write(TASK, task_json(place, event.at, place.workdir(task), task_lines(task)))
        ended = AttemptEnded(
            task=task.id,
            attempt=0,
            status=event.status,
            exit_code=None,
            signal=None,
            cause=event.cause,
            detail=event.detail,
            step=None,
            started_at=event.at,
            completed_at=event.at,
            duration_s=0.0,
            task_sha256="",
            warned=task.tolerates(event.status, None),
        )
        return tree.write_status(status_fields(place.run, task, ended, event.needs))
    finally:
        tree.close()


def status_fields(
    run: str,
    task: Task,
    ended: AttemptEnded,
    needs: Mapping[str, Status] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What status.json says, in the order it says it: what the last event of the attempt says (all
    of it but the digest, which is taken of this), and `more` of an attempt: measures, containment,
    survivors, artifacts, refused, ...
    """
    return {
        "schema": "zf/status/v2",
        "task_id": task.id,
        "run_id": run,
        "phase": task.phase,
        "title": task.title or task.id,
        "status": ended.status,
        "conclusion": "warned" if ended.warned else ended.status,
        # Also when attempts were lost with the runner: nothing that went wrong is hidden.
        "flaky": ended.status == Status.SUCCESS and ended.attempt > 1,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        **dict(zip(_SAID_TWICE, _said_twice(ended), strict=True)),
        "timeout_sec": task.timeout_s,
        "needs": needs or {},
        **more,
    }


_NOT_SAID_TWICE = {
    *("task", "status", "warned", "task_sha256"),
    # Said where there are any.
    *("measures", "tests", "metrics", "outputs_sha256", "cached_from"),
}
_SAID_TWICE = [name for name in AttemptEnded.__struct_fields__ if name not in _NOT_SAID_TWICE]
_said_twice = attrgetter(*_SAID_TWICE)


def env_sh(
    values: Mapping[str, str],
    recorded: Iterable[str],
    hidden: Iterable[str],
    shown: Callable[[str], str] | None = None,
) -> bytes:
    """What 00-meta/env.sh says: sourced, it sets every recorded variable to its exact bytes, or to
    what may be shown of them. Of the hidden ones it has the names.
    """
    names = sorted(recorded)
    told = map(values.__getitem__, names)
    if shown is not None:
        told = map(shown, told)
    quoted = map(str.replace, told, repeat("'"), repeat("'\\''"))
    exports = "'\nexport ".join(map("='".join, zip(names, quoted, strict=True)))
    passed = "".join([f"# passed, value not recorded: {printable(name)}\n" for name in hidden])
    return f"{_ENV_HEAD}export {exports}'\n{passed}".encode("utf-8", "surrogateescape")


_ENV_HEAD = "# The environment of every step; STEP_INDEX is the step's number, from 0.\n"


def task_json(place: Place, started_at: str, pwd: str, lines: str) -> bytes:
    """What 00-meta/task.json says: where and when the task began, and its `task_lines`."""
    return framed(
        key_lines(
            {
                "schema": "zf/task/v2",
                "run_id": place.run,
                "started_at": started_at,
                "hostname": place.hostname,
                "user": place.user,
                "pwd": pwd,
            }
        ),
        lines,
    )


def task_lines(task: Task) -> str:
    """The task as it was loaded, as lines of task.json."""
    return key_lines(recorded(task))
