"""Whether a worker still answers, judged from what the runner can see of it. Pure.

Nothing here reads a clock: time counts in ticks the runner really made, so that neither a suspended
machine nor a runner that was itself stopped makes a worker look dead.
"""

from __future__ import annotations

from zf.lean.records import Struct


class Patience(Struct, frozen=True):
    """How long a worker may be out of reach. Every `tick_s` it is asked for an answer.

    `dead_ticks`: so many unanswered questions in a row, during which it used no processor time,
    and it is dead. `finish_grace_s`: it may work on without answering for so long, as it does while
    it hashes large artifacts. `ceiling_slack_s`: an attempt this much older than the times of its
    task allow is ended even if its worker answers.
    """

    tick_s: float = 10.0
    dead_ticks: int = 6
    finish_grace_s: float = 900.0
    ceiling_slack_s: float = 900.0


class Watch:
    """One attempt's worker; `allowed_s` is how long the attempt may take by its own times."""

    def __init__(self, patience: Patience, allowed_s: float) -> None:
        self._patience = patience
        self._ceiling_s = allowed_s + patience.ceiling_slack_s
        self._age_s = 0.0
        self._dead_ticks = 0
        self._busy_s = 0.0
        self._cpu = -1
        self.answered = True

    def tick(self, elapsed_s: float, cpu: int) -> str:
        """Take note of one tick: the time since the last, and the processor time the worker has
        used in all. Why it is to be given up, or nothing.
        """
        patience = self._patience
        elapsed_s = min(elapsed_s, 2 * patience.tick_s)
        self._age_s += elapsed_s
        if self.answered:
            self._dead_ticks, self._busy_s = 0, 0.0
        elif cpu != self._cpu:
            self._dead_ticks = 0
            self._busy_s += elapsed_s
        else:
            self._dead_ticks += 1
        self._cpu = cpu
        self.answered = False
        if self._dead_ticks >= patience.dead_ticks:
            return f"it left {self._dead_ticks} questions unanswered and did nothing"
        if self._busy_s > patience.finish_grace_s:
            return f"it gave no answer for {self._busy_s:.0f} s, though it was busy"
        if self._age_s > self._ceiling_s:
            return f"its attempt was still going on after {self._age_s:.0f} s"
        return ""
