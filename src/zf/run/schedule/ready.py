"""The tasks that could start now, in start order, and the resources they would claim. Pure.

A task that must run alone, once it has come to the head, keeps its place until everything else has
ended. One that is short of a resource steps aside, and so does every later one that wants the same
resource: first come, first served, and tasks that want other things go past them.

The group of a task has one place in this run, and a lease that other runs may have. The lease comes
last: a task that lacks nothing else is chosen, and starts once `lease` says that it has it.

Tasks with equal claims wait in line behind each other, so a turn looks at lines, not at tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from zf.model import LOCAL, Task

if TYPE_CHECKING:
    from zf.run.schedule.limits.executors import Executors

# What a task takes of the machine that it runs on, which may be another.
OF_A_MACHINE = frozenset({"cpu", "mem_mb"})

_Claim = tuple[tuple[str, int], ...]


def claim_of(task: Task) -> _Claim:
    """What the task takes while it runs: its resources, the one place of its group, and one of
    those that its matrix has.
    """
    claim = {name: amount for name, amount in task.resources.items() if amount}
    if task.concurrency:
        claim[_place(task.concurrency)] = 1
    if (place := place_of(task)) is not None:
        claim[place] = 1
    return tuple(sorted(claim.items()))


def _place(group: str) -> str:
    return f"concurrency {group}"


def place_of(task: Task) -> str | None:
    """The resource of which each instance of its matrix takes one; None where their number is not
    limited (`max_parallel`).
    """
    return None if task.max_parallel is None else f"matrix {task.base}"


def _places(tasks: Iterable[Task]) -> dict[str, int]:
    """How many of these there are."""
    return {
        f"matrix {task.base}": task.max_parallel for task in tasks if task.max_parallel is not None
    }


def impossible(
    tasks: Mapping[str, Task], limits: Mapping[str, int], by_default: str = ""
) -> Iterator[tuple[str, str]]:
    """Every (task, resource) that asks for more than there is; such a task could never start.
    `by_default` is where tasks run that name no executor.
    """
    for task in tasks.values():
        if not task.resources:
            continue
        elsewhere = task.labels or (task.executor or by_default or LOCAL) != LOCAL
        for name, amount in task.resources.items():
            if amount > limits.get(name, 0) and not (elsewhere and name in OF_A_MACHINE):
                yield task.id, name


class ReadyQueue:
    """`in_order` is every task that may ever come, in start order. `executors` are there where
    tasks may run elsewhere.
    """

    def __init__(
        self,
        in_order: Sequence[Task],
        limits: Mapping[str, int],
        executors: Executors | None = None,
    ) -> None:
        self._executors = executors
        self._tasks: dict[float, Task] = dict(enumerate(in_order))
        self._rank: dict[str, float] = {task.id: rank for rank, task in self._tasks.items()}
        self._free = {**limits, **_places(in_order)}
        self._place: dict[str, str] = {}  # task -> what it takes of executors
        self._claims = {task.id: self._claim_of(task) for task in in_order}
        self._names: set[str] = set()
        self._lines: dict[_Claim, list[float]] = {}
        # The head of each line that is not set aside; old entries are passed over when met.
        self._heads: list[tuple[float, _Claim]] = []
        self._aside: dict[str, list[_Claim]] = {}  # resource -> lines that wait for it
        self._waits_for: dict[_Claim, str] = {}
        # Comes next, whatever else gets ready meanwhile: it lacks its lease, or waits to be alone.
        self._chosen: str | None = None
        self._has_lease = False

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def extend(self, base: str, in_order: Sequence[Task]) -> None:
        """These tasks may come, too, in the place of their base."""
        rank = self._rank[base]
        for index, task in enumerate(in_order, 1):
            self._rank[task.id] = at = rank + index / (len(in_order) + 1)
            self._tasks[at] = task
            self._claims[task.id] = self._claim_of(task)
        self._free |= _places(in_order)

    def _claim_of(self, task: Task) -> _Claim:
        claim, executors = claim_of(task), self._executors
        if executors is None:
            return claim
        if executors.is_elsewhere(task):
            claim = tuple([(name, n) for name, n in claim if name not in OF_A_MACHINE])
        place = self._place[task.id] = executors.place_for(task)
        self._free[place] = executors.left(place)
        return (*claim, (place, 1))

    def add(self, name: str) -> None:
        """The task could start from now on."""
        self._names.add(name)
        claim = self._claims[name]
        line = self._lines.setdefault(claim, [])
        heappush(line, self._rank[name])
        if line[0] == self._rank[name] and claim not in self._waits_for:
            heappush(self._heads, (line[0], claim))

    def discard(self, name: str) -> bool:
        """The task will not start after all. Its place in line is passed over when reached. True
        if it had its lease.
        """
        self._names.discard(name)
        had_lease = self._chosen == name and self._has_lease
        if self._chosen == name:
            self._chosen = None
        # It may be the one the others stepped aside for.
        self._look_again_at(self._waits_for.get(self._claims[name]))
        return had_lease

    def take(self, *, idle: bool) -> str | None:
        """The task to start now, its resources claimed; `idle` says that nothing runs."""
        if self._chosen is None:
            self._chosen, self._has_lease = self._next(), False
        name = self._chosen
        if name is None or self.lacks_lease:
            return None
        if not idle and not self._task(name).parallel_safe:
            return None
        self._chosen = None
        self.claim(name)
        return name

    @property
    def lacks_lease(self) -> str | None:
        """The task that would come next if its run had the lease of its group."""
        if self._chosen is None or self._has_lease or not self._task(self._chosen).concurrency:
            return None
        return self._chosen

    def lease(self, name: str) -> None:
        """The lease is there for the task that lacked it."""
        assert name == self._chosen
        self._has_lease = True

    def step_aside(self, name: str) -> None:
        """Another run has the group of the task: all tasks of it wait until `look_again`."""
        assert name == self._chosen
        self._chosen = None
        claim = self._claims[name]
        heappush(self._lines[claim], self._rank[name])
        self._wait(claim, _place(self._task(name).concurrency))

    def look_again(self, group: str) -> None:
        """The group may be free now."""
        self._look_again_at(_place(group))

    def claim(self, name: str) -> None:
        """The task starts, whether or not it is its turn."""
        self._names.discard(name)
        place = self._place.get(name)
        for resource, amount in self._claims[name]:
            if resource != place:
                self._free[resource] = self._free.get(resource, 1) - amount
        if place is not None and self._executors is not None:
            for each in self._executors.take(name, place):
                self._free[each] -= 1

    def release(self, name: str) -> None:
        """The task has ended; what waits for its resources is looked at again."""
        place = self._place.get(name)
        for resource, amount in self._claims[name]:
            if resource != place:
                self._free[resource] += amount
                self._look_again_at(resource)
        if place is not None and self._executors is not None:
            for each in self._executors.give_back(name):
                self._free[each] += 1
                self._look_again_at(each)

    def drain(self, executor: str) -> None:
        """Nothing starts on this executor any more."""
        if self._executors is not None:
            for place, count in self._executors.drain(executor).items():
                self._free[place] -= count

    def without_place(self) -> list[tuple[str, str]]:
        """The tasks in line for which there is no executor left, each with what it waits for."""
        executors = self._executors
        if executors is None or not executors.any_drained:
            return []
        waiting = ((name, self._place[name]) for name in self._names)
        return [(n, executors.told(place)) for n, place in waiting if executors.is_gone(place)]

    def waits_for(self, name: str) -> str | None:
        """The resource a ready task is waiting for, if it is one, in words."""
        lacking = self._waits_for.get(self._claims[name])
        if self._executors is not None and lacking == self._place[name]:
            return f"a slot of {self._executors.told(lacking)}"
        return lacking and f"'{lacking}'"

    def _task(self, name: str) -> Task:
        return self._tasks[self._rank[name]]

    def _wait(self, claim: _Claim, resource: str) -> None:
        self._waits_for[claim] = resource
        self._aside.setdefault(resource, []).append(claim)

    def _look_again_at(self, resource: str | None) -> None:
        for claim in self._aside.pop(resource or "", ()):
            del self._waits_for[claim]
            self._put_head_forward(claim)

    def _next(self) -> str | None:
        """The first that has all it wants, taken out of its line; lines that lack it step aside."""
        while self._heads:
            rank, claim = heappop(self._heads)
            line = self._lines[claim]
            if claim in self._waits_for or not line or line[0] != rank:
                continue
            name = self._tasks[rank].id
            lacking = name in self._names and self._lacking(claim)
            if lacking:
                self._wait(claim, lacking)
                continue
            heappop(line)
            self._put_head_forward(claim)
            if name in self._names:
                return name
        return None

    def _lacking(self, claim: _Claim) -> str | None:
        for resource, amount in claim:
            if resource in self._aside or self._free.get(resource, 1) < amount:
                return resource
        return None

    def _put_head_forward(self, claim: _Claim) -> None:
        line = self._lines[claim]
        if line:
            heappush(self._heads, (line[0], claim))
