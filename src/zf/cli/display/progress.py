"""What a run shows while it goes on (stderr) and when it is over (stdout).

A terminal that has gone away, a bug in here: the run falls silent and goes on. A display that takes
nothing for a while (a full pipe, Ctrl-S) holds up nothing either: what tasks print waits in their
logs, other lines are kept, and past a bound dropped and counted.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cached_property
from itertools import chain, islice
from typing import IO, TYPE_CHECKING

from zf.cli.display import streams
from zf.cli.display.streams import say
from zf.cli.project import path_shown, program
from zf.errors import Exit, Problem
from zf.lean.records import replace
from zf.proof.layout import LOGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from zf.cli.display.folds import Folds
    from zf.cli.display.lines import Lines
    from zf.cli.display.live import Live
    from zf.events import Event
    from zf.report.facts import Facts
    from zf.report.terminal import Heartbeats
    from zf.report.words import Style
    from zf.run.sealing import Launched
    from zf.settings import RunOptions

# Four frames a second look alive and cost next to nothing.
FRAME_S = 0.25
# How long a run that was told to end waits for a reader to take something.
_PATIENCE_S = 0.5
_LINES_AT_ONCE = 500


def style_of(stream: IO[str]) -> Style:
    """How to write to this stream: coloured or not, in ASCII or beyond."""
    from zf.report.words import Style

    columns = terminal_size().columns if stream.isatty() else 0
    return Style(wants_colour(stream), utf8=_shows_utf8(os.environ), columns=columns, zf=program())


# The variable by which each CI system says that this is one of its jobs.
_TELLS = {"github": "GITHUB_ACTIONS", "gitlab": "GITLAB_CI"}


def ci_around(asked: str, environ: Mapping[str, str]) -> str:
    """The CI system that `--ci` names, or `auto` finds; empty for none. A zf that a step of another
    zf started writes into that one's logs, and not into the job's.
    """
    if asked == "none" or (asked == "auto" and "ZF_COOKIE" in environ):
        return ""
    if asked != "auto":
        return asked
    return next((name for name, tells in _TELLS.items() if environ.get(tells) == "true"), "")


def _shows_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale is one of UTF-8, by the first variable that says anything. The console of
    Linux has a font of few characters.
    """
    if environ.get("TERM") == "linux":
        return False
    named = (environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return "utf8" in next(filter(None, named), "").lower().replace("-", "")


def wants_colour(stream: IO[str]) -> bool:
    """Colour is for terminals, and never under NO_COLOR (https://no-color.org)."""
    return can_move(stream) and not os.environ.get("NO_COLOR")


def can_move(stream: IO[str]) -> bool:
    """Whether this is a terminal on which a line that was written can be written anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _is_one_screen() -> bool:
    """Whether stdout and stderr are one terminal."""
    try:
        return os.isatty(1) and os.path.sameopenfile(1, 2)
    except OSError:
        return False


class Watcher:
    """Told of everything that happens; `look_s` is how often it wants to be told of nothing.
    `in_one` says that what the run came to is shown where this is; stdout may be elsewhere.
    """

    def __init__(self, options: RunOptions, proofs: str, *, in_one: bool = False) -> None:
        mode: str = options.progress
        self.ci = ci_around(options.ci, os.environ)
        if mode in {"auto", "live"}:
            # Nothing moves without a terminal, not even when asked to.
            alive = mode == "live" or not (self.ci or os.environ.get("CI"))
            moves = can_move(sys.stderr) and alive
            mode = "live" if moves else "plain"
        if options.quiet and mode != "json":
            mode = "none"
        self._options = options
        self._in_one = in_one or _is_one_screen()
        self._mode = mode
        self._proofs = proofs
        output = options.output or ("group" if self.ci else "quiet")
        logs = mode == "live" and output == "quiet"
        self._output = output
        if self.ci == "github":
            streams.escape_commands()
        self._live: Live | None = None
        if mode == "live":
            from zf.cli.display.live import Live

            self._live = Live(
                self._lines,
                proofs,
                self._style,
                most=options.tail,
                whole=options.verbose,
                logs=logs,
            )
        # Whether the foot of the terminal is this run's; another may have it.
        self.in_front = True
        self._next_frame = 0.0
        self._display = streams.display()
        if self._display is not None and mode == "json":
            self._display.notice = _lines_dropped
        self._muted = self._is_ready = False
        self._broke: Exception | None = None
        follows = mode == "live" or (output == "prefix" and mode != "none")
        self.look_s = FRAME_S if follows else float("inf")

    # What shows a run is imported when it has begun: its first task does not wait for that.

    @cached_property
    def _lines(self) -> Lines:
        from zf.cli.display.lines import Lines

        options, is_live = self._options, self._mode == "live"
        return Lines(
            self._proofs,
            self._output,
            self._style,
            # The board itself shows what runs, heartbeats what runs long.
            starts=options.verbose and not is_live,
            # Elsewhere the board or the summary has them.
            tails=options.as_json and not (is_live and self._output == "quiet"),
            most=options.tail,
            folds=self._folds(),
            why=options.why,
        )

    @cached_property
    def _style(self) -> Style:
        return self._style_of(sys.stderr)

    @cached_property
    def _heartbeats(self) -> Heartbeats:
        from zf.report.terminal import Heartbeats

        return Heartbeats()

    def output_fd(self) -> int | None:
        """What becomes writable when the display takes what it has not taken yet."""
        display = self._display
        return display.fileno() if display is not None and display.pending else None

    def watch(self, event: Event | None, facts: Facts, mono: float) -> None:
        """Show an event, or (with None) that time has passed."""
        if self._muted:
            return
        try:
            if event is not None and not self._is_ready:
                self._get_ready(event)
            if self._mode == "none":
                return
            if self._is_behind():
                assert self._display is not None
                self._display.pump()
            if event is not None or mono >= self._next_frame:
                self._show_that(event, facts, mono)
        except Exception as error:  # noqa: BLE001  # a picture of the run must not cost the run
            self._muted = True
            self._broke = error

    def _get_ready(self, event: Event) -> None:
        """Import what the end of the run takes while its first task runs, and nothing waits."""
        from zf.events import AttemptStarted

        if isinstance(event, AttemptStarted):
            import zf.cli.display.records
            import zf.report.explain
            import zf.report.summary  # noqa: F401

            self._is_ready = True

    def _folds(self) -> Folds | None:
        if not self.ci:
            return None
        from zf.cli.display.folds import SYSTEMS

        return SYSTEMS[self.ci]() if self._mode == "plain" else None

    def _style_of(self, stream: IO[str]) -> Style:
        """How to write to this stream; a CI system shows UTF-8, whatever its jobs' locale is."""
        style = style_of(stream)
        return replace(style, utf8=True) if self.ci else style

    def _show_that(self, event: Event | None, facts: Facts, mono: float) -> None:
        if self._mode == "json":
            if event is not None:
                self._json(event, mono)
            return
        if self._live is not None:
            self._show_live(self._live, event, facts, mono)
            return
        lines, output = self._lines.of(event, facts) if event is not None else ([], None)
        if mono >= self._next_frame:
            self._next_frame = mono + FRAME_S
            lines += self._heartbeat_lines(facts, mono)
            if not self._is_behind():
                self._follow(self._lines.new_output(facts))
        if output is not None:
            self._follow(output)
        if lines:
            self._write("\n".join([*lines, ""]))

    def _show_live(self, live: Live, event: Event | None, facts: Facts, mono: float) -> None:
        """Whatever happens, no more than a frame in so long."""
        columns, rows = terminal_size()
        output = live.add(event, facts, rows=rows) if event is not None else None
        if output is not None:
            self._follow(output)
        if not self.in_front:
            self._write_above(live, facts)
            return
        if mono < self._next_frame:
            return
        self._next_frame = mono + FRAME_S
        if self._is_behind():
            # No frame is drawn on one that is not shown yet.
            self._write_above(live, facts)
        else:
            self._follow(self._lines.new_output(facts))
            self._write(live.frame(facts, mono, columns=columns, rows=rows))

    def _write_above(self, live: Live, facts: Facts) -> None:
        """Take the board away, and write what had scrolled by above it with the next frame."""
        lines = live.lines(facts)
        if lines:
            self._write(self._erased() + "".join(f"{line}\n" for line in lines))

    def finish(self, done: Launched, signed_by: str | None) -> int:
        """Print what came of it: the deadlock report if there is one, and the summary last.

        Returns the exit code, which is not 0 when that could not be printed. A run that was told to
        end does not wait for a reader that takes nothing.
        """
        told_to_end = done.exit_code in {Exit.INTERRUPTED, Exit.TERMINATED}
        code = done.exit_code
        try:
            if not self._muted:
                self.settle(done.facts)
                # Apart from the progress, where both are on one screen.
                apart = self._mode != "none" and sys.stdout.isatty() and sys.stderr.isatty()
                self._write(self._erased() + "\n" * (apart and not self._options.as_json))
            patience_s = _PATIENCE_S if told_to_end else None
            self._close_folds(patience_s)
            self._annotate(done.run_dir)
            error = streams.say_result(self._summary(done, signed_by), patience_s)
            if error is not None and not code:
                code = _untold(done, error)
        except Exception as error:  # noqa: BLE001  # as above
            self._broke = error
        if self._broke is not None:
            from zf.cli.exits import internal_error

            told = internal_error(self._broke)
            say(sys.stderr, f"zf: the run is complete, showing it was not: {told}\n")
        return code

    def settle(self, facts: Facts) -> None:
        """Show what has not scrolled by yet, and take the board away."""
        if self._live is not None and not self._muted:
            self._write_above(self._live, facts)
            self._write(self._erased())

    @property
    def shown(self) -> Collection[str]:
        """The failures that are on the screen with their logs."""
        return self._shown()

    def _close_folds(self, patience_s: float | None = None) -> None:
        """End what is still folded, also after a reader that had stopped to take anything."""
        if self.ci:
            streams.show_rest(patience_s)
            self._write("".join(f"{line}\n" for line in self._lines.closing()))

    def _annotate(self, run_dir: str) -> None:
        if self.ci == "github" and self._mode != "json":
            from zf.cli.display import ci

            ci.annotate(run_dir)

    def _is_behind(self) -> bool:
        return self._display is not None and self._display.pending

    def _erased(self) -> str:
        return "" if self._live is None else self._live.erased(columns=terminal_size().columns)

    def _shown(self) -> Collection[str]:
        """The failures that are on the screen with their logs, on which the summary will be."""
        lost = self._muted or (self._display is not None and self._display.has_dropped)
        return () if self._live is None or lost or not self._in_one else self._live.shown

    def _follow(self, lines: Iterable[str]) -> None:
        """Show what tasks have printed, as fast as the display takes it."""
        if self._display is None:
            self._write("".join(f"{line}\n" for line in lines))
            return
        pieces = _in_pieces(lines)
        first = next(pieces, b"")
        if first:
            self._write(self._erased())
            self._display.follow(chain((first,), pieces))

    def _summary(self, done: Launched, signed_by: str | None) -> str:
        from zf.cli.display.records import outputs_of, remarks_of, result_json, tails_of
        from zf.report import explain
        from zf.report.summary import anchors, brief

        if self._options.as_json:
            import json  # not what the loading of the project should wait for

            return json.dumps(result_json(done, signed_by)) + "\n"
        style = self._style_of(sys.stdout)
        tails = tails_of(done.facts, done.run_dir)
        most, proof = self._options.tail, path_shown(done.run_dir)
        if self._options.quiet:
            return brief(done.facts, tails=tails, most=most, proof=proof, style=style)
        text = explain.run(
            done.facts,
            tails=tails,
            most=most,
            proof=proof,
            style=style,
            remarks=remarks_of(done.facts, done.run_dir, done.odd),
            outputs=outputs_of(done.facts, done.run_dir),
            shown=self._shown(),
        )
        return text + anchors(done.facts, done.head, signed_by, style, done.compared)

    def _heartbeat_lines(self, facts: Facts, mono: float) -> list[str]:
        from zf.report.terminal import HEARTBEAT_S, heartbeat_line

        lines = []
        for task in self._heartbeats.due(facts, mono):
            silent_s = _silent_s(f"{self._proofs}/{facts.run}/{task.id}/{LOGS}")
            if silent_s is not None and silent_s < HEARTBEAT_S:
                # It is at work, though what it prints is not shown.
                self._heartbeats.heard(task.id, mono - silent_s)
                continue
            lines.append(heartbeat_line(task, mono, silent_s=silent_s, style=self._style))
        return lines

    def _json(self, event: Event, mono: float) -> None:
        from zf.report.terminal import json_line

        self._write(json_line(event, mono) + "\n")

    def _write(self, text: str) -> None:
        if not text:
            return
        self._muted = not say(sys.stderr, text)


def _in_pieces(lines: Iterable[str]) -> Iterator[bytes]:
    rest = iter(lines)
    while some := list(islice(rest, _LINES_AT_ONCE)):
        yield "".join(f"{line}\n" for line in some).encode("utf-8", "backslashreplace")


def _lines_dropped(lines: int) -> str:
    return f'{{"type":"lines_dropped","lines":{lines}}}\n'


def _untold(done: Launched, error: OSError) -> int:
    """Say that a successful run could not be told on stdout; the exit code."""
    if isinstance(error, (BrokenPipeError, streams.ReaderGoneError)):
        return Exit.BROKEN_PIPE  # no reader wants to hear more
    problem = Problem(
        "ZF191",
        f"run {done.run} succeeded, but its result could not be written to stdout:"
        f" {error.strerror}",
        hint=f"zf status {done.run} shows it; to discard it, use >/dev/null",
    )
    say(sys.stderr, problem.render() + "\n")
    return Exit.FAILED


def terminal_size() -> os.terminal_size:
    from shutil import get_terminal_size  # 2 ms where there is no terminal

    return get_terminal_size()


def _silent_s(logs: str) -> float | None:
    """How long ago a task's newest log grew."""
    try:
        with os.scandir(logs) as entries:
            newest = max((entry.stat().st_mtime for entry in entries), default=None)
    except OSError:
        return None
    return None if newest is None else max(0.0, time.time() - newest)
