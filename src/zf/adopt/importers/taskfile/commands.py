"""The commands of a task in a Taskfile -> steps, and its dependencies and calls -> needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Protocol

from zf.adopt.importers.model import Import, Job, Step, reaches
from zf.adopt.importers.reading import Map, as_list, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.taskfile.files import Task
from zf.adopt.importers.taskfile.keys import is_here, long
from zf.adopt.importers.taskfile.values import Scope, items, script, text

_MOST_STEPS = 300
_MOST_DEPTH = 8


class Around(Protocol):
    """What commands have to know of the tasks around them."""

    source: Import
    tasks: dict[str, Task]

    @property
    def needs(self) -> Mapping[str, list[str]]:
        """What each task names as its `deps`."""

    def called(self, name: str, task: Task) -> str:
        """The whole name of a task that another names."""

    def call(self, name: str, given: Mapping[str, Any], around: Scope) -> str:
        """The name of the task which is that one with these variables."""

    def scope(self, task: Task, given: Mapping[str, Any]) -> Scope:
        """What templates of a task mean."""

    def workdir(self, job: Job, task: Task, said: Map, scope: Scope) -> None:
        """Set where a task runs."""


class Commands:
    """Writes what one task does."""

    def __init__(
        self, around: Around, job: Job, task: Task, said: Map, scope: Scope, depth: int = 0
    ) -> None:
        self._around, self._job, self._task, self._said = around, job, task, said
        self._scope, self._depth = scope, depth
        self._source = around.source

    def dependencies(self) -> None:
        """What runs before, side by side."""
        for one in as_list(self._said.get("deps")):
            for said, scope in self._each(one):
                name = as_text(said.get("task") if isinstance(said, Map) else said)
                if name:
                    self._dependency(name, as_map(as_map(said).get("vars")), scope)

    def _dependency(self, name: str, given: Map, scope: Scope) -> None:
        try:
            whole = self._around.called(text(name, scope), self._task)
            self._job.need(self._around.call(whole, given, scope))
        except Unsayable as error:
            remedy = f"write the task that it means, and need that ({error})"
            self._source.manual(f"deps {name}", remedy, job=self._job)
            return
        self._source.exact(f"deps {name}", job=self._job)

    def write(self) -> None:
        """Its commands, one step each."""
        if not is_here(self._said.get("platforms")):
            why = f"the task is for {', '.join(map(str, as_list(self._said['platforms'])))}"
            self._source.dropped("platforms", why, job=self._job)
            return
        before = len(self._job.steps)
        listed = as_list(self._said.get("cmds")) + as_list(self._said.get("cmd"))
        rest = self._leading(listed) if self._depth == 0 else listed
        for one in rest:
            for said, scope in self._each(one):
                self._one(said, scope)
        if self._said.get("ignore_error") is True:
            for step in self._job.steps[before:]:
                if step.name != "By hand":
                    step.keys["continue_on_error"] = True
            self._source.exact("ignore_error", job=self._job)
        if "status" in self._said:
            self._status(before)

    def _leading(self, listed: list[Any]) -> list[Any]:
        """What is left of the commands when calls that come first, and of which the order is sure,
        have become needs.
        """
        if "status" in self._said:
            return listed
        needs = self._around.needs
        done = [need.name for need in self._job.needs]
        while listed and (name := self._plain_call(listed[0])) is not None:
            is_after = all(one == name or reaches(needs, name, one) for one in done)
            if not is_after or name == self._job.name or reaches(needs, name, self._job.name):
                break
            if self._is_called_back(name):
                break
            self._job.need(name)
            what = f"a need: in one run `{name}` runs once, however many call it"
            self._source.changed(f"call of {name}", what, job=self._job)
            done.append(name)
            listed = listed[1:]
        return listed

    def _is_called_back(self, name: str) -> bool:
        """Whether a task calls this one in turn, in whatever way."""
        seen, left = set(), [name]
        while left:
            task = self._around.tasks.get(left.pop())
            if task is None or task.name in seen:
                continue
            seen.add(task.name)
            said = long(task.said)
            for one in [*as_list(said.get("cmds")), *as_list(said.get("deps"))]:
                inner = as_text(one.get("task")) if isinstance(one, Map) else as_text(one)
                if inner and "\n" not in inner:
                    left.append(self._around.called(inner, task))
        return self._job.name in seen

    def _plain_call(self, said: Any) -> str | None:
        """The task that a command calls, if that is all it says."""
        if not isinstance(said, Map) or not {*said} <= {"task", "silent"}:
            return None
        name = as_text(said.get("task")) or ""
        whole = self._around.called(name, self._task)
        return whole if whole in self._around.tasks and "{{" not in name else None

    def _each(self, said: Any) -> Iterator[tuple[Any, Scope]]:
        """What a `for` stands for, each with its variables; anything else as it is."""
        if not isinstance(said, Map) or "for" not in said:
            yield said, self._scope
            return
        over = said["for"]
        name = as_text(as_map(over).get("as")) or "ITEM"
        try:
            listed = self._items(over)
        except Unsayable as error:
            remedy = f"write the commands that it stands for ({error})"
            self._source.manual(f"for: {over}", remedy, line=said.line, job=self._job)
            return
        what = "written out"
        self._source.changed(f"for: {over}", what, line=said.line, job=self._job)
        for one in listed[:_MOST_STEPS]:
            if isinstance(one, str):
                yield said, Scope({}, self._scope.ask, self._scope, {name: ("literal", one)})
            else:
                yield _filled(said, name, one), self._scope

    def _items(self, over: Any) -> list[Any]:
        """What a `for` goes through. Raises Unsayable."""
        if isinstance(over, list):
            return [*items(over, self._scope)]
        if isinstance(over, Map) and "var" in over:
            found = self._scope.find(as_text(over["var"]) or "")
            if found is None:
                raise Unsayable(f"{over['var']} is not set")
            value, inside = found
            if isinstance(value, Map):
                raise Unsayable(f"{over['var']} is known when Task runs")
            split = as_text(over.get("split"))
            if split and isinstance(value, str):
                return [part for part in text(value, inside).split(split) if part]
            return [*items(value, inside)]
        if isinstance(over, Map) and isinstance(over.get("matrix"), Map):
            axes = {key: items(value, self._scope) for key, value in over["matrix"].items()}
            return [dict(zip(axes, one, strict=True)) for one in product(*axes.values())]
        raise Unsayable(str(over))

    def _one(self, said: Any, scope: Scope) -> None:
        """One command."""
        if len(self._job.steps) > _MOST_STEPS:
            return
        if not isinstance(said, Map):
            if command := as_text(said):
                self._step(command, scope, self._job.steps, {})
            return
        if not is_here(said.get("platforms")):
            why = f"it is for {', '.join(map(str, as_list(said['platforms'])))}"
            self._source.dropped(str(said.get("cmd")), why, line=said.line, job=self._job)
        elif "if" in said:
            remedy = "write it as a step with an `if`, or with the test in its script"
            self._source.manual(f"if: {said['if']}", remedy, line=said.line, job=self._job)
        elif "defer" in said:
            self._defer(said["defer"], said, scope)
        elif "task" in said:
            self._inline(said, scope, self._job)
        elif "cmd" in said:
            keys = {"continue_on_error": True} if said.get("ignore_error") is True else {}
            self._step(as_text(said["cmd"]) or "", scope, self._job.steps, keys)

    def _step(self, command: str, scope: Scope, steps: list[Step], keys: dict[str, Any]) -> None:
        if not command.strip():
            return
        env = self._job.keys.setdefault("env", {})
        try:
            steps.append(Step(script(command, scope, env), keys=keys))
        except Unsayable as error:
            remedy = f"write it as a step without templates ({error})"
            self._source.manual(command, remedy, job=self._job)

    def _defer(self, said: Any, around: Map, scope: Scope) -> None:
        """What runs at the end, the last first."""
        construct = f"defer: {said}"
        if isinstance(said, Map) and "task" in said:
            inner = Job(self._job.name, self._job.line, self._job.file)
            self._inline(said, scope, inner)
            self._job.cleanup[:0] = inner.steps
            self._job.needs += inner.needs
        elif command := as_text(said.get("cmd") if isinstance(said, Map) else said):
            steps: list[Step] = []
            self._step(command, scope, steps, {})
            self._job.cleanup[:0] = steps
        self._source.exact(construct, line=around.line, job=self._job)

    def _inline(self, said: Map, scope: Scope, into: Job) -> None:
        """The commands of a task that is called between others stand where it is called."""
        name = as_text(said.get("task")) or ""
        try:
            whole = self._around.called(text(name, scope), self._task)
            task = self._called(whole)
            given = {
                key: text(as_text(value) or "", scope)
                for key, value in as_map(said.get("vars")).items()
            }
        except Unsayable as error:
            remedy = f"write what it does as steps ({error})"
            self._source.manual(f"task: {name}", remedy, line=said.line, job=into)
            return
        inner = Job(self._job.name, task.line, task.file.file)
        form = long(task.said)
        inside = self._around.scope(task, given)
        self._around.workdir(inner, task, form, inside)
        commands = Commands(self._around, inner, task, form, inside, self._depth + 1)
        commands.dependencies()
        commands.write()
        _take_over(inner, into)
        what = "its commands stand here: between others a task cannot be a need"
        self._source.changed(f"call of {whole}", what, line=said.line, job=into)

    def _called(self, whole: str) -> Task:
        """The task of this name. Raises Unsayable."""
        task = self._around.tasks.get(whole)
        if task is None:
            raise Unsayable(f"there is no task {whole}")
        if self._depth >= _MOST_DEPTH:
            raise Unsayable(f"{whole} calls itself")
        return task

    def _status(self, before: int) -> None:
        """Commands that say whether there is anything to do: one script asks them first."""
        env = self._job.keys.setdefault("env", {})
        line = self._said.line_of("status")
        try:
            tests = [
                script(as_text(one) or "", self._scope, env)
                for one in as_list(self._said["status"])
            ]
        except Unsayable as error:
            remedy = f"write as a step when there is nothing to do ({error})"
            self._source.manual("status", remedy, line=line, job=self._job)
            return
        steps = self._job.steps[before:]
        if any(step.keys or step.name for step in steps) or not steps or not tests:
            what = "it runs each time: a step alone cannot say that a task has nothing to do"
            self._source.changed("status", what, line=line, job=self._job)
            return
        asked = " && ".join(f"({one.strip()})" for one in tests)
        lines = [f"if {asked}; then exit 0; fi", *(step.run.rstrip("\n") for step in steps)]
        self._job.steps[before:] = [Step("\n".join(lines) + "\n", keys={"shell": "bash"})]
        what = "one script, which asks first: it ends at the first command that fails"
        self._source.changed("status", what, line=line, job=self._job)


def _filled(said: Map, name: str, values: Mapping[str, str]) -> Any:
    """A command with the values of a `for` over a matrix in it."""
    found = Map(said.line)
    for key, value in said.items():
        put = value
        for axis, one in values.items():
            if isinstance(put, str):
                put = put.replace(f"{{{{.{name}.{axis}}}}}", one)
        if key != "for":
            found[key] = put
    return found


def _take_over(inner: Job, into: Job) -> None:
    """Put what one task does into another."""
    env = inner.keys.get("env", {})
    workdir = inner.keys.get("workdir")
    for step in [*inner.steps, *inner.cleanup]:
        if env:
            used = {name: value for name, value in env.items() if name in step.run}
            if used:
                step.keys["env"] = {**used, **step.keys.get("env", {})}
        if workdir and workdir != into.keys.get("workdir"):
            step.keys.setdefault("workdir", workdir)
    into.steps += inner.steps
    into.cleanup[:0] = inner.cleanup
    into.comments += inner.comments
    for need in inner.needs:
        into.need(need.name)
