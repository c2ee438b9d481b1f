"""The lines of `queue.jsonl`, one after the other -> what the queue is now. Pure.

Whatever kept the queue may die between any two lines: the next one reads the same lines, and comes
to the same state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from zf.lean.records import Struct, field
from zf.server.queue.items import WEBHOOK, Item
from zf.server.queue.moments import seconds
from zf.server.queue.records import (
    ENDS,
    DeliveryIgnored,
    EndAsked,
    Ended,
    ItemClaimed,
    ItemQueued,
    Record,
    RunTakenUp,
    ScheduleSeen,
    Switched,
    TimesMissed,
)

QUEUED, CLAIMED = "queued", "claimed"
# A delivery that comes again within this time is the same one.
DELIVERY_S = 72 * 3600
_TERMINAL: tuple[type[Any], ...] = get_args(Ended)


class QueueError(ValueError):
    """A line that cannot follow the ones before it."""


class Entry(Struct):
    """An item and what became of it. Moments are seconds since the epoch."""

    item: Item
    # Which line queued it.
    place: int
    queued_at: float
    state: str = QUEUED
    claimed_at: float | None = None
    ended_at: float | None = None
    # How often its run was taken up after its death.
    resumes: int = 0
    end_asked: EndAsked | None = None
    end: Ended | None = None

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def why(self) -> str:
        """What its terminal line says beside its word."""
        end: Any = self.end
        for name in ("why", "by", "result"):
            if said := getattr(end, name, ""):
                return str(said)
        return ""


class ScheduleState(Struct):
    """Which definition of a schedule was seen, and up to which moment its times are settled."""

    sha256: str
    settled: float


class State(Struct):
    """What the queue is, after all lines so far."""

    entries: dict[str, Entry] = field(default_factory=dict)
    # The entries that are not over, in the order they were queued in.
    open: dict[str, Entry] = field(default_factory=dict)
    # When that which ran for a key was queued last, and a delivery taken last; and its item.
    keys: dict[str, tuple[float, str]] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    # Switches that are off, each with its line and when that was.
    off: dict[str, tuple[float, Switched]] = field(default_factory=dict)
    # How many items had which source and which end: what metrics count.
    queued: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    missed: int = 0
    ignored: int = 0
    lines: int = 0

    def is_off(self, switch: str) -> bool:
        return switch in self.off or "all" in self.off

    @property
    def is_draining(self) -> bool:
        return "drain" in self.off

    def claimed(self) -> Iterator[Entry]:
        return (entry for entry in self.open.values() if entry.state == CLAIMED)

    def waiting(self) -> Iterator[Entry]:
        return (entry for entry in self.open.values() if entry.state == QUEUED)

    def is_taken(self, webhook: str, delivery: str, now: float) -> str | None:
        """What an earlier delivery of the same id came to; None when there was none of late."""
        found = self.deliveries.get((webhook, delivery))
        return found[1] if found is not None and now - found[0] < DELIVERY_S else None


def apply(state: State, record: Record, at: float) -> None:
    """Take in the next line, which was written at that moment. Raises QueueError, changing nothing,
    for one that cannot be there.
    """
    match record:
        case ItemQueued(item):
            _queue(state, item, at)
        case ItemClaimed(item, _):
            entry = _open(state, item, QUEUED)
            entry.state, entry.claimed_at = CLAIMED, at
        case EndAsked(item):
            _open(state, item, CLAIMED).end_asked = record
        case RunTakenUp(item):
            _open(state, item, CLAIMED).resumes += 1
            state.resumed += 1
        case ScheduleSeen(name, digest):
            state.schedules[name] = ScheduleState(digest, at)
        case TimesMissed(name):
            _settle(state, name, record.until)
            state.missed += record.count
        case DeliveryIgnored(webhook, delivery):
            state.deliveries[webhook, delivery] = at, ""
            state.ignored += 1
        case Switched(switch, is_off):
            if is_off:
                state.off[switch] = at, record
            else:
                state.off.pop(switch, None)
        case _ if isinstance(record, _TERMINAL):
            _end(state, record, at)
    state.lines += 1


def _queue(state: State, item: Item, at: float) -> None:
    if item.item in state.entries:
        raise QueueError(f"item {item.item} is queued twice")
    entry = Entry(item, state.lines, at)
    state.entries[item.item] = state.open[item.item] = entry
    state.queued[item.source.kind] += 1
    if item.source.kind == WEBHOOK:
        state.deliveries[item.source.name, item.source.delivery] = at, item.item
    if item.source.due:
        _settle(state, item.source.name, item.source.due)


def _settle(state: State, schedule: str, due: str) -> None:
    known = state.schedules.get(schedule)
    if known is not None:
        known.settled = max(known.settled, seconds(due))


def _open(state: State, item: str, wanted: str) -> Entry:
    entry = state.open.get(item)
    if entry is None or entry.state != wanted:
        raise QueueError(f"item {item} is not {wanted}")
    return entry


def _end(state: State, record: Ended, at: float) -> None:
    entry = state.open.get(record.item)
    if entry is None:
        raise QueueError(f"item {record.item} is not open")
    entry.end, entry.ended_at = record, at
    entry.state = ENDS[type(record)]
    del state.open[record.item]
    state.ended[entry.state] += 1
    key = entry.item.key
    # One that never ran is none that others are doubles of.
    if key and entry.state in {"done", "lost"}:
        state.keys[key] = max(state.keys.get(key, (0.0, "")), (entry.queued_at, record.item))
