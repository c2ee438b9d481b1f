"""A run on a terminal: the board at its foot, and what scrolls by above that.

What went well scrolls by only where there is room for it, and is counted otherwise. What failed is
shown once, with the end of its log, as soon as it is not tried again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zf.cli.project import path_shown
from zf.events import (
    FAILED,
    WELL,
    AttemptEnded,
    PhaseEnded,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    Status,
    TaskNotRun,
)
from zf.proof.growing import AttemptLog
from zf.report.live import BOARD_ROWS, Board, Heard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.cli.display.lines import Lines
    from zf.events import Event
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts
    from zf.report.words import Style


# As many as the summary shows with their logs.
_MOST_SHOWN = 25


class Live:
    """The screen of a run under `proofs`; the text to write, which never waits. `most` is how many
    lines of a failed step's log to show; with `whole` nothing is folded, and with `logs` failures
    are shown with the ends of theirs.
    """

    def __init__(
        self,
        lines: Lines,
        proofs: str,
        style: Style,
        *,
        most: int | None,
        whole: bool,
        logs: bool,
    ) -> None:
        # The failures that were shown with their logs.
        self.shown: set[str] = set()
        self._lines = lines
        self._proofs = proofs
        self._style = style
        self._most = most
        self._whole = whole
        self._logs = logs
        self._board = Board(style, LastLines(proofs))
        self._above: list[str] = []
        # Ends that may not be the last word yet, with their lines.
        self._held: dict[str, list[str]] = {}
        self._passed = 0

    def add(self, event: Event, facts: Facts, *, rows: int) -> Iterator[str] | None:
        """Take in an event, to be shown with the next frame on a screen of so many rows; what its
        task had printed, if that is to be shown before.
        """
        lines, output = self._lines.of(event, facts)
        match event:
            case AttemptEnded(task=name, status=status) if self._logs and status in FAILED:
                if not event.warned and len(self.shown) < _MOST_SHOWN:
                    self._held[name], lines = lines, []
            case RetryScheduled(task=name):
                lines = self._held.pop(name, []) + lines
            case RetryDropped(task=name):
                self._held[name] = []
            case AttemptEnded() | TaskNotRun() if event.status in WELL and self._folds(facts, rows):
                self._passed += event.status is Status.SUCCESS
                lines = []
            case PhaseEnded() | RunEnded():
                lines = [*self._settled(facts), *self._folded(), *lines]
        self._above += lines
        return output

    def frame(self, facts: Facts, now: float, *, columns: int, rows: int) -> str:
        """The board as it is now, below all that came since the last frame."""
        above = self.lines(facts)
        return self._board.frame(facts, now, columns=columns, rows=rows, above=above)

    def lines(self, facts: Facts) -> list[str]:
        """What came since the last frame, alone."""
        above = [*self._above, *self._settled(facts)]
        self._above = []
        return above

    def erased(self, *, columns: int) -> str:
        """What takes the board away."""
        return self._board.erase(columns=columns)

    def _folds(self, facts: Facts, rows: int) -> bool:
        return not self._whole and len(facts.tasks) > max(0, rows - BOARD_ROWS)

    def _folded(self) -> list[str]:
        """How many tasks went well without a line of their own."""
        passed, self._passed = self._passed, 0
        if not passed:
            return []
        told = self._style.paint(f"{passed} passed", "success")
        return [f"{self._style.shape('success')} {told}"]

    def _settled(self, facts: Facts) -> list[str]:
        """The failures that are the last word, each with the end of its log."""
        told: list[str] = []
        held, self._held = self._held, {}
        for name in held:
            task = facts.tasks[name]
            if task.status in FAILED:
                self.shown.add(name)
                told += [*self._failure(facts, task), ""]
        return told

    def _failure(self, facts: Facts, task: TaskFacts) -> list[str]:
        from zf.proof.read import log_tail
        from zf.report.excerpt import LOOK_LINES
        from zf.report.summary import failure

        run_dir = f"{self._proofs}/{facts.run}"
        number = facts.step_number(task)
        tail = log_tail(run_dir, task.id, number, lines=LOOK_LINES)
        proof = path_shown(run_dir)
        return failure(facts, task, tail=tail, most=self._most, proof=proof, style=self._style)


# Logs of tasks that have ended are let go when there are more.
_MOST_KEPT = 4 * BOARD_ROWS


class LastLines:
    """What each running task printed last."""

    def __init__(self, proofs: str) -> None:
        self._proofs = proofs
        self._logs: dict[str, tuple[int, AttemptLog]] = {}

    def __call__(self, facts: Facts, task: TaskFacts) -> Heard | None:
        """Of this task; None before it has a log."""
        if len(self._logs) > _MOST_KEPT:
            self._logs = {name: log for name, log in self._logs.items() if name in facts.running}
        attempt, log = self._logs.get(task.id, (0, None))
        if log is None or attempt != task.attempt:
            run_dir = f"{self._proofs}/{facts.run}"
            log = AttemptLog(run_dir, task.id, task.attempt, facts.first_step)
            self._logs[task.id] = task.attempt, log
        found = log.last_line()
        if found is None:
            return None
        line, written = found
        return Heard(line.decode("utf-8", "replace"), max(0.0, time.time() - written))
