"""What a task comes to, and which line said each part of it: `zf plan --explain`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode

from zf.errors import printable
from zf.lean.records import Struct
from zf.model import Task, recorded
from zf.plan.files import written
from zf.plan.files.forms import MERGED, ONE_TASK, with_defaults
from zf.plan.places import TASK_FILE

if TYPE_CHECKING:
    from yaml.nodes import Node

# Keys that are gone once a task is resolved, and what its place calls it.
_NOT_SHOWN = {"id", "use", "run", "shell", *(key for key in ONE_TASK if key.endswith("+"))}
_SHOWN_CHARS = 60


class Part(Struct, frozen=True):
    """A value of a task, by a key such as `timeout_sec`, `env.NAME` or `commands[0]`; `place` is
    the `file:line` that says it, None for a default of zf's own.
    """

    key: str
    value: Any
    place: str | None


def parts(root: str, task: Task) -> Iterator[Part]:
    """Everything that the task says, in the order of the reference."""
    said = recorded(task)
    defaults = {name: key.default for name, key in with_defaults(ONE_TASK).items()}
    places = {**_own_places(root, task), **task.origins}
    for key in ONE_TASK:
        if key not in _NOT_SHOWN:
            value = _as_written(key, said.get(key, defaults[key]), said)
            if isinstance(value, Mapping) and (key in MERGED or not value):
                yield from _entries(key, value, places)
            elif key in {"commands", "cleanup"} and value:
                for index, step in enumerate(value):
                    shown = {name: one for name, one in step.items() if name != "line"}
                    yield Part(f"{key}[{index}]", shown, places.get(key))
            elif isinstance(value, Sequence) and f"{key}[0]" in places:
                for index, one in enumerate(value):
                    place = places.get(f"{key}[{index}]") or places.get(key)
                    yield Part(f"{key}[{index}]", one, place)
            else:
                yield Part(key, value, places.get(key))
    if "shell" in places:
        shells = [step.get("shell") for step in said["commands"]]
        yield Part("shell", next(filter(None, shells), "bash"), places["shell"])


def _as_written(key: str, value: Any, said: Mapping[str, Any]) -> Any:
    """The value of a key as a file would say it: a task keeps some of them in several fields."""
    match key:
        case "needs":
            return [_short_need(need) for need in value]
        case "env":
            return {**value, **{n: {"from": one} for n, one in said.get("env_from", {}).items()}}
        case "artifacts":
            required = said["required_artifacts"]
            return [{"path": one, "required": True} if one in required else one for one in value]
        case "allow_failure" | "retry_on" if isinstance(value, Sequence):
            are_codes = all(isinstance(one, int) for one in value)
            return {"exit_codes": [*value]} if are_codes else [*value]
        case "concurrency" if "on_newer" in said:
            return {"group": value, "on_newer": said["on_newer"]}
        case "matrix" if "matrix_from" in said:
            more = {"max_parallel": "max_parallel", "fail_fast": "matrix_fail_fast"}
            return said["matrix_from"] | {k: said[name] for k, name in more.items() if name in said}
        case "cache":
            parts = {"env": "cache_env", "tools": "cache_tools", "check": "generates_check"}
            held = {part: said[name] for part, name in parts.items() if said.get(name)}
            return {part: _plain(one) for part, one in held.items()} or value
    return _plain(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short_need(need: Mapping[str, Any]) -> Any:
    """A need as it would be written."""
    said = {key: one for key, one in need.items() if one not in {False, "success", ""}}
    return need["task"] if said.keys() == {"task"} else said


def _entries(key: str, value: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[Part]:
    if not value:
        yield Part(key, {}, places.get(key))
    for name, one in value.items():
        yield Part(f"{key}.{name}", one, places.get(f"{key}.{name}") or places.get(key))


def _own_places(root: str, task: Task) -> dict[str, str]:
    """Where the task's own place says what it says."""
    found = written.read(f"{root}/{task.file}", task.file)
    if found is None or found.root is None:  # gone since it was read
        return {}
    alone = os.path.basename(task.file) == TASK_FILE
    node = found.document.node_at(() if alone else ("tasks", task.base or task.id))
    if not isinstance(node, MappingNode):
        return {"commands": _place(task, node)}
    places: dict[str, str] = {}
    for key, value in node.value:
        name = key.value.removesuffix("+")
        places["commands" if name == "run" else name] = _place(task, key)
        if name in MERGED and isinstance(value, MappingNode):
            places |= {f"{name}.{inner.value}": _place(task, inner) for inner, _ in value.value}
    return places


def _place(task: Task, node: Node) -> str:
    return f"{task.file}:{node.start_mark.line + 1}"


def as_json(root: str, task: Task) -> dict[str, Any]:
    """The same for programs."""
    return {
        "id": task.id,
        "file": task.file,
        "line": task.line,
        "parts": [
            {"key": part.key, "value": part.value, "place": part.place}
            for part in parts(root, task)
        ],
    }


def text(root: str, task: Task) -> str:
    """The same for people: what is said somewhere first, then what zf has by default."""
    rows = [(part.key, _shown(part.value), part.place or "") for part in parts(root, task)]
    said, silent = [row for row in rows if row[2]], [row for row in rows if not row[2]]
    widths = [max((len(row[column]) for row in said), default=0) for column in (0, 1)]
    lines = [f"{task.id}  {printable(task.file)}:{task.line}"]
    lines += [f"  {k:{widths[0]}}  {v:{widths[1]}}  {printable(p)}" for k, v, p in said]
    lines.append("  by default:")
    width = max((len(row[0]) for row in silent), default=0)
    lines += [f"    {key:{width}}  {value}".rstrip() for key, value, _ in silent]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, dict) and "run" in value and value.keys() <= {"name", "run"}:
        value = value["run"]  # of a step, as its name can be made up
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = printable(shown.rstrip("\n"))
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[: _SHOWN_CHARS - 3]}..."
