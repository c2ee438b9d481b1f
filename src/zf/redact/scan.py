"""One scan of one text for secrets: what was found, and from where on it is too early to say. Pure.

The rules (`token_rules.py`) and the forms of named secrets (`secret_search.py`) write into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """A part to hide. Of two that begin together, the one with the lower `order` is counted.

    It was found because of what begins at `anchor`. A `run` goes on as long as its characters do.
    """

    start: int
    order: int
    end: int
    rule: str
    anchor: int
    run: re.Pattern[bytes] | None

    def reaches_over(self, hold: int) -> bool:
        """Whether it concerns what is still to come, and would not be found again there."""
        return self.anchor < hold and (self.end > hold or self.run is not None)

    def after(self, hold: int) -> Found:
        return self._replace(start=max(self.start - hold, 0), end=self.end - hold, anchor=-1)


class Mask(NamedTuple):
    """The value of an `::add-mask::` line, and where the next line begins."""

    value: bytes
    line_end: int


class Repeating(Protocol):
    """A string that overlaps with itself, such as `aaaaaaaa`."""

    text: bytes

    def repetition_end(self, text: bytes, start: int) -> int:
        """Where the last of the overlapping occurrences that begin at `start` ends."""


class Scan:
    """One text being searched: what is to be hidden, and from where on it is too early to say."""

    def __init__(
        self, text: bytes, position: int, since: Mapping[bytes, int], *, final: bool
    ) -> None:
        self.text = text
        self.final = final
        self.found: list[Found] = []
        self.masks: list[Mask] = []
        self.hold = len(text)
        self.order = 0
        self._position = position
        self._since = since
        self._runs: dict[re.Pattern[bytes], tuple[int, int]] = {}
        self._ends: dict[re.Pattern[bytes], tuple[int, re.Match[bytes] | None]] = {}
        self._repeats: dict[Repeating, tuple[int, int]] = {}

    def take_over(self, carried: Sequence[Found]) -> None:
        """What was found before and reaches into this text; runs go on here."""
        for found in carried:
            if found.run is None:
                self.found.append(found)
            else:
                end = self.run_end(found.run, found.end)
                run = found.run if self.is_open(end) else None
                self.found.append(found._replace(end=end, run=run))

    def hide(
        self, start: int, end: int, rule: str, anchor: int, run: re.Pattern[bytes] | None = None
    ) -> None:
        """Hide this part; with a run, what it goes on with in the next text too."""
        go_on = run if run is not None and self.is_open(end) else None
        self.found.append(Found(start, self.order, end, rule, anchor, go_on))

    def wait(self, start: int) -> None:
        """What begins at `start` cannot be judged yet."""
        self.hold = min(self.hold, start)

    def learn(self, value: bytes, line_end: int) -> None:
        self.masks.append(Mask(value, line_end))

    def is_open(self, end: int) -> bool:
        """Whether what ends there may go on in the next text."""
        return end == len(self.text) and not self.final

    def applies(self, mask: bytes | None, start: int) -> bool:
        """A mask learned in this stream leaves alone what began before its line ended."""
        return mask is None or self._position + start >= self._since.get(mask, 0)

    def run_end(self, run: re.Pattern[bytes], start: int) -> int:
        """Where a run of characters ends; remembered, so that many beginnings cost one search."""
        first, end = self._runs.get(run, (0, -1))
        if not first <= start <= end:
            match = run.match(self.text, start)
            end = match.end() if match is not None else start
            self._runs[run] = (start, end)
        return end

    def next_end(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """The end of the next match; remembered likewise."""
        asked, match = self._ends.get(pattern, (-1, None))
        if asked < 0 or start < asked or (match is not None and match.start() < start):
            match = pattern.search(self.text, start)
            self._ends[pattern] = (start, match)
        return None if match is None else match.end()

    def repeats(self, literal: Repeating, start: int) -> tuple[int, int]:
        """The first and the last byte of the repetition of a literal this one is part of."""
        first, end = self._repeats.get(literal, (0, -1))
        if not first <= start <= end - len(literal.text):
            first, end = start, literal.repetition_end(self.text, start)
            self._repeats[literal] = (first, end)
        return first, end
