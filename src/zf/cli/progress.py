"""What a run shows while it goes on (stderr) and when it is over (stdout).

A terminal that has gone away, a pipe nobody reads, a bug in here: the run falls silent and goes on.
"""

from __future__ import annotations

import os
import sys
import time
from typing import IO, TYPE_CHECKING, Literal

from zf.cli.streams import say
from zf.record import record

if TYPE_CHECKING:
    from zf.events import Event
    from zf.report.facts import Facts
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
        from zf.cli.lines import Lines
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
        # The board itself shows what runs.
        self._lines = Lines(proofs, show.output, self._style, starts=self._board is None)
        self._heartbeats = Heartbeats()
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
        lines = self._lines.of(event, facts) if event is not None else []
        due = mono >= self._next_frame
        if due:
            self._next_frame = mono + FRAME_S
            lines += self._lines.new_output(facts)
            lines += self._heartbeat_lines(facts, mono)
        if self._board is None:
            self._write("".join(f"{line}\n" for line in lines))
        elif lines or due:
            columns, rows = _terminal_size()
            self._write(self._board.frame(facts, mono, columns=columns, rows=rows, above=lines))

    def finish(self, done: Launched, signed_by: str | None) -> None:
        """Print what came of it: the deadlock report if there is one, and the summary last.

        Said or not, the verdict is in the proof and in the exit code.
        """
        try:
            if self._board is not None and not self._muted:
                self._write(self._board.erase(columns=_terminal_size().columns))
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
            import json  # not what the loading of the project should wait for

            return json.dumps(result_json(done, signed_by)) + "\n"
        style = Style(wants_colour(sys.stdout))
        tails = {
            t.id: log_tail(done.run_dir, t.id, done.facts.step_number(t)) for t in done.facts.failed
        }
        text = explain.run(
            done.facts,
            tails=tails,
            proof=os.path.relpath(done.run_dir),
            style=style,
        )
        return text + terminal.anchors(done.run, done.head, signed_by, style)

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


def _terminal_size() -> os.terminal_size:
    from shutil import get_terminal_size  # 2 ms where there is no terminal

    return get_terminal_size()


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


def _silent_s(logs: str) -> float | None:
    """How long ago a task's newest log grew."""
    try:
        with os.scandir(logs) as entries:
            newest = max((entry.stat().st_mtime for entry in entries), default=None)
    except OSError:
        return None
    return None if newest is None else max(0.0, time.time() - newest)
