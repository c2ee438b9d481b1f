"""The page that asks for a token. Served to everyone; it shows nothing of the project."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from zf.server.pages.frame import sheet

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
