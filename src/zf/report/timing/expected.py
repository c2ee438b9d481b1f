"""How long a run will go on, by the expected seconds of its tasks in its plan. Pure.

Kept up with each end of a task, so that a board can ask at every frame however many tasks there
are: that costs a look at those which run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from zf.lean.records import Struct, field

if TYPE_CHECKING:
    from zf.report.task_facts import TaskFacts

# Less than this is what is left of adding and taking away.
_NOTHING_S = 1e-6


class ExpectedTask(Struct, frozen=True):
    """`weight_s` is how long it is expected to take, `share_s` what that is of the run's time when
    all slots are in use, `way_s` the longest way from its start to the end of its phase.
    """

    phase: str
    weight_s: float
    share_s: float
    way_s: float

    def spent_s(self, task: TaskFacts, now: float) -> float:
        """How much of the expected time a running task has had."""
        began = now if task.started_mono is None else task.started_mono
        return min(self.weight_s, max(0.0, now - began))


class Expected(Struct):
    """What is expected of a run: `left_s` and `longest_s` by phase, in the order they run, are the
    shares of the tasks that have not ended, and the longest way; `total_s` is the share of all.
    """

    tasks: dict[str, ExpectedTask]
    slots: Mapping[str, int]
    left_s: dict[str, float]
    longest_s: Mapping[str, float]
    total_s: float
    ended: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, plan: Mapping[str, Any], max_jobs: int) -> Self:
        """What is expected of a run with this plan.json. Raises KeyError for what is none."""
        rows = plan["tasks"]
        slots = {
            phase["name"]: max(1, min(max_jobs, phase.get("max_jobs", max_jobs), len(rows)))
            for phase in plan["phases"]
        }
        phase_of = {row["id"]: row["phase"] for row in rows}
        way_s: dict[str, float] = {}
        tasks = {}
        left_s = {phase["name"]: 0.0 for phase in plan["phases"]}
        longest_s = dict(left_s)
        for row in reversed(rows):  # what needs a task comes after it
            name, phase = row["id"], row["phase"]
            own_s = row.get("weight_s", 0.0)
            way_s[name] = own_s + way_s.get(name, 0.0)
            for need in row["needs"]:
                if phase_of.get(need["task"]) == phase:
                    way_s[need["task"]] = max(way_s.get(need["task"], 0.0), way_s[name])
            share_s = own_s / slots[phase] if row["parallel_safe"] else own_s
            tasks[name] = ExpectedTask(phase, own_s, share_s, way_s[name])
            left_s[phase] += share_s
            longest_s[phase] = max(longest_s[phase], way_s[name])
        return cls(tasks, slots, left_s, longest_s, sum(left_s.values()))

    def extend(self, base: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """These tasks are in the place of one that has not ended."""
        whole = self.tasks[base]
        after_s = whole.way_s - whole.weight_s
        self.end(base)
        self.total_s -= whole.share_s
        for row in rows:
            weight_s = row.get("weight_s", whole.weight_s)
            share_s = weight_s / self.slots[whole.phase] if row["parallel_safe"] else weight_s
            task = ExpectedTask(whole.phase, weight_s, share_s, weight_s + after_s)
            self.tasks[row["id"]] = task
            self.left_s[task.phase] += share_s
            self.total_s += share_s

    def end(self, task: str) -> None:
        """The task has ended, or will not run."""
        if task not in self.ended:
            self.ended.add(task)
            self.left_s[self.tasks[task].phase] -= self.tasks[task].share_s

    def begin_again(self, task: str) -> None:
        """The task had ended, and is to have another attempt."""
        if task in self.ended:
            self.ended.remove(task)
            self.left_s[self.tasks[task].phase] += self.tasks[task].share_s

    def eta_s(self, phase: str, running: Collection[TaskFacts], now: float) -> float:
        """In how many seconds the run is likely to be over, from this moment on the journal's
        clock; `phase` is the one under way, or empty before the first.

        A phase takes as long as its work does in all slots, or as its longest way if that is more.
        A task that takes longer than was expected is taken to end at any moment.
        """
        names = list(self.left_s)
        to_come = names[names.index(phase) + 1 :] if phase in self.left_s else names
        eta_s = sum(
            max(self.left_s[name], self.longest_s[name])
            for name in to_come
            if self.left_s[name] > _NOTHING_S
        )
        if phase not in self.left_s:
            return eta_s
        ways = (self.tasks[t.id].way_s - self.tasks[t.id].spent_s(t, now) for t in running)
        work_s = self.left_s[phase] - self._had_s(running, now)
        return eta_s + max(work_s, max(ways, default=0.0), 0.0)

    def share_done(self, running: Collection[TaskFacts], now: float) -> float:
        """How much of all the work is done, from 0 to 1."""
        if self.total_s <= 0:
            return 1.0
        left_s = sum(self.left_s.values()) - self._had_s(running, now)
        return min(1.0, max(0.0, 1 - left_s / self.total_s))

    def _had_s(self, running: Collection[TaskFacts], now: float) -> float:
        """What running tasks have had of their shares."""
        had_s = 0.0
        for task in running:
            row = self.tasks[task.id]
            if row.weight_s:
                had_s += row.spent_s(task, now) / row.weight_s * row.share_s
        return had_s
