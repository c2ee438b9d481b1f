"""Where the boxes of a layered graph stand, and how its lines run between them. Pure.

After Sugiyama, Tagawa and Toda (1981): layers from left to right, so that every line leads to the
right; order within the layers by the means of the neighbours, as often as that takes crossings
away; heights that pull neighbours together without changing that order (pool adjacent violators).
A line over several layers has a place of its own in each, so that it runs around the boxes.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from zf.lean.records import Struct

# A layer has at most so many boxes; more of them stand in the next one, if they may.
_MOST_BESIDE = 20
_SWEEPS = 10
_PULLS = 8
_GAP_PX, _BEND_PX = 10.0, 4.0


class Placed(Struct, frozen=True):
    """Boxes by their layer and the height of their middle; the points that each line goes through,
    as layers and heights. The highest box begins at 0, the lowest ends at `bottom`; in pixels.
    """

    layer: Sequence[int]
    height: Sequence[float]
    lines: Mapping[tuple[int, int], Sequence[tuple[int, float]]]
    layers: int
    bottom: float


def place(
    sizes: Sequence[float], lines: Sequence[tuple[int, int]], bands: Sequence[int] | None = None
) -> Placed:
    """Places boxes of these heights, numbered from 0 so that lines lead from lower numbers to
    higher ones. Boxes of a higher band stand right of all of a lower one.
    """
    boxes = len(sizes)
    bands = bands or [0] * boxes
    layer = _layers(boxes, lines, bands)
    rows, ways = _with_bends(boxes, lines, layer)
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for way in ways.values():
        for one, other in pairwise(way):
            below.setdefault(one, []).append(other)
            above.setdefault(other, []).append(one)
    rows = _ordered(rows, above, below)
    column = {node: index for index, row in enumerate(rows) for node in row}
    at = _heights(rows, above, below, sizes)
    # Each band begins at the top: a low one beside a high one is found there.
    of_layer = {layer[box]: band for box, band in enumerate(bands)}
    half = [size / 2 for size in sizes]
    tops: dict[int, float] = {}
    for node, y in at.items():
        band = of_layer.get(column[node], 0)
        top = y - (half[node] if node < boxes else 0)
        tops[band] = min(tops.get(band, top), top)
    at = {node: y - tops[of_layer.get(column[node], 0)] for node, y in at.items()}
    return Placed(
        layer=layer,
        height=[at[box] for box in range(boxes)],
        lines={line: [(column[node], at[node]) for node in way] for line, way in ways.items()},
        layers=len(rows),
        bottom=max((y + (half[n] if n < boxes else 0) for n, y in at.items()), default=0.0),
    )


def _layers(boxes: int, lines: Sequence[tuple[int, int]], bands: Sequence[int]) -> list[int]:
    """For each box the first layer right of all it comes from, in its band, that has room."""
    before: dict[int, list[int]] = {}
    for one, other in lines:
        before.setdefault(other, []).append(one)
    layer = [0] * boxes
    begins = 0
    for band in sorted(set(bands)):
        members = [box for box in range(boxes) if bands[box] == band]
        taken: dict[int, int] = {}
        for box in members:
            at = max((layer[one] + 1 for one in before.get(box, ())), default=begins)
            at = max(at, begins)
            while taken.get(at, 0) >= _MOST_BESIDE:
                at += 1
            layer[box] = at
            taken[at] = taken.get(at, 0) + 1
        begins = max(layer[box] for box in members) + 1
    return layer


def _with_bends(
    boxes: int, lines: Sequence[tuple[int, int]], layer: Sequence[int]
) -> tuple[list[list[int]], dict[tuple[int, int], list[int]]]:
    """The layers, with a node more in each that a line crosses, and the nodes of each line."""
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for box in range(boxes):
        rows[layer[box]].append(box)
    ways: dict[tuple[int, int], list[int]] = {}
    bend = boxes
    # Lines from one box share their bends: they leave it as one and part where they must.
    shared: dict[tuple[int, int], int] = {}
    for one, other in lines:
        way = [one]
        for at in range(layer[one] + 1, layer[other]):
            if (one, at) not in shared:
                shared[one, at] = bend
                rows[at].append(bend)
                bend += 1
            way.append(shared[one, at])
        ways[one, other] = [*way, other]
    return rows, ways


_Neighbours = Mapping[int, Sequence[int]]


def _ordered(rows: list[list[int]], above: _Neighbours, below: _Neighbours) -> list[list[int]]:
    """The layers in an order with few crossings."""
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        order = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
        neighbours = above if downwards else below
        for index in order:
            fixed = rows[index - 1 if downwards else index + 1]
            place_of = {node: place for place, node in enumerate(fixed)}
            rows[index] = _by_means(rows[index], place_of, neighbours)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _by_means(
    row: Sequence[int], place_of: Mapping[int, int], neighbours: _Neighbours
) -> list[int]:
    """Sorted by the mean place of the neighbours; a node without one keeps its place."""
    means = {}
    for place, node in enumerate(row):
        places = [place_of[n] for n in neighbours.get(node, ()) if n in place_of]
        means[node] = sum(places) / len(places) if places else float(place)
    return sorted(row, key=means.__getitem__)


def _crossings(rows: Sequence[Sequence[int]], below: _Neighbours) -> int:
    total = 0
    for row, following in pairwise(rows):
        place_of = {node: place for place, node in enumerate(following)}
        seen: list[int] = []
        for node in row:
            places = [place_of[n] for n in set(below.get(node, ()))]
            total += sum(len(seen) - bisect_right(seen, place) for place in places)
            for place in places:
                insort(seen, place)
    return total


def _heights(
    rows: Sequence[Sequence[int]], above: _Neighbours, below: _Neighbours, sizes: Sequence[float]
) -> dict[int, float]:
    """Heights that keep the order and the room between neighbours in a layer."""

    def size(node: int) -> float:
        return sizes[node] if node < len(sizes) else _BEND_PX

    def room(one: int, other: int) -> float:
        return (size(one) + size(other)) / 2 + _GAP_PX

    height: dict[int, float] = {}
    for row in rows:
        _stack(row, lambda node: height.get(node, 0.0), height, room)
    for pull in range(_PULLS):
        neighbours = (above, below)[pull % 2]
        for row in rows if pull % 2 == 0 else reversed(rows):

            def wanted(node: int, neighbours: _Neighbours = neighbours) -> float:
                near = neighbours.get(node, ())
                if not near:
                    return height[node]
                return sum(height[n] for n in near) / len(near)

            _stack(row, wanted, height, room)
    return height


def _stack(
    row: Sequence[int],
    wanted: Callable[[int], float],
    height: dict[int, float],
    room: Callable[[int, int], float],
) -> None:
    """Gives each node of a layer the height it wants, or the nearest that leaves room: where
    several want the same, all of them give way alike.
    """
    offsets, offset = [], 0.0
    for index, node in enumerate(row):
        offset += room(row[index - 1], node) if index else 0.0
        offsets.append(offset)
    heaps: list[tuple[float, int]] = []  # the sum of what is wanted, and of how many
    for node, before in zip(row, offsets, strict=True):
        heaps.append((wanted(node) - before, 1))
        while len(heaps) > 1 and heaps[-2][0] / heaps[-2][1] >= heaps[-1][0] / heaps[-1][1]:
            (one, many), (other, more) = heaps[-2], heaps[-1]
            heaps[-2:] = [(one + other, many + more)]
    index = 0
    for total, many in heaps:
        for _ in range(many):
            height[row[index]] = total / many + offsets[index]
            index += 1
