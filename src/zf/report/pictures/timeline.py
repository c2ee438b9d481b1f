"""The run over time, as a picture: a lane for each slot, the attempts as bars, the critical path
below them, and the waits that took no slot. Pure.

Across, everything is a share of the width, so that letters keep their size on any screen and
nothing has to be scaled or scrolled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.lean.records import Struct
from zf.report.pictures.bars import PAGE_PX, Bar, bars, counted, kinds
from zf.report.pictures.svg import number, percent, text_of, title, to_task
from zf.report.timing.course import Attempt, Course, Wait, Why
from zf.report.timing.shorten import Advice, what_helps
from zf.report.words import count, duration

# Lanes get lower as there are more of them: height of a lane, and of the bar in it.
_HEIGHTS = ((12, 26, 18), (32, 17, 11), (64, 10, 6), (1 << 30, 5, 3))
_WAIT_PX, _WAIT_ROWS = 15, 6
_NAMED = 5
# Above the lanes, with the names of phases or without them, and below.
_NAMED_TOP_PX, _TOP_PX, _BOTTOM_PX = 18, 6, 22
# A name is shown where it fits, or where enough of it does; a letter is about seven pixels wide.
_LETTER_PX, _ENOUGH_PX = 7, 110
_LEAST_WAIT_PX = 3
# More stops than this on the way through a picture is more than a keyboard should have to make.
_MOST_STOPS = 60
_MOST_LINKS_DRAWN = 150
_MOST_TICKS = 6
_STEPS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
_LONG_STEPS_S = tuple(60 * m for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440))

_WAITED: Mapping[Why, str] = {
    "begin": "started at once",
    "phase": "started with its phase",
    "need": "started when the last task it needs was over",
    "retry": "started after the delay of its retry",
    "resume": "started when the run was resumed",
    "start_after": "started at its start_after",
    "lease": "waited last for another run's lease",
    "throttle": "waited last for the machine to be less busy",
    "resource": "waited last for",
    "concurrency": "waited last for its group",
    "matrix": "waited last for another instance of its matrix",
    "alone": "waited last to run alone, or for one that does",
    "slot": "waited last for a slot",
}
_SHAPES = {"failure": "✕", "timeout": "◷", "lost": "!", "warned": "✕", "retried": "↻"}


def figure(
    plan: Mapping[str, Any], limits: Mapping[str, Any] | None, course: Course
) -> tuple[str, list[str]]:
    """The picture and the sentences that go below it, all of it HTML; none where nothing ran."""
    if not course.attempts or course.length_s <= 0:
        return "", []
    critical = course.critical()
    drawn = _Picture(course, critical)
    told = [_about_path(course, critical)]
    if course.ended:
        told.append(_about_help(what_helps(plan, limits or {}, course)))
    return drawn.svg(), [*told, *drawn.notes]


class _Picture:
    """The picture of one run. `notes` say what is not in it, once it is drawn."""

    def __init__(self, course: Course, critical: Sequence[int]) -> None:
        self.notes: list[str] = []
        self._course = course
        self._critical = critical
        self._lane, self._bar = next(
            (lane, bar) for most, lane, bar in _HEIGHTS if course.slots <= most
        )
        named = len(course.phases) > 1 or course.pauses
        self._top = _NAMED_TOP_PX if named else _TOP_PX
        self._kinds = kinds(course)
        self._bars, together = bars(course)
        if together:
            self.notes.append(
                f"{count(together, 'attempt')} too short to be seen one by one"
                " are drawn together with their neighbours."
            )
        self._rows, left_out = _by_cause(course)
        if left_out:
            self.notes.append(f"{count(left_out, 'shorter wait')} not drawn.")
        self._waits_at = self._top + course.slots * self._lane + 6
        self._bottom = self._waits_at + len(self._rows) * _WAIT_PX
        self._height = self._bottom + _BOTTOM_PX

    def svg(self) -> str:
        """Names of the lanes at the left, which keep their width; the picture takes the rest."""
        height = number(self._height)
        names = f'<svg class="names" width="44" height="{height}" aria-hidden="true">'
        plot = f'<svg class="plot" width="100%" height="{height}" role="group" aria-label="'
        return "".join(
            (
                f'<div class="timeline">{names}',
                *self._names(),
                f'</svg>{plot}{text_of(self._told())}">{_HATCH}',
                *self._axis(),
                *self._throttled(),
                *map(self._drawn_bar, self._bars),
                *self._path(),
                *self._drawn_waits(),
                *self._pauses(),
                "</svg></div>",
            )
        )

    def _told(self) -> str:
        course = self._course
        tasks = len({attempt.task for attempt in course.attempts})
        return (
            f"Timeline: {count(len(course.attempts), 'attempt')} of {count(tasks, 'task')}"
            f" on {count(course.slots, 'slot')} in {duration(course.length_s)}"
        )

    def _at(self, seconds: float) -> str:
        return percent(seconds / self._course.length_s)

    def _lane_at(self, slot: int) -> float:
        return self._top + slot * self._lane

    def _names(self) -> Iterator[str]:
        every = max(1, round(14 / self._lane))
        for slot in range(0, self._course.slots, every):
            y = number(self._lane_at(slot) + self._bar / 2 + 4)
            yield f'<text x="0" y="{y}">{"slot " if slot == 0 else ""}{slot + 1}</text>'
        if self._rows:
            yield f'<text x="0" y="{number(self._waits_at + 11)}">waits</text>'

    def _axis(self) -> Iterator[str]:
        length = self._course.length_s
        end = number(self._bottom)
        for tick in ticks(length):
            x = percent(tick / length)
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{self._top}" y2="{end}"/>'
            anchor = "" if tick else ' class="first"'
            yield f'<text{anchor} x="{x}" y="{number(self._bottom + 15)}">{short(tick)}</text>'
        last = number(self._bottom + 15)
        yield f'<text class="last" x="100%" y="{last}">{duration(length)}</text>'
        if len(self._course.phases) < 2:
            return
        for band in self._course.phases:
            x, lasted_s = self._at(band.start_s), band.end_s - band.start_s
            # Where nothing is to the right of it, a name too long for its phase grows to the left.
            outgrown = band is self._course.phases[-1] and not _fits(band.name, lasted_s / length)
            y1 = self._top if outgrown else 2
            yield f'<line class="phase" x1="{x}" x2="{x}" y1="{y1}" y2="{end}"/>'
            if outgrown:
                yield (
                    f'<text class="outgrown" paint-order="stroke" x="100%" y="11">'
                    f"{text_of(band.name)}</text>"
                )
                continue
            yield (
                f'<svg x="{x}" y="0" width="{self._at(lasted_s)}" height="{self._top}">'
                f'<text x="5" y="11">{text_of(band.name)}</text></svg>'
            )

    def _throttled(self) -> Iterator[str]:
        height = number(self._course.slots * self._lane)
        for band in self._course.throttled:
            told = (
                f"The machine was too busy for {duration(band.end_s - band.start_s)}: {band.name}"
            )
            yield (
                f'<rect class="busy" x="{self._at(band.start_s)}" y="{self._top}"'
                f' width="{self._at(band.end_s - band.start_s)}" height="{height}">'
                f"{title(told)}</rect>"
            )

    def _drawn_bar(self, bar: Bar) -> str:
        course = self._course
        share = (bar.end_s - bar.start_s) / course.length_s
        # What went wrong stands out of its lane: the colour is not the only sign of it.
        more = 2 if bar.kind in _SHAPES and self._bar >= 11 else 0
        place = (
            f'x="{self._at(bar.start_s)}" y="{number(self._lane_at(bar.slot) - more)}"'
            f' width="{percent(share)}" height="{self._bar + more}"'
        )
        if len(bar.attempts) > 1:
            told = (
                f"{count(len(bar.attempts), 'attempt')} from {duration(bar.start_s)} to"
                f" {duration(bar.end_s)}: {counted([course.attempts[i] for i in bar.attempts])}"
            )
            return f'<rect class="span many {bar.kind}" {place}>{title(told)}</rect>'
        index = bar.attempts[0]
        attempt = course.attempts[index]
        told = title(_bar_told(attempt, self._kinds[index]))
        kind = f"span {bar.kind}" + (" thin" if share * PAGE_PX < 4 else "")
        shape = _SHAPES.get(bar.kind, "")
        names = (f"{shape} {attempt.task}".lstrip(), shape)
        name = next((name for name in names if name and _fits(name, share)), "")
        if not name or self._bar < 11:
            inside = f'<rect class="{kind}" {place}>{told}</rect>'
        else:
            inside = (
                f'<svg {place}>{told}<rect class="{kind}" width="100%" height="100%"/>'
                f'<text class="on {bar.kind}" x="5" y="{number((self._bar + more) / 2 + 4)}">'
                f"{text_of(name)}</text></svg>"
            )
        few = len(self._bars) <= _MOST_STOPS
        return to_task(attempt.task, inside, reachable=few or bar.kind not in _WELL)

    def _path(self) -> Iterator[str]:
        """The critical path below its bars, as one line that steps from lane to lane."""
        course = self._course
        below = self._bar + (3 if self._lane >= 17 else 1)
        steps = len(self._critical) <= _MOST_LINKS_DRAWN
        before: Attempt | None = None
        for slot, start_s, end_s in self._stretches():
            y = number(self._lane_at(slot) + below)
            yield (
                f'<line class="critical" x1="{self._at(start_s)}" x2="{self._at(end_s)}"'
                f' y1="{y}" y2="{y}"/>'
            )
        for index in self._critical if steps else ():
            attempt = course.attempts[index]
            if before is not None and before.slot != attempt.slot:
                x = self._at(attempt.start_s)
                ys = (self._lane_at(one.slot) + below for one in (before, attempt))
                y1, y2 = map(number, ys)
                yield f'<line class="critical step" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"/>'
            before = attempt

    def _stretches(self) -> Iterator[tuple[int, float, float]]:
        """Attempts of the path, drawn as one where they follow each other on one slot."""
        gap = self._course.length_s / PAGE_PX
        open_: tuple[int, float, float] | None = None
        for index in self._critical:
            attempt = self._course.attempts[index]
            if open_ and open_[0] == attempt.slot and attempt.start_s - open_[2] < gap:
                open_ = (attempt.slot, open_[1], attempt.end_s)
                continue
            if open_:
                yield open_
            open_ = (attempt.slot, attempt.start_s, attempt.end_s)
        if open_:
            yield open_

    def _drawn_waits(self) -> Iterator[str]:
        for place, row in enumerate(self._rows):
            named = False
            for heap in row:
                waits = heap.waits
                share = (heap.end_s - heap.start_s) / self._course.length_s
                at = (
                    f'x="{self._at(heap.start_s)}" y="{number(self._waits_at + place * _WAIT_PX)}"'
                    f' width="{percent(share)}" height="{_WAIT_PX - 3}"'
                )
                told = title(_waits_told(heap))
                name = "" if named else _wait_name(waits[0])
                if not name or not _fits(name, share):
                    drawn = f'<rect class="wait" {at}>{told}</rect>'
                else:
                    named = True
                    drawn = (
                        f'<svg {at}>{told}<rect class="wait" width="100%" height="100%"/>'
                        f'<text class="over" paint-order="stroke" x="4" y="10">'
                        f"{text_of(name)}</text></svg>"
                    )
                alone = len({wait.task for wait in waits}) == 1
                few = len(self._course.waits) <= _MOST_STOPS // 2
                yield to_task(waits[0].task, drawn, reachable=few) if alone else drawn

    def _pauses(self) -> Iterator[str]:
        for pause in self._course.pauses:
            x = self._at(pause.at_s)
            told = f"The run was resumed here, after {duration(pause.idle_s)} without a zf"
            yield (
                f'<line class="pause" x1="{x}" x2="{x}" y1="{self._top - 4}"'
                f' y2="{number(self._bottom)}">{title(told)}</line>'
            )
            self.notes.append(f"{told}; that time is not in the picture.")


_WELL = {"success", "running"}
_HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="stripe" width="2" height="6"/></pattern></defs>'
)


def _fits(name: str, share: float) -> bool:
    return share * PAGE_PX >= min(_LETTER_PX * len(name) + 8, _ENOUGH_PX)


class _Heap(Struct):
    """Waits for one thing that overlap."""

    waits: list[Wait]
    end_s: float

    @property
    def start_s(self) -> float:
        return self.waits[0].start_s


def _by_cause(course: Course) -> tuple[list[list[_Heap]], int]:
    """A row for each thing that was waited for, the longest first; and how many waits are too
    short, or of too many kinds, to be shown.
    """
    causes: dict[tuple[Why, str], list[_Heap]] = {}
    for wait in sorted(course.waits, key=lambda w: (w.start_s, w.end_s, w.task)):
        heaps = causes.setdefault((wait.why, wait.name), [])
        if heaps and wait.start_s <= heaps[-1].end_s:
            heaps[-1].waits.append(wait)
            heaps[-1].end_s = max(heaps[-1].end_s, wait.end_s)
        else:
            heaps.append(_Heap([wait], wait.end_s))
    least_s = _LEAST_WAIT_PX / PAGE_PX * course.length_s
    rows = [[h for h in heaps if h.end_s - h.start_s >= least_s] for heaps in causes.values()]
    rows.sort(key=lambda row: -sum(heap.end_s - heap.start_s for heap in row))
    rows = [row for row in rows if row][:_WAIT_ROWS]
    return rows, len(course.waits) - sum(len(heap.waits) for row in rows for heap in row)


def _bar_told(attempt: Attempt, kind: str) -> str:
    """`20-build, attempt 2: success after 43.0s, started when ...`"""
    again = f", attempt {attempt.number}" if attempt.number > 1 or kind == "retried" else ""
    word = attempt.word + (", tolerated" if attempt.warned else "")
    waited = f"{_WAITED[attempt.why]} {attempt.name}".rstrip()
    detail = f" ({attempt.detail})" if attempt.detail else ""
    return (
        f"{attempt.task}{again}: {word} after {duration(attempt.duration_s)}{detail};"
        f" from {duration(attempt.start_s)} on, {waited}"
    )


def _wait_name(wait: Wait) -> str:
    return wait.name if wait.why in {"resource", "concurrency"} else _WAITS[wait.why][0]


_WAITS: Mapping[Why, tuple[str, str]] = {
    "retry": ("retry", "for the delay of its retry"),
    "resume": ("resume", "for the run to be resumed"),
    "lease": ("lease", "for the lease that another run had"),
    "throttle": ("machine", "for the machine to be less busy"),
    "resource": ("resource", "for the resource"),
    "concurrency": ("group", "for the group"),
    "matrix": ("matrix", "for another instance of its matrix"),
    "alone": ("alone", "to run alone, or for one that does"),
}


def _waits_told(heap: _Heap) -> str:
    waits = heap.waits
    if len(waits) == 1:
        return wait_told(waits[0])
    tasks = list(dict.fromkeys(wait.task for wait in waits))
    more = len(tasks) - _NAMED
    named = ", ".join(tasks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    about = f"{_WAITS[waits[0].why][1]} {waits[0].name}".rstrip()
    between = f"between {duration(heap.start_s)} and {duration(heap.end_s)}"
    return f"{count(len(tasks), 'task')} waited {about} {between}: {named}"


def wait_told(wait: Wait) -> str:
    """`31-unit waited 4.0s for the resource db`."""
    about = f"{_WAITS[wait.why][1]} {wait.name}".rstrip()
    return f"{wait.task} waited {duration(wait.end_s - wait.start_s)} {about}"


def _about_path(course: Course, critical: Sequence[int]) -> str:
    """What the critical path consists of."""
    chain = [course.attempts[index] for index in critical]
    busy = sum(attempt.duration_s for attempt in chain)
    decided = ", which decided when the run was over" if course.ended else " so far"
    told = (
        f"The line under the bars is the critical path{decided}:"
        f" {count(len(chain), 'attempt')}, {duration(busy)} of {duration(course.length_s)}"
    )
    queued = sum(attempt.why == "slot" for attempt in chain)
    scarce = sum(attempt.why in {"resource", "concurrency", "matrix", "alone"} for attempt in chain)
    why = {"for a slot": queued, "for a resource, a group or to be alone": scarce}
    parts = [f"{number} {what}" for what, number in why.items() if number]
    if not parts:
        return f"{told}."
    parts[0] = parts[0].replace(" ", " of them had waited last ", 1)
    return f"{told}; {', '.join(parts)}."


def _about_help(advice: Advice) -> str:
    """What would have made the run shorter, as far as going through it again can tell."""
    if advice.best:
        parts = [
            f"{to_task(one.task, text_of(one.task))} about {duration(one.saved_s)}"
            for one in advice.best
        ]
        parts[0] = parts[0].replace("</a> about", "</a> would have saved about")
        told = f"What would help: half the time for {', for '.join(parts)}"
        alone = len(parts) < 3 and not advice.left_out
        told += f"; for any other task less than {duration(advice.least_s)}." if alone else "."
    else:
        told = (
            "What would help: no single task. Half the time for any one of them would have saved"
            f" less than {duration(advice.least_s)}."
        )
    if advice.slots_saved_s:
        told += f" With {advice.slots} slots the run would have been about"
        told += f" {duration(advice.slots_saved_s)} shorter."
    return told


def ticks(length_s: float) -> list[float]:
    """Moments to mark on an axis of this length: round ones, at most six, none near its end."""
    days = (86400 * 2**n for n in range(40))
    steps = (step for group in (_STEPS_S, _LONG_STEPS_S, days) for step in group)
    step = next(step for step in steps if length_s / step <= _MOST_TICKS)
    return [n * step for n in range(_MOST_TICKS + 1) if n * step <= 0.82 * length_s]


def short(seconds: float) -> str:
    """A round time span with no more than it needs: 0, 500ms, 30s, 5m, 1h30m."""
    if seconds < 1:
        return f"{round(1000 * seconds)}ms" if seconds else "0"
    if seconds < 60:
        return f"{seconds:g}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
