"""In which order tasks start that could start at the same time. Pure.

Higher priority first, then whatever has the longest way to the end of its phase behind it, then by
id. How long a way is, is told in seconds where earlier runs say how long tasks took (`weight_s`).
Where none does, each task counts as many as it needs others: one that joins the work of twenty has
that much to take in. Counted as one, which a plain count of tasks does, it came too late, and
whatever does not look ahead at all, such as make, was quicker.

The longest way first is a good rule, not always the best one. So what it comes to is worked out
beforehand, and other orders are tried as long as that can save more than it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from heapq import heappop, heappush

from zf.lean.records import replace
from zf.model import Task
from zf.plan.graph import Plan, PlannedPhase
from zf.run.schedule.orders import Limits
from zf.run.schedule.ready import ReadyQueue

# An order this near to what no order can beat is not looked behind.
_NEAR = 1.01
# What rehearsing may take of the time that the phase will take, and of anyone's at all: so many
# tasks, at ten microseconds each.
_SHARE, _TASK_S, _MOST_TASKS = 0.005, 10e-6, 100_000
_MOST_REHEARSALS = 1000
# How far the ways of tasks are stretched for another order: widely ever again, as what is near to
# an order has its faults.
_STRETCHES = (0.02, 0.1, 0.3, 0.6, 0.9)

_Cost = Mapping[str, float]


def start_order(plan: Plan, limits: Limits) -> list[Task]:
    """All tasks of the plan, the one that comes first at the head."""
    counted = _ways(plan, {task.id: max(1, len(task.needs)) for task in plan.tasks.values()})
    if not plan.weight_s:
        return _sorted(plan.tasks.values(), counted)
    cost = {name: plan.weight_s.get(name, 0.0) for name in plan.tasks}
    timed = _ways(plan, cost)
    phases: dict[str, list[Task]] = {phase.name: [] for phase in plan.phases}
    for task in plan.tasks.values():
        phases[task.phase].append(task)
    # A phase begins when the one before it is over, so each has an order of its own.
    return [
        task
        for phase in plan.phases
        for task in _best(phases[phase.name], cost, timed, counted, _limits_of(phase, limits))
    ]


def _limits_of(phase: PlannedPhase, limits: Limits) -> Limits:
    if phase.max_jobs is None or phase.max_jobs >= limits.max_jobs:
        return limits
    return replace(limits, max_jobs=phase.max_jobs)


def _ways(plan: Plan, cost: _Cost) -> dict[str, float]:
    """For each task what lies between its start and the end of its phase, along its dependents."""
    ways: dict[str, float] = {}
    # The longest way of the dependents in each phase, by the task that they need: of any phase, but
    # only those of this one are asked for.
    behind: dict[str, dict[str, float]] = {phase.name: {} for phase in plan.phases}
    for task in reversed([*plan.tasks.values()]):  # dependents come before what they need
        of_phase = behind[task.phase]
        way = ways[task.id] = cost[task.id] + of_phase.get(task.id, 0.0)
        longest = of_phase.get
        for need in task.needs:
            if longest(need.task, 0.0) < way:
                of_phase[need.task] = way
    return ways


def _sorted(tasks: Iterable[Task], ways: _Cost) -> list[Task]:
    return sorted(tasks, key=lambda task: (-task.priority, -ways[task.id], task.id))


def _best(
    tasks: Sequence[Task], cost: _Cost, timed: _Cost, counted: _Cost, limits: Limits
) -> list[Task]:
    """The order of a phase that takes least, as far as it is worth while to look for it."""
    best = _sorted(tasks, timed)
    least_s = _no_less_than(tasks, cost, timed, limits.max_jobs)
    share = min(_MOST_TASKS * _TASK_S, least_s * _SHARE)
    rehearsals = min(_MOST_REHEARSALS, int(share / _TASK_S) // max(1, len(tasks)))
    if rehearsals < 2:
        return best  # one alone has nothing that it could be compared with
    took_s, ways = rehearse(best, cost, limits), timed
    for number in range(rehearsals - 1):
        if took_s <= least_s * _NEAR:
            break
        # The order that a run without any times would have: this one is never the worse. Then the
        # best so far and the first in turn, changed by chance.
        other = _stretched(ways if number % 2 else timed, tasks, number) if number else counted
        order = _sorted(tasks, other)
        other_s = rehearse(order, cost, limits)
        if other_s < took_s:
            best, took_s, ways = order, other_s, other
    return best


def _no_less_than(tasks: Iterable[Task], cost: _Cost, timed: _Cost, slots: int) -> float:
    """What no order can beat: the longest way, and all the work spread evenly over the slots."""
    work_s = sum(cost[t.id] / slots if t.parallel_safe else cost[t.id] for t in tasks)
    return max(work_s, max((timed[task.id] for task in tasks), default=0.0))


def _stretched(ways: _Cost, tasks: Iterable[Task], number: int) -> dict[str, float]:
    """Ways made longer or shorter by chance, which is the same each time."""
    reach = _STRETCHES[number % len(_STRETCHES)]
    return {
        task.id: ways[task.id] * (1 + reach * (2 * _drawn(number, task.id) - 1)) for task in tasks
    }


def _drawn(number: int, name: str) -> float:
    return int.from_bytes(sha256(f"{number}/{name}".encode()).digest()[:8], "big") / 2**64


def rehearse(order: Sequence[Task], cost: _Cost, limits: Limits) -> float:
    """How many seconds the tasks of one phase take in this order, if each takes what it costs and
    nothing fails or is waited for but slots, resources and groups.
    """
    queue = ReadyQueue(order, limits.resources)
    open_needs = {task.id: 0 for task in order}
    dependents: dict[str, list[str]] = {task.id: [] for task in order}
    is_beside = {task.id: task.parallel_safe for task in order}
    for task in order:
        for name in {need.task for need in task.needs} & open_needs.keys():
            dependents[name].append(task.id)
            open_needs[task.id] += 1
    for name, count in open_needs.items():
        if not count:
            queue.add(name)
    running: list[tuple[float, str]] = []
    now, alone = 0.0, False
    while queue or running:
        while len(running) < limits.max_jobs and not alone:
            if (started := _take(queue, idle=not running)) is None:
                break
            heappush(running, (now + cost[started], started))
            alone = not is_beside[started]
        if not running:
            break  # what is left asks for more than there is
        now, ended = heappop(running)
        alone = False
        queue.release(ended)
        for dependent in dependents[ended]:
            open_needs[dependent] -= 1
            if not open_needs[dependent]:
                queue.add(dependent)
    return now


def _take(queue: ReadyQueue, *, idle: bool) -> str | None:
    """The next task, which has its lease at once."""
    name = queue.take(idle=idle)
    if name is None and (lacking := queue.lacks_lease):
        queue.lease(lacking)
        name = queue.take(idle=idle)
    return name
