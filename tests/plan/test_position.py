"""Where a part of a text stands in its file, however the text is written there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.plan.yaml import yaml12
from zf.plan.yaml.position import marks_inside
from zf.plan.yaml.source import Source


def place(value: str, at: int, length: int = 1) -> tuple[int, int, int]:
    """Line, column and end column, from 0, of a part of the value of `a`."""
    source = Source("x", value)
    document = yaml12.read(source)
    start, end = marks_inside(source, document.node_at(("a",)), at, length)
    return start.line, start.column, end.column


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("a: one two\n", 4, (0, 7, 8)),
        ("a: 'one two'\n", 4, (0, 8, 9)),
        ("a: 'o''e two'\n", 4, (0, 9, 10)),
        ('a: "one two"\n', 4, (0, 8, 9)),
        ("a: |\n  one\n  two\n", 4, (2, 2, 3)),
        ("a: >-\n  one\n\n  two\n", 4, (3, 2, 3)),
        ("a: one\n  two\n", 4, (1, 2, 3)),
        ("a: one\n", 3, (0, 6, 7)),
        ("a: 'one '\n", 4, (0, 7, 8)),
        ("a: |\n  one\n", 4, (1, 5, 6)),
    ],
    ids=[
        "plain",
        "single",
        "doubled",
        "double",
        "block",
        "folded",
        "lines",
        "end",
        "blank",
        "last",
    ],
)
def test_each_way_of_writing_it(text, at, expected):
    assert place(text, at) == expected


def test_behind_a_backslash_it_is_the_whole_value():
    assert place('a: "\\u006fne two"\n', 4) == (0, 3, 17)


@given(st.text("ab' |>\"#&\n", min_size=1, max_size=30), st.integers(0, 30))
def test_there_is_always_a_place(text, at):
    source = Source("x", f"a: {text!r}\n")
    node = yaml12.read(source).root
    if node is not None:
        start, _ = marks_inside(source, node.value[0][1], at, 1)
        assert start.line < len(source.lines)
