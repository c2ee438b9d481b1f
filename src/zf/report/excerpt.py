"""Which lines of a failed step's log say why it failed: the end of it, or the assertion above that.

Test runners print their summary last, and often more after it (captured output, `make: ***`), so
the last lines alone may hold no word of the assertion. Pure; takes and returns raw lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.lean import lazy
from zf.lean.records import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

# How far back a log is looked at: the report of a test that failed, with what it captured.
LOOK_LINES = 400
# Lines kept at the end beside an assertion that stands higher up.
_LAST = 2
# A line longer than this is no assertion of a test; looking through a minified bundle takes time.
_LONGEST = 2000

_FAILURES = (
    # What a runner prints first of a failure, in the order of how much it says. For each, how many
    # lines before it belong to it.
    (lazy.pattern(r"^E {2,}\S"), 2),  # pytest: the asserting line stands above, behind `>`
    (lazy.pattern(r"^thread '.*' (\(\d+\) )?panicked at "), 0),  # cargo test
    (lazy.pattern(r"^\s*--- FAIL: "), 0),  # go test
    (lazy.pattern(r"^\s+● \S"), 0),  # jest
    # mocha, with the test's name above; node's own assert.
    (lazy.pattern(r"^\s*(Uncaught )?AssertionError\b.*:"), 2),
    # ctest: gtest's and catch's way to name the place, then its own line.
    (lazy.pattern(r"^\S+:\d+: (Failure|FAILED)\b"), 0),
    (lazy.pattern(r"^.+:\d+:( \S+:)? .*[Aa]ssertion .*failed"), 0),
    (lazy.pattern(r"\*\*\*(Failed|Exception|Timeout|Not Run)\b"), 0),
)
_COLOUR = lazy.pattern(r"\x1b\[[0-9;:]*m")


class Cut(Struct, frozen=True):
    """Which of the lines are shown: those of `first`, then those of `last`; and the one among them
    that says that something failed, if there is one.
    """

    first: range
    last: range
    said: int | None = None


def cut(lines: Sequence[str], most: int) -> Cut:
    """At most this many of the lines, counted with one that says how many are left out between."""
    end = range(max(0, len(lines) - most), len(lines))
    said = _first_failure(lines)
    if said is None:
        return Cut(range(0), end)
    first, number = max(0, said[0] - said[1]), said[0]
    if len(lines) - first <= most or most <= _LAST + 1:
        return Cut(range(0), end, number if number in end else None)
    # One line says what is missing between the assertion and the end.
    shown = range(first, first + most - _LAST - 1)
    return Cut(shown, range(len(lines) - _LAST, len(lines)), number)


def excerpt(lines: Sequence[str], most: int) -> list[str]:
    """The lines of the cut, with a line that says how many were left out between."""
    found = cut(lines, most)
    end = [lines[number] for number in found.last]
    if not found.first:
        return end
    note = f"[{found.last.start - found.first.stop} lines left out]"
    return [*(lines[number] for number in found.first), note, *end]


def _first_failure(lines: Sequence[str]) -> tuple[int, int] | None:
    """The line that tells the first failure, of the kind that says most, and how many lines before
    it belong to it.
    """
    plain = [_COLOUR.sub("", line[:_LONGEST]) for line in lines]
    for pattern, before in _FAILURES:
        for number, line in enumerate(plain):
            if pattern.search(line):
                return number, before
    return None
