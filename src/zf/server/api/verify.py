"""The check of a run's proof: five verdicts, as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from zf.server.api.needs import AllRuns, Project, Viewer
from zf.server.live.sse import HEARTBEAT_S, MEDIA_TYPE, event
from zf.server.problems import hidden
from zf.server.starting import verifying

router = APIRouter(tags=["runs"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
}


@router.get(
    "/runs/{run}/verify",
    summary="Check the proof of a run: five verdicts",
    response_class=Response,
    responses=_STREAM,
)
async def verify(run: str, _who: Viewer, runs: AllRuns, project: Project) -> Response:
    """As `zf verify RUN`: an event `verdict` for each, with its findings, then `end` with all that
    `zf verify --json` says.
    """
    name = runs.find(run)

    async def told() -> AsyncIterator[bytes]:
        yield event({"run": name}, "begun")
        process = await verifying(project.root, name)
        reading = asyncio.ensure_future(process.communicate())
        try:
            while not (await asyncio.wait({reading}, timeout=HEARTBEAT_S))[0]:
                yield event({}, "heartbeat")
            out, _ = reading.result()
            for piece in _verdicts(hidden(out, project.root)):
                yield piece
        finally:
            reading.cancel()
            with suppress(ProcessLookupError):
                process.kill()

    return StreamingResponse(told(), media_type=MEDIA_TYPE)


def _verdicts(out: bytes) -> list[bytes]:
    try:
        found = json.loads(out)
        verdicts = found["verdicts"]
    except (ValueError, KeyError, TypeError):
        return [event({"detail": "the run cannot be verified"}, "end")]
    told = [
        event(
            {
                "verdict": name,
                **said,
                "findings": [one for one in found["findings"] if one["verdict"] == name],
            },
            "verdict",
        )
        for name, said in verdicts.items()
    ]
    return [*told, event(found, "end")]
