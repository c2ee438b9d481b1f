"""What happened to a task that is probed again and again: `repeat` in its file."""

from __future__ import annotations

from enum import StrEnum

from zf.lean.records import Struct


class Probed(StrEnum):
    """What a probe came to."""

    GOOD = "good"
    BAD = "bad"
    INCONCLUSIVE = "inconclusive"  # it could not measure


class Probe(Struct, frozen=True):
    """A probe has ended: the `number`th of its attempt's task, from 1. `exit_code` is that of the
    step that failed, or 0; `ms` how long its steps took; `line` the first line that they printed;
    `result` is good, bad or inconclusive.
    """

    task: str
    attempt: int
    number: int
    exit_code: int | None
    ms: int
    line: str
    result: Probed
