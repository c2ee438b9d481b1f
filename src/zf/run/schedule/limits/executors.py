"""Which executor a task goes to, and how many places each has left. Pure.

The places of an executor are a resource like any other, which `ready.py` counts; a task for which
several executors would do asks for a place of any of them. So each set of executors that tasks ask
for has a row of its own there, with what all of them have left together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zf.model import LOCAL, Executor, Task, fitting


class Executors:
    """`placed` is task -> executor, for attempts that run. This machine is one of them, `LOCAL`."""

    def __init__(self, executors: Mapping[str, Executor], by_default: str, max_jobs: int) -> None:
        self._executors = executors
        self._by_default = by_default
        self._left = {**{name: one.slots for name, one in executors.items()}, LOCAL: max_jobs}
        self._members: dict[str, tuple[str, ...]] = {}
        self._with: dict[str, list[str]] = {}  # an executor -> the places that it is one of
        self._drained: set[str] = set()
        self.placed: dict[str, str] = {}
        self.slots = sum(self._left.values())

    def is_elsewhere(self, task: Task) -> bool:
        """Whether it may run on another machine."""
        return self._fitting(task) != (LOCAL,)

    def _fitting(self, task: Task) -> tuple[str, ...]:
        if task.on_end:
            return (LOCAL,)  # what it is told of the run lies on this machine
        return fitting(task.executor, task.labels, self._by_default, self._executors)

    def place_for(self, task: Task) -> str:
        """What it takes one of while it runs, as a resource."""
        members = self._fitting(task)
        name = f"executor {'|'.join(members)}"
        if name not in self._members:
            self._members[name] = members
            for member in members:
                self._with.setdefault(member, []).append(name)
        return name

    def left(self, place: str) -> int:
        """How many there are left of it."""
        return sum(self._left[member] for member in self._members[place])

    def take(self, task: str, place: str) -> Iterable[str]:
        """The task starts: it goes where most is left, of equals to the first; the places of which
        there is one less now.
        """
        left = self._left
        chosen = max(self._members[place], key=left.__getitem__)
        self.placed[task] = chosen
        left[chosen] -= 1
        return self._with[chosen]

    def give_back(self, task: str) -> Iterable[str]:
        """The task has ended: the places of which there is one more."""
        chosen = self.placed.pop(task)
        if chosen in self._drained:
            return ()
        self._left[chosen] += 1
        return self._with[chosen]

    def drain(self, name: str) -> dict[str, int]:
        """Nothing starts there any more; how many fewer there are of which places."""
        if name in self._drained or name not in self._left:
            return {}
        self._drained.add(name)
        lost, self._left[name] = self._left[name], 0
        return dict.fromkeys(self._with.get(name, ()), lost)

    def is_gone(self, place: str) -> bool:
        """Whether nothing starts in any of these places any more."""
        return bool(self._drained) and self._drained.issuperset(self._members[place])

    @property
    def any_drained(self) -> bool:
        return bool(self._drained)

    def told(self, place: str) -> str:
        """The place, for people."""
        return " or ".join(f"'{member}'" for member in self._members[place])
