"""An item of the queue: what it is to run, where it came from, and under which rules. Pure.

The same form everywhere: in `queue.jsonl`, in an order that a verb leaves, and in the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zf.lean.records import Struct, convert, field, json_decode, json_encode
from zf.model import CANCEL_RUNNING, QUEUE, REPLACE_QUEUED

ON_NEWER = (QUEUE, REPLACE_QUEUED, CANCEL_RUNNING)
WHILE_QUEUED, WHILE_ACTIVE, FOR_SEC = "while_queued", "while_active", "for_sec"
SCOPES = (WHILE_QUEUED, WHILE_ACTIVE, FOR_SEC)
MANUAL, SCHEDULE, WEBHOOK, API, RECONCILE = "manual", "schedule", "webhook", "api", "reconcile"
SOURCES = (MANUAL, SCHEDULE, WEBHOOK, API, RECONCILE)
MAX_SECONDS = 366 * 24 * 3600
MAX_PRIORITY = 1_000_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_TEXT = 200


class Source(Struct, frozen=True, omit_defaults=True):
    """Where an item came from: of which kind, the name of the schedule, webhook or reconciliation,
    the delivery, and the digest of what it brought; who asked, by which way, from which address.
    """

    kind: str
    name: str = ""
    delivery: str = ""
    payload_sha256: str = ""
    by: str = ""
    via: str = ""
    address: str = ""
    # Of a schedule: the minute it was due, RFC 3339 in UTC.
    due: str = ""


class StartWhen(Struct, frozen=True, omit_defaults=True):
    """What must be so of the machine before the item starts; None: it does not matter."""

    load_below: float | None = None
    idle_sec: float | None = None
    on_ac_power: bool | None = None


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be run, and under which rules. Times in seconds from when it was queued."""

    phases: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    ttl_sec: float | None = None
    deadline_sec: float | None = None
    # Of the items of a group so many run at once.
    group: str = ""
    limit: int = 1
    # Another item with this key is refused as long as the scope says.
    key: str = ""
    scope: str = WHILE_ACTIVE
    for_sec: float | None = None
    on_newer: str = QUEUE
    start_when: StartWhen | None = None


class Item(Wanted, frozen=True, kw_only=True, omit_defaults=True):
    """What one entry of the queue asks for."""

    item: str
    source: Source
    inputs: Mapping[str, str] = field(default_factory=dict)
    # Whether one of its phases is: a newer item never ends its run.
    protected: bool = False

    @property
    def run(self) -> str:
        """The id of its run: always the same, so that it is run once however often it is begun."""
        return f"queue-{self.item}"

    @property
    def lane(self) -> str:
        """What it has in common with items that are older or newer than it."""
        if self.group:
            return f"group {self.group}"
        return f"key {self.key}" if self.key else f"{self.phases} {self.tasks}"

    @property
    def targets(self) -> str:
        """What it runs, for people."""
        return " ".join([*self.phases, *self.tasks])


class ItemError(ValueError):
    """What is wrong with an item that is asked for."""


def to_json(value: Struct) -> dict[str, Any]:
    """A record in the plain values of JSON, without what is at its default."""
    said: dict[str, Any] = json_decode(json_encode(value))
    return said


def item_from(said: Mapping[str, Any]) -> Item:
    """The item that an order describes. Raises ItemError for one that is none."""
    unknown = said.keys() - set(Item.__struct_fields__)
    if unknown:
        raise ItemError(f"an item has no {', '.join(sorted(unknown))}")
    try:
        item = convert(said, Item)
    except ValueError as error:
        raise ItemError(str(error)) from None
    check(item)
    return item


def check(item: Item) -> None:
    """Raises ItemError for an item whose rules do not go together, or which cannot be kept."""
    for wrong, message in (
        (not item.phases and not item.tasks, "an item names phases or tasks"),
        (item.phases and item.tasks, "an item names phases or tasks, not both"),
        (not _ID.fullmatch(item.item), "its id is a word"),
        (item.source.kind not in SOURCES, f"a source is one of {', '.join(SOURCES)}"),
        (item.scope not in SCOPES, f"scope is one of {', '.join(SCOPES)}"),
        (item.on_newer not in ON_NEWER, f"on_newer is one of {', '.join(ON_NEWER)}"),
        ((item.scope == FOR_SEC) != (item.for_sec is not None), "for_sec goes with that scope"),
        (item.scope != WHILE_ACTIVE and not item.key, "a scope needs a key"),
        (abs(item.priority) > MAX_PRIORITY, f"priority is at most {MAX_PRIORITY}"),
        (not 1 <= item.limit <= MAX_PRIORITY, "limit is 1 or more"),
        (len(item.key) > _MOST_TEXT or len(item.group) > _MOST_TEXT, "key and group are short"),
        (item.on_newer == CANCEL_RUNNING and item.protected, "cancel_running: it is protected"),
    ):
        if wrong:
            raise ItemError(message)
    for name in ("ttl_sec", "deadline_sec", "for_sec"):
        seconds = getattr(item, name)
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise ItemError(f"{name} is more than 0 and at most {MAX_SECONDS} seconds")
    try:
        json_encode(item)
    except ValueError:  # half of a surrogate pair
        raise ItemError("it holds what is no text") from None
