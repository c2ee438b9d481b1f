"""What is taken away of a run: artifacts, its page, and the archive of its proof."""

from __future__ import annotations

import html
import os
import re
import tempfile
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response

from zf.audit.exporting.export import export
from zf.audit.verify import verify
from zf.proof import layout, read
from zf.report.formats import html as page
from zf.report.formats.recorded import RecordedRun
from zf.run.host.lock import has_runner
from zf.server.api.needs import AllRuns, Project, Viewer
from zf.server.problems import Refused
from zf.server.sending import described, sent

router = APIRouter(tags=["files"])

Range = Annotated[str | None, Header(alias="Range")]
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The page.", "content": {"text/html": {}}}
}
# The page says itself, by their digests, which of its own scripts and styles may run.
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


@router.get(
    "/runs/{run}/tasks/{task}/artifacts/{path:path}",
    summary="A file that a task left",
    response_class=Response,
    responses=described(),
)
def artifact(
    run: str,
    task: str,
    path: str,
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    asked: Range = None,
) -> Response:
    """To be saved, never shown: what tasks leave may be anything."""
    name = runs.find(run)
    found = read.open_file(f"{project.proofs}/{name}", f"{task}/{layout.ARTIFACTS}/{path}")
    return sent(found, path.rpartition("/")[2], asked)


@router.get(
    "/runs/{run}/report.html",
    summary="The run as one page",
    response_class=Response,
    responses=_PAGE,
)
def report(run: str, _who: Viewer, runs: AllRuns, project: Project) -> Response:
    """As `zf report` writes it."""
    name = runs.find(run)
    folder = f"{project.proofs}/{name}"
    alive = has_runner(project.proofs, name)
    found = RecordedRun(folder, alive=alive, verify=lambda: verify(folder).as_json())
    text = b"".join(page.render(found))
    policy = _POLICY.search(text[:20_000].decode("utf-8", "replace"))
    own = html.unescape(policy[1]) if policy else "default-src 'none'"
    headers = {"Content-Security-Policy": f"{own}; frame-ancestors 'none'"}
    return Response(text, headers=headers, media_type="text/html; charset=utf-8")


@router.get(
    "/runs/{run}/export.tar",
    summary="The sealed proof as one archive",
    response_class=Response,
    responses=described("application/x-tar"),
)
def archive(
    run: str, _who: Viewer, runs: AllRuns, project: Project, asked: Range = None
) -> Response:
    """As `zf export` writes it: the same run gives the same bytes. It is verified first."""
    name = runs.find(run)
    folder = f"{project.proofs}/{name}"
    if not os.path.lexists(f"{folder}/{layout.MANIFEST}"):
        raise Refused(HTTPStatus.CONFLICT, f"run {name} is not sealed yet", code="ZF641")
    with tempfile.TemporaryDirectory(dir=project.folder, prefix="export-") as made:
        export(folder, f"{made}/run.tar")
        # Open, it outlasts its name.
        stream = open(f"{made}/run.tar", "rb")  # noqa: SIM115 - closed when it is sent
    return sent(stream, f"{name}.tar", asked, "application/x-tar")
