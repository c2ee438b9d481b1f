"""The list of runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from zf.server.api.needs import AllRuns, Viewer
from zf.server.runs import Filter, moment

router = APIRouter(tags=["runs"])


class RunRow(BaseModel):
    """What the list shows of a run. `result` is `running` while a zf runs it, else what it came
    to; times are RFC 3339 in UTC.
    """

    run: str
    result: str
    started_at: str | None
    ended_at: str | None
    duration_s: float | None
    exit_code: int | None
    phases: list[str]
    counts: dict[str, int]
    warned: list[str]
    flaky: list[str]
    alive: bool
    sealed: bool
    commit: str | None
    branch: str | None
    dirty: bool | None
    rerun_of: str | None
    by: str | None
    via: str


class RunPage(BaseModel):
    """A page of the list; `next` is the cursor of the one after it, null on the last."""

    runs: list[RunRow]
    next: str | None


@router.get("/runs", summary="The runs, newest first")
def list_runs(
    _who: Viewer,
    runs: AllRuns,
    phase: Annotated[str, Query(description="Only runs of this phase.")] = "",
    result: Annotated[str, Query(description="Only runs that came to this.")] = "",
    branch: Annotated[str, Query(description="Only runs of this branch.")] = "",
    commit: Annotated[str, Query(description="Only runs of commits that begin so.")] = "",
    since: Annotated[str, Query(description="Only runs that began then or later.")] = "",
    text: Annotated[str, Query(description="Only runs whose row has this text.")] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="How many.")] = 50,
    cursor: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> dict[str, Any]:
    """Those that a filter takes, a page at a time."""
    wanted = Filter(phase, result, branch, commit, moment(since) if since else 0.0, text)
    rows, following = runs.page(wanted, limit, cursor)
    return {"runs": rows, "next": following}
