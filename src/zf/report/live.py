"""The live board on a terminal: where its lines go and how the last frame is wiped away.

Returns the text to write and never writes, so it needs no thread and a test can play the screen.
What the lines say is `terminal.board`'s matter; when to draw them is the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.report import terminal
from zf.report.words import PLAIN, Style, without_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.facts import Facts

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
        lines = terminal.board(facts, now, columns=columns, rows=rows - 1, style=self._style)
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
