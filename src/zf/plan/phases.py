"""Phases among each other: which needs which, and in what order they run. Pure.

A phase needs what `phases` in zf.yaml says, and every other phase that has a task which one of its
tasks needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from heapq import heapify, heappop, heappush

from zf.errors import ZfError
from zf.model import Project, Task
from zf.plan.topology import reachable, shortest_cycles, shown

_Edges = Mapping[str, Collection[str]]


def phase_order(tasks: Mapping[str, Task], project: Project) -> tuple[str, ...]:
    """The phases of these tasks, each after those it needs; else as zf.yaml lists them, the others
    after them, by name.

    Raises ZfError (exit 2) for phases that need each other.
    """
    needed = _needed(tasks, project)
    cycle = next(shortest_cycles(needed), None)
    if cycle is not None:
        raise ZfError(
            f"phases need each other in a circle: {shown([*cycle, cycle[0]])}",
            code="ZF105",
            hint="phases run one after the other: move a task to another phase",
        )
    return tuple(_in_order(needed, project))


def _needed(tasks: Mapping[str, Task], project: Project) -> dict[str, set[str]]:
    """For each phase of these tasks, the other ones that it needs."""
    needed: dict[str, set[str]] = {task.phase: set() for task in tasks.values()}
    for task in tasks.values():
        inside = (tasks[need.task].phase for need in task.needs if need.task in tasks)
        needed[task.phase] |= set(inside) - {task.phase}
    for name, others in needed.items():
        others.update(stated_needs(project, name) & needed.keys())
    return needed


def stated_needs(project: Project, phase: str) -> set[str]:
    """All phases that zf.yaml says this one needs, near or far."""

    def needs(name: str) -> Collection[str]:
        said = project.phases.get(name)
        return said.needs if said is not None else ()

    return reachable([phase], needs) - {phase}


def _in_order(needed: _Edges, project: Project) -> Iterator[str]:
    listed = {name: rank for rank, name in enumerate(project.phases)}

    def place(name: str) -> tuple[int, str]:
        return listed.get(name, len(listed)), name

    left = {name: len(others) for name, others in needed.items()}
    dependents: dict[str, list[str]] = {name: [] for name in needed}
    for name, others in needed.items():
        for other in others:
            dependents[other].append(name)
    ready = [place(name) for name, count in left.items() if not count]
    heapify(ready)
    while ready:
        _, name = heappop(ready)
        yield name
        for other in dependents[name]:
            left[other] -= 1
            if not left[other]:
                heappush(ready, place(other))
