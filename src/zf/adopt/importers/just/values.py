"""Expressions of a justfile: read, and worked out as far as that can be done without running
anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

from zf.lean.records import Struct

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<raw>'''(?P<raw3>.*?)'''|'(?P<raw1>[^']*)')
    | (?P<cooked>\"\"\"(?P<cooked3>.*?)\"\"\"|"(?P<cooked1>(?:[^"\\]|\\.)*)")
    | (?P<ticks>```.*?```|`[^`]*`)
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<sign>\&\&|\|\||==|!=|=~|[-+/(){},:.])
    )""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "\n": ""}
_FOLDERS = ("justfile_directory", "justfile_dir", "source_directory", "source_dir")
_LOOKUPS = ("env", "env_var", "env_var_or_default")


class Value(Struct, frozen=True):
    """What an expression comes to: a value of `env` as zf has it; `literal` is the text if that
    does not depend on anything, and `variables` are those of zf's environment that it names.
    """

    env: str
    literal: str | None = None
    variables: tuple[str, ...] = ()
    # The variable that it is, or what runs to tell it, and nothing else.
    alone: str = ""
    command: str = ""


class Unknown(Exception):  # noqa: N818 - no error of zf's: what raises it says why
    """An expression whose value only just can know; the argument says what is in the way."""


class Param(Struct, frozen=True):
    """A name whose value is given when a recipe runs."""

    variable: str
    kind: str = ""


Names = Mapping[str, "str | Param"]


def text(value: str) -> Value:
    """A text that is known."""
    return Value(value.replace("${", "$${"), value)


def evaluate(
    expression: str, names: Names, folder: str = "${ZENFLOW_ROOT}", *, commands: bool = False
) -> Value:
    """The value of an expression; `names` are assignments as written, and parameters; `commands`:
    it may be what a command prints. Raises Unknown.
    """
    parser = _Parser(expression, names, folder, ())
    value = parser.sum()
    parser.end()
    if value.command and not commands:
        raise Unknown("it runs a command")
    return value


def tokens(expression: str) -> list[tuple[str, str]]:
    """The tokens of an expression: kind and text. Raises Unknown."""
    found: list[tuple[str, str]] = []
    at = 0
    expression = expression.strip()
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise Unknown(f"`{expression[at : at + 20]}` is not known here")
        kind = next(k for k in ("raw", "cooked", "ticks", "name", "sign") if match[k] is not None)
        found.append((kind, match[0].strip()))
        at = match.end()
    return found


def string(token: str) -> str:
    """The text that a string of a justfile means."""
    for quote in ("'''", '"""'):
        if token.startswith(quote) and len(token) >= 6:
            inside = dedent(token[3:-3].removeprefix("\n"))
            return inside if quote == "'''" else _cooked(inside)
    return token[1:-1] if token[0] == "'" else _cooked(token[1:-1])


def _cooked(said: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), said, flags=re.DOTALL)


class _Parser:
    """Works an expression out while it reads it."""

    def __init__(self, said: str, names: Names, folder: str, inside: tuple[str, ...]) -> None:
        self._tokens = tokens(said)
        self._names, self._folder, self._inside = names, folder, inside

    def end(self) -> None:
        if self._tokens:
            raise Unknown(f"`{self._tokens[0][1]}` is not known here")

    def _next(self) -> tuple[str, str]:
        return self._tokens[0] if self._tokens else ("", "")

    def _takes(self, sign: str) -> bool:
        if self._next() == ("sign", sign):
            del self._tokens[0]
            return True
        return False

    def sum(self) -> Value:
        """Values joined by `+`, or by `/` as paths."""
        found = _joined(text("/"), self._one()) if self._takes("/") else self._one()
        while self._next() in {("sign", "+"), ("sign", "/")}:
            is_path = self._takes("/") or not self._takes("+")
            other = self._one()
            found = _joined(_joined(found, text("/")) if is_path else found, other)
        return found

    def _one(self) -> Value:
        kind, said = self._next()
        if not kind:
            raise Unknown("it ends too early")
        del self._tokens[0]
        if kind in {"raw", "cooked"}:
            return text(string(said))
        if kind == "ticks":
            return Value("", command=said.strip("`").strip())
        if kind == "sign":
            if said != "(":
                raise Unknown(f"`{said}` is not known here")
            found = self.sum()
            if not self._takes(")"):
                raise Unknown("a parenthesis is open")
            return found
        if self._takes("("):
            return self._call(said)
        return self._named(said)

    def _call(self, name: str) -> Value:
        given: list[Value] = []
        while not self._takes(")"):
            if not self._tokens:
                raise Unknown("a parenthesis is open")
            given.append(self.sum())
            self._takes(",")
        if name in _FOLDERS:
            return Value(self._folder)
        if name in _LOOKUPS and given and (variable := given[0].literal):
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", variable):
                raise Unknown(f"`{variable}` is no variable")
            default = given[1].literal if len(given) > 1 else ""
            if default is None or set("{}") & set(default):
                raise Unknown("a default is not known before just runs")
            return Value(f"${{{variable}:-{default}}}", variables=(variable,))
        if name == "quote" and len(given) == 1 and given[0].alone:
            return given[0]
        raise Unknown(f"it calls {name}()")

    def _named(self, name: str) -> Value:
        if name == "if":
            raise Unknown("it has an `if`")
        said = self._names.get(name)
        if isinstance(said, Param):
            return Value(f"${{{said.variable}}}", alone=said.variable)
        if said is None:
            raise Unknown(f"`{name}` is not assigned")
        if name in self._inside or len(self._inside) > 30:
            raise Unknown(f"`{name}` means itself")
        inner = _Parser(said, self._names, self._folder, (*self._inside, name))
        value = inner.sum()
        inner.end()
        return value


def _joined(one: Value, other: Value) -> Value:
    if one.command or other.command:
        raise Unknown("it runs a command")
    both = None
    if one.literal is not None and other.literal is not None:
        both = one.literal + other.literal
    return Value(one.env + other.env, both, (*one.variables, *other.variables))
