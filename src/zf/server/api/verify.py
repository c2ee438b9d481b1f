"""The check of a run's proof: five verdicts, as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from zf.server.api.needs import AllRuns, Project, Viewer
from zf.server.live.sse import HEARTBEAT_S, MEDIA_TYPE, event
from zf.server.problems import hidden
from zf.server.project import Served
from zf.server.starting import verifying

router = APIRouter(tags=["runs"])

_LINES = "application/x-ndjson"

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {MEDIA_TYPE: {}}}
}


@router.get(
    "/runs/{run}/verify",
    summary="Check the proof of a run: five verdicts",
    response_class=Response,
    responses=_STREAM,
)
async def verify(
    run: str, _who: Viewer, runs: AllRuns, project: Project, request: Request
) -> Response:
    """As `zf verify RUN`: an event `verdict` for each, with its findings, then `end` with all that
    `zf verify --json` says. With `Accept: application/x-ndjson` the verdicts are lines of JSON.
    """
    name = runs.find(run)
    as_lines = _LINES in request.headers.get("accept", "")
    told = _lines(project, name) if as_lines else _events(project, name)
    return StreamingResponse(told, media_type=_LINES if as_lines else MEDIA_TYPE)


async def _events(project: Served, run: str) -> AsyncIterator[bytes]:
    yield event({"run": run}, "begun")
    async for found in _found(project, run):
        if found is None:
            yield event({}, "heartbeat")
            continue
        for verdict in _verdicts(found):
            yield event(verdict, "verdict")
        yield event(found, "end")


async def _lines(project: Served, run: str) -> AsyncIterator[bytes]:
    async for found in _found(project, run):
        for line in [{}] if found is None else _verdicts(found) or [found]:
            yield f"{json.dumps(line) if line else ''}\n".encode()


async def _found(project: Served, run: str) -> AsyncIterator[dict[str, Any] | None]:
    """What `zf verify --json` says; None whenever that takes another while."""
    process = await verifying(project.root, run)
    reading = asyncio.ensure_future(process.communicate())
    try:
        while not (await asyncio.wait({reading}, timeout=HEARTBEAT_S))[0]:
            yield None
        try:
            found = json.loads(hidden(reading.result()[0], project.root))
        except ValueError:
            found = {"detail": "the run cannot be verified"}
        yield found
    finally:
        reading.cancel()
        with suppress(ProcessLookupError):
            process.kill()


def _verdicts(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each verdict, with its findings."""
    return [
        {
            "verdict": name,
            **said,
            "findings": [one for one in found["findings"] if one["verdict"] == name],
        }
        for name, said in found.get("verdicts", {}).items()
    ]
