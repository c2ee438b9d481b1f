"""The page that asks for a token. Served to everyone; it shows nothing of the project."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from zf.server.access.access import Access
from zf.server.pages import sheet

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login(then: str = "/") -> Response:
    """Where a browser comes in: with the token in the address that `zf ui` prints, or a pasted
    one.
    """
    # Somewhere on this server, and nowhere else.
    inside = then if then.startswith("/") and not then.startswith(("//", "/\\")) else "/"
    template = sheet.environment().get_template("login.html")
    return HTMLResponse(template.render(then=inside))


@router.post("/session/end")
def go(request: Request, response: Response) -> dict[str, Any]:
    """The cookie is good for nothing any more."""
    access: Access = request.app.state.access
    access.sessions.close(access.cookie(request.headers))
    response.delete_cookie(access.policy.cookie, httponly=True, samesite="strict")
    return {}
