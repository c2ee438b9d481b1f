"""Instances that a run had: known from its plan, for runs that go on with it or build on it. Pure.

What needs a task whose instances are only known in a run needs, once these are known, each of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from zf.lean.records import replace
from zf.model import Flow, Need, Task, base_of
from zf.plan.matrix.dynamic import UnusableError, recalled, with_needs

# Of an instance: `id`; `matrix`, unless it is only needed; and `needs`.
_Told = dict[str, Any]


def grown(flow: Flow, plan: Mapping[str, Any]) -> Flow:
    """The flow with the instances that are in this plan, or are needed there, in the place of their
    bases: it is the plan of a run of these tasks.
    """
    return _with(flow, _named(flow, plan["tasks"]), plan.get("instances", {}))


def known_from(flow: Flow, plan: Mapping[str, Any], but: Collection[str] = ()) -> Flow:
    """The flow with the instances that an earlier run had, by its plan, those of `but` aside: what
    they need is what their task file says now.
    """
    found = {base: told for base, told in _named(flow, plan["tasks"]).items() if base not in but}
    for told in found.values():
        for one in told:
            one.pop("needs", None)
    return _with(flow, found, plan.get("instances", {}))


def _named(flow: Flow, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[_Told]]:
    """The instances in these rows of a plan, in the order in which others need them, by those of
    their bases that have no others yet.
    """
    found: dict[str, dict[str, _Told]] = {}
    names = [need["task"] for row in rows for need in row["needs"]]
    for name in (*names, *(row["id"] for row in rows)):
        base = flow.tasks.get(base_of(name))
        if base is not None and base.matrix_from and base.id != name:
            found.setdefault(base.id, {}).setdefault(name, {"id": name})
    for row in rows:
        if row["id"] in found.get(str(row.get("base")), {}):
            needs = [need["task"] for need in row["needs"]]
            found[row["base"]][row["id"]] |= {"matrix": row["matrix"], "needs": needs}
    return {base: [*told.values()] for base, told in found.items()}


def _with(flow: Flow, found: Mapping[str, Sequence[_Told]], sizes: Mapping[str, int]) -> Flow:
    if not found:
        return flow
    tasks: dict[str, Task] = {}
    for task in flow.tasks.values():
        own = [recalled(task, one) for one in found.get(task.id, ()) if "matrix" in one]
        tasks |= {one.id: one for one in own} if task.id in found else {task.id: task}
    values: dict[str, dict[str, Mapping[str, str]]] = {}
    for task in tasks.values():
        if task.base:
            values.setdefault(task.base, {})[task.id] = task.matrix
    names = {base: [str(one["id"]) for one in told] for base, told in found.items()}
    stated = {one["id"] for told in found.values() for one in told if "needs" in one}
    for name, task in tasks.items():
        again = _needing(task, values) if task.base in found and name not in stated else task
        if any(need.task in names for need in again.needs):
            again = replace(again, needs=tuple(_instead(again.needs, names)))
        tasks[name] = again
    counts = {base: sizes.get(base, len(told)) for base, told in found.items()}
    in_order = {name: tasks[name] for name in sorted(tasks)}
    return replace(flow, tasks=in_order, instances={**flow.instances, **counts})


def _needing(task: Task, known: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Task:
    try:
        return with_needs(task, known)
    except UnusableError:
        return task  # it needs what is no longer there, and the plan will say so


def _instead(needs: Iterable[Need], names: Mapping[str, Sequence[str]]) -> Iterator[Need]:
    for need in needs:
        if need.task not in names:
            yield need
        for name in names.get(need.task, ()):
            yield replace(need, task=name, matrix="all")
