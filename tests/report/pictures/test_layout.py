"""The layered layout: what holds of every graph, and what a good one looks like."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zf.report.pictures.layout import Placed, place


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[int]]:
    boxes = draw(st.integers(1, 25))
    pairs = st.tuples(st.integers(0, boxes - 1), st.integers(0, boxes - 1))
    lines = draw(st.sets(pairs, max_size=40))
    bands = sorted(draw(st.lists(st.integers(0, 3), min_size=boxes, max_size=boxes)))
    return boxes, sorted((a, b) for a, b in lines if a < b), bands


def apart(placed: Placed) -> bool:
    """Whether no two boxes of a layer touch."""
    columns: dict[int, list[float]] = {}
    for layer, height in zip(placed.layer, placed.height, strict=True):
        columns.setdefault(layer, []).append(height)
    return all(
        other - one > 33.9 for column in columns.values() for one, other in pairwise(sorted(column))
    )


@given(graphs())
def test_every_line_leads_to_the_right_and_no_two_boxes_touch(
    graph: tuple[int, list[tuple[int, int]], list[int]],
) -> None:
    boxes, lines, bands = graph
    placed = place([24.0] * boxes, lines, bands)
    assert len(placed.layer) == len(placed.height) == boxes
    assert apart(placed)
    assert placed.lines.keys() == set(lines)
    for (one, other), points in placed.lines.items():
        layers = [layer for layer, _ in points]
        assert layers == list(range(placed.layer[one], placed.layer[other] + 1))
        assert points[0][1] == placed.height[one]
        assert points[-1][1] == placed.height[other]
    for (band, layer), (other, following) in pairwise(
        sorted(zip(bands, placed.layer, strict=True))
    ):
        assert band == other or following > layer
    assert min(placed.height) >= 12 - 1e-6
    assert max(placed.height) <= placed.bottom - 12 + 1e-6


def test_a_chain_is_a_straight_line() -> None:
    placed = place([24.0] * 4, [(0, 1), (1, 2), (2, 3)])
    assert list(placed.layer) == [0, 1, 2, 3]
    assert len(set(placed.height)) == 1


def test_a_fan_stands_around_the_middle() -> None:
    placed = place([24.0] * 4, [(0, 1), (0, 2), (0, 3)])
    assert placed.height[0] == sum(placed.height[1:]) / 3


def crossings(placed: Placed) -> int:
    ends = [(points[0][1], points[-1][1]) for points in placed.lines.values()]
    return sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[:i])


def test_lines_that_need_not_cross_do_not() -> None:
    chance = random.Random(3)
    targets = list(range(10, 20))
    chance.shuffle(targets)
    placed = place([24.0] * 20, list(zip(range(10), targets, strict=True)))
    assert crossings(placed) == 0


def test_a_layer_has_an_end() -> None:
    placed = place([24.0] * 90, [])
    assert max(map(list(placed.layer).count, placed.layer)) <= 20


def test_the_same_graph_is_drawn_the_same_way() -> None:
    lines = [(a, b) for a in range(12) for b in range(a + 1, 12) if (a * b) % 3 == 0]
    assert place([24.0] * 12, lines) == place([24.0] * 12, lines)


def test_nothing_at_all() -> None:
    assert place([], []).layers == 0


def test_a_high_box_has_its_room() -> None:
    placed = place([24.0, 300.0, 24.0, 24.0], [(0, 1), (0, 2), (0, 3)])
    middle = sorted((placed.height[box], (24.0, 300.0, 24.0, 24.0)[box]) for box in (1, 2, 3))
    for (one, size), (other, following) in pairwise(middle):
        assert other - one >= (size + following) / 2 + 9.9
    assert placed.bottom >= 300
