"""What a run shows while it goes on (stderr) and when it is over (stdout).

A terminal that has gone away, a pipe nobody reads, a bug in here: the run falls silent and goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import IO, TYPE_CHECKING, Literal

from zf.cli.streams import say
from zf.record import record

if TYPE_CHECKING:
    from zf.events import Event
    from zf.report.facts import Facts, TaskFacts
    from zf.run.launch import Launched

Output = Literal["group", "prefix", "quiet"]
Mode = Literal["auto", "live", "plain", "json"]

# Four frames a second look alive and cost next to nothing.
FRAME_S = 0.25


@record
class Show:
    """What the user asked to see."""

    output: Output
    mode: Mode
    as_json: bool


def wants_colour(stream: IO[str]) -> bool:
    """Colour is for terminals, and for nobody under NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Watcher:
    """Told of everything that happens; `look_s` is how often it wants to be told of nothing."""

    def __init__(self, show: Show, proofs: str) -> None:
        from zf.report.live import Board
        from zf.report.terminal import Heartbeats
        from zf.report.words import Style

        mode = show.mode
        if mode in {"auto", "live"}:
            # Nothing moves without a terminal or under NO_COLOR, not even when asked to.
            moves = wants_colour(sys.stderr) and (mode == "live" or not os.environ.get("CI"))
            mode = "live" if moves else "plain"
        self._show = show
        self._mode = mode
        self._proofs = proofs
        self._style = Style(wants_colour(sys.stderr) and mode != "json")
        self._board = Board(self._style) if mode == "live" else None
        self._heartbeats = Heartbeats()
        self._followed: dict[str, _Follower] = {}
        self._next_frame = 0.0
        self._muted = False
        self._broke: Exception | None = None
        follows = mode == "live" or show.output == "prefix"
        self.look_s = FRAME_S if follows else float("inf")

    def watch(self, event: Event | None, facts: Facts, mono: float) -> None:
        """Show an event, or (with None) that time has passed."""
        if self._muted:
            return
        try:
            self._show_that(event, facts, mono)
        except Exception as error:  # noqa: BLE001  # a picture of the run must not cost the run
            self._muted = True
            self._broke = error

    def _show_that(self, event: Event | None, facts: Facts, mono: float) -> None:
        if self._mode == "json":
            if event is not None:
                self._json(event, mono)
            return
        lines = self._event_lines(event, facts) if event is not None else []
        due = mono >= self._next_frame
        if due:
            self._next_frame = mono + FRAME_S
            lines += self._new_output(facts)
            lines += self._heartbeat_lines(facts, mono)
        if self._board is None:
            self._write("".join(f"{line}\n" for line in lines))
        elif lines or due:
            columns, rows = shutil.get_terminal_size()
            self._write(self._board.frame(facts, mono, columns=columns, rows=rows, above=lines))

    def finish(self, done: Launched, signed_by: str | None) -> None:
        """Print what came of it: the deadlock report if there is one, and the summary last.

        Said or not, the verdict is in the proof and in the exit code.
        """
        try:
            if self._board is not None and not self._muted:
                self._write(self._board.erase(columns=shutil.get_terminal_size().columns))
            say(sys.stdout, self._summary(done, signed_by))
        except Exception as error:  # noqa: BLE001  # as above
            self._broke = error
        if self._broke is not None:
            from zf.cli import crash

            told = crash.told(self._broke)
            say(sys.stderr, f"zf: the run is complete, showing it was not: {told}\n")

    def _summary(self, done: Launched, signed_by: str | None) -> str:
        from zf.proof.read import log_tail
        from zf.report import explain, terminal
        from zf.report.words import Style

        if self._show.as_json:
            return json.dumps(result_json(done, signed_by)) + "\n"
        style = Style(wants_colour(sys.stdout))
        tails = {t.id: log_tail(done.run_dir, t.id, t.step or 1) for t in done.facts.failed}
        text = explain.run(
            done.facts,
            tails=tails,
            proof=os.path.relpath(done.run_dir),
            style=style,
        )
        return text + terminal.anchors(done.run, done.head, signed_by, style)

    def _event_lines(self, event: Event, facts: Facts) -> list[str]:
        from zf.events import AttemptEnded, AttemptStarted
        from zf.report import terminal
        from zf.report.facts import at_end

        line = terminal.plain_line(facts, event, self._style)
        lines = [line] if line else []
        if isinstance(event, AttemptStarted):
            if self._show.output == "prefix":
                run_dir = f"{self._proofs}/{facts.run}"
                self._followed[event.task] = _Follower(run_dir, event.task, event.attempt)
            if self._board is not None:
                lines = []  # the board itself shows what runs
        elif isinstance(event, AttemptEnded):
            lines = self._ended_lines(at_end(facts, event), facts, lines)
        return lines

    def _ended_lines(self, task: TaskFacts, facts: Facts, lines: list[str]) -> list[str]:
        from zf.events import Status
        from zf.proof.read import log_tail
        from zf.report import terminal

        run_dir = f"{self._proofs}/{facts.run}"
        if self._show.output == "prefix":
            follower = self._followed.pop(task.id)
            return [*(terminal.prefixed(task.id, text) for text in follower.rest()), *lines]
        if self._show.output == "group":
            log = _Follower(run_dir, task.id, task.attempt).rest()
            return [*terminal.grouped(task, log), *lines]
        if task.status != Status.SUCCESS and task.step is not None:
            log = log_tail(run_dir, task.id, task.step, attempt=task.attempt)
            lines += terminal.failure_tail(log)
        return lines

    def _new_output(self, facts: Facts) -> list[str]:
        from zf.report.terminal import prefixed

        lines = []
        for name, follower in self._followed.items():
            if name in facts.running:
                lines += [prefixed(name, text) for text in follower.more()]
        return lines

    def _heartbeat_lines(self, facts: Facts, mono: float) -> list[str]:
        from zf.report.terminal import HEARTBEAT_S, heartbeat_line

        if self._board is not None:
            return []
        lines = []
        for task in self._heartbeats.due(facts, mono):
            silent_s = _silent_s(f"{self._proofs}/{facts.run}/{task.id}/20-logs")
            if silent_s is not None and silent_s < HEARTBEAT_S:
                # It is at work, though nobody is shown what it prints.
                self._heartbeats.heard(task.id, mono - silent_s)
                continue
            lines.append(heartbeat_line(task, mono, silent_s=silent_s, style=self._style))
        return lines

    def _json(self, event: Event, mono: float) -> None:
        from zf.report.terminal import json_line

        self._write(json_line(event, mono=mono) + "\n")

    def _write(self, text: str) -> None:
        if not text:
            return
        self._muted = not say(sys.stderr, text)


def result_json(done: Launched, signed_by: str | None) -> dict[str, object]:
    """What `--json` prints of a finished run."""
    from zf.report.runs import as_json, row

    return {
        **as_json([row(done.facts)])[0],
        "exit_code": done.exit_code,
        "proof": done.run_dir,
        "head": done.head,
        "signed_by": signed_by,
        "tasks": {task.id: task.word for task in done.facts.tasks.values()},
    }


class _Follower:
    """Reads the logs of one attempt as they grow, line by line, step after step."""

    # A line longer than this is shown in pieces, so that memory stays flat.
    _LONGEST = 64 * 1024

    def __init__(self, run_dir: str, task: str, attempt: int) -> None:
        self._run_dir = run_dir
        self._task = task
        self._attempt = attempt
        self._step = 1
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
        from zf.proof.read import attempt_tree

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


def _silent_s(logs: str) -> float | None:
    """How long ago a task's newest log grew."""
    try:
        with os.scandir(logs) as entries:
            newest = max((entry.stat().st_mtime for entry in entries), default=None)
    except OSError:
        return None
    return None if newest is None else max(0.0, time.time() - newest)
