"""Attempts that were lost on executors: the code of each cause, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zf.events import Cause

CODES: Mapping[Cause, str] = {
    Cause.NODE: "ZF790",
    Cause.PREEMPTED: "ZF791",
    Cause.EVICTED: "ZF792",
    Cause.WALLTIME: "ZF793",
    Cause.UNREACHABLE: "ZF794",
}
WORDS: Mapping[Cause, str] = {
    Cause.WORKER: "its worker died or stopped answering",
    Cause.NODE: "the machine of its executor failed",
    Cause.PREEMPTED: "its executor gave its place to something else",
    Cause.EVICTED: "its executor sent it away",
    Cause.WALLTIME: "the time that its executor gives was over",
    Cause.UNREACHABLE: "its executor could not be reached",
}
