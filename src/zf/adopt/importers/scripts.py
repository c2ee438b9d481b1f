"""Templates of another tool in a shell script -> variables, at whatever place of quotes they stand.

A value becomes the content of a variable and never a part of the script, so that nothing in it is
run; where no variable is looked at, as in a quoted here-document, there is no such form.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Literal

# What stands for a template: ("variable", NAME), ("words", "@") for all that the script is given,
# ("command", SCRIPT) for what that prints, ("literal", TEXT), or None: it cannot be said.
Meant = tuple[Literal["variable", "words", "command", "literal"], str] | None
_HERE = re.compile(r"<<-?[ \t]*(\\|'|\")?([A-Za-z_][A-Za-z0-9_]*)['\"]?")
_EMPTY = re.compile(r"""''("\$(?:\{\w+\}|\([^'"()]*\))")''""")


class Unsayable(Exception):  # noqa: N818 - what is raised is not an error of zf's
    """A template for which no variable can stand; the text of it is the argument."""


def put(script: str, templates: re.Pattern[str], meant: Callable[[re.Match[str]], Meant]) -> str:
    """The script with variables for its templates. Raises Unsayable."""
    if not templates.search(script):
        return script
    # A template that is all that stands in single quotes leaves empty ones around it.
    return _EMPTY.sub(r"\1", _Scan(script, templates, meant).result())


class _Scan:
    """Goes through a script, knowing in which quotes it is: `quotes` holds those around, `(` for a
    command in them.
    """

    def __init__(
        self, script: str, templates: re.Pattern[str], meant: Callable[[re.Match[str]], Meant]
    ) -> None:
        self._script, self._templates, self._meant = script, templates, meant
        self._quotes: list[str] = []
        self._here: list[tuple[str, bool]] = []
        self._out: list[str] = []
        self._at = 0

    def result(self) -> str:
        while self._at < len(self._script):
            found = self._templates.match(self._script, self._at)
            if found and found.end() > self._at:
                self._out.append(self._said(found))
                self._at = found.end()
            else:
                self._step()
        return "".join(self._out)

    def _said(self, found: re.Match[str], quoted: str | None = None) -> str:
        what = self._meant(found)
        if what is None:
            raise Unsayable(found.group())
        kind, text = what
        if kind == "literal":
            return text
        around = self._quotes[-1] if self._quotes else ""
        if quoted == "here" or around == "$'":
            raise Unsayable(found.group())
        said = {"variable": f"${{{text}}}", "words": "$*", "command": f"$({text})"}[kind]
        if around == "'":
            return f"'\"{said}\"'"
        return '"$@"' if kind == "words" and around != '"' and not quoted else said

    def _take(self, many: int) -> None:
        self._out.append(self._script[self._at : self._at + many])
        self._at += many

    def _step(self) -> None:
        """One character that is no template, or what belongs to it."""
        char = self._script[self._at]
        around = self._quotes[-1] if self._quotes else ""
        if around == "'":
            if char == "'":
                self._quotes.pop()
            self._take(1)
        elif char == "\\":
            self._take(2)
        elif around in {'"', "$'"}:
            self._in_quotes(char, around)
        else:
            self._bare(char)

    def _in_quotes(self, char: str, around: str) -> None:
        if char == around[-1]:
            self._quotes.pop()
        elif around == '"' and self._script.startswith("$(", self._at):
            self._quotes.append("(")
            self._take(1)
        self._take(1)

    def _bare(self, char: str) -> None:
        script, at = self._script, self._at
        if char == "\n" and self._here:
            self._take(1)
            self._documents()
            return
        if char == "#" and (at == 0 or script[at - 1] in " \t\n;(&|"):
            self._take(len(script[at:].split("\n", 1)[0]))
            return
        if script.startswith("$'", at) or script.startswith("$(", at):
            self._quotes.append("$'" if script[at + 1] == "'" else "(")
            self._take(2)
            return
        here = _HERE.match(script, at)
        if here and not script.startswith("<<<", at):
            self._here.append((here[2], bool(here[1])))
            self._take(here.end() - at)
            return
        if char in "'\"(":
            self._quotes.append(char)
        elif char == ")" and self._quotes:
            self._quotes.pop()
        self._take(1)

    def _documents(self) -> None:
        """The here-documents that begin at this line."""
        for word, is_quoted in self._here:
            while self._at < len(self._script):
                line = self._script[self._at :].split("\n", 1)[0]
                end = self._at + len(line)
                while self._at < end:
                    found = self._templates.match(self._script, self._at)
                    if found and found.end() > self._at:
                        self._out.append(self._said(found, "here" if is_quoted else "open"))
                        self._at = found.end()
                    else:
                        self._take(1)
                self._take(1)
                if line.strip() == word:
                    break
        self._here = []


def is_plain(value: str) -> bool:
    """Whether a value is a few words that no shell looks at twice, with or without quotes."""
    return all(shlex.quote(word) == word for word in value.split())


def names_of_variables(script: str) -> list[str]:
    """Variables that a script looks at, as `$NAME` or `${NAME`."""
    return list(dict.fromkeys(re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", script)))
