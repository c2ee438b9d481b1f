"""Answers at a gate: the verbs approve and reject, by those who have a token."""

from __future__ import annotations

import time
from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from zf.run.gates.decide import Token, Told, decide
from zf.server.access.access import Access
from zf.server.access.roles import Who
from zf.server.api.needs import AllRuns, Approver, Guarding, Project
from zf.server.problems import Refused
from zf.server.project import Served

router = APIRouter(tags=["runs"])


class Comment(BaseModel):
    """What is said with the answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    comment: str = Field(default="", max_length=1000)


class Answered(BaseModel):
    """What came of it: `given` where more approvals are needed, `approved`, `rejected`, or `kept`
    for the runner that resumes the run; the same in words. `again` says that it was decided before.
    """

    run: str
    task: str
    state: str
    text: str
    again: bool


@router.post("/runs/{run}/tasks/{task}/approve", summary="Approve a task that waits for it")
def approve(
    run: str,
    task: str,
    who: Approver,
    runs: AllRuns,
    project: Project,
    access: Guarding,
    said: Comment | None = None,
) -> Answered:
    """As `zf approve RUN TASK`, in the name of the caller's token."""
    return _answered(runs.find(run), task, "approve", who, project, access, said)


@router.post("/runs/{run}/tasks/{task}/reject", summary="Reject a task that waits for approval")
def reject(
    run: str,
    task: str,
    who: Approver,
    runs: AllRuns,
    project: Project,
    access: Guarding,
    said: Comment | None = None,
) -> Answered:
    """As `zf reject RUN TASK`: the task is not run."""
    return _answered(runs.find(run), task, "reject", who, project, access, said)


def _answered(
    run: str,
    task: str,
    decision: str,
    who: Who,
    project: Served,
    access: Access,
    said: Comment | None,
) -> Answered:
    token = access.tokens.named(who.name, time.time())
    if token is None:
        why = "an answer takes a named token, or a key: zf approve, zf reject in a terminal"
        raise Refused(HTTPStatus.FORBIDDEN, why, code="ZF815")
    told: Told = decide(
        f"{project.proofs}/{run}",
        project.root,
        task,
        decision,
        Token(token.name, token.sha256),
        source=who.address,
        comment=said.comment if said else "",
    )
    if told.state == "refused":
        raise Refused(HTTPStatus.FORBIDDEN, told.text, code="ZF815")
    return Answered(run=run, task=told.task, state=told.state, text=told.text, again=told.again)
