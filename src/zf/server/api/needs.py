"""What a route says of itself: which role it takes, and what of the server it is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BeforeValidator

from zf.server.access.access import Access
from zf.server.access.guard import WHO
from zf.server.access.roles import Role, Who
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries
from zf.server.problems import Refused
from zf.server.project import Served
from zf.server.starting import Starting


def at_least(role: Role) -> Callable[[Request], Who]:
    """A dependency of routes that only those with this role may use; gives who asks."""

    def check(request: Request) -> Who:
        who: Who | None = request.scope.get(WHO)
        if who is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "a token is needed", code="ZF814")
        if who.role < role:
            why = f"this takes the role {role.word}; the token {who.name} is {who.role.word}"
            raise Refused(HTTPStatus.FORBIDDEN, why, code="ZF815")
        return who

    check.role = role  # type: ignore[attr-defined] # for the test which looks at every route
    return check


Viewer = Annotated[Who, Depends(at_least(Role.VIEWER))]
Operator = Annotated[Who, Depends(at_least(Role.OPERATOR))]
Approver = Annotated[Who, Depends(at_least(Role.APPROVER))]
Admin = Annotated[Who, Depends(at_least(Role.ADMIN))]


def _digits(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value) is None:
        raise ValueError("it is no whole number")
    return value


# As the description has it: `+1.0` would be taken for one, too.
DIGITS = BeforeValidator(_digits)


def _served(request: Request) -> Served:
    project: Served = request.app.state.project
    return project


def _runs(request: Request) -> Summaries:
    runs: Summaries = request.app.state.runs
    return runs


def _open_runs(request: Request) -> OpenRuns:
    opened: OpenRuns = request.app.state.open_runs
    return opened


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def _starting(request: Request) -> Starting:
    starting: Starting = request.app.state.starting
    return starting


Project = Annotated[Served, Depends(_served)]
AllRuns = Annotated[Summaries, Depends(_runs)]
Followed = Annotated[OpenRuns, Depends(_open_runs)]
Guarding = Annotated[Access, Depends(_access)]
Starts = Annotated[Starting, Depends(_starting)]
