"""What a run's inputs are given as: flags, a file, variables, and what an earlier run recorded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from zf.errors import Problem, ZfError
from zf.inputs import (
    GIVEN_PREFIX,
    SOURCES,
    Given,
    Input,
    Inputs,
    Value,
    Words,
    pairs,
    salted,
    text_of,
    variable,
)
from zf.lean.records import Struct, replace
from zf.model import Project
from zf.plan.inputs.check import Checked, Declared, Said, check, value_of

_SALT_BYTES = 16


class Kept(Struct, frozen=True):
    """The run whose inputs another one has, too, and what its run.json says of them. With `exact`
    it is that very run, which can have no others.
    """

    run: str
    inputs: Mapping[str, Any]
    exact: bool = False

    @classmethod
    def of(cls, recorded: Mapping[str, Any], *, exact: bool = False) -> Self:
        """Those of a run.json. Raises ZfError (exit 2) where it is not as zf writes it."""
        inputs, run = recorded.get("inputs", {}), str(recorded.get("run_id"))
        if not isinstance(inputs, dict) or not all(map(_is_recorded, inputs.values())):
            raise ZfError(
                f"run.json of run {run!r} does not say what its inputs were",
                code="ZF140",
                hint=f"zf verify {run} says what is wrong with it",
            )
        return cls(run, inputs, exact)


def _is_recorded(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("source") not in SOURCES:
        return False
    if "value" not in one:
        return isinstance(one.get("salt"), str) and isinstance(one.get("salted_sha256"), str)
    value = one["value"]
    entries = value if isinstance(value, list) else ()
    scalar = isinstance(value, str | int | float)
    return (scalar or isinstance(value, list)) and all(isinstance(e, str) for e in entries)


def resolve(
    project: Project,
    phases: Sequence[str],
    words: Words,
    environ: Mapping[str, str],
    kept: Kept | None = None,
) -> tuple[Inputs, list[Problem]]:
    """The inputs of a run of these phases, and warnings.

    With `kept` each is what it was in that run; a hidden one has to be given again, and must be
    the same. Raises ZfError (exit 2) with every problem at once.
    """
    declared, elsewhere = _declared(project, phases)
    said, problems = _gathered(words, environ, {*declared, *elsewhere})
    if kept is not None:
        declared = {
            name: replace(one, input=replace(one.input, required=False))
            if name in kept.inputs
            else one
            for name, one in declared.items()
        }
    found = check(declared, said, elsewhere)
    problems += found.problems
    values: Mapping[str, Given] = found.values
    if kept is not None:
        values, more = _as_kept(declared, elsewhere, found, said, kept)
        problems += more
    wrong = tuple(problem for problem in problems if problem.severity == "error")
    if wrong:
        raise ZfError(wrong[0].message, problems=tuple(problems))
    return {name: _salted(given) for name, given in values.items()}, problems


def _salted(given: Given) -> Given:
    return given if given.salt else replace(given, salt=os.urandom(_SALT_BYTES).hex())


def _declared(
    project: Project, phases: Sequence[str]
) -> tuple[dict[str, Declared], dict[str, list[str]]]:
    """The inputs of a run of these phases; and those of others, with the phases that have them."""
    found = {name: Declared(one) for name, one in project.inputs.items()}
    elsewhere: dict[str, list[str]] = {}
    for name, phase in project.phases.items():
        for each, one in phase.inputs.items():
            if name not in phases:
                elsewhere.setdefault(each, []).append(name)
            elif each in found:
                found[each] = replace(found[each], phases=(*found[each].phases, name))
            else:
                found[each] = Declared(one, (name,))
    return found, {name: others for name, others in elsewhere.items() if name not in found}


# What was given.


def _gathered(
    words: Words, environ: Mapping[str, str], known: Iterable[str]
) -> tuple[list[Said], list[Problem]]:
    said: list[Said] = []
    problems: list[Problem] = []
    for word in words.flags:
        try:
            ((name, (value,)),) = pairs([word]).items()
        except ValueError:
            hint = "write NAME=VALUE, such as -i env=prod"
            problems.append(Problem("ZF271", "-i: a value without a name", hint=hint))
        else:
            said.append(Said(name, value, "flag", f"-i {name}"))
    if words.file is not None:
        listed, wrong = _of_file(words.file)
        said += listed
        problems += wrong
    return said + list(_of_variables(environ, known)), problems


def _of_variables(environ: Mapping[str, str], known: Iterable[str]) -> Iterator[Said]:
    """An empty variable counts as unset: CI systems pass what is not set as empty ones."""
    names = {variable(name, GIVEN_PREFIX): name for name in known}
    for key, value in environ.items():
        if value and key.startswith(GIVEN_PREFIX):
            name = names.get(key) or key.removeprefix(GIVEN_PREFIX).lower()
            yield Said(name, value, "variable", key)


def _of_file(path: str) -> tuple[list[Said], list[Problem]]:
    """What a file says: YAML, or JSON, which is YAML, too."""
    from zf.plan.inputs.declared import NO_VALUE, written  # noqa: PLC0415 - it brings the parsers along
    from zf.plan.yaml import source, yaml12  # noqa: PLC0415 - likewise

    shown = os.path.relpath(path)
    found = source.read(path, shown)
    if found is None:
        reason = "there is no such file"
        return [], [Problem("ZF271", reason, shown, hint="--inputs takes the path of a file")]
    if isinstance(found, Problem):
        return [], [found]
    document = yaml12.read(found)
    if document.root is None or document.problems:
        return [], document.problems
    if not isinstance(document.value, dict):
        hint = "write `name: value`, one a line"
        start = document.root.start_mark
        reason = "a file of inputs is a mapping of their names to values"
        return [], [found.problem("ZF271", reason, start, hint=hint)]
    said, problems = [], []
    for name in document.value:
        node = document.node_at((name,))
        text = written(node)
        at = found.problem("ZF271", "", node.start_mark, node.end_mark)
        if text is None:
            problems.append(replace(at, message=f"{name}: {NO_VALUE}"))
        else:
            said.append(Said(name, text, "file", name, at))
    return said, problems


# What an earlier run recorded.


def _as_kept(
    declared: Mapping[str, Declared],
    elsewhere: Iterable[str],
    found: Checked,
    said: Sequence[Said],
    kept: Kept,
) -> tuple[dict[str, Given], list[Problem]]:
    """Each input as that run had it; one that it did not have is as it is given now."""
    values: dict[str, Given] = {}
    problems: list[Problem] = []
    flags = {one.name: one.place for one in said if one.source == "flag"}
    any_place = {one.name: one.place for one in reversed(said)}
    for name in kept.inputs.keys() - declared.keys() - set(elsewhere):
        reason = f"input '{name}' of run {kept.run} is not declared any more"
        hint = "put zf.yaml back as it was, or start a new run"
        problems.append(Problem("ZF275", reason, hint=hint))
    for name, one in declared.items():
        now = found.values.get(name)
        if name not in kept.inputs:
            if kept.exact:
                reason = f"input '{name}' was not declared when run {kept.run} began"
                hint = "put zf.yaml back as it was, or start a new run"
                problems.append(Problem("ZF275", reason, hint=hint))
            elif now is not None:
                values[name] = now
            continue
        # A flag means this run; a file and variables may be there for others.
        place = (flags if "value" in kept.inputs[name] else any_place).get(name, "")
        try:
            values[name] = _kept_value(name, one, kept, now, place)
        except ValueError as error:
            hint = error.args[1] if len(error.args) > 1 else "a new run takes another"
            problems.append(Problem("ZF275", str(error.args[0]), hint=hint))
    return values, problems


def _kept_value(name: str, one: Declared, kept: Kept, now: Given | None, place: str) -> Given:
    """Raises ValueError, with why not and perhaps what to do."""
    then = kept.inputs[name]
    source = then["source"]
    if "value" in then:
        value = _recalled(name, one.input, then["value"], kept.run)
        if place and now is not None and now.value != value:
            shown = "another value" if one.input.secret else f"'{text_of(value)}'"
            raise ValueError(f"{place}: run {kept.run} has {shown}, which it keeps")
        hidden = one.input.secret is True and value != ""
        plain = one.input.may_be_shown
        return Given(value, source, one.phases, hidden, may_be_shown=plain)
    same = now is not None and salted(now.value, then["salt"]) == then["salted_sha256"]
    if now is None or not (place or same):
        key = variable(name, GIVEN_PREFIX)
        raise ValueError(
            f"input '{name}' of run {kept.run} is hidden, so its proof does not have it",
            f"give it again: set {key}, or -i {name}=...",
        )
    if not same:
        raise ValueError(
            f"{place}: this is not the value that run {kept.run} had, by its digest",
            "give the same value again; a new run takes another",
        )
    return replace(now, source=source, hidden=True, salt=then["salt"])


def _recalled(name: str, declared: Input, recorded: Any, run: str) -> Value:
    """A recorded value, if it is still one."""
    texts = tuple(recorded) if isinstance(recorded, list) else text_of(recorded)
    try:
        value = declared.empty if texts in ("", ()) else value_of(declared, texts)
    except ValueError as error:
        value, why = "", f": {error}"
    else:
        why = ""
    if why or text_of(value) != text_of(recorded):
        raise ValueError(
            f"input '{name}' of run {run} is no value of what zf.yaml declares now{why}",
            "put zf.yaml back as it was, or start a new run",
        )
    return value
