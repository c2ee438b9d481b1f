"""The tasks that could start now, in start order, and the resources they would claim. Pure.

A task that must run alone, once it has come to the head, keeps its place until everything else has
ended. One that is short of a resource steps aside, and so does every later one that wants the same
resource: whoever came first gets it first, and tasks that want other things go past them.

Tasks with equal claims wait in line behind each other, so a turn looks at lines, not at tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

from zf.model import Task

_Claim = tuple[tuple[str, int], ...]


def claim_of(task: Task) -> _Claim:
    """What the task takes while it runs: its resources, and the one place of its group."""
    claim = {name: amount for name, amount in task.resources.items() if amount}
    if task.concurrency:
        claim[f"concurrency {task.concurrency}"] = 1
    return tuple(sorted(claim.items()))


def impossible(tasks: Mapping[str, Task], limits: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Every (task, resource) that asks for more than there is; such a task could never start."""
    for task in tasks.values():
        for name, amount in task.resources.items():
            if amount > limits.get(name, 0):
                yield task.id, name


class ReadyQueue:
    """`in_order` is every task that may ever come, in start order."""

    def __init__(self, in_order: Sequence[Task], limits: Mapping[str, int]) -> None:
        self._tasks = in_order
        self._rank = {task.id: rank for rank, task in enumerate(in_order)}
        self._claims = {task.id: claim_of(task) for task in in_order}
        self._free = dict(limits)
        self._names: set[str] = set()
        self._lines: dict[_Claim, list[int]] = {}
        # The head of each line that is not set aside; old entries are passed over when met.
        self._heads: list[tuple[int, _Claim]] = []
        self._aside: dict[str, list[_Claim]] = {}  # resource -> lines that wait for it
        self._waits_for: dict[_Claim, str] = {}
        self._next_alone: str | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """The task could start from now on."""
        self._names.add(name)
        claim = self._claims[name]
        line = self._lines.setdefault(claim, [])
        heappush(line, self._rank[name])
        if line[0] == self._rank[name] and claim not in self._waits_for:
            heappush(self._heads, (line[0], claim))

    def discard(self, name: str) -> None:
        """The task will not start after all. Its place in line is passed over when reached."""
        self._names.discard(name)
        if self._next_alone == name:
            self._next_alone = None
        # It may be the one the others stepped aside for.
        self._look_again_at(self._waits_for.get(self._claims[name]))

    def clear(self) -> None:
        """Nobody will start any more."""
        self._names.clear()
        self._next_alone = None

    def take(self, *, idle: bool) -> str | None:
        """The task to start now, its resources claimed; `idle` says that nothing runs."""
        name = self._next_alone or self._next()
        if name is None:
            return None
        if not idle and not self._tasks[self._rank[name]].parallel_safe:
            self._next_alone = name
            return None
        self._next_alone = None
        self.claim(name)
        return name

    def claim(self, name: str) -> None:
        """The task starts, whether or not it is its turn."""
        self._names.discard(name)
        for resource, amount in self._claims[name]:
            self._free[resource] = self._free.get(resource, 1) - amount

    def release(self, name: str) -> None:
        """The task has ended; whoever waits for what it held is looked at again."""
        for resource, amount in self._claims[name]:
            self._free[resource] += amount
            self._look_again_at(resource)

    def waits_for(self, name: str) -> str | None:
        """The resource a ready task is waiting for, if it is one."""
        return self._waits_for.get(self._claims[name])

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
                self._waits_for[claim] = lacking
                self._aside.setdefault(lacking, []).append(claim)
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
