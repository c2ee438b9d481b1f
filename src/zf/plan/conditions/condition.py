"""The language of `condition:`: parse it, print it. Pure; `verdict.py` says what it means.

An expression can only look at values: it names variables, facts and statuses, and has no way to
run, read or fetch anything. The grammar is in docs/reference/conditions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NoReturn

from zf.lean.records import Struct
from zf.plan.conditions.pattern import MAX_SIZE, Pattern, PatternError, compiled
from zf.plan.suggest import nearest

MAX_LENGTH = 4096
MAX_DEPTH = 50

# Which `task.x` and `run.x` there are; a condition's context has a value for each.
FACTS = (
    "run.actor",
    "run.branch",
    "run.commit",
    "run.dirty",
    "run.event",
    "run.id",
    "run.max_jobs",
    "run.tag",
    "task.id",
    "task.phase",
    "task.title",
)
FUNCTIONS = ("success", "failure", "always", "cancelled", "status")
# Values that a project names itself, and how each is written.
FIELDS = {
    "input": "input.NAME",
    "matrix": "matrix.AXIS",
    "needs": "needs.TASK.OUTPUT",
    "outputs": "outputs.NAME",  # of a probe
    # Of a delivery to a webhook; the names that lead to a value of its payload may be many.
    "payload": "payload.NAME",
    "header": "header.NAME",
}

Scalar = str | int | float | bool


class ConditionError(ValueError):
    """What is wrong with the text of a condition; `at` counts its characters from 0."""

    def __init__(self, message: str, at: int, *, length: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.length = length
        self.hint = hint


# The tree. `text` is how a literal was written.


class Constant(Struct, frozen=True):
    value: Scalar
    text: str


class Variable(Struct, frozen=True):
    name: str
    default: str | None


class Fact(Struct, frozen=True):
    name: str


class Field(Struct, frozen=True):
    """A value that the project names: of which of `FIELDS`, and the names that lead to it."""

    kind: str
    path: tuple[str, ...]

    @property
    def key(self) -> str:
        """How it is written, always the same: by this a context has its value."""
        return self.kind + "".join(
            f".{name}" if _PLAIN.fullmatch(name) else f"[{_quoted(name)}]" for name in self.path
        )


class Call(Struct, frozen=True):
    """A status function; `task` is what `status` asks about."""

    name: str
    task: str | None = None


class Not(Struct, frozen=True):
    operand: Node


class Compare(Struct, frozen=True):
    operator: str
    left: Node
    right: Node


class Among(Struct, frozen=True):
    left: Node
    items: tuple[Node, ...]


class Matches(Struct, frozen=True):
    left: Node
    right: Constant
    pattern: Pattern  # made of `right`

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matches) and (self.left, self.right) == (other.left, other.right)

    def __hash__(self) -> int:
        return hash((self.left, self.right))


class Chain(Struct, frozen=True):
    """Parts joined by `&&` or by `||`, looked at from the left until one decides."""

    operator: str
    parts: tuple[Node, ...]


Node = Constant | Variable | Fact | Field | Call | Not | Compare | Among | Matches | Chain


class Condition(Struct, frozen=True):
    """A parsed condition. `functions` are the status functions it calls; `tasks` the ids `status`
    asks about, with where they stand in the text; `variables` the names it mentions; `fields` what
    it mentions of the project's own values, each with where it first stands, and how long.
    """

    text: str
    tree: Node
    functions: frozenset[str]
    tasks: Mapping[str, int]
    variables: frozenset[str]
    fields: Mapping[Field, tuple[int, int]]

    def __str__(self) -> str:
        """The condition in its plainest form; parsing it again gives the same tree."""
        return show(self.tree)


@lru_cache(maxsize=1024)
def parse(text: str) -> Condition:
    """Raises ConditionError, which says what is wrong and where."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"the condition is longer than {MAX_LENGTH} characters", MAX_LENGTH)
    parser = _Parser(text)
    tree = parser.parse()
    functions, variables = frozenset(parser.functions), frozenset(parser.variables)
    return Condition(text, tree, functions, parser.tasks, variables, parser.fields)


# Reading.

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | \$\{(?P<variable>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}]*)?\}
    | (?P<string>'[^']*'|"[^"]*")
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*|\[(?:'[^']*'|"[^"]*")\])*)
    | (?P<operator>&&|\|\||==|!=|<=|>=|=~|[<>!(),])""",
    re.VERBOSE,
)
# A name of a field's path after its dot; any other is written as ['name'].
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_PART = re.compile(r"\.([^.\[]+)|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_MISTAKES = {
    "$": "write ${NAME}, or ${NAME:-default}",
    "'": "the string has no end",
    '"': "the string has no end",
    "=": "write == to compare",
    "&": "write && for 'and'",
    "|": "write || for 'or'",
    "[": "write a list as ('a', 'b')",
}
_WORDS_ELSEWHERE = {"and": "&&", "or": "||", "not": "!", "True": "true", "False": "false"}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "=~"})


class _Token(Struct, frozen=True):
    kind: str
    text: str
    at: int
    default: str | None = None


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            hint = _MISTAKES.get(text[at])
            raise ConditionError(f"unexpected {text[at]!r}", at, hint=hint)
        if found["variable"]:
            default = found["default"]
            yield _Token("variable", found["variable"], at, default and default[2:])
        elif found.lastgroup != "space":
            yield _Token(found.lastgroup or "", found[0], at)
        at = found.end()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _Token("end", "", len(text))]
        self._place = 0
        self._depth = 0
        self._room = MAX_SIZE
        self.functions: set[str] = set()
        self.tasks: dict[str, int] = {}
        self.variables: set[str] = set()
        self.fields: dict[Field, tuple[int, int]] = {}

    def parse(self) -> Node:
        tree = self._chain("||")
        if self._token.kind != "end":
            self._fail(f"expected an operator before {self._token.text!r}")
        return tree

    def _chain(self, operator: str) -> Node:
        part = self._comparison if operator == "&&" else lambda: self._chain("&&")
        parts = [part()]
        while self._skip(operator):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Chain(operator, tuple(parts))

    def _comparison(self) -> Node:
        left = self._unary()
        token = self._token
        if token.kind == "word" and self._skip("in"):
            return self._membership(left)
        if token.text not in _COMPARISONS or token.kind != "operator":
            return left
        self._place += 1
        right_at = self._token
        right = self._unary()
        if self._token.kind == "operator" and self._token.text in _COMPARISONS:
            self._fail("comparisons cannot be chained: join them with &&")
        if token.text == "=~":
            return self._matches(left, right, right_at)
        return Compare(token.text, left, right)

    def _matches(self, left: Node, right: Node, token: _Token) -> Matches:
        if not (isinstance(right, Constant) and isinstance(right.value, str)):
            raise ConditionError("=~ wants its pattern as a string", token.at)
        try:
            pattern = compiled(right.value, self._room)
        except PatternError as error:
            raise ConditionError(f"bad pattern: {error}", token.at + 1 + error.at) from None
        self._room -= pattern.size
        return Matches(left, right, pattern)

    def _membership(self, left: Node) -> Node:
        if not self._skip("("):
            return Compare("in", left, self._unary())
        items = [self._unary()]
        while self._skip(","):
            items.append(self._unary())
        self._expect(")")
        return Among(left, tuple(items))

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail("the condition is nested too deeply")
        node = Not(self._unary()) if self._skip("!") else self._operand()
        self._depth -= 1
        return node

    def _operand(self) -> Node:
        token = self._token
        self._place += 1
        if token.kind == "variable":
            self.variables.add(token.text)
            return Variable(token.text, token.default)
        read = {"string": self._string, "number": _number, "word": self._word}.get(token.kind)
        if read is not None:
            return read(token)
        if token.text != "(":
            self._place -= 1
            self._fail("expected a value" + (f" instead of {token.text!r}" if token.text else ""))
        inner = self._chain("||")
        self._expect(")")
        return inner

    def _string(self, token: _Token) -> Node:
        inside = token.text[1:-1]
        if "${" in inside:
            hint = "write ${NAME} on its own, without quotes"
            raise ConditionError(
                "a string holds its characters, not a variable", token.at, hint=hint
            )
        return Constant(inside, token.text)

    def _word(self, token: _Token) -> Node:
        word = token.text
        if word in {"true", "false"}:
            return Constant(word == "true", word)
        if word in FACTS:
            return Fact(word)
        kind, *path = _parts(word)
        if kind in FIELDS:
            return self._field(token, kind, path)
        if word in FUNCTIONS:
            return self._call(token)
        called = self._token.text == "("
        what = "function" if called else "fact" if path else "word"
        guess = nearest(word, FUNCTIONS if called else FACTS)
        if not guess and path and (meant := nearest(kind, FIELDS)):
            guess = Field(meant, tuple(path)).key
        hint = f"did you mean '{guess}'?" if guess else f"a variable is written ${{{word}}}"
        if word in _WORDS_ELSEWHERE:
            hint = f"write {_WORDS_ELSEWHERE[word]}"
        raise ConditionError(f"unknown {what} '{word}'", token.at, length=len(word), hint=hint)

    def _field(self, token: _Token, kind: str, path: list[str]) -> Field:
        length = len(token.text)
        if not path or (len(path) != FIELDS[kind].count(".") and kind != "payload"):
            hint = f"write {FIELDS[kind]}"
            if kind == "needs":
                hint += ", or needs['TASK'].OUTPUT for an id with dots"
            what = f"'{token.text}' names no value"
            raise ConditionError(what, token.at, length=length, hint=hint)
        field = Field(kind, tuple(path))
        self.fields.setdefault(field, (token.at, length))
        return field

    def _call(self, token: _Token) -> Node:
        self._expect("(")
        task: str | None = None
        if token.text == "status":
            argument = self._token
            if argument.kind != "string":
                self._fail("status() wants the id of a task, as in status('build')")
            self._place += 1
            task = argument.text[1:-1]
            self.tasks.setdefault(task, argument.at + 1)
        self._expect(")")
        self.functions.add(token.text)
        return Call(token.text, task)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._place]

    def _skip(self, text: str) -> bool:
        found = self._token.text == text and self._token.kind in {"operator", "word"}
        self._place += found
        return found

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            self._fail(f"expected {text!r}")

    def _fail(self, message: str) -> NoReturn:
        raise ConditionError(message, self._token.at, length=max(1, len(self._token.text)))


def _parts(word: str) -> list[str]:
    """The names in a word: `needs['a.b'].c` has needs, a.b and c."""
    first = re.split(r"[.\[]", word, maxsplit=1)[0]
    return [first, *("".join(found.groups("")) for found in _PART.finditer(word, len(first)))]


def _number(token: _Token) -> Constant:
    if len(token.text) > 15:  # more digits than a float keeps
        raise ConditionError("the number is too long", token.at, length=len(token.text))
    value = float(token.text) if "." in token.text else int(token.text)
    return Constant(value, token.text)


# Printing.


def show(node: Node) -> str:
    """The expression as zf writes it, with no parentheses but the necessary ones."""
    match node:
        case Constant(_, text):
            return text
        case Variable(name, default):
            return f"${{{name}}}" if default is None else f"${{{name}:-{default}}}"
        case Fact(name):
            return name
        case Field():
            return node.key
        case Call(name, task):
            return f"{name}({_quoted(task)})" if task is not None else f"{name}()"
        case Not(operand):
            return f"!{_inside(operand)}"
        case Compare(operator, left, right):
            return f"{_inside(left)} {operator} {_inside(right)}"
        case Among(left, items):
            return f"{_inside(left)} in ({', '.join(map(_inside, items))})"
        case Matches(left, right):
            return f"{_inside(left)} =~ {right.text}"
        case Chain(operator, parts):
            return f" {operator} ".join(_part(part, operator) for part in parts)


def _inside(node: Node) -> str:
    closed = isinstance(node, Constant | Variable | Fact | Field | Call | Not)
    return show(node) if closed else f"({show(node)})"


def _part(node: Node, operator: str) -> str:
    # `&&` binds tighter than `||`, and a chain inside its like was written with parentheses.
    enclosed = isinstance(node, Chain) and operator in {node.operator, "&&"}
    return f"({show(node)})" if enclosed else show(node)


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"
