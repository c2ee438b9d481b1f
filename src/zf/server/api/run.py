"""One run, and one task of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from zf.errors import ZfError
from zf.server import told
from zf.server.api.needs import AllRuns, Project, Viewer
from zf.server.starting import Starting

router = APIRouter(tags=["runs"])


@router.get("/runs/{run}", summary="What is known of a run: facts, causes, what to do next")
def one_run(
    run: str, _who: Viewer, runs: AllRuns, project: Project, request: Request
) -> dict[str, Any]:
    """`run` is an id, the beginning of one, or `latest`. One that still gets ready is `starting`;
    one that could not begin says why.
    """
    try:
        return told.run(project.proofs, runs.find(run))
    except ZfError:
        starting: Starting = request.app.state.starting
        if starting.gets_ready(run):
            return {"run": run, "result": "starting", "alive": True, "ended": False}
        if (begun := starting.failed(run)).said:
            code, why = begun.why_not
            return {
                "run": run,
                "result": "not begun",
                "alive": False,
                "ended": True,
                "code": code,
                "detail": why,
            }
        raise


@router.get("/runs/{run}/tasks/{task}", summary="A task of a run: attempts, logs, artifacts")
def one_task(run: str, task: str, _who: Viewer, runs: AllRuns, project: Project) -> dict[str, Any]:
    """What its journal and its tree say of it."""
    return told.task(project.proofs, runs.find(run), task)
