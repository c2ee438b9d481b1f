"""The keys of a task that say how much of the machine its processes may have."""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.form import Key, number, whole
from zf.typed import MAX_AMOUNT

_NICEST, _LEAST_NICE = 19, -20
# A shell and what it loads need some.
_LEAST_FILES = 10
_MOST_CPUS = 4096

LIMITS: Mapping[str, Key] = {
    "nice": Key(
        whole(_LEAST_NICE, _NICEST),
        "How much nicer its processes are to others than zf, from 19 down to -20.",
    ),
    "memory_mb": Key(
        whole(1, MAX_AMOUNT),
        "Megabytes (MiB) of memory that its processes may have together.",
    ),
    "cpus": Key(
        number(above=0, most=_MOST_CPUS),
        "How many processors its processes may keep busy together.",
    ),
    "pids_max": Key(
        whole(1, MAX_AMOUNT),
        "How many processes and threads it may have at a time.",
    ),
    "open_files": Key(
        whole(_LEAST_FILES, MAX_AMOUNT),
        "How many files each of its processes may have open.",
    ),
}
