"""Why a task waits: what the scheduler goes by, seen from plan, limits and events alone.

Pure. A run's own zf and one in another terminal see the same, since neither asks the scheduler.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from zf.errors import in_shell, printable
from zf.lean.records import Struct
from zf.report.words import limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.facts import Facts
    from zf.report.task_facts import Gate, TaskFacts

Why = Literal[
    "need",
    "phase",
    "start_after",
    "approval",
    "retry",
    "lease",
    "concurrency",
    "resource",
    "matrix",
    "exclusive",
    "alone",
    "throttle",
    "slot",
    "turn",
]
_NAMED = 3
# The board looks at them for every frame: in a larger plan that is left to `zf status`.
_MOST_ON_BOARD = 500


class Wait(Struct, frozen=True):
    """What a task waits for. `tasks` stand in its way, `name` is the resource or the group."""

    why: Why
    tasks: tuple[str, ...] = ()
    name: str = ""
    told: str = ""


def waits(facts: Facts, now: float | None = None) -> dict[str, Wait]:
    """What each waiting task of a run that goes on waits for, at this moment of its clock."""
    found: dict[str, Wait] = {}
    ready: list[TaskFacts] = []
    for task in facts.tasks.values():
        if task.word != "waiting":
            continue
        wait = _before_its_turn(facts, task, now)
        if wait is None:
            ready.append(task)
        else:
            found[task.id] = wait
    exclusive = tuple(task.id for task in ready if not task.parallel_safe)
    for task in ready:
        found[task.id] = _for_its_turn(facts, task, exclusive)
    return found


def _before_its_turn(facts: Facts, task: TaskFacts, now: float | None) -> Wait | None:
    """What keeps it from standing in line."""
    if task.phase != facts.phase:
        return Wait("phase", told=f"for phase {printable(task.phase)}")
    needs = tuple(n for n in task.needs if n in facts.tasks and facts.tasks[n].status is None)
    if needs and facts.needs_checked:
        words = [f"{printable(need)} ({facts.tasks[need].word})" for need in needs]
        return Wait("need", needs, told=f"for {_some(words)}")
    if task.unanswered is not None:
        return _for_approval(facts, task)
    if task.retry_at is not None and (now is None or now < task.retry_at):
        left = "" if now is None else f", in {limit(round(task.retry_at - now, 1))}"
        return Wait("retry", told=f"for attempt {task.attempt + 1}{left}")
    if now is not None and facts.started_mono is not None and not task.attempt:
        left_s = facts.started_mono + task.start_after_s - now
        if left_s > 0:
            told = f"for its start_after, in {limit(round(left_s, 1))}"
            return Wait("start_after", told=told)
    return None


def _for_approval(facts: Facts, task: TaskFacts) -> Wait:
    """Those who may approve it, and the command by which they do."""
    gate = task.unanswered
    assert gate is not None
    command = f"zf approve {in_shell(facts.run)} {in_shell(task.id)}"
    return Wait("approval", name=gate.asked.prompt, told=f"for {by_whom(gate)}: {command}")


def by_whom(gate: Gate) -> str:
    """`approval by ann or bob`, `2 approvals of ann, bob or cy (1 given, by ann)`."""
    by = [printable(name) for name in gate.asked.by]
    names = f"{', '.join(by[:-1])} or {by[-1]}" if len(by) > 1 else by[0]
    if gate.asked.min == 1:
        return f"approval by {names}"
    given = ", ".join(printable(one.approver) for one in gate.given)
    so_far = f" ({len(gate.given)} given, by {given})" if given else ""
    return f"{gate.asked.min} approvals of {names}{so_far}"


def _for_its_turn(facts: Facts, task: TaskFacts, exclusive: Sequence[str]) -> Wait:
    """What keeps it from starting, the most particular reason first."""
    running = facts.running.values()
    if task.held_by:
        told = f"for '{printable(task.group)}', held by {printable(task.held_by)}"
        return Wait("lease", name=task.group, told=told)
    alone = tuple(other.id for other in running if not other.parallel_safe)
    if alone:
        return Wait("exclusive", alone, told=f"for {_ids(alone)}, which runs alone")
    if task.group:
        having = tuple(other.id for other in running if other.group == task.group)
        if having:
            told = f"for '{printable(task.group)}', which {_ids(having)} has"
            return Wait("concurrency", having, task.group, told)
    for name, amount in task.resources.items():
        having = tuple(other.id for other in running if other.resources.get(name))
        taken = sum(other.resources.get(name, 0) for other in running)
        if amount and having and taken + amount > facts.resources.get(name, 0):
            free = max(0, facts.resources.get(name, 0) - taken)
            told = f"for {amount} {printable(name)}, {free} free: {_ids(having)} has {taken}"
            return Wait("resource", having, name, told)
    if task.max_parallel is not None:
        having = tuple(other.id for other in running if other.base == task.base)
        if len(having) >= task.max_parallel:
            told = f"for {_ids(having)}: max_parallel of its matrix is {task.max_parallel}"
            return Wait("matrix", having, task.base, told)
    if not task.parallel_safe and facts.running:
        told = f"to run alone, after {_ids(facts.running)}"
        return Wait("alone", tuple(facts.running), told=told)
    if facts.throttle is not None and facts.running:
        told = f"for the machine to be less busy: {printable(facts.throttle.reason)}"
        return Wait("throttle", told=told)
    slots = _slots(facts)
    if slots is not None and len(facts.running) >= slots:
        return Wait("slot", told=f"for a slot: {len(facts.running)} of {slots} are taken")
    first = tuple(name for name in exclusive if name != task.id) if facts.running else ()
    told = f"for its turn, after {_ids(first)}, which is to run alone" if first else "for its turn"
    return Wait("turn", first, told=told)


def _slots(facts: Facts) -> int | None:
    """How many tasks may run at once in the phase under way."""
    phase = facts.phases.get(facts.phase)
    if facts.max_jobs is None or phase is None or phase.max_jobs is None:
        return facts.max_jobs
    return min(facts.max_jobs, phase.max_jobs)


def as_json(found: dict[str, Wait]) -> dict[str, Any]:
    """For programs: `why` is a word to match, `told` a sentence for people."""
    return {
        name: {"why": wait.why, "tasks": list(wait.tasks), "name": wait.name or None}
        | {"told": f"waits {wait.told}"}
        for name, wait in found.items()
    }


def row(facts: Facts, now: float) -> str:
    """The board's line about tasks that could run: how many wait for what, the most first; not
    for those that only wait for their needs.
    """
    if len(facts.tasks) > _MOST_ON_BOARD or not facts.counts["waiting"]:
        return ""
    found = waits(facts, now).values()
    told = Counter(wait.told for wait in found if wait.why not in {"need", "phase", "turn"})
    return "  ".join(f"{count} {what}" for what, count in told.most_common(_NAMED))


def _ids(names: Sequence[str] | dict[str, Any]) -> str:
    return _some([printable(name) for name in names])


def _some(words: Sequence[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")
