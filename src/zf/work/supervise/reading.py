"""A step's pipe while the step runs: read as something comes, but not at each word.

Waking what reads is the writer's work: a step that prints a dot after each of 3 000 short tests
took a twentieth longer with a reader that waited for every dot (`python -m benchmarks --only
chatty`). So small pieces that come one soon after the other are left to gather for a moment.
"""

from __future__ import annotations

import math
import os
import select
import time
from contextlib import suppress

from zf.work.capture import Capture

# How long pieces gather: too short to be seen, and ten dots of a quick test run.
REST_S = 0.01
# What counts as a small piece. A step that fills its pipe meanwhile has to wait, so after more than
# this at once nothing is left to gather for a while: of much output, waiting costs a hundredth.
_SMALL_BYTES = 4 * 1024
_MUCH_S = 1.0


class Reading:
    """One pipe that is read into a capture, as the `poll` it is registered with says."""

    def __init__(self, pipe: int, capture: Capture, poll: select.poll) -> None:
        self.pipe = pipe
        self.capture = capture
        # Whether its end has not come yet.
        self.is_open = True
        # When it is to be looked at again, on the monotonic clock: inf while it is waited for.
        self.again_at = math.inf
        # When there was much at once.
        self._much_at = -math.inf
        self._poll = poll
        poll.register(pipe, select.POLLIN)

    def pump(self) -> None:
        """Take what is there. Raises BlockingIOError where that is nothing."""
        before = self.capture.heard
        count = self.capture.pump(self.pipe)
        if count is None:
            # At its end a pipe is always readable; the step may go on without it.
            self.stop()
        elif count >= _SMALL_BYTES:
            self._much_at = self.capture.heard
        elif count:
            self._rest(before)

    def _rest(self, before: float) -> None:
        """Leave it alone for a moment, if this small piece came soon after the one before, and is
        not shown to anyone.
        """
        now = self.capture.heard
        is_trickle = now - before < 2 * REST_S and now - self._much_at > _MUCH_S
        if is_trickle and self.capture.came is None and self.again_at == math.inf:
            self._poll.unregister(self.pipe)
            self.again_at = now + REST_S

    def drain(self) -> None:
        """Take all that is there."""
        with suppress(BlockingIOError):
            while self.is_open:
                self.pump()

    def look_again(self) -> bool:
        """Wait for it from now on, if it is time; whether it was."""
        is_time = self.again_at != math.inf and time.monotonic() >= self.again_at
        if is_time:
            self.listen()
        return is_time

    def listen(self) -> None:
        """Wait for it from now on."""
        if self.again_at != math.inf:
            self.again_at = math.inf
            self._poll.register(self.pipe, select.POLLIN)

    def stop(self) -> None:
        """Take no more."""
        if self.is_open:
            self.listen()
            self._poll.unregister(self.pipe)
            self.is_open = False

    def close(self) -> None:
        """Let go of it. Its number may be another descriptor's from then on."""
        self.stop()
        os.close(self.pipe)
        self.pipe = -1

    def hand_over(self) -> None:
        """Another one reads it from now on, as the poll says."""
        self.listen()
        self.is_open, self.pipe = False, -1
