"""Where a character of a value stands in its file, for messages about a part of a text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.nodes import Node, ScalarNode

from zf.lean.records import Struct

if TYPE_CHECKING:
    from zf.plan.yaml.source import Place, Source


class Spot(Struct, frozen=True):
    """A line and column, both from 0."""

    line: int
    column: int


def marks_inside(source: Source, node: Node, at: int, length: int) -> tuple[Place, Place]:
    """Where the characters `at` to `at + length` of the node's text start and end.

    Folding changes only white space, so the two texts are followed through everything else. Where
    a backslash makes them differ in more, it is the whole value.
    """
    text, lines = node.value, source.lines
    style = node.style if isinstance(node, ScalarNode) else None
    whole = (node.start_mark, node.end_mark)
    sought = len("".join(text[:at].split()))
    line, column = whole[0].line, whole[0].column
    if style in {"|", ">"}:
        line, column = line + 1, 0  # behind the header
    elif style:
        column += 1
    passed = 0
    while line < len(lines):
        shown = lines[line]
        while column < len(shown):
            char = shown[column]
            if style == '"' and char == "\\":
                return whole
            if not char.isspace():
                if passed == sought:
                    return Spot(line, column), Spot(line, column + length)
                passed += 1
                # Inside single quotes two of them stand for one.
                column += style == "'" and shown.startswith("''", column)
            column += 1
            if passed == sought and at >= len(text.rstrip()):
                return Spot(line, column), Spot(line, column + 1)
        line, column = line + 1, 0
    return whole
