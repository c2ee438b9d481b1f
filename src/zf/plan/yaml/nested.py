"""Values nested deeper than zf reads them, or in themselves, or too many: what to say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, Node, SequenceNode

from zf.plan.yaml.yaml12 import MAX_DEPTH

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.plan.yaml.source import Source


def too_deep(source: Source, place: Any) -> Problem:
    return source.problem(
        "ZF208",
        f"values are nested more than {MAX_DEPTH} levels deep",
        place.start_mark,
        hint="no key of zf needs that",
    )


def bottomless(source: Source, node: Node) -> Problem:
    """The finding about a node that is too deep, perhaps because it has no end."""
    if not _holds_itself(node):
        return too_deep(source, node)
    return source.problem(
        "ZF208",
        "an alias stands inside the value it refers to",
        node.start_mark,
        hint="such a value has no end; write it out",
    )


def too_many(source: Source, node: Node, most: int) -> Problem:
    return source.problem(
        "ZF208",
        f"the file holds more than {most} values, aliases counted at every use",
        node.start_mark,
        hint="write the value out where it is needed instead of multiplying aliases",
    )


def _holds_itself(node: Node) -> bool:
    """Whether following the node's parts leads back to it, without following any part twice."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        for part in _parts(waiting.pop()):
            if part is node:
                return True
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)
    return False


def _parts(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []
