"""What an examination says: findings, as values, as lines for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError, printable
from zf.lean.records import Struct

if TYPE_CHECKING:
    from zf.report.words import Style

OK, NOTE, PROBLEM = "ok", "note", "problem"
# A shape beyond ASCII, one within, and the colour, which is one of the words for states of tasks.
_LOOKS = {OK: ("✓", "+", "success"), NOTE: ("○", "o", "warning"), PROBLEM: ("✕", "x", "failure")}
_WORD_WIDTH = max(map(len, _LOOKS))
# More of one kind are not told here: `zf validate` tells all of them.
MOST = 5


class Finding(Struct, frozen=True):
    """One thing that was looked at: what was found there, and what to do about it, if anything.

    A `problem` stands in the way of a run, or of what it would prove; a `note` does not, though
    something that is usually there is missing.
    """

    area: str
    state: str
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "area": self.area,
            "state": self.state,
            "found": self.found,
            "remedy": self.remedy or None,
        }


def refused(area: str, error: ZfError, remedy: str = "") -> Iterator[Finding]:
    """What a run is refused for, in the words in which it is refused; `remedy` where these have
    none.
    """
    errors = [problem for problem in error.problems if problem.severity == "error"]
    for problem in errors[:MOST]:
        place = f"{problem.file}:{problem.line}: " if problem.file and problem.line else ""
        yield Finding(area, PROBLEM, f"{place}{problem.message}", problem.hint or remedy)
    if len(errors) > MOST:
        more = f"and {len(errors) - MOST} more like these"
        yield Finding(area, PROBLEM, more, "zf validate lists all of them")


def text(findings: Sequence[Finding], style: Style) -> str:
    """A line for each finding, its remedy below it, and what all of them come to."""
    width = max(len(one.area) for one in findings)
    indent = " " * (2 + _WORD_WIDTH + 2 + width + 2)
    lines = []
    for one in findings:
        shape, plain, colour = _LOOKS[one.state]
        state = f"{shape if style.utf8 else plain} {one.state:{_WORD_WIDTH}}"
        head = f"{style.paint(state, colour)}  {one.area:{width}}"
        lines.append(style.folded(f"{head}  {printable(one.found)}", indent))
        if one.remedy:
            lines.append(style.folded(f"{indent}-> {printable(one.remedy)}", f"{indent}   "))
    return "".join(f"{line}\n" for line in [*lines, "", conclusion(findings)])


def conclusion(findings: Iterable[Finding]) -> str:
    """What the findings come to, in a sentence."""
    states = [one.state for one in findings]
    notes = states.count(NOTE)
    told = f"; {notes} note{'s' * (notes != 1)}" if notes else ""
    if problems := states.count(PROBLEM):
        stands = "problem stands" if problems == 1 else "problems stand"
        return f"{problems} {stands} in the way{told}"
    return f"nothing stands in the way{told}"
