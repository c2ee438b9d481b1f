"""Where tasks run: the executors of zf.yaml, and the slots and agents of the runs that go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from zf.errors import ZfError
from zf.run.host.workers import of_run
from zf.server.pages.frame import sheet
from zf.server.pages.frame.sheet import flows_of, open_runs, runs_of

router = APIRouter(include_in_schema=False)


@router.get("/workers")
def workers(request: Request) -> Response:
    """As `zf workers` tells it."""
    flows = flows_of(request)
    executors = {} if flows.problems() else flows.now().project.executors
    return sheet.page(request, "workers.html", executors=executors, runs=list(_living(request)))


def _living(request: Request) -> Iterator[dict[str, Any]]:
    proofs = request.app.state.project.proofs
    for summary in runs_of(request).newest(lambda run: run.result == "running"):
        try:
            with open_runs(request).open(summary.run) as opened:
                yield of_run(proofs, summary.run, opened.facts)
        except ZfError:  # its own page says what is wrong with it
            continue
