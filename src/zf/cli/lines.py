"""The lines that events and the steps' output make, on a terminal or in the log of a CI job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zf.events import AttemptEnded, AttemptStarted, Status
from zf.proof.read import attempt_tree, log_tail
from zf.report import terminal
from zf.report.facts import at_end

if TYPE_CHECKING:
    from zf.events import Event
    from zf.report.facts import Facts, TaskFacts
    from zf.report.words import Style


class Lines:
    """What to print of a run under `proofs`; `output` is a choice of `--output`, and `starts` says
    whether starts are told too.
    """

    def __init__(self, proofs: str, output: str, style: Style, *, starts: bool) -> None:
        self._proofs = proofs
        self._output = output
        self._style = style
        self._starts = starts
        self._followed: dict[str, _Follower] = {}

    def of(self, event: Event, facts: Facts) -> list[str]:
        """The lines an event makes."""
        if isinstance(event, AttemptStarted):
            if self._output == "prefix":
                run_dir = f"{self._proofs}/{facts.run}"
                self._followed[event.task] = _Follower(run_dir, event.task, event.attempt)
            if not self._starts:
                return []
        line = terminal.plain_line(facts, event, self._style)
        lines = [line] if line else []
        if isinstance(event, AttemptEnded):
            return self._ended(at_end(facts, event), facts, lines)
        return lines

    def new_output(self, facts: Facts) -> list[str]:
        """What tasks have printed since the last call, when output is shown as it comes."""
        lines = []
        for name, follower in self._followed.items():
            if name in facts.running:
                lines += [terminal.prefixed(name, text) for text in follower.more()]
        return lines

    def _ended(self, task: TaskFacts, facts: Facts, lines: list[str]) -> list[str]:
        run_dir = f"{self._proofs}/{facts.run}"
        if self._output == "prefix":
            follower = self._followed.pop(task.id)
            return [*(terminal.prefixed(task.id, text) for text in follower.rest()), *lines]
        if self._output == "group":
            log = _Follower(run_dir, task.id, task.attempt).rest()
            return [*terminal.grouped(task, log), *lines]
        if task.status != Status.SUCCESS and task.step is not None:
            log = log_tail(run_dir, task.id, facts.step_number(task), attempt=task.attempt)
            lines += terminal.failure_tail(log)
        return lines


class _Follower:
    """Reads the logs of one attempt as they grow, line by line, step after step."""

    # A line longer than this is shown in pieces, so that memory stays flat.
    _LONGEST = 64 * 1024

    def __init__(self, run_dir: str, task: str, attempt: int) -> None:
        self._run_dir = run_dir
        self._task = task
        self._attempt = attempt
        self._step = 0
        self._offset = 0
        self._partial = b""

    def more(self) -> list[str]:
        """Whole lines written since the last call."""
        lines: list[str] = []
        while True:
            lines += self._lines()
            if not os.path.exists(self._log(self._step + 1)):
                return lines
            # The next step has begun, so this one's log is complete: read what came in between.
            lines += self._lines()
            lines += self._flush()
            self._step += 1
            self._offset = 0

    def rest(self) -> list[str]:
        """All lines not yet given, the unfinished last one too."""
        return self.more() + self._flush()

    def _log(self, step: int) -> str:
        # Asked for each time: the attempt's tree is moved aside when another begins.
        tree = attempt_tree(self._run_dir, self._task, self._attempt)
        return f"{self._run_dir}/{tree}/20-logs/step-{step}.log"

    def _flush(self) -> list[str]:
        lines = [_decoded(self._partial)] if self._partial else []
        self._partial = b""
        return lines

    def _lines(self) -> list[str]:
        lines: list[str] = []
        try:
            with open(self._log(self._step), "rb") as log:
                log.seek(self._offset)
                while piece := log.read(self._LONGEST):
                    self._offset += len(piece)
                    *whole, self._partial = (self._partial + piece).split(b"\n")
                    lines += map(_decoded, whole)
                    if len(self._partial) >= self._LONGEST:
                        lines += self._flush()
        except OSError:
            pass  # no log yet
        return lines


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").removesuffix("\r")
