"""What runs in one run and in what order, and why a run cannot be what was asked for. Pure.

Everything here is linear in tasks plus needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Literal, Self

from zf.errors import Problem
from zf.lean.records import Struct, field
from zf.model import NOTHING, Flow, Need, Phase, Task, definition_sha256, script_sha256
from zf.plan.topology import levels_of


class Met(Struct, frozen=True):
    """Where an earlier run met a need: the run, the head of its journal, and the digest of the
    task's checksum list. Plans of zf 0.1 have the run alone.
    """

    run: str
    head: str | None = None
    task_sha256: str | None = None

    @classmethod
    def recorded(cls, value: Any) -> Self:
        """What a plan.json has for it."""
        return cls(value) if isinstance(value, str) else cls(**value)

    def as_json(self) -> Any:
        if self.head is None:
            return self.run
        return {"run": self.run, "head": self.head, "task_sha256": self.task_sha256}


_SILENT = Phase()


class PlannedPhase(Struct, frozen=True):
    """One phase of a plan, with the time it may take, and whether all of its tasks are in the plan:
    a part does not stand for the whole.
    """

    name: str
    title: str
    timeout_s: float
    whole: bool = True
    budget: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    # The phases of the plan that it needs; None where zf.yaml says that of no phase: then each
    # needs the one before it.
    needs: tuple[str, ...] | None = None
    max_jobs: int | None = None


# What a row has only of tasks with something of this.
_of_some = attrgetter(
    *("arguments", "outputs", "log_tail", "resources", "concurrency", "base", "matrix_from"),
    *("on_end", "max_parallel", "start_after_s", "approval", "origins"),
)
_NONE_OF_THEM = _of_some(Task("", "", ()))


class Plan(Struct, frozen=True):
    """Everything one run is to do.

    `tasks` are ordered by phase, then level, then id. `level` 0 has no needs inside the plan;
    `chain` counts the tasks on the longest chain of dependents that starts with a task, itself
    included, within its phase: a later phase waits for the whole phase anyway. `needs` is
    "not_checked" when a task runs without what it needs; `upstream` names, for needs outside the
    plan, where they were met. `weight_s` is how many seconds tasks are expected to take, for those
    of which earlier runs say so.
    """

    phases: tuple[PlannedPhase, ...]
    tasks: Mapping[str, Task]
    level: Mapping[str, int]
    chain: Mapping[str, int]
    needs: Literal["checked", "not_checked"] = "checked"
    upstream: Mapping[str, Met] = field(default_factory=lambda: NOTHING)
    weight_s: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    budget: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    # What `--matrix` said: instances with other values were left out.
    matrix: Mapping[str, Sequence[str]] = field(default_factory=lambda: NOTHING)
    # How many instances each of its matrices has in the project, so that a part is known as one.
    instances: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    # The tasks that stand for instances which are known once a need has handed on which.
    dynamic: tuple[str, ...] = ()

    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """For every task, the tasks of the plan that need it, in plan order."""
        found: dict[str, list[str]] = {name: [] for name in self.tasks}
        for name, task in self.tasks.items():
            for need in task.needs:
                if need.task in found:
                    found[need.task].append(name)
        return {name: tuple(others) for name, others in found.items()}

    def as_json(self) -> dict[str, Any]:
        """What plan.json holds."""
        return {
            "schema": "zf/plan/v2",
            "phases": [
                {
                    "name": phase.name,
                    "title": phase.title,
                    "timeout_s": phase.timeout_s,
                    "whole": phase.whole,
                    **({"budget": dict(phase.budget)} if phase.budget else {}),
                    **({} if phase.needs is None else {"needs": list(phase.needs)}),
                    **({"max_jobs": phase.max_jobs} if phase.max_jobs else {}),
                }
                for phase in self.phases
            ],
            "needs": self.needs,
            "upstream": {name: met.as_json() for name, met in self.upstream.items()},
            **({"budget": dict(self.budget)} if self.budget else {}),
            **({"instances": dict(self.instances)} if self.instances else {}),
            **({"matrix": {a: [*v] for a, v in self.matrix.items()}} if self.matrix else {}),
            "tasks": [self.row(task) for task in self.tasks.values()],
        }

    def row(self, task: Task) -> dict[str, Any]:
        """What it says of one of its tasks."""
        row = {
            "id": task.id,
            "title": task.title,
            "phase": task.phase,
            "file": task.file,
            "line": task.line,
            "sha256": definition_sha256(task),
            "script_sha256": script_sha256(task),
            "needs": [
                {"task": need.task, "optional": need.optional, "require": need.require}
                for need in task.needs
            ],
            "parallel_safe": task.parallel_safe,
            "timeout_s": task.timeout_s,
            "level": self.level[task.id],
            "chain": self.chain[task.id],
            "steps": [{"name": step.name, "line": step.line} for step in task.steps],
        }
        if task.id in self.weight_s:
            row["weight_s"] = self.weight_s[task.id]
        return row if _of_some(task) == _NONE_OF_THEM else row | self._row_of_some(task)

    @staticmethod
    def _row_of_some(task: Task) -> dict[str, Any]:
        """What only some tasks have, where this one has it."""
        return {
            **({"arguments": True} if task.arguments else {}),
            **({"outputs": list(task.outputs)} if task.outputs else {}),
            **({} if task.log_tail is None else {"log_tail": task.log_tail}),
            # What it may have to wait for, where it may.
            **({"resources": dict(task.resources)} if task.resources else {}),
            **({"concurrency": task.concurrency} if task.concurrency else {}),
            **({"base": task.base, "matrix": dict(task.matrix)} if task.base else {}),
            **({"matrix_from": dict(task.matrix_from)} if task.matrix_from else {}),
            **({"on_end": dict(task.on_end)} if task.on_end else {}),
            **({} if task.max_parallel is None else {"max_parallel": task.max_parallel}),
            **({"start_after_s": task.start_after_s} if task.start_after_s else {}),
            **({"approval": dict(task.approval)} if task.approval else {}),
            **({"origins": dict(task.origins)} if task.origins else {}),
        }


def plan_phases(
    flow: Flow,
    phases: Sequence[str],
    *,
    phase_timeout_s: float,
    phase_timeout_forced: bool = False,
    upstream: Mapping[str, Met] = NOTHING,
    unmet: Collection[str] = (),
    builds_on: Sequence[str] = (),
    chosen: Collection[str] | None = None,
    again: str = "",
) -> Plan:
    """The plan of these phases, in this order; a phase named twice runs once.

    `upstream` says which run met a need outside them, `unmet` the tasks that an earlier run
    was to meet and did not: they are there, so even an optional need of them counts. `builds_on`
    are the earlier runs as they were named, for the command that is advised instead. Only `chosen`
    tasks of the phases are in it, if any are given; `again` is the command that adds their needs.

    `phase_timeout_s` gives way to the project file's, unless a flag or variable forced it.
    Raises ZfError for an unknown phase and for needs this run cannot meet.
    """
    order = tuple(dict.fromkeys(phases))
    known = {task.phase for task in flow.tasks.values()}
    if not known.issuperset(order):
        from zf.plan.refusals import refuse_phases  # noqa: PLC0415 - of a wrong name

        refuse_phases(flow, [name for name in order if name not in known])
    tasks = _members(flow, order, chosen)
    if chosen is not None:
        left = {task.phase for task in tasks.values()}
        order = tuple(name for name in order if name in left)
    rank = {phase: index for index, phase in enumerate(order)}
    problems = [
        _unmet(flow, task, need, tasks)
        for task in tasks.values()
        for need in flow.present(task)
        if rank.get(flow.tasks[need.task].phase, -1) > rank[task.phase]
        or need.is_missing(tasks, upstream, unmet)
    ]
    if any(phase.needs for phase in flow.project.phases.values()):
        from zf.plan.refusals import refuse_order  # noqa: PLC0415 - few projects say so

        refuse_order(flow, order)
    if problems:
        from zf.plan.refusals import refuse_needs, run_with_needs  # noqa: PLC0415 - as above

        refuse_needs(problems, again or run_with_needs(flow, order, upstream, unmet, builds_on))
    timeout_s = _phase_timeouts(flow, phase_timeout_s, forced=phase_timeout_forced)
    used = {need.task for task in tasks.values() for need in task.needs} - tasks.keys()
    kept = {name: run for name, run in sorted(upstream.items()) if name in used}
    return plan_of(flow, tasks, order, timeout_s, upstream=kept)


def plan_task(
    flow: Flow,
    task_id: str,
    *,
    with_needs: bool,
    phase_timeout_s: float,
    phase_timeout_forced: bool = False,
) -> Plan:
    """The plan of one task, of all instances of its matrix if it has one: alone, its needs not
    checked, or after everything it needs.
    """
    own: tuple[str, ...] = (task_id,)
    if task_id not in flow.tasks:
        from zf.plan.matrix.chosen import instances_of  # noqa: PLC0415 - few tasks have any

        own = instances_of(flow, task_id) or own
        _refuse_unknown(flow, own[0])
    timeout_s = _phase_timeouts(flow, phase_timeout_s, forced=phase_timeout_forced)
    if not with_needs:
        tasks = {name: flow.tasks[name] for name in own}
        return plan_of(flow, tasks, (tasks[own[0]].phase,), timeout_s, needs="not_checked")
    from zf.plan.named import with_needs as needed  # noqa: PLC0415 - as above
    from zf.plan.phases import phase_order  # noqa: PLC0415 - the same

    tasks = needed(flow, own)
    return plan_of(flow, tasks, phase_order(tasks, flow.project), timeout_s)


def plan_named(
    flow: Flow,
    words: Sequence[str],
    *,
    phase_timeout_s: float,
    phase_timeout_forced: bool = False,
    only: Collection[str] | None = None,
    skipped: Collection[str] = (),
) -> Plan:
    """The plan of what the words of `zf run` name, with all that this needs; phases in their order.
    With `only`, of that these tasks, with what they need. What is `skipped` is not in it, though
    others may need it.

    Raises ZfError for a word that names nothing, or two things.
    """
    from zf.plan.named import named  # noqa: PLC0415 - as above
    from zf.plan.named import with_needs as needed  # noqa: PLC0415 - the same
    from zf.plan.phases import phase_order  # noqa: PLC0415 - the same

    names = set(named(flow, words))
    if only is not None:
        names = needed(flow, names).keys() & only
    tasks = needed(flow, names.difference(skipped), avoid=skipped)
    timeout_s = _phase_timeouts(flow, phase_timeout_s, forced=phase_timeout_forced)
    return plan_of(flow, tasks, phase_order(tasks, flow.project), timeout_s)


def plan_selection(
    flow: Flow,
    names: Collection[str],
    *,
    phase_timeout_s: float,
    phase_timeout_forced: bool = False,
    upstream: Mapping[str, Met] = NOTHING,
    unmet: Collection[str] = (),
    again: str = "",
) -> Plan:
    """The plan of just these tasks; `upstream` and `unmet` are as for phases. `again` is the
    command that runs all that is unmet.

    Raises ZfError for unknown tasks and for needs met by neither.
    """
    for name in names:
        _refuse_unknown(flow, name)
    tasks = {name: task for name, task in flow.tasks.items() if name in names}
    missing = [
        (task, need)
        for task in tasks.values()
        for need in flow.present(task)
        if need.is_missing(tasks, upstream, unmet)
    ]
    from zf.plan.phases import phase_order  # noqa: PLC0415 - as above

    if missing:
        from zf.plan.refusals import refuse_needs, run_with_needs  # noqa: PLC0415 - the same

        phases = tuple(dict.fromkeys(task.phase for task in tasks.values()))
        command = again if all(need.task in unmet for _, need in missing) else ""
        refuse_needs(
            [_unmet(flow, task, need, tasks) for task, need in missing],
            command or run_with_needs(flow, phases, {}, unmet, ()),
        )
    timeout_s = _phase_timeouts(flow, phase_timeout_s, forced=phase_timeout_forced)
    return plan_of(flow, tasks, phase_order(tasks, flow.project), timeout_s, upstream=upstream)


def _members(
    flow: Flow, phases: Collection[str], chosen: Collection[str] | None
) -> dict[str, Task]:
    return {
        name: task
        for name, task in flow.tasks.items()
        if task.phase in phases and (chosen is None or name in chosen)
    }


def outside_needs(
    flow: Flow, phases: Collection[str], chosen: Collection[str] | None = None
) -> Mapping[str, tuple[str, ...]]:
    """For a run of these phases, or of the `chosen` tasks of them, every task it needs and does not
    run, and the tasks that need it.
    """
    found: dict[str, list[str]] = {}
    members = _members(flow, phases, chosen)
    for name, task in members.items():
        for need in flow.present(task):
            if need.task not in members:
                found.setdefault(need.task, []).append(name)
    return {name: tuple(needed_by) for name, needed_by in sorted(found.items())}


def _refuse_unknown(flow: Flow, name: str) -> None:
    if name not in flow.tasks:
        from zf.plan.refusals import refuse_task  # noqa: PLC0415 - of a wrong name

        refuse_task(flow, name)


def _unmet(flow: Flow, task: Task, need: Need, tasks: Collection[str]) -> Problem:
    from zf.plan.refusals import unmet_need  # noqa: PLC0415 - as above

    return unmet_need(flow, task, need, tasks)


def plan_of(
    flow: Flow,
    tasks: Mapping[str, Task],
    order: Sequence[str],
    timeout_s: Callable[[str], float],
    *,
    needs: Literal["checked", "not_checked"] = "checked",
    upstream: Mapping[str, Met] = NOTHING,
) -> Plan:
    """The plan of these tasks, in these phases and no others but that of the run's handlers."""
    if flow.handlers:
        from zf.plan.gates.planned import with_handlers  # noqa: PLC0415 - few projects have any

        tasks, order = with_handlers(flow, tasks, order)
    if flow.matrix and needs == "checked":
        from zf.plan.refusals import refuse_left_out  # noqa: PLC0415 - few runs choose

        refuse_left_out(flow, tasks.values(), upstream)
    absent = {t.phase for name, t in flow.tasks.items() if name not in tasks}
    whole = set(order) - absent - flow.partly
    edges = {name: [n.task for n in task.needs if n.task in tasks] for name, task in tasks.items()}
    levels = levels_of(edges)
    rank = {phase: index for index, phase in enumerate(order)}
    last = {task.id: place for place, task in enumerate(flow.handlers, start=1)}
    names = sorted(tasks, key=lambda n: (rank[tasks[n].phase], last.get(n, 0), levels[n], n))
    project = flow.project
    needed: Callable[[str], Collection[str]] | None = None
    if any(phase.needs for phase in project.phases.values()):
        from zf.plan.phases import stated_needs  # noqa: PLC0415 - as above

        needed = partial(stated_needs, project)

    def planned(name: str) -> PlannedPhase:
        said = project.phases.get(name, _SILENT)
        needs = None
        if needed is not None:
            near_or_far = needed(name)
            needs = tuple(other for other in order if other in near_or_far)
        return PlannedPhase(
            name,
            said.title,
            timeout_s(name),
            name in whole,
            said.budget,
            needs,
            said.max_jobs,
        )

    bases = {task.base for task in tasks.values()} if flow.instances else ()
    later = [base for base, number in flow.instances.items() if not number]
    dynamic = tuple(name for name in names if name in later) if later else ()
    if dynamic and needs == "not_checked":
        from zf.plan.refusals import refuse_unlisted  # noqa: PLC0415 - few tasks are such

        refuse_unlisted(tasks[dynamic[0]])
    return Plan(
        phases=tuple(map(planned, order)),
        tasks={name: tasks[name] for name in names},
        level={name: levels[name] for name in names},
        chain=_chains(tasks, names, levels, order),
        needs=needs,
        upstream=upstream,
        budget=flow.project.budget,
        matrix=flow.matrix,
        instances={base: n for base, n in flow.instances.items() if base in bases},
        dynamic=dynamic,
    )


def _chains(
    tasks: Mapping[str, Task], names: Sequence[str], levels: Mapping[str, int], order: Sequence[str]
) -> dict[str, int]:
    """For each task how many tasks of its phase the longest chain has that begins with it."""
    chain = dict.fromkeys(names, 1)
    # Of its dependents in each phase, by the task that they need: of any phase, but only those of
    # this one are asked for.
    behind: dict[str, dict[str, int]] = {phase: {} for phase in order}
    for name in sorted(names, key=levels.__getitem__, reverse=True):
        task = tasks[name]
        of_phase = behind[task.phase]
        longest = of_phase.get
        length = chain[name] = longest(name, 0) + 1
        for need in task.needs:
            if longest(need.task, 0) < length:
                of_phase[need.task] = length
    return chain


def _phase_timeouts(flow: Flow, given_s: float, *, forced: bool) -> Callable[[str], float]:
    def timeout_s(phase: str) -> float:
        stated = flow.project.phases.get(phase)
        if forced or stated is None or stated.timeout_s is None:
            return given_s
        return stated.timeout_s

    return timeout_s
