r"""Regular expressions of conditions: does this text contain that pattern? Pure.

The engine is Rust's `regex`, which pydantic-core brings (docs/decisions/0010). Its time is bounded
by the size of the pattern times the length of the text, so both are limited; Python's `re` can take
years over `(a+)+$`. What is here is zf's own: the limits, ASCII classes, the wording of errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from zf.lean import lazy
from zf.lean.records import Struct
from zf.lean.validators import SchemaError, SchemaValidator

# Of all patterns of a condition, which then takes a fifth of a second at the very worst. Twice as
# many would take 3 s.
MAX_SIZE = 1000
MAX_TEXT = 10_000

# An escape, a set, a count, the beginning of a group, or one character.
_TOKEN = lazy.pattern(
    r"\\(?:[pPxuU]\{[^}]*\}|.)?"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]?"
    r"|\{\s*(?P<least>[0-9]+)\s*(?:,\s*(?P<most>[0-9]*)\s*)?\}"
    r"|(?P<special>\(\?(?!:))"
    r"|.",
    re.DOTALL,
)
# In a set Rust takes `-` before a class for a range without an end.
_CLASS = lazy.pattern(r"-?\\.", re.DOTALL)
_ASCII = {
    "d": "[[:digit:]]",
    "D": "[[:^digit:]]",
    "s": "[[:space:]]",
    "S": "[[:^space:]]",
    "w": "[[:word:]]",
    "W": "[[:^word:]]",
    "b": r"(?-u:\b)",
    "B": r"(?-u:\B)",
}
_WORDING = {
    "unclosed group": "'(' without its ')'",
    "unopened group": "')' without its '('",
    "unclosed character class": "'[' without its ']'",
    "unclosed counted repetition": "'{' without its '}'",
    "repetition operator missing expression": "nothing to repeat",
    "repetition quantifier expects a valid decimal": r"a count is a number; \{ is the character",
    "unrecognized escape sequence": "unknown escape",
}
_TOO_BIG = f"all patterns of a condition together have at most {MAX_SIZE} characters and repeats"


class PatternError(ValueError):
    """`at` counts characters of the pattern from 0."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.at = at


class Pattern(Struct, frozen=True):
    """A compiled pattern. `size` counts what it matches one character with, repeats written out."""

    size: int
    occurs_in: Callable[[str], bool]

    def search(self, text: str) -> bool:
        """Whether it occurs anywhere in a text of at most MAX_TEXT characters."""
        if not text.isascii():
            # Bytes of a variable that are no UTF-8 are some character, as in any decoder.
            text = text.encode(errors="surrogateescape").decode(errors="replace")
        return self.occurs_in(text)


def compiled(source: str, room: int = MAX_SIZE) -> Pattern:
    """The pattern ready for use; raises PatternError for a bad one, or one bigger than `room`."""
    size = _size(source)
    if size > room:
        raise PatternError(_TOO_BIG)
    try:
        return Pattern(size, _validator(_CLASS.sub(_as_ascii, source)).isinstance_python)
    except SchemaError as error:
        raise _explained(source, str(error)) from None


def _validator(pattern: str) -> SchemaValidator:
    return SchemaValidator({"type": "str", "pattern": pattern})


def _as_ascii(found: re.Match[str]) -> str:
    char = found[0][-1]
    return found[0].replace("-", r"\-")[:-2] + _ASCII[char] if char in _ASCII else found[0]


def _size(source: str) -> int:
    """How many characters, sets and classes it has when `a{3}` is written as `aaa`."""
    outer: list[int] = []
    total = last = 0
    for token in _TOKEN.finditer(source):
        text = token[0]
        if token["special"]:
            message = "only '(?:' is known of the groups that start with '(?'"
            raise PatternError(message, token.end())
        if token["least"]:
            count = max(int(number) for number in token.group("least", "most") if number)
            total += last * (count - 1)
            last *= count
        elif text == "(":
            outer.append(total)
            total = 1
        elif text == ")" and outer:
            last = total
            total += outer.pop()
        elif text not in "*+?":
            total += 1
            last = 1
    return total


def _explained(source: str, told: str) -> PatternError:
    """What is wrong and where: the line before the last points at the pattern in the one above it.

    `told` is about the pattern with ASCII classes, and only of use if the source itself is good.
    """
    try:
        _validator(source)
    except SchemaError as error:
        told = str(error)
    *_, shown, pointer, reason = ["", "", *told.split("\n")]
    if "size limit" in reason:
        return PatternError("too much memory is needed: repeat large sets and classes less often")
    reason = reason.removeprefix("error: ")
    at = pointer.find("^") - 4 if shown[4:] == source else 0
    return PatternError(_WORDING.get(reason, reason), max(at, 0))
