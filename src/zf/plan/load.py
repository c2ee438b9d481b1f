"""Makes a flow of the files of a project, if all are valid.

A good file is read once, fast, and nothing is kept but its tasks. Problems of all files are
reported together.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.lean.records import replace
from zf.model import (
    DEFAULT_PHASE,
    NOTHING,
    Asked,
    Flow,
    Loaded,
    Need,
    Project,
    Task,
    is_valid_id,
)
from zf.plan.caching.checks import caching_warnings, check_caching
from zf.plan.drafts import (
    Draft,
    check_conditions,
    check_names,
    check_needs,
    check_phase_said,
    check_phases,
    in_question,
    phase_warnings,
)
from zf.plan.files import reading
from zf.plan.files.projects import read_project
from zf.plan.files.reading import TaskSaid
from zf.plan.files.written import Written
from zf.plan.inputs.used import check_env, fields, template_warnings
from zf.plan.resolve import layers, shapes, short
from zf.plan.resolve.layers import Resolved
from zf.plan.resolve.sharing import Sharing
from zf.plan.yaml.yaml12 import KEY
from zf.variables import refers

if TYPE_CHECKING:
    from zf.plan.matrix.expand import Matrix
    from zf.plan.matrix.instances import Expanded

_EVERYTHING = Asked()
# What is a path, or holds one.
_PATHS = frozenset({"artifacts", "generates", "sources", "container", "sandbox", "workdir"})
_id = attrgetter("id")


def load(
    root: str, home: str, *, default_phase_timeout_s: float, asked: Asked = _EVERYTHING
) -> Loaded:
    """Every file of the project, checked. Never raises for what is in them."""
    collects = gc.isenabled()
    # Nothing of it is garbage until it is dropped as a whole, and a large file is millions of
    # objects, which the collector would look through again and again: two thirds of the time.
    gc.disable()
    try:
        return _loaded(root, home, default_phase_timeout_s, asked)
    finally:
        if collects:
            gc.enable()


def _loaded(root: str, home: str, default_phase_timeout_s: float, asked: Asked) -> Loaded:
    found = reading.read(root)
    project, problems = read_project(found)
    is_good = found.file is None or not found.file.problems
    sharing = Sharing(found)
    drafts, more = _drafts(found, sharing)
    problems += more + found.problems + sharing.problems
    handlers = _handlers(found, sharing)
    drafts += handlers
    for draft in drafts:
        problems += draft.problems
    # All that any task says: what none does need not be looked for in each.
    said = frozenset().union(*{draft.keys for draft in drafts})
    problems += check_names(drafts)
    expanded = _expanded(drafts) if "matrix" in said else NOTHING
    problems += check_needs(drafts, expanded)
    handed = _handed(drafts, expanded, problems)
    inputs = fields(project, is_good=is_good)
    problems += check_conditions(drafts, lambda one: (*_fields(one, handed), *inputs(one)))
    problems += check_env(drafts, project)
    problems += check_phase_said(drafts)
    problems += check_phases(drafts, project, root)
    problems += _bad_triggers(found, project, drafts)
    tasks = _resolved(drafts, expanded, problems)
    problems += _bad_env(drafts, project)
    problems += _bad_of_few(said, drafts, project, root, home)
    if handlers:
        from zf.plan.gates.handlers import check_handlers  # few projects have any

        problems += check_handlers(drafts)
    if not any(problem.severity == "error" for problem in problems):
        problems += phase_warnings(drafts, project, default_phase_timeout_s, root, asked)
        chosen = [*in_question(drafts, asked)]
        problems += template_warnings(chosen, project)
        if "cache" in said:
            problems += caching_warnings(chosen, project)
        if not _PATHS.isdisjoint(said):
            problems += _path_warnings(chosen)
    # What is wrong with a template is wrong with every task that uses it.
    problems = list(dict.fromkeys(problems))
    problems.sort(key=lambda p: (p.file or "", p.line or 0, p.column or 0, p.code))
    if any(problem.severity == "error" for problem in problems):
        return Loaded(None, tuple(problems))
    tasks, of_ends = _split(tasks, handlers)
    shared = tuple(f.written.file for f in found.files if "templates" in f.written.value)
    in_order = {task.id: task for task in sorted(tasks, key=_id)}
    sizes = {base: len(of) for base, of in expanded.items()} if expanded else NOTHING
    if "matrix" in said:
        sizes = {**sizes, **{d.id: 0 for d in drafts if d.matrix and d.matrix.sources}}
    flow = Flow(root, home, in_order, project, shared=shared, instances=sizes, handlers=of_ends)
    return Loaded(flow, tuple(problems))


def _expanded(drafts: list[Draft]) -> Expanded:
    from zf.plan.matrix.instances import expand  # few projects have a matrix

    return expand(drafts)


def _resolved(drafts: list[Draft], expanded: Expanded, problems: list[Problem]) -> list[Task]:
    if not expanded and not any(need.matrix for draft in drafts for need in draft.needs):
        return [draft.task for draft in drafts if draft.task is not None]
    from zf.plan.matrix.instances import resolved  # as above

    return [*resolved(drafts, expanded, problems)]


def _path_warnings(drafts: list[Draft]) -> Iterator[Problem]:
    """Paths in which `${NAME}` stands for itself, as the task has no matrix."""
    for draft in drafts:
        task = draft.task
        if task is None or draft.matrix is not None:
            continue
        globs = (*task.artifacts, *task.generates, *task.sources)
        if not (globs or task.container or task.workdir != "."):
            continue
        if not any("${" in one for one in (task.workdir, task.container.get("image", ""), *globs)):
            continue
        from zf.plan.matrix.paths import not_put  # no task has one

        for loc, path in not_put(task):
            message = f"nothing is put for {path} in a path of a task without a matrix"
            hint = "only what a matrix sets is known there"
            yield draft.problem(loc, "ZF298", message, hint, "warning")


def _bad_triggers(
    found: reading.Project, project: Project, drafts: list[Draft]
) -> Iterator[Problem]:
    if not (project.schedules or project.webhooks or project.reconcile or project.notify):
        return
    from zf.plan.notify import check as notify  # few projects have any of these
    from zf.plan.triggers.check import check  # the same

    assert found.file is not None  # it says something
    tasks = {draft.id: draft.task.phase for draft in drafts if draft.task is not None}
    phases = {*tasks.values(), *project.phases}
    yield from check(found.file, project, phases, tasks)
    yield from notify.check(found.file, project.notify, phases)


def _bad_env(drafts: list[Draft], project: Project) -> Iterable[Problem]:
    asking = [draft for draft in drafts if draft.task is not None and refers(draft.task)]
    if not asking:
        return ()
    from zf.plan.steps.problems import check_env  # few tasks have such values

    return check_env(asking, project)


def _bad_of_few(
    said: Collection[str], drafts: list[Draft], project: Project, root: str, home: str
) -> Iterator[Problem]:
    """What is wrong with values of keys that few tasks say."""
    if "cache" in said:
        yield from check_caching(drafts)
    if "container" in said:
        from zf.plan.walls.checks import check_walls

        yield from check_walls(drafts, root, home)
    if "executor" in said or "labels" in said:
        from zf.plan.placing.checks import check_places

        yield from check_places(drafts, project)
    if "repeat" in said:
        from zf.plan.gates.checks import check_repeat

        yield from check_repeat(drafts)
    if "approval" in said:
        from zf.plan.gates.approval_checks import check_approvals

        yield from check_approvals(drafts, project, root)
    if "services" in said or any(phase.services for phase in project.phases.values()):
        from zf.plan.services.checks import check_services

        yield from check_services(drafts, project, root)


def _handed(
    drafts: list[Draft], expanded: Expanded, problems: list[Problem]
) -> Mapping[str, Collection[str]]:
    """What each condition may mention of outputs; what is wrong with those that variables take is
    added to `problems`.
    """
    if not any(
        d.outputs != () or (d.task and (d.task.env_from or d.task.matrix_from)) for d in drafts
    ):
        return NOTHING
    from zf.plan.outputs.references import check, fields  # few projects have any

    problems += check(drafts, expanded)
    known = {draft.id: draft for draft in drafts}
    return {d.id: [*fields(d, known, expanded)] for d in drafts if any(d.conditions())}


def _fields(draft: Draft, handed: Mapping[str, Collection[str]]) -> Collection[str]:
    """What its condition may ask of values that the project names."""
    outputs = [*handed.get(draft.id, ())]
    if draft.matrix is None:
        return outputs
    from zf.plan.conditions.condition import Field  # few tasks have a condition

    keys = (*draft.matrix.names, *(key for one in draft.matrix.include for key in one))
    found = outputs + [Field("matrix", (axis,)).key for axis in dict.fromkeys(keys)]
    if "" in draft.matrix.sources:  # which there are, is known later
        found += [f.key for _, c in draft.conditions() for f in c.fields if f.kind == "matrix"]
    return found


def _handlers(found: reading.Project, sharing: Sharing) -> list[Draft]:
    """The handlers of zf.yaml."""
    of_phases = found.said.get("phases", {}).values()
    if "on_end" not in found.said and not any("on_end" in phase for phase in of_phases):
        return []
    from zf.plan.gates.handlers import handlers  # few projects have any

    return handlers(found, lambda said: _draft(said, sharing))


def _split(tasks: list[Task], handlers: list[Draft]) -> tuple[list[Task], tuple[Task, ...]]:
    if not handlers:
        return tasks, ()
    from zf.plan.gates.handlers import split  # as above

    return split(tasks, handlers)


def _drafts(project: reading.Project, sharing: Sharing) -> tuple[list[Draft], list[Problem]]:
    drafts, problems = [], []
    for file in project.files:
        drafts += [_draft(said, sharing) for said in file.tasks()]
    for found in reading.single_tasks(project):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            drafts.append(_draft(found, sharing))
    return drafts, problems


def _draft(said: TaskSaid, sharing: Sharing) -> Draft:
    """What can be known of a task; its `task` is made if nothing is wrong with it."""
    place = said.place
    draft = Draft(said.name, place, said.name, said.line, problems=[*said.problems])
    own = said.said if isinstance(said.said, dict) else {}
    if isinstance(own.get("id"), str):
        draft.id, draft.states_id = own["id"], True
        if draft.id != said.name and is_valid_id(draft.id):
            draft.problems.append(_another_id(said, draft))
    resolved = sharing.resolved(said, draft.problems)
    if resolved is None:
        draft.needs = _needs(own, short.need_lines(said.node))
        draft.outputs = _outputs(own)
        return draft
    draft.elsewhere = resolved.elsewhere
    lines = layers.lines_here(resolved, place, said.line)
    form = resolved.form
    shape = shapes.shape(tuple(form))
    draft.keys = shape.keys
    if "needs" in form:
        draft.needs = _needs(form, lines)
    if "outputs" in form:
        draft.outputs = _outputs(form)
    if "matrix" in form:
        written = sharing.written(said, draft.where(("matrix",))[0])
        draft.matrix, wrong = _matrix(draft, form, written)
        draft.problems += wrong
        if wrong:
            return draft
    draft.task = _task(draft, resolved, shape, lines)
    if draft.matrix is not None and draft.matrix.sources:
        draft.task = _of_later(draft.task, draft.matrix)
    if draft.task.condition:
        from zf.plan.conditions.condition import parse  # few tasks have one

        draft.condition = parse(draft.task.condition)
    return draft


def _of_later(task: Task, matrix: Matrix) -> Task:
    """The task, which stands for instances that are known later."""
    from zf.plan.matrix.dynamic import said_of  # few tasks have such a matrix

    limits = {"max_parallel": matrix.max_parallel, "matrix_fail_fast": matrix.fail_fast}
    return replace(task, matrix_from=said_of(matrix), **limits)


def _matrix(draft: Draft, form: Mapping[str, Any], found: Written) -> tuple[Matrix, list[Problem]]:
    """The matrix of a valid form, which stands in that file, and what is wrong with it all the
    same.
    """
    from zf.plan.matrix.read import bad_paths, read, taken  # few tasks have one

    assert found.source is not None
    _, loc = draft.where(("matrix",))
    matrix, problems = read(found.document.node_at(loc), found.source)
    for name in taken(matrix, form.get("env", ())):
        message, hint = f"'{name}' is set by the matrix of the task", "choose another name"
        problems.append(draft.problem(("env", name, KEY), "ZF297", message, hint))
    if not problems:
        for one in bad_paths(form, matrix):
            pointer, at = draft.pointer(one.loc)
            problem = pointer.inside(at, one.at, one.length, "ZF298", one.message, one.hint)
            problems.append(problem)
    return matrix, problems


def _task(
    draft: Draft, resolved: Resolved, shape: shapes.Shape, lines: Mapping[str, list[int]]
) -> Task:
    """The task that a valid form describes; what it does not say is `Task`'s default."""
    said = shapes.fields(shape, resolved.form, lines)
    said["id"], said["needs"] = draft.id, draft.needs
    said["file"], said["line"] = draft.place.file, draft.line
    said.setdefault("phase", DEFAULT_PHASE)
    said.setdefault("title", draft.id)
    if resolved.elsewhere:
        said["origins"] = layers.origins(draft.place, resolved.elsewhere)
    return Task(**said)


def _outputs(form: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What a task file hands on, as far as it can be told."""
    listed = form.get("outputs", [])
    is_sound = isinstance(listed, list) and all(isinstance(one, str) for one in listed)
    return tuple(listed) if is_sound else None


def _needs(form: Mapping[str, Any], lines: Mapping[str, list[int]]) -> tuple[Need, ...]:
    """What a task needs, as far as it can be told; exact for a valid one."""
    listed = form.get("needs")
    if not isinstance(listed, list):
        return ()
    found: list[Need] = []
    for need, line in zip(listed, lines.get("needs") or [0] * len(listed), strict=True):
        if isinstance(need, str):
            found.append(Need(need, line=line))
        elif isinstance(need, dict) and isinstance(need.get("task"), str):
            optional, require = need.get("optional") is True, need.get("require", "success")
            found.append(Need(need["task"], optional, require, line, need.get("matrix", "")))
    return tuple(found)


def _another_id(said: TaskSaid, draft: Draft) -> Problem:
    in_file = bool(said.place.loc)
    return said.written.problem(
        (*said.place.loc, "id"),
        "ZF214",
        f"id '{draft.id}' differs from its {'key' if in_file else 'folder'} '{said.name}'",
        f"remove it, or rename the {'key'}"
        if in_file
        else f"write '{said.name}', or rename the folder",
    )
