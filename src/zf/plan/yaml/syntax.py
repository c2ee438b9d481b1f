"""What libyaml's syntax errors mean to the author of a task file: plain words and a next step.

A table of the mistakes people make; anything else is passed on in the parser's own words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zf.lean.records import Struct

if TYPE_CHECKING:
    from yaml import Mark
    from yaml.error import MarkedYAMLError

    from zf.errors import Problem
    from zf.plan.yaml.source import Source


class _Mistake(Struct, frozen=True):
    """`pattern` is searched in "context: problem"; `at_start` points where the value began."""

    pattern: str
    message: str
    hint: str
    at_start: bool = False
    code: str = "ZF206"


_MISTAKES = (
    _Mistake(
        "single document",
        "the file holds more than one YAML document",
        "remove the `---` line: one file is one task",
        code="ZF209",
    ),
    _Mistake(
        "quoted scalar: found unexpected",
        "this quote is never closed",
        "add the closing quote",
        at_start=True,
    ),
    _Mistake(
        "unknown escape character",
        "this escape does not exist in YAML",
        r"write \\ for a backslash, or use single quotes",
    ),
    _Mistake(
        "mapping values are not allowed",
        "this colon makes a key where none can stand",
        "quote the text if the colon belongs to it; if not, check the indentation",
    ),
    _Mistake(
        "undefined alias",
        "this alias is not defined anywhere above",
        "put text that starts with * in quotes",
    ),
    _Mistake(
        "duplicate anchor",
        "this anchor is defined twice",
        "give each anchor a name of its own",
    ),
    _Mistake(
        "scanning an alias",
        "an unquoted * starts an alias",
        "put text that starts with * in quotes",
        at_start=True,
    ),
    _Mistake(
        "scanning an anchor",
        "an unquoted & starts an anchor",
        "put text that starts with & in quotes",
        at_start=True,
    ),
    _Mistake(
        "flow sequence",
        "the list that starts here is not closed, or a comma is missing in it",
        "check its commas and the closing ]",
        at_start=True,
    ),
    _Mistake(
        "flow mapping",
        "the mapping that starts here is not closed, or a comma is missing in it",
        "check its commas and the closing }",
        at_start=True,
    ),
    _Mistake(
        "block sequence entries are not allowed|sequence entries are not allowed",
        "a list cannot start here",
        "start it on its own line below the key",
    ),
    _Mistake(
        r"block (collection|sequence): (did not find expected '-'|expected <block end>)",
        "the list ends here, but its indentation goes on",
        "entries of one list start in the same column, with `- `",
    ),
    _Mistake(
        r"block mapping: (did not find expected key|expected <block end>)",
        "a key was expected here",
        "check the indentation, and quote values that hold quotes or brackets",
    ),
    _Mistake(
        "expected node content|expected the node content",
        "a value was expected here",
        "quote text that starts with a bracket, brace, comma or another mark of YAML",
    ),
    _Mistake(
        "expected <document start>|expected '<document start>'",
        "this cannot follow what stands before it",
        "write `key: value` with a space after the colon, and quote text that holds quotes",
    ),
    _Mistake(
        "incompatible YAML document",
        "this version of YAML is not known",
        "remove the %YAML line",
        code="ZF209",
    ),
    _Mistake(
        r"could not find expected ':'",
        "a colon is missing after this key",
        "write `key: value`, or indent text that continues the line above",
        at_start=True,
    ),
)
_SPECIAL = {
    "\t": ("a tab cannot indent YAML", "use spaces"),
    "@": ("an unquoted value cannot start with @", "put it in quotes"),
    "`": ("an unquoted value cannot start with `", "put it in quotes"),
    "%": ("an unquoted value cannot start with %", "put it in quotes"),
}


def explain(source: Source, error: MarkedYAMLError) -> Problem:
    """The parser's error as a finding about the user's file."""
    said = f"{error.context or ''}: {error.problem}"
    at = _mark(error.problem_mark, error.context_mark)
    if "cannot start any token" in said and (special := _SPECIAL.get(_char(source, at))):
        message, hint = special
        return source.problem("ZF206", message, at, hint=hint)
    for mistake in _MISTAKES:
        if re.search(mistake.pattern, said):
            start = _mark(error.context_mark, at) if mistake.at_start else at
            return source.problem(mistake.code, mistake.message, start, hint=mistake.hint)
    words = said.removeprefix(": ").replace("\n", " ")
    return source.problem("ZF206", f"not valid YAML: {words}", at)


def _mark(*marks: Mark | None) -> Mark:
    return next(mark for mark in marks if mark is not None)


def _char(source: Source, mark: Mark) -> str:
    line = source.lines[mark.line] if mark.line < len(source.lines) else ""
    return line[mark.column : mark.column + 1]
