"""Variables and functions of make, worked out as far as that needs neither the file system nor a
process. What is left is marked: a variable of the outside, or what a command prints.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from zf.adopt.importers.names import is_variable
from zf.lean.records import Struct

# Marks in what was expanded: private characters of Unicode, which no makefile has.
VARIABLE, COMMAND, END = "\ue000", "\ue001", "\ue002"
MARKED = re.compile(f"{VARIABLE}([^{END}]*){END}|{COMMAND}([^{END}]*){END}")
_MOST_DEPTH = 40
_MOST_CHARS = 1 << 20
_BUILT_IN = {
    "AR": "ar",
    "AS": "as",
    "CC": "cc",
    "CPP": "cc -E",
    "CXX": "g++",
    "FC": "f77",
    "LEX": "lex",
    "MAKE": "make",
    "RM": "rm -f",
    "YACC": "yacc",
    "ARFLAGS": "rv",
    "SHELL": "/bin/sh",
    "MAKEFLAGS": "",
    "MAKEOVERRIDES": "",
    "MAKECMDGOALS": "",
    "MAKEFILES": "",
    "space": " ",
    ".DEFAULT_GOAL": "",
}


class Unknown(Exception):  # noqa: N818 - no error of zf's: what raises it says why
    """What only make can know; the argument says what is in the way."""


class Variable(Struct):
    """A variable: `said` is not expanded yet; `reason` says why it is not known, if it is not;
    `weak`: the outside may say otherwise (`?=`).
    """

    said: str
    line: int = 0
    weak: bool = False
    reason: str = ""


class Values:
    """The variables of a makefile, and what texts come to with them."""

    def __init__(self) -> None:
        self.named: dict[str, Variable] = {}
        # Names that nothing sets, which make would look for outside.
        self.outside: set[str] = set()
        # How much of all the texts has been expanded: no makefile of a person comes near the limit.
        self._work = 0
        # Whether what the outside may say otherwise is a variable, or its default.
        self.asks_outside = False

    def assign(self, name: str, operator: str, said: str, line: int) -> None:
        """Take an assignment in. What cannot be worked out yet is not known."""
        known = self.named.get(name)
        if operator == "?=":
            if known is None:
                self.named[name] = Variable(said, line, weak=True)
            return
        if operator == "!=":
            self.named[name] = Variable(f"$(shell {said})", line)
            return
        if operator == "+=" and known is not None:
            self.named[name] = Variable(f"{known.said} {said}".strip(), line, known.weak)
            return
        if operator in {":=", "::=", ":::="}:
            try:
                said = self.expand(said, {}).replace("$", "$$")
            except Unknown as error:
                self.named[name] = Variable(said, line, reason=str(error))
                return
        elif self._names(said, name):
            self.named[name] = Variable(said, line, reason=f"{name} means itself")
            return
        self.named[name] = Variable(said, line)

    @staticmethod
    def _names(said: str, name: str) -> bool:
        return f"$({name})" in said or f"${{{name}}}" in said

    def expand(self, said: str, own: Mapping[str, str], depth: int = 0) -> str:
        """The text with all its variables and functions worked out. Raises Unknown."""
        if depth > _MOST_DEPTH:
            raise Unknown("variables mean each other")
        self._work += len(said) + 1
        if self._work > _MOST_CHARS * 16 or len(said) > _MOST_CHARS:
            raise Unknown("it comes to too much text")
        out: list[str] = []
        at = 0
        while at < len(said):
            next_at = said.find("$", at)
            if next_at < 0:
                break
            out.append(said[at:next_at])
            value, at = self._reference(said, next_at, own, depth)
            out.append(value)
        return "".join([*out, said[at:]])

    def _reference(self, said: str, at: int, own: Mapping[str, str], depth: int) -> tuple[str, int]:
        """What stands at a dollar sign, and where it goes on behind it."""
        sign = said[at + 1 : at + 2]
        if sign == "$" or not sign:
            return "$", at + 2
        if sign not in "({":
            return self._value(sign, own, depth), at + 2
        end = _closing(said, at + 1)
        inside = said[at + 2 : end]
        return self._inside(inside, own, depth), end + 1

    def _inside(self, inside: str, own: Mapping[str, str], depth: int) -> str:
        word, blank, rest = inside.partition(" ")
        if not blank:
            word, blank, rest = inside.partition("\t")
        if blank and word in _FUNCTIONS:
            return self._call(word, rest, own, depth)
        if blank and word in _OF_THE_OUTSIDE:
            raise Unknown(f"it calls $({word} ...)")
        name, colon, change = inside.partition(":")
        name = self.expand(name, own, depth + 1)
        value = self._value(name, own, depth)
        if not colon or "=" not in change:
            return value
        before, _, after = self.expand(change, own, depth + 1).partition("=")
        if "%" not in before:
            before, after = f"%{before}", f"%{after}"
        return " ".join(_patsubst(before, after, one) for one in _known(value).split())

    def _value(self, name: str, own: Mapping[str, str], depth: int) -> str:
        if name in own:
            if own[name].startswith(END):
                raise Unknown(own[name][1:])
            return own[name]
        found = self.named.get(name)
        if found is None:
            if name in _BUILT_IN:
                return _BUILT_IN[name]
            if not is_variable(name):
                if re.fullmatch(r"[%?*|+][DF]?|[^\w\s]", name):
                    raise Unknown(f"${name} is known when make runs")
                return ""
            self.outside.add(name)
            return f"{VARIABLE}{name}{END}"
        if found.reason:
            raise Unknown(found.reason)
        if found.weak and self.asks_outside and is_variable(name):
            return f"{VARIABLE}{name}{END}"
        return self.expand(found.said, own, depth + 1)

    def _call(self, word: str, rest: str, own: Mapping[str, str], depth: int) -> str:
        if word == "shell":
            script = self.expand(rest, own, depth + 1)
            if MARKED.search(script):
                script = MARKED.sub(lambda m: f"${{{m[1]}}}" if m[1] else f"$({m[2]})", script)
            return f"{COMMAND}{script}{END}"
        least, function = _FUNCTIONS[word]
        parts = _arguments(rest, least)
        if word == "if":
            test = self.expand(parts[0].strip(), own, depth + 1)
            return self.expand(
                parts[1] if _known(test).strip() else (parts[2:] or [""])[0], own, depth + 1
            )
        expanded = [_known(self.expand(part, own, depth + 1)) for part in parts]
        if len(expanded) < least:
            raise Unknown(f"$({word} ...) has too little")
        return function(*expanded[:least]) if least else function(*expanded)


def shown(said: str) -> str:
    """A text with marks as it was written."""
    return MARKED.sub(lambda m: f"$({m[1]})" if m[1] is not None else f"$(shell {m[2]})", said)


def _known(value: str) -> str:
    """The text, if nothing of it is only known when make runs."""
    if MARKED.search(value):
        raise Unknown("it works on what only make knows")
    return value


def _closing(said: str, at: int) -> int:
    """Where the parenthesis or brace that opens there is closed. Raises Unknown."""
    opens, closes = said[at], {"(": ")", "{": "}"}[said[at]]
    depth = 0
    for index in range(at, len(said)):
        if said[index] == opens:
            depth += 1
        elif said[index] == closes:
            depth -= 1
            if not depth:
                return index
    raise Unknown("a parenthesis is open")


def _arguments(rest: str, most: int) -> list[str]:
    """What stands between the commas that are not in parentheses."""
    found = [""]
    depth = 0
    for char in rest.lstrip():
        depth += (char in "({") - (char in ")}")
        if char == "," and not depth and (not most or len(found) < most):
            found.append("")
        else:
            found[-1] += char
    return found


def _patsubst(pattern: str, made: str, word: str) -> str:
    if "%" not in pattern:
        return made if word == pattern else word
    stem = stem_of(pattern, word)
    return word if stem is None else made.replace("%", stem, 1)


def stem_of(pattern: str, word: str) -> str | None:
    """What `%` of a pattern stands for in a word that it matches."""
    before, sign, after = pattern.partition("%")
    if not sign:
        return "" if pattern == word else None
    if len(word) < len(before) + len(after) or not word.startswith(before):
        return None
    return word[len(before) : len(word) - len(after)] if word.endswith(after) else None


def _filter(patterns: str, words: str, *, keeps: bool) -> str:
    def matches(word: str) -> bool:
        return any(stem_of(one, word) is not None for one in patterns.split())

    return " ".join(word for word in words.split() if matches(word) == keeps)


def _each(change: Callable[[str], str]) -> Callable[..., str]:
    return lambda words: " ".join(change(word) for word in words.split())


# Each with how many arguments it has (0: any number), and what it makes of them.
_FUNCTIONS: Mapping[str, tuple[int, Callable[..., str]]] = {
    "addprefix": (2, lambda one, words: " ".join(one + word for word in words.split())),
    "addsuffix": (2, lambda one, words: " ".join(word + one for word in words.split())),
    "basename": (1, _each(lambda word: os.path.splitext(word)[0])),
    "dir": (1, _each(lambda word: word[: word.rfind("/") + 1] or "./")),
    "filter": (2, lambda patterns, words: _filter(patterns, words, keeps=True)),
    "filter-out": (2, lambda patterns, words: _filter(patterns, words, keeps=False)),
    "findstring": (2, lambda one, text: one if one in text else ""),
    "firstword": (1, lambda words: (words.split() or [""])[0]),
    "if": (3, str),
    "lastword": (1, lambda words: (words.split() or [""])[-1]),
    "notdir": (1, _each(lambda word: word[word.rfind("/") + 1 :])),
    "or": (0, lambda *words: next((word for word in words if word.strip()), "")),
    "patsubst": (3, lambda a, b, words: " ".join(_patsubst(a, b, w) for w in words.split())),
    "shell": (1, str),
    "sort": (1, lambda words: " ".join(sorted(set(words.split())))),
    "strip": (1, lambda words: " ".join(words.split())),
    "subst": (3, lambda old, new, text: text.replace(old, new) if old else text + new),
    "suffix": (
        1,
        lambda words: " ".join(filter(None, (os.path.splitext(w)[1] for w in words.split()))),
    ),
    "words": (1, lambda words: str(len(words.split()))),
}
# What asks the file system or make itself, or makes more of the makefile.
_OF_THE_OUTSIDE = {
    "abspath",
    "and",
    "call",
    "error",
    "eval",
    "file",
    "flavor",
    "foreach",
    "guile",
    "info",
    "intcmp",
    "join",
    "let",
    "load",
    "origin",
    "realpath",
    "value",
    "warning",
    "wildcard",
    "word",
    "wordlist",
}
