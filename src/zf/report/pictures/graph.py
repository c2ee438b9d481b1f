"""What needs what, as a picture: a box for each task, or for several, and lines from left to right.

Pure. Unlike the timeline it has a size of its own: a graph that is squeezed cannot be read, so the
page lets it be scrolled sideways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zf.report.facts import Facts
from zf.report.pictures.folding import Box, Folded, fold
from zf.report.pictures.layout import Placed, place
from zf.report.pictures.svg import number, text_of, title, to_task
from zf.report.words import count, story

_BOX_PX, _GAP_PX, _TOP_PX, _EDGE_PX = 24, 44, 22, 4
# What a letter of a name takes, and how many of them a box has room for.
_LETTER_PX, _MOST_LETTERS = 6.6, 26
_NAMED = 8
_SHAPES: Mapping[str, str] = {
    "failure": "✕",
    "timeout": "◷",
    "lost": "!",
    "warned": "✕",
    "blocked": "\u2013",
    "cancelled": "\u2013",
    "skipped": "○",
    "running": "▸",
    "flaky": "↻",
}
_BAD = {"failure", "timeout", "lost", "blocked"}
# The word that a box has for tasks of several kinds: the first of these that one of them has.
_WORST = (
    *("failure", "timeout", "lost", "blocked", "cancelled", "running", "waiting"),
    *("warned", "flaky", "success", "skipped"),
)


def figure(facts: Facts) -> tuple[str, list[str]]:
    """The picture and the sentences that go below it, all of it HTML; none of one task."""
    if len(facts.tasks) < 2:
        return "", []
    folded = fold(facts)
    return _Picture(facts, folded).svg(), list(_notes(facts, folded))


def _notes(facts: Facts, folded: Folded) -> Iterator[str]:
    told = "Each box stands right of all it needs"
    yield (
        f"{told}; {count(folded.implied, 'need')} that others imply not drawn."
        if folded.implied
        else f"{told}."
    )
    if folded.folds:
        alone = "; what failed, what led there and what it held up is not folded" * bool(
            facts.failed
        )
        yield f"{count(len(facts.tasks), 'task')} folded into {len(folded.boxes)} boxes{alone}."
    many = [name for box in folded.boxes if len(box.tasks) > 1 for name in box.tasks]
    bad = sum(facts.tasks[name].word in _BAD for name in many)
    if bad:
        yield f"There are too many of those: {count(bad, 'task')} of them folded all the same."


class _Picture:
    """The picture of one run: columns as wide as their longest name, and room between."""

    def __init__(self, facts: Facts, folded: Folded) -> None:
        rank = {phase: place for place, phase in enumerate(facts.phases)}
        self._facts = facts
        self._boxes = folded.boxes
        self._bands = [rank.get(box.phase, 0) for box in folded.boxes]
        self._placed: Placed = place(len(folded.boxes), folded.lines, self._bands)
        self._kinds = [_kind(facts, box) for box in folded.boxes]
        self._names = [
            _name(box, kind) for box, kind in zip(folded.boxes, self._kinds, strict=True)
        ]
        self._widths = [40.0] * self._placed.layers
        for box, layer in enumerate(self._placed.layer):
            width = _LETTER_PX * len(self._names[box]) + 16
            self._widths[layer] = max(self._widths[layer], width)
        self._lefts = [_EDGE_PX + 0.0]
        for width in self._widths:
            self._lefts.append(self._lefts[-1] + width + _GAP_PX)
        self._titled = len(facts.phases) > 1

    def svg(self) -> str:
        top = _TOP_PX if self._titled else _EDGE_PX
        width = self._lefts[-1] - _GAP_PX + _EDGE_PX
        height = top + self._placed.bottom + _BOX_PX + 8
        told = f"Graph: what each of {count(len(self._facts.tasks), 'task')} needs"
        size = f'width="{number(width)}" height="{number(height)}"'
        return "".join(
            (
                f'<div class="graph" tabindex="0" role="region" aria-label="{text_of(told)}">',
                f"<svg {size}>{_ARROWS}",
                *self._phases(height),
                f'<g transform="translate(0 {number(top + _BOX_PX / 2)})">',
                *self._lines(),
                *(self._box(box) for box in range(len(self._boxes))),
                "</g></svg></div>",
            )
        )

    def _phases(self, height: float) -> Iterator[str]:
        if not self._titled:
            return
        first: dict[int, int] = {}
        for box, layer in enumerate(self._placed.layer):
            band = self._bands[box]
            first[band] = min(first.get(band, layer), layer)
        names = list(self._facts.phases)
        for band, layer in sorted(first.items()):
            x = self._lefts[layer]
            if layer:
                edge = number(x - _GAP_PX / 2)
                yield f'<line class="phase" x1="{edge}" x2="{edge}" y1="0" y2="{number(height)}"/>'
            name = names[band] if band < len(names) else ""
            yield f'<text class="heading" x="{number(x)}" y="12">{text_of(name)}</text>'

    def _lines(self) -> Iterator[str]:
        lines = []
        for (one, other), points in self._placed.lines.items():
            wrong = self._kinds[one] in _BAD and self._kinds[other] == "blocked"
            lines.append((wrong, f'<path class="need{" bad" * wrong}" d="{self._way(points)}"/>'))
        # Those that tell how a failure spread lie above the others.
        yield from (path for _, path in sorted(lines, key=lambda line: line[0]))

    def _way(self, points: Sequence[tuple[int, float]]) -> str:
        """Level out of a box, level through the columns that it crosses, and level into the box."""
        (layer, y), *rest = points
        x = self._lefts[layer] + self._widths[layer]
        way = [f"M{number(x)} {number(y)}"]
        for layer, following in rest:
            left = self._lefts[layer]
            if (layer, following) == points[-1]:
                left -= 5  # the head of the arrow
            middle = (x + left) / 2
            if following == y:
                way.append(f"H{number(left)}")
            else:
                way.append(
                    f"C{number(middle)} {number(y)} {number(middle)} {number(following)}"
                    f" {number(left)} {number(following)}"
                )
            x, y = self._lefts[layer] + self._widths[layer], following
            if (layer, following) != points[-1]:
                way.append(f"H{number(x)}")
        return "".join(way)

    def _box(self, index: int) -> str:
        box, kind = self._boxes[index], self._kinds[index]
        layer = self._placed.layer[index]
        x, y = self._lefts[layer], self._placed.height[index] - _BOX_PX / 2
        width = self._widths[layer]
        at = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{_BOX_PX}" rx="3"'
        behind = ""
        if len(box.tasks) > 1:
            below = f'x="{number(x + 3)}" y="{number(y + 3)}"'
            size = f'width="{number(width)}" height="{_BOX_PX}" rx="3"'
            behind = f'<rect class="box behind {kind}" {below} {size}/>'
        text_at = f'x="{number(x + 8)}" y="{number(y + _BOX_PX / 2 + 4)}"'
        drawn = (
            f'{behind}<rect class="box {kind}" {at}/>'
            f'<text class="{kind}" {text_at}>{text_of(self._names[index])}</text>'
            f"{title(self._told(box, kind))}"
        )
        if len(box.tasks) > 1:
            return f"<g>{drawn}</g>"
        return to_task(box.tasks[0], drawn)

    def _told(self, box: Box, kind: str) -> str:
        if len(box.tasks) > 1:
            words = Counter(self._facts.tasks[name].conclusion for name in box.tasks)
            more = len(box.tasks) - _NAMED
            names = ", ".join(box.tasks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            return f"{', '.join(f'{n} {word}' for word, n in words.most_common())}: {names}"
        task = self._facts.tasks[box.tasks[0]]
        what = story(task)
        titled = f" ({task.title})" if task.title not in {"", task.id} else ""
        return f"{task.id}{titled}: {kind}" + (f", {what}" if what else "")


_ARROWS = (
    "<defs>"
    + "".join(
        f'<marker id="{name}" viewBox="0 0 6 6" refX="0.5" refY="3" markerWidth="6"'
        f' markerHeight="6" orient="auto"><path class="{name}" d="M0 0L6 3L0 6Z"/></marker>'
        for name in ("arrow", "bad-arrow")
    )
    + "</defs>"
)


def _kind(facts: Facts, box: Box) -> str:
    kinds = set()
    for name in box.tasks:
        task = facts.tasks[name]
        # One flaky task among many does not make them all remarkable.
        kinds.add("flaky" if task.flaky and len(box.tasks) == 1 else task.conclusion)
    return next((kind for kind in _WORST if kind in kinds), "waiting")


def _name(box: Box, kind: str) -> str:
    label = box.label
    if len(label) > _MOST_LETTERS:
        half = _MOST_LETTERS // 2
        label = f"{label[: half + 2]}…{label[-half + 3 :]}"
    return f"{_SHAPES[kind]} {label}" if kind in _SHAPES else label
