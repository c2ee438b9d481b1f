"""The page that asks for a token, and the cookie that it is exchanged for. Served to everyone; it
shows nothing of the project.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from zf.server.access.access import Access
from zf.server.access.guard import address_of
from zf.server.access.roles import Who
from zf.server.pages import sheet
from zf.server.problems import Refused

router = APIRouter(include_in_schema=False)


class Entry(BaseModel):
    """What is given for a cookie."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=200)


@router.get("/login")
def login(then: str = "/") -> Response:
    """Where a browser comes in: with the token in the address that `zf ui` prints, or a pasted
    one.
    """
    # Somewhere on this server, and nowhere else.
    inside = then if then.startswith("/") and not then.startswith(("//", "/\\")) else "/"
    template = sheet.environment().get_template("login.html")
    return HTMLResponse(template.render(then=inside))


@router.post("/session")
def come_in(entry: Entry, request: Request, response: Response) -> dict[str, Any]:
    """A cookie for a token; an address that tries many wrong ones has to wait."""
    access: Access = request.app.state.access
    address = address_of(request.scope)
    session = access.begin(entry.token)
    if session is None:
        wait_s = access.wait_s(address)
        status = HTTPStatus.TOO_MANY_REQUESTS if wait_s else HTTPStatus.UNAUTHORIZED
        access.note(None, address, method="POST", path="/session", status=int(status), code="ZF814")
        headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else None
        why = "too many wrong tokens" if wait_s else "the token is not valid, or was used before"
        raise Refused(status, why, code="ZF814", headers=headers)
    policy = access.policy
    response.set_cookie(
        policy.cookie,
        access.sessions.open(session),
        secure=policy.secure,
        httponly=True,
        samesite="strict",
    )
    who = Who(session.name, session.role, "session", address)
    access.note(who, address, method="POST", path="/session", status=int(HTTPStatus.OK))
    return {"who": session.name, "role": session.role.word}


@router.post("/session/end")
def go(request: Request, response: Response) -> dict[str, Any]:
    """The cookie is good for nothing any more."""
    access: Access = request.app.state.access
    access.sessions.close(access.cookie(request.headers))
    response.delete_cookie(access.policy.cookie, httponly=True, samesite="strict")
    return {}
