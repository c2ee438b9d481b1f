"""What happens in a run, while it happens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from zf.errors import ZfError
from zf.server.api.needs import DIGITS, AllRuns, Project, Viewer
from zf.server.live.sse import MEDIA_TYPE, Hide, RunEvents
from zf.server.problems import hidden
from zf.server.project import Served

router = APIRouter(tags=["runs"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {MEDIA_TYPE: {}}}
}


@router.get(
    "/runs/{run}/events",
    summary="Every event of a run, from the first on, then as they come, then end",
    response_class=Response,
    responses=_STREAM,
)
async def events(
    run: str,
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    request: Request,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    after: Annotated[
        int | None, Query(description="The same, for what sets no header."), DIGITS
    ] = None,
) -> Response:
    """Server-sent events: `id` is the number of a line of the journal, `data` the line. What comes
    back with `Last-Event-ID` gets the rest. `event: end` is the last one; `event: heartbeat`
    comes every 15 s in which nothing else does.
    """
    name = runs.find(run)
    first = (after + 1) if after is not None else 0
    if last is not None:
        first = _number(last) + 1
    return RunEvents(request.app.state.tails, {name: max(0, first)}, _hide(project), many=False)


@router.get(
    "/events",
    summary="Every event of several runs, as one stream",
    response_class=Response,
    responses=_STREAM,
)
async def many_events(
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    request: Request,
    run: Annotated[
        list[str], Query(min_length=1, max_length=50, description="Which runs; again for more.")
    ],
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """As the stream of one; `id` is `A=12,B=3`, the last number of each run, and every line says
    which run it is of. An `end` comes for each.
    """
    firsts = {runs.find(each): 0 for each in run}
    for place in filter(None, (last or "").split(",")):
        name, _, number = place.rpartition("=")
        if name in firsts:
            firsts[name] = _number(number) + 1
    return RunEvents(request.app.state.tails, firsts, _hide(project), many=True)


def _hide(project: Served) -> Hide:
    return lambda data: hidden(data, project.root)


def _number(text: str) -> int:
    if text in {"", "-1"}:
        return -1
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise ZfError("Last-Event-ID is the number of an event", code="ZF808")
    return int(text)
