"""A plan to look at: as text for people, as Mermaid or DOT for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.errors import printable
from zf.instances import listed_by, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.model import Task
    from zf.plan.graph import Plan, PlannedPhase


def text(plan: Plan) -> str:
    """Phase by phase and level by level: what runs, what it needs, what may run beside it."""
    return "\n".join(line for phase in plan.phases for line in _phase(plan, phase))


def _phase(plan: Plan, phase: PlannedPhase) -> Iterator[str]:
    tasks = [task for task in plan.tasks.values() if task.phase == phase.name]
    title = f" - {printable(phase.title)}" if phase.title else ""
    count = f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
    yield f"Phase {phase.name}{title} ({count}, at most {phase.timeout_s:.10g} s)"
    width = max(len(task.id) for task in tasks)
    level = -1
    for task in tasks:
        if plan.level[task.id] != level:
            level = plan.level[task.id]
            yield f"  level {level}:{_beside(plan, tasks, level)}"
        notes = "; ".join(_notes(plan, task))
        yield f"    {task.id:{width}}  {notes}".rstrip()
    alone = sum(not task.parallel_safe for task in tasks)
    if alone:
        yield (
            f"  {alone} of {count} run{'s' if alone == 1 else ''} alone:"
            " nothing else runs meanwhile, as parallel_safe is false"
        )


def _beside(plan: Plan, tasks: list[Task], level: int) -> str:
    together = sum(plan.level[task.id] == level and task.parallel_safe for task in tasks)
    return f" {together} may run side by side" if together > 1 else ""


def _notes(plan: Plan, task: Task) -> Iterator[str]:
    if task.title not in {"", task.id}:
        yield printable(task.title)
    if task.needs and plan.needs == "not_checked":
        yield f"needs, not checked: {', '.join(together(need.task for need in task.needs))}"
    elif task.needs:
        yield f"needs {', '.join(together(_need(plan, need.task) for need in task.needs))}"
    if task.matrix_from:
        yield _later(task)
    if not task.parallel_safe:
        yield "alone"


def _later(task: Task) -> str:
    return f"instances known when {' and '.join(listed_by(task.matrix_from))} is"


def _need(plan: Plan, name: str) -> str:
    return f"{name} (run {plan.upstream[name].run})" if name in plan.upstream else name


def mermaid(plan: Plan) -> str:
    """A flowchart for Markdown: arrows lead from a task to those that need it.

    A double frame runs alone; a rounded one was met by another run.
    """
    lines = ["flowchart LR"]
    names = {name: f"t{index}" for index, name in enumerate([*plan.tasks, *plan.upstream])}
    for index, phase in enumerate(plan.phases):
        lines.append(f'  subgraph p{index}["{_for_mermaid(_heading(phase))}"]')
        for task in plan.tasks.values():
            if task.phase == phase.name:
                label = "<br/>".join(_for_mermaid(line) for line in _label(task))
                frame = f'["{label}"]' if task.parallel_safe else f'[["{label}"]]'
                lines.append(f"    {names[task.id]}{frame}")
        lines.append("  end")
    lines += [f'  {names[n]}(["{_for_mermaid(_need(plan, n))}"])' for n in plan.upstream]
    lines += [f"  {names[need]} --> {names[task]}" for need, task in _arrows(plan)]
    return "\n".join(lines)


def dot(plan: Plan) -> str:
    """The same picture for Graphviz."""
    lines = ["digraph zf {", "  rankdir=LR;", "  node [shape=box];"]
    for index, phase in enumerate(plan.phases):
        lines.append(f"  subgraph cluster_{index} {{")
        lines.append(f"    label={_for_dot(_heading(phase))};")
        for task in plan.tasks.values():
            if task.phase == phase.name:
                frame = "" if task.parallel_safe else ", peripheries=2"
                lines.append(f"    {_for_dot(task.id)} [label={_for_dot(*_label(task))}{frame}];")
        lines.append("  }")
    for name in plan.upstream:
        label = _for_dot(_need(plan, name))
        lines.append(f"  {_for_dot(name)} [label={label}, style=rounded];")
    lines += [f"  {_for_dot(need)} -> {_for_dot(task)};" for need, task in _arrows(plan)]
    return "\n".join([*lines, "}"])


def _heading(phase: PlannedPhase) -> str:
    return f"{phase.name}: {phase.title}" if phase.title else phase.name


def _label(task: Task) -> list[str]:
    titled = [] if task.title in {"", task.id} else [task.title]
    return [task.id, *titled, *([_later(task)] if task.matrix_from else [])]


def _arrows(plan: Plan) -> Iterator[tuple[str, str]]:
    for task in plan.tasks.values():
        for need in task.needs:
            if need.task in plan.tasks or need.task in plan.upstream:
                yield need.task, task.id


_MERMAID_ENTITIES = {ord(char): f"#{ord(char)};" for char in '#"<>&`\\'}


def _for_mermaid(label: str) -> str:
    return printable(label).translate(_MERMAID_ENTITIES)


def _for_dot(*lines: str) -> str:
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


# Each format: how it is drawn, and what that is for.
FORMATS = {
    "text": (text, "for people"),
    "mermaid": (mermaid, "for Markdown pages"),
    "dot": (dot, "for Graphviz"),
}
