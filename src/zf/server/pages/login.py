"""The page that asks for a token. Served to everyone; it shows nothing of the project."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from zf.errors import printable
from zf.server.pages.frame import sheet

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login(then: str = "/") -> Response:
    """Where a browser comes in: with the token in the address that `zf ui` prints, or a pasted
    one.
    """
    # Somewhere on this server, and nowhere else.
    inside = then if is_inside(then) else "/"
    template = sheet.environment().get_template("login.html")
    return HTMLResponse(template.render(then=inside))


def is_inside(place: str) -> bool:
    """Whether an address leads to a page of this server. To browsers a backslash is a slash, and a
    control character is nothing, so that each could make the name of another server out of a path.
    """
    is_path = place.startswith("/") and not place.startswith("//")
    return is_path and "\\" not in place and printable(place) == place
