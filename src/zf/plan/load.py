"""Reads every file of a project, and makes a flow of them only if all are valid.

A good file is read once, fast, and nothing is kept but its task. Problems of all files are
reported together.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.model import (
    NOTHING,
    STEP_KEYS,
    TASK_KEYS,
    Asked,
    Flow,
    Loaded,
    Need,
    Phase,
    Project,
    Step,
    Task,
    is_valid_id,
)
from zf.plan.drafts import (
    PROJECT_FILE,
    Draft,
    check_conditions,
    check_env,
    check_names,
    check_needs,
    check_phases,
    phase_warnings,
)
from zf.plan.places import (
    NEAR_TASK_FILES,
    TASK_FILE,
    holds_task_file,
    misplaced,
    nested,
    tasks_folder,
)
from zf.plan.yaml import source, yaml12
from zf.plan.yaml.source import Source

if TYPE_CHECKING:
    from yaml.nodes import Node

    from zf.plan.form import Form
    from zf.plan.matrix.expand import Matrix
    from zf.plan.matrix.instances import Expanded


_EVERYTHING = Asked()
_id = attrgetter("id")
_FIELDS = {key: name for name, key in TASK_KEYS.items()}


def load(
    root: str, home: str, *, default_phase_timeout_s: float, asked: Asked = _EVERYTHING
) -> Loaded:
    """Every file of the project, checked. Never raises for what is in them."""
    project, problems = _read_project(root)
    drafts, passed_over = _read_tasks(root)
    problems += passed_over + _passed_over(root)
    for draft in drafts:
        problems += draft.problems
    problems += check_names(drafts)
    expanded = _expanded(drafts)
    problems += check_needs(drafts, expanded)
    problems += check_conditions(drafts, _fields)
    problems += check_phases(drafts, project, root)
    tasks = _resolved(drafts, expanded, problems)
    problems += check_env(drafts, project)
    if not any(problem.severity == "error" for problem in problems):
        problems += phase_warnings(drafts, project, default_phase_timeout_s, root, asked)
    problems.sort(key=lambda p: (p.file or "", p.line or 0, p.column or 0, p.code))
    if any(problem.severity == "error" for problem in problems):
        return Loaded(None, tuple(problems))
    flow = Flow(root, home, {task.id: task for task in sorted(tasks, key=_id)}, project)
    return Loaded(flow, tuple(problems))


def _expanded(drafts: list[Draft]) -> Expanded:
    if not any(draft.matrix for draft in drafts):
        return NOTHING
    from zf.plan.matrix.instances import expand  # few projects have a matrix

    return expand(drafts)


def _resolved(drafts: list[Draft], expanded: Expanded, problems: list[Problem]) -> list[Task]:
    if not expanded and not any(need.matrix for draft in drafts for need in draft.needs):
        return [draft.task for draft in drafts if draft.task is not None]
    from zf.plan.matrix.instances import resolved  # as above

    return [*resolved(drafts, expanded, problems)]


def _fields(draft: Draft) -> Collection[str]:
    """What its condition may ask of values that the project names."""
    if draft.matrix is None:
        return ()
    from zf.plan.conditions.condition import Field  # few tasks have a condition

    keys = (*draft.matrix.names, *(key for one in draft.matrix.include for key in one))
    return [Field("matrix", (axis,)).key for axis in dict.fromkeys(keys)]


# Reading: one file at a time.


def _read_project(root: str) -> tuple[Project, list[Problem]]:
    found = source.read(os.path.join(root, PROJECT_FILE), PROJECT_FILE)
    if found is None:
        near = next((n for n in ("zf.yml", ".zf.yaml") if os.path.lexists(f"{root}/{n}")), None)
        return Project(), [] if near is None else [_misnamed(near, PROJECT_FILE, "project")]
    if isinstance(found, Problem):
        return Project(), [found]
    from zf.plan import schema

    document = yaml12.read(found)
    if document.root is None:  # an empty project file is silent about everything
        return Project(file=PROJECT_FILE), document.problems
    problems = document.problems + _check_form(found, document, schema.PROJECT_FORM)
    if problems:
        return Project(), problems
    return _project(document.value), []


def _read_tasks(root: str) -> tuple[list[Draft], list[Problem]]:
    tasks = tasks_folder(root)
    shown = os.path.relpath(tasks, root)
    try:
        entries = sorted(os.scandir(tasks), key=lambda entry: entry.name)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        return [], [Problem(code="ZF201", message=f"cannot be read: {why}", file=shown)]
    drafts: list[Draft] = []
    passed_over: list[Problem] = []
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            continue
        if not _may_be_folder(entry):
            if name.endswith((".yaml", ".yml")):
                passed_over.append(_loose(f"{shown}/{name}"))
            continue
        path, file = f"{tasks}/{name}/{TASK_FILE}", f"{shown}/{name}/{TASK_FILE}"
        found = source.read(path, file)
        if found is None:
            passed_over += _misplaced_tasks(f"{tasks}/{name}", f"{shown}/{name}")
        else:
            drafts.append(_draft(Draft(name, path, file, name), found))
    return drafts, passed_over


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether to look inside; a link that leads nowhere is looked into so that it is reported."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _draft(draft: Draft, found: Source | Problem) -> Draft:
    from zf.plan import schema

    if isinstance(found, Problem):
        draft.problems.append(found)
        return draft
    document = yaml12.read(found)
    form, root = document.value, document.root
    draft.problems = document.problems
    if root is None:
        if not draft.problems:
            draft.problems.append(_empty(draft.file))
        return draft
    wrong = _check_form(found, document, schema.TASK_FORM)
    draft.problems += wrong
    if not wrong and isinstance(form, dict) and "matrix" in form:
        draft.matrix, wrong = _matrix(form, document, found)
        draft.problems += wrong
    if isinstance(form, dict):
        draft.needs = tuple(_needs(form, root))
        if isinstance(form.get("id"), str):
            draft.id = form["id"]
            if draft.id != draft.folder and is_valid_id(draft.id):
                draft.problems.append(_not_its_folder(found, draft, document.node_at(("id",))))
    if draft.problems:
        return draft
    draft.task = _task(draft, form, root)
    draft.states_timeout = "timeout_sec" in form
    if draft.task.condition:
        from zf.plan.conditions.condition import parse  # few tasks have one

        draft.condition = parse(draft.task.condition)
    return draft


def _matrix(
    form: Mapping[str, Any], document: yaml12.Document, found: Source
) -> tuple[Matrix, list[Problem]]:
    """The matrix of a valid form, and what is wrong with it all the same."""
    from zf.plan.matrix.read import read, taken  # few tasks have one

    matrix, problems = read(document.node_at(("matrix",)), found)
    for name in taken(matrix, form.get("env", ())):
        node = document.node_at(("env", name, yaml12.KEY))
        message, hint = f"'{name}' is set by the matrix of the task", "choose another name"
        problems.append(found.problem("ZF297", message, node.start_mark, node.end_mark, hint=hint))
    return matrix, problems


def _task(draft: Draft, form: Mapping[str, Any], root: Node) -> Task:
    """The task that a valid form describes; what it does not say is `Task`'s default."""
    nodes = {key.value: value for key, value in root.value}
    said: dict[str, Any] = {
        _FIELDS[key]: tuple(value) if type(value) is list else value for key, value in form.items()
    }
    said.pop("matrix", None)  # what it stands for is not known yet
    said["needs"], said["file"] = draft.needs, draft.file
    said["line"] = nodes["id"].start_mark.line + 1
    said["steps"] = _steps("step", form["commands"], nodes["commands"])
    if "title" not in form:
        said["title"] = form["id"]
    if "cleanup" in form:
        said["cleanup"] = _steps("cleanup", form["cleanup"], nodes["cleanup"])
    if "artifacts" in form:
        said["artifacts"], said["required_artifacts"] = _artifacts(form["artifacts"])
    if "env" in form:
        said["env"] = _as_written(form["env"], nodes["env"])
    if isinstance(form.get("allow_failure"), dict):
        said["allow_failure"] = tuple(form["allow_failure"]["exit_codes"])
    if isinstance(form.get("retry_on"), dict):
        said["retry_on"] = tuple(form["retry_on"]["exit_codes"])
    return Task(**said)


def _steps(kind: str, listed: list[dict[str, Any]], node: Node) -> tuple[Step, ...]:
    return tuple(
        Step(
            step.get("name") or f"{kind}-{number}",
            step["run"],
            place.start_mark.line + 1,
            **(_more_of_step(step, place) if step.keys() - _PLAIN else {}),
        )
        for number, (step, place) in enumerate(zip(listed, node.value, strict=True))
    )


_PLAIN = frozenset({"name", "run"})
_STEP_FIELDS = {key: name for name, key in STEP_KEYS.items()}


def _more_of_step(step: Mapping[str, Any], node: Node) -> dict[str, Any]:
    """What a step says beside its name and script, as the fields of `Step`."""
    said = {_STEP_FIELDS[key]: value for key, value in step.items() if key not in _PLAIN}
    if "shell" in said:
        from zf.plan.steps.keys import SHELLS

        shell = said["shell"]
        said["shell"] = SHELLS[shell] if isinstance(shell, str) else tuple(shell)
    if "env" in said:
        said["env"] = _as_written(said["env"], _value_of(node, "env"))
    return said


def _as_written(env: Mapping[str, Any], node: Node) -> Mapping[str, str]:
    """Numbers and booleans in `env` as the texts that stand in the file: 1.10 stays 1.10."""
    if all(type(value) is str for value in env.values()):
        return env
    texts = {key.value: value.value for key, value in node.value}
    return {name: v if type(v) is str else texts[name] for name, v in env.items()}


def _value_of(node: Node, key: str) -> Node:
    values: Mapping[str, Node] = {name.value: value for name, value in node.value}
    return values[key]


def _artifacts(listed: list[str | dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All of them, and those for which there must be a file."""
    rows = [
        (one, False) if isinstance(one, str) else (one["path"], one.get("required"))
        for one in listed
    ]
    return tuple(path for path, _ in rows), tuple(path for path, required in rows if required)


def _project(form: Mapping[str, Any]) -> Project:
    """The project that a valid form describes; None stays where the file is silent."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in form.items()
    }
    throttle = said.pop("throttle", {})
    said["phases"] = {
        name: Phase(
            phase.get("title", ""),
            phase.get("timeout_sec"),
            phase.get("budget", NOTHING),
            tuple(phase.get("needs", ())),
            phase.get("max_jobs"),
        )
        for name, phase in form.get("phases", {}).items()
    }
    return Project(
        file=PROJECT_FILE,
        grace_s=said.pop("grace_sec", None),
        throttle_cpu_percent=throttle.get("cpu_percent"),
        throttle_min_free_mem_mb=throttle.get("min_free_mem"),
        **said,
    )


def _check_form(found: Source, document: yaml12.Document, form: Form) -> list[Problem]:
    errors = form.errors(document.value)
    if not errors:
        return []
    from zf.plan.yaml import wording

    return wording.explain(found, document, form, errors)


def _needs(form: Mapping[str, Any], root: Node) -> Iterator[Need]:
    """What a task file needs, as far as it can be told; exact for a valid one."""
    listed = form.get("needs")
    if isinstance(listed, list):
        node = next(value for key, value in root.value if key.value == "needs")
        for need, place in zip(listed, node.value, strict=True):
            line = place.start_mark.line + 1
            if isinstance(need, str):
                yield Need(need, line=line)
            elif isinstance(need, dict) and isinstance(need.get("task"), str):
                optional, require = need.get("optional") is True, need.get("require", "success")
                yield Need(need["task"], optional, require, line, need.get("matrix", ""))


def _empty(file: str) -> Problem:
    return Problem(
        code="ZF223",
        message="the task file is empty",
        file=file,
        hint="write at least `id`, `phase` and `commands`",
    )


def _not_its_folder(found: Source, draft: Draft, node: Node) -> Problem:
    return found.problem(
        "ZF214",
        f"id '{draft.id}' differs from its folder '{draft.folder}'",
        node.start_mark,
        node.end_mark,
        hint=f"write '{draft.folder}', or rename the folder",
    )


def _misnamed(file: str, wanted: str, what: str) -> Problem:
    return Problem(
        code="ZF219",
        message=f"this file is not read: a {what} file is called {wanted}",
        file=file,
        hint=f"rename it to {wanted}",
    )


def _misplaced_tasks(folder: str, shown: str) -> list[Problem]:
    """A folder without task.yaml is no task, unless the file's name is only misspelt, or it holds
    folders that are tasks.
    """
    if os.path.islink(folder) and not os.path.exists(folder):
        return [source.unreadable(shown, "it is a symbolic link to nothing")]
    problems = []
    for path in misplaced(folder):
        if "/" not in path:
            problems.append(_misnamed(f"{shown}/{path}", TASK_FILE, "task"))
            continue
        above, task = os.path.split(os.path.dirname(f"{shown}/{path}"))
        tasks = shown.removesuffix(f"/{os.path.basename(shown)}")
        problems.append(
            Problem(
                code="ZF219",
                message="this file is not read: a task file is tasks/<id>/task.yaml, no deeper",
                file=f"{shown}/{path}",
                hint=f"move the folder {above}/{task} to {tasks}/{task}",
            )
        )
    return problems


def _passed_over(root: str) -> list[Problem]:
    """Other sets of tasks, in places that are not read, would be missed in silence."""
    beside = [os.path.relpath(path, root) for path in nested(root)]
    if tasks_folder(root) != os.path.join(root, "tasks"):
        beside += ["tasks"] if holds_task_file(os.path.join(root, "tasks")) else []
    read = os.path.relpath(tasks_folder(root), root)
    return [
        Problem(
            code="ZF219",
            message=f"these tasks are not read, because {read}/ exists",
            file=path,
            hint=f"keep all tasks in {read}",
            severity="warning",
        )
        for path in beside
    ]


def _loose(file: str) -> Problem:
    if os.path.basename(file) in {TASK_FILE, *NEAR_TASK_FILES}:
        hint = f"move it to {os.path.dirname(file)}/<id>/{TASK_FILE}, where <id> is the task's"
        message = "this file is not read: a task file is tasks/<id>/task.yaml"
        return Problem(code="ZF219", message=message, file=file, hint=hint)
    stem = os.path.splitext(os.path.basename(file))[0]
    return Problem(
        code="ZF219",
        message="this file is not read: a task file is tasks/<id>/task.yaml",
        file=file,
        hint=f"if it is a task, move it to {os.path.dirname(file)}/{stem}/{TASK_FILE}",
        severity="warning",
    )
