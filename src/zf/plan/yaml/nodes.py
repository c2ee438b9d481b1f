"""The nodes of a text of YAML as records. PyYAML's own are made by constructors in Python, which
takes a quarter of the time in which libyaml composes them.
"""

from __future__ import annotations

from functools import partial
from operator import call
from typing import Any

from yaml import nodes

from zf.lean.records import Struct

try:
    from yaml import _yaml
except ImportError:  # pragma: no cover - the test environment has libyaml
    _names: dict[str, Any] = {}
else:
    _names = vars(_yaml)


class Node(Struct, eq=False):
    tag: str
    value: Any
    start_mark: Any
    end_mark: Any


class ScalarNode(Node, eq=False, gc=False):
    style: str | None


class CollectionNode(Node, eq=False):
    flow_style: bool | None


class SequenceNode(CollectionNode, eq=False):
    pass


class MappingNode(CollectionNode, eq=False):
    pass


_KINDS: dict[type, Any] = {
    nodes.ScalarNode: ScalarNode,
    nodes.SequenceNode: SequenceNode,
    nodes.MappingNode: MappingNode,
}
# What the compiled half makes nodes of.
_use_ours = partial(_names.update, {kind.__name__: kind for kind in _KINDS.values()})
_use_theirs = partial(_names.update, {kind.__name__: kind for kind in _KINDS})


# What may follow a tag `!` at once, beside white space; and how a text begins that is neither in
# quotes nor empty.
_ENDS = frozenset("<,]}")
_BEGINS = frozenset("$_./~([{")


def may_have_bare_tag(text: str) -> bool:
    """Whether `!` may stand alone before a text in quotes or before nothing, and so make a plain
    text of the one, and a text of the other. `! grep`, as in a script, does not.
    """
    if "!" not in text:
        return False
    behind = text.split("!")[1:]
    return not behind[-1] or any(map(_is_bare, behind))


def _is_bare(behind: str) -> bool:
    if not behind[:1].isspace():
        return behind[:1] in _ENDS
    first = behind.lstrip(" \t")[:1]
    return not first.isalnum() and first not in _BEGINS


def composed(parser: Any) -> Node | None:
    """The root of what a parser has that calls nothing in Python, so that all is one call: no other
    thread comes in between and finds our classes.
    """
    try:
        _, root, _ = map(call, (_use_ours, parser.get_single_node, _use_theirs))
    except BaseException:
        _use_theirs()
        raise
    return recorded(root) if type(root) in _KINDS else root


def recorded(root: Any) -> Node | None:
    """The same for what was composed otherwise: records of its nodes, one of each."""
    known: dict[int, Any] = {}
    waiting: list[tuple[Any, Any]] = []

    def record(node: Any) -> Any:
        found = known.get(id(node))
        if found is None:
            kind = _KINDS.get(type(node), type(node))
            marks = node.start_mark, node.end_mark
            if kind is ScalarNode:
                found = ScalarNode(node.tag, node.value, *marks, node.style)
            else:
                found = kind(node.tag, [], *marks, node.flow_style)
                waiting.append((node, found))
            known[id(node)] = found
        return found

    first = None if root is None else record(root)
    for node, found in waiting:  # grows; nothing recurses, as it may be deep
        if type(found) is SequenceNode:
            found.value += map(record, node.value)
        else:
            found.value += [(record(key), record(value)) for key, value in node.value]
    return first
