"""An import -> the text of its zf.yaml, which loads: what zf refuses becomes a step that fails and
says so.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from zf.adopt.importers.inputs import written
from zf.adopt.importers.model import (
    GUARD,
    Import,
    Job,
    Need,
    Step,
    guard,
    one_line,
    quoted,
    reaches,
)
from zf.adopt.importers.names import ids
from zf.adopt.importers.ordering import order
from zf.adopt.writing import Path, project_text, shortest
from zf.errors import Problem, ZfError
from zf.plan.load import load
from zf.plan.places import PROJECT_FILE
from zf.plan.yaml.source import Source
from zf.plan.yaml.yaml12 import read

DEFAULT_TIMEOUT_S = 3600
# What a phase may take if zf.yaml is silent, and the longest that a key may say.
_PHASE_S = 3600
_MOST_S = 315_360_000
_NOTHING = "exit 0"
# More tasks than that are no longer told in a line.
_AT_A_GLANCE = 5
_FIRST = ("title", "phase", "tags", "needs", "matrix", "condition")
_LAST = ("run", "commands", "cleanup", "cleanup_timeout_sec", "artifacts", "reports", "outputs")


def text_of(source: Import) -> str:
    """The text of zf.yaml. What zf does not take as it is meant adds findings, and is a guard."""
    _name(source)
    _mend_needs(source)
    if source.in_order:
        order(source)
    named = {job.name: job.id for job in source.jobs}
    forms = {job.id: _form(job, source, named) for job in source.jobs}
    given_up: set[str] = set()
    while True:
        text = _text(source, forms)
        problems = _problems(text)
        if not problems:
            return text
        refused = _refused(text, problems, given_up)
        if not refused:
            raise ZfError(
                f"what {source.file} comes to is not taken by zf: {problems[0].message}",
                hint="import a part of it, or write that part by hand",
            )
        for job in source.jobs:
            if job.id in refused:
                forms[job.id] = _given_up(source, job, refused[job.id])
                given_up.add(job.id)


def _name(source: Import) -> None:
    """Give every task its id."""
    named = ids(job.name for job in source.jobs)
    for job in source.jobs:
        job.id = named[job.name]
        if job.id != job.name:
            source.changed(f"name {job.name}", f"the task is called `{job.id}`", job=job)


def _mend_needs(source: Import) -> None:
    """Turn needs on nothing, and those that close a circle, into guards."""
    known = {job.name for job in source.jobs}
    needs: dict[str, list[str]] = {job.name: [] for job in source.jobs}
    for job in source.jobs:
        kept: list[Need] = []
        for need in job.needs:
            if need.name not in known:
                if need.keys.get("optional"):
                    continue
                remedy = "the source has no such task: write it, and add it to `needs`"
                source.manual(f"needs {need.name}", remedy, job=job, first=True)
            elif need.name == job.name or reaches(needs, need.name, job.name):
                remedy = "needs go round in a circle: take one of them out"
                source.manual(f"needs {need.name}", remedy, job=job, first=True)
            else:
                kept.append(need)
                needs[job.name].append(need.name)
        job.needs = kept


def _form(job: Job, source: Import, named: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    title = one_line(job.title)
    if title and title != job.id:
        said["title"] = title
    if job.needs:
        said["needs"] = [
            {"task": named[need.name], **need.keys} if need.keys else named[need.name]
            for need in job.needs
        ]
    if source.workdir and "workdir" not in job.keys:
        said["workdir"] = source.workdir
    said |= {key: value for key, value in job.keys.items() if value not in ({}, [], None)}
    plain = _is_shell(job.keys.get("shell", source.project.get("shell", "bash")))
    said["commands"] = [_step(step, plain=plain) for step in job.steps or [Step(_NOTHING)]]
    if job.cleanup:
        said["cleanup"] = [_step(step, plain=plain) for step in job.cleanup]
    return dict(sorted(_clean(said).items(), key=_rank))


def _is_shell(shell: Any) -> bool:
    """Whether a guard is run by it as it is meant."""
    return (shell if isinstance(shell, str) else shell[0]) in {"bash", "sh", "zsh", "dash", "ksh"}


def _rank(entry: tuple[str, Any]) -> int:
    key = entry[0]
    if key in _FIRST:
        return _FIRST.index(key)
    return len(_FIRST) + (1 + _LAST.index(key) if key in _LAST else 0)


def _step(step: Step, *, plain: bool) -> Any:
    """The step as it is written; `plain`: what runs the others runs a guard as well."""
    form = step.form()
    if plain and step.name == GUARD:
        del form["shell"]
    return form["run"] if set(form) == {"run"} else form


def _clean(value: Any) -> Any:
    """The value with texts that can stand in a file: no NUL, no half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\\0")
    if isinstance(value, Mapping):
        return {_clean(key): _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return value


def _given_up(source: Import, job: Job, problem: Problem) -> dict[str, Any]:
    """A task of which zf refuses something: its needs, and a guard that says what."""
    remedy = f"zf does not take the task as it is ({quoted(problem.message)}): write it by hand"
    source.manual("the whole task", remedy, job=job)
    step = guard(f"{source.findings[-1].place}: {job.id}: {remedy}")
    named = {one.name: one.id for one in source.jobs}
    shell = source.project.get("shell", "bash")
    kept = {"needs": [named[need.name] for need in job.needs]} if job.needs else {}
    if "phase" in job.keys:
        kept["phase"] = job.keys["phase"]
    return {**kept, "commands": [_step(step, plain=_is_shell(shell))]}


def _text(source: Import, forms: Mapping[str, dict[str, Any]]) -> str:
    document: dict[str, Any] = dict(_clean(source.project))
    if source.inputs:
        document["inputs"] = _clean(written(source))
    if phases := _phases(source, forms):
        document["phases"] = phases
    if source.defaults:
        document["defaults"] = _clean(source.defaults)
    document["tasks"] = {name: shortest(form) for name, form in forms.items()}
    comments: dict[Path, str] = {
        ("tasks", job.id): "\n".join(dict.fromkeys(job.comments))
        for job in source.jobs
        if job.comments
    }
    return project_text(document, comments, "\n".join(_head(source)))


def _head(source: Import) -> Iterator[str]:
    yield f"Imported from {source.file} by zf import; IMPORT.md says what became of each part."
    if source.runs_all:
        return
    usual = " ".join(source.usual_ids())
    if usual and len(source.usual) <= _AT_A_GLANCE:
        yield f"`zf run {usual}` is what `{source.tool}` alone does."
    yield "`zf run` alone runs every task here: name those that are meant."


def _phases(source: Import, forms: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Phases in their order, each with the time that its tasks may take one after the other."""
    used: dict[str, dict[str, Any]] = {name: {} for name in source.phases}
    for phase in {form.get("phase", "main") for form in forms.values()}:
        inside = {n: f for n, f in forms.items() if f.get("phase", "main") == phase}
        longest = _longest(inside, source.defaults)
        if longest > _PHASE_S:
            used.setdefault(phase, {})["timeout_sec"] = min(longest, _MOST_S)
    return used


def _longest(forms: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any]) -> float:
    """Seconds of the longest way through the tasks, or of the one with the longest limit where no
    task has a limit of its own.
    """
    usual = defaults.get("timeout_sec", 300)
    if not any("timeout_sec" in form for form in forms.values()):
        return float(usual)
    ends: dict[str, float] = {}
    stack = list(forms)
    while stack:
        name = stack[-1]
        needs = [_needed(need) for need in forms[name].get("needs", ())]
        needs = [need for need in needs if need in forms]
        missing = [need for need in needs if need not in ends]
        if missing and name not in ends:
            stack += missing
            continue
        stack.pop()
        own = forms[name].get("timeout_sec", usual)
        ends[name] = own + max((ends[need] for need in needs), default=0)
    longest = max(ends.values(), default=0)
    return int(longest) if longest == int(longest) else longest


def _needed(need: Any) -> str:
    return str(need["task"] if isinstance(need, Mapping) else need)


def _problems(text: str) -> list[Problem]:
    """What zf finds wrong with such a project."""
    with tempfile.TemporaryDirectory(prefix="zf-import-") as folder:
        root = os.path.realpath(folder)
        with open(f"{root}/{PROJECT_FILE}", "w", encoding="utf-8") as file:
            file.write(text)
        loaded = load(root, root, default_phase_timeout_s=_PHASE_S)
    return [problem for problem in loaded.problems if problem.severity == "error"]


def _refused(text: str, problems: list[Problem], given_up: set[str]) -> dict[str, Problem]:
    """The tasks in which there is a problem, with the first of each."""
    root: Any = read(Source(PROJECT_FILE, text)).root
    if root is None:
        return {}
    [tasks] = [value for key, value in root.value if key.value == "tasks"]
    starts = [(key.start_mark.line + 1, key.value) for key, _ in tasks.value]
    found: dict[str, Problem] = {}
    for problem in problems:
        inside = [name for line, name in starts if line <= (problem.line or 0)]
        if inside and inside[-1] not in given_up:
            found.setdefault(inside[-1], problem)
    return found
