"""What the project defines, and the plan of a run of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import PlainTextResponse, Response

from zf.lean.records import json_encode
from zf.plan import draw
from zf.report.facts import build
from zf.report.html import sheet
from zf.report.pictures.graph import figure
from zf.server import definitions
from zf.server.api.needs import Project, Viewer
from zf.server.planning import planned
from zf.server.problems import Refused

router = APIRouter(tags=["definitions"])

_SVG = re.compile(r"<svg ([^>]*)>(.*)</svg>", re.DOTALL)

Known = Annotated[str | None, Header(alias="If-None-Match")]
Tags: dict[int | str, dict[str, Any]] = {304: {"description": "As the caller has it."}}


def tagged(make: Callable[[], bytes], tag: str, known: str | None) -> Response:
    """JSON with its tag; nothing but that where the caller has it."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if known is not None and tag in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(make(), headers=headers, media_type="application/json")


_PLAN: dict[int | str, dict[str, Any]] = {
    **Tags,
    200: {
        "description": "The plan.",
        "content": {"application/json": {}, "image/svg+xml": {}, "text/plain": {}},
    },
}


@router.get(
    "/definitions", summary="Phases, inputs and tasks, as the files have them now", responses=Tags
)
def list_definitions(_who: Viewer, project: Project, known: Known = None) -> Response:
    """All of the project, short; its ETag can be sent as If-Match with what starts a run."""
    said = definitions.listed(project.flows.now())
    return tagged(lambda: json_encode(said), definitions.tag(said), known)


@router.get(
    "/definitions/{task}", summary="What a task comes to, and which line says it", responses=Tags
)
def one_definition(task: str, _who: Viewer, project: Project, known: Known = None) -> Response:
    """The resolved form; of a task with a matrix, that of each instance."""
    said = {"id": task, "instances": definitions.resolved(project.flows.now(), task)}
    return tagged(lambda: json_encode(said), definitions.tag(said), known)


@router.get("/plan", summary="The plan of a run, before it is started", responses=_PLAN)
def plan(
    _who: Viewer,
    project: Project,
    phase: Annotated[list[str], Query(description="Its phases; without any, all.")] = [],  # noqa: B006
    task: Annotated[list[str], Query(description="Or its tasks, with what they need.")] = [],  # noqa: B006
    form: Annotated[
        Literal["json", "svg", "mermaid"], Query(alias="format", description="How it is told.")
    ] = "json",
    known: Known = None,
) -> Response:
    """As JSON its ETag is `plan_sha256`, which can be sent as If-Match with what starts it."""
    found = planned(project, phase, task)
    if form == "mermaid":
        return PlainTextResponse(draw.FORMATS["mermaid"][0](found.plan))
    if form == "svg":
        return _drawn(found.as_json)
    said = {**found.as_json, "plan_sha256": found.sha256}
    return tagged(lambda: json_encode(said), found.sha256, known)


def _drawn(plan: Any) -> Response:
    """The picture alone, with the style it has on a run's page."""
    figured, _ = figure(build(plan, []))
    found = _SVG.search(figured)
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "nothing needs anything: there is no graph")
    style = f"<style><![CDATA[{sheet.css()}]]></style>"
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" {found[1]}>{style}{found[2]}</svg>'
    return Response(picture, media_type="image/svg+xml")
