"""A workflow of GitHub Actions -> tasks: its jobs, with what stands above them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from zf.adopt.importers import reading
from zf.adopt.importers.github import conditions
from zf.adopt.importers.github.expressions import TEMPLATE
from zf.adopt.importers.github.matrix import Matrix
from zf.adopt.importers.github.steps import Steps, environment, minutes
from zf.adopt.importers.github.values import Around, script
from zf.adopt.importers.inputs import ask
from zf.adopt.importers.model import Import, Job, Origin, Step
from zf.adopt.importers.names import as_id, ids
from zf.adopt.importers.reading import Map, as_list, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.errors import ZfError, in_shell, printable
from zf.model import OUTPUT_PATTERN, is_valid_id

_FOLDER = ".github/workflows"
_TYPES = {"boolean": "bool", "choice": "choice", "number": "number"}
_OF_GITHUB = {
    "permissions": "what GitHub's token may do is not zf's",
    "run-name": "a run of zf has an id",
    "snapshot": "it is about GitHub's runners",
}
_JOB = {
    "concurrency",
    "continue-on-error",
    "defaults",
    "env",
    "if",
    "name",
    "needs",
    "outputs",
    "runs-on",
    "steps",
    "strategy",
    "timeout-minutes",
}
_BY_HAND = {
    "container": "call `docker run` in its steps, or run zf in that container",
    "environment": "GitHub may ask for an approval: remove this step if it may run without one",
    "services": "start them in a step or with Docker Compose, and end them in `cleanup`",
}
_FOREIGN = re.compile(r"windows|macos|win-|mac-", re.IGNORECASE)


def read(origin: Origin) -> Import:
    """What the jobs of a workflow come to."""
    said = reading.yaml_of(origin.path, origin.file)
    source = Import("github", origin.file, runs_all=True)
    return _Importer(source, said).result()


def file_of(path: str) -> str:
    """The workflow in a folder: of a project, or `.github/workflows` itself. Raises ZfError if
    there is not exactly one.
    """
    if not os.path.isdir(path):
        return path
    folder = os.path.normpath(path)
    if not os.path.abspath(folder).endswith(f"/{_FOLDER}"):
        folder = os.path.normpath(f"{folder}/{_FOLDER}")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [f"{folder}/{name}" for name in sorted(names) if name.endswith((".yml", ".yaml"))]
    if len(found) != 1:
        many = f"has {len(found)} workflows" if found else "has no workflow"
        hint = f"name one: {' or '.join(map(in_shell, found[:3]))}" if found else "name the file"
        raise ZfError(f"{printable(folder)} {many}", code="ZF680", hint=hint)
    return found[0]


class _Importer:
    """Goes through the jobs of a workflow."""

    def __init__(self, source: Import, said: Map) -> None:
        self.source, self.said = source, said
        self.jobs = as_map(said.get("jobs"))
        self.ids = ids(self.jobs)
        self.inputs: dict[str, tuple[str, str]] = {}
        self.uploads: dict[str, str] = {}

    def result(self) -> Import:
        self._top()
        self._triggers()
        self._look_for_uploads()
        for name, said in self.jobs.items():
            self._job(name, as_map(said))
        what = "tasks share one folder of one machine, so one runs at a time: see `parallel_safe`"
        self.source.changed("a machine for each job", what, job=None)
        return self.source

    def _top(self) -> None:
        for key, said in self.said.items():
            line = self.said.line_of(key)
            if key in _OF_GITHUB:
                self.source.dropped(key, _OF_GITHUB[key], line=line, job=None)
            elif key == "concurrency":
                why = "which run of CI ends another is said where CI calls zf"
                self.source.dropped(f"concurrency: {_shown(said)}", why, line=line, job=None)
            elif key in {"name", "defaults"}:
                self.source.exact(key, line=line, job=None)
            elif key not in {"on", "env", "jobs"}:
                what = "zf import does not know it"
                self.source.changed(key, f"left out: {what}", line=line, job=None)

    def _triggers(self) -> None:
        on = self.said.get("on")
        for one in on if isinstance(on, Map) else as_list(on):
            line = on.line_of(one) if isinstance(on, Map) else self.said.line_of("on")
            why = "when zf runs is said where CI calls it"
            self.source.dropped(f"on {one}", why, line=line, job=None)
        for trigger in ("workflow_dispatch", "workflow_call"):
            for name, said in as_map(as_map(as_map(on).get(trigger)).get("inputs")).items():
                if name not in self.inputs:
                    self._input(name, as_map(said), as_map(said).line)

    def _input(self, name: str, said: Map, line: int) -> None:
        kind = _TYPES.get(as_text(said.get("type")) or "", "string")
        keys: dict[str, Any] = {}
        default = as_text(said.get("default")) if "default" in said else None
        if kind == "choice":
            options = [as_text(one) or "" for one in as_list(said.get("options"))]
            if len({*options}) == len(options) and options and all(options):
                keys["options"] = options
                default = default if default in options else None
        elif kind == "bool":
            keys["type"], default = "bool", "true" if default == "true" else "false"
        if about := as_text(said.get("description")):
            keys["description"] = " ".join(about.split())
        made = ask(self.source, name, default, "input", **keys)
        if kind == "bool":
            self.source.inputs[made]["default"] = default == "true"
        self.inputs[name] = (made, kind)
        self.source.changed(f"input {name}", f"an input: `-i {made}=VALUE`", line=line, job=None)

    def _look_for_uploads(self) -> None:
        for said in self.jobs.values():
            for step in as_list(as_map(said).get("steps")):
                action = as_text(as_map(step).get("uses")) or ""
                if action.startswith("actions/upload-artifact"):
                    given = as_map(as_map(step).get("with"))
                    name = as_text(given.get("name")) or "artifact"
                    self.uploads[name] = as_text(given.get("path")) or ""

    def _job(self, name: str, said: Map) -> None:
        job = Job(name, self.jobs.line_of(name))
        self.source.jobs.append(job)
        self.source.exact(f"job {name}", job=job)
        for need in as_list(said.get("needs")):
            job.need(as_text(need) or "")
            self.source.exact(f"needs {as_text(need)}", line=said.line_of("needs"), job=job)
        if "uses" in said:
            remedy = "import that workflow too, and write its tasks here"
            self.source.manual(f"uses {as_text(said['uses'])}", remedy, job=job)
            return
        axes = Matrix(self.source, job, as_map(said.get("strategy"))).take()
        around = self._around(job, said, axes)
        self._title(job, said)
        self._keys(job, said, around)
        self._environment(job, said, around)
        self._runs_on(job, said, around)
        defaults = Map()
        for one in (self.said, said):
            defaults.update(as_map(as_map(one.get("defaults")).get("run")))
        Steps(self.source, job, around, defaults, self.uploads).add(said.get("steps"))
        self._outputs(job, said, around)

    def _around(self, job: Job, said: Map, axes: tuple[str, ...]) -> Around:
        written = [
            as_text(as_map(step).get("id")) or ""
            for step in as_list(said.get("steps"))
            if "GITHUB_OUTPUT" in (as_text(as_map(step).get("run")) or "")
        ]
        outputs = {
            name: tuple(as_map(as_map(one).get("outputs"))) for name, one in self.jobs.items()
        }
        needs = tuple(need.name for need in job.needs)
        known = {name: one for name, one in self.ids.items() if is_valid_id(one)}
        return Around(
            job.keys, axes, self.inputs, known, needs, outputs, frozenset(filter(None, written))
        )

    def _title(self, job: Job, said: Map) -> None:
        title = as_text(said.get("name")) or ""
        if title:
            job.title = TEMPLATE.sub(lambda found: found[1].strip(), title)
            self.source.exact(f"name: {title}", line=said.line_of("name"), job=job)

    def _keys(self, job: Job, said: Map, around: Around) -> None:
        source = self.source
        for key, value in said.items():
            line = said.line_of(key)
            if key in _BY_HAND:
                source.manual(f"{key}: {_shown(value)}", _BY_HAND[key], line=line, job=job)
            elif key in _OF_GITHUB:
                source.dropped(key, _OF_GITHUB[key], line=line, job=job)
            elif key == "timeout-minutes":
                self._limit(job, value, line)
            elif key == "continue-on-error":
                if value is True:
                    job.keys["allow_failure"] = True
                    source.exact(key, line=line, job=job)
                elif value is not False:
                    source.changed(
                        f"{key}: {value}", "left out: a failure counts", line=line, job=job
                    )
            elif key == "concurrency":
                self._group(job, value, line)
            elif key == "if":
                self._if(job, as_text(value) or "", around, line)
            elif key not in _JOB:
                remedy = "zf import does not know this key: do what it says"
                source.manual(f"{key}: {_shown(value)}", remedy, line=line, job=job)

    def _limit(self, job: Job, value: Any, line: int) -> None:
        if seconds := minutes(value):
            job.keys["timeout_sec"] = seconds
            self.source.exact(f"timeout-minutes: {value}", line=line, job=job)
        else:
            what = "left out, as it is known when GitHub runs"
            self.source.changed(f"timeout-minutes: {value}", what, line=line, job=job)

    def _group(self, job: Job, value: Any, line: int) -> None:
        keys = value if isinstance(value, Map) else Map()
        group = as_text(keys.get("group") if isinstance(value, Map) else value) or ""
        if "${{" in group or not group:
            why = "which run of CI ends another is said where CI calls zf"
            self.source.dropped(f"concurrency: {group}", why, line=line, job=job)
            return
        name = as_id(group)
        ends = keys.get("cancel-in-progress") is True
        job.keys["concurrency"] = {"group": name, "on_newer": "cancel_running"} if ends else name
        what = "a group on this machine, not on all of GitHub's"
        self.source.changed(f"concurrency: {group}", what, line=line, job=job)

    def _if(self, job: Job, text: str, around: Around, line: int) -> None:
        construct = f"if: {text}"
        try:
            made = conditions.said(text, around, of_step=False)
        except Unsayable as error:
            remedy = f"write it as the task's `condition` (only GitHub knows {error})"
            self.source.manual(construct, remedy, line=line, job=job)
            return
        job.keys["condition"] = made
        if made == text.strip():
            self.source.exact(construct, line=line, job=job)
        else:
            self.source.changed(construct, f"`{made}`", line=line, job=job)

    def _environment(self, job: Job, said: Map, around: Around) -> None:
        env: dict[str, Any] = {}
        for one in (as_map(self.said.get("env")), as_map(said.get("env"))):
            env |= environment(self.source, job, one, around, job.line)
        if env:
            job.keys["env"] = {**env, **job.keys.get("env", {})}

    def _runs_on(self, job: Job, said: Map, around: Around) -> None:
        line = said.line_of("runs-on")
        labels = _shown(said.get("runs-on"))
        axis = re.fullmatch(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}", labels.strip())
        construct = f"runs-on: {labels}"
        if axis and axis[1] in around.axes:
            values = job.keys["matrix"].get(axis[1], [])
            included = [one.get(axis[1]) for one in job.keys["matrix"].get("include", ())]
            foreign = [one for one in (*values, *included) if one and _FOREIGN.search(one)]
            if not foreign:
                self.source.dropped(construct, "tasks run on this machine", line=line, job=job)
                return
            listed = ", ".join(f"'{one}'" for one in dict.fromkeys(foreign))
            remedy = "zf runs on this machine alone: leave these values out of `matrix`"
            when = f"matrix.{axis[1]} in ({listed})"
            self.source.manual(construct, remedy, line=line, job=job, when=when)
        elif _FOREIGN.search(labels):
            remedy = (
                "zf runs on this machine alone: have it run on such a one, or leave the task out"
            )
            self.source.manual(construct, remedy, line=line, job=job)
        elif "${{" in labels:
            what = "tasks run on this machine, whatever it is"
            self.source.changed(construct, what, line=line, job=job)
        else:
            self.source.dropped(construct, "tasks run on this machine", line=line, job=job)

    def _outputs(self, job: Job, said: Map, around: Around) -> None:
        for name, value in as_map(said.get("outputs")).items():
            line = as_map(said["outputs"]).line_of(name)
            text = as_text(value) or ""
            construct = f"output {name}: {text}"
            own = re.fullmatch(r"\$\{\{\s*steps\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}", text)
            if not re.fullmatch(OUTPUT_PATTERN, name):
                self.source.manual(construct, "give it another name", line=line, job=job)
                continue
            try:
                if not (own and own[1] in around.written and own[2] == name):
                    job.steps.append(Step(script(f'echo "{name}={text}" >> "$ZF_OUTPUT"', around)))
            except Unsayable as error:
                remedy = f"write it to $ZF_OUTPUT in a step (only GitHub knows {error})"
                self.source.manual(construct, remedy, line=line, job=job)
            job.keys.setdefault("outputs", []).append(name)
            what = "one that is not written fails the task"
            self.source.changed(construct, what, line=line, job=job)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return as_text(value) or ""
