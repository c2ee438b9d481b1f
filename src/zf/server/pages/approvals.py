"""What waits for approval: of which run, what exactly is approved, and the answers so far."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response

from zf.errors import ZfError
from zf.lean.records import Struct
from zf.report.task_facts import TaskFacts
from zf.report.waiting import by_whom
from zf.report.words import duration
from zf.server.live.opened import FollowedRun
from zf.server.pages.frame import sheet
from zf.server.pages.frame.sheet import open_runs, runs_of

router = APIRouter(include_in_schema=False)

# Among so many of the newest runs; a larger subject is told by its digest alone.
_LOOKED_AT, _MOST_CHARS = 200, 20_000


class Waiting(Struct, frozen=True):
    """A task at its gate. `subject` is what is approved, in lines; `sha256` is what stands for
    that in the statement of an approver.
    """

    run: str
    task: str
    title: str
    prompt: str
    by_whom: str
    given: list[tuple[str, str]]
    within: str
    sha256: str
    subject: list[str]
    four_eyes: bool
    alive: bool


def at_gates(run: FollowedRun) -> list[Waiting]:
    """What of a run waits for approval."""
    if run.facts.exit_code is not None or run.sealed:
        return []
    waiting = (_waiting(run, task) for task in run.facts.tasks.values())
    return [one for one in waiting if one is not None]


def _waiting(run: FollowedRun, task: TaskFacts) -> Waiting | None:
    gate = task.unanswered
    if gate is None:
        return None
    asked = gate.asked
    subject = json.dumps(asked.subject, indent=2, ensure_ascii=False, sort_keys=True)
    return Waiting(
        run=run.name,
        task=task.id,
        title=task.title,
        prompt=asked.prompt,
        by_whom=by_whom(gate),
        given=[(one.approver, one.at) for one in gate.given],
        within=duration(asked.timeout_s) if asked.timeout_s is not None else "",
        sha256=asked.sha256,
        subject=subject.split("\n") if len(subject) <= _MOST_CHARS else [],
        four_eyes=asked.four_eyes,
        alive=run.alive,
    )


@router.get("/approvals")
def approvals(request: Request) -> Response:
    """All that wait, of runs that go on or were left to be resumed."""
    return sheet.page(request, "approvals.html", waiting=list(_all(request)))


def _all(request: Request) -> Iterator[Waiting]:
    for summary in runs_of(request).newest(lambda run: not run.over, _LOOKED_AT):
        try:
            with open_runs(request).open(summary.run) as opened:
                yield from at_gates(opened)
        except ZfError:  # it cannot be read: its own page says so
            continue
