"""What an expression means: which of the tasks it selects. Pure; runs and git are asked outside.

Each filter looks at every task once, and `+` at every need once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

from zf.errors import Problem, ZfError
from zf.lean.records import Struct
from zf.model import Task
from zf.plan.select.expression import (
    Around,
    Both,
    Either,
    Filter,
    Node,
    Not,
    SelectError,
    parse,
)
from zf.plan.topology import reachable

_WILD = frozenset("*?[")


class Asked(Protocol):
    """What a filter is answered by that no task file says. Raises ZfError."""

    def failed(self, run: str) -> Collection[str]:
        """The tasks that did not succeed in a run."""
        ...

    def changed(self, since: str) -> Collection[str]:
        """The tasks of which something changed since a commit; what needs them is added."""
        ...


class Selection(Struct, frozen=True):
    """An expression and where it was typed, such as `--only`."""

    text: str
    source: str
    tree: Node

    def of(self, tasks: Mapping[str, Task], asked: Asked) -> set[str]:
        """The tasks it selects among these.

        Raises ZfError (exit 2) for a name without wildcards that none of them has.
        """
        try:
            return _Selecting(tasks, asked).of(self.tree)
        except SelectError as error:
            raise _told(self.text, self.source, error, "ZF114") from None


def selection(text: str, source: str) -> Selection:
    """What was typed for an option. Raises ZfError (exit 2) with the place in it."""
    try:
        return Selection(text, source, parse(text))
    except SelectError as error:
        raise _told(text, source, error, "ZF113") from None


def _told(text: str, source: str, error: SelectError, code: str) -> ZfError:
    at, length = error.at + 1, error.length
    problem = Problem(code, str(error), source, 1, at, length, text, error.hint)
    return ZfError(str(error), problems=(problem,))


class _Selecting:
    """One expression at work on some tasks."""

    def __init__(self, tasks: Mapping[str, Task], asked: Asked) -> None:
        self._tasks = tasks
        self._asked = asked
        self._dependents: dict[str, list[str]] | None = None

    def of(self, tree: Node) -> set[str]:
        match tree:
            case Filter():
                return self._filter(tree)
            case Not(of):
                return self._tasks.keys() - self.of(of)
            case Both(parts):
                return set.intersection(*map(self.of, parts))
            case Either(parts):
                return set.union(*map(self.of, parts))
            case Around(of, above, below):
                inner = self.of(of)
                found = set(inner)
                if above:
                    found |= reachable(inner, self._needs)
                if below:
                    found |= self._below(inner)
                return found

    def _filter(self, one: Filter) -> set[str]:
        match one.name:
            case "all":
                return set(self._tasks)
            case "none":
                return set()
            case "failed":
                return self._tasks.keys() & self._asked.failed(one.argument)
            case "changed":
                changed = self._asked.changed(one.argument)
                return self._below(self._tasks.keys() & changed)
            case "file":
                return self._files(one)
        found = {task.id for task in self._tasks.values() if _matches(one, _names(one, task))}
        if not found and not _WILD & {*one.argument}:
            self._refuse_unknown(one)
        return found

    def _files(self, one: Filter) -> set[str]:
        try:
            spec = git_globs([one.argument])
        except ValueError:
            raise SelectError("this is no glob", one.at, length=one.length) from None
        return {task.id for task in self._tasks.values() if spec.match_file(task.file)}

    def _refuse_unknown(self, one: Filter) -> None:
        from zf.plan.suggest import nearest  # noqa: PLC0415 - of a wrong name

        known = {name for task in self._tasks.values() for name in _names(one, task)}
        what = {"id": "task", "phase": "phase", "tag": "tag"}[one.name]
        guess = nearest(one.argument, known)
        hint = f"did you mean '{guess}'?" if guess else None
        if one.name == "id" and any(task.phase == one.argument for task in self._tasks.values()):
            hint = f"it is a phase: write phase({one.argument})"
        message = f"no task is called '{one.argument}'"
        if what != "task":
            message = f"no task has the {what} '{one.argument}'"
        raise SelectError(message, one.at, length=one.length, hint=hint)

    def _needs(self, name: str) -> Iterable[str]:
        return (need.task for need in self._tasks[name].needs if need.task in self._tasks)

    def _below(self, names: Iterable[str]) -> set[str]:
        if self._dependents is None:
            self._dependents = {name: [] for name in self._tasks}
            for name in self._tasks:
                for need in self._needs(name):
                    self._dependents[need].append(name)
        return reachable(names, self._dependents.__getitem__)


def _names(one: Filter, task: Task) -> Collection[str]:
    match one.name:
        case "id":
            return (task.id, task.base) if task.base else (task.id,)
        case "phase":
            return (task.phase,)
        case _:
            return task.tags


def _matches(one: Filter, names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, one.argument) for name in names)


def git_globs(patterns: Iterable[str]) -> Any:
    """Paths that match these, as in a .gitignore; a folder stands for all in it."""
    from pathspec import PathSpec  # noqa: PLC0415 - few runs ask

    return PathSpec.from_lines("gitignore", patterns)
