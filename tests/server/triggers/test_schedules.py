"""When schedules are due, with time moved by hand; the nights of the change of the clock as Debian's
cron(8) says: "Local time changes of less than three hours, such as those caused by the Daylight
Saving changes, are handled in a special way. This only applies to jobs that run at a specific time
and jobs that run with a granularity greater than one hour. Jobs that run more frequently are
scheduled normally. If time was adjusted one hour forward, those jobs that would have run in the
interval that has been skipped will be run immediately. Conversely, if time was adjusted backward,
running the same job twice is avoided."
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import takewhile

import pytest

from zf.model import Flow
from zf.server.queue.fold import State, apply
from zf.server.queue.records import ItemQueued, ScheduleSeen, Switched, TimesMissed
from zf.server.triggers.declared import Schedule
from zf.server.triggers.schedules import due, times

FLOW = Flow("/nowhere", "/nowhere", {})


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def schedule(cron: str, **said) -> Schedule:
    return Schedule(cron=cron, phases=("E",), **said)


def between(one: Schedule, first: str, last: str) -> list[str]:
    until = moment(last)
    found = takewhile(lambda at: at <= until, times(one, moment(first)))
    return [datetime.fromtimestamp(at, UTC).strftime("%d %H:%M") for at in found]


@pytest.mark.parametrize(
    ("zone", "cron", "first", "last", "expected"),
    [
        # Berlin, 29 March 2026: 01:59 CET is followed by 03:00 CEST, which is 01:00 UTC.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T00:00", "2026-03-30T12:00",
         ["28 01:30", "29 01:00", "30 00:30"]),
        ("Europe/Berlin", "30 * * * *", "2026-03-29T00:00", "2026-03-29T02:00",
         ["29 00:30", "29 01:30"]),
        # 25 October 2026: 02:59 CEST is followed by 02:00 CET, which is 01:00 UTC.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00",
         ["25 00:30", "26 01:30"]),
        ("Europe/Berlin", "30 * * * *", "2026-10-25T00:00", "2026-10-25T02:00",
         ["25 00:30", "25 01:30"]),
        # New York, 8 March 2026: 01:59 EST is followed by 03:00 EDT, which is 07:00 UTC.
        ("America/New_York", "15 2 * * *", "2026-03-07T12:00", "2026-03-09T12:00",
         ["08 07:00", "09 06:15"]),
        # 1 November 2026: 01:59 EDT is followed by 01:00 EST, which is 06:00 UTC.
        ("America/New_York", "15 1 * * *", "2026-10-31T12:00", "2026-11-02T12:00",
         ["01 05:15", "02 06:15"]),
        ("America/New_York", "*/30 1 * * *", "2026-11-01T04:00", "2026-11-01T08:00",
         ["01 05:00", "01 05:30", "01 06:00", "01 06:30"]),
        # Lord Howe, whose clock changes by half an hour: 4 October 2026, 02:00 becomes 02:30, which
        # is 15:30 UTC of the third.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00", "2026-10-05T00:00",
         ["03 15:30", "04 15:15"]),
        # 5 April 2026: 02:00 becomes 01:30 again, which is 15:00 UTC of the fourth.
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00", "2026-04-06T00:00",
         ["04 14:45", "05 15:15"]),
        # What is of no certain hour goes by time as it passes, also there.
        ("Australia/Lord_Howe", "30 * * * *", "2026-10-03T14:00", "2026-10-03T17:00",
         ["03 15:00", "03 15:30", "03 16:30"]),
        ("Australia/Lord_Howe", "30 * * * *", "2026-04-04T14:00", "2026-04-04T16:30",
         ["04 14:30", "04 15:00", "04 16:00"]),
        ("Australia/Lord_Howe", "*/20 2 * * *", "2026-04-04T14:00", "2026-04-05T15:30",
         ["04 15:30", "04 15:50", "04 16:10", "05 15:30"]),
        ("Australia/Lord_Howe", "15 */2 * * *", "2026-04-04T14:00", "2026-04-04T18:00",
         ["04 15:45", "04 17:45"]),
        ("Europe/Berlin", "* * 29 2 *", "2026-01-01T00:00", "2028-02-28T23:01",
         ["28 23:00", "28 23:01"]),
    ],
)  # fmt: skip
def test_the_nights_of_the_change_of_the_clock(zone, cron, first, last, expected):
    assert between(schedule(cron, tz=zone), first, last) == expected


class Server:
    """One schedule, and the queue's lines about it."""

    def __init__(self, one: Schedule, now: str) -> None:
        self.state = State()
        self.one = one
        self.look(now)

    def look(self, now: str) -> list[str]:
        """What comes of a look at this moment, in a word for each line."""
        at = moment(now)
        records = due(self.state, FLOW, {"nightly": self.one}, at)
        for record in records:
            apply(self.state, record, at)
        return [self._word(record) for record in records]

    def _word(self, record) -> str:
        match record:
            case ItemQueued(item):
                assert item.source.kind == "schedule"
                return item.item
            case TimesMissed():
                return f"missed {record.count}: {record.first} to {record.until}"
            case ScheduleSeen():
                return "seen"
        raise AssertionError(record)

    def switch(self, *, is_off: bool) -> None:
        apply(self.state, Switched("schedules", is_off, "me"), 0.0)


def test_a_time_is_queued_once_whatever_becomes_of_the_clock():
    server = Server(schedule("0 2 * * *"), "2026-01-01T01:00:00")
    assert server.look("2026-01-01T01:59:59") == []
    assert server.look("2026-01-01T02:00:00") == ["nightly-20260101-0200Z"]
    assert server.look("2026-01-01T02:00:01") == []
    assert server.look("2026-01-01T01:59:00") == []  # the clock is set back
    assert server.look("2026-01-01T02:00:30") == []
    assert server.look("2026-01-02T02:00:59") == ["nightly-20260102-0200Z"]


def test_a_new_schedule_never_begins_with_what_was():
    server = Server(schedule("* * * * *", catchup="all"), "2026-01-01T01:00:30")
    assert server.look("2026-01-01T01:00:59") == []
    assert server.look("2026-01-01T01:01:00") == ["nightly-20260101-0101Z"]


def test_a_changed_schedule_never_back_fills():
    server = Server(schedule("0 2 * * *", catchup="all"), "2026-01-01T01:00:00")
    server.one = schedule("0 3 * * *", catchup="all")
    assert server.look("2026-01-05T12:00:00") == ["seen"]
    assert server.look("2026-01-05T12:00:01") == []
    assert server.look("2026-01-06T03:00:00") == ["nightly-20260106-0300Z"]


@pytest.mark.parametrize(
    ("catchup", "expected"),
    [
        ("none", ["missed 3: 2026-01-01T02:00Z to 2026-01-03T02:00Z"]),
        ("latest", ["missed 2: 2026-01-01T02:00Z to 2026-01-02T02:00Z", "nightly-20260103-0200Z"]),
        (
            "all",
            [
                "missed 1: 2026-01-01T02:00Z to 2026-01-01T02:00Z",
                "nightly-20260102-0200Z",
                "nightly-20260103-0200Z",
            ],
        ),
    ],
)
def test_what_was_missed_is_told_or_caught_up_within_the_window(catchup, expected):
    one = schedule("0 2 * * *", catchup=catchup, window_sec=2 * 86400)
    server = Server(one, "2026-01-01T01:00:00")
    assert server.look("2026-01-03T12:00:00") == expected
    assert server.look("2026-01-03T12:00:01") == []


def test_times_that_pass_while_schedules_are_off_are_missed_and_not_caught_up():
    server = Server(schedule("0 2 * * *", catchup="all"), "2026-01-01T01:00:00")
    server.switch(is_off=True)
    assert server.look("2026-01-01T02:00:00") == [
        "missed 1: 2026-01-01T02:00Z to 2026-01-01T02:00Z"
    ]
    server.switch(is_off=False)
    assert server.look("2026-01-01T02:00:10") == []
