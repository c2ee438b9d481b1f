"""A text as a terminal shows it: without the escapes that colour it or move about in it. Pure.

Colours may split a secret (`grep --color` does, for one), and whatever shows the log, zf included,
joins it again. So a text with escapes in it is looked at a second time without them; what is found
is hidden in the text as it is, the escapes inside included.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from zf.lean import lazy
from zf.redact.scan import Found, Scan

ESCAPE = b"\x1b"
# What begins a colour, erases a line or chooses a character set; `report.words` drops some of these
# and must never drop one that is not here.
_ESCAPES = lazy.pattern(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}[@-~]|[()*+][0-9A-Za-z])")
_BEGUN = lazy.pattern(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}|[()*+])?\Z")
_MOST_BYTES = 80
# Escapes without end inside what could be a secret would be held back without end.
HELD_MOST_BYTES = 65_536


def without_escapes(text: bytes) -> bytes:
    """What of a text is seen."""
    return _ESCAPES.sub(b"", text) if ESCAPE in text else text


class VisibleScan(Scan):
    """A scan of a text without its escapes; what it finds is told in places of the whole text."""

    def __init__(
        self, text: bytes, position: int, since: Mapping[bytes, int], *, final: bool
    ) -> None:
        begun = None if final else _BEGUN.search(text, max(0, len(text) - _MOST_BYTES))
        self._whole = text
        # Up to an escape of which the end has not come yet.
        self._size = begun.start() if begun is not None else len(text)
        super().__init__(_ESCAPES.sub(b"", text[: self._size]), position, since, final=final)
        self._cuts: _Cuts | None = None

    def take_over(self, carried: Sequence[Found]) -> None:
        """Runs go on across escapes; the other scan has taken over the rest."""
        for found in carried:
            if found.run is not None:
                end = self.run_end(found.run, self._all_cuts().seen(max(0, found.end)))
                run = found.run if self.is_open(end) else None
                self.found.append(found._replace(end=self._all_cuts().place(end), run=run))

    def hide(
        self, start: int, end: int, rule: str, anchor: int, run: re.Pattern[bytes] | None = None
    ) -> None:
        """Hide this part; what a run goes over includes the escapes after it."""
        cuts = self._all_cuts()
        go_on = run if run is not None and self.is_open(end) else None
        whole_end = cuts.place(end) if run is not None else cuts.place(end - 1) + 1
        begin, at = cuts.place(start), cuts.place(anchor)
        self.found.append(Found(begin, self.order, whole_end, rule, at, go_on))

    def learn(self, value: bytes, line_end: int) -> None:
        """Masks are learned by the other scan."""

    def applies(self, mask: bytes | None, start: int) -> bool:
        return mask is None or super().applies(mask, self._all_cuts().place(start))

    def held_from(self, other: int) -> int:
        """From where on the whole text is held, when the other scan holds it from `other` on."""
        hold = self._size
        if self.hold < len(self.text):
            hold = max(self._last_cuts().place(self.hold), self._size - HELD_MOST_BYTES)
        hold = min(hold, other)
        # Never from the middle of an escape: the rest of it would look like text.
        at = self._whole.rfind(ESCAPE, max(0, hold - _MOST_BYTES), hold)
        if at >= 0:
            escape = _ESCAPES.match(self._whole, at)
            if escape is not None and escape.end() > hold:
                return at
        return hold

    def _all_cuts(self) -> _Cuts:
        if self._cuts is None:
            self._cuts = _Cuts(_ESCAPES.finditer(self._whole, 0, self._size), self._size)
        return self._cuts

    def _last_cuts(self) -> _Cuts:
        """Enough to place where the text is held: near its end, nearly always."""
        needed = len(self.text) - self.hold
        start = self._whole.rfind(b"\n", 0, max(0, self._size - 4 * needed - _MOST_BYTES)) + 1
        if self._cuts is not None or not start:
            return self._all_cuts()
        last = _Cuts(_ESCAPES.finditer(self._whole, start, self._size), self._size)
        last.shift(len(self.text))
        return last if last.reaches(self.hold) else self._all_cuts()


class _Cuts:
    """Where escapes were taken out: places without them to those in the whole text, and back."""

    def __init__(self, escapes: Iterable[re.Match[bytes]], size: int) -> None:
        self._size = size
        self._starts: list[int] = []
        self._seen: list[int] = []
        self._removed = [0]
        for escape in escapes:
            start, end = escape.span()
            self._starts.append(start)
            self._seen.append(start - self._removed[-1])
            self._removed.append(self._removed[-1] + end - start)

    def shift(self, seen_size: int) -> None:
        """These are only the last of the escapes of a text that has so many bytes without them."""
        before = self._size - seen_size - self._removed[-1]
        self._seen = [seen - before for seen in self._seen]
        self._removed = [removed + before for removed in self._removed]

    def reaches(self, seen: int) -> bool:
        """Whether what was shifted knows of this place."""
        return bool(self._seen) and self._seen[0] <= seen

    def place(self, seen: int) -> int:
        """Where a byte of the text without escapes is in the whole text, behind those before it."""
        return seen + self._removed[bisect_right(self._seen, seen)]

    def seen(self, place: int) -> int:
        """How many bytes are left of the first `place` bytes of the whole text."""
        index = bisect_right(self._starts, place)
        if index and place < self._starts[index - 1] + (
            self._removed[index] - self._removed[index - 1]
        ):
            place, index = self._starts[index - 1], index - 1
        return place - self._removed[index]
