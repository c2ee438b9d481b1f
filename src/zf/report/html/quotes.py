"""Lines of logs quoted on the page itself, for readers without JavaScript: of each step that failed
the lines that say why, and below them the last fifty. All together they have a bound. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from zf.lean.records import Struct
from zf.report.excerpt import LOOK_LINES, cut
from zf.report.html import terminal
from zf.report.words import TAIL_LINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

LAST_LINES = 50
# Of all quotes of a page, in bytes of HTML. What does not fit is told, with the way to it.
ROOM_BYTES = 200_000
# Of one line: more than are shown of it, whatever its characters.
_CUT_BYTES = 4 * terminal.MOST_CHARS + 8
# Counting the lines of a longer log takes too long for the numbers before them.
_COUNTED_BYTES = 64 * 1024 * 1024


class Line(Struct, frozen=True):
    """A line as it is shown: `number` counts from 1, 0 where that is not known; `said` is the one
    that says that something failed.
    """

    number: int
    text: Markup
    said: bool = False


class Quote(Struct, frozen=True):
    """What is shown of a log. `telling` are the lines that say why, in two parts with `gap` lines
    left out between them; `last` are the last ones, where they are more than those.
    """

    command: str
    path: str
    lines: int
    telling: tuple[Sequence[Line], Sequence[Line]]
    gap: int
    last: Sequence[Line]
    attempt: int
    left_out: bool = False


class Quotes:
    """Quotes of the logs of one run, until there is no room for more."""

    def __init__(self, run: RecordedRun, room: int = ROOM_BYTES) -> None:
        self._run, self._room = run, room

    def of(self, task: TaskFacts, attempt: int | None = None) -> Quote | None:
        """Of the step that failed in the newest attempt, or in that one, given its facts; None
        where it printed nothing.
        """
        number = self._run.facts.step_number(task)
        raw, total = self._end_of(task.id, attempt, number)
        if not raw:
            return None
        before = max(0, total - len(raw)) if total else 0
        numbers = range(before + 1, before + len(raw) + 1) if total else (0,) * len(raw)
        found = cut(raw, min(task.log_tail or TAIL_LINES, LAST_LINES))
        shown = sorted({*found.first, *found.last, *range(len(raw))[-LAST_LINES:]})
        texts = terminal.lines(raw[place] for place in shown)
        rows = {
            place: Line(numbers[place], text, place == found.said)
            for place, text in zip(shown, texts, strict=True)
        }
        first = self._fitting([rows[place] for place in found.first])
        end = self._fitting([rows[place] for place in found.last])
        last = [rows[place] for place in shown if place >= len(raw) - LAST_LINES]
        more = len(last) > len(found.last) + (1 if found.first else 0)
        return Quote(
            command=f"step-{number}",
            path=self._run.log_path(task.id, attempt, number),
            lines=total or len(raw),
            telling=(first, end),
            gap=found.last.start - found.first.stop if found.first else 0,
            last=self._fitting(last) if more else (),
            attempt=attempt or task.attempt,
            left_out=len(end) < len(found.last),
        )

    def _fitting(self, lines: Sequence[Line]) -> Sequence[Line]:
        """The lines, or as many of the last ones as there is room for."""
        kept: list[Line] = []
        for line in reversed(lines):
            size = len(line.text.encode()) + 40
            if size > self._room:
                break
            self._room -= size
            kept.insert(0, line)
        return kept

    def _end_of(self, task: str, attempt: int | None, step: int) -> tuple[list[str], int]:
        """The last lines of a log, each cut where it is longer than what is shown of it, and how
        many there are altogether: 0 where the log is too long to count them.
        """
        last: list[bytes] = [b""]
        total = size = 0
        for piece in self._run.log_pieces(task, attempt, f"step-{step}"):
            size += len(piece)
            if size > _COUNTED_BYTES:
                return self._run.log_tail(task, step, attempt=attempt, lines=LOOK_LINES), 0
            total += piece.count(b"\n")
            first, *more = piece.rsplit(b"\n", LOOK_LINES + 1)
            begun = last.pop() + (first if b"\n" not in first else b"")
            # Where even the first part has line breaks, the others are more than are wanted.
            last = [*last, begun, *more] if b"\n" not in first else more
            last = [line[:_CUT_BYTES] for line in last[-LOOK_LINES - 1 :]]
        if last[-1]:
            total += 1
        else:
            last.pop()
        return [line.decode("utf-8", "replace") for line in last[-LOOK_LINES:]], total
