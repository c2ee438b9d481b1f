"""What the words of `zf run` name: phases and tasks, with everything these need. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from zf.errors import Problem, ZfError
from zf.model import Flow, Task
from zf.plan.matrix.chosen import instances_of
from zf.plan.phases import stated_needs

# What stands before a word that could be both.
PHASE, TASK = "phase:", "task:"


def named(flow: Flow, words: Sequence[str]) -> list[str]:
    """The tasks that these words name: of a phase its tasks, and those of the phases that zf.yaml
    says it needs. No words name everything.

    Raises ZfError (exit 2) with a problem for each word that names nothing, or two things.
    """
    members: dict[str, list[str]] = {}
    for task in flow.tasks.values():
        members.setdefault(task.phase, []).append(task.id)
    problems = [found for word in words if (found := _problem(flow, members.keys(), word))]
    if not flow.tasks:
        problems = [
            Problem("ZF102", "there is nothing to run", hint="the project has no tasks yet")
        ]
    if problems:
        raise ZfError(problems[0].message, problems=tuple(problems))
    names: list[str] = []
    for word in words or members:
        phase = word.removeprefix(PHASE)
        if phase in members:
            for each in {phase} | stated_needs(flow.project, phase):
                names += members.get(each, ())
        else:
            names += instances_of(flow, word.removeprefix(TASK))
    return names


def themselves(flow: Flow, words: Sequence[str]) -> set[str]:
    """The tasks that these words name themselves: of a phase all. Words that name nothing name
    none.
    """
    found: set[str] = set() if words else {*flow.tasks}
    for word in words:
        phase = word.removeprefix(PHASE)
        found |= {task.id for task in flow.tasks.values() if task.phase == phase}
        if not word.startswith(PHASE):
            found |= {*instances_of(flow, word.removeprefix(TASK))}
    return found


def with_needs(flow: Flow, names: Iterable[str], avoid: Collection[str] = ()) -> dict[str, Task]:
    """These tasks and all that they need, in id order; but not what is to be avoided, nor what only
    that needs.
    """
    found = set(names)
    queue = [*found]
    for name in queue:  # grows while it is read
        for need in flow.present(flow.tasks[name]):
            if need.task not in found and need.task not in avoid:
                found.add(need.task)
                queue.append(need.task)
    return {name: flow.tasks[name] for name in sorted(found)}


def only_task(flow: Flow, words: Sequence[str]) -> bool:
    """Whether these words name one task and nothing else."""
    if len(words) != 1 or words[0].startswith(PHASE):
        return False
    name = words[0].removeprefix(TASK)
    is_phase = words[0] == name and any(task.phase == name for task in flow.tasks.values())
    return not is_phase and len(instances_of(flow, name)) == 1


def _problem(flow: Flow, phases: Iterable[str], word: str) -> Problem | None:
    known = set(phases)
    if word.startswith(PHASE):
        is_known = word.removeprefix(PHASE) in known
    elif word.startswith(TASK):
        is_known = bool(instances_of(flow, word.removeprefix(TASK)))
    else:
        of_tasks = instances_of(flow, word)
        is_known = word in known or bool(of_tasks)
        if word in known and of_tasks:
            return Problem(
                "ZF111",
                f"'{word}' is a phase and a task (of phase '{flow.tasks[of_tasks[0]].phase}')",
                hint=f"write {PHASE}{word} or {TASK}{word}",
            )
    if is_known:
        return None
    return Problem("ZF112", f"unknown phase or task '{word}'", hint=_hint(flow, known, word))


def _hint(flow: Flow, phases: set[str], word: str) -> str:
    from zf.plan.suggest import nearest  # noqa: PLC0415 - of a wrong name

    name = word.removeprefix(PHASE).removeprefix(TASK)
    if "@" in name:
        from zf.plan.refusals import later_hint  # noqa: PLC0415 - as above

        if later := later_hint(flow, name):
            return later
    bases = {task.base or task.id: task.phase for task in flow.tasks.values()}
    guess = nearest(name, phases | bases.keys() | flow.tasks.keys())
    if guess is None:
        return f"known phases: {', '.join(sorted(phases))}; `zf list` shows every task"
    task = flow.tasks.get(guess)
    what = "a phase" if guess in phases else f"phase {task.phase if task else bases[guess]}"
    return f"did you mean '{guess}' ({what})?"
