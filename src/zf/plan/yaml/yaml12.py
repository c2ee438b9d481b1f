"""YAML 1.2 (core schema) as zf reads it: text -> plain values, with the nodes kept for positions.

Parsing is libyaml's. Resolving is ours, because libyaml's users read YAML 1.1, where `on` is true
and `1:30` is ninety. Says nothing about what a task file may hold; that is `schema.py`.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from yaml.error import MarkedYAMLError
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from zf.lean import lazy
from zf.lean.records import Struct, field

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.plan.yaml.source import Source

# The deepest value a task file can need is five levels down.
MAX_DEPTH = 32
# Aliases counted at every use: more than any real task file has, and still read in under 0.1 s. A
# large file of many tasks may hold as many values as can be written in it without an alias.
MAX_VALUES = 100_000
_CHARS_A_VALUE = 2
# What every tag starts with.
_TAG: Final = "!"
_PLAIN: Final = ""
_STR: Final = "tag:yaml.org,2002:str"
_SEQ: Final = "tag:yaml.org,2002:seq"
_MAP: Final = "tag:yaml.org,2002:map"


# Ends a location that means the key of an entry, not its value; pydantic's own word for it.
KEY: Final = "[key]"


class _Resolver:
    """Tags for the composer: plain scalars stay open, everything else is what it looks like."""

    # How many levels the composer may meet without danger.
    safe_levels = 1000

    def resolve(self, kind: type[Node], _value: object, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _STR
        return _SEQ if kind is SequenceNode else _MAP

    # Tags here do not depend on where a value stands, so there is nothing to do when the composer
    # enters a node and leaves it; functions written in C do that in a third of the time.
    descend_resolver = operator.is_
    ascend_resolver = int


def pure_parser() -> type[Any]:
    """PyYAML's own parser: twenty times slower, the same values."""
    from yaml.composer import Composer  # noqa: PLC0415 - only where libyaml is missing
    from yaml.parser import Parser  # noqa: PLC0415 - likewise
    from yaml.reader import Reader  # noqa: PLC0415 - likewise
    from yaml.scanner import Scanner  # noqa: PLC0415 - likewise

    class PureParser(_Resolver, Reader, Scanner, Parser, Composer):
        safe_levels = 0  # it recurses in Python, whose own limit is low

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)

    return PureParser


def _best_parser() -> type[Any]:
    try:
        from yaml._yaml import CParser  # noqa: PLC0415 - absent from builds without libyaml
    except ImportError:  # pragma: no cover - the test environment has libyaml
        return pure_parser()

    class FastParser(_Resolver, CParser):
        pass

    return FastParser


_Parser = _best_parser()


# For a text without tags: it asks nothing that is written in Python, as the style of a scalar says
# whether it is in quotes.
_Untagged = type("Untagged", (_Parser,), {"resolve": "".format})


class _TooDeep(Exception):  # noqa: N818 - never leaves this module
    """Before the composer goes so deep that it could crash."""


class _Watch:
    """For a parser of a text that could be too deep: counts the levels of the composer."""

    depth = 0

    def descend_resolver(self, _parent: Node | None, _index: object) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:  # what is in the deepest collection
            raise _TooDeep

    def ascend_resolver(self) -> None:
        self.depth -= 1


def _watched(parser: type[Any]) -> type[Any]:
    return type("Watched", (_Watch, parser), {})


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """The file as a whole cannot be taken in; carries the one problem to report."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class OddNumber(Struct, frozen=True):
    """A number whose value depends on the reader, such as 010: valid for no key."""

    text: str


class Document(Struct):
    """What a file says. `root` is None for an empty file and for one that cannot be read."""

    root: Node | None = None
    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    _pairs: dict[int, dict[Any, tuple[Node, Node]]] = field(default_factory=dict)

    def node_at(self, loc: tuple[int | str, ...]) -> Node:
        """The node of the value at `loc`, or of its key when `loc` ends with `KEY`.

        For what is not there it is the node of the mapping that lacks it.
        """
        assert self.root is not None
        node = self.root
        for index, part in enumerate(loc):
            if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                continue
            pair = self._pairs_of(node).get(part)
            if pair is None:
                return node
            if loc[index + 1 :] == (KEY,):
                return pair[0]
            node = pair[1]
        return node

    def _pairs_of(self, mapping: Node) -> dict[Any, tuple[Node, Node]]:
        """Its pairs by key, the first of each; made once, as a bad file asks for many."""
        if id(mapping) not in self._pairs:
            pairs = reversed(mapping.value if isinstance(mapping, MappingNode) else [])
            self._pairs[id(mapping)] = {k.value: (k, v) for k, v in pairs if _is_scalar(k)}
        return self._pairs[id(mapping)]


def read(source: Source, parser: type[Any] = _Parser) -> Document:
    """The file's value; problems of YAML itself are in `problems`, the rest was read past them."""
    if parser is _Parser and _TAG not in source.text:
        found = _read(source, _Untagged)
        if not found.problems:
            return found
        # What was read past has no tags yet, and may be asked for them in messages.
    return _read(source, parser)


def _read(source: Source, parser: type[Any]) -> Document:
    try:
        root = _compose(source, parser)
        walk = _Walk(source, is_tagged=parser is not _Untagged)
        value = None if root is None else walk.value(root, 1)
    except _Refused as refusal:
        return Document(problems=[refusal.problem])
    return Document(root, value, walk.problems)


def _compose(source: Source, parser: type[Any]) -> Node | None:
    text = source.text
    try:
        reader = _watched(parser) if most_levels(text) > parser.safe_levels else parser
        root: Node | None = reader(text).get_single_node()
    except _TooDeep:
        _refuse_depth(source, parser)
        raise AssertionError("the events are those of the nodes") from None
    except MarkedYAMLError as error:
        from zf.plan.yaml import syntax  # noqa: PLC0415 - only for messages

        raise _Refused(syntax.explain(source, error)) from None
    return root


def most_levels(text: str) -> int:
    """No text has more levels than this says. Composing recurses in C, which crashes the process at
    some ten thousand levels; to watch it is a tenth of the time that a large file takes.

    Without brackets, a collection is further to the right than the one around it, except for a list
    in a mapping. In brackets, there are no more levels than are open at once.
    """
    if len(text) < _Resolver.safe_levels:
        return len(text)  # each level takes at least one character
    longest = max(map(len, text.split("\n")))
    closed = len(_CLOSED.findall(text))
    left_open = text.count("[") + text.count("{") - closed
    # One of the closed ones is open at a time; and `[a: b]` is a mapping in a list.
    return 2 * (longest + 1) + 2 * (left_open + 1)


def _refuse_depth(source: Source, parser: type[Any]) -> None:
    events = parser(source.text)
    depth = 0
    while (event := events.get_event()) is not None:
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                from zf.plan.yaml import nested  # noqa: PLC0415 - of a bad file

                raise _Refused(nested.too_deep(source, event))
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


class _Walk:
    """Nodes -> values, once over everything, aliases expanded and counted."""

    __slots__ = ("is_tagged", "most", "problems", "source", "values")

    def __init__(self, source: Source, *, is_tagged: bool) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.values = 0
        self.most = max(MAX_VALUES, len(source.text) // _CHARS_A_VALUE)
        self.is_tagged = is_tagged

    def value(self, node: Node, depth: int) -> Any:
        kind = node.__class__
        if kind is ScalarNode:
            return self._scalar(node)
        return self._sequence(node, depth) if kind is SequenceNode else self._mapping(node, depth)

    def _scalar(self, node: Any) -> Any:
        tag = node.tag
        if tag == _PLAIN:
            if self.is_tagged or not node.style:
                text = node.value
                return _core(text) if text in _WORDS or text[0] in _NUMERIC else text
            node.tag = tag = _STR
        return self._quoted(node) if tag == _STR else self._tagged(node)

    def _sequence(self, node: Node, depth: int) -> list[Any]:
        items = node.value
        self.values += len(items)
        if depth > MAX_DEPTH or self.values > self.most:
            self._refuse_size(node, depth)
        if node.tag and node.tag != _SEQ:
            self._unknown_tag(node)
        below = depth + 1
        found: list[Any] = []
        for item in items:  # of few, as lists are, a comprehension takes longer
            found.append(self.value(item, below))  # noqa: PERF401
        return found

    def _mapping(self, node: Node, depth: int) -> dict[str, Any]:
        pairs = node.value
        self.values += len(pairs)
        if depth > MAX_DEPTH or self.values > self.most:
            self._refuse_size(node, depth)
        if node.tag and node.tag != _MAP:
            self._unknown_tag(node)
        below = depth + 1
        found: dict[str, Any] = {}
        again: list[Node] = []
        compound = False
        for key_node, value_node in pairs:
            # What `value` says of plain text, which nearly every key is, and many a value.
            key = key_node.value
            if key_node.__class__ is not ScalarNode or key_node.tag or key_node.style:
                key = self._key(key_node, below)
            elif key in _keys:
                key = _keys[key]
            elif key in _WORDS or key[0] in _NUMERIC:
                key = self._key(key_node, below)
            elif len(_keys) < _MOST_KNOWN:
                key = _keys[key] = intern(key)
            if key is None:
                compound = compound or not _is_scalar(key_node)
                continue
            if key in found:
                again.append(key_node)
                continue
            kind = value_node.__class__
            if kind is MappingNode:
                found[key] = self._mapping(value_node, below)
            elif kind is SequenceNode:
                found[key] = self._sequence(value_node, below)
            elif value_node.tag or value_node.style:
                found[key] = self._scalar(value_node)
            else:
                value = value_node.value
                is_odd = value[:1] in _ODD and (value in _WORDS or value[0] in _NUMERIC)
                found[key] = _core(value) if is_odd else value
        if compound:  # so that what reads nodes finds keys that are texts
            node.value = [(key, value) for key, value in pairs if _is_scalar(key)]
        if again:
            self._duplicates(node, again)
        return found

    def _key(self, node: Node, below: int) -> str | None:
        """A key that is no plain text, if it is text at all."""
        key: Any = self.value(node, below)
        if key.__class__ is str:
            return key
        self._bad_key(node)
        return None

    def _refuse_size(self, node: Node, depth: int) -> None:
        from zf.plan.yaml import nested  # noqa: PLC0415 - of a bad file

        if depth > MAX_DEPTH:
            raise _Refused(nested.bottomless(self.source, node))
        raise _Refused(nested.too_many(self.source, node, self.most))

    def _quoted(self, node: Node) -> str:
        text: str = node.value
        if text.isascii() and "\0" not in text:
            return text  # for which the expression need not be compiled
        found = _NOT_FOR_PROGRAMS.search(text)
        if found is not None:
            message = f"the text holds U+{ord(found[0]):04X}, which cannot be given to a program"
            self._report("ZF205", message, node, "remove it")
        return text

    def _tagged(self, node: Node) -> Any:
        """A scalar with a written tag: `!!str 8080` and its like may say what a value is."""
        convert = _CORE_TAGS.get(node.tag)
        value = _core(node.value)
        if convert is None or value.__class__ not in convert:
            self._unknown_tag(node)
        return value

    def _unknown_tag(self, node: Node) -> None:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self._report("ZF209", f"the tag {tag} has no meaning here", node, "remove the tag")

    def _bad_key(self, key: Node) -> None:
        if isinstance(key, ScalarNode):
            message, hint = f"a key must be text, found {key.value}", "put it in quotes"
        else:
            message, hint = "a key must be text, found a list or mapping", None
        self._report("ZF222", message, key, hint)

    def _duplicates(self, mapping: Node, again: list[Node]) -> None:
        lines = {
            k.value: k.start_mark.line + 1 for k, _ in reversed(mapping.value) if _is_scalar(k)
        }
        for key in again:
            hint = f"the first is in line {lines[key.value]}"
            self._report("ZF207", f"key '{key.value}' is given twice", key, hint)

    def _report(self, code: str, message: str, node: Node, hint: str | None) -> None:
        self.problems.append(
            self.source.problem(code, message, node.start_mark, node.end_mark, hint=hint)
        )


def _is_scalar(node: Node) -> bool:
    return isinstance(node, ScalarNode)


# Brackets in which nothing can keep the closing one from closing them: no quote, comment or tag.
_CLOSED = lazy.pattern(r"""[\[{][^\[\]{}"'#!]*[\]}]""")
# What only an escape can write: NUL ends texts in C, half a surrogate pair is no character.
_NOT_FOR_PROGRAMS = lazy.pattern("[\0\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {
    word: value
    for value, words in (
        (None, ("", "~", "null", "Null", "NULL")),
        (True, ("true", "True", "TRUE")),
        (False, ("false", "False", "FALSE")),
    )
    for word in words
}
# A text that is no such word is text, too, if it does not start with one of these.
_NUMERIC = frozenset("-+.0123456789")
# Most texts do not even start like any of them.
_ODD = _NUMERIC | {word[:1] for word in _WORDS}
_INT = lazy.pattern(r"[-+]?[0-9]+")
_OTHER_BASE = lazy.pattern(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = lazy.pattern(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = lazy.pattern(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Beyond any number a key can hold, and far below the length at which int() refuses.
_INT_DIGITS = 20
# The same few numbers and words are in every task.
_MOST_KNOWN = 256
# The keys that files have, one text for all of them: two that are one are compared at once.
_keys: dict[str, str] = {}


@lru_cache(_MOST_KNOWN)
def _core(text: str) -> Any:
    """The value of a plain scalar by the rules of YAML 1.2's core schema (10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INT.fullmatch(text):
        digits = text.lstrip("+-")
        if digits[0] == "0" and len(digits) > 1:
            return OddNumber(text)
        return int(text) if len(digits) < _INT_DIGITS else float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0) if len(text) < _INT_DIGITS else float("inf")
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def is_text(scalar: Node) -> bool:
    """Whether the scalar reads as text, not as a number, a boolean or nothing."""
    return scalar.tag == _STR or _core(scalar.value).__class__ is str


def is_nothing(node: Node) -> bool:
    """Whether the node is an empty value, or null in one of its spellings."""
    return _is_scalar(node) and node.tag != _STR and _core(node.value) is None


# What a written tag may turn a scalar into. `!!str` is answered before this table is asked.
_CORE_TAGS: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:null": (type(None),),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
}
