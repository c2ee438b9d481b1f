"""Task files as they were read, good and bad, and what only shows when all of them are known.

A broken file still says what it is called and what it needs, so that others are not blamed for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from zf.errors import Problem
from zf.lean.records import Struct, field
from zf.model import NOTHING, Asked, Need, Project, Task, base_of, is_conditional
from zf.plan.files.place import NOWHERE, Loc, Place, Said, place_of, shown
from zf.plan.files.pointer import Pointer, pointer_to
from zf.plan.places import PROJECT_FILE, TASK_FILE
from zf.plan.suggest import nearest
from zf.plan.topology import shortest_cycles
from zf.plan.topology import shown as in_circle
from zf.plan.yaml import yaml12

if TYPE_CHECKING:
    from zf.plan.conditions.condition import Condition, Field
    from zf.plan.conditions.fields import Unknown
    from zf.plan.matrix.expand import Matrix

_needed = attrgetter("task")
# Suggestions compare with every id; a project full of wrong names gets no more than these.
_MOST_SUGGESTIONS = 50


class Draft(Struct):
    """What is known of one task; `task` is None for a bad one. `name` is what its place calls it.

    `id` and `needs` are its own words where they could be read, for the sake of other tasks;
    `elsewhere` says where they stand that do not stand in its own place.
    """

    name: str
    place: Place
    id: str
    line: int = 1
    task: Task | None = None
    needs: tuple[Need, ...] = ()
    # What it hands on; None where that could not be read.
    outputs: tuple[str, ...] | None = ()
    condition: Condition | None = None
    states_id: bool = False
    matrix: Matrix | None = None
    # What it says, its own words and what it takes over, if that could be had.
    keys: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)
    elsewhere: Mapping[Loc, Said] = NOWHERE

    def conditions(self) -> Iterator[tuple[Loc, Condition]]:
        """Its condition and those of its steps, each with where it stands."""
        if self.condition is not None:
            yield ("condition",), self.condition
        if self.task is None:
            return
        if (until := self.task.repeat.get("until", "success")) != "success":
            from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few tasks repeat

            yield ("repeat", "until"), parse(until)
        for key, steps in (("commands", self.task.steps), ("cleanup", self.task.cleanup)):
            for index, step in enumerate(steps):
                if step.condition:
                    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps do

                    yield (key, index, "if"), parse(step.condition)

    @property
    def file(self) -> str:
        """The file it stands in, relative to the project root."""
        return self.place.file

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"task '{self.name}'" if self.place.loc else "task file"

    def where(self, loc: Loc) -> tuple[Place, Loc]:
        """Where a value of the task stands: the place, and what leads to it in the file."""
        return place_of(loc, self.place, self.elsewhere)

    def pointer(self, loc: Loc) -> tuple[Pointer, Loc]:
        """What points at a value of the task, wherever it stands."""
        place, at = self.where(loc)
        return pointer_to(place.path, place.file), at

    def problem(
        self,
        loc: Loc,
        code: str,
        message: str,
        hint: str | None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """A finding about the value at `loc` of the task."""
        pointer, at = self.pointer(loc)
        return pointer.problem(at, code, message, hint, severity)


def _same_ids(drafts: list[Draft]) -> Iterator[Problem]:
    """One id in several places; one that differs from what its place calls it is told already."""
    first: dict[str, Draft] = {}
    for draft in drafts:
        if draft.id != draft.name:
            continue
        other = first.setdefault(draft.id, draft)
        if other is not draft:
            yield draft.problem(
                ("id",) if draft.states_id else (),
                "ZF240",
                f"two tasks are called '{draft.id}': in {other.file}:{other.line}"
                f" and in {draft.file}:{draft.line}",
                "rename one of them, or remove it",
            )


def check_phase_said(drafts: list[Draft]) -> Iterator[Problem]:
    """Tasks without a phase where others have one, which are hardly meant to be apart."""
    if all("phase" in draft.keys for draft in drafts):
        return
    own = [(draft, draft.task) for draft in drafts if draft.task and not draft.task.on_end]
    named = next((task.phase for draft, task in own if "phase" in draft.keys), None)
    for draft in [draft for draft, _ in own if "phase" not in draft.keys and named is not None]:
        message = f"the {draft.title} lacks the key 'phase', which other tasks have"
        hint = f"add `phase: {named}`, or say it for all in `defaults`"
        yield draft.problem((), "ZF221", message, hint)


def check_names(drafts: list[Draft]) -> Iterator[Problem]:
    """One id in several places, or one name where file names ignore case, as proofs are folders."""
    if len({draft.id.casefold() for draft in drafts}) == len(drafts):
        return
    yield from _same_ids(drafts)
    first: dict[str, Draft] = {}
    for draft in drafts:
        other = first.setdefault(draft.id.casefold(), draft)
        if other is not draft and other.id != draft.id:
            yield draft.problem(
                ("id",),
                "ZF215",
                f"id '{draft.id}' differs from '{other.id}' ({other.file}) only in case",
                "choose ids that differ in more: their proofs are folders",
            )


def check_needs(
    drafts: list[Draft], expanded: Mapping[str, tuple[Task, ...]] = NOTHING
) -> Iterator[Problem]:
    """Needs on tasks that are not there, and on each other. A task with a matrix may be named, or
    one of its instances, which are in `expanded`.
    """
    known = {draft.name: draft for draft in drafts} | {draft.id: draft for draft in drafts}
    for base, tasks in expanded.items():
        known.update(dict.fromkeys([task.id for task in tasks], known[base]))
    suggestions = _Suggestions(known)
    # By id, as a need may also name the folder of a draft whose id differs.
    needs: dict[str, Collection[str]] = {}
    for draft in drafts:
        names = [*map(_needed, draft.needs)]
        ids = needs[draft.id] = {known[name].id for name in names if name in known}
        if len(ids) < len(names) or draft.id in ids:  # or all are there, once each
            yield from _bad_needs(draft, names, known, suggestions)
            ids.discard(draft.id)
    for cycle in shortest_cycles(needs):
        yield _circle(cycle, known)


def _bad_needs(
    draft: Draft, names: list[str], known: Mapping[str, Draft], suggestions: _Suggestions
) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for index, (name, need) in enumerate(zip(names, draft.needs, strict=True)):
        loc = ("needs", index, "task")
        if name in lines:
            hint = f"the first is in line {lines[name]}"
            yield draft.problem(loc, "ZF213", f"needs '{name}' twice", hint)
        elif name in known and known[name] is draft:
            yield draft.problem(loc, "ZF211", f"'{name}' needs itself", "remove it")
        elif name not in known and not need.optional and not _may_be_there(name, known):
            guess = suggestions.hint(name)
            yield draft.problem(loc, "ZF210", f"needs unknown task '{name}'", guess)
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
    asking = [draft for draft in drafts if draft.task is not None and is_conditional(draft.task)]
    if not asking:
        return
    known = {draft.id: draft for draft in drafts}
    suggestions = _Suggestions(known)
    for draft in asking:
        for loc, condition in draft.conditions():
            if condition.fields:
                there = fields(draft)
                if loc[0] == "repeat":  # it looks at what the task itself hands on
                    there = {*there, *(f.key for f in condition.fields if f.kind == "outputs")}
                yield from _unknown_fields(draft, loc, condition, there, known)
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
            pointer, loc = draft.pointer(("condition",))
            yield pointer.inside(loc, at, len(name), "ZF231", message, hint)


def _unknown_fields(
    draft: Draft,
    loc: Loc,
    condition: Condition,
    known: Collection[str],
    drafts: Mapping[str, Draft],
) -> Iterator[Problem]:
    from zf.plan.conditions.fields import unknown_fields  # noqa: PLC0415 - few conditions have any

    pointer, loc = draft.pointer(loc)
    for one in unknown_fields(condition, known):
        message = f"the condition asks for '{one.field.key}', which is not known here"
        hint = _status_of(one.field) or _not_needed(one, draft, drafts) or one.hint
        yield pointer.inside(loc, one.at, one.length, "ZF260", message, hint)


def _status_of(field: Field) -> str | None:
    """What to write where a condition asks for an output that is called like how a task ended."""
    if field.kind != "needs" or field.path[1:] not in (("status",), ("result",)):
        return None
    return f"how a task ended is status('{field.path[0]}'), such as 'success' or 'failure'"


def _not_needed(one: Unknown, draft: Draft, drafts: Mapping[str, Draft]) -> str | None:
    """What to do where a condition asks for an output of a task that is no need."""
    task = one.field.path[0]
    if one.field.kind != "needs" or task not in drafts or task == draft.id:
        return None
    needed = any(base_of(task) == base_of(need.task) for need in draft.needs)
    return None if needed else f"add '{task}' to `needs`"


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
    return first.problem(
        ("needs", places[0], "task"),
        "ZF212",
        f"tasks need each other in a circle: {in_circle([*cycle, cycle[0]])}",
        f"remove one of: {in_circle(edges, '; ')}",
    )


def too_much(root: str, task: Task, resource: str, there_is: int) -> Problem:
    """The finding that a task asks for more than a run has, so that it could never start."""
    return of_task(
        root,
        task,
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
    return of_task(
        root,
        task,
        ("workdir",),
        "ZF232",
        f"workdir '{task.workdir}' of task '{task.id}' is not a folder of the project",
        "make the folder, or need the task that makes it",
        "warning",
    )


def of_task(
    root: str,
    task: Task,
    loc: Loc,
    code: str,
    message: str,
    hint: str | None,
    severity: Literal["error", "warning"] = "error",
) -> Problem:
    """A finding about what a task says, when of its files nothing is kept."""
    origin = task.origins.get(shown(loc))
    if origin is not None:
        file, _, line = origin.rpartition(":")
        return Problem(code, message, file, int(line), hint=hint, severity=severity)
    in_file = () if os.path.basename(task.file) == TASK_FILE else ("tasks", base_of(task.id))
    pointer = pointer_to(f"{root}/{task.file}", task.file)
    return pointer.problem((*in_file, *loc), code, message, hint, severity)


def in_question(drafts: list[Draft], asked: Asked) -> Iterable[Draft]:
    """Those that are about to run."""
    if asked.task is None and not asked.words:
        phases = asked.phases
        if phases is None:
            return drafts
        return [draft for draft in drafts if draft.task and draft.task.phase in phases]
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
    chosen = list(in_question(drafts, asked))
    for draft in chosen:
        task = draft.task
        if task is None or "timeout_sec" not in draft.keys:
            continue
        phase = None if asked.forced else project.phases.get(task.phase)
        limit = (phase and phase.timeout_s) or default_timeout_s
        if task.timeout_s > limit:
            yield draft.problem(
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
        pointer = pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
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
    pointer = pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
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
                f"phases need each other in a circle: {in_circle([*cycle, cycle[0]])}",
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
