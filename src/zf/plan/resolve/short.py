"""What one place says of a task, with its short forms made long: a text, a list, `run`, steps that
are a text. Positions are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

from zf.model import STEP_FIELDS, Step
from zf.plan.files.forms import ADDING, MERGED
from zf.plan.files.place import NOWHERE, Loc, Place, Said
from zf.plan.resolve.layers import Layer, Resolved

_STEPS = ("commands", "cleanup")
_PLAIN = frozenset({*_STEPS, "needs"})
_NOT_PLAIN = frozenset({"run", "use", *(f"{name}+" for name in ADDING)})
_WITH_LINES = _PLAIN | _NOT_PLAIN


def line(node: Node) -> int:
    """The line where it starts, from 1."""
    found: int = node.start_mark.line + 1
    return found


def layer(place: Place, said: Any, node: Node) -> Layer:
    """What a place says that has the form of a task, or of defaults or a template."""
    if isinstance(said, str):
        form = {"commands": [{"run": said}]}
        return Layer(place, form, {"commands": [line(node)]}, {("commands", 0, "run"): ()})
    if isinstance(said, list):
        moved: dict[Loc, Loc] = {("commands",): ()}
        steps = _long_steps("commands", _with_texts(said, node), (), moved)
        return Layer(place, {"commands": steps}, {"commands": _lines(node)}, moved)
    return _mapping(place, said, node)


def plain(said: Mapping[str, Any], node: Node) -> Resolved | None:
    """All that a task says which has nothing short, and takes nothing from elsewhere; None for any
    other. Most tasks are like that, so this is quick.
    """
    if not _NOT_PLAIN.isdisjoint(said) or "commands" not in said or _has_short(said["commands"]):
        return None
    if "cleanup" in said and _has_short(said["cleanup"]):
        return None
    if "env" in said and not all_texts(said["env"]):
        return None
    if "container" in said and _has_env(said["container"]):
        return None
    lines = {key.value: _lines(value) for key, value in node.value if key.value in _PLAIN}
    return Resolved(said, lines, NOWHERE)


def need_lines(node: Node | None) -> Mapping[str, list[int]]:
    """The lines of what a task needs that is not as its form wants it, if that is a list."""
    pairs = node.value if isinstance(node, MappingNode) else []
    return {
        key.value: _lines(value)
        for key, value in reversed(pairs)
        if key.value == "needs" and isinstance(value, SequenceNode)
    }


def _mapping(place: Place, said: Mapping[str, Any], node: Node) -> Layer:
    lines: dict[str, list[int]] = {}
    moved: dict[Loc, Loc] = {}
    form = said
    for key, value in node.value:
        name = key.value
        if name not in _WITH_LINES:
            if name == "env":
                form = {**form, name: _texts(said[name], value)}
            elif name == "container" and _has_env(said[name]):
                env = _texts(said[name]["env"], _value_of(value, "env"))
                form = {**form, name: {**said[name], "env": env}}
            continue
        if name == "run":
            form = {key: one for key, one in form.items() if key != "run"}
            form["commands"] = [{"run": said["run"]}]
            lines["commands"] = [line(key)]
            moved["commands", 0, "run"] = ("run",)
        elif name == "use":
            form = {key: one for key, one in form.items() if key != "use"}
        else:
            lines[name] = _lines(value)
            if name in _STEPS and _has_short(said[name]):
                steps = _with_texts(said[name], value)
                form = {**form, name: _long_steps(name, steps, (name,), moved)}
    return Layer(place, form, lines, moved)


def _with_texts(steps: list[Any], node: Node) -> list[Any]:
    """The steps with texts for all values of their variables."""
    return [
        {**step, "env": _texts(step["env"], _value_of(place, "env"))}
        if step.__class__ is dict and "env" in step
        else step
        for step, place in zip(steps, node.value, strict=True)
    ]


def _texts(env: Mapping[str, Any], node: Node) -> Mapping[str, Any]:
    """Numbers and booleans of `env` as the texts that stand in the file: 1.10 stays 1.10."""
    if all_texts(env):
        return env
    said = {key.value: value.value for key, value in node.value}
    return {
        name: said[name] if isinstance(value, int | float) else value for name, value in env.items()
    }


def all_texts(env: Mapping[str, Any]) -> bool:
    """Whether no variable is a number, a boolean, or an output of a need."""
    for value in env.values():  # no expression, as in `_has_short`  # noqa: SIM110
        if value.__class__ is not str:
            return False
    return True


def _has_env(container: Any) -> bool:
    return isinstance(container, dict) and "env" in container


def _value_of(node: Node, key: str) -> Node:
    values: Mapping[str, Node] = {name.value: value for name, value in node.value}
    return values[key]


def _lines(node: Node) -> list[int]:
    return [entry.start_mark.line + 1 for entry in node.value]


def _has_short(steps: list[Any]) -> bool:
    for step in steps:  # no expression of generators: this is done for every task  # noqa: SIM110
        if step.__class__ is str or "env" in step:
            return True
    return False


def _long_steps(name: str, listed: list[Any], at: Loc, moved: dict[Loc, Loc]) -> list[Any]:
    for index, step in enumerate(listed):
        if isinstance(step, str):
            moved[name, index, "run"] = (*at, index)
    return [{"run": step} if isinstance(step, str) else step for step in listed]


def steps(
    kind: str, listed: list[dict[str, Any]], lines: list[int], shell: Any = None
) -> tuple[Step, ...]:
    """The steps of a kind, which are in these lines of their file; `shell` is that of those that
    say none.
    """
    if shell is not None:
        listed = [{"shell": shell, **step} for step in listed]
    found: list[Step] = []
    for step, line in zip(listed, lines, strict=True):
        name = step.get("name") or f"{kind}-{len(found)}"
        if _SAID_BY_ALL.issuperset(step):
            found.append(Step(name, step["run"], line))
        else:
            found.append(Step(name, step["run"], line, **_more_of_step(step)))
    return tuple(found)


_SAID_BY_ALL = frozenset({"name", "run"})


def _more_of_step(step: Mapping[str, Any]) -> dict[str, Any]:
    """What a step says beside its name and script, as the fields of `Step`."""
    said = {STEP_FIELDS[key]: value for key, value in step.items() if key not in _SAID_BY_ALL}
    if "shell" in said:
        from zf.plan.steps.keys import SHELLS  # noqa: PLC0415 - few steps have one

        shell = said["shell"]
        said["shell"] = SHELLS[shell] if isinstance(shell, str) else tuple(shell)
    return said


def shared(of: Layer, node: Node) -> dict[Loc, Said]:
    """Where every value stands of a layer that tasks take over."""
    found: dict[Loc, Said] = {}
    for key, value in node.value:
        name = key.value
        if name in MERGED:
            for inner, _ in value.value:
                found[name, inner.value] = Said(of.place, (name, inner.value), line(inner))
        elif name == "run":
            found["commands",] = Said(of.place, (name,), line(key))
        elif not name.endswith("+"):
            found[name,] = Said(of.place, (name,), line(key))
    return found
