"""All pages, as one router; and what they need of the application."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from zf.server.access.roles import Role
from zf.server.pages import (
    approvals,
    audit,
    compare,
    definitions,
    login,
    logs,
    operations,
    overview,
    run,
    start,
    task,
    workers,
)
from zf.server.pages.frame import sheet

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """A style sheet or a script."""
    return sheet.static_answer(request, name)


def add_pages(app: FastAPI) -> None:
    """Make the pages part of the server."""
    # Pages of its own running, as (address, name, least role); and what is said above every page.
    app.state.sections = [
        ("/approvals", "Approvals", Role.VIEWER),
        ("/queue", "Queue", Role.VIEWER),
        ("/schedules", "Schedules", Role.VIEWER),
        ("/switches", "Switches", Role.VIEWER),
        ("/workers", "Workers", Role.VIEWER),
        ("/audit", "Audit", Role.ADMIN),
    ]
    app.state.alerts = [operations.alerts]
    app.include_router(router)
    for family in (
        login,
        overview,
        run,
        task,
        logs,
        definitions,
        compare,
        start,
        approvals,
        operations,
        workers,
        audit,
    ):
        app.include_router(family.router)
    for kind, handler in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(handler))


def _as_page(handler: Callable[..., Any]) -> Callable[[Request, Exception], Response]:
    """The same refusal, as a page where one was asked for."""

    def told(request: Request, error: Exception) -> Response:
        answer: Response = handler(request, error)
        if request.url.path.startswith("/api/") or not _wants_page(request):
            return answer
        said = json.loads(bytes(answer.body))
        shown = {"title": said["title"], "detail": said["detail"], "code": said.get("code", "")}
        problems = said.get("problems") or [{}]
        shown |= {"hint": problems[0].get("hint") or ""}
        return sheet.page(request, "error.html", status=HTTPStatus(answer.status_code), **shown)

    return told


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
