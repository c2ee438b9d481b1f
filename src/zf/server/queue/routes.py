"""Routes of the queue, of what fills it, and of its switches."""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from zf.events import timestamp
from zf.server.access.guard import address_of
from zf.server.access.roles import Who
from zf.server.api.needs import DIGITS, Admin, Operator, Project, Viewer
from zf.server.problems import Refused, answer
from zf.server.queue import file, inbox, told
from zf.server.queue.asked import item_of
from zf.server.queue.fold import State
from zf.server.queue.items import API, Source
from zf.server.queue.keeping import Kept
from zf.server.triggers import declared, schedules
from zf.server.triggers.deliveries import RefusedError

router = APIRouter(tags=["queue"])
hooks = APIRouter(tags=["webhooks"])
_NEXT = 5


class StartWhen(BaseModel):
    """What must be so of the machine before the item starts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    load_below: float | None = Field(default=None, gt=0)
    idle_sec: float | None = Field(default=None, gt=0)
    on_ac_power: bool | None = None


class Enqueue(BaseModel):
    """An item, as docs/reference/queue.md has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    phases: list[str] = Field(default=[], max_length=100)
    tasks: list[str] = Field(default=[], max_length=1000)
    inputs: dict[str, str | bool | int | float] = Field(default={}, max_length=200)
    priority: int = 0
    ttl_sec: float | None = Field(default=None, gt=0)
    deadline_sec: float | None = Field(default=None, gt=0)
    group: str = Field(default="", max_length=200)
    limit: int = Field(default=1, ge=1)
    key: str = Field(default="", max_length=200)
    scope: Literal["while_queued", "while_active", "for_sec"] = "while_active"
    for_sec: float | None = Field(default=None, gt=0)
    on_newer: Literal["queue", "replace_queued", "cancel_running"] = "queue"
    start_when: StartWhen | None = None

    def said(self) -> dict[str, Any]:
        """The item as it is asked for."""
        found = self.model_dump(exclude_unset=True, exclude_none=True)
        if self.inputs:
            found["inputs"] = {name: _text(value) for name, value in self.inputs.items()}
        return found


class Switch(BaseModel):
    """A switch, and whether what it is for is paused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    switch: str = Field(max_length=200)
    paused: bool


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kept(request: Request) -> Kept | None:
    kept: Kept | None = getattr(request.app.state, "kept", None)
    return kept


MaybeKept = Annotated[Kept | None, Depends(_kept)]


def _owned(kept: MaybeKept, project: Project) -> Kept:
    if kept is None:
        why = f"another process keeps the queue: {file.owner(project.folder) or 'none does'}"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why, code="ZF830")
    if not kept.keeper.is_ready or kept.keeper.failed:
        why = kept.keeper.failed or "what was left is still being looked at"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why, code="ZF845")
    return kept


Owned = Annotated[Kept, Depends(_owned)]


def _state(kept: Kept | None, folder: str) -> State:
    return kept.keeper.state if kept is not None else file.read(folder)


@router.get("/queue", summary="The items of the queue: those that are open, then the newest")
def list_queue(
    _who: Viewer,
    project: Project,
    kept: MaybeKept,
    state: Annotated[str, Query(description="Only items in this state.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many."), DIGITS] = 100,
) -> dict[str, Any]:
    """With how many there are in each state, and how what keeps the queue is doing."""
    if kept is None:
        found = file.read(project.folder)
        return _listed(found, state, limit) | {"kept": None}
    with kept.keeper.locked:
        return _listed(kept.keeper.state, state, limit) | {"kept": told.kept_by(kept.keeper)}


def _listed(found: State, state: str, limit: int) -> dict[str, Any]:
    return {"items": told.rows(found, state, limit), "counts": told.counts(found)}


@router.get("/queue/{item}", summary="One item")
def one_item(item: str, _who: Viewer, project: Project, kept: MaybeKept) -> dict[str, Any]:
    """What it asks for, and what became of it."""
    entry = _state(kept, project.folder).entries.get(item)
    if entry is None:
        raise _unknown(item)
    return told.row(entry)


def _unknown(item: str) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, f"there is no item {item!r}", code="ZF846")


@router.post("/queue", status_code=202, summary="Enqueue an item")
def enqueue(
    asked: Enqueue, who: Operator, project: Project, kept: Owned, request: Request
) -> dict[str, Any]:
    """It is on the disk when this is answered. A double of another item is `rejected`."""
    source = Source(API, by=who.name, via=_via(who), address=who.address)
    name = inbox.new_id(time.time())
    if key := request.headers.get("idempotency-key", ""):
        name, is_known = request.app.state.keys.claim(key, who, ["/queue", asked.said()], name)
        entry = kept.keeper.state.entries.get(name) if is_known else None
        if entry is not None:
            return told.row(entry)
    item = item_of(project.flow(), asked.said(), source, name)
    return told.row(kept.keeper.enqueue(item))


def _via(who: Who) -> str:
    return "page" if who.via == "session" else "api"


@router.post("/queue/{item}/cancel", status_code=202, summary="Cancel an item, or its run")
@router.delete("/queue/{item}", status_code=202, summary="The same", include_in_schema=False)
def cancel(item: str, who: Operator, kept: Owned) -> dict[str, Any]:
    """One that waits is over; the run of another one is asked to end."""
    entry = kept.keeper.state.entries.get(item)
    if entry is None:
        raise _unknown(item)
    if not kept.keeper.cancel(item, who.name) and not entry.is_open:
        why = f"item {item!r} is over: {entry.state}"
        raise Refused(HTTPStatus.CONFLICT, why, code="ZF847")
    return told.row(entry)


@router.get("/schedules", summary="Schedules, and when they are due next")
def list_schedules(_who: Viewer, project: Project, kept: MaybeKept) -> dict[str, Any]:
    """As zf.yaml has them now."""
    found, state, now = (
        declared.schedules(project.flows.now()),
        _state(kept, project.folder),
        time.time(),
    )
    listed = []
    for name, one in found.items():
        known = state.schedules.get(name)
        listed.append(
            {
                "schedule": name,
                "cron": one.cron,
                "tz": one.tz,
                "catchup": one.catchup,
                "phases": [*one.phases],
                "tasks": [*one.tasks],
                "next": [timestamp(at) for at in islice(schedules.times(one, now), _NEXT)],
                "settled": timestamp(known.settled) if known else None,
                "seen": known is not None and known.sha256 == declared.digest(one),
            }
        )
    return {"schedules": listed, "paused": state.is_off("schedules")}


@router.get("/webhooks", summary="Webhooks, and whether the server has their secrets")
def list_webhooks(_who: Viewer, project: Project, kept: MaybeKept) -> dict[str, Any]:
    """As zf.yaml has them now; never a secret."""
    state = _state(kept, project.folder)
    listed = [
        {
            "webhook": name,
            "url": f"/hooks/{name}",
            "verify": one.verify,
            "secret_env": one.secret_env,
            "has_secret": bool(os.environ.get(one.secret_env)),
            "if": one.condition or None,
            "phases": [*one.phases],
            "tasks": [*one.tasks],
        }
        for name, one in declared.webhooks(project.flows.now()).items()
    ]
    return {"webhooks": listed, "paused": state.is_off("webhooks")}


@router.get("/reconcile", summary="Sources of truth, and when they were asked last")
def list_reconcile(_who: Viewer, project: Project, kept: MaybeKept) -> dict[str, Any]:
    """As zf.yaml has them now."""
    listed = []
    for name, one in declared.reconciled(project.flows.now()).items():
        asked = kept.reconciler.asked.get(name) if kept is not None else None
        last = asked.last_run if asked else None
        listed.append(
            {
                "reconcile": name,
                "every_min": one.every_min,
                "git_ref": one.git_ref or None,
                "remote": one.remote or None,
                "command": one.command or None,
                "last_run": timestamp(last) if last else None,
                "keys": asked.keys if asked else None,
                "error": (asked.error or None) if asked else None,
            }
        )
    return {"reconcile": listed, "paused": _state(kept, project.folder).is_off("reconcile")}


@router.get("/switches", summary="What is paused")
def list_switches(_who: Viewer, project: Project, kept: MaybeKept) -> dict[str, Any]:
    """Every switch; those of groups once they were set."""
    return {"switches": told.switches(_state(kept, project.folder))}


@router.post("/switches", summary="Pause something, or let it go on")
def set_switch(asked: Switch, who: Admin, kept: Owned) -> dict[str, Any]:
    """It holds over restarts."""
    if not told.is_switch(asked.switch):
        names = ", ".join([*told.SWITCHES, f"{told.OF_A_GROUP}GROUP"])
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"no such switch: there are {names}", code="ZF848"
        )
    kept.keeper.switch(asked.switch, who.name, is_off=asked.paused)
    return {"switches": told.switches(kept.keeper.state)}


@hooks.post("/hooks/{name}", status_code=202, summary="Take a delivery in")
async def deliver(name: str, request: Request) -> Response:
    """Answered once it is on the disk."""
    kept: Kept | None = getattr(request.app.state, "kept", None)
    if kept is None or kept.deliveries is None:
        why = "this server takes no deliveries: zf serve does"
        return answer(HTTPStatus.NOT_FOUND, why, code="ZF840")
    if not kept.keeper.is_ready or kept.keeper.failed:
        why = "the queue is not ready"
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, why, code="ZF845")
    body = await request.body()
    headers = {key.lower(): value for key, value in request.headers.items()}
    address = address_of(request.scope)
    try:
        taken = await run_in_threadpool(kept.deliveries.take, name, headers, body, address)
    except RefusedError as error:
        return answer(error.status, str(error), code=error.code)
    said = {"delivery": taken.delivery, "item": taken.item, "state": taken.state}
    return JSONResponse(said | {"why": taken.why or None}, HTTPStatus.ACCEPTED)
