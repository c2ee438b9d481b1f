"""The keys of a task as the fields of `Task`: some go by another name, some have another form.

What follows from which keys there are, whatever their values, is found once for all tasks with the
same keys, as many of a project have.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from zf.lean.records import Struct
from zf.model import NOTHING, QUEUE, TASK_KEYS, Task
from zf.plan.resolve import short

# Different sets of keys that are kept: more than a project has.
_MOST_SETS = 1000
_RENAMED = {key: name for name, key in TASK_KEYS.items() if name != key}
_TUPLES = frozenset(name for name, kind in Task.__annotations__.items() if "tuple" in kind)
# What `Task` has in another form, beside what nearly every task says.
_CONVERTED = frozenset(
    {
        *("matrix", "cleanup", "artifacts", "concurrency", "cache", "sandbox", "approval"),
        *("container", "allow_failure", "retry_on", "services", "repeat", "shell"),
    }
)


class Shape(Struct, frozen=True):
    """What is known of a task by its keys alone."""

    keys: frozenset[str] = frozenset()
    renamed: tuple[tuple[str, str], ...] = ()
    # Those fields whose values are lists in a file.
    lists: tuple[str, ...] = ()
    is_converted: bool = False


@lru_cache(_MOST_SETS)
def shape(keys: tuple[str, ...]) -> Shape:
    """That of the tasks with these keys, in this order."""
    renamed = tuple((key, name) for key, name in _RENAMED.items() if key in keys)
    lists = tuple({_RENAMED.get(key, key) for key in keys} & _TUPLES - {"needs", "steps"})
    return Shape(frozenset(keys), renamed, lists, is_converted=not _CONVERTED.isdisjoint(keys))


def fields(of: Shape, form: Mapping[str, Any], lines: Mapping[str, list[int]]) -> dict[str, Any]:
    """The fields of `Task` that a valid form with these keys says."""
    said = {**form}
    for key, name in of.renamed:
        said[name] = said.pop(key)
    for name in of.lists:
        if said[name].__class__ is list:
            said[name] = tuple(said[name])
    said["steps"] = short.steps("step", form["commands"], lines["commands"], form.get("shell"))
    if "env" in form and not short.all_texts(form["env"]):
        said["env"], said["env_from"] = _environment(form["env"])
    if of.is_converted:
        _convert(said, form, lines)
    return said


def _convert(said: dict[str, Any], form: Mapping[str, Any], lines: Mapping[str, list[int]]) -> None:
    said.pop("matrix", None)  # what it stands for is not known yet
    shell = said.pop("shell", None)  # which each step has for itself
    if "cleanup" in form:
        said["cleanup"] = short.steps("cleanup", form["cleanup"], lines["cleanup"], shell)
    if "artifacts" in form:
        said["artifacts"], said["required_artifacts"] = _artifacts(form["artifacts"])
    if isinstance(grouped := form.get("concurrency"), dict):
        said["concurrency"] = grouped["group"]
        said["on_newer"] = grouped.get("on_newer", QUEUE)
    if isinstance(cache := form.get("cache"), dict):
        said |= {
            "cache": True,
            "cache_env": tuple(cache.get("env", ())),
            "cache_tools": tuple(cache.get("tools", ())),
            "generates_check": cache.get("check", ""),
        }
    if "sandbox" in form or "container" in form:
        from zf.plan.walls.keys import converted  # noqa: PLC0415 - few tasks have one

        said |= converted(form, said.get("env", NOTHING))
    if "services" in form:
        from zf.plan.services.keys import converted as services_of  # noqa: PLC0415 - as above

        said["services"] = services_of(form["services"])
    if "repeat" in form:
        from zf.plan.gates.keys import converted as repeated  # noqa: PLC0415 - as above

        said |= repeated(form)
    if "approval" in form:
        from zf.plan.gates.approval import converted as approval_of  # noqa: PLC0415 - as above

        said["approval"] = approval_of(form["approval"])
    if isinstance(form.get("allow_failure"), dict):
        said["allow_failure"] = tuple(form["allow_failure"]["exit_codes"])
    if isinstance(form.get("retry_on"), dict):
        said["retry_on"] = tuple(form["retry_on"]["exit_codes"])


def _environment(
    listed: Mapping[str, str | dict[str, str]],
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The variables with their values, and those that hold outputs of needs."""
    taken = {name: value["from"] for name, value in listed.items() if isinstance(value, dict)}
    return {name: value for name, value in listed.items() if isinstance(value, str)}, taken


def _artifacts(listed: list[str | dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All of them, and those for which there must be a file."""
    rows = [
        (one, False) if isinstance(one, str) else (one["path"], one.get("required"))
        for one in listed
    ]
    return tuple(path for path, _ in rows), tuple(path for path, required in rows if required)
