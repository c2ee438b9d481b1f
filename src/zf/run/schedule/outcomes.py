"""What the ends of some tasks mean for the tasks that need them. Pure.

This is docs/reference/semantics.md as code: a test reads the table on that page and checks each of
its rows against it. Nothing here depends on when something ended, only on how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.events import FAILED, Cause, ConditionEvaluated, Status, worst
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING, Need, Task, base_of
from zf.plan.graph import Plan

if TYPE_CHECKING:
    from zf.plan.conditions.condition import Condition
    from zf.plan.conditions.verdict import ConditionContext


class Decision(Struct, frozen=True):
    """What becomes of a task when its needs, or one of them, decide; `status` None: it may run."""

    status: Status | None = None
    cause: Cause = Cause.NONE
    detail: str = ""
    needs: Mapping[str, Status] = field(default_factory=lambda: NOTHING)
    asked: ConditionEvaluated | None = None


_RUNS = Decision()


def _is_end(base: str, name: str, was: str) -> bool:
    """Whether this is how an instance of the matrix ended."""
    return base_of(name) == base and was != "absent"


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
        self._contexts = {**contexts}
        self._decided = decided
        # The needs to wait for: the others were met by an earlier run, or are not checked.
        inside = plan.tasks if plan.needs == "checked" else NOTHING
        self._needs = {
            name: tuple(need for need in task.needs if need.task in inside)
            for name, task in plan.tasks.items()
        }
        # The instances that joined the plan, by their base; and what tasks need, where that is no
        # longer what their files name.
        self._joined: dict[str, list[str]] = {}
        self._named: dict[str, tuple[Need, ...]] = {}
        if plan.dynamic:
            self._needs |= {base: self._of_base(base) for base in plan.dynamic}
        self._dependents: dict[str, list[tuple[str, Need]]] = {}
        for name, needs in self._needs.items():
            for need in needs:
                self._dependents.setdefault(need.task, []).append((name, need))
        self._open = {name: len(needs) for name, needs in self._needs.items()}
        stated = {name: task.condition for name, task in plan.tasks.items() if task.condition}
        if stated:
            from zf.plan.conditions.condition import parse  # noqa: PLC0415 - 4 ms, and few plans have one
        parsed = {name: parse(text) for name, text in stated.items()}
        # Of which tasks, or matrices, conditions ask for outputs; and what those handed on.
        self._asked_for = {
            need
            for name, condition in parsed.items()
            for need, _, _ in _outputs_in(condition, plan.tasks[name])
        }
        self._handed: dict[str, Mapping[str, str]] = {}
        # That of a matrix whose instances are not known is asked of each of them.
        self._of_later = {name: parsed[name] for name in plan.dynamic if name in parsed}
        self._conditions = {n: c for n, c in parsed.items() if n not in self._of_later}
        called = {name: condition.functions for name, condition in parsed.items()}
        # A condition that looks at statuses waits until every need has ended.
        self._patient = {name for name in self._conditions if called[name]}
        # They have their turn even when the run has been stopped.
        self.always = frozenset(name for name in called if "always" in called[name])
        # Their condition alone decides what failures mean.
        self._unblockable = {
            name for name in self._patient if "success" not in called[name] or name in self.always
        }
        self.done: dict[str, Status] = {}
        self.warned: set[str] = set()
        # Tasks whose own end, or that of a direct or indirect need, was a failure or a cancel.
        self._failed_above: set[str] = set()
        self._cancelled_above: set[str] = set()

    def _of_base(self, base: str) -> tuple[Need, ...]:
        """What has to have ended before the instances of a task are known: what says which there
        are; and matrices of which they need those with the same values, until these are known.
        """
        from zf.plan.matrix.dynamic import sources  # noqa: PLC0415 - few tasks are such

        of = {*sources(self._plan.tasks[base])}
        return tuple(
            need
            for need in self._needs[base]
            if need.task in of or (need.matrix == "same" and need.task in self._plan.dynamic)
        )

    def extend(
        self, base: str, tasks: Sequence[Task], contexts: Mapping[str, ConditionContext] = NOTHING
    ) -> list[str]:
        """Take in the instances of a task, which the plan has in its place by now, and what their
        conditions may refer to; the other tasks for which that decides.
        """
        names = self._joined[base] = [task.id for task in tasks]
        self._contexts |= contexts
        for task in tasks:
            self._take_in(base, task)
        decided = []
        for name, need in self._dependents.pop(base, ()):
            # That they are known is all that some waited for.
            is_later = bool(self._plan.tasks[name].matrix_from)
            own = () if is_later else tuple(_of_instance(need, one) for one in names)
            for one in own:
                self._dependents.setdefault(one.task, []).append((name, one))
            self._open[name] += len(own) - 1
            self._needs[name] = _in_place(self._needs[name], need, own)
            if own:
                stated = self._named.get(name, self._plan.tasks[name].needs)
                self._named[name] = _in_place(stated, need, own)
            if name not in self.done and self.is_decided(name):
                decided.append(name)
        return decided

    def _take_in(self, base: str, task: Task) -> None:
        """An instance that joins the plan, with all that it needs, some of which may have ended."""
        name = task.id
        needs: list[Need] = []
        for need in task.needs:
            joined = self._joined.get(need.task)
            needs += [need] if joined is None else [_of_instance(need, one) for one in joined]
        self._named[name] = tuple(needs)
        self._needs[name] = tuple(need for need in needs if need.task in self._plan.tasks)
        waits_for = [need for need in self._needs[name] if need.task not in self.done]
        self._open[name] = len(waits_for)
        for need in waits_for:
            self._dependents.setdefault(need.task, []).append((name, need))
        condition = self._of_later.get(base)
        if condition is not None:
            self._conditions[name] = condition
            if condition.functions:
                self._patient.add(name)
                if "success" not in condition.functions or "always" in condition.functions:
                    self._unblockable.add(name)

    def asks_for_outputs_of(self, name: str) -> bool:
        """Whether a condition does, of this task or of its matrix."""
        return name in self._asked_for or base_of(name) in self._asked_for

    def take_outputs(self, name: str, values: Mapping[str, str]) -> None:
        """Take in what a task handed on."""
        self._handed[name] = values

    def note(self, name: str, status: Status, *, warned: bool) -> None:
        """Take in how a task ended."""
        self.done[name] = status
        if warned:
            self.warned.add(name)
        if (status in FAILED and not warned) or self._any_need_in(self._failed_above, name):
            self._failed_above.add(name)
        if status is Status.CANCELLED or self._any_need_in(self._cancelled_above, name):
            self._cancelled_above.add(name)

    def decided_by(self, ended: str, phase: str | None) -> Iterator[str]:
        """The tasks of this phase for which this end decides. To be asked once for each end."""
        for name, need in self._dependents.get(ended, ()):
            self._open[name] -= 1
            if name in self.done or self._plan.tasks[name].phase != phase:
                continue
            if not self._open[name] or (self.of_need(need) and self.is_blocked(name)):
                yield name

    def is_decided(self, name: str) -> bool:
        """Whether all its needs have ended, or one of them decides."""
        return not self._open[name] or self.is_blocked(name)

    def waiting_only_for(self, name: str) -> Iterator[str]:
        return (task for task, _ in self._dependents.get(name, ()) if self._open[task] == 1)

    def blockable_by(self, names: Iterable[str]) -> set[str]:
        """The tasks that would be blocked, directly or through others, if these failed."""
        found: set[str] = set()
        to_look_at = list(names)
        while to_look_at:
            for name, need in self._dependents.get(to_look_at.pop(), ()):
                is_blockable = need.require == "success" and name not in self._unblockable
                if is_blockable and name not in found and name not in self.done:
                    found.add(name)
                    to_look_at.append(name)
        return found

    def _any_need_in(self, names: set[str], name: str) -> bool:
        return bool(names) and any(need.task in names for need in self._needs[name])

    def of_need(self, need: Need) -> Status | None:
        """What this need alone makes of its dependent; None: it does not stand in the way (yet)."""
        status = self.done.get(need.task)
        if status in {None, Status.SUCCESS} or need.require == "done" or need.task in self.warned:
            return None
        return Status.SKIPPED if status is Status.SKIPPED else Status.BLOCKED

    def is_blocked(self, name: str) -> bool:
        """Whether a need blocks it whatever becomes of the others."""
        return name not in self._patient and self._has_block(name)

    def may_be_blocked(self, name: str, *, but: Status) -> bool:
        """The same, by a need that did not end so; and when all needs of a task whose condition
        calls `success()` have ended: then its answer says whether that is so.
        """
        if name in self._unblockable:
            return False
        waits = name in self._patient and any(n.task not in self.done for n in self._needs[name])
        return not waits and self._has_block(name, but)

    def _has_block(self, name: str, but: Status | None = None) -> bool:
        return any(
            self.of_need(need) is Status.BLOCKED and self.done[need.task] is not but
            for need in self._needs[name]
        )

    def decide(self, name: str) -> Decision:
        """What becomes of a task that is blocked, or whose needs have all ended."""
        unmet = [need for need in self._needs[name] if self.of_need(need)]
        condition = self._conditions.get(name)
        if unmet and name not in self._patient:
            return self._not_met(unmet)
        if condition is None:
            return _RUNS
        from zf.plan.conditions.verdict import Verdict  # noqa: PLC0415 - few tasks have a condition

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
        from zf.plan.conditions.verdict import ConditionContext, Needs, evaluate  # noqa: PLC0415 - as above

        task = self._plan.tasks[name]
        answers = Needs(
            success=success,
            failure=self._any_need_in(self._failed_above, name),
            cancelled=self._any_need_in(self._cancelled_above, name),
            statuses=self._statuses(self._named.get(name, task.needs), condition),
        )
        context = self._contexts.get(name, ConditionContext())
        if condition.fields or task.env_from:
            context = self._with_outputs(context, task, condition)
        verdict = evaluate(condition, context, answers)
        operands = {
            operand: context.hide(value) if isinstance(value, str) else value
            for operand, value in verdict.operands.items()
        }
        text, error = context.hide(condition.text), context.hide(verdict.error)
        return ConditionEvaluated(name, text, verdict.value, operands, error)

    def _with_outputs(
        self, context: ConditionContext, task: Task, condition: Condition
    ) -> ConditionContext:
        """The same with the outputs of needs that the condition mentions, as far as there are."""
        from zf.plan.outputs.values import value_of  # noqa: PLC0415 - few conditions mention any

        fields, variables = dict(context.fields), dict(context.variables)
        for need, output, key in _outputs_in(condition, task):
            value = value_of(need, output, self._named.get(task.id, task.needs), self._handed)
            where = variables if key in task.env_from else fields
            if value is None:
                where.pop(key, None)
            else:
                where[key] = value
        return replace(context, fields=fields, variables=variables)

    def _statuses(self, needs: Iterable[Need], condition: Condition) -> dict[str, str]:
        """Of each need, and of a matrix that is asked for what its instances came to together."""
        found = {need.task: self._status_of(need.task) for need in needs}
        for base in condition.tasks.keys() - found.keys():
            ends = [Status(was) for name, was in found.items() if _is_end(base, name, was)]
            found[base] = str(worst(ends) or "absent")
        return found

    def _status_of(self, name: str) -> str:
        if name in self.done:
            return self.done[name].value
        taken_as_met = self._plan.needs == "not_checked" or name in self._plan.upstream
        return Status.SUCCESS.value if taken_as_met else "absent"


def _of_instance(need: Need, name: str) -> Need:
    """The need on a task, on one of its instances."""
    return replace(need, task=name, matrix="all")


def _in_place(needs: tuple[Need, ...], need: Need, others: tuple[Need, ...]) -> tuple[Need, ...]:
    """The needs with these in the place of one."""
    return tuple(one for each in needs for one in (others if each == need else (each,)))


def _outputs_in(condition: Condition, task: Task) -> Iterator[tuple[str, str, str]]:
    """The outputs that a condition mentions: the need, the output, and by what it is mentioned, the
    key of a field or the name of a variable.
    """
    for one in condition.fields:
        if one.kind == "needs":
            need, output = one.path
            yield need, output, one.key
    for name in sorted(condition.variables & task.env_from.keys()):
        need, _, output = task.env_from[name].rpartition(".")
        yield need, output, name
