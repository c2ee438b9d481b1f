"""What `zf watch` shows: what changed, the run's board, what came of it, and that it waits."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from zf.cli.display import progress, streams
from zf.cli.display.keys import Keys
from zf.cli.display.records import tails_of
from zf.cli.project import as_typed, path_shown
from zf.errors import Exit, printable
from zf.events import CancelRequested, Cause
from zf.lean.records import replace
from zf.report.summary import brief
from zf.report.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.errors import Problem
    from zf.proof.journal import Line
    from zf.report.facts import Facts
    from zf.report.words import Style
    from zf.settings import RunOptions
    from zf.watch.cycle import Running

_MOST_FILES = 3
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_WISHES = {"\n": "all", "\r": "all", "f": "failed", "s": "shell", "q": "quit"}
_KEYS = "Enter runs all, {0}q quits"
# What is there for tasks that are not passed, and for those of them that failed.
_AGAIN, _SHELL = "f failed, ", "s shell, "


class Screen:
    """The terminal of a watch, or a log; `clear` says whether each cycle begins on an empty one."""

    def __init__(self, options: RunOptions, proofs: str, keys: Keys, *, clear: bool) -> None:
        self.look_s = progress.FRAME_S
        self._options = options
        self._proofs = proofs
        self._keys = keys
        self._moves = progress.can_move(sys.stderr)
        self._clear = clear and self._moves
        # A shell shows its prompt there.
        self._can_lend = sys.stderr.isatty()
        self._watchers: dict[str, progress.Watcher] = {}
        self._cycles: dict[str, Running] = {}
        # The cycle whose board is at the foot of the terminal.
        self._front = ""
        # What stands in the last line, which goes when something else comes.
        self._standing = ""
        self._last_waiting = ""

    @property
    def _style(self) -> Style:
        """As the terminal is now: it may have another size than before."""
        return progress.style_of(sys.stderr)

    def is_gone(self) -> bool:
        """Whether nothing reads any more what is shown."""
        display = streams.display()
        return display is not None and display.error is not None

    def fileno(self) -> int | None:
        """What becomes readable when a key is pressed; None without keys."""
        return self._keys.fileno()

    def pressed(self) -> list[str]:
        """What the keys ask for."""
        wishes = [_WISHES[key] for key in self._keys.pressed() if key in _WISHES]
        return [wish for wish in wishes if wish != "shell" or self._can_lend]

    def lend(self) -> None:
        """Leave the terminal to something else, until `take_back`."""
        self._take_away()
        self._keys.lend()

    def take_back(self) -> None:
        """Have it again."""
        self._keys.take_back()
        self._last_waiting = ""
        if self._moves:
            streams.say(sys.stderr, "\r\x1b[K")  # such as an echoed key

    def changed(self, files: Sequence[str]) -> None:
        """These files have changed."""
        if self._clear and not self._cycles:
            self._standing = ""
            streams.say(sys.stderr, _CLEAR)
        told = ", ".join(printable(file) for file in files[:_MOST_FILES])
        more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
        self._print(f"{self._style.paint('changed', 'bold')} {told}{more}")

    def begun(self, cycle: Running) -> None:
        """A cycle begins; it has the foot of the terminal."""
        self._take_away()
        self._settle_front()
        self._cycles[cycle.run] = cycle
        watcher = progress.Watcher(self._options, self._proofs, in_one=True)
        self._watchers[cycle.run] = watcher
        self._to_front(cycle.run)

    def _to_front(self, run: str) -> None:
        self._front = run
        for name, watcher in self._watchers.items():
            watcher.in_front = name == run

    def happened(self, cycle: Running, line: Line) -> None:
        """A line of its journal."""
        assert cycle.facts is not None
        if isinstance(line.event, CancelRequested) and line.event.by:
            return  # that files changed is told
        if cycle.run != self._front:
            self._settle_front()
        self._watchers[cycle.run].watch(line.event, cycle.facts, line.mono)

    def tick(self, now: float) -> None:
        """Time has passed."""
        facts = self._facts(self._front)
        if facts is not None:
            self._watchers[self._front].watch(None, facts, now)

    def over(self, cycle: Running) -> None:
        """It is over: its failures that are not on the screen yet, and one line."""
        del self._cycles[cycle.run]
        watcher = self._watchers.pop(cycle.run)
        facts = cycle.facts
        if cycle.run != self._front:
            self._settle_front()
        if facts is not None:
            watcher.settle(facts)
        if cycle.run == self._front:
            self._to_front(next(reversed(self._watchers), ""))
        said = cycle.said.decode("utf-8", "replace").rstrip("\n")
        if said:
            self._print(said)
        if facts is not None:
            self._print(self._came_to(cycle, facts, watcher))
        elif not said and cycle.exit_code not in {Exit.INTERRUPTED, Exit.TERMINATED}:
            self._print(f"no run was begun: its zf ended with exit code {cycle.exit_code}")

    def _came_to(self, cycle: Running, facts: Facts, watcher: progress.Watcher) -> str:
        at = self._style.paint(time.strftime("%H:%M:%S"), "dim")
        if facts.exit_code is None:
            return as_typed(
                f"the zf of run {cycle.run} was killed at {at}; what it ran has ended:"
                f" zf seal {cycle.run} closes its proof"
            )
        is_ended = not facts.failed and _only_superseded(facts)
        text = brief(
            facts,
            tails=tails_of(facts, cycle.run_dir),
            most=self._options.tail,
            proof=path_shown(cycle.run_dir),
            style=self._style,
            shown=watcher.shown,
            verdict=self._style.paint("superseded", "cancelled") if is_ended else "",
        ).rstrip("\n")
        return f"{text} at {at}"

    def waiting(self, tasks: int, files: int, unsettled: int, failed: int) -> None:
        """Nothing is under way; so many tasks are `unsettled`, of which so many `failed`."""
        # One or the other: with the keys, 80 columns are full. Where they are fewer, the keys stay.
        more = f" ({unsettled} not passed)" if unsettled else f", {count(files, 'file')}"
        told, keys = f"watching {count(tasks, 'task')}{more}", ""
        if self._keys.fileno() is not None:
            again = _AGAIN if unsettled else ""
            shell = _SHELL if failed and self._can_lend else ""
            keys = _KEYS.format(again + shell)
            told += f" - {keys}"
        if not self._moves:
            if told != self._last_waiting:
                self._print(told)
            self._last_waiting = told
            return
        self._take_away()
        columns = max(1, progress.terminal_size().columns - 1)
        self._standing = (told if len(told) <= columns else keys or told)[:columns]
        streams.say(sys.stderr, self._style.paint(self._standing, "dim"))

    def say(self, text: str) -> None:
        """A sentence."""
        self._print(as_typed(printable(text)))

    def problems(self, found: Sequence[Problem]) -> None:
        """What is wrong."""
        for problem in found:
            hint = as_typed(problem.hint) if problem.hint else problem.hint
            self._print(replace(problem, hint=hint).render())

    def close(self) -> None:
        """Nothing more is shown."""
        self._take_away()

    def _facts(self, run: str) -> Facts | None:
        cycle = self._cycles.get(run)
        return None if cycle is None else cycle.facts

    def _settle_front(self) -> None:
        """Make room above the board, which comes again with its next frame."""
        facts = self._facts(self._front)
        if facts is not None:
            self._watchers[self._front].settle(facts)

    def _print(self, text: str) -> None:
        self._take_away()
        self._settle_front()
        told = "\n".join(self._style.folded(line) for line in text.split("\n"))
        streams.say(sys.stderr, f"{told}\n")

    def _take_away(self) -> None:
        if self._standing:
            streams.say(sys.stderr, "\r\x1b[K")
        self._standing = ""


def _only_superseded(facts: Facts) -> bool:
    """Whether nothing keeps the run from having passed but what a change has ended."""
    ended = [task for task in facts.tasks.values() if task.status == "cancelled"]
    return bool(ended) and all(task.cause == Cause.SUPERSEDED for task in ended)
