"""Approvals: what waits for one, and the answers of those who may give them."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from zf.audit.gates.statement import APPROVE, MAX_COMMENT_CHARS
from zf.errors import ZfError
from zf.lean.records import asdict
from zf.report.task_facts import named
from zf.run.gates.decide import Token, decide
from zf.server.access.access import Access
from zf.server.access.roles import Who
from zf.server.api.needs import AllRuns, Approver, Followed, Guarding, Project, Viewer
from zf.server.live.opened import OpenRuns
from zf.server.problems import Refused
from zf.server.project import Served

router = APIRouter(tags=["approvals"])

# Among so many of the newest runs.
_LOOKED_AT = 200


class Comment(BaseModel):
    """Why, for the record; it is signed with the answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    comment: str = Field(default="", max_length=MAX_COMMENT_CHARS)


class Decided(BaseModel):
    """What came of it: `approved`, `rejected`, `given` where more are needed, or `kept` for when
    the run goes on; of a matrix, of each instance, which may also be `refused`.
    """

    run: str
    state: str
    text: str
    tasks: dict[str, str]


@router.get("/approvals", summary="What waits for approval, with the digest that is approved")
def waiting(_who: Viewer, runs: AllRuns, followed: Followed) -> dict[str, Any]:
    """Tasks of runs that are not over, and what each answer stands for."""
    found: list[dict[str, Any]] = []
    for row in runs.newest(lambda row: not row.over, _LOOKED_AT):
        with suppress(ZfError), followed.open(row.run) as opened:
            gates = (task.unanswered for task in opened.facts.tasks.values())
            found += ({"run": row.run, **asdict(gate.asked)} for gate in gates if gate)
    return {"approvals": found}


@router.post("/runs/{run}/tasks/{task}/approve", summary="Approve a task that waits for it")
def approve(
    run: str,
    task: str,
    who: Approver,
    access: Guarding,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    body: Comment | None = None,
) -> Decided:
    """As `zf approve RUN TASK`, by the caller's token."""
    return _decided(
        project, followed, runs.find(run), task, APPROVE, _token(access, who), who, body
    )


@router.post("/runs/{run}/tasks/{task}/reject", summary="Say no to a task that waits for approval")
def reject(
    run: str,
    task: str,
    who: Approver,
    access: Guarding,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    body: Comment | None = None,
) -> Decided:
    """As `zf reject RUN TASK`, by the caller's token."""
    return _decided(
        project, followed, runs.find(run), task, "reject", _token(access, who), who, body
    )


def _decided(
    project: Served,
    followed: OpenRuns,
    run: str,
    task: str,
    decision: str,
    token: Token,
    who: Who,
    body: Comment | None,
) -> Decided:
    run_dir = f"{project.proofs}/{run}"
    with followed.open(run) as opened:
        names = named(opened.facts, task)
        tasks = opened.facts.tasks
        waits = [name for name in names if tasks[name].unanswered is not None] or names[:1]
    comment = body.comment if body else ""
    told = [
        decide(run_dir, project.root, name, decision, token, source=who.address, comment=comment)
        for name in waits
    ]
    if all(one.state == "refused" for one in told):
        raise Refused(HTTPStatus.FORBIDDEN, told[0].text, code="ZF815")
    return Decided(
        run=run,
        state=told[0].state,
        text="; ".join(one.text for one in told),
        tasks={one.task: one.state for one in told},
    )


def _token(access: Access, who: Who) -> Token:
    """That of the caller, which vouches for the answer. Raises Refused (403) for what has none: the
    user of `zf ui` has a key, and `zf approve`.
    """
    digest = access.digest_of(who)
    if digest is None:
        why = "an answer is vouched for by a token or a key: zf approve at the command line"
        raise Refused(HTTPStatus.FORBIDDEN, why, code="ZF815")
    return Token(who.name, digest)
