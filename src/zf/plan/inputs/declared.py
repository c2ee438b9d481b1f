"""The `inputs:` of zf.yaml -> what is declared, or what is wrong with it, each at its place.

The form of the file is checked by then: here is what keys mean together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from yaml.nodes import ScalarNode, SequenceNode

from zf.inputs import Input, variable
from zf.lean.records import Struct, replace
from zf.plan.inputs.check import InputError, value_of, whole
from zf.plan.yaml.position import marks_inside
from zf.plan.yaml.yaml12 import KEY, is_nothing

if TYPE_CHECKING:
    from yaml.nodes import Node

    from zf.errors import Problem
    from zf.plan.yaml.source import Source
    from zf.plan.yaml.yaml12 import Document

_Loc = tuple[int | str, ...]
_BOUNDS = ("min", "max")
# What is neither a scalar nor a list of them, or nothing.
NO_VALUE = "must be a text, a number, true or false, or a list of such"


class Declarations(Struct, frozen=True):
    """The inputs of every run, and those of runs of a phase, by name."""

    project: Mapping[str, Input]
    phases: Mapping[str, Mapping[str, Input]]
    problems: list[Problem]


def read(source: Source, document: Document) -> Declarations:
    """What a valid project file declares."""
    reader = _Reader(source, document)
    form = document.value
    project = reader.inputs(("inputs",), form.get("inputs", {}))
    phases = {}
    for name, phase in form.get("phases", {}).items():
        if "inputs" in phase:
            phases[name] = reader.inputs(("phases", name, "inputs"), phase["inputs"])
    reader.compare(project, phases)
    return Declarations(project, phases, reader.problems)


class _Reader:
    def __init__(self, source: Source, document: Document) -> None:
        self._source = source
        self._document = document
        self.problems: list[Problem] = []

    def inputs(self, loc: _Loc, said: Mapping[str, Any]) -> dict[str, Input]:
        found: dict[str, Input] = {}
        names: dict[str, str] = {}
        for name, entry in said.items():
            other = names.setdefault(variable(name), name)
            if other != name:
                reason = f"inputs '{other}' and '{name}' are both {variable(name)} to steps"
                self._problem((*loc, name, KEY), "ZF273", reason, "rename one of them")
            found[name] = self._input((*loc, name), entry)
        return found

    def compare(
        self, project: Mapping[str, Input], phases: Mapping[str, Mapping[str, Input]]
    ) -> None:
        """One name means one thing in a run, whatever phases it has."""
        first = {variable(name): ("", name, one) for name, one in project.items()}
        for phase, inputs in phases.items():
            for name, one in inputs.items():
                where, other, declared = first.setdefault(variable(name), (phase, name, one))
                if where == phase:
                    continue
                loc = ("phases", phase, "inputs", name, KEY)
                if not where:
                    reason = f"'{other}' is an input of every run already"
                    self._problem(loc, "ZF273", reason, "declare it once")
                elif (other, replace(declared, description="")) != (
                    name,
                    replace(one, description=""),
                ):
                    reason = f"input '{name}' is declared otherwise for phase {where}"
                    hint = "say the same in both, or declare it once, for every run"
                    self._problem(loc, "ZF273", reason, hint)

    def _input(self, loc: _Loc, said: Any) -> Input:
        if not isinstance(said, dict):
            # The short form: its default, which says of which type it is.
            declared = Input(type=_type_of(said))
            return self._with_default(declared, loc, loc)
        declared = Input(
            type=said.get("type") or _implied(said),
            options=tuple(said.get("options", ())),
            pattern=said.get("pattern", ""),
            least=said.get("min"),
            most=said.get("max"),
            required=said.get("required", False),
            secret=said.get("secret"),
            description=said.get("description", ""),
        )
        wrong = list(_at_odds(declared, said))
        for key, reason, hint in wrong:
            place = (*loc, key, KEY) if key in said else (*loc, KEY)
            self._problem(place, "ZF273", f"input '{loc[-1]}' {reason}", hint)
        if "pattern" in said:
            wrong += [("pattern", "", "")] * self._bad_pattern((*loc, "pattern"), said["pattern"])
        if "default" not in said or wrong:
            return declared
        return self._with_default(declared, (*loc, "default"), loc)

    def _with_default(self, declared: Input, at: _Loc, loc: _Loc) -> Input:
        """With what is written there for a default, taken as it is written."""
        node = self._document.node_at(at)
        text = written(node)
        broken = f"the default of input '{loc[-1]}' breaks its own rules:"
        if text is None:
            self._problem(at, "ZF274", f"{broken} {NO_VALUE}", None)
            return declared
        try:
            return replace(declared, default=value_of(declared, text))
        except InputError as error:
            self._problem(at, "ZF274", f"{broken} {error}", error.hint)
            return declared

    def _bad_pattern(self, loc: _Loc, pattern: str) -> bool:
        from zf.plan.conditions.pattern import PatternError, compiled  # noqa: PLC0415 - few have one

        try:
            compiled(pattern)
            compiled(whole(pattern))
        except PatternError as error:
            start, end = marks_inside(self._source, self._document.node_at(loc), error.at, 1)
            reason = f"bad pattern: {error}"
            self.problems.append(self._source.problem("ZF273", reason, start, end))
            return True
        return False

    def _problem(self, loc: _Loc, code: str, reason: str, hint: str | None) -> None:
        node = self._document.node_at(loc)
        start, end = node.start_mark, node.end_mark
        self.problems.append(self._source.problem(code, reason, start, end, hint=hint))


def _at_odds(declared: Input, said: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Keys that do not go together: the key, what is wrong, and what to do."""
    kind = declared.type
    if kind == "choice" and not declared.options:
        yield "type", "is a choice of nothing", "add `options: [...]`"
    if declared.options and kind not in {"choice", "list"}:
        yield "options", f"has options, but is of type {kind}", "write `type: choice`"
    if declared.pattern and kind not in {"string", "list"}:
        yield "pattern", f"has a pattern, which goes with texts, but is of type {kind}", "remove it"
    for key in _BOUNDS:
        if key in said and kind not in {"int", "number"}:
            yield key, f"has a {key}, which goes with numbers, but is of type {kind}", "remove it"
    if None not in (declared.least, declared.most) and said["min"] > said["max"]:
        yield "min", "has a min above its max", "no value could be given"
    if declared.required and "default" in said:
        yield "default", "is required, so its default is never used", "remove one of the two"
    if declared.secret and "default" in said:
        yield "default", "is secret, but its default is here to be read", "remove the default"
    if declared.secret and kind != "string":
        yield (
            "secret",
            f"is secret, which goes with texts, but is of type {kind}",
            "write `type: string`",
        )


def _implied(said: Mapping[str, Any]) -> str:
    if "options" in said:
        return "choice"
    return _type_of(said["default"]) if "default" in said else "string"


def _type_of(value: object) -> str:
    kinds = {bool: "bool", int: "int", float: "number", list: "list"}
    return kinds.get(type(value), "string")


def written(node: Node) -> str | tuple[str, ...] | None:
    """The text of a scalar as it is written, or of each of a list; None for anything else."""
    if isinstance(node, ScalarNode):
        return _text(node)
    if not isinstance(node, SequenceNode):
        return None
    texts = [text for entry in node.value if (text := _text(entry)) is not None]
    return tuple(texts) if len(texts) == len(node.value) else None


def _text(node: Node) -> str | None:
    if not isinstance(node, ScalarNode) or is_nothing(node):
        return None
    text: str = node.value
    return text
