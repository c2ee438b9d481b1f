"""Schedules beside Debian's cron itself, over both nights of the change of the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from tests.support.debians_cron import SPEED, Night
from tests.support.waiting import eventually
from zf.server.triggers.declared import Schedule
from zf.server.triggers.schedules import times

NIGHTS = [
    *(("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25")),
    *(("America/New_York", "2026-03-08"), ("America/New_York", "2026-11-01")),
    *(("Australia/Lord_Howe", "2026-10-04"), ("Australia/Lord_Howe", "2026-04-05")),
]
HOURS = 5
# The last one says that the night is over.
JOBS = (
    *("30 1 * * *", "45 1 * * *", "0 2 * * *", "10 2 * * *", "30 2 * * *", "59 2 * * *"),
    *("0 3 * * *", "30 3 * * *", "0,40 2 * * *", "15 1-3 * * *", "0 2 * * 0", "20 2 29 3 *"),
    *("30 * * * *", "*/20 * * * *", "*/20 2 * * *", "* 2 * * *", "15 */2 * * *", "5 */1 * * *"),
    "30 5 * * *",
)


@pytest.mark.campaign
def test_schedules_are_due_when_debians_cron_begins_them(tmp_path):
    nights = []
    for zone, day in NIGHTS:
        begins = datetime.fromisoformat(f"{day} 00:35")
        folder = tmp_path / f"{zone.replace('/', '-')}-{day}"
        nights.append(Night(folder, zone, begins, JOBS))
    try:
        for night in nights:
            night.begin()
        for night in nights:
            eventually(
                lambda night=night: [job for job, _ in night.began()],
                of=lambda began: len(JOBS) - 1 in began,
                seconds=4 * HOURS * 3600 / SPEED,
            )
    finally:
        for night in nights:
            night.end()
    apart = {}
    for night in nights:
        for number, cron in enumerate(JOBS):
            cron_s = {*began(number, night)}
            ours = {*due(cron, night)}
            if cron_s != ours:
                apart[night.zone, f"{night.begins:%m-%d}", cron] = (
                    f"cron: {said(cron_s)}; zf: {said(ours)}"
                )
    assert apart == {}


def began(number, night):
    """The minutes at which cron began the job. All nights go on until the last one is over; and
    whatever begins as a night ends does not know the time any more.
    """
    first, last = span(night)
    minutes = (at // 60 * 60 for job, at in night.began() if job == number)
    return (at for at in minutes if first < at <= last)


def due(cron, night):
    first, last = span(night)
    schedule = Schedule(cron=cron, tz=night.zone, phases=("E",))
    return takewhile(lambda at: at <= last, times(schedule, first))


def span(night):
    """From its beginning to the last job of all, which is later by the clock on the wall too."""
    begins = night.begins.replace(tzinfo=ZoneInfo(night.zone))
    return begins.timestamp(), begins.replace(hour=5, minute=30).timestamp()


def said(moments):
    return ", ".join(datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in sorted(moments))
