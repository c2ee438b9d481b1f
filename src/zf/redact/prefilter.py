"""Which blocks of a text may hold one of many strings: nearly always none does. Pure.

The search (`candidates.py`) finds places, at 1.4 s a GiB, and takes 20 ms and more to build. Rust's
`regex` says whether a block holds one of the strings at all, in 0.25 s a GiB and built in 1 ms,
thanks to vector instructions. It comes with pydantic, whose compiled module a run imports for this.
So only blocks that hold at least the beginning of a string are searched, and the search is built
for the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from zf.redact.candidates import CONSIDERED_BYTES, SPLIT_FROM, STEP_BYTES, CandidateSearch, Sought

_S = TypeVar("_S", bound=Sought)

# One secret in a block is no reason to search all of it.
_PIECE_BYTES = STEP_BYTES // 4
# So much of a string is enough to let a block through.
_PART_BYTES = 8
# What the vector instructions take at once, with some room; many more, and an automaton takes over
# that is no faster than the search. With more than so many lots the search alone is as fast.
_LOT = 48
_LOTS_MOST = 6
# How far from a pair that the search found the considered part of its string may reach, line breaks
# included.
_REACH_BYTES = 2 * CONSIDERED_BYTES
# The regexes know text, not bytes. One stand-in for all that is not ASCII lets through more, never
# less.
_TO_ASCII = bytes(byte if byte < 0x80 else 0x7F for byte in range(256))


class Prefilter(Generic[_S]):
    """Like a `CandidateSearch`, and as complete; what it asks first only saves time."""

    def __init__(self, sought: Iterable[_S]) -> None:
        self._sought = list(sought)
        # An encoder's line breaks are taken out of both, string and text.
        self._squeezes = any(one.split for one in self._sought)
        self._lots: list[Callable[[str], bool]] | None = None
        self._candidates: CandidateSearch[_S] | None = None

    def scan(self, text: bytes, visit: Callable[[_S, int, int], int]) -> None:
        """Call `visit(one, at, offset)` where byte `offset` of `one` may stand at `at`, in order.

        What it returns is where to go on, if that is further.
        """
        view = memoryview(text)
        at = 0
        while at < len(text):
            start = at - at % STEP_BYTES
            if self._may_hold(view, start, STEP_BYTES):
                at = self._search_pieces(view, at, start + STEP_BYTES, visit)
            at = max(at, start + STEP_BYTES)

    def is_clean(self, text: bytes) -> bool:
        """Whether there is surely nothing in it; False means nothing."""
        view = memoryview(text)
        if len(text) <= STEP_BYTES:
            return not self._may_hold(view, 0, STEP_BYTES)
        return not any(
            self._may_hold(view, start, STEP_BYTES) for start in range(0, len(text), STEP_BYTES)
        )

    def _search_pieces(
        self, view: memoryview, at: int, end: int, visit: Callable[[_S, int, int], int]
    ) -> int:
        """Search the pieces of a block that may hold something; where to go on."""
        if self._candidates is None:
            self._candidates = CandidateSearch(self._sought)
        while at < min(end, len(view)):
            start = at - at % _PIECE_BYTES
            if self._may_hold(view, start, _PIECE_BYTES):
                at = self._candidates.scan_block(view, start, _PIECE_BYTES, at, visit)
            at = max(at, start + _PIECE_BYTES)
        return at

    def _may_hold(self, view: memoryview, start: int, size: int) -> bool:
        """Whether anything that begins in this block, or a little before it, may be a string."""
        if self._lots is None:
            self._lots = _lots([self._part(one) for one in self._sought])
        if not self._lots:
            return True
        around = view[max(0, start - _REACH_BYTES) : start + size + _REACH_BYTES]
        text = self._readable(around)
        for holds in self._lots:  # noqa: SIM110 - `any` and a generator take as long as a question
            if holds(text):
                return True
        return False

    def _part(self, one: _S) -> str:
        """What of a string is asked for."""
        considered = one.text[SPLIT_FROM if one.split else 0 : CONSIDERED_BYTES]
        return self._readable(considered)[:_PART_BYTES]

    def _readable(self, data: bytes | memoryview) -> str:
        if self._squeezes:
            data = bytes(data).replace(b"\n", b"").replace(b"\r", b"")
        try:
            return str(data, "ascii")
        except UnicodeDecodeError:
            return str(bytes(data).translate(_TO_ASCII), "ascii")


def _lots(parts: Sequence[str]) -> list[Callable[[str], bool]]:
    """Questions that one is answered by yes when any of the parts stands in a text; none when they
    would be too many.
    """
    from zf.lean.validators import SchemaValidator  # noqa: PLC0415 - 2 ms where nothing is searched

    different = sorted(set(parts))
    if len(different) > _LOT * _LOTS_MOST:
        return []
    return [
        SchemaValidator(
            {"type": "str", "pattern": _either(different[at : at + _LOT])}
        ).isinstance_python
        for at in range(0, len(different), _LOT)
    ]


def _either(parts: Sequence[str]) -> str:
    """A regex for any of these, every character written as a number."""
    return "|".join("".join(map(r"\x{:02x}".format, part.encode("ascii"))) for part in parts)
