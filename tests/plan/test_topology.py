"""Levels and shortest cycles: examples, sizes, and what holds for every graph."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from zf.plan.topology import levels_of, shortest_cycles


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({}, []),
        ({"a": [], "b": ["a"]}, []),
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["a", "b"]}, [["b"]]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c"]]),
        # Above, between and below cycles is not on a cycle.
        (
            {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": ["e"], "e": ["d", "f"], "f": []},
            [["b", "c"], ["d", "e"]],
        ),
        # The short way and the long way round.
        (
            {"a": ["b", "x"], "b": ["c"], "c": ["a"], "x": ["y"], "y": ["z"], "z": ["a"]},
            [list("abc")],
        ),
    ],
)
def test_shortest_cycles(needs, expected):
    assert sorted(shortest_cycles(needs)) == expected


def test_a_ring_of_many_thousand_tasks_is_no_trouble():
    ring = {f"t{n:05}": [f"t{(n + 1) % 20_000:05}"] for n in range(20_000)}
    (cycle,) = shortest_cycles(ring)
    assert cycle == sorted(ring)


def test_a_chain_of_many_thousand_tasks_is_no_trouble():
    chain = {f"t{n:05}": [f"t{n - 1:05}"] if n else [] for n in range(20_000)}
    assert levels_of(chain)["t19999"] == 19_999


NAMES = list("abcdefgh")
graphs = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES))).map(
    lambda found: {name: sorted(found.get(name, ())) for name in NAMES}
)


def distance(needs, start, goal):
    """Edges from start to goal by the plainest search there is; None when there is no way."""
    ring, seen, steps = set(needs[start]), set(), 1
    while ring:
        if goal in ring:
            return steps
        seen |= ring
        ring = {need for name in ring for need in needs[name]} - seen
        steps += 1
    return None


@given(graphs)
def test_levels_are_one_more_than_the_highest_need_and_only_cycles_lack_them(needs):
    levels = levels_of(needs)
    for name, level in levels.items():
        assert level == max((levels[need] + 1 for need in needs[name]), default=0)
    for name in set(needs) - set(levels):
        reached = {other for other in NAMES if distance(needs, name, other) is not None} | {name}
        assert any(distance(needs, other, other) for other in reached)


@given(graphs)
def test_a_cycle_is_found_for_every_knot_and_there_is_no_shorter_one(needs):
    cycles = list(shortest_cycles(needs))
    on_cycle = {name for name in NAMES if distance(needs, name, name) is not None}
    covered = set()
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        assert cycle[0] == min(cycle)
        for name, need in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert need in needs[name]
        knot = {
            name
            for name in on_cycle
            if name == cycle[0]
            or (
                distance(needs, name, cycle[0]) is not None
                and distance(needs, cycle[0], name) is not None
            )
        }
        assert not knot & covered
        covered |= knot
        assert len(cycle) == min(distance(needs, name, name) for name in knot)
    assert covered == on_cycle
