"""What is used of the budgets of tasks, phases and the run. Pure.

Attempts that have ended count with what their ends say, one that goes on with what it has told so
far. Attempts add up: a retry's cost is a cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from zf.events import AttemptEnded, BudgetWarned
from zf.metrics.budget import WARN_AT, Spent, added, amounts, larger
from zf.model import NOTHING, Task
from zf.plan.graph import Plan

Scope = tuple[Literal["task", "phase", "run"], str]


class Budgets:
    """`is_any`: there is one at all."""

    def __init__(self, plan: Plan) -> None:
        self._phase_of = {name: task.phase for name, task in plan.tasks.items()}
        found: dict[Scope, Mapping[str, float]] = {("run", ""): plan.budget}
        found |= {("phase", phase.name): phase.budget for phase in plan.phases}
        found |= {("task", name): task.budget for name, task in plan.tasks.items() if task.budget}
        self._budgets = {scope: budget for scope, budget in found.items() if budget}
        self.is_any = bool(self._budgets)
        self._ended: dict[Scope, dict[str, float]] = {}
        self._live: dict[str, Mapping[str, float]] = {}
        self._told: set[tuple[tuple[str, str], str, bool]] = set()

    def extend(self, tasks: Iterable[Task]) -> None:
        """Take in tasks that joined the plan."""
        for task in tasks:
            self._phase_of[task.id] = task.phase
            if task.budget:
                self._budgets["task", task.id] = task.budget

    def spend(self, spent: Spent) -> list[BudgetWarned]:
        """An attempt that goes on has used so much; which budgets that brings to their end, or near
        it, each told once.
        """
        self._live[spent.task] = spent.amounts
        return list(self._strained(spent.task))

    def end(self, ended: AttemptEnded) -> list[BudgetWarned]:
        """The same for an attempt that has ended."""
        live = self._live.pop(ended.task, NOTHING)
        for scope in self._scopes(ended.task):
            used = larger(self._of(scope, live), amounts(ended.metrics, self._budgets[scope]))
            self._ended[scope] = added(self._ended.get(scope, NOTHING), used)
        return list(self._strained(ended.task))

    def remember(self, warned: BudgetWarned) -> bool:
        """What a journal shows was told; whether it had not been told of yet."""
        told = (warned.scope, warned.name), warned.metric, warned.over
        is_new = told not in self._told
        self._told.add(told)
        return is_new

    def spent_before(self, task: str) -> Mapping[str, float]:
        """What the attempts of a task that have ended used of its budget."""
        return self._ended.get(("task", task), NOTHING)

    def is_used_up(self, task: str) -> bool:
        """Whether nothing of it is left for another attempt of the task."""
        budget = self._budgets.get(("task", task), NOTHING)
        used = self.spent_before(task)
        return any(used.get(name, 0.0) >= most for name, most in budget.items())

    def _scopes(self, task: str) -> list[Scope]:
        around: tuple[Scope, ...] = (("task", task), ("phase", self._phase_of[task]), ("run", ""))
        return [scope for scope in around if scope in self._budgets]

    def _of(self, scope: Scope, live: Mapping[str, float]) -> dict[str, float]:
        """What of it this budget limits."""
        return {metric: live[metric] for metric in live if metric in self._budgets[scope]}

    def _used(self, scope: Scope) -> dict[str, float]:
        used = dict(self._ended.get(scope, NOTHING))
        for task, live in self._live.items():
            if scope in self._scopes(task):
                used = added(used, self._of(scope, live))
        return used

    def _strained(self, task: str) -> Iterator[BudgetWarned]:
        for scope in self._scopes(task):
            used = self._used(scope)
            for metric, most in self._budgets[scope].items():
                spent = used.get(metric, 0.0)
                is_over = spent > most
                if spent < most * WARN_AT or (scope, metric, is_over) in self._told:
                    continue
                self._told.add((scope, metric, is_over))
                yield BudgetWarned(*scope, metric, spent, most, over=is_over)
