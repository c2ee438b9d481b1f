"""What happened to the handlers of a run: `on_end` in zf.yaml."""

from __future__ import annotations

from zf.events.outcomes import Status
from zf.lean.records import Struct


class HandlerClaimed(Struct, frozen=True):
    """A handler is about to run, and so never runs again: once this line lasts, at most once.
    `phase` is what it is a handler of, empty for the run; `ended` is what that came to: success,
    failure, timeout, interrupted, or none where it had no turn.
    """

    task: str
    phase: str
    ended: str


class HandlerEnded(Struct, frozen=True):
    """It has ended, or what had claimed it is gone: then `status` is lost."""

    task: str
    status: Status
