"""Orders of verbs to the process that owns the queue: files in a folder, each whole and durable.

There is one writer of the queue. A verb leaves its order here, and if no process owns the queue,
takes it in itself; if one does, that one takes it in soon. An order has an id that its lines in the
queue bear, so that one which was taken in and not yet removed is not taken in again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from zf.lean.records import Struct
from zf.proof.files import write_json
from zf.server.access.sound import sound
from zf.server.queue.file import QueueFile, owner, read
from zf.server.queue.fold import State
from zf.server.queue.items import Item, ItemError, item_from, to_json
from zf.server.queue.records import ItemQueued, ItemRejected, Record, Switched
from zf.server.queue.rules import admit, cancel, double_of_late

INBOX = "inbox"
_WAIT_S = 10.0
_LOOK_S = 0.05
_MOST_BYTES = 1024 * 1024


class Told(Struct, frozen=True):
    """What became of an order: the queue after it, or None while its owner has not taken it in."""

    state: State | None
    owner: str


def leave(folder: str, name: str, order: Mapping[str, Any]) -> Told:
    """Leave an order, and see that it is taken in. Raises OSError, and ZfError for a queue that is
    damaged.
    """
    box = f"{folder}/{INBOX}"
    os.makedirs(box, mode=0o700, exist_ok=True)
    path = f"{box}/{name}.json"
    write_json(path, order)
    until = time.monotonic() + _WAIT_S
    while os.path.exists(path) and time.monotonic() < until:
        queue = QueueFile.own_if_free(folder)
        if queue is not None:
            try:
                empty(folder, queue, time.time())
            finally:
                queue.close()
            break
        time.sleep(_LOOK_S)
    taken = not os.path.exists(path)
    return Told(read(folder) if taken else None, owner(folder))


def empty(folder: str, queue: QueueFile, now: float) -> bool:
    """Take all orders in, the oldest first; whether there was one."""
    box = f"{folder}/{INBOX}"
    try:
        names = sorted(name for name in os.listdir(box) if name.endswith(".json"))
    except FileNotFoundError:
        return False
    for name in names:
        if name.startswith("."):
            continue
        path = f"{box}/{name}"
        queue.write(records_of(queue.state, _order(path), now), now)
        os.unlink(path)
    return bool(names)


def _order(path: str) -> Mapping[str, Any]:
    with suppress(OSError, ValueError), open(path, "rb") as file:
        order = sound(file.read(_MOST_BYTES))
        if isinstance(order, dict):
            return order
    return {}


def records_of(state: State, order: Mapping[str, Any], now: float) -> list[Record]:
    """The lines that an order comes to; none for one that was taken in already, or is none."""
    match order:
        case {"enqueue": dict(said)}:
            return _enqueued(state, said, now)
        case {"cancel": str(item), "by": str(by)}:
            record = cancel(state, item, by)
            return [] if record is None else [record]
        case {"switch": str(switch), "is_off": bool(is_off), "by": str(by)}:
            return [] if (switch in state.off) is is_off else [Switched(switch, is_off, by)]
    return []


def _enqueued(state: State, said: Mapping[str, Any], now: float) -> list[Record]:
    try:
        item = item_from(said)
    except ItemError:
        return []
    return [] if item.item in state.entries else taken_in(state, item, now)


def taken_in(state: State, item: Item, now: float) -> list[Record]:
    """The lines for an item that comes in now."""
    late = double_of_late(state, item, now)
    if late is not None:
        why = f"the double of {late}: its key {item.key!r} is taken for {item.for_sec:g} seconds"
        return [ItemQueued(item), ItemRejected(item.item, why)]
    return admit(state, item)


def new_id(now: float) -> str:
    """The id of an item that something asks for now."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{os.urandom(4).hex()}"


def order_to_enqueue(item: Item) -> dict[str, Any]:
    return {"enqueue": to_json(item)}
