"""Task files as they were read, good and bad, and what only shows when all of them are known.

A broken file still says what it is called and what it needs, so that others are not blamed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from zf.errors import Problem
from zf.lean.records import Struct, field
from zf.model import NOTHING, Asked, Need, Project, Task, base_of
from zf.plan.suggest import nearest
from zf.plan.topology import shortest_cycles
from zf.plan.yaml import source, yaml12
from zf.plan.yaml.position import marks_inside
from zf.plan.yaml.source import Source
from zf.variables import refers

if TYPE_CHECKING:
    from zf.plan.conditions.condition import Condition
    from zf.plan.matrix.expand import Matrix
    from zf.plan.matrix.instances import Expanded
    from zf.plan.steps.env import Finding

PROJECT_FILE = "zf.yaml"
# Suggestions compare with every id; a project full of wrong names gets no more than these.
_MOST_SUGGESTIONS = 50


class Draft(Struct):
    """What is known of one task file; `task` is None for a bad one.

    `id` and `needs` are its own words where they could be read, for the sake of other files.
    """

    folder: str
    path: str
    file: str
    id: str
    task: Task | None = None
    needs: tuple[Need, ...] = ()
    condition: Condition | None = None
    matrix: Matrix | None = None
    states_timeout: bool = False
    problems: list[Problem] = field(default_factory=list)

    def conditions(self) -> Iterator[tuple[tuple[int | str, ...], Condition]]:
        """Its condition and those of its steps, each with where it stands."""
        if self.condition is not None:
            yield ("condition",), self.condition
        if self.task is None:
            return
        for key, steps in (("commands", self.task.steps), ("cleanup", self.task.cleanup)):
            for index, step in enumerate(steps):
                if step.condition:
                    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps do

                    yield (key, index, "if"), parse(step.condition)


class Pointer:
    """Points into a file that was read before, for messages; reads it again when first asked."""

    def __init__(self, path: str, file: str) -> None:
        self._file = file
        found = source.read(path, file)
        self._source = found if isinstance(found, Source) else None
        self._document = yaml12.read(found) if isinstance(found, Source) else yaml12.Document()

    def problem(
        self,
        loc: tuple[int | str, ...],
        code: str,
        message: str,
        hint: str | None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        if self._source is None or self._document.root is None:  # changed since it was read
            return Problem(code, message, self._file, hint=hint, severity=severity)
        node = self._document.node_at(loc)
        start, end = node.start_mark, node.end_mark
        return self._source.problem(code, message, start, end, hint=hint, severity=severity)

    def inside(
        self,
        loc: tuple[int | str, ...],
        at: int,
        length: int,
        code: str,
        message: str,
        hint: str | None,
    ) -> Problem:
        """The same for some characters of the text at `loc`, counted from 0."""
        if self._source is None or self._document.root is None:
            return Problem(code, message, self._file, hint=hint)
        node = self._document.node_at(loc)
        start, end = marks_inside(self._source, node, at, length)
        return self._source.problem(code, message, start, end, hint=hint)


def check_names(drafts: list[Draft]) -> Iterator[Problem]:
    """Ids that are one name where file names ignore case, as proofs are folders."""
    first: dict[str, Draft] = {}
    for draft in drafts:
        other = first.setdefault(draft.id.casefold(), draft)
        if other is not draft and other.id != draft.id:
            yield Pointer(draft.path, draft.file).problem(
                ("id",),
                "ZF215",
                f"id '{draft.id}' differs from '{other.id}' ({other.file}) only in case",
                "choose ids that differ in more: their proofs are folders",
            )


def check_needs(drafts: list[Draft], expanded: Expanded = NOTHING) -> Iterator[Problem]:
    """Needs on tasks that are not there, and on each other. A task with a matrix may be named, or
    one of its instances, which are in `expanded`.
    """
    known = {draft.folder: draft for draft in drafts} | {draft.id: draft for draft in drafts}
    for base, tasks in expanded.items():
        known.update(dict.fromkeys([task.id for task in tasks], known[base]))
    suggestions = _Suggestions(known)
    for draft in drafts:
        names = [need.task for need in draft.needs]
        wanted = {need.task for need in draft.needs if not need.optional}
        if (
            any(known.get(name) is draft for name in names)
            or len(set(names)) < len(names)
            or not known.keys() >= wanted
        ):
            yield from _bad_needs(draft, names, known, suggestions)
    # By id, as a need may also name the folder of a draft whose id differs.
    needs = {
        draft.id: {known[n.task].id for n in draft.needs if n.task in known} - {draft.id}
        for draft in drafts
    }
    for cycle in shortest_cycles(needs):
        yield _circle(cycle, known)


def _bad_needs(
    draft: Draft, names: list[str], known: Mapping[str, Draft], suggestions: _Suggestions
) -> Iterator[Problem]:
    pointer = Pointer(draft.path, draft.file)
    lines: dict[str, int] = {}
    for index, (name, need) in enumerate(zip(names, draft.needs, strict=True)):
        loc = ("needs", index, "task")
        if name in lines:
            hint = f"the first is in line {lines[name]}"
            yield pointer.problem(loc, "ZF213", f"needs '{name}' twice", hint)
        elif name in known and known[name] is draft:
            yield pointer.problem(loc, "ZF211", f"'{name}' needs itself", "remove it")
        elif name not in known and not need.optional and not _may_be_there(name, known):
            guess = suggestions.hint(name)
            yield pointer.problem(loc, "ZF210", f"needs unknown task '{name}'", guess)
        lines.setdefault(name, need.line)


def _may_be_there(name: str, known: Mapping[str, Draft]) -> bool:
    """Whether it would be an instance of a matrix in a file that cannot be read."""
    base = known.get(base_of(name))
    return base_of(name) != name and base is not None and base.task is None


def check_conditions(
    drafts: list[Draft], fields: Callable[[Draft], Collection[str]] = lambda _: ()
) -> Iterator[Problem]:
    """Conditions that ask for the status of a task that is not among the needs, or for a value of
    the project's own that is not there. `fields` says which there are for a task, by their keys.
    """
    known = {draft.id: draft for draft in drafts}
    suggestions = _Suggestions(known)
    for draft in drafts:
        for loc, condition in draft.conditions():
            if condition.fields:
                yield from _unknown_fields(draft, loc, condition, fields(draft))
        if draft.condition is None:
            continue
        names = {need.task for need in draft.needs}
        for name, at in draft.condition.tasks.items():
            if name in names or base_of(name) in names:
                continue
            hint = suggestions.hint(name)
            if name == draft.id:
                hint = "a task cannot know how it will end"
            elif name in known:
                hint = f"add it to `needs`, as {{task: {name}, require: done}} if it may fail"
            what = f"which '{draft.id}' does not need" if name in known else "an unknown task"
            message = f"the condition asks for the status of '{name}', {what}"
            pointer = Pointer(draft.path, draft.file)
            yield pointer.inside(("condition",), at, len(name), "ZF231", message, hint)


def _unknown_fields(
    draft: Draft, loc: tuple[int | str, ...], condition: Condition, known: Collection[str]
) -> Iterator[Problem]:
    from zf.plan.conditions.fields import unknown_fields  # noqa: PLC0415 - few conditions have any

    pointer = Pointer(draft.path, draft.file)
    for one in unknown_fields(condition, known):
        message = f"the condition asks for '{one.key}', which is not known here"
        yield pointer.inside(loc, one.at, one.length, "ZF260", message, one.hint)


def check_env(drafts: list[Draft], project: Project) -> Iterator[Problem]:
    """Values of `env` that name what is not there, and ones that cannot be read."""
    for draft in drafts:
        if draft.task is not None and refers(draft.task):
            from zf.plan.steps.env import check  # noqa: PLC0415 - few tasks have such values

            names = _matrix_variables(draft.matrix)
            yield from _at(Pointer(draft.path, draft.file), check(draft.task, project, names))


def _matrix_variables(matrix: Matrix | None) -> Collection[str]:
    """Those that instances are told their values with."""
    if matrix is None:
        return ()
    from zf.plan.matrix.names import variables  # noqa: PLC0415 - few tasks have one

    axes = [*matrix.axes, *(key for entry in matrix.include for key in entry)]
    return variables(dict.fromkeys(axes, ""), matrix.counts)


def unset(root: str, task: Task, findings: Iterable[Finding]) -> Iterator[Problem]:
    """What a task asks of the environment of a run, and what is not set there."""
    return _at(Pointer(f"{root}/{task.file}", task.file), findings)


def unset_for_all(root: str, findings: Iterable[Finding]) -> Iterator[Problem]:
    """What the project asks of it for every run."""
    return _at(Pointer(f"{root}/{PROJECT_FILE}", PROJECT_FILE), findings)


def _at(pointer: Pointer, findings: Iterable[Finding]) -> Iterator[Problem]:
    for one in findings:
        if one.length:
            yield pointer.inside(one.loc, one.at, one.length, one.code, one.message, one.hint)
        else:
            yield pointer.problem(one.loc, one.code, one.message, one.hint)


class _Suggestions:
    """Did-you-mean for needs, with a bound on how long all of them together may take."""

    def __init__(self, known: Mapping[str, Draft]) -> None:
        self._known = known
        self._hints: dict[str, str | None] = {}

    def hint(self, name: str) -> str | None:
        if name not in self._hints and len(self._hints) < _MOST_SUGGESTIONS:
            guess = nearest(name, self._known)
            self._hints[name] = guess and f"did you mean '{guess}'{self._phase(guess)}?"
        return self._hints.get(name)

    def _phase(self, name: str) -> str:
        task = self._known[name].task
        return f" (phase {task.phase})" if task else ""


def _circle(cycle: list[str], known: Mapping[str, Draft]) -> Problem:
    """One problem for a cycle, at its first edge, naming the line of every edge."""
    places: list[int] = []
    edges: list[str] = []
    for name, needed in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        draft = known[name]
        ids = [known[need.task].id if need.task in known else "" for need in draft.needs]
        places.append(ids.index(needed))
        edges.append(f"{name} needs {needed} ({draft.file}:{draft.needs[places[-1]].line})")
    first = known[cycle[0]]
    return Pointer(first.path, first.file).problem(
        ("needs", places[0], "task"),
        "ZF212",
        f"tasks need each other in a circle: {' -> '.join([*cycle, cycle[0]])}",
        f"remove one of: {'; '.join(edges)}",
    )


def too_much(root: str, task: Task, resource: str, there_is: int) -> Problem:
    """The finding that a task asks for more than a run has, so that it could never start."""
    return Pointer(f"{root}/{task.file}", task.file).problem(
        ("resources", resource),
        "ZF107",
        f"task '{task.id}' asks for {task.resources[resource]} '{resource}',"
        f" of which there is {there_is}",
        f"say how much there is: resources in zf.yaml, or --resource {resource}=N",
    )


def no_workdir(root: str, task: Task) -> Problem:
    """The finding that a task's folder to run in is not there, and that it needs no task that
    could make it. A warning: an earlier phase, or something outside zf, still could.
    """
    return Pointer(f"{root}/{task.file}", task.file).problem(
        ("workdir",),
        "ZF232",
        f"workdir '{task.workdir}' of task '{task.id}' is not a folder of the project",
        "make the folder, or need the task that makes it",
        "warning",
    )


def _in_question(drafts: list[Draft], asked: Asked) -> Iterable[Draft]:
    """Those that are about to run."""
    if asked.task is None and not asked.words:
        phases = asked.phases
        return (d for d in drafts if phases is None or (d.task and d.task.phase in phases))
    by_id = {draft.id: draft for draft in drafts}
    wanted = {draft.id: draft for draft in drafts if _is_named(draft, asked)}
    for draft in (queue := list(wanted.values())) if asked.needs else ():
        for need in draft.needs:  # the list grows while it is read
            name = base_of(need.task)
            if name in by_id and name not in wanted:
                wanted[name] = by_id[name]
                queue.append(by_id[name])
    return [draft for draft in drafts if draft.id in wanted]


def _is_named(draft: Draft, asked: Asked) -> bool:
    if not asked.words:
        return draft.id == base_of(asked.task or "")
    phase = draft.task.phase if draft.task else ""
    return any(
        word in {draft.id, f"task:{draft.id}", phase, f"phase:{phase}"} for word in asked.words
    )


def phase_warnings(
    drafts: list[Draft], project: Project, default_timeout_s: float, root: str, asked: Asked
) -> Iterator[Problem]:
    """Warnings about what is valid but hardly intended, in what is about to run."""
    for draft in _in_question(drafts, asked):
        task = draft.task
        if task is None or not draft.states_timeout:
            continue
        phase = None if asked.forced else project.phases.get(task.phase)
        limit = (phase and phase.timeout_s) or default_timeout_s
        if task.timeout_s > limit:
            yield Pointer(draft.path, draft.file).problem(
                ("timeout_sec",),
                "ZF217",
                f"timeout_sec {task.timeout_s:.10g} is more than phase '{task.phase}' may take"
                f" ({limit:.10g} s)",
                "the phase's timeout will strike first",
                "warning",
            )
    used = {draft.task.phase for draft in drafts if draft.task}
    unused = [name for name in project.phases if name not in used]
    if unused:
        pointer = Pointer(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
        for name in unused:
            guess = nearest(name, used)
            hint = f"did you mean '{guess}'?" if guess else None
            loc = ("phases", name, yaml12.KEY)
            yield pointer.problem(loc, "ZF218", f"no task has phase '{name}'", hint, "warning")


def check_phases(drafts: list[Draft], project: Project, root: str) -> Iterator[Problem]:
    """What zf.yaml says that phases need: phases that there are, and no circle."""
    if not any(phase.needs for phase in project.phases.values()):
        return
    needs = _needs_of_phases(drafts)
    known = needs.keys() | project.phases.keys()
    pointer = Pointer(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
    for name, phase in project.phases.items():
        for index, need in enumerate(phase.needs):
            if need not in known:
                guess = nearest(need, known)
                hint = (
                    f"did you mean '{guess}'?" if guess else f"phases: {', '.join(sorted(known))}"
                )
                message = f"phase '{name}' needs unknown phase '{need}'"
                yield pointer.problem(("phases", name, "needs", index), "ZF234", message, hint)
    stated = {(name, need) for name, phase in project.phases.items() for need in phase.needs}
    for name, need in stated:
        if need in known:
            needs.setdefault(name, set()).add(need)
            needs.setdefault(need, set())
    for cycle in shortest_cycles(needs):
        edges = [*zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
        said = next((edge for edge in edges if edge in stated), None)
        if said is not None:  # one of tasks alone is refused by the run that has both phases
            index = project.phases[said[0]].needs.index(said[1])
            yield pointer.problem(
                ("phases", said[0], "needs", index),
                "ZF235",
                f"phases need each other in a circle: {' -> '.join([*cycle, cycle[0]])}",
                " or ".join(["remove it", *_other_edges(edges, said)]),
            )


def _other_edges(edges: list[tuple[str, str]], said: tuple[str, str]) -> Iterator[str]:
    return (f"what '{name}' needs of '{need}'" for name, need in edges if (name, need) != said)


def _needs_of_phases(drafts: list[Draft]) -> dict[str, set[str]]:
    """For every phase with a task, the other phases that its tasks need."""
    tasks = {draft.id: draft.task for draft in drafts if draft.task is not None}
    needs: dict[str, set[str]] = {task.phase: set() for task in tasks.values()}
    for task in tasks.values():
        inside = (tasks[need.task].phase for need in task.needs if need.task in tasks)
        needs[task.phase].update(set(inside) - {task.phase})
    return needs
