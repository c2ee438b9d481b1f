"""When a schedule is due: five fields of cron and a time zone -> which items to queue. Pure.

Times are cronsim's, and over changes of the clock as Debian's cron has them: a job of a certain
hour that the clock skips runs when it goes on, one that it repeats runs once; one of every hour
goes by time as it passes. Which times are settled is in the queue's lines, so that each is queued
at most once, whatever restarts and whatever becomes of the clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

from zf.model import Flow
from zf.server.queue.fold import State
from zf.server.queue.items import SCHEDULE, Source
from zf.server.queue.moments import minute
from zf.server.queue.records import Record, ScheduleSeen, TimesMissed
from zf.server.queue.rules import admit
from zf.server.triggers.declared import LATEST, NONE, Schedule, digest

# What is due is started when it is, or a little later where the server was busy.
PROMPT_S = 60.0
# So many times of one schedule are caught up at once, the newest ones.
MOST_CAUGHT_UP = 100


def times(schedule: Schedule, after: float) -> Iterator[float]:
    """The moments at which it is due after that one, in seconds since the epoch, in order."""
    zone = ZoneInfo(schedule.tz)
    minutes, hours = schedule.cron.split()[:2]
    if minutes.startswith("*") or hours.startswith("*"):
        yield from _as_time_passes(schedule.cron, zone, after)
        return
    for due in CronSim(schedule.cron, datetime.fromtimestamp(after, zone)):
        moment = due.astimezone(UTC).timestamp()
        # The clock may show the same time twice: the first one is meant.
        if moment > after:
            yield moment


def _as_time_passes(cron: str, zone: ZoneInfo, after: float) -> Iterator[float]:
    """The times of what is no job of a certain hour: each minute that the clock shows counts, as
    often as it shows it. Gone through in pieces in which the clock is not changed, since cronsim
    takes each change for one of a whole hour.
    """
    start, back = after, timedelta()
    while True:
        offset = _offset(zone, start)
        shown = datetime.fromtimestamp(start, UTC).replace(tzinfo=None) + offset
        seen, start = start, math.inf
        for due in CronSim(cron, shown - back):
            moment = (due - offset).replace(tzinfo=UTC).timestamp()
            start = _change(zone, seen, moment)
            if start <= moment:
                break
            yield moment
            seen = moment
        if start == math.inf:
            return
        back = timedelta(seconds=1)  # the first moment of the next piece is a part of it


def _change(zone: ZoneInfo, first: float, last: float) -> float:
    """When the clock is changed first after one moment and until another; infinity for never."""
    offset = _offset(zone, first)
    while first < last:
        later = min(first + 86400.0, last)
        if _offset(zone, later) != offset:
            low, high = int(first), math.ceil(later)
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            return high
        first = later
    return math.inf


def _offset(zone: ZoneInfo, moment: float) -> timedelta:
    return datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()


def due(state: State, flow: Flow, schedules: Mapping[str, Schedule], now: float) -> list[Record]:
    """The lines for what is due now, and for what was missed."""
    records: list[Record] = []
    for name, schedule in schedules.items():
        records += _due(state, flow, name, schedule, now)
    return records


def _due(state: State, flow: Flow, name: str, schedule: Schedule, now: float) -> list[Record]:
    known, sha256 = state.schedules.get(name), digest(schedule)
    if known is None or known.sha256 != sha256:
        return [ScheduleSeen(name, sha256)]
    passed = deque[float](maxlen=MOST_CAUGHT_UP)
    first, count = 0.0, 0
    for moment in takewhile(lambda one: one <= now, times(schedule, known.settled)):
        first, count = first or moment, count + 1
        passed.append(moment)
    if not count:
        return []
    if state.is_off("schedules"):
        return [TimesMissed(name, minute(first), minute(passed[-1]), count, "schedules are off")]
    chosen = _chosen(schedule, passed, now)
    records: list[Record] = []
    if left_out := count - len(chosen):
        last = [moment for moment in passed if moment not in chosen][-1]
        why = f"no server ran then, and catchup is {schedule.catchup}"
        records.append(TimesMissed(name, minute(first), minute(last), left_out, why))
    for moment in chosen:
        source = Source(SCHEDULE, name, due=minute(moment))
        item = schedule.item(_id(name, moment), source, flow)
        if item.item not in state.entries:  # a clock that was set back
            records += admit(state, item)
    return records


def _chosen(schedule: Schedule, passed: Sequence[float], now: float) -> list[float]:
    """Those of the times that passed which are started now."""
    window_s = PROMPT_S if schedule.catchup == NONE else max(PROMPT_S, schedule.window_sec)
    chosen = [moment for moment in passed if now - moment < window_s]
    return chosen[-1:] if schedule.catchup == LATEST else chosen


def _id(name: str, moment: float) -> str:
    """The id of the item: the schedule and the minute, so that there is no second one."""
    return f"{name}-{datetime.fromtimestamp(moment, UTC):%Y%m%d-%H%MZ}"
