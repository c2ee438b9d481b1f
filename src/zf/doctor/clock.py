"""The clock: a proof says when things happened, and is doubted where that cannot be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from zf.audit.account import Clocks
from zf.doctor.finding import NOTE, OK, PROBLEM, Finding
from zf.doctor.here import Here
from zf.proof import read
from zf.proof.layout import JOURNAL

# Machines of one project may differ by this, and a clock that is kept right is moved by less.
_SLACK = timedelta(minutes=2)
_JUMP_S = 1.0
_REMEDY = "set the clock, or have it kept right: timedatectl set-ntp true, or the host's"
# zf did not exist before.
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_MAX_JOURNAL_BYTES = 8 << 20


def clock(here: Here) -> Iterator[Finding]:
    """Whether it can be as late as it says, and whether it was set while runs went on."""
    wall, mono = time.time(), time.monotonic()
    now = datetime.fromtimestamp(wall, UTC)
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    newest = _newest(here.proofs)
    if now < _FIRST:
        found = f"it says {shown}, when there was no zf yet"
        yield Finding("clock", PROBLEM, found, _REMEDY)
    elif newest and now + _SLACK < newest[1]:
        run, last, _ = newest
        found = f"it says {shown}, and run {run} says {last:%Y-%m-%d %H:%M}: one of them is wrong"
        yield Finding("clock", PROBLEM, found, _REMEDY)
    elif newest and newest[2] > _JUMP_S:
        found = f"it says {shown}; while run {newest[0]} went on it was set by {newest[2]:.0f} s"
        yield Finding("clock", NOTE, found, _REMEDY)
    else:
        yield Finding("clock", OK, shown)
    jump = abs((time.time() - wall) - (time.monotonic() - mono))
    if jump > _JUMP_S:
        yield Finding("clock", PROBLEM, f"it was set by {jump:.0f} s just now", _REMEDY)


def _newest(proofs: str) -> tuple[str, datetime, float] | None:
    """The run of which the journal says the latest time, of the newest that were made; that time;
    and by how much the clocks of that run came apart.
    """
    found = []
    for run in read.list_runs(proofs)[:3] if proofs else ():
        clocks = _clocks(f"{proofs}/{run}/{JOURNAL}")
        if clocks.first is not None:
            last = datetime.fromtimestamp(clocks.last, UTC)
            found.append((run, last, clocks.drift_s))
    return max(found, key=lambda one: one[1], default=None)


def _clocks(path: str) -> Clocks:
    """What the lines of a journal say of both clocks, as far as they go."""
    clocks = Clocks()
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with (
        suppress(OSError, ValueError, KeyError, TypeError),
        open(path, "rb", opener=lambda name, _: os.open(name, flags)) as stream,
    ):
        for line in stream.readlines(_MAX_JOURNAL_BYTES):
            said = json.loads(line)
            if said.get("type") == "run_resumed":
                clocks.restart()
            clocks.feed(said["wall"], said["mono"])
    return clocks
