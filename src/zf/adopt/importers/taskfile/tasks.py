"""The tasks of a Taskfile -> tasks of zf."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from zf.adopt.importers.inputs import ask, variable_of
from zf.adopt.importers.model import Import, Job, Origin
from zf.adopt.importers.names import as_id, is_variable
from zf.adopt.importers.reading import Map, as_list, as_map, as_text
from zf.adopt.importers.scripts import Meant, Unsayable
from zf.adopt.importers.taskfile import files, keys
from zf.adopt.importers.taskfile.commands import Commands
from zf.adopt.importers.taskfile.files import NAMES, File, Task
from zf.adopt.importers.taskfile.values import Scope, of_env, text
from zf.model import RESERVED_ENV

__all__ = ["NAMES", "read"]

# What Task is told of itself, at the top of a file.
_OF_TASK = {"version", "output", "method", "interval", "silent", "run", "includes", "tasks"}
_MOST_CALLS = 500


def read(origin: Origin) -> Import:
    """What the tasks of a Taskfile come to."""
    source = Import("task", origin.file, inherits=True)
    source.defaults["parallel_safe"] = True
    source.project["shell"] = ["bash", "-c"]
    return Importer(source, files.read(origin, source), origin).result()


class Importer:
    """Makes tasks, and further ones for calls that give variables."""

    def __init__(self, source: Import, tasks: list[Task], origin: Origin) -> None:
        self.source, self.origin = source, origin
        self.tasks = {task.name: task for task in tasks}
        self.made: set[str] = set()
        self._calls: dict[tuple[str, str], str] = {}
        self._told: set[int] = set()

    def result(self) -> Import:
        for task in [*self.tasks.values()]:
            self.file(task.file)
            self.job(task, task.name, {})
        self._aliases()
        self.source.usual = ["default"] if "default" in self.tasks else []
        return self.source

    def file(self, file: File) -> None:
        """Say what becomes of what a file says beside its tasks."""
        if id(file) in self._told:
            return
        self._told.add(id(file))
        source = self.source
        for key in file.said:
            line = file.said.line_of(key)
            if key in {"version", "tasks", "includes"}:
                continue
            if key in {"set", "shopt"}:
                words = [as_text(one) or "" for one in as_list(file.said[key])]
                source.project["shell"] = ["bash", *keys.flags(key, words), "-c"]
                source.exact(f"{key}: {', '.join(words)}", line=line, job=None)
            elif key == "dotenv":
                what = "zf reads no .env: load it before, as in `set -a; . ./.env; set +a; zf run`"
                source.changed(f"{key}: {file.said[key]}", what, line=line, job=None)
            elif key in _OF_TASK:
                source.dropped(key, "it is about Task itself", line=line, job=None)
            elif key in {"vars", "env"}:
                for name in as_map(file.said[key]):
                    what = "where it is used: a variable of `env`, or the value itself"
                    source.changed(f"{key}: {name}", what, line=line, job=None)
            else:
                what = "zf import does not know it"
                job = Job(f"file-{as_id(key)}", line)
                source.jobs.append(job)
                source.manual(f"{key}: {file.said[key]}", f"{what}: do what it says", job=job)

    def scope(self, task: Task, given: Mapping[str, Any]) -> Scope:
        """What templates of a task mean: its own variables hide what it is given, and those hide
        the files'.
        """
        around = self._file_scope(task.file, task.name)
        fixed = self._fixed(task)
        outer = Scope(dict(given), around.ask, around, fixed)
        own = dict(as_map(as_map(task.said).get("vars")))
        return Scope(own, around.ask, outer, fixed) if own else outer

    def _file_scope(self, file: File, owner: str) -> Scope:
        def asked(name: str, default: str) -> str:
            made = ask(self.source, name, default, owner)
            self.source.changed(
                f"{{{{.{name}}}}}", f"an input: `-i {made}=VALUE`", job=self._at(owner)
            )
            return variable_of(made)

        outer = self._file_scope(file.around, owner) if file.around else None
        own = {**as_map(file.said.get("env")), **as_map(file.said.get("vars")), **file.given}
        return Scope(own, asked, outer)

    def _at(self, owner: str) -> Job:
        task = self.tasks[owner]
        return Job(owner, task.line, task.file.file)

    def _fixed(self, task: Task) -> dict[str, Meant]:
        folder = os.path.normpath(os.path.join(self.origin.workdir, task.file.place))
        return {
            "TASK": ("literal", task.name),
            "ALIAS": ("literal", task.name),
            "CLI_ARGS": ("words", "@"),
            "CLI_ARGS_LIST": None,
            "ROOT_DIR": ("variable", "ZENFLOW_ROOT"),
            "TASKFILE_DIR": ("variable", "ZENFLOW_ROOT") if folder == "." else None,
        }

    def job(self, task: Task, name: str, given: Mapping[str, Any]) -> Job:
        """The task, or a call of it that gives it variables; it is added to the import."""
        job = Job(name, task.line, task.file.file)
        self.source.jobs.append(job)
        self.made.add(name)
        if "*" in task.name:
            remedy = "write a task for each name that is meant"
            self.source.manual(f"task {task.name}", remedy, job=job)
            return job
        self.source.exact(f"task {name}", job=job)
        scope = self.scope(task, given)
        said = keys.long(task.said)
        self._environment(job, task, said, scope)
        self.workdir(job, task, said, scope)
        keys.take(self.source, job, said, scope, self.origin.workdir)
        commands = Commands(self, job, task, said, scope)
        commands.dependencies()
        commands.write()
        return job

    def _environment(self, job: Job, task: Task, said: Map, scope: Scope) -> None:
        """`env` of the task and of the files around it."""
        maps: list[Map] = []
        file: File | None = task.file
        while file is not None:
            maps.insert(0, as_map(file.said.get("env")))
            file = file.around
        for env in (*maps, as_map(said.get("env"))):
            for name, value in env.items():
                self._variable(job, name, value, env.line_of(name), scope)

    def _variable(self, job: Job, name: str, value: Any, line: int, scope: Scope) -> None:
        if not is_variable(name) or name in RESERVED_ENV:
            remedy = "zf has no such variable for steps: set it in the script"
            self.source.manual(f"env {name}", remedy, line=line, job=job)
            return
        try:
            job.keys.setdefault("env", {})[name] = of_env(value, scope)
        except Unsayable as error:
            remedy = f"set it in the script, or to a value that is known ({error})"
            self.source.manual(f"env {name}", remedy, line=line, job=job)

    def workdir(self, job: Job, task: Task, said: Map, scope: Scope) -> None:
        """Where the task runs."""
        folder = task.file.folder
        try:
            if "dir" in said:
                folder = os.path.join(folder, text(as_text(said["dir"]) or "", scope))
        except Unsayable as error:
            remedy = f"write it as `workdir` ({error})"
            self.source.manual(f"dir: {said['dir']}", remedy, job=job)
            return
        if not folder:
            return
        whole = os.path.normpath(os.path.join(self.origin.workdir, folder))
        if whole.startswith(("/", "..")):
            remedy = "zf runs tasks in the project alone: write `workdir`, or cd in the script"
            self.source.manual(f"dir: {folder}", remedy, job=job)
        elif whole != ".":
            job.keys["workdir"] = whole
            self.source.exact(f"dir: {folder}", job=job)

    @cached_property
    def needs(self) -> dict[str, list[str]]:
        """What each task names as its `deps`."""
        return {
            name: [
                self.called(as_text(d.get("task") if isinstance(d, Map) else d) or "", task)
                for d in as_list(as_map(task.said).get("deps"))
            ]
            for name, task in self.tasks.items()
        }

    def called(self, name: str, task: Task) -> str:
        """The whole name of a task that another names."""
        if name.startswith(":"):
            return name[1:]
        return f"{task.file.name}{name}"

    def call(self, name: str, given: Mapping[str, Any], around: Scope) -> str:
        """The name of the task which is that one with these variables. Raises Unsayable."""
        task = self.tasks.get(name)
        if not given or task is None:
            return name
        values = {key: text(_static(value), around) for key, value in given.items()}
        key = (name, repr(sorted(values.items())))
        if key not in self._calls:
            if len(self._calls) > _MOST_CALLS:
                raise Unsayable(name)
            made = "-".join([name, *(as_id(value) for value in values.values() if value)])
            number, base = 2, made
            while made in self.made or made in self.tasks:
                made, number = f"{base}-{number}", number + 1
            self._calls[key] = made
            job = self.job(task, made, values)
            what = "a task of its own, with these variables"
            given_ = ", ".join(f"{key}={value}" for key, value in values.items())
            self.source.changed(f"{name} with {given_}", what, job=job)
        return self._calls[key]

    def _aliases(self) -> None:
        for task in self.tasks.values():
            for alias in as_list(as_map(task.said).get("aliases")):
                name = f"{task.file.name}{as_text(alias)}"
                if name in self.tasks or name in self.made:
                    continue
                job = Job(name, task.line, task.file.file)
                job.need(task.name)
                self.source.jobs.append(job)
                self.made.add(name)
                self.source.changed(f"alias {alias}", f"a task that needs `{task.name}`", job=job)


def _static(value: Any) -> str:
    said = as_text(value)
    if said is None:
        raise Unsayable(re.sub(r"\s+", " ", str(value)))
    return said
