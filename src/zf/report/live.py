"""The live board on a terminal: what its lines say, and how they replace those of the last frame.

Returns the text to write and never writes, so it needs no thread and a test can play the screen.
When to draw, and what tasks have printed, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import FAILED, Status
from zf.lean import lazy
from zf.lean.records import Struct
from zf.report.terminal import HEARTBEAT_S
from zf.report.words import PLAIN, Style, last_shown, whole, without_colour

if TYPE_CHECKING:
    import unicodedata
    from collections.abc import Sequence

    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts
else:
    unicodedata = lazy.module("unicodedata")

BOARD_ROWS = 12
_UP = "\x1b[{}A"
_ERASE_LINE = "\x1b[K"
_ERASE_BELOW = "\x1b[J"
# While the board is drawn nothing wraps: a terminal may take a character for wider than it is said
# to be, as those set up for East Asian scripts do.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"

_BAR_LEAST, _BAR_MOST = 10, 40
# A cell that is full but for less than this is full.
_ROUNDING = 1e-9
_FULL, _EMPTY = "━#", "─-"
# From this width on there is room to name what waits.
_NAMES_FROM = 110
# Fewer characters of a line say nothing.
_LINE_LEAST = 12


class Heard(Struct, frozen=True):
    """What a running task printed last, as it is in its log, and how many seconds ago that was."""

    line: str
    silent_s: float


# What a running task of these facts printed last; None where nothing is known.
Listen = Callable[["Facts", "TaskFacts"], Heard | None]


def _nothing(_facts: Facts, _task: TaskFacts) -> Heard | None:
    return None


class Board:
    """Some lines at the bottom of the terminal, redrawn in place; finished lines scroll above."""

    def __init__(self, style: Style = PLAIN, listen: Listen = _nothing) -> None:
        """`listen` says what a running task printed last; asked of those alone that are shown."""
        self._style = style
        self._listen = listen
        self._lengths: list[int] = []

    def frame(
        self, facts: Facts, now: float, *, columns: int, rows: int, above: Sequence[str] = ()
    ) -> str:
        """What to write to show the board as it is now, with `above` added to what scrolls by."""
        # One row stays free for the cursor; a board as high as the screen would scroll it away.
        lines = board(
            facts, now, columns=columns, rows=rows - 1, style=self._style, listen=self._listen
        )
        start = self._back(columns)
        self._lengths = [cells(without_colour(line)) for line in lines]
        if above:
            # Lines above may wrap, so the rows they land on are wiped first.
            start += _ERASE_BELOW + "".join(f"{line}\n" for line in above)
        drawn = "".join(f"{_ERASE_LINE}{line}\n" for line in lines)
        return f"{start}{_NO_WRAP}{drawn}{_ERASE_BELOW}{_WRAP}"

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
    facts: Facts,
    now: float,
    *,
    columns: int,
    rows: int = BOARD_ROWS,
    style: Style = PLAIN,
    listen: Listen = _nothing,
) -> list[str]:
    """At most `rows` lines, each narrower than `columns`: how far it is, then what runs longest.

    The cost does not depend on the number of tasks: 20 000 are drawn as fast as 20.
    """
    width = max(1, columns - 1)
    rows = max(1, min(rows, BOARD_ROWS))
    room = rows - 1
    shown = room if len(facts.running) <= room else max(0, room - 1)
    # Running tasks are in order of start, so the first ones have run longest.
    longest = [*islice(facts.running.values(), shown)]
    lines = [_head(facts, now, width, style)]
    lines += _running_rows(facts, longest, now, width, style, listen)
    more = len(facts.running) - len(longest)
    if more and room:
        lines.append(cut(f"  and {more} more running", width, style))
    from zf.report import waiting  # noqa: PLC0415 - for the board alone

    waits = waiting.row(facts, now) if len(lines) < rows else ""
    if waits:
        lines.append(cut(f"  waiting: {_ascii(waits)}", width, style))
    return lines


class _Part(Struct, frozen=True):
    """A part of the first line; those of a high `rank` give way first."""

    text: str
    colour: str
    rank: int


def _head(facts: Facts, now: float, width: int, style: Style) -> str:
    parts = [part for part in _parts(facts, now) if part.text]
    bar_rank = 5

    def taken(least_bar: int) -> int:
        bar = least_bar + 2 if any(part.rank == bar_rank for part in parts) else 0
        return bar + sum(len(part.text) + 2 for part in parts if part.rank != bar_rank) - 2

    parts.append(_Part("", "", bar_rank))
    while parts and taken(_BAR_LEAST) > width:
        parts.remove(max(parts, key=lambda part: part.rank))
    said = [style.paint(part.text, part.colour) for part in parts if part.rank != bar_rank]
    if len(said) < len(parts):
        spare = width - taken(0)
        said.insert(0, _bar(facts, now, min(spare, _BAR_MOST, max(_BAR_LEAST, width // 4)), style))
    return "  ".join(said)


def _parts(facts: Facts, now: float) -> list[_Part]:
    counts = facts.counts
    total = len(facts.tasks)
    warned = sum(facts.tolerated.values())
    failed = sum(counts[status] for status in FAILED) - warned
    not_run = counts[Status.BLOCKED] + counts[Status.CANCELLED] + counts[Status.SKIPPED]
    state = "interrupted" if facts.interrupted else "throttled" if facts.throttle else ""
    return [
        _Part(f"{total - counts['waiting'] - counts['running']}/{total}", "bold", 0),
        _Part(f"{failed} failed" if failed else "", "failure", 1),
        _Part(f"{warned} warned" if warned else "", "warned", 6),
        _Part(f"{not_run} not run" if not_run else "", "blocked", 7),
        _Part(state, "interrupted" if facts.interrupted else "throttle", 2),
        _Part(_phase(facts), "", 4),
        _Part(_since_whole(facts.started_mono, now), "", 2),
        _Part("" if facts.interrupted else to_come(facts.eta_s(now)), "", 3),
    ]


def to_come(seconds: float | None) -> str:
    """How long a run is likely to go on. At an end of the time that was expected nothing is known
    but that; nothing is said where none was.
    """
    if seconds is None:
        return ""
    return f"~{whole(max(1.0, seconds))} left" if seconds > 0 else "longer than usual"


def _phase(facts: Facts) -> str:
    if not facts.phase:
        return ""
    phases = [*facts.phases]
    which = ""
    if len(phases) > 1 and facts.phase in phases:
        which = f" {phases.index(facts.phase) + 1}/{len(phases)}"
    return f"phase {_ascii(facts.phase)}{which}"


def _bar(facts: Facts, now: float, width: int, style: Style) -> str:
    """How much has ended: what went well, what did not, and the rest."""
    counts = facts.counts
    ended = len(facts.tasks) - counts["waiting"] - counts["running"]
    bad = ended - counts[Status.SUCCESS] - counts[Status.SKIPPED] - sum(facts.tolerated.values())
    # Never full before the end, and never without a cell for something that went wrong.
    share = int(facts.share_done(now) * width + _ROUNDING)
    full = width if ended == len(facts.tasks) else min(width - 1, max(share, min(bad, 1)))
    red = min(full, -(-bad * full // max(1, ended)))
    which = 0 if style.utf8 else 1
    return (
        style.paint(_FULL[which] * (full - red), "success")
        + style.paint(_FULL[which] * red, "failure")
        + style.paint(_EMPTY[which] * (width - full), "dim")
    )


def _running_rows(
    facts: Facts,
    tasks: Sequence[TaskFacts],
    now: float,
    width: int,
    style: Style,
    listen: Listen,
) -> list[str]:
    """A row for each, in columns: its name, how long of how long, and what else there is room for;
    last what it printed last.
    """
    if not tasks:
        return []
    clocks = [_since_whole(task.started_mono, now) for task in tasks]
    limits = [f"of {whole(task.timeout_s)}" for task in tasks]
    clock, most = max(map(len, clocks)), max(map(len, limits))
    # Shape and name, then the time, which can be read on all but the smallest.
    room = width - clock - 4
    if room < 1:
        return [cut(_ascii(task.id), width, style) for task in tasks]
    names = [cut(_ascii(task.id), min(room, max(16, width * 2 // 5)), style) for task in tasks]
    name = max(map(len, names))
    with_limits = 4 + name + clock + 1 + most <= width
    rows = []
    for task, known, elapsed, limit in zip(tasks, names, clocks, limits, strict=True):
        row = f"{style.shape('running')} {known:<{name}}  {elapsed:>{clock}}"
        length = 4 + name + clock
        if with_limits:
            row += style.paint(f" {limit:<{most}}", "dim")
            length += 1 + most
        row += _extras(
            facts, task, width - length, style, listen(facts, task), names=width > _NAMES_FROM
        )
        rows.append(row.rstrip())
    return rows


def _extras(
    facts: Facts, task: TaskFacts, room: int, style: Style, heard: Heard | None, *, names: bool
) -> str:
    """What there is room for behind the times, each after two spaces."""
    silent = ""
    if heard is not None and heard.silent_s >= HEARTBEAT_S:
        silent = f"no output for {whole(int(heard.silent_s))}"
    said = [
        (f"attempt {task.attempt}" if task.attempt > 1 else "", "retry", 3),
        (_holds_up(facts, task, names=names), "", 2),
        (silent, "warning", 1),
    ]
    kept = set()
    for text, _, rank in sorted(said, key=lambda one: one[2]):
        if text and len(text) + 2 <= room:
            kept.add(rank)
            room -= len(text) + 2
    row = "".join(f"  {style.paint(text, colour)}" for text, colour, rank in said if rank in kept)
    line = last_shown(heard.line, style) if heard is not None else ""
    if line and room - 2 >= min(_LINE_LEAST, cells(line)):
        row += f"  {style.paint(cut(line, room - 2, style), 'dim')}"
    return row


def _holds_up(facts: Facts, task: TaskFacts, *, names: bool) -> str:
    held, is_all = facts.waiting_on(task.id)
    if not held:
        return ""
    first = next((d for d in facts.dependents[task.id] if facts.tasks[d].word == "waiting"), "")
    if not names or not first or len(first) > _NAMES_FROM // 4:
        return f"holds up {held}{'' if is_all else '+'}"
    more = f" and {held - 1}{'' if is_all else '+'} more" if held > 1 else ""
    return f"holds up {_ascii(first)}{more}"


def cut(text: str, room: int, style: Style) -> str:
    """As much of a text as fits, in whole words; of one word that is too long, a part."""
    if cells(text) <= room:
        return text
    dots = "…" if style.utf8 else "..."
    room -= len(dots)
    if room <= 0:
        return dots[: max(0, room + len(dots))]
    end = taken = 0
    for char in text:
        taken += _width(char)
        if taken > room:
            break
        end += 1
    # The gap itself leaves room for the space before the dots.
    gap = text.rfind(" ", 1, end)
    if gap > 0:
        return f"{text[:gap].rstrip()} {dots}"
    return text[:end] + dots


def cells(text: str) -> int:
    """How many columns of a terminal a text takes, as far as its characters say."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _ascii(text: str) -> str:
    # Ids are ASCII; should one not be, its width on a terminal could not be known.
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")


def _since_whole(moment: float | None, now: float) -> str:
    """How long ago a moment was, to the second; `-` where that is not known."""
    return "-" if moment is None else whole(int(max(0.0, now - moment)))
