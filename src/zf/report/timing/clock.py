"""One clock for a run whose lines several runners wrote. Pure.

A resumed run's lines may be of different boots, whose monotonic clocks have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from zf.events import Event, RunResumed

# As the verifier has it: a wall clock is slewed by 500 parts in a million, and stepped at boot.
_CLOCKS_PART_S, _CLOCKS_PART_SHARE = 2.0, 0.0005
# No two lines of one runner are further apart than thirty years: what says so lies, and would make
# sums of it that are no numbers.
_MOST_S = 1e9


class Written(Protocol):
    """An event and when it was written down, by both clocks: a line of the journal is one."""

    @property
    def event(self) -> Event: ...
    @property
    def mono(self) -> float: ...
    @property
    def wall(self) -> str: ...


def elapsed_s(lines: Iterable[Written]) -> Iterator[float]:
    """For each line the seconds since the first, on a clock that stood still while the run had no
    runner.
    """
    elapsed, before = 0.0, None
    for line in lines:
        if before is not None and not isinstance(line.event, RunResumed):
            elapsed += min(max(0.0, line.mono - before), _MOST_S)
        before = line.mono
        yield elapsed


def idle_s(lines: Iterable[Written]) -> Iterator[float]:
    """For each line, for how long nothing was recorded before it because no runner was there; 0 but
    for the lines that say that a run was resumed.
    """
    before: Written | None = None
    for line in lines:
        resumed = isinstance(line.event, RunResumed)
        yield _between(before, line) if resumed and before is not None else 0.0
        before = line


def _between(before: Written, line: Written) -> float:
    """How long it is from one line to another that a different runner wrote.

    Within one boot the monotonic clock tells, which cannot be set. After a reboot, which it is told
    by that the two clocks part, only the wall clock is left; it may have been set back.
    """
    mono = line.mono - before.mono
    try:
        wall = (_moment(line.wall) - _moment(before.wall)).total_seconds()
    except (TypeError, ValueError):  # what another program wrote need not be a moment
        return min(max(0.0, mono), _MOST_S)
    if mono >= 0 and abs(wall - mono) <= _CLOCKS_PART_S + _CLOCKS_PART_SHARE * mono:
        return mono
    return max(0.0, wall)


def _moment(wall: str) -> datetime:
    return datetime.fromisoformat(wall)
