"""Expressions of GitHub Actions, parsed: texts in a template, or the whole of an `if`."""

from __future__ import annotations

import re

from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.tokens import Tokens
from zf.lean.records import Struct

TEMPLATE = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|[^}']|\}(?!\}))*)\}\}")
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<sign>\&\&|\|\||==|!=|<=|>=|[!<>()\[\].,*])
    )""",
    re.VERBOSE,
)
_MOST_DEPTH = 40
_MOST_TOKENS = 2000


class Text(Struct, frozen=True):
    """A literal: a text, a number as it is written, or `true`, `false`, `null`."""

    value: str
    kind: str = "text"


class Context(Struct, frozen=True):
    """A value of a context, such as github.ref; `*` stands for all."""

    path: tuple[str, ...]


class Call(Struct, frozen=True):
    """A function with its arguments."""

    name: str
    arguments: tuple[Node, ...]


class Not(Struct, frozen=True):
    """What is not so."""

    inner: Node


class Binary(Struct, frozen=True):
    """Two values and what is between them."""

    operator: str
    left: Node
    right: Node


Node = Text | Context | Call | Not | Binary


def parse(said: str) -> Node:
    """An expression, without the braces around. Raises Unsayable."""
    parser = _Parser(said)
    found = parser.either(0)
    if parser.tokens:
        raise Unsayable(said)
    return found


def condition(said: str) -> Node:
    """What an `if` says: braces in it may be left out, or be around a part. Raises Unsayable."""
    return parse(TEMPLATE.sub(lambda found: f"({found[1]})", said))


class _Parser(Tokens):
    """By the precedence that GitHub documents."""

    def __init__(self, said: str) -> None:
        super().__init__(said, _TOKEN, most=_MOST_TOKENS)

    def _must(self, sign: str) -> None:
        if not self._takes(sign):
            raise Unsayable(self._said)

    def either(self, depth: int) -> Node:
        """`||`."""
        if depth > _MOST_DEPTH:
            raise Unsayable(self._said)
        found = self._both(depth)
        while self._takes("||"):
            found = Binary("||", found, self._both(depth))
        return found

    def _both(self, depth: int) -> Node:
        found = self._compared(depth)
        while self._takes("&&"):
            found = Binary("&&", found, self._compared(depth))
        return found

    def _compared(self, depth: int) -> Node:
        found = self._negated(depth)
        if operator := self._takes("==", "!=", "<=", ">=", "<", ">"):
            return Binary(operator, found, self._negated(depth))
        return found

    def _negated(self, depth: int) -> Node:
        if self._takes("!"):
            if depth > _MOST_DEPTH:
                raise Unsayable(self._said)
            return Not(self._negated(depth + 1))
        return self._value(depth)

    def _value(self, depth: int) -> Node:
        if self._takes("("):
            found = self.either(depth + 1)
            self._must(")")
            return found
        if not self.tokens or self.tokens[0][0] == "sign":
            raise Unsayable(self._said)
        kind, said = self.tokens.pop(0)
        if kind == "text":
            return Text(said[1:-1].replace("''", "'"))
        if kind == "number":
            return Text(said, "number")
        if said in {"true", "false", "null"}:
            return Text(said, "word")
        if self._takes("("):
            return self._call(said, depth)
        return self._context(said)

    def _call(self, name: str, depth: int) -> Node:
        arguments: list[Node] = []
        while not self._takes(")"):
            arguments.append(self.either(depth + 1))
            if not self._takes(","):
                self._must(")")
                break
        return Call(name.lower(), tuple(arguments))

    def _context(self, name: str) -> Node:
        path = [name]
        while sign := self._takes(".", "["):
            if sign == "." and self._takes("*"):
                path.append("*")
                continue
            kinds = {"name", "number"} if sign == "." else {"text", "number"}
            if not self.tokens or self.tokens[0][0] not in kinds:
                raise Unsayable(self._said)
            kind, said = self.tokens.pop(0)
            path.append(said[1:-1] if kind == "text" else said)
            if sign == "[":
                self._must("]")
        return Context(tuple(path))
