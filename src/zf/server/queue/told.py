"""The items and the switches of the queue as rows: for the API, for verbs, and for pages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from zf.events import timestamp
from zf.server.queue.fold import CLAIMED, QUEUED, Entry, State
from zf.server.queue.items import to_json

if TYPE_CHECKING:
    from zf.server.queue.keeper import Keeper, Loop

# A group's switch is called `queue GROUP`; items without a group are those of `default`.
SWITCHES = ("all", "schedules", "webhooks", "reaper", "reconcile", "drain")
OF_A_GROUP = "queue "


def is_switch(name: str) -> bool:
    """Whether there is such a switch."""
    return name in SWITCHES or (name.startswith(OF_A_GROUP) and bool(name[len(OF_A_GROUP) :]))


def row(entry: Entry) -> dict[str, Any]:
    """An item and what became of it: times are RFC 3339 in UTC."""
    item = entry.item
    said = to_json(item)
    return {
        "item": item.item,
        "state": entry.state,
        "why": entry.why,
        "run": item.run,
        "phases": [*item.phases],
        "tasks": [*item.tasks],
        "inputs": dict(item.inputs),
        "source": said["source"],
        "priority": item.priority,
        "ttl_sec": item.ttl_sec,
        "deadline_sec": item.deadline_sec,
        "group": item.group or None,
        "limit": item.limit,
        "key": item.key or None,
        "scope": item.scope,
        "for_sec": item.for_sec,
        "on_newer": item.on_newer,
        "start_when": said.get("start_when"),
        "protected": item.protected,
        "queued_at": timestamp(entry.queued_at),
        "claimed_at": _moment(entry.claimed_at),
        "ended_at": _moment(entry.ended_at),
        "end_asked_by": entry.end_asked.by if entry.end_asked else None,
        "resumes": entry.resumes,
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)


def rows(state: State, wanted: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Items, those that are not over first, then the newest of the others; of one state, or all."""
    found = (entry for entry in _in_order(state) if not wanted or entry.state == wanted)
    return [row(entry) for entry in islice(found, limit)]


def _in_order(state: State) -> Iterator[Entry]:
    yield from state.claimed()
    yield from sorted(state.waiting(), key=lambda one: (-one.item.priority, one.place))
    yield from (entry for entry in reversed(state.entries.values()) if not entry.is_open)


def counts(state: State) -> dict[str, int]:
    """How many items are in each state, and have been."""
    found = {QUEUED: 0, CLAIMED: 0}
    for entry in state.open.values():
        found[entry.state] += 1
    return found | dict(state.ended)


def switches(state: State) -> list[dict[str, Any]]:
    """Every switch, and whether it is off; since when, and by which hand."""
    names = [*SWITCHES, *(name for name in state.off if name not in SWITCHES)]
    return [_switch(state, name) for name in names]


def _switch(state: State, name: str) -> dict[str, Any]:
    found = state.off.get(name)
    since, by = (timestamp(found[0]), found[1].by) if found else (None, None)
    return {"switch": name, "paused": found is not None, "since": since, "by": by}


def loop(one: Loop) -> dict[str, Any]:
    """How a loop is doing."""
    return {
        "interval_sec": one.interval_s,
        "last_run": _moment(one.last_run),
        "runs": one.runs,
        "errors": one.errors,
        "last_error": one.last_error or None,
    }


def kept_by(keeper: Keeper) -> dict[str, Any]:
    """How what keeps the queue is doing."""
    return {
        "ready": keeper.is_ready,
        "failed": keeper.failed or None,
        "queue": loop(keeper.look),
        "reaper": loop(keeper.reaper) | {"resumed": keeper.state.resumed},
    }
