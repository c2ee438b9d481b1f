"""Sessions of browsers: a token for a cookie, and the end of that."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from zf.server.access.access import Access
from zf.server.access.guard import address_of
from zf.server.access.roles import Who
from zf.server.api.needs import Guarding, Viewer
from zf.server.problems import Refused

router = APIRouter(tags=["session"])

_AGE_S = 7 * 86_400


class Given(BaseModel):
    """A token: that of the address which `zf ui` opened, good once; or a named one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=200)


class Known(BaseModel):
    """Who the caller is, as far as the server knows."""

    name: str
    role: str
    via: str


@router.post("/session", summary="Begin a session: a token for a cookie")
def begin(given: Given, access: Guarding, request: Request, response: Response) -> Known:
    """The cookie is HttpOnly, and goes to this server's own pages alone."""
    session = access.begin(given.token)
    if session is None:
        raise _wrong(access, request)
    response.set_cookie(
        access.policy.cookie,
        access.sessions.open(session),
        max_age=_AGE_S,
        path="/",
        secure=access.policy.secure,
        httponly=True,
        samesite="strict",
    )
    found = Who(session.name, session.role, "session", address_of(request.scope))
    access.note(found, found.address, method="POST", path="/session", status=int(HTTPStatus.OK))
    return Known(name=session.name, role=session.role.word, via="session")


@router.get("/session", summary="Who the caller is")
def who(who: Viewer) -> Known:
    """By its token, its session, or the proxy's word."""
    return Known(name=who.name, role=who.role.word, via=who.via)


@router.delete("/session", status_code=204, summary="End the session")
def end(_who: Viewer, access: Guarding, request: Request, response: Response) -> None:
    """The cookie is good for nothing from now on."""
    access.sessions.close(access.cookie(request.headers))
    response.delete_cookie(access.policy.cookie, path="/", secure=access.policy.secure)


def _wrong(access: Access, request: Request) -> Refused:
    address = address_of(request.scope)
    wait_s = access.wait_s(address)
    status = HTTPStatus.TOO_MANY_REQUESTS if wait_s else HTTPStatus.UNAUTHORIZED
    access.note(None, address, method="POST", path="/session", status=int(status), code="ZF814")
    headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else None
    why = "too many wrong tokens" if wait_s else "the token is not valid, or was used before"
    return Refused(status, why, code="ZF814", headers=headers)
