"""What every page has in common: its frame, how a template is filled, and the files beside it."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from zf import __version__
from zf.errors import printable
from zf.report.html import sheet
from zf.report.words import count, duration, moment, size
from zf.server.access.guard import WHO
from zf.server.access.roles import Role, Who
from zf.server.live.flows import Flows
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries
from zf.server.pages.frame import links

_HERE = "zf.server.pages"
# Files that pages ask for, and where they are: the report's own style is theirs, too.
_STATIC = {
    "page.css": "zf.report.html",
    "comparison.css": "zf.report.html",
    "pictures.css": "zf.report.pictures",
    "server.css": _HERE,
    **dict.fromkeys(
        ("app.js", "live.js", "log.js", "morph.js", "start.js", "verify.js", "login.js"), _HERE
    ),
}
_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def runs_of(request: Request) -> Summaries:
    """The list of runs."""
    runs: Summaries = request.app.state.runs
    return runs


def open_runs(request: Request) -> OpenRuns:
    """Those that are looked at."""
    opened: OpenRuns = request.app.state.open_runs
    return opened


def flows_of(request: Request) -> Flows:
    """The tasks as their files are now."""
    flows: Flows = request.app.state.project.flows
    return flows


def who_of(request: Request) -> Who:
    """The caller of the request: without a token none comes as far as a page."""
    who: Who = request.scope[WHO]
    return who


@cache
def environment() -> Environment:
    """For the templates of this room and those of the report."""
    made = sheet.environment(PackageLoader(_HERE, "templates"))
    made.filters["tojson_text"] = json.dumps
    made.filters["lines"] = _lines
    made.filters["capitalize_first"] = lambda text: f"{text[:1].upper()}{text[1:]}"
    made.globals.update(
        count=count, size=size, duration=duration, moment=moment, links=links, version=__version__
    )
    return made


def compile_all() -> None:
    """Make every page ready to be filled, the ones that are seen first at first."""
    for name in ("overview.html", "runs.html", *environment().list_templates(["html"])):
        environment().get_template(name)


def _lines(text: str) -> Markup:
    """A text of several lines as it may stand in a field."""
    return Markup("\n").join(printable(line) for line in text.split("\n"))


def page(
    request: Request, name: str, *, status: int = HTTPStatus.OK, **context: Any
) -> HTMLResponse:
    """The filled template."""
    return HTMLResponse(filled(request, name, **context), status)


def filled(request: Request, name: str, **context: Any) -> str:
    """The same as text, which may be a part of a page alone."""
    role = getattr(request.scope.get(WHO), "role", None)
    frame = {
        "may": {
            "run": role is not None and role >= Role.OPERATOR,
            "approve": role is not None and role >= Role.APPROVER,
            "admin": role is not None and role >= Role.ADMIN,
        },
        "project": request.app.state.project.name,
        "who": request.scope.get(WHO),
        "path": request.url.path,
        "query": dict(request.query_params),
        "sections": [
            (href, name)
            for href, name, least in request.app.state.sections
            if role is not None and role >= least
        ],
        "alerts": [line for told in request.app.state.alerts for line in told(request)],
    }
    pieces = sheet.pieces(environment().get_template(name), frame | context)
    return b"".join(pieces).decode()


@cache
def static(name: str) -> tuple[bytes, str, str] | None:
    """A file that pages ask for, its type and its tag; None where there is none of the name."""
    room = _STATIC.get(name)
    if room is None:
        return None
    folder = "static/" if room == _HERE else ""
    data = files(room).joinpath(f"{folder}{name}").read_bytes()
    tag = f'"{sha256(data).hexdigest()[:20]}"'
    return data, _KINDS[name.rpartition(".")[2]], tag


def static_answer(request: Request, name: str) -> Response:
    """Not sent again while it is the same."""
    found = static(name)
    if found is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    data, kind, tag = found
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(data, media_type=kind, headers=headers)
