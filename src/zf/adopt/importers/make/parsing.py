"""A makefile as text -> its lines: assignments, rules with their recipes, and directives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zf.lean.records import Struct, field

_ASSIGNMENT = re.compile(
    r"(?:(override|export|private)\s+)*([^\s:#=!?+]+)\s*(::?:?=|\?=|\+=|!=|=)\s*(.*)", re.DOTALL
)
_DEFINE = re.compile(r"(?:override\s+|export\s+)*define\s+(\S+)")
_DIRECTIVE = re.compile(
    r"(ifeq|ifneq|ifdef|ifndef|else|endif|-?include|sinclude|export|unexport|vpath|undefine)\b(.*)",
    re.DOTALL,
)


class Line(Struct, frozen=True):
    """A logical line: `kind` is assignment, rule, define or the word of a directive."""

    kind: str
    number: int
    said: str = ""
    name: str = ""
    operator: str = ""
    is_exported: bool = False
    comment: str = ""


class Rule(Struct):
    """A rule as it is written; `recipe` has its lines with their numbers, without the tab."""

    number: int
    targets: str
    prerequisites: str
    pattern: str = ""
    double: bool = False
    title: str = ""
    recipe: list[tuple[int, str]] = field(default_factory=list)


def lines(text: str) -> Iterator[Line | Rule]:
    """What a makefile says, in its order. Never raises."""
    rule: Rule | None = None
    title = ""
    left = _logical(text)
    for number, line in left:
        if line.startswith("\t"):
            if rule is not None:
                rule.recipe.append((number, line[1:]))
            continue
        bare, comment = _split_comment(line)
        said = bare.strip()
        if not said:
            title = comment.strip("# \t-=")
            continue
        if match := _DEFINE.match(said):
            yield from _rule(rule)
            rule = None
            yield Line("define", number, _define(left), match[1])
            continue
        read = _line(said, number, comment)
        if isinstance(read, Rule):
            yield from _rule(rule)
            read.title = comment.strip("# \t") or title
            rule = read
        else:
            if read.kind == "assignment":
                yield from _rule(rule)
                rule = None
            elif rule is not None and read.kind in {"else", "endif"} | _CONDITIONS:
                # Lines of one recipe may be conditional: what stands before counts as its whole.
                yield from _rule(rule)
                rule = Rule(rule.number, rule.targets, "", double=True)
            yield read
        title = ""
    yield from _rule(rule)


_CONDITIONS = {"ifeq", "ifneq", "ifdef", "ifndef"}


def _rule(rule: Rule | None) -> Iterator[Rule]:
    """The rule, unless it is the rest of one that nothing was added to."""
    if rule is not None and (rule.recipe or rule.prerequisites or not rule.double):
        yield rule


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers. Those that end in a backslash go on: in a recipe as they stand,
    else with a blank in between.
    """
    listed = text.split("\n")
    at = 0
    while at < len(listed):
        start, line = at, listed[at]
        at += 1
        is_recipe = line.startswith("\t")
        while _goes_on(line) and at < len(listed):
            if is_recipe:
                line += "\n" + listed[at].removeprefix("\t")
            else:
                line = f"{line[:-1].rstrip()} {listed[at].strip()}"
            at += 1
        yield start + 1, line


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split_comment(line: str) -> tuple[str, str]:
    """What stands before a comment, and the comment."""
    match = re.search(r"(?<!\\)#", line)
    return (line[: match.start()], line[match.start() :]) if match else (line, "")


def _define(left: Iterator[tuple[int, str]]) -> str:
    """The lines up to `endef`."""
    found: list[str] = []
    depth = 1
    for _, line in left:
        depth += bool(_DEFINE.match(line.strip())) - (line.split()[:1] == ["endef"])
        if not depth:
            break
        found.append(line)
    return "\n".join(found)


def _line(said: str, number: int, comment: str) -> Line | Rule:
    if (match := _DIRECTIVE.match(said)) and not re.match(r"\s*:(?!=)", match[2]):
        if match[1] == "export" and (inner := _ASSIGNMENT.fullmatch(match[2].strip())):
            return Line("assignment", number, inner[4], inner[2], inner[3], is_exported=True)
        return Line(match[1].lstrip("-"), number, match[2].strip(), comment=match[1])
    at = _colon(said)
    match = _ASSIGNMENT.fullmatch(said)
    if match and (at is None or said.index(match[3], match.start(3)) <= at or match.start(3) <= at):
        return Line("assignment", number, match[4], match[2], match[3])
    if at is None:
        return Line("odd", number, said, comment=comment)
    rest = said[at + 1 :]
    double = rest.startswith(":")
    rest = rest.removeprefix(":").removeprefix("&")
    rest, semicolon, inline = _split(rest, ";")
    pattern = ""
    second = _colon(rest)
    if second is not None and not _ASSIGNMENT.fullmatch(rest.strip()):
        pattern, rest = rest[:second].strip(), rest[second + 1 :]
    rule = Rule(number, said[:at].strip().rstrip("&"), rest.strip(), pattern, double)
    if semicolon and inline.strip():
        rule.recipe.append((number, inline.strip()))
    return rule


def _colon(said: str) -> int | None:
    """Where the colon of a rule is: not in `$(...)`."""
    depth = 0
    for at, char in enumerate(said):
        if char in "({":
            depth += 1
        elif char in ")}":
            depth -= 1
        elif char == ":" and depth <= 0:
            return at
        elif char == "=" and depth <= 0:
            return None
    return None


def _split(said: str, sign: str) -> tuple[str, str, str]:
    """The parts before and behind a sign that is not in `$(...)`."""
    depth = 0
    for at, char in enumerate(said):
        if char in "({":
            depth += 1
        elif char in ")}":
            depth -= 1
        elif char == sign and depth <= 0:
            return said[:at], sign, said[at + 1 :]
    return said, "", ""
