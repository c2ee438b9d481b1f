"""What a project's tasks share: defaults and templates, found by their names, and laid under what
each task says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zf.plan.files.forms import ADDING
from zf.plan.files.place import Loc, Place, Said
from zf.plan.files.reading import Project, SharedFile, TaskSaid
from zf.plan.places import PROJECT_FILE
from zf.plan.resolve import layers, short
from zf.plan.resolve.layers import NOTHING_SAID, Layer, Resolved
from zf.plan.schema import TASK
from zf.plan.suggest import nearest
from zf.plan.yaml.yaml12 import KEY

if TYPE_CHECKING:
    from yaml.nodes import Node

    from zf.errors import Problem
    from zf.plan.files.written import Written

# Keys that say the same as another.
_TWICE = {"run": "commands", **{f"{name}+": name for name in ADDING}}
# Of templates in a hint.
_MOST_NAMES = 10
# A layer for many tasks, and where its values stand.
_Shared = tuple[Layer, dict[Loc, Said]]


class Sharing:
    """Defaults and templates of a project. `problems` are what is wrong with them."""

    def __init__(self, project: Project) -> None:
        self.problems: list[Problem] = []
        # By name; None for one that is there and bad, which is told elsewhere.
        self._templates: dict[str, _Shared | None] = {}
        self._first: dict[str, SharedFile] = {}
        # By the file they are for.
        self._defaults: dict[str, _Shared] = {}
        self._below: dict[tuple[str, tuple[str, ...]], Resolved] = {}
        self._written = {file.written.path: file.written for file in project.files}
        self._bad = False
        self._shell = _shell_of(project)
        for file in project.files:
            self._take_in(file)
        # Whether there is nothing that tasks take over without a word.
        self._silent = not (self._defaults or self._shell)

    def _take_in(self, file: SharedFile) -> None:
        name = file.written.file
        self._bad |= ("defaults",) in file.errors or ("templates",) in file.errors
        if "defaults" in file.written.value and (part := file.part("defaults")):
            self._defaults[name] = self._shared(file, part)
        for template in file.written.mapping("templates"):
            if template in self._first:
                self.problems.append(_again(template, self._first[template], file))
                continue
            self._first[template] = file
            part = file.part("templates", template)
            self._templates[template] = part and self._shared(file, part)

    def _shared(self, file: SharedFile, part: tuple[Place, Any, Node]) -> _Shared:
        place, said, node = part
        self.problems += contradictions(file.written, place, said)
        of = short.layer(place, said, node)
        return of, short.shared(of, node)

    def resolved(self, task: TaskSaid, problems: list[Problem]) -> Resolved | None:
        """All that a task says. None where it cannot be had, or the task has `problems`, to which
        those that show here are added.
        """
        said, node = task.said, task.node
        if node is not None and said.__class__ is dict and self._silent and not problems:
            whole = short.plain(said, node)
            if whole is not None:
                return whole
        if node is None or (problems and not isinstance(said, dict)):
            return None
        uses = said.get("use", ()) if isinstance(said, dict) else ()
        listed = uses if isinstance(uses, list) else [uses] if isinstance(uses, str) else []
        names = tuple(name for name in listed if isinstance(name, str))
        unknown = list(self._unknown(task, listed))
        problems += unknown
        problems += contradictions(task.written, task.place, said)
        if unknown or any(self._templates[name] is None for name in names):
            return None
        silent = self._silent and not names
        below = NOTHING_SAID if silent else self._below_of(task.place.file, names)
        if isinstance(said, dict) and not _has_steps(said) and "commands" not in below.form:
            problems += [] if self._bad else _without_steps(task, said)
            return None
        if problems:
            return None
        own = short.layer(task.place, said, node)
        return layers.alone(own) if silent else layers.laid_over(below, own)

    def written(self, task: TaskSaid, place: Place) -> Written:
        """The file of what a task says in that place: its own, or one of those with templates."""
        return task.written if place.path == task.place.path else self._written[place.path]

    def _below_of(self, file: str, names: tuple[str, ...]) -> Resolved:
        """What tasks of this file that use these templates say together."""
        known = (file if file in self._defaults else PROJECT_FILE, names)
        if known not in self._below:
            shared = [self._shell]
            shared += [self._defaults.get(at) for at in dict.fromkeys((PROJECT_FILE, known[0]))]
            shared += [self._templates[name] for name in names]
            below = NOTHING_SAID
            for one in shared:
                if one is not None:
                    below = layers.laid_over(below, *one)
            self._below[known] = below
        return self._below[known]

    def _unknown(self, task: TaskSaid, listed: list[Any]) -> Iterator[Problem]:
        for index, name in enumerate(listed):
            if isinstance(name, str) and name not in self._templates:
                at: Loc = ("use",) if isinstance(task.said["use"], str) else ("use", index)
                guess = nearest(name, self._templates)
                hint = f"did you mean '{guess}'?" if guess else self._known_templates()
                message = f"unknown template '{name}'"
                yield task.written.problem((*task.place.loc, *at), "ZF243", message, hint)

    def _known_templates(self) -> str:
        names = sorted(self._templates)
        if not names:
            return "write it in zf.yaml, below `templates:`"
        return f"known templates: {', '.join(names[:_MOST_NAMES])}"


def _has_steps(said: Mapping[str, Any]) -> bool:
    return "commands" in said or "run" in said


def _shell_of(project: Project) -> _Shared | None:
    """What zf.yaml says of the shell of all steps, as the lowest layer of all."""
    if project.file is None or "shell" not in project.said:
        return None
    place = Place(project.file.path, project.file.file)
    line = short.line(project.file.document.node_at(("shell", KEY)))
    layer = Layer(place, {"shell": project.said["shell"]}, {})
    return layer, {("shell",): Said(place, ("shell",), line)}


def contradictions(written: Written, place: Place, said: Any) -> list[Problem]:
    """Keys that say the same thing twice."""
    if not isinstance(said, dict) or _TWICE.keys().isdisjoint(said):
        return []
    return [
        written.problem(
            (*place.loc, key, KEY),
            "ZF241",
            f"'{key}' and '{other}' stand in one place",
            f"put all in '{other}'",
        )
        for key, other in _TWICE.items()
        if key in said and other in said
    ]


def _without_steps(task: TaskSaid, said: Iterable[str]) -> list[Problem]:
    """That the task does nothing; unless it says what to do in another system's words, of which it
    is told already.
    """
    from zf.plan.yaml.elsewhere import stands_for  # noqa: PLC0415 - of a bad file

    if any(stands_for(word, TASK, key) for word in said for key in ("run", "commands")):
        return []
    source, node = task.written.source, task.node
    assert source is not None
    assert node is not None
    message, hint = f"the {task.title} lacks the key 'commands'", "add `run: make test`"
    return [source.problem("ZF221", message, node.start_mark, hint=hint)]


def _again(name: str, first: SharedFile, second: SharedFile) -> Problem:
    at: Loc = ("templates", name, KEY)
    node = first.written.document.node_at(at)
    where = f"{first.written.file}:{short.line(node)}"
    hint = f"the first is in {where}: rename one"
    return second.written.problem(at, "ZF242", f"template '{name}' is in two files", hint)
