r"""Regular expressions in linear time: does this text contain that pattern? Pure.

Python's `re` tries one way after another and can take years over `(a+)+$`; a condition in a task
file must never hang a run. This follows all ways at once, character by character (Thompson), so the
cost is at most len(text) * len(program), and no more is spent than a `Budget` allows. It knows what
RE2 and Python agree on: literals, `.`, `[...]`, `\d \w \s \b` and their opposites (ASCII), `^ $`
(of the whole text), groups, `|` and `* + ? {m,n}`; a lazy `?`
changes nothing, as only yes or no is asked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NoReturn

from zf.lean.record import record

_MAX_REPEAT = 1000  # as in RE2
_MAX_PROGRAM = 1000  # with MAX_TEXT: two seconds at the very worst
_MAX_DEPTH = 50
MAX_TEXT = 10_000
# Steps for one condition, each of a place in the program at a character: a second, about. A pattern
# of 30 places goes through the longest text with a third of it.
MAX_WORK = 1_000_000

_DIGITS = frozenset("0123456789")
_SPACES = frozenset(" \t\n\r\f\v")
_WORD = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_CLASSES = {"d": _DIGITS, "s": _SPACES, "w": _WORD}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


class PatternError(ValueError):
    """`at` counts characters of the pattern from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class TooMuchWorkError(Exception):
    """The answer would take longer than anybody may wait: nothing else happens meanwhile."""


class Budget:
    """What may be spent on the patterns of one condition."""

    def __init__(self, steps: int = MAX_WORK) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooMuchWorkError


def _at_edge_of_word(text: str, at: int) -> bool:
    before = at > 0 and text[at - 1] in _WORD
    after = at < len(text) and text[at] in _WORD
    return before is not after


_ASSERTIONS: dict[str, Callable[[str, int], bool]] = {
    "^": lambda _, at: at == 0,
    "$": lambda text, at: at == len(text),
    "b": _at_edge_of_word,
    "B": lambda text, at: not _at_edge_of_word(text, at),
}

# What a pattern is made of.


@record
class _Char:
    """One character: in one of the ranges, or in none of them when negated."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def accepts(self, char: str) -> bool:
        # Neither overlapping nor out of order: only the last that begins before it can hold it.
        at = bisect_right(self.ranges, (char, _LAST))
        return (at > 0 and char <= self.ranges[at - 1][1]) is not self.negated


def _char(ranges: Iterable[tuple[str, str]], *, negated: bool = False) -> _Char:
    """A character of any number of ranges, in the time that one takes."""
    joined: list[tuple[str, str]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return _Char(tuple(joined), negated)


_LAST = "\U0010ffff"


@record
class _Assert:
    holds: Callable[[str, int], bool]


@record
class _Sequence:
    parts: tuple[_Node, ...]


@record
class _Choice:
    branches: tuple[_Node, ...]


@record
class _Repeat:
    node: _Node
    least: int
    most: int | None


_Node = _Char | _Assert | _Sequence | _Choice | _Repeat


@record
class _Split:
    """Go on at both places; with one place it is a jump."""

    to: tuple[int, ...]


class Pattern:
    """A compiled pattern; `search` says whether it occurs anywhere in a text.

    Raises PatternError for a bad one, or one that is too big.
    """

    def __init__(self, source: str) -> None:
        node = _Parser(source).parse()
        self._program: list[_Char | _Assert | _Split] = []
        self._visits = 0
        self._compile(node)

    def search(self, text: str, budget: Budget | None = None) -> bool:
        """Raises ValueError for a text longer than MAX_TEXT characters, TooMuchWorkError when the
        budget is spent.
        """
        budget = budget or Budget()
        if len(text) > MAX_TEXT:
            raise ValueError(f"a text of {len(text)} characters is too long to match")
        end = len(self._program)
        reached: set[int] = set()
        for at in range(len(text) + 1):
            reached = self._closure([0, *reached], text, at)
            budget.spend(len(reached))
            if end in reached:
                return True
            if at < len(text):
                reached = {place + 1 for place in reached if self._accepts(place, text[at])}
        return False

    def _accepts(self, place: int, char: str) -> bool:
        instruction = self._program[place]
        return isinstance(instruction, _Char) and instruction.accepts(char)

    def _closure(self, places: list[int], text: str, at: int) -> set[int]:
        """Every place that can be reached from these without reading a character."""
        seen: set[int] = set()
        while places:
            place = places.pop()
            if place in seen:
                continue
            seen.add(place)
            if place == len(self._program):
                continue
            match self._program[place]:
                case _Split(to):
                    places.extend(to)
                case _Assert(holds) if holds(text, at):
                    places.append(place + 1)
        return seen

    # Compilation: each node becomes a stretch of the program that falls out at its end.

    def _compile(self, node: _Node) -> None:
        self._visits += 1
        if max(self._visits, len(self._program)) > _MAX_PROGRAM:
            raise PatternError("the pattern is too big", 0)
        match node:
            case _Char() | _Assert():
                self._program.append(node)
            case _Sequence(parts):
                for part in parts:
                    self._compile(part)
            case _Choice(branches):
                self._compile_choice(branches)
            case _Repeat(inner, least, most):
                for _ in range(least):
                    self._compile(inner)
                if most is None:
                    self._compile_loop(inner)
                else:
                    self._compile_options(inner, most - least)

    def _compile_choice(self, branches: tuple[_Node, ...]) -> None:
        start = self._reserve()
        starts, ends = [], []
        for branch in branches:
            starts.append(len(self._program))
            self._compile(branch)
            ends.append(self._reserve())
        self._program[start] = _Split(tuple(starts))
        self._leave_at_end(ends)

    def _compile_loop(self, inner: _Node) -> None:
        start = self._reserve()
        self._compile(inner)
        self._program.append(_Split((start,)))
        self._program[start] = _Split((start + 1, len(self._program)))

    def _compile_options(self, inner: _Node, count: int) -> None:
        starts = []
        for _ in range(count):
            starts.append(self._reserve())
            self._compile(inner)
        for start in starts:
            self._program[start] = _Split((start + 1, len(self._program)))

    def _reserve(self) -> int:
        self._program.append(_Split(()))
        return len(self._program) - 1

    def _leave_at_end(self, places: Iterable[int]) -> None:
        for place in places:
            self._program[place] = _Split((len(self._program),))


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._peek():
            self._fail("')' without its '('")
        return node

    def _choice(self) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail("groups are nested too deeply")
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self, node: _Node) -> _Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        if isinstance(node, _Assert):
            self._fail("nothing to repeat")
        self._skip("?")
        if self._peek() in {"*", "+", "?"} or self._bounds() is not None:
            self._fail("repeats what is repeated already: use a group")
        return _Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._skip("*"):
            return 0, None
        if self._skip("+"):
            return 1, None
        if self._skip("?"):
            return 0, 1
        if not self._skip("{"):
            return None
        least = self._number()
        most: int | None = least
        if self._skip(","):
            most = None if self._peek() == "}" else self._number()
        if not self._skip("}"):
            self._fail("'{' without its '}'")
        if most is not None and most < least:
            self._fail("the smaller number comes first")
        return least, most

    def _number(self) -> int:
        start = self._at
        while self._peek() in _DIGITS:
            self._at += 1
        digits = self._source[start : self._at]
        if not digits:
            self._fail("expected a number; write \\{ for the character")
        if len(digits) > len(str(_MAX_REPEAT)) or int(digits) > _MAX_REPEAT:
            self._fail(f"repeats at most {_MAX_REPEAT} times")
        return int(digits)

    def _atom(self) -> _Node:
        char = self._next()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case ".":
                return _Char((("\n", "\n"),), negated=True)
            case "^" | "$":
                return _Assert(_ASSERTIONS[char])
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._fail("nothing to repeat")
        return _Char(((char, char),))

    def _group(self) -> _Node:
        if self._skip("?") and not self._skip(":"):
            self._fail("only '(?:' is known of the groups that start with '(?'")
        node = self._choice()
        if not self._skip(")"):
            self._fail("'(' without its ')'")
        # `(^)*` repeats a group, and that is fine.
        return node if not isinstance(node, _Assert) else _Sequence((node,))

    def _escape(self) -> _Node:
        char = self._next()
        if char in {"b", "B"}:
            return _Assert(_ASSERTIONS[char])
        return self._escaped_class(char) or _Char((self._escaped_char(char),))

    def _escaped_class(self, char: str) -> _Char | None:
        members = _CLASSES.get(char.lower())
        if members is None:
            return None
        return _char(((c, c) for c in members), negated=char.isupper())

    def _escaped_char(self, char: str) -> tuple[str, str]:
        if char in _CONTROLS:
            return _CONTROLS[char], _CONTROLS[char]
        if char in _WORD or not char:
            self._fail(f"unknown escape '\\{char}'")
        return char, char

    def _set(self) -> _Node:
        negated = self._skip("^")
        ranges: list[tuple[str, str]] = []
        while not ranges or self._peek() != "]":
            low = self._set_member(ranges)
            if low is None:
                continue
            high = low
            if self._peek() == "-" and self._source[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                found = self._set_member(ranges)
                if found is None or found < low:
                    self._fail("a range goes from one character up to another")
                high = found
            ranges.append((low, high))
        self._at += 1
        return _char(ranges, negated=negated)

    def _set_member(self, ranges: list[tuple[str, str]]) -> str | None:
        """The next character of a set; None when it was a class, which is added to `ranges`."""
        char = self._next()
        if not char:
            self._fail("'[' without its ']'")
        if char != "\\":
            return char
        char = self._next()
        if char.lower() in _CLASSES and char.isupper():
            self._fail(f"'\\{char}' cannot stand inside a set")
        found = self._escaped_class(char)
        if found is None:
            return self._escaped_char(char)[0]
        ranges.extend(found.ranges)
        return None

    # Reading.

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += len(char)
        return char

    def _skip(self, char: str) -> bool:
        found = self._peek() == char
        self._at += found
        return found

    def _fail(self, message: str) -> NoReturn:
        raise PatternError(message, min(self._at, len(self._source)))
