"""How long tasks took in the newest runs, and how long that lets a run expect.

The journals say it. What they said is kept beside the locks, so that a run reads one file and not
ten journals; that may be deleted at any time, and is then made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from zf.errors import ZfError
from zf.events import AttemptEnded, Event, Status
from zf.proof import read
from zf.proof.durations.form import NEWEST, Durations, rounded_s
from zf.proof.layout import DURATIONS, JOURNAL, MANIFEST, PLAN, UNFINISHED

# What is read of the runs themselves, once in a while: about a tenth of a second.
_MOST_RUN_BYTES = 8 * 1024 * 1024
_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def earlier(proofs: str, kept: str) -> Durations:
    """What the runs in this folder took; `kept` is the folder in which that is kept.

    Never raises: without it a run is only planned less well.
    """
    try:
        found = Durations.load(f"{kept}/{DURATIONS}")
    except (OSError, ZfError):
        found = Durations()
    with suppress(OSError):
        _catch_up(found, proofs)
    return found


def _catch_up(found: Durations, proofs: str) -> None:
    """Take in the newest runs that are sealed and not known yet, as far as they are small."""
    left = _MOST_RUN_BYTES
    known = set(found.runs)
    for run in reversed(read.list_runs(proofs)[:NEWEST]):
        run_dir = f"{proofs}/{run}"
        if run in known or not os.path.lexists(f"{run_dir}/{MANIFEST}"):
            continue
        with suppress(OSError, ZfError, ValueError):
            size = sum(os.lstat(f"{run_dir}/{name}").st_size for name in (PLAN, JOURNAL))
            if size > left:
                continue
            left -= size
            rows, events = read.grown_plan(run_dir)["tasks"], read.journal(run_dir).events
            found.add(run, rows, _took(events))


def _took(events: Iterable[Event]) -> dict[str, float]:
    """How long the tasks took that went well, or ended in a way that is tolerated."""
    took_s: dict[str, float] = {}
    for event in events:
        if isinstance(event, AttemptEnded):
            took_s.pop(event.task, None)
            if event.status is Status.SUCCESS or event.warned:
                took_s[event.task] = event.duration_s
    return took_s


def keep(found: Durations, kept: str) -> None:
    """Leave it for the next run, if that can be done. What a crash makes of the file, or two runs
    that end at once, does no harm: it is made again.
    """
    name = f"{kept}/.{DURATIONS}{UNFINISHED}"
    with suppress(OSError):
        with os.fdopen(os.open(name, _ANEW), "wb") as file:
            file.write(found.as_json())
        os.rename(name, f"{kept}/{DURATIONS}")


def weights(rows: Sequence[Mapping[str, Any]], *known: Durations) -> dict[str, float]:
    """How many seconds each task of a plan is expected to take, by the first that knows it; one
    that none knows takes for each of its needs what the others take in the mean. Empty when none
    is known.
    """
    expected = {
        row["id"]: took.expected_s
        for row in rows
        if (took := next(filter(None, (one.of(row) for one in known)), None))
    }
    if not expected:
        return {}
    counts = {row["id"]: max(1, len(row["needs"])) for row in rows}
    each_s = sum(expected.values()) / sum(counts[name] for name in expected)
    return {
        name: expected[name] if name in expected else rounded_s(count * each_s)
        for name, count in counts.items()
    }
