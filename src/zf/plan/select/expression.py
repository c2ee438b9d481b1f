"""The language of `--only`, `--skip` and `zf list -s`: parse it, print it. Pure.

    either := both ("|" both)*
    both   := one ("&" one)*
    one    := "!" one | "+"? group "+"?
    group  := "(" either ")" | NAME "(" [argument] ")" | glob

`+` binds closest, then `!`, then `&`, then `|`. A bare glob is `id(glob)`. `selected.py` says what
it means.
"""

from __future__ import annotations

import re
from typing import NoReturn

from zf.lean.records import Struct

MAX_LENGTH = 4096
MAX_DEPTH = 50

# What each filter takes in its parentheses.
TAKES = {
    "id": "a glob of task ids",
    "phase": "a glob of phases",
    "tag": "a glob of tags",
    "file": "a glob of task files",
    "failed": "a run",
    "changed": "a commit or branch",
}
CONSTANTS = ("all", "none")

_GLOB = re.compile(r"(?:[A-Za-z0-9._@=,*?-]|\[[^\]()'\"]+\])+")
_BARE = re.compile(r"[^()'\"\s](?:[^()'\"]*[^()'\"\s])?")
_SPACE = re.compile(r"\s*")
_WORDS = {"and": "&", "or": "|", "not": "!"}


class SelectError(ValueError):
    """What is wrong with an expression; `at` counts its characters from 0."""

    def __init__(self, message: str, at: int, *, length: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.at, self.length, self.hint = at, length, hint


# The tree. `at` and `length` say where an argument stands in the text; they are no part of it.


class Filter(Struct, frozen=True):
    """The tasks that one filter names: of `TAKES` with its argument, or of `CONSTANTS`."""

    name: str
    argument: str = ""
    at: int = 0
    length: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._meant() == other._meant()

    def __hash__(self) -> int:
        return hash(self._meant())

    def _meant(self) -> tuple[str, str]:
        return self.name, self.argument


class Around(Struct, frozen=True):
    """These tasks, with all that they need (`above`), or all that needs them (`below`)."""

    of: Node
    above: bool
    below: bool


class Not(Struct, frozen=True):
    of: Node


class Both(Struct, frozen=True):
    parts: tuple[Node, ...]


class Either(Struct, frozen=True):
    parts: tuple[Node, ...]


Node = Filter | Around | Not | Both | Either


def parse(text: str) -> Node:
    """The tree of an expression. Raises SelectError."""
    if not text.strip():
        raise SelectError("it is empty", 0, hint="write all() for every task")
    if len(text) > MAX_LENGTH:
        raise SelectError(f"it is longer than {MAX_LENGTH} characters", 0)
    parser = _Parser(text)
    tree = parser.either(0)
    parser.expect_end()
    return tree


def shown(tree: Node) -> str:
    """The expression of a tree: parsed, it is the same tree again."""
    match tree:
        case Filter("id", argument) if _GLOB.fullmatch(argument) and argument not in _WORDS:
            return argument
        case Filter(name, argument):
            return f"{name}({_written(argument)})"
        case Around(of, above, below):
            inner = shown(of) if isinstance(of, Filter) else f"({shown(of)})"
            return f"{'+' if above else ''}{inner}{'+' if below else ''}"
        case Not(of):
            return f"!({shown(of)})" if isinstance(of, Both | Either) else f"!{shown(of)}"
        case Both(parts):
            return " & ".join(
                f"({shown(p)})" if isinstance(p, Both | Either) else shown(p) for p in parts
            )
        case Either(parts):
            return " | ".join(f"({shown(p)})" if isinstance(p, Either) else shown(p) for p in parts)


def _written(argument: str) -> str:
    if not argument or _BARE.fullmatch(argument):
        return argument
    return f"'{argument}'" if "'" not in argument else f'"{argument}"'


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._skip_space()

    def either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take("|"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._take("&"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> Node:
        start = self._at
        if depth > MAX_DEPTH:
            raise SelectError(f"it is nested deeper than {MAX_DEPTH}", start)
        if self._take("!"):
            return Not(self._one(depth + 1))
        above = self._take("+")
        if above and self._next() == "!":
            self._fail("'+' stands before a name or a parenthesis", hint="write +(!...)")
        group = self._group(depth)
        below = self._take("+")
        return Around(group, above, below) if above or below else group

    def _group(self, depth: int) -> Node:
        if self._take("("):
            inner = self.either(depth + 1)
            if not self._take(")"):
                self._fail("a closing ')' is missing")
            return inner
        start = self._at
        found = _GLOB.match(self._text, start)
        if found is None:
            before = self._text[:start].rstrip()[-1:]
            again = before in {"&", "|"} and before == self._next()
            hint = f"write '{before}' once" if again else None
            self._fail("a filter, a task or '(' is missing", hint=hint)
        word = found[0]
        self._at = found.end()
        if self._next() == "(":
            return self._filter(word, start)
        self._skip_space()
        if word in _WORDS:
            hint = f"write '{_WORDS[word]}' ({word} could be a task: id({word}))"
            raise SelectError(f"'{word}' is no operator", start, length=len(word), hint=hint)
        if self._next() == "(":
            hint = f"write {word}(...) without a space"
            raise SelectError("an operator is missing", self._at, hint=hint)
        return Filter("id", word, start, len(word))

    def _filter(self, name: str, start: int) -> Node:
        if name not in TAKES and name not in CONSTANTS:
            from zf.plan.suggest import nearest  # noqa: PLC0415 - of a wrong name

            guess = nearest(name, (*TAKES, *CONSTANTS))
            hint = f"did you mean '{guess}'?" if guess else f"there are {', '.join(TAKES)}"
            raise SelectError(f"unknown filter '{name}'", start, length=len(name), hint=hint)
        self._at += 1
        self._skip_space()
        at = self._at
        argument = self._argument()
        length = max(1, self._at - at)
        self._skip_space()
        if not self._take(")"):
            self._fail("a closing ')' is missing")
        if name in CONSTANTS:
            if argument:
                raise SelectError(f"{name}() takes nothing", at, length=length)
            return Filter(name, "", start, len(name))
        if not argument:
            raise SelectError(f"{name}() takes {TAKES[name]}", start, length=len(name))
        return Filter(name, argument, at, length)

    def _argument(self) -> str:
        quote = self._next()
        if quote in {"'", '"'} and quote:
            end = self._text.find(quote, self._at + 1)
            if end < 0:
                self._fail("the closing quote is missing")
            argument = self._text[self._at + 1 : end]
            self._at = end + 1
            return argument
        found = _BARE.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def expect_end(self) -> None:
        if self._at == len(self._text):
            return
        hint = "join filters with '&' or '|'"
        if self._next() == ")":
            self._fail("no parenthesis is open here")
        word = _GLOB.match(self._text, self._at)
        if word is not None and word[0] in _WORDS:
            hint = f"write '{_WORDS[word[0]]}'"
        self._fail("an operator is missing", hint=hint)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, char: str) -> bool:
        if self._next() != char:
            return False
        self._at += 1
        self._skip_space()
        return True

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _fail(self, message: str, hint: str | None = None) -> NoReturn:
        raise SelectError(message, self._at, hint=hint)
