"""What of a text is secret, and from where on it is too early to say.

Finds every form of every secret and every match of the fixed rules. `stream.py` puts the scans of
a stream together. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate, pairwise

from zf.lean import lazy
from zf.redact.candidates import BREAK_LEAST_BYTES, SPLIT_FROM
from zf.redact.prefilter import Prefilter
from zf.redact.scan import Scan
from zf.redact.secret_forms import Secret, forms
from zf.redact.token_rules import (
    RULES,
    URL_PASSWORD,
    URL_REACH_BYTES,
    URL_WITH_PASSWORD,
    Rule,
)

# A wrapped form counts when at least so much of it stands before the first line break. Less would
# mean holding back the end of nearly every line, because it could be the beginning of something.
PIECE_LEAST_BYTES = 4


class Anchor:
    """The fixed string a rule begins with."""

    split = False

    def __init__(self, rule: Rule, text: bytes, order: int) -> None:
        self.text = text
        self._rule = rule
        self._order = order

    @property
    def body(self) -> frozenset[int]:
        return _members(self._rule.body)

    def check(self, scan: Scan, at: int, offset: int) -> int:
        start = at - offset
        if start >= 0 and scan.text.startswith(self.text, start):
            scan.order = self._order
            self._rule.probe(scan, start, self.text)
        return 0


class Literal:
    """One form of one secret.

    A form that encoders wrap (`split`) is found across line breaks, with at least
    `BREAK_LEAST_BYTES` of it between two of them and `PIECE_LEAST_BYTES` before the first; so that
    an earlier break does not save it, the form without its first `SPLIT_FROM` bytes counts too.
    """

    body: frozenset[int] = frozenset()

    def __init__(
        self, text: bytes, rule: str, order: int, *, split: bool, mask: bytes | None
    ) -> None:
        self.text = text
        self.split = split
        self.jump_reach = 0
        self._rule = rule
        self._order = order
        self._mask = mask
        period = (text + text).find(text, 1)
        self.period = text[:period] if period <= len(text) // 2 else b""
        self._repeat = re.compile(b"(?:%s)*+" % re.escape(self.period)) if self.period else None

    def check(self, scan: Scan, at: int, offset: int) -> int:
        """Hide the form if it stands there; where the search may go on, if that is far."""
        start = at - offset
        if start >= 0 and scan.text.startswith(self.text, start):
            if self.period:
                return self._hide_repetition(scan, start)
            self._hide(scan, start, start + len(self.text))
        elif self.split:
            place = _across_breaks(scan.text, self.text, at, offset) or _across_breaks(
                scan.text, self.text[SPLIT_FROM:], at, offset - SPLIT_FROM
            )
            if place is not None:
                self._hide(scan, *place)
        return 0

    def _hide(self, scan: Scan, start: int, end: int) -> None:
        if scan.applies(self._mask, start):
            scan.order = self._order
            scan.hide(start, end, self._rule, start)

    def _hide_repetition(self, scan: Scan, start: int) -> int:
        """A form like `aaaaaaaa` stands at every place of a long run: hide the run at once.

        Once every other form that began before the run has been seen, nothing new can come until
        shortly before its end.
        """
        first, end = scan.repeats(self, start)
        if not scan.applies(self._mask, start):
            return 0
        self._hide(scan, start, end)
        return end - self.jump_reach if self.jump_reach and start - first >= self.jump_reach else 0

    def repetition_end(self, text: bytes, start: int) -> int:
        """Where the last of the overlapping occurrences that begin at `start` ends."""
        match = self._repeat.match(text, start) if self._repeat is not None else None
        end = match.end() if match is not None else start
        rest = self.text[: len(self.text) % len(self.period)]
        return end + len(rest) - (0 if text.startswith(rest, end) else len(self.period))


@cache
def _members(body: bytes) -> frozenset[int]:
    if not body:
        return frozenset()
    one = re.compile(b"[" + body + b"]")
    return frozenset(byte for byte in range(128) if one.match(bytes((byte,))))


def _across_breaks(text: bytes, form: bytes, at: int, offset: int) -> tuple[int, int] | None:
    """Where a form stands whose byte `offset` is at `at`, line breaks of an encoder left out."""
    after = _follow(text, form, at, offset)
    before = _follow_back(text, form, at, offset)
    if after is None or before is None:
        return None
    (start, breaks_before), (end, breaks_after) = before, after
    breaks = breaks_before[::-1] + breaks_after
    if breaks and breaks[0] < PIECE_LEAST_BYTES:
        return None
    if any(second - first < BREAK_LEAST_BYTES for first, second in pairwise(breaks)):
        return None
    return start, end


def _follow(text: bytes, form: bytes, at: int, offset: int) -> tuple[int, list[int]] | None:
    """The end of the form, and before which of its bytes lines were broken."""
    breaks: list[int] = []
    while not text.startswith(form[offset:], at):
        newline = text.find(b"\n", at, at + len(form) - offset + 1)
        if newline < 0:
            return None
        piece = text[at:newline].removesuffix(b"\r")
        if not form.startswith(piece, offset) or (breaks and len(piece) < BREAK_LEAST_BYTES):
            return None
        offset += len(piece)
        at = newline + 1
        breaks.append(offset)
    return at + len(form) - offset, breaks


def _follow_back(text: bytes, form: bytes, at: int, offset: int) -> tuple[int, list[int]] | None:
    """The start of the form, and the breaks from the last to the first."""
    breaks: list[int] = []
    while not (offset <= at and text.startswith(form[:offset], at - offset)):
        newline = text.rfind(b"\n", max(0, at - offset - 1), at)
        if newline < 0:
            return None
        piece = text[newline + 1 : at]
        if not form[:offset].endswith(piece) or (breaks and len(piece) < BREAK_LEAST_BYTES):
            return None
        offset -= len(piece)
        at = newline - (text[newline - 1 : newline] == b"\r")
        breaks.append(offset)
    return at - offset, breaks


def _url_places(text: bytes) -> Iterator[int]:
    """Where `://` stands before a password, and the last one, which may still get its `@`."""
    anchor = URL_PASSWORD.anchors[0]
    last = text.rfind(anchor, max(0, len(text) - URL_REACH_BYTES))
    if last >= 0:
        yield last
    at = text.find(b"@")
    rare = text.count(b"@", 0, _SAMPLE_BYTES) <= _SAMPLE_BYTES // _RARE_BYTES
    for _ in range(len(text) // _RARE_BYTES + 1 if rare else 0):
        if at < 0:
            return
        start = text.rfind(anchor, max(0, at - URL_REACH_BYTES), at)
        if start >= 0:
            yield start
        at = text.find(b"@", at + 1)
    if at >= 0:
        for match in URL_WITH_PASSWORD.finditer(text, max(0, at - URL_REACH_BYTES)):
            yield match.start()


# At most one in so many bytes is looked at one by one: 0.35 s a GiB, where the other way takes 0.5.
_RARE_BYTES = 1024
_SAMPLE_BYTES = 16_384


class _Beginnings:
    """Tells how much of the end of a text could be the beginning of one of many strings."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._short = {text[:size] for text in texts for size in range(1, min(len(text), _GRAM))}
        self._long = [text for text in texts if len(text) > _GRAM]
        gap = bytes(_GRAM)
        self._joined = gap.join(self._long)
        sizes = [len(text) + len(gap) for text in self._long]
        self._starts = list(accumulate(sizes, initial=0))[:-1]

    def sizes(self, text: bytes) -> Iterator[int]:
        """The sizes of the ends of `text` that begin a string and are not all of it; any order."""
        end = text[-_GRAM:]
        for size in range(1, min(len(end), _GRAM - 1) + 1):
            if end[-size:] in self._short:
                yield size
        at = self._joined.find(end) if len(end) == _GRAM else -1
        while at >= 0:
            index = bisect_right(self._starts, at) - 1
            size = at + _GRAM - self._starts[index]
            whole = self._long[index]
            if size < len(whole) and text.endswith(whole[:size]):
                yield size
            at = self._joined.find(end, at + 1)


_GRAM = 8


class Patterns:
    """Everything that is looked for, prepared for searching; the same for all streams of a task."""

    def __init__(self, secrets: Sequence[Secret], masks: Sequence[bytes]) -> None:
        literals = _literals(secrets, masks)
        self.orders = {rule.name: order for order, rule in enumerate(RULES, len(literals))}
        anchors = [
            Anchor(rule, anchor, self.orders[rule.name])
            for rule in RULES
            if rule is not URL_PASSWORD
            for anchor in rule.anchors
        ]
        self.prefilter: Prefilter[Literal | Anchor] = Prefilter([*literals, *anchors])
        every_anchor = [anchor for rule in RULES for anchor in rule.anchors]
        split = [
            text for one in literals if one.split for text in (one.text, one.text[SPLIT_FROM:])
        ]
        self._beginnings = _Beginnings([*(one.text for one in literals), *split, *every_anchor])
        self._split = _Beginnings(split)
        longest = max((len(one.text) for one in literals), default=0)
        self._reach = longest + 2 * (longest // BREAK_LEAST_BYTES + 1)
        for one in literals:
            if one.period and not _holds_any(one.period, every_anchor):
                one.jump_reach = self._reach

    def are_absent_from(self, text: bytes) -> bool:
        """Whether there is surely nothing to hide in a whole text; a third of the price of a search
        for the answer it nearly always has.
        """
        return b"@" not in text and self.prefilter.is_clean(text)

    def search(self, scan: Scan) -> None:
        """Tell `scan` all that is to be hidden in its text."""
        self.prefilter.scan(scan.text, lambda one, at, offset: one.check(scan, at, offset))
        for start in _url_places(scan.text):
            scan.order = self.orders[URL_PASSWORD.name]
            URL_PASSWORD.probe(scan, start, URL_PASSWORD.anchors[0])
        if not scan.final:
            scan.wait(self.held_from(scan.text))

    def held_from(self, text: bytes) -> int:
        """From where on the text could be the beginning of something."""
        plain = len(text) - max(self._beginnings.sizes(text), default=0)
        return min(plain, self._wrapped_from(text))

    def _wrapped_from(self, text: bytes) -> int:
        """The same for forms with line breaks in them."""
        tail = text[-self._reach :]
        if b"\n" not in tail and not tail.endswith(b"\r"):
            return len(text)
        squeezed = _BREAK.sub(b"", tail)
        earliest = len(text)
        for size in self._split.sizes(squeezed):
            kept = [index for index in range(len(tail)) if not _BREAK.match(tail, index)]
            start = kept[-size]
            pieces = _BREAK.split(tail[start:])
            if len(pieces[0]) >= PIECE_LEAST_BYTES:
                earliest = min(earliest, len(text) - len(tail) + start)
        return earliest


_BREAK = lazy.pattern(rb"\r?\n|\r\Z")


def _holds_any(period: bytes, anchors: Sequence[bytes]) -> bool:
    """Whether a repetition of this contains one of the anchors."""
    return any(anchor in period * (len(anchor) // len(period) + 2) for anchor in anchors)


def _literals(secrets: Sequence[Secret], masks: Sequence[bytes]) -> list[Literal]:
    """One a form, for the first secret that has it."""
    named: dict[bytes, Literal] = {}
    for order, secret in enumerate(secrets):
        for form in forms(secret.value):
            if form.text not in named:
                named[form.text] = Literal(
                    form.text, f"secret:{secret.name}", order, split=form.wraps, mask=None
                )
    for order, mask in enumerate(masks, len(secrets)):
        for form in forms(mask):
            if form.text not in named:
                named[form.text] = Literal(form.text, "mask", order, split=form.wraps, mask=mask)
    return list(named.values())


@lru_cache(maxsize=16)
def patterns_of(secrets: tuple[Secret, ...], masks: tuple[bytes, ...]) -> Patterns:
    """The patterns of these, built once."""
    return Patterns(secrets, masks)
