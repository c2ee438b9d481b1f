"""Who did what: runs by their own records, and what else was asked of the server or refused."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request, Response

from zf.lean.records import Struct
from zf.server.access.access import Access
from zf.server.access.roles import Role
from zf.server.api.needs import at_least
from zf.server.live.summaries import Summary
from zf.server.pages.frame import links, sheet
from zf.server.pages.frame.sheet import runs_of

router = APIRouter(include_in_schema=False)

_MOST, _RUNS = 300, 200
_admin = at_least(Role.ADMIN)


class Deed(Struct, frozen=True):
    """Something that was done, or refused: when, by which user, from where, and where to look."""

    at: str
    who: str
    role: str
    via: str
    address: str
    what: str
    told: str
    href: str
    refused: bool


@router.get("/audit")
def audit(request: Request, who: str = "", refused: bool = False) -> Response:
    """The newest first, of all or of one."""
    _admin(request)
    access: Access = request.app.state.access
    lines = map(_asked, islice(access.audit.newest(), 10 * _MOST))
    runs = (_begun(run) for run in runs_of(request).newest(lambda _: True, _RUNS))
    found = [
        deed
        for deed in (*lines, *runs)
        if (not who or deed.who == who) and (not refused or deed.refused)
    ]
    found.sort(key=lambda deed: deed.at, reverse=True)
    return sheet.page(
        request,
        "audit.html",
        deeds=found[:_MOST],
        wanted=who,
        refused=refused,
        names=sorted({deed.who for deed in found if deed.who}),
    )


def _asked(line: Mapping[str, Any]) -> Deed:
    status = line.get("status")
    is_refused = isinstance(status, int) and status >= 400
    path = _text(line.get("path"))
    run = path.removeprefix("/api/v1/runs/").partition("/")[0] if "/runs/" in path else ""
    return Deed(
        at=_text(line.get("at")),
        who=_text(line.get("who")),
        role=_text(line.get("role")),
        via=_text(line.get("via")),
        address=_text(line.get("address")),
        what=f"{_text(line.get('method'))} {path}",
        told=" ".join(filter(None, (f"{status or ''}", _text(line.get("code"))))),
        href=links.run(run) if run and not is_refused else "",
        refused=is_refused,
    )


def _begun(run: Summary) -> Deed:
    what = f"{'again' if run.rerun_of else 'began'} run {run.run}"
    return Deed(
        at=run.started_at,
        who=run.by or run.user,
        role="",
        via=run.via or "command line",
        address="",
        what=what,
        told=run.result,
        href=links.run(run.run),
        refused=False,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
