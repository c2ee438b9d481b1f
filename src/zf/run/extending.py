"""Instances of a matrix that join the plan of a run: once the outputs are there that say which.

What was handed on is read from the proof, by the digest that the journal has of it. So it is the
same for a run that is resumed, and for what verifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.events import Event, PlanExtended, Status
from zf.instances import listed_by, rows_of
from zf.lean.records import Struct
from zf.model import Task, base_of, definition_sha256
from zf.plan.matrix.chosen import may_have
from zf.plan.matrix.dynamic import Listed, UnusableError, join, listed, references, told_of
from zf.plan.matrix.dynamic import recalled as recalled_one
from zf.proof.durations.form import Durations
from zf.proof.durations.runs import weights
from zf.proof.tree.contents import checked_outputs
from zf.redact.redactor import secret_axes
from zf.run.request import RunRequest
from zf.run.schedule.orders import Extended, NotExtended
from zf.work.pool import Pool

if TYPE_CHECKING:
    from zf.engines.places import Places

# Rows of a plan.json -> how many seconds each task is expected to take.
Weigh = Callable[[list[dict[str, Any]]], Mapping[str, float]]


class Extending(Struct):
    """What answers the scheduler's orders to extend; `about` is run.json. The instances join the
    tasks of the pool.
    """

    request: RunRequest
    about: Mapping[str, Any]
    pool: Pool | Places
    weigh: Weigh

    def __call__(self, base: str) -> Extended | NotExtended:
        """The instances of this task, or why there are none."""
        task, flow = self.pool.tasks[base], self.request.flow
        try:
            found = listed(task, self._handed(task), self._instances(task), flow.matrix)
        except UnusableError as error:
            told = self.request.redactor.text(f"no instances: {error}")
            return NotExtended(base, Status.FAILURE, told)
        if exposed := next(secret_axes(found.tasks, flow.project), None):
            return NotExtended(base, Status.FAILURE, f"no instances: {exposed.message}")
        if unknown := self._chosen_nowhere(base, found):
            return NotExtended(base, Status.FAILURE, f"no instances: {unknown}")
        if not found.tasks:
            of = " and ".join(listed_by(task.matrix_from))
            total = len(found.every)
            what = f"--matrix leaves none of {total}" if total else f"{of} lists none"
            return NotExtended(base, Status.SKIPPED, f"no instances: {what}")
        event = PlanExtended(base, self._told(task, found.tasks), len(found.every))
        self.pool.extend(base, event.instances)
        facts = self.request.facts_for_steps(self.about, found.tasks)
        self.pool.facts = {**self.pool.facts, **facts}
        return Extended(event, self.request.contexts(self.about, found.tasks))

    def _chosen_nowhere(self, base: str, found: Listed) -> str:
        """Of what `--matrix` names, what neither this matrix has nor another that is known, or is
        still to be; else "". An empty list says nothing about what was named.
        """
        if not found.every:
            return ""
        for axis, values in self.request.flow.matrix.items():
            if not _have(found.every, axis, values) and not self._elsewhere(base, axis, values):
                if not any(axis in one.matrix for one in found.every):
                    return f"no matrix of this run has the axis '{axis}' that --matrix names"
                named = " or ".join(f"'{value}'" for value in values)
                return f"no matrix of this run has {named} on the axis '{axis}'"
        return ""

    def _elsewhere(self, base: str, axis: str, values: Collection[str]) -> bool:
        """Whether another matrix has one of these values, or may yet have it."""
        tasks = self.pool.tasks
        if _have([*self.request.flow.tasks.values(), *tasks.values()], axis, values):
            return True
        others = [tasks[one] for one in self.request.plan.dynamic if one != base and one in tasks]
        return any(self._may_list(one, axis, values) for one in others if may_have(one, (axis,)))

    def _may_list(self, task: Task, axis: str, values: Collection[str]) -> bool:
        try:
            return _have(listed(task, self._handed(task)).every, axis, values)
        except UnusableError:
            return True  # nothing was handed on so far

    def _handed(self, task: Task) -> dict[str, str]:
        """The outputs that say which instances there are, those of them that there are."""
        handed: dict[str, str] = {}
        for reference in references(task.matrix_from).values():
            need, _, output = reference.rpartition(".")
            values = self._outputs(need)
            if output in values:
                handed[reference] = values[output]
        return handed

    def _outputs(self, need: str) -> Mapping[str, str]:
        """What a need handed on, in whatever run it was met."""
        met = self.request.plan.upstream.get(need)
        run, digest = self.request.run, self.pool.known.task_sha256(need)
        if met is not None:
            run, digest = met.run, met.task_sha256 or ""
        if not digest:
            return {}
        try:
            return checked_outputs(f"{self.request.flow.proofs}/{run}/{need}", digest)
        except (OSError, ValueError) as error:
            raise UnusableError(f"the outputs of '{need}' cannot be used: {error}") from None

    def _instances(self, task: Task) -> dict[str, dict[str, Mapping[str, str]]]:
        """Of the matrices of which it needs those with the same values, the instances there are."""
        same = {base_of(need.task) for need in task.needs if need.matrix == "same"}
        found: dict[str, dict[str, Mapping[str, str]]] = {}
        for one in self.pool.tasks.values() if same else ():
            if one.base in same:
                found.setdefault(one.base, {})[one.id] = one.matrix
        return found

    def _told(self, base: Task, tasks: tuple[Task, ...]) -> list[dict[str, Any]]:
        """What the journal tells of these instances."""
        shown = self.request.redactor.defined
        told = [{**told_of(one, base), "sha256": definition_sha256(shown(one))} for one in tasks]
        weight_s = self.weigh(rows_of(self.request.plan.row(base), told))
        for one in told:
            if one["id"] in weight_s:
                one["weight_s"] = weight_s[one["id"]]
        return told


def _have(tasks: Iterable[Task], axis: str, values: Collection[str]) -> bool:
    return any(one.matrix.get(axis) in values for one in tasks)


def recalled(
    tasks: dict[str, Task], events: Iterable[Event], shown: Callable[[Task], Task]
) -> list[PlanExtended]:
    """Put the instances that a journal tells of among the tasks of its run; the events that do.

    Raises ZfError (exit 2) where they are not what the digests in it say.
    """
    found = []
    for event in events:
        if not isinstance(event, PlanExtended) or event.base not in tasks:
            continue
        base = tasks[event.base]
        for told in event.instances:
            one = recalled_one(base, told)
            if definition_sha256(shown(one)) != told["sha256"]:
                raise ZfError(
                    f"zf's reading of instance '{one.id}' has changed since it joined this run",
                    code="ZF143",
                    hint="finish it with the version of zf that began it",
                )
        join(tasks, event.base, event.instances)
        found.append(event)
    return found


def extended(
    request: RunRequest,
    about: Mapping[str, Any],
    pool: Pool | Places,
    durations: Sequence[Durations],
    base: str,
) -> Extended | NotExtended:
    """Which instances a task has, with how long each is expected to take."""
    return Extending(request, about, pool, lambda rows: weights(rows, *durations))(base)
