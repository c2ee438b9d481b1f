"""What the ends of some tasks mean for the tasks that need them. Pure.

This is docs/reference/semantics.md as code: a test reads the table on that page and checks each of
its rows against it. Nothing here depends on when something ended, only on how.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from zf.events import FAILED, Cause, ConditionEvaluated, Status
from zf.lean.record import field, record
from zf.model import Need, Task
from zf.plan.graph import Plan

if TYPE_CHECKING:
    from zf.plan.condition import Condition
    from zf.plan.verdict import ConditionContext

_NONE: Mapping[str, Status] = MappingProxyType({})


@record
class Decision:
    """What becomes of a task whose needs have spoken; `status` None: it may run."""

    status: Status | None = None
    cause: Cause = Cause.NONE
    detail: str = ""
    needs: Mapping[str, Status] = field(default_factory=lambda: _NONE)
    asked: ConditionEvaluated | None = None


_RUNS = Decision()


class Outcomes:
    """How tasks ended, and what follows from it.

    `contexts` are what conditions may refer to, by task; `decided` are conditions that an earlier
    part of this run has answered, which are not asked again.
    """

    def __init__(
        self,
        plan: Plan,
        contexts: Mapping[str, ConditionContext],
        decided: Mapping[str, ConditionEvaluated],
    ) -> None:
        self._plan = plan
        self._contexts = contexts
        self._decided = decided
        self._needs = {task.id: _needs_inside(task, plan) for task in plan.tasks.values()}
        self._conditions = _conditions(plan)
        self.done: dict[str, Status] = {}
        self.warned: set[str] = set()
        # Whose own end, or that of anything they need near or far, was a failure or a cancel.
        self._failed_above: set[str] = set()
        self._cancelled_above: set[str] = set()

    def needs(self, name: str) -> tuple[Need, ...]:
        """The needs to wait for: the others were met by an earlier run, or nobody checks them."""
        return self._needs[name]

    def note(self, name: str, status: Status, *, warned: bool) -> None:
        """Take in how a task ended."""
        self.done[name] = status
        if warned:
            self.warned.add(name)
        if (status in FAILED and not warned) or self._any_need_in(self._failed_above, name):
            self._failed_above.add(name)
        if status is Status.CANCELLED or self._any_need_in(self._cancelled_above, name):
            self._cancelled_above.add(name)

    def _any_need_in(self, names: set[str], name: str) -> bool:
        return bool(names) and any(need.task in names for need in self._needs[name])

    def of_need(self, need: Need) -> Status | None:
        """What this need alone makes of its dependent; None: it does not stand in the way (yet)."""
        status = self.done.get(need.task)
        if status in {None, Status.SUCCESS} or need.require == "done" or need.task in self.warned:
            return None
        return Status.SKIPPED if status is Status.SKIPPED else Status.BLOCKED

    def is_patient(self, name: str) -> bool:
        """Whether a condition that looks at statuses waits until every need has ended."""
        condition = self._conditions.get(name)
        return condition is not None and bool(condition.functions)

    def goes_on(self, name: str) -> bool:
        """Whether it has its turn even when the run has been stopped: its condition says always."""
        condition = self._conditions.get(name)
        return condition is not None and "always" in condition.functions

    def _takes_blocks(self, name: str) -> bool:
        """Whether a need can block it: not where its condition alone decides what failures mean."""
        condition = self._conditions.get(name)
        if condition is None or not condition.functions:
            return True
        return "success" in condition.functions and "always" not in condition.functions

    def is_blocked(self, name: str, *, but: Status | None = None) -> bool:
        """Whether a need blocks it whatever becomes of the others; `but` one that ended so."""
        return not self.is_patient(name) and self._has_block(name, but)

    def may_be_blocked(self, name: str, *, but: Status | None = None) -> bool:
        """The same, and when all needs of a task whose condition calls `success()` have ended: then
        its answer says whether that is so.
        """
        if not self._takes_blocks(name):
            return False
        waits = self.is_patient(name) and any(n.task not in self.done for n in self._needs[name])
        return not waits and self._has_block(name, but)

    def _has_block(self, name: str, but: Status | None) -> bool:
        return any(
            self.of_need(need) is Status.BLOCKED and self.done[need.task] is not but
            for need in self._needs[name]
        )

    def is_blockable(self, name: str, need: Need) -> bool:
        """Whether this need, if it failed, would block this task."""
        return name not in self.done and need.require == "success" and self._takes_blocks(name)

    def decide(self, name: str) -> Decision:
        """What becomes of a task that is blocked, or whose needs have all ended."""
        unmet = [need for need in self._needs[name] if self.of_need(need)]
        condition = self._conditions.get(name)
        if unmet and not self.is_patient(name):
            return self._not_met(unmet)
        if condition is None:
            return _RUNS
        from zf.plan.verdict import Verdict  # noqa: PLC0415 - few tasks have a condition

        asked = self._decided.get(name) or self._ask(name, condition, success=not unmet)
        if asked.value:
            return Decision(asked=asked)
        if unmet and asked.value is False and "success" in condition.functions:
            return self._not_met(unmet, asked)
        status = Status.FAILURE if asked.value is None else Status.SKIPPED
        told = Verdict(asked.value, asked.operands, asked.error).explain(asked.condition)
        return Decision(status, Cause.CONDITION, told, asked=asked)

    def _not_met(self, unmet: list[Need], asked: ConditionEvaluated | None = None) -> Decision:
        blocks = Status.BLOCKED in map(self.of_need, unmet)
        needs = {need.task: self.done[need.task] for need in unmet}
        told = "; ".join(f"dependency '{n}' has status: {was}" for n, was in needs.items())
        status = Status.BLOCKED if blocks else Status.SKIPPED
        return Decision(status, Cause.NEED, told, needs, asked)

    def _ask(self, name: str, condition: Condition, *, success: bool) -> ConditionEvaluated:
        from zf.plan.verdict import ConditionContext, Needs, evaluate  # noqa: PLC0415 - as above

        task = self._plan.tasks[name]
        answers = Needs(
            success=success,
            failure=self._any_need_in(self._failed_above, name),
            cancelled=self._any_need_in(self._cancelled_above, name),
            statuses={need.task: self._status_of(need.task) for need in task.needs},
        )
        context = self._contexts.get(name, ConditionContext())
        verdict = evaluate(condition, context, answers)
        operands = {
            operand: context.hide(value) if isinstance(value, str) else value
            for operand, value in verdict.operands.items()
        }
        text, error = context.hide(condition.text), context.hide(verdict.error)
        return ConditionEvaluated(name, text, verdict.value, operands, error)

    def _status_of(self, name: str) -> str:
        if name in self.done:
            return self.done[name].value
        taken_as_met = self._plan.needs == "not_checked" or name in self._plan.upstream
        return Status.SUCCESS.value if taken_as_met else "absent"


def _conditions(plan: Plan) -> dict[str, Condition]:
    stated = {task.id: task.condition for task in plan.tasks.values() if task.condition}
    if not stated:
        return {}
    from zf.plan.condition import parse  # noqa: PLC0415 - 4 ms, and few plans have a condition

    return {name: parse(text) for name, text in stated.items()}


def _needs_inside(task: Task, plan: Plan) -> tuple[Need, ...]:
    if plan.needs == "not_checked":
        return ()
    return tuple(need for need in task.needs if need.task in plan.tasks)
