"""The lines of `queue.jsonl`: what happened to the queue, in the past tense. Pure.

Each line is chained to the one before it as in a run's journal (`proof/journal.py`), and says when
it was written; what the lines come to is the business of `fold.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.lean.records import Struct, convert
from zf.server.queue.items import Item, to_json


class ItemQueued(Struct, frozen=True, omit_defaults=True):
    item: Item


class ItemClaimed(Struct, frozen=True):
    """The item is about to be started as this run: on the disk before the run's process is."""

    item: str
    run: str


class EndAsked(Struct, frozen=True, omit_defaults=True):
    """The run of an item is to end: for a newer item, or as `by` says. How it does is told by its
    terminal line.
    """

    item: str
    by: str
    newer: str = ""


class RunTakenUp(Struct, frozen=True):
    """The run of an item was dead, and is resumed."""

    item: str


# Terminal lines: an item has exactly one.


class ItemDone(Struct, frozen=True):
    """Its run is over. `result` is what it came to, `exit_code` its own."""

    item: str
    result: str
    exit_code: int


class ItemExpired(Struct, frozen=True):
    item: str
    why: str


class ItemSuperseded(Struct, frozen=True):
    item: str
    by: str


class ItemCancelled(Struct, frozen=True):
    item: str
    by: str


class ItemRejected(Struct, frozen=True):
    item: str
    why: str


class ItemLost(Struct, frozen=True):
    item: str
    why: str


# What triggers items, and what was made of it.


class ScheduleSeen(Struct, frozen=True):
    """A schedule is new, or another than it was: nothing before this moment is due by it."""

    schedule: str
    sha256: str


class TimesMissed(Struct, frozen=True):
    """Times of a schedule that started nothing. `until` is the last of them: UTC, RFC 3339."""

    schedule: str
    first: str
    until: str
    count: int
    why: str


class DeliveryIgnored(Struct, frozen=True):
    """A delivery that was what it said it is, and starts nothing."""

    webhook: str
    delivery: str
    why: str


class Switched(Struct, frozen=True):
    """A switch was set: `all`, `schedules`, `webhooks`, `reaper`, `reconcile`, `queue GROUP`, or
    `drain`.
    """

    switch: str
    is_off: bool
    by: str


Ended = ItemDone | ItemExpired | ItemSuperseded | ItemCancelled | ItemRejected | ItemLost
Record = (
    ItemQueued
    | ItemClaimed
    | EndAsked
    | RunTakenUp
    | Ended
    | ScheduleSeen
    | TimesMissed
    | DeliveryIgnored
    | Switched
)
# The word of each terminal line.
ENDS: Mapping[type[Any], str] = {
    ItemDone: "done",
    ItemExpired: "expired",
    ItemSuperseded: "superseded",
    ItemCancelled: "cancelled",
    ItemRejected: "rejected",
    ItemLost: "lost",
}
NAMES: Mapping[type[Any], str] = {
    ItemQueued: "item_queued",
    ItemClaimed: "item_claimed",
    EndAsked: "end_asked",
    RunTakenUp: "run_taken_up",
    **{kind: f"item_{word}" for kind, word in ENDS.items()},
    ScheduleSeen: "schedule_seen",
    TimesMissed: "times_missed",
    DeliveryIgnored: "delivery_ignored",
    Switched: "switched",
}
_TYPES = {name: kind for kind, name in NAMES.items()}


def said_of(record: Record) -> dict[str, Any]:
    """The record as a JSON object with its type first."""
    return {"type": NAMES[type(record)], **to_json(record)}


def record_from(said: Mapping[str, Any]) -> Record:
    """The record a JSON object describes; ValueError for what is none."""
    kind = _TYPES.get(said.get("type", ""))
    if kind is None:
        raise ValueError(f"unknown record {str(said.get('type'))[:40]!r}")
    record: Record = convert(said, kind)
    return record
