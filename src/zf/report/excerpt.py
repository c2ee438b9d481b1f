"""Which lines of a failed step's log say why it failed: the end of it, or the assertion above that.

Test runners print their summary last, and often more after it (captured output, `make: ***`), so
the last lines alone may hold no word of the assertion. Pure; takes and returns raw lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.lean import lazy

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


def excerpt(lines: Sequence[str], most: int) -> list[str]:
    """At most this many of the lines, with a line that says how many were left out between."""
    end = list(lines[-most:])
    first = _first_failure(lines)
    if first is None or len(lines) - first <= most or most <= _LAST + 1:
        return end
    # One line says what is missing between the assertion and the end.
    shown = lines[first : first + most - _LAST - 1]
    left_out = len(lines) - first - len(shown) - _LAST
    note = f"[{left_out} lines left out]"
    return [*shown, note, *lines[-_LAST:]]


def _first_failure(lines: Sequence[str]) -> int | None:
    """Where the first failure begins, of the kind that says most."""
    plain = [_COLOUR.sub("", line[:_LONGEST]) for line in lines]
    for pattern, before in _FAILURES:
        for number, line in enumerate(plain):
            if pattern.search(line):
                return max(0, number - before)
    return None
