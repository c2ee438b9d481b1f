"""One more task in a project: where it belongs, and the text of that file with it in its place.

What is in the file stays as it is, byte for byte; the result is read again and compared before it
counts.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from yaml.nodes import CollectionNode, MappingNode, Node

from zf.adopt.checking import problems_with, refuse_problems, write_new, write_over
from zf.adopt.writing import flow, project_text, shortest
from zf.errors import ZfError
from zf.lean.records import Struct
from zf.plan.places import PROJECT_FILE, TASK_FILE, tasks_folder
from zf.plan.yaml import source
from zf.plan.yaml.source import Source
from zf.plan.yaml.yaml12 import KEY, Document, read

if TYPE_CHECKING:
    from zf.model import Flow

_LINE_BREAK = re.compile("\r\n|\n|\r")


class Added(Struct, frozen=True):
    """A file with the task in it: its path from the root, its text, the lines that are new and the
    number of the first; `is_new` if there was no such file.
    """

    file: str
    text: str
    lines: tuple[str, ...]
    line: int
    is_new: bool


def added(project: Flow, name: str, keys: Mapping[str, Any]) -> Added:
    """Add the task to the project; the file that it is in now.

    Raises ZfError (exit 2), and nothing is written, if the project would not be valid with it.
    """
    tasks = os.path.relpath(tasks_folder(project.root), project.root)
    file = place_of(project, name, tasks)
    path = f"{project.root}/{file}"
    if file == PROJECT_FILE:
        found = source.read(path, file)
        text = found.text if isinstance(found, Source) else ""
        made = inserted(file, text, name, keys)
    else:
        made = new_file(file, name, keys)
    found_wrong = problems_with(project.root, {file: made.text})
    refuse_problems(found_wrong, "the project would not be valid with this task")
    if made.is_new:
        write_new(path, made.text)
    else:
        write_over(path, made.text)
    return made


def place_of(flow_: Flow, name: str, tasks: str) -> str:
    """The file that a new task of this project belongs to: most of its tasks decide. `tasks` is
    the folder that task files are in.
    """
    kinds = Counter(_kind(task.file) for task in flow_.tasks.values())
    kind = kinds.most_common(1)[0][0] if kinds else PROJECT_FILE
    return {
        PROJECT_FILE: PROJECT_FILE,
        TASK_FILE: f"{tasks}/{name}/{TASK_FILE}",
        "": f"{tasks}/{name}.yaml",
    }[kind]


def _kind(file: str) -> str:
    name = file.rpartition("/")[2]
    return name if name in {PROJECT_FILE, TASK_FILE} else ""


def new_file(file: str, name: str, keys: Mapping[str, Any]) -> Added:
    """A file of the task alone."""
    document = {"id": name, **keys} if _kind(file) == TASK_FILE else _of_tasks(name, keys)
    text = project_text(document)
    return Added(file, text, tuple(text.splitlines()), 1, is_new=True)


def _of_tasks(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {"tasks": {name: shortest(keys)}}


def inserted(file: str, text: str, name: str, keys: Mapping[str, Any]) -> Added:
    """The text with the task as the last one below `tasks:`.

    Raises ZfError (exit 2) with the lines to add by hand where that cannot be done.
    """
    before = read(Source(file, text))
    for at, new in _places(text, before, name, keys):
        whole = text[:at] + new + text[at:]
        if _is_added(before, read(Source(file, whole)), name, keys):
            before_it = text[:at] + new[: len(new) - len(new.lstrip("\r\n"))]
            line = len(_LINE_BREAK.findall(before_it)) + 1
            lines = project_text(_of_tasks(name, keys)).splitlines()[1:]
            return Added(file, whole, tuple(lines), line, is_new=False)
    by_hand = project_text(_of_tasks(name, keys)).rstrip()
    raise ZfError(f"{file} is written so that a task cannot be put into it", hint=f"add {by_hand}")


def _is_added(before: Document, after: Document, name: str, keys: Mapping[str, Any]) -> bool:
    """Whether the file says what it said, and the new task besides."""
    if after.problems or not isinstance(after.value, dict):
        return False
    said = dict(before.value or {})
    said["tasks"] = {**(said.get("tasks") or {}), name: shortest(keys)}
    return bool(after.value == said)


def _places(
    text: str, document: Document, name: str, keys: Mapping[str, Any]
) -> list[tuple[int, str]]:
    """Where the task could stand, best first, each with what has to be put there."""
    offsets = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]
    newline = "\r\n" if "\r\n" in text else "\n"

    def at(mark: Any) -> int:
        return int(offsets[mark.line] + mark.column)

    def entry(indent: int, *, apart: bool) -> str:
        lines = project_text(_of_tasks(name, keys)).splitlines()[1:]
        moved = [" " * indent + line[2:] if line else "" for line in lines]
        return "".join(f"{newline}{line}" for line in ([""] * apart + moved))

    tasks = document.node_at(("tasks",)) if document.root is not None else None
    if tasks is None or tasks is document.root:
        start = "" if not text or text.endswith(("\n", "\r")) else newline
        return [(len(text), f"{start}tasks:{entry(2, apart=False)}{newline}")]
    if not isinstance(tasks, MappingNode):
        end = at(document.node_at(("tasks", KEY)).end_mark) + 1
        return [(end, entry(2, apart=False))]
    if tasks.flow_style:
        short = f"{name}: {flow(shortest(keys))}"
        if not tasks.value:
            return [(at(tasks.start_mark) + 1, short)]
        return [(at(tasks.value[-1][1].end_mark), f", {short}")]
    indent = tasks.value[0][0].start_mark.column
    is_long = len(entry(indent, apart=False).splitlines()) > 2
    end = len(text[: at(_last(tasks).end_mark)].rstrip())
    # What stands behind it on its line is a comment.
    end += len(_LINE_BREAK.split(text[end:])[0])
    first = at(tasks.value[0][0].start_mark)
    above = f"{entry(indent, apart=False).lstrip()}{newline}{' ' * indent}"
    return [(end, entry(indent, apart=is_long or _are_apart(text, tasks))), (first, above)]


def _last(block: Node) -> Node:
    """What ends a block: its own end is where the next thing begins, comments passed over."""
    node = block
    while isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, MappingNode) else last
    return node


def _are_apart(text: str, tasks: MappingNode) -> bool:
    """Whether there is an empty line between the last two tasks."""
    if len(tasks.value) < 2:
        return False
    lines = _LINE_BREAK.split(text)[: tasks.value[-1][0].start_mark.line]
    while lines[-1].lstrip().startswith("#"):
        lines.pop()
    return not lines[-1].strip()
