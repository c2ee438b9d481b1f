"""Whether the server is up and ready: all that a caller without a token is told."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from zf import __version__

router = APIRouter(tags=["server"])


@router.get("/health", summary="Whether the server answers")
def health() -> dict[str, Any]:
    """That it answers at all."""
    return {"status": "ok", "version": __version__}


@router.get("/ready", summary="Whether it takes work: 503 until everything is reconciled")
def ready(request: Request) -> JSONResponse:
    """Whether all that has to be done before it takes work is done."""
    missing = [name for name, is_done in request.app.state.ready.items() if not is_done()]
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    return JSONResponse({"ready": not missing, "waits_for": missing}, status)
