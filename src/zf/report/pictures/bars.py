"""Attempts as bars on the lane of their slot, drawn together where they are too short to be seen.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from zf.events import FAILED, Status
from zf.lean.records import Struct
from zf.report.timing.course import Attempt, Course

# Widths are judged on a page of this many pixels, which is what a desktop shows.
PAGE_PX = 1000
# With more bars than this a page grows large, and no eye tells them apart.
_MOST_BARS = 1200
_NARROWEST_PX = 2.0


class Bar(Struct, frozen=True):
    """Attempts that are drawn as one, nearly always a single one; `kind` is its class."""

    attempts: tuple[int, ...]
    slot: int
    start_s: float
    end_s: float
    kind: str


def kinds(course: Course) -> list[str]:
    """For each attempt what it was: its status, `warned`, or `retried` if another one followed."""
    last = {attempt.task: index for index, attempt in enumerate(course.attempts)}
    return [
        "retried"
        if last[attempt.task] != index and attempt.word != Status.SUCCESS
        else "warned"
        if attempt.warned
        else attempt.word
        for index, attempt in enumerate(course.attempts)
    ]


def bars(course: Course) -> tuple[list[Bar], int]:
    """All bars, and how many attempts are drawn together with others. Whatever did not go well has
    a bar of its own, unless that alone would be too many.
    """
    lanes: list[list[int]] = [[] for _ in range(course.slots)]
    for index, attempt in enumerate(course.attempts):
        lanes[attempt.slot].append(index)
    kind = kinds(course)
    narrow_px = _NARROWEST_PX
    apart = {index for index, word in enumerate(kind) if word != Status.SUCCESS}
    if len(apart) > _MOST_BARS // 2:
        apart = set()
    while True:
        narrow_s = narrow_px / PAGE_PX * course.length_s
        found = [bar for lane in lanes for bar in _lane(course, lane, kind, apart, narrow_s)]
        if len(found) <= _MOST_BARS or narrow_px >= PAGE_PX:
            return found, sum(len(bar.attempts) for bar in found if len(bar.attempts) > 1)
        narrow_px *= 1.5


def _lane(
    course: Course, lane: Sequence[int], kind: Sequence[str], apart: set[int], narrow_s: float
) -> Iterator[Bar]:
    """The bars of one lane; neighbours that are narrow, and so near that no gap would show, are
    drawn together.
    """
    together: list[int] = []
    for index in lane:
        attempt = course.attempts[index]
        narrow = attempt.duration_s < narrow_s and index not in apart
        near = together and attempt.start_s - course.attempts[together[-1]].end_s < narrow_s
        if together and not (narrow and near):
            yield _bar(course, together, kind)
            together = []
        if narrow:
            together.append(index)
        else:
            yield _bar(course, [index], kind)
    if together:
        yield _bar(course, together, kind)


def _bar(course: Course, indices: Sequence[int], kind: Sequence[str]) -> Bar:
    attempts = [course.attempts[index] for index in indices]
    words = {kind[index] for index in indices}
    failed = next((word for word in words if word in FAILED), None)
    return Bar(
        tuple(indices),
        attempts[0].slot,
        attempts[0].start_s,
        max(attempt.end_s for attempt in attempts),
        failed or (words.pop() if len(words) == 1 else Status.SUCCESS.value),
    )


def counted(attempts: Sequence[Attempt]) -> str:
    """`31 success, 2 failure`."""
    words = Counter(attempt.word for attempt in attempts)
    return ", ".join(f"{count} {word}" for word, count in words.most_common())
