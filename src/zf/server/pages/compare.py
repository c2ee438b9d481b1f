"""Two runs side by side: what ended otherwise, took longer, and is otherwise in the tasks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, Request, Response

from zf.errors import ZfError
from zf.report.html import comparison
from zf.server.pages.frame import sheet
from zf.server.pages.frame.sheet import open_runs, runs_of

router = APIRouter(include_in_schema=False)

_OFFERED = 100


@router.get("/compare")
def compare(request: Request, before: str = "", now: str = "") -> Response:
    """Which two are to be compared; and if two are named, what differs."""
    runs = runs_of(request)
    names = runs.names()[:_OFFERED]
    shown: dict[str, Any] = {"names": names, "wrong": "", "first": before, "second": now}
    if before and now:
        try:
            one, other = runs.find(before), runs.find(now)
            shown |= _compared(request, one, other) | {"first": one, "second": other}
        except ZfError as error:
            shown["wrong"] = str(error)
    return sheet.page(request, "compare.html", **shown)


def _compared(request: Request, before: str, now: str) -> dict[str, Any]:
    from zf.audit.compare import compare as differ  # noqa: PLC0415 - what judges, when asked

    with ExitStack() as held:
        # In one order for all, or two that compare the same two could wait for each other.
        runs = {
            name: held.enter_context(open_runs(request).open(name))
            for name in sorted({before, now})
        }
        difference = differ(runs[before].folder, runs[now].folder).as_json()
        return comparison.shown(runs[now], comparison.Against(runs[before], difference))
