"""The lines that events and the steps' output make, on a terminal or in the log of a CI job."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import AttemptEnded, AttemptStarted, Cached, CacheMissed, Cause, Status, TaskNotRun
from zf.proof.read import log_tail
from zf.report import terminal
from zf.report.words import TAIL_LINES, log_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.cli.display.folds import Fold, Folds
    from zf.events import Event
    from zf.proof.growing import LogLines
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts
    from zf.report.words import Style


_IN_SUMMARY = frozenset({Status.BLOCKED, Status.CANCELLED})
# But these are the cause of what they block.
_OF_ITS_OWN = frozenset({Cause.APPROVAL_REJECTED, Cause.APPROVAL_TIMEOUT})


class Lines:
    """What to print of a run under `proofs`; `output` is a choice of `--output`, and `starts` says
    whether starts are told too, `tails` whether a failure's log is shown at once, and `most` how
    many lines of it. `folds` are those of the CI system whose log this is; `why` says whether it
    is told what came of looking for earlier results.
    """

    def __init__(
        self,
        proofs: str,
        output: str,
        style: Style,
        *,
        starts: bool,
        tails: bool = False,
        most: int | None = None,
        folds: Folds | None = None,
        why: bool = False,
    ) -> None:
        self._proofs = proofs
        self._output = output
        self._style = style
        self._starts = starts
        self._tails = tails
        self._most = most
        self._folds = folds
        self._why = why
        self._followed: dict[str, LogLines] = {}

    def of(self, event: Event, facts: Facts) -> tuple[list[str], Iterator[str] | None]:
        """The lines an event makes, and what its task had printed if that is to be shown before
        them, read only as it is asked for.
        """
        if isinstance(event, AttemptStarted):
            if self._output == "prefix":
                self._followed[event.task] = self._log(facts, event.task, event.attempt)
            if not self._starts:
                return [], None
        if isinstance(event, Cached | CacheMissed):
            return self._looked_up(event) if self._why else [], None
        if self._leaves_to_summary(event):
            return [], None
        line = terminal.plain_line(facts, event, self._style)
        lines = [self._style.folded(line)] if line else []
        if isinstance(event, AttemptEnded):
            return self._ended(facts.tasks[event.task], facts, lines)
        return lines, None

    def _looked_up(self, event: Cached | CacheMissed) -> list[str]:
        from zf.report.remarks import on_cache

        style = self._style
        first, *rest = on_cache(event)
        lines = [f"{style.label('cache')} {printable(event.task)}  {first}"]
        return [style.folded(line) for line in (*lines, *(f"  {line}" for line in rest))]

    def _leaves_to_summary(self, event: Event) -> bool:
        """Of tasks that something else stopped there are often many, and none is the cause."""
        if self._starts or self._tails:
            return False
        if not isinstance(event, TaskNotRun) or event.cause in _OF_ITS_OWN:
            return False
        return event.status in _IN_SUMMARY

    def new_output(self, facts: Facts) -> Iterator[str]:
        """What tasks have printed since the last call, when output is shown as it comes."""
        lines = []
        for name, follower in self._followed.items():
            if name in facts.running:
                lines += [terminal.prefixed(name, text) for text in follower.more()]
        return self._streamed(iter(lines))

    def closing(self) -> list[str]:
        """What ends the folds that are still open: the run is over."""
        return [] if self._folds is None else self._folds.closing()

    def _streamed(self, lines: Iterator[str]) -> Iterator[str]:
        return lines if self._folds is None else self._folds.streamed(lines)

    def _ended(
        self, task: TaskFacts, facts: Facts, lines: list[str]
    ) -> tuple[list[str], Iterator[str] | None]:
        if self._output == "prefix":
            follower = self._followed.pop(task.id)
            rest = (terminal.prefixed(task.id, text) for text in follower.rest())
            return lines, self._streamed(rest)
        if self._output == "group":
            whole = self._log(facts, task.id, task.attempt).rest()
            if self._folds is None:
                return lines, terminal.grouped(task, whole)
            return [], self._folds.folded(_fold(task, facts.run, lines[0]), map(log_line, whole))
        if self._tails and task.status != Status.SUCCESS and task.step is not None:
            from zf.report.excerpt import LOOK_LINES

            number = facts.step_number(task)
            run_dir = f"{self._proofs}/{facts.run}"
            log = log_tail(run_dir, task.id, number, attempt=task.attempt, lines=LOOK_LINES)
            lines += terminal.failure_tail(log, self._most or task.log_tail or TAIL_LINES)
        return lines, None

    def _log(self, facts: Facts, task: str, attempt: int) -> LogLines:
        from zf.proof.growing import AttemptLog, LogLines

        run_dir = f"{self._proofs}/{facts.run}"
        return LogLines(AttemptLog(run_dir, task, attempt, facts.first_step))


def _fold(task: TaskFacts, run: str, title: str) -> Fold:
    """The fold of an attempt; what went well is closed."""
    from zf.cli.display.folds import Fold

    return Fold(
        title,
        f"zf-{run}-{task.id}-{task.attempt}",
        _seconds(task.started_at),
        _seconds(task.completed_at),
        is_open=task.status != Status.SUCCESS,
    )


def _seconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())
