"""The list of runs, one of them, and a task of one."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from zf import __version__
from zf.errors import ZfError
from zf.events import timestamp
from zf.lean.records import json_encode
from zf.model import is_valid_id
from zf.proof.layout import MANIFEST
from zf.report.facts import Result
from zf.server import told
from zf.server.api.definitions import Known, Tags, tagged
from zf.server.api.needs import DIGITS, AllRuns, Followed, Starts, Viewer
from zf.server.live.opened import FollowedRun
from zf.server.live.summaries import Summary, Wanted

router = APIRouter(tags=["runs"])

_SINCE = r"^(\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?)?$"
_CURSOR = r"^([0-9]{1,20}\.[A-Za-z0-9._-]{1,128})?$"


# What a run came to, by the list; empty asks for every one.
AnyResult = Literal["", "running", "unreadable", Result]


class RunRow(BaseModel):
    """What the list shows of a run. `result` is `running` while a zf runs it, else what it came
    to; times are RFC 3339 in UTC. `via` is how it was started, where that was not by hand.
    """

    run: str
    result: str
    started_at: str | None
    ended_at: str | None
    duration_s: float | None
    exit_code: int | None
    phases: list[str]
    tasks: int
    counts: dict[str, int]
    warned: int
    flaky: int
    causes: list[tuple[str, str]]
    more_causes: int
    sealed: bool
    commit: str | None
    branch: str | None
    dirty: bool | None
    rerun_of: str | None
    inputs: dict[str, str]
    user: str | None
    by: str | None
    via: str | None
    told: str | None

    @classmethod
    def of(cls, row: Summary, proofs: str) -> Self:
        """The row of a summary."""
        same = {name: getattr(row, name) for name in Summary.__struct_fields__ if name in _SAME}
        named = {name: getattr(row, name) or None for name in _OR_NULL}
        sealed = os.path.lexists(f"{proofs}/{row.run}/{MANIFEST}")
        return cls.model_validate({**same, **named, "warned": row.tolerated, "sealed": sealed})


_OR_NULL = ("started_at", "ended_at", "commit", "branch", "rerun_of", "user", "by", "via", "told")
_SAME = RunRow.model_fields.keys() - {*_OR_NULL, "warned", "sealed"}


class RunPage(BaseModel):
    """A page of the list; `next` is the cursor of the one after it, null on the last."""

    runs: list[RunRow]
    next: str | None


@router.get("/runs", summary="The runs, newest first")
def list_runs(
    _who: Viewer,
    runs: AllRuns,
    phase: Annotated[str, Query(description="Only runs of this phase.")] = "",
    result: Annotated[AnyResult, Query(description="Only runs that came to this.")] = "",
    branch: Annotated[str, Query(description="Only runs of this branch.")] = "",
    commit: Annotated[str, Query(description="Only runs of commits that begin so.")] = "",
    since: Annotated[
        str,
        Query(
            pattern=_SINCE, description="Only runs that began then or later: a day, or a moment."
        ),
    ] = "",
    text: Annotated[str, Query(description="Only runs whose row has all these words.")] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="How many."), DIGITS] = 50,
    cursor: Annotated[str, Query(pattern=_CURSOR, description="`next` of the page before.")] = "",
) -> RunPage:
    """Those that a filter takes, a page at a time."""
    wanted = Wanted(phase, result, branch, commit.lower(), _moment(since), text)
    found = runs.listed(wanted, cursor, limit)
    rows = [RunRow.of(row, runs.proofs) for row in found.rows]
    return RunPage(runs=rows, next=found.next or None)


def _moment(text: str) -> str:
    """A moment as journals write it, in UTC; a day that no month has is as good as any text."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return timestamp(moment.timestamp())
    except (ValueError, OverflowError):
        return text


@router.get(
    "/runs/{run}",
    summary="What is known of a run: facts, causes, what to do next",
    response_model=dict[str, Any],
    responses=Tags,
)
def one_run(
    run: str,
    _who: Viewer,
    runs: AllRuns,
    followed: Followed,
    starting: Starts,
    tasks: Annotated[
        Literal["true", "false"], Query(description="Whether with the list of its tasks.")
    ] = "true",
    known: Known = None,
) -> Response:
    """`run` is an id, the beginning of one, or `latest`. One that still gets ready is `starting`;
    one that could not begin says why. One that is over has an ETag.
    """
    try:
        with followed.open(runs.find(run)) as opened:
            return _answer(opened, known, tasks=tasks == "true")
    except ZfError:
        if not is_valid_id(run):
            raise
        if starting.gets_ready(run):
            found = {"run": run, "result": "starting", "alive": True, "ended": False}
        elif (begun := starting.failed(run)).said:
            code, why = begun.why_not
            found = {
                "run": run,
                "result": "not begun",
                "alive": False,
                "ended": True,
                "code": code,
                "detail": why,
            }
        else:
            raise
    return JSONResponse(found)


def _answer(run: FollowedRun, known: str | None, *, tasks: bool) -> Response:
    """Encoded here: it is plain already, and that FastAPI looks through it takes long for a run of
    20 000 tasks.
    """
    if not run.is_over:
        return Response(json_encode(told.run(run, tasks=tasks)), media_type="application/json")
    part = "whole" if tasks else "short"
    # Another zf may tell it otherwise.
    tag = f"{run.head}-{part}-{__version__}"
    made = partial(run.once, f"told {part}", lambda: json_encode(told.run(run, tasks=tasks)))
    return tagged(made, tag, known)


@router.get("/runs/{run}/tasks/{task}", summary="A task of a run: attempts, logs, artifacts")
def one_task(
    run: str, task: str, _who: Viewer, runs: AllRuns, followed: Followed
) -> dict[str, Any]:
    """What its journal and its tree say of it."""
    with followed.open(runs.find(run)) as opened:
        return told.task(opened, task)
