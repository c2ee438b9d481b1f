"""The rules of the queue: which item is refused, replaces another, starts, or is over. Pure.

(state, now, what is seen of runs and of the machine) -> records to be written, and orders to be
carried out once these are on the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from zf.errors import Exit
from zf.lean.records import Struct
from zf.model import CANCEL_RUNNING, QUEUE
from zf.server.queue.fold import CLAIMED, QUEUED, Entry, State
from zf.server.queue.items import (
    FOR_SEC,
    WHILE_QUEUED,
    Item,
    StartWhen,
)
from zf.server.queue.records import (
    EndAsked,
    Ended,
    ItemCancelled,
    ItemDone,
    ItemExpired,
    ItemLost,
    ItemQueued,
    ItemRejected,
    ItemSuperseded,
    Record,
)

# How often a dead run is taken up before it is given up.
MAX_RESUMES = 1
# Whatever asked for the end of an item whose time was over.
DEADLINE = "deadline"


class Seen(Struct, frozen=True):
    """What can be seen of the run of an item: `alive` if its lock is held, by a runner or a worker;
    `here` if its folder is there; `ended` once its journal has its end, with the exit code and the
    result; `sealed` once its proof is whole. `suspended`: it waits for an approval, and no process
    does so; and `answered` that an answer lies there for it. `resumes`: how often its journal says
    that it was resumed after it had died. `exit_code` and `said` are
    those of the process that was started for it last, once that ended.
    """

    alive: bool = False
    here: bool = False
    sealed: bool = False
    suspended: bool = False
    answered: bool = False
    result: str = ""
    result_code: int = 0
    resumes: int = 0
    exit_code: int | None = None
    said: str = ""
    # The process that was started for it is still there.
    child: bool = False


class Start(Struct, frozen=True):
    """Start the run of this item, of which nothing is there yet."""

    item: Item


class TakeUp(Struct, frozen=True):
    """Resume the run of this item; a new one is a line of the queue first."""

    item: Item
    is_new: bool = True


class End(Struct, frozen=True):
    """Ask the run of this item to end."""

    item: Item


Order = Start | TakeUp | End


class Machine(Struct, frozen=True):
    """What `start_when` asks of the machine; None where it cannot be known."""

    load: float | None = None
    idle_s: float | None = None
    on_ac_power: bool | None = None


# Coming in.


def admit(state: State, item: Item) -> list[Record]:
    """The lines for an item that comes in: its own, and what it does to others."""
    records: list[Record] = [ItemQueued(item)]
    double = _double(state, item)
    if double is not None:
        why = f"the double of {double}: its key {item.key!r} is taken {item.scope}"
        return [*records, ItemRejected(item.item, why)]
    if item.on_newer != QUEUE:
        records += _displace(state, item)
    return records


def _double(state: State, item: Item) -> str | None:
    """The item whose double this one is."""
    if not item.key:
        return None
    for entry in state.open.values():
        if entry.item.key != item.key or _is_displaced(entry, item):
            continue
        if item.scope != WHILE_QUEUED or entry.state == QUEUED:
            return entry.item.item
    return None


def double_of_late(state: State, item: Item, now: float) -> str | None:
    """The item which ran for the same key so lately that this one is its double."""
    if item.scope != FOR_SEC or item.for_sec is None or item.key not in state.keys:
        return None
    queued_at, other = state.keys[item.key]
    return other if now - queued_at < item.for_sec else None


def _is_displaced(entry: Entry, item: Item) -> bool:
    """Whether the newer item makes the older one go."""
    if item.on_newer == QUEUE or entry.item.lane != item.lane:
        return False
    if entry.state == QUEUED:
        return True
    return item.on_newer == CANCEL_RUNNING and not entry.item.protected


def _displace(state: State, item: Item) -> Iterator[Record]:
    for entry in state.open.values():
        if not _is_displaced(entry, item):
            continue
        if entry.state == QUEUED:
            yield ItemSuperseded(entry.item.item, item.item)
        elif entry.end_asked is None:
            yield EndAsked(entry.item.item, item.item, item.item)


def cancel(state: State, item: str, by: str) -> Record | None:
    """The line that ends an item, or asks its run to end; None when it is over already."""
    entry = state.open.get(item)
    if entry is None:
        return None
    if entry.state == QUEUED:
        return ItemCancelled(item, by)
    return None if entry.end_asked is not None else EndAsked(item, by)


# Waiting.


def expired(state: State, now: float) -> list[Record]:
    """The lines for items that waited too long, and for runs that are to end now."""
    found: list[Record] = []
    for entry in state.open.values():
        item, waited_s = entry.item, now - entry.queued_at
        late = item.deadline_sec is not None and waited_s >= item.deadline_sec
        if entry.state == CLAIMED:
            if late and entry.end_asked is None:
                found.append(EndAsked(item.item, DEADLINE))
        elif item.ttl_sec is not None and waited_s >= item.ttl_sec:
            found.append(ItemExpired(item.item, f"not started within {item.ttl_sec:g} seconds"))
        elif late:
            found.append(ItemExpired(item.item, f"not over within {item.deadline_sec:g} seconds"))
    return found


def startable(
    state: State, machine: Machine, suspended: Iterable[str], max_runs: int
) -> Iterator[Entry]:
    """The items that start now, the first one first: those of a higher priority, then older ones.
    `suspended` are items whose runs wait for an approval: they take no room.
    """
    if state.is_off("all") or state.is_draining:
        return
    waits = {*suspended}
    running = [entry for entry in state.claimed() if entry.item.item not in waits]
    room = max_runs - len(running)
    for entry in sorted(state.waiting(), key=lambda one: (-one.item.priority, one.place)):
        if room <= 0:
            return
        item = entry.item
        if state.is_off(f"queue {item.group or 'default'}"):
            continue
        if not _has_turn(item, running) or why_not(item.start_when, machine):
            continue
        room -= 1
        running.append(entry)
        yield entry


def _has_turn(item: Item, running: Iterable[Entry]) -> bool:
    """Whether what it shares its group, or else its key, with leaves room for it."""
    same = sum(entry.item.lane == item.lane for entry in running)
    return same < item.limit if item.group else not (item.key and same)


def why_not(when: StartWhen | None, machine: Machine) -> str:
    """What of the machine keeps an item from starting; empty when nothing does. What cannot be
    known keeps it from starting, too.
    """
    if when is None:
        return ""
    if when.load_below is not None and (machine.load is None or machine.load >= when.load_below):
        return f"the load is not below {when.load_below:g}"
    if when.idle_sec is not None and (machine.idle_s is None or machine.idle_s < when.idle_sec):
        return f"nothing has been idle for {when.idle_sec:g} seconds"
    if when.on_ac_power is not None and machine.on_ac_power is not when.on_ac_power:
        return "the machine is not on AC power" if when.on_ac_power else "it is on AC power"
    return ""


# Going on.


def settle(entry: Entry, seen: Seen, *, reaping: bool) -> Record | Order | None:
    """What there is to do about an item whose run was claimed; None: to wait. `reaping`: whether
    dead runs are seen to.
    """
    item = entry.item
    if seen.alive:
        return End(item) if entry.end_asked is not None else None
    if seen.sealed:
        return _closed(entry, seen)
    if seen.child:
        return None  # it has just begun, or is about to exit
    if seen.here:
        if seen.suspended:
            return _suspended(entry, seen, reaping=reaping)
        return _dead(entry, seen) if reaping else None
    if entry.end_asked is not None:
        return _closed(entry, seen)
    if seen.exit_code is None or seen.exit_code == Exit.RUN_ID_TAKEN:
        return Start(item)
    if seen.exit_code < 0:
        return ItemLost(item.item, f"signal {-seen.exit_code} ended it before its run began")
    return ItemRejected(item.item, seen.said or f"zf exited with {seen.exit_code}")


def _closed(entry: Entry, seen: Seen) -> Ended:
    """The terminal line of an item whose run is over."""
    item, asked = entry.item.item, entry.end_asked
    if asked is None or (seen.sealed and seen.result_code == 0):
        return ItemDone(item, seen.result, seen.result_code)
    if asked.newer:
        return ItemSuperseded(item, asked.newer)
    return ItemCancelled(item, asked.by)


def _suspended(entry: Entry, seen: Seen, *, reaping: bool) -> Record | TakeUp | None:
    """Its run waits for an approval, and goes on once there is an answer. That is no death, and no
    line: it may wait as often as it has to.
    """
    if entry.end_asked is not None:
        return _closed(entry, seen)
    could = seen.exit_code in {None, Exit.RUN_ID_TAKEN, Exit.WAITING}
    return TakeUp(entry.item, is_new=False) if seen.answered and reaping and could else None


def _dead(entry: Entry, seen: Seen) -> Record | TakeUp:
    """Its run is there, has no end, and no process has it."""
    item = entry.item
    if entry.end_asked is not None:
        return _closed(entry, seen)
    if seen.resumes >= MAX_RESUMES:
        return ItemLost(item.item, "its run died again after it was resumed")
    # What was to take it up may have died before it did; if it refused to, it said why.
    refused = entry.resumes > seen.resumes and seen.exit_code not in {None, Exit.RUN_ID_TAKEN}
    if refused and seen.exit_code is not None and seen.exit_code > 0:
        return ItemLost(item.item, seen.said or "its run died, and cannot be resumed")
    return TakeUp(item, is_new=entry.resumes <= seen.resumes)


def counts(state: State) -> Mapping[str, int]:
    """How many items wait and are claimed now."""
    states = Counter(entry.state for entry in state.open.values())
    return {QUEUED: states[QUEUED], CLAIMED: states[CLAIMED]}
