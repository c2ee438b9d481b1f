"""What keeps runs coming: the queue, schedules and webhooks, and the switches that stop them."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request, Response

from zf.lean.records import Struct
from zf.report.html.state import State
from zf.server.pages.frame import sheet
from zf.server.pages.frame.sheet import who_of
from zf.server.queue import file, routes, told
from zf.server.queue.fold import State as Queue
from zf.server.queue.keeping import Kept

router = APIRouter(include_in_schema=False)

# How each state of an item is told.
STATES = {
    "queued": State("waiting", "waits"),
    "claimed": State("running", "runs"),
    "done": State("success", "done"),
    "expired": State("timeout", "expired"),
    "superseded": State("skipped", "superseded"),
    "cancelled": State("cancelled", "cancelled"),
    "rejected": State("failure", "rejected"),
    "lost": State("lost", "lost"),
}
_MOST = 200


class Alert(Struct, frozen=True):
    """What is said above every page."""

    word: str
    told: str
    href: str
    link: str


def alerts(request: Request) -> list[Alert]:
    """What is switched off, and what stands still."""
    kept = _kept(request)
    off = [_OFF.get(one["switch"], one["switch"]) for one in _switches(request) if one["paused"]]
    found = []
    if off:
        found.append(Alert("off", f"{', '.join(off)}.", "/switches", "Switches"))
    if kept is not None and kept.keeper.failed:
        why = f"The queue stands still: {kept.keeper.failed}."
        found.append(Alert("stopped", why, "/queue", "Queue"))
    return found


def _kept(request: Request) -> Kept | None:
    kept: Kept | None = getattr(request.app.state, "kept", None)
    return kept


def _switches(request: Request) -> list[dict[str, Any]]:
    kept = _kept(request)
    if kept is None:
        return told.switches(_read(request.app.state.project.folder))
    with kept.keeper.locked:
        return told.switches(kept.keeper.state)


def _read(folder: str) -> Queue:
    """The queue that another process keeps, read again when it has changed."""
    with suppress(OSError):
        status = os.stat(f"{folder}/{file.QUEUE_FILE}")
        return _as_of(folder, status.st_mtime_ns, status.st_size)
    return _as_of(folder, 0, 0)


@lru_cache(maxsize=1)
def _as_of(folder: str, _mtime_ns: int, _size: int) -> Queue:
    return file.read(folder)


@router.get("/queue")
def queue(request: Request, state: str = "") -> Response:
    """What waits to be run, what runs, and what became of the rest."""
    shown = routes.list_queue(
        who_of(request), request.app.state.project, _kept(request), state, _MOST
    )
    owner = file.owner(request.app.state.project.folder) if shown["kept"] is None else ""
    return sheet.page(
        request, "queue.html", states=STATES, wanted=state, owner=owner, most=_MOST, **shown
    )


@router.get("/schedules")
def schedules(request: Request) -> Response:
    """What starts runs by itself: schedules, webhooks, and sources of truth."""
    problems = sheet.flows_of(request).problems()
    if problems:
        return sheet.page(request, "problems.html", problems=[p.render() for p in problems])
    asked = who_of(request), request.app.state.project, _kept(request)
    shown: dict[str, Any] = {
        "timed": routes.list_schedules(*asked),
        "hooks": routes.list_webhooks(*asked),
        "sources": routes.list_reconcile(*asked),
    }
    return sheet.page(request, "schedules.html", **shown)


@router.get("/switches")
def switches(request: Request) -> Response:
    """What is paused, and what can be."""
    kept = _kept(request)
    return sheet.page(
        request,
        "switches.html",
        switches=_switches(request),
        loops=told.kept_by(kept.keeper) if kept is not None else None,
        what=_WHAT,
    )


_OFF = {"drain": "new runs: the server drains", "all": "everything"}
_WHAT = {
    "all": "everything that starts runs by itself, and the queue",
    "schedules": "runs that are due by the clock",
    "webhooks": "runs for deliveries: they are taken in, and wait",
    "reaper": "what looks after runs that died",
    "reconcile": "what asks sources of truth",
    "drain": "nothing is started any more; what runs ends by itself",
}
