"""The nodes of a text of YAML as records, in the place of PyYAML's, which are made by constructors
in Python: a quarter of the time in which libyaml composes them.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Any

from yaml import nodes

from zf.lean.records import Struct


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


_OURS = {kind.__name__: kind for kind in (ScalarNode, SequenceNode, MappingNode)}
_THEIRS = {name: getattr(nodes, name) for name in _OURS}
# One text at a time; a child of this process that was forked meanwhile begins anew.
_alone = Lock()
os.register_at_fork(
    before=_alone.acquire, after_in_parent=_alone.release, after_in_child=_alone.release
)


def composed(parser: Any, composer: str) -> Node | None:
    """The root of what a parser has. The module which makes its nodes has our classes meanwhile."""
    names = vars(sys.modules[composer])
    with _alone:
        names.update(_OURS)
        try:
            root: Node | None = parser.get_single_node()
        finally:
            names.update(_THEIRS)
    return root


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
