"""The lines of a makefile gone through as make does: its variables, and its rules put together by
target.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from zf.adopt.importers import reading
from zf.adopt.importers.make.parsing import Line, Rule, lines
from zf.adopt.importers.make.values import MARKED, Unknown, Values, Variable, stem_of
from zf.adopt.importers.model import Import, Job, Origin
from zf.lean.records import Struct, field

_MOST_FILES = 100
_MOST_TARGETS = 20_000
_TESTS = re.compile(r"\(?\s*(?:(['\"])(.*?)\1\s+(['\"])(.*?)\3|(.*),(.*?)\)?)\s*$", re.DOTALL)
_LOCAL = re.compile(
    r"(?:(?:override|export|private)\s+)*([^\s:#=!?+]+)\s*(::?=|\?=|\+=|=)\s*(.*)", re.DOTALL
)


class Target(Struct):
    """What all rules of one target say together."""

    name: str
    line: int
    file: str
    title: str = ""
    prerequisites: list[str] = field(default_factory=list)
    order_only: list[str] = field(default_factory=list)
    recipe: list[tuple[int, str]] = field(default_factory=list)
    stem: str = ""
    own: dict[str, str] = field(default_factory=dict)
    # What a person has to look at: the construct and what is to be done.
    odd: list[tuple[str, str, int]] = field(default_factory=list)


class Makefile:
    """A makefile with what it includes; `targets` in the order of the file."""

    def __init__(self, source: Import) -> None:
        self.source = source
        self.values = Values()
        self.targets: dict[str, Target] = {}
        self.patterns: list[Rule] = []
        self.phony: set[str] = set()
        self.special: dict[str, int] = {}
        self.exported: dict[str, int] = {}
        self.exports_all = False
        self._files: set[str] = set()
        # Conditions around: whether it counts, and why that is not known.
        self._around: list[tuple[bool, bool, str]] = []

    def read(self, origin: Origin) -> None:
        """Take a file in, and what it includes."""
        self.take(reading.text(origin.path, origin.file), origin)

    def take(self, text: str, origin: Origin) -> None:
        """Take in what a file says."""
        self._files.add(os.path.realpath(origin.path))
        for line in lines(text):
            if isinstance(line, Line) and self._condition(line):
                continue
            if not all(counts for counts, _, _ in self._around):
                continue
            if isinstance(line, Rule):
                self._rule(line, origin)
            else:
                self._line(line, origin)

    def _unsure(self) -> str:
        return next((why for _, _, why in self._around if why), "")

    def _condition(self, line: Line) -> bool:
        """Whether the line is one of a condition; if so, it counts from now on."""
        if line.kind in {"ifeq", "ifneq", "ifdef", "ifndef"}:
            self._around.append(self._answer(line))
        elif line.kind == "endif":
            self._around[-1:] = []
        elif line.kind == "else" and self._around:
            counts, was, why = self._around.pop()
            if line.said:
                word, _, rest = line.said.partition(" ")
                inner = self._answer(Line(word, line.number, rest))
                counts = (bool(why) or not was) and inner[0]
                self._around.append((counts, was or counts, why or inner[2]))
            else:
                self._around.append((bool(why) or not was, True, why))
        else:
            return False
        return True

    def _answer(self, line: Line) -> tuple[bool, bool, str]:
        """Whether a condition holds, and why that is not known: then both sides are taken in."""
        said = f"{line.kind} {line.said}"
        try:
            holds = self._holds(line)
        except Unknown as error:
            self.source.changed(said, f"both sides are kept: {error}", line=line.number, job=None)
            return True, True, f"`{said}` in line {line.number}"
        what = "as it comes out where nothing is set outside"
        self.source.changed(said, what, line=line.number, job=None)
        return holds, holds, ""

    def _holds(self, line: Line) -> bool:
        if line.kind.endswith("def"):
            name = self.values.expand(line.said.strip(), {})
            known = self.values.named.get(name)
            return (known is not None and known.said != "") == (line.kind == "ifdef")
        match = _TESTS.match(line.said)
        if match is None:
            raise Unknown("it is not read")
        one, other = (match[2], match[4]) if match[1] else (match[5], match[6])
        sides = [self.values.expand(side.strip(), {}) for side in (one, other)]
        sides = [MARKED.sub(lambda m: "" if m[1] else m[0], side) for side in sides]
        if any(MARKED.search(side) for side in sides):
            raise Unknown("it asks a command")
        return (sides[0].strip() == sides[1].strip()) == (line.kind == "ifeq")

    def _line(self, line: Line, origin: Origin) -> None:
        if line.kind == "assignment":
            self._assign(line)
        elif line.kind == "define":
            self.values.named[line.name] = Variable(line.said, line.number)
        elif line.kind in {"include", "sinclude"}:
            self._include(line, origin)
        elif line.kind == "export":
            if not line.said:
                self.exports_all = True
            for name in line.said.split():
                self.exported[name] = line.number
        elif line.kind == "odd":
            self._odd(line)
        else:
            why = "what make is told of itself"
            self.source.dropped(f"{line.kind} {line.said}", why, line=line.number, job=None)

    def _assign(self, line: Line) -> None:
        try:
            name = self.values.expand(line.name, {})
        except Unknown:
            name = line.name
        self.values.assign(name, line.operator, line.said, line.number)
        if line.is_exported:
            self.exported[name] = line.number
        if why := self._unsure():
            self.values.named[name].reason = f"{name} depends on {why}"

    def _odd(self, line: Line) -> None:
        """A line that is neither a rule nor an assignment, such as $(eval ...) or $(error ...)."""
        try:
            text = self.values.expand(line.said, {})
        except Unknown as error:
            job = self._guard_job(f"line-{line.number}", line.number)
            remedy = (
                f"what the line does is known when make runs ({error}): write the tasks it makes"
            )
            self.source.manual(line.said, remedy, job=job)
            return
        if text.strip():
            job = self._guard_job(f"line-{line.number}", line.number)
            self.source.manual(line.said, "zf import does not know this line", job=job)

    def _guard_job(self, name: str, line: int) -> Job:
        job = Job(name, line)
        self.source.jobs.append(job)
        return job

    def _include(self, line: Line, origin: Origin) -> None:
        try:
            paths = self.values.expand(line.said, {}).split()
        except Unknown:
            paths = [line.said]
        for path in paths:
            inner = origin.beside(path)
            if os.path.realpath(inner.path) in self._files:
                continue
            construct = f"include {path}"
            full = "too many files are included" if len(self._files) >= _MOST_FILES else ""
            if not (why := inner.unread or full):
                self.source.exact(construct, line=line.number, job=None)
                self.read(inner)
            elif line.comment != "include":
                why = f"{why}; make does without it, too"
                self.source.dropped(construct, why, line=line.number, job=None)
            else:
                job = self._guard_job(f"include-{os.path.basename(path)}", line.number)
                self.source.manual(construct, f"{why}: import it too", job=job)

    def _rule(self, rule: Rule, origin: Origin) -> None:
        try:
            names = _words(self.values.expand(rule.targets, {}))
        except Unknown as error:
            job = self._guard_job(f"rule-{rule.number}", rule.number)
            remedy = f"its targets are known when make runs ({error}): write the tasks"
            self.source.manual(f"{rule.targets}: {rule.prerequisites}", remedy, job=job)
            return
        if local := _LOCAL.fullmatch(rule.prerequisites):
            self._own_variable(names, local, rule, origin)
            return
        before, order = self._prerequisites(rule)
        for name in names[:_MOST_TARGETS]:
            if name.startswith(".") and "/" not in name and name[1:2].isupper():
                self._special(name, before, rule)
            elif "%" in name or re.fullmatch(r"\.\w+(\.\w+)?", name):
                self.patterns.append(rule)
            else:
                self._target(name, rule, origin, before, order)

    def _prerequisites(self, rule: Rule) -> tuple[list[str] | str, list[str]]:
        """What is needed, and what is only to be there before; a text says why it is not known."""
        normal, _, order = rule.prerequisites.partition("|")
        try:
            return _words(self.values.expand(normal, {})), _words(self.values.expand(order, {}))
        except Unknown as error:
            return str(error), []

    def _special(self, name: str, names: list[str] | str, rule: Rule) -> None:
        self.special[name] = rule.number
        if name == ".PHONY":
            self.phony |= set(names) if isinstance(names, list) else set()
            self.source.exact(f"{name}: {rule.prerequisites}", line=rule.number, job=None)
        elif name == ".ONESHELL":
            self.source.exact(name, line=rule.number, job=None)
        else:
            self.source.dropped(name, "what make is told of itself", line=rule.number, job=None)

    def _own_variable(
        self, names: list[str], local: re.Match[str], rule: Rule, origin: Origin
    ) -> None:
        """A variable of single targets."""
        for name in names:
            target = self._known(name, rule, origin)
            try:
                before = target.own.get(local[1])
                value = self.values.expand(local[3], target.own)
                if local[2] == "+=":
                    if before is None:
                        before = self.values.expand(f"$({local[1]})", {})
                    value = f"{before} {value}".strip()
                target.own[local[1]] = value
            except Unknown as error:
                target.own[local[1]] = f"\ue002{error}"
            target.odd.append((f"{name}: {local[0]}", "", rule.number))

    def _known(self, name: str, rule: Rule, origin: Origin) -> Target:
        if name not in self.targets:
            self.targets[name] = Target(name, rule.number, origin.file)
        return self.targets[name]

    def _target(
        self,
        name: str,
        rule: Rule,
        origin: Origin,
        before: list[str] | str,
        order: list[str],
    ) -> None:
        target = self._known(name, rule, origin)
        target.title = target.title or rule.title
        construct = f"{rule.targets}: {rule.prerequisites}".removesuffix(": ")
        if isinstance(before, str):
            remedy = f"what it needs is known when make runs ({before}): write it as `needs`"
            target.odd.append((construct, remedy, rule.number))
            before = []
        if rule.pattern:
            stem = stem_of(rule.pattern, name)
            target.stem = stem or ""
            before = [one.replace("%", target.stem, 1) for one in before]
        if why := self._unsure():
            remedy = f"whether the rule counts depends on {why}: keep what is right here"
            target.odd.append((construct, remedy, rule.number))
        target.prerequisites += [one for one in before if one not in target.prerequisites]
        target.order_only += [one for one in order if one not in target.order_only]
        if rule.recipe:
            if target.recipe and not rule.double:
                self.source.dropped(
                    f"the recipe of {name} before", "a later one counts", line=target.line, job=None
                )
                target.recipe = []
            target.recipe += rule.recipe
            target.line, target.file = rule.number, origin.file


def _words(text: str) -> list[str]:
    """The words of what was expanded; variables that nothing sets are empty. Raises Unknown."""
    text = MARKED.sub(lambda m: "" if m[1] else m[0], text)
    if MARKED.search(text):
        raise Unknown("it is what a command prints")
    return [word.removeprefix("./") or word for word in text.split()]


def matched(target: str, patterns: Iterable[Rule]) -> Rule | None:
    """The pattern rule, if there is one, that makes such a file."""
    for rule in patterns:
        for pattern in rule.targets.split():
            if "%" in pattern and stem_of(pattern, target) is not None:
                return rule
            old = re.fullmatch(r"\.\w+(\.\w+)", pattern)
            if old and target.endswith(old[1]):
                return rule
    return None
