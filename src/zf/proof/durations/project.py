"""The file in which a project says how long its tasks take, for a checkout without runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zf.errors import Problem, ZfError
from zf.lean.records import replace
from zf.proof.durations.form import Durations, Took, problem_of
from zf.proof.layout import DURATIONS

# Of a number in the file, what a new one must differ by to be written down.
_SAME = 0.1


def of_project(root: str, home: str) -> tuple[Durations | None, Problem | None]:
    """What the file of the project in `home` says; a file that cannot be used is a warning, as no
    more than the start order hangs on it.
    """
    path = f"{home}/{DURATIONS}"
    if not os.path.lexists(path):
        return None, None
    try:
        return Durations.load(path), None
    except OSError as error:
        problem = problem_of(path, error.strerror or str(error))
    except ZfError as error:
        problem = error.problems[0]
    shown = (problem.file or path).removeprefix(f"{root}/")
    return None, replace(problem, file=shown, severity="warning")


def for_project(
    rows: Iterable[Mapping[str, Any]], earlier: Durations, before: Durations | None
) -> tuple[Durations, int]:
    """What a project's file is to say of these tasks, and of how many that is something new.

    What has changed by less than a tenth stays, so that the file changes only when that tells
    something; so does what no run here says.
    """
    kept = Durations()
    for row in rows:
        was = before.of(row) if before else None
        if (is_now := earlier.of(row)) is None:
            if was is not None:
                kept.tasks[row["id"]] = was
        elif was and abs(is_now.expected_s - was.expected_s) <= _SAME * was.expected_s:
            kept.tasks[row["id"]] = was
        else:
            kept.tasks[row["id"]] = Took(is_now.script_sha256, [is_now.expected_s])
    old = before.tasks if before else {}
    names = kept.tasks.keys() | old.keys()
    return kept, sum(kept.tasks.get(name) != old.get(name) for name in names)


def table(
    rows: Iterable[Mapping[str, Any]], earlier: Durations, of_project: Durations | None
) -> Iterator[dict[str, Any]]:
    """For each task, what is expected of it and where that is from: its `runs`, or the `file` of
    the project; nothing where neither says.
    """
    for row in rows:
        own, kept = earlier.of(row), of_project.of(row) if of_project else None
        took = own or kept
        yield {
            "task": row["id"],
            "expected_s": took and took.expected_s,
            "seconds": took.seconds if took else [],
            "from": "runs" if own else "file" if kept else None,
        }
