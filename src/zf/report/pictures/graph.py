"""What needs what, as a picture: a box for each task, or for several, and lines from left to right.

Pure. Unlike the timeline it has a size of its own: a graph that is squeezed cannot be read, so the
page lets it be scrolled sideways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zf.lean.records import Struct
from zf.report.facts import Facts
from zf.report.pictures.folding import Box, Folded, fold
from zf.report.pictures.layout import Placed, place
from zf.report.pictures.svg import number, text_of, title, to_task
from zf.report.words import count, story

_BOX_PX, _GAP_PX, _TOP_PX, _EDGE_PX = 24, 44, 22, 4
# Between the boxes of a block, which has so many side by side and, if it can, one above the other.
_BETWEEN_PX, _MOST_COLUMNS, _MOST_ROWS = 7, 5, 10
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
    """The picture and the sentences that go below it, all of it HTML; none where nothing needs
    anything.
    """
    folded = fold(facts)
    if not folded.lines:
        return "", []
    return _Picture(facts, folded).svg(), list(_notes(facts, folded))


def _notes(facts: Facts, folded: Folded) -> Iterator[str]:
    told = ["Each box stands right of all it needs"]
    if any(not box.label for box in folded.boxes):
        told.append("boxes between two bars need the same, and are needed by the same")
    if folded.implied:
        told.append(f"{count(folded.implied, 'need')} that others imply not drawn")
    yield f"{'; '.join(told)}."
    if folded.folds:
        alone = "; what failed, what led there and what it held up is not folded" * bool(
            facts.failed
        )
        yield f"{count(len(facts.tasks), 'task')} folded into {len(folded.boxes)} boxes{alone}."
    many = [name for box in folded.boxes if box.label and len(box.tasks) > 1 for name in box.tasks]
    bad = sum(facts.tasks[name].word in _BAD for name in many)
    if bad:
        yield f"There are too many of those: {count(bad, 'task')} of them folded all the same."


class _Chip(Struct, frozen=True):
    """A rectangle with a name in it: a task, or those that it stands for."""

    tasks: tuple[str, ...]
    name: str
    kind: str


class _Drawn(Struct):
    """A box with its chips, one but for a block, which has them in columns."""

    chips: Sequence[_Chip]
    columns: int
    width: float

    @property
    def rows(self) -> int:
        return -(-len(self.chips) // self.columns)

    @property
    def height(self) -> float:
        return self.rows * _BOX_PX + (self.rows - 1) * _BETWEEN_PX

    @property
    def bad(self) -> bool:
        """Whether something in it failed, or waited for what did."""
        return any(chip.kind in _BAD for chip in self.chips)


class _Picture:
    """The picture of one run: columns as wide as their widest box, and room between."""

    def __init__(self, facts: Facts, folded: Folded) -> None:
        rank = {phase: place for place, phase in enumerate(facts.phases)}
        self._facts = facts
        self._boxes = [_drawn(facts, box) for box in folded.boxes]
        self._bands = [rank.get(box.phase, 0) for box in folded.boxes]
        sizes = [box.height for box in self._boxes]
        self._placed: Placed = place(sizes, folded.lines, self._bands)
        # Single boxes of a column are as wide as each other; a block may be wider.
        single, widths = ([40.0] * self._placed.layers for _ in range(2))
        for box, layer in zip(self._boxes, self._placed.layer, strict=True):
            widths[layer] = max(widths[layer], box.width)
            if len(box.chips) == 1:
                single[layer] = max(single[layer], box.width)
        for box, layer in zip(self._boxes, self._placed.layer, strict=True):
            if len(box.chips) == 1:
                box.width = single[layer]
        self._lefts = [_EDGE_PX + 0.0]
        for width in widths:
            self._lefts.append(self._lefts[-1] + width + _GAP_PX)
        self._titled = len(facts.phases) > 1

    def svg(self) -> str:
        top = _TOP_PX if self._titled else _EDGE_PX
        width = self._lefts[-1] - _GAP_PX + _EDGE_PX
        height = top + self._placed.bottom + 2 * _EDGE_PX
        told = f"Graph: what each of {count(len(self._facts.tasks), 'task')} needs"
        size = f'width="{number(width)}" height="{number(height)}"'
        return "".join(
            (
                f'<div class="graph" tabindex="0" role="region" aria-label="{text_of(told)}">',
                f"<svg {size}>{_ARROWS}",
                *self._phases(height),
                f'<g transform="translate(0 {number(top)})">',
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
            wrong = self._boxes[one].bad and self._boxes[other].bad
            way = self._way(self._boxes[one].width, points)
            lines.append((wrong, f'<path class="need{" bad" * wrong}" d="{way}"/>'))
        # Those that tell how a failure spread lie above the others.
        yield from (path for _, path in sorted(lines, key=lambda line: line[0]))

    def _way(self, width: float, points: Sequence[tuple[int, float]]) -> str:
        """Level out of a box, level through the columns that it crosses, and level into the box."""
        (layer, y), *rest = points
        way = [f"M{number(self._lefts[layer] + width)} {number(y)}"]
        x = self._right(layer)
        if x > self._lefts[layer] + width:
            way.append(f"H{number(x)}")
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
            x, y = self._right(layer), following
            if (layer, following) != points[-1]:
                way.append(f"H{number(x)}")
        return "".join(way)

    def _right(self, layer: int) -> float:
        return self._lefts[layer + 1] - _GAP_PX

    def _box(self, index: int) -> str:
        box = self._boxes[index]
        x = self._lefts[self._placed.layer[index]]
        y = self._placed.height[index] - box.height / 2
        if len(box.chips) == 1:
            return self._chip(box.chips[0], x, y, box.width)
        inner = box.width - 2 * _BETWEEN_PX
        width = (inner - (box.columns - 1) * _BETWEEN_PX) / box.columns
        chips = (
            self._chip(
                chip,
                x + _BETWEEN_PX + (place // box.rows) * (width + _BETWEEN_PX),
                y + (place % box.rows) * (_BOX_PX + _BETWEEN_PX),
                width,
            )
            for place, chip in enumerate(box.chips)
        )
        end = number(y + box.height)
        sides = (f"M{number(side)} {number(y)}V{end}" for side in (x, x + box.width))
        return f'<path class="side" d="{"".join(sides)}"/>{"".join(chips)}'

    def _chip(self, chip: _Chip, x: float, y: float, width: float) -> str:
        size = f'width="{number(width)}" height="{_BOX_PX}" rx="3"'
        many = len(chip.tasks) > 1
        behind = f'x="{number(x + 3)}" y="{number(y + 3)}" {size}'
        drawn = (
            (f'<rect class="box {chip.kind}" {behind}/>' if many else "")
            + f'<rect class="box {chip.kind}" x="{number(x)}" y="{number(y)}" {size}/>'
            f'<text class="{chip.kind}" x="{number(x + 8)}" y="{number(y + _BOX_PX / 2 + 4)}">'
            f"{text_of(chip.name)}</text>{title(self._told(chip))}"
        )
        return f"<g>{drawn}</g>" if many else to_task(chip.tasks[0], drawn)

    def _told(self, chip: _Chip) -> str:
        if len(chip.tasks) > 1:
            words = Counter(self._facts.tasks[name].conclusion for name in chip.tasks)
            more = len(chip.tasks) - _NAMED
            names = ", ".join(chip.tasks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            return f"{', '.join(f'{n} {word}' for word, n in words.most_common())}: {names}"
        task = self._facts.tasks[chip.tasks[0]]
        what = story(task)
        titled = f" ({task.title})" if task.title not in {"", task.id} else ""
        return f"{task.id}{titled}: {chip.kind}" + (f", {what}" if what else "")


_ARROWS = (
    "<defs>"
    + "".join(
        f'<marker id="{name}" viewBox="0 0 6 6" refX="0.5" refY="3" markerWidth="6"'
        f' markerHeight="6" orient="auto"><path class="{name}" d="M0 0L6 3L0 6Z"/></marker>'
        for name in ("arrow", "bad-arrow")
    )
    + "</defs>"
)


def _drawn(facts: Facts, box: Box) -> _Drawn:
    groups = [(box.tasks, box.label)] if box.label else [((name,), name) for name in box.tasks]
    chips = []
    for tasks, label in groups:
        kind = _kind(facts, tasks)
        chips.append(_Chip(tasks, _name(label, kind), kind))
    width = _LETTER_PX * max(len(chip.name) for chip in chips) + 16
    if len(chips) == 1:
        return _Drawn(chips, 1, width)
    columns = min(_MOST_COLUMNS, -(-len(chips) // _MOST_ROWS))
    return _Drawn(chips, columns, columns * (width + _BETWEEN_PX) + _BETWEEN_PX)


def _kind(facts: Facts, tasks: Sequence[str]) -> str:
    kinds = set()
    for name in tasks:
        task = facts.tasks[name]
        # One flaky task among many does not make them all remarkable.
        kinds.add("flaky" if task.flaky and len(tasks) == 1 else task.conclusion)
    return next((kind for kind in _WORST if kind in kinds), "waiting")


def _name(label: str, kind: str) -> str:
    """The label with the shape of its kind, without its middle where it is long."""
    if len(label) > _MOST_LETTERS:
        half = _MOST_LETTERS // 2
        label = f"{label[: half + 2]}…{label[-half + 3 :]}"
    return f"{_SHAPES[kind]} {label}" if kind in _SHAPES else label
