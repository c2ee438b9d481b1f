"""The live board on a terminal: what its lines say, and how they replace those of the last frame.

Returns the text to write and never writes, so it needs no thread and a test can play the screen.
When to draw is the caller's decision.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import FAILED, Status
from zf.report.words import PLAIN, Style, since, without_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

BOARD_ROWS = 12
_UP = "\x1b[{}A"
_ERASE_LINE = "\x1b[K"
_ERASE_BELOW = "\x1b[J"


class Board:
    """Some lines at the bottom of the terminal, redrawn in place; finished lines scroll above."""

    def __init__(self, style: Style = PLAIN) -> None:
        self._style = style
        self._lengths: list[int] = []

    def frame(
        self, facts: Facts, now: float, *, columns: int, rows: int, above: Sequence[str] = ()
    ) -> str:
        """What to write to show the board as it is now, with `above` added to what scrolls by."""
        # One row stays free for the cursor; a board as high as the screen would scroll it away.
        lines = board(facts, now, columns=columns, rows=rows - 1, style=self._style)
        start = self._back(columns)
        self._lengths = [len(without_colour(line)) for line in lines]
        if above:
            # Lines above may wrap, so the rows they land on are wiped first.
            start += _ERASE_BELOW + "".join(f"{line}\n" for line in above)
        return start + "".join(f"{_ERASE_LINE}{line}\n" for line in lines) + _ERASE_BELOW

    def erase(self, *, columns: int) -> str:
        """What to write to take the board away, before the summary or after an error."""
        start = self._back(columns) + _ERASE_BELOW if self._lengths else ""
        self._lengths = []
        return start

    def _back(self, columns: int) -> str:
        """To the first row of the last frame. A terminal made narrower has wrapped its lines."""
        up = sum(max(1, -(-length // max(1, columns))) for length in self._lengths)
        return f"\r{_UP.format(up)}" if up else ""


def board(
    facts: Facts, now: float, *, columns: int, rows: int = BOARD_ROWS, style: Style = PLAIN
) -> list[str]:
    """At most `rows` lines, each narrower than `columns`: counts first, then what runs longest.

    The cost does not depend on the number of tasks: 20 000 are drawn as fast as 20.
    """
    width = max(1, columns - 1)
    rows = max(1, min(rows, BOARD_ROWS))
    room = rows - 1
    shown = room if len(facts.running) <= room else max(0, room - 1)
    # Running tasks are in order of start, so the first ones have run longest.
    longest = islice(facts.running.values(), shown)
    lines = [_counts_row(facts, now, width, style)]
    lines += [_running_row(facts, task, now, width) for task in longest]
    more = len(facts.running) - (len(lines) - 1)
    if more and room:
        lines.append(f"  and {more} more running"[:width])
    from zf.report import waiting  # noqa: PLC0415 - for the board alone

    waits = waiting.row(facts, now) if len(lines) < rows else ""
    if waits:
        lines.append(f"  waiting: {_ascii(waits)}"[:width])
    return lines


def _counts_row(facts: Facts, now: float, width: int, style: Style) -> str:
    counts = facts.counts
    warned = sum(facts.tolerated.values())
    failed = sum(counts[status] for status in FAILED) - warned
    not_run = counts[Status.BLOCKED] + counts[Status.CANCELLED] + counts[Status.SKIPPED]
    phase = f"phase {_ascii(facts.phase)}" if facts.phase else ""
    parts = [
        (f"{counts[Status.SUCCESS]} done", "success"),
        (f"{counts['running']} running", "running"),
        (f"{failed} failed", "failure" if failed else ""),
        (f"{warned} warned" if warned else "", "warned"),
        (f"{counts['waiting']} waiting", ""),
        (f"{not_run} not run" if not_run else "", "blocked"),
        ("throttled" if facts.throttle else "", "throttle"),
        ("interrupted" if facts.interrupted else phase, "bold"),
        (since(facts.started_mono, now), ""),
    ]
    text: list[str] = []
    left = width
    for part, colour in parts:
        if part and len(part) <= left:
            text.append(style.paint(part, colour))
            left -= len(part) + 2
    return "  ".join(text)


def _running_row(facts: Facts, task: TaskFacts, now: float, width: int) -> str:
    elapsed = since(task.started_mono, now)
    # Two spaces before and two between; names are cut so that the time can always be read.
    room = width - len(elapsed) - 4
    name = _ascii(task.id)
    if len(name) > room:
        name = name[: max(0, room - 3)] + "..."
    row = f"  {name}  {elapsed}"
    held, is_all = facts.waiting_on(task.id)
    extra = f"  holds up {held}{'' if is_all else '+'}" if held else ""
    return (row + extra if len(row + extra) <= width else row)[:width]


def _ascii(text: str) -> str:
    # Ids are ASCII; should one not be, its width on a terminal could not be known.
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")
