"""What happens where attempts run on other machines."""

from __future__ import annotations

from zf.lean.records import Struct


class AttemptPlaced(Struct, frozen=True):
    """An agent has taken the attempt. What is said of it is what it says of itself: its machine,
    account and version of zf; `clock_offset_s` is how far its clock was ahead of the runner's, as
    precise as the time of a frame there and back.
    """

    task: str
    attempt: int
    executor: str
    host: str
    user: str
    zf_version: str
    clock_offset_s: float


class ResultQuarantined(Struct, frozen=True):
    """A result came for an attempt that had ended without it, and does not count: it lies in the
    quarantine, an archive with this SHA-256. `differs`: one for the same attempt had come before,
    and said something else, which no honest agent does.
    """

    task: str
    attempt: int
    executor: str
    sha256: str
    differs: bool


class ExecutorDrained(Struct, frozen=True):
    """No attempt begins on this executor any more: `zf workers drain` asked for it."""

    executor: str
