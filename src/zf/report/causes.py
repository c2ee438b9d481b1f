"""Root causes: which tasks hold up others that did not run, and how many each.

Pure. "Held" tasks are those that did not run because of a need. An edge leads from each unmet need
to the task it holds; a root is where such edges start. Everything here is linear in the edges, but
for the count of tasks with several causes, which is a union of bit sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from zf.events import FAILED, Status
from zf.lean.records import Struct, replace
from zf.report.task_facts import TaskFacts

_Unmet = Mapping[str, Mapping[str, str]]
_Below = Mapping[str, Sequence[str]]


class Held(Struct, frozen=True):
    """A task held up by a root cause: directly when `via` is None, else through that task.

    `depth` counts the tasks from the cause to here, 1 when direct. `unmet` has the word for each
    need that keeps it from running; `also` names other root causes behind those needs.
    """

    task: str
    via: str | None
    depth: int
    unmet: Mapping[str, str]
    also: tuple[str, ...]


class RootCause(Struct, frozen=True):
    """A task that held up others, or failed without doing so.

    `held` are the tasks listed under it, each directly below the one it waits for; `blocks` counts
    every task it holds up, listed here or under a bigger cause; `frees` only those that no other
    cause holds up as well.
    """

    task: str
    word: str
    held: tuple[Held, ...]
    blocks: int
    frees: int


def root_causes(tasks: Mapping[str, TaskFacts]) -> tuple[RootCause, ...]:
    """The root causes among the tasks of a plan, the one that blocks most first."""
    unmet = _unmet_needs(tasks)
    below: dict[str, list[str]] = {}
    for name, needs in unmet.items():
        for need in needs:
            below.setdefault(need, []).append(name)
    roots = {
        name: task.word for name, task in tasks.items() if task.status in FAILED and not task.warned
    }
    for name, needs in unmet.items():
        for need, word in needs.items():
            if need not in unmet and need not in roots:
                roots[need] = tasks[need].word if need in tasks else word
        if not needs:  # said to be blocked, but not by what: stands for itself
            roots[name] = tasks[name].word
    blocks, frees = _weights(roots, unmet, below)
    found = (RootCause(root, roots[root], (), blocks[root], frees[root]) for root in roots)
    # What was skipped is no failure, so it stands behind those.
    ranked = sorted(found, key=lambda root: (root.word == "skipped", -root.blocks, root.task))
    return tuple(_place(ranked, unmet, below))


def _unmet_needs(tasks: Mapping[str, TaskFacts]) -> dict[str, Mapping[str, str]]:
    """Held tasks, each with its unmet needs, in plan order (needs come before their dependents)."""
    unmet: dict[str, Mapping[str, str]] = {}
    for name, task in tasks.items():
        if task.status is Status.BLOCKED or (task.status is Status.SKIPPED and task.unmet):
            unmet[name] = {need: word.value for need, word in task.unmet.items()}
            if task.status is Status.BLOCKED and task.unmet:
                # The first need that fails blocks; the others may have come to nothing since.
                bad = (need for need in task.strict if _is_bad(need, tasks, unmet))
                unmet[name] = {**{need: tasks[need].word for need in bad}, **unmet[name]}
        elif task.status is None and not task.running:
            # The run ended, or has not got round, before this was said: the plan says it.
            words = {need: tasks[need].word for need in task.strict if _is_bad(need, tasks, unmet)}
            if words:
                unmet[name] = words
    return unmet


def _is_bad(need: str, tasks: Mapping[str, TaskFacts], unmet: _Unmet) -> bool:
    if need in unmet:
        return True
    if need not in tasks or tasks[need].warned:
        return False
    return tasks[need].status not in {None, Status.SUCCESS}


def _weights(
    roots: Mapping[str, str], unmet: _Unmet, below: _Below
) -> tuple[dict[str, int], dict[str, int]]:
    """For each root how many tasks it holds up, and how many of them it alone holds up."""
    order = _needs_first(unmet, below)
    only: dict[str, str | None] = {root: root for root in roots}  # None: several roots
    frees = dict.fromkeys(roots, 0)
    shared: dict[str, int] = {}  # the tasks with several roots, numbered
    for name in order:
        if name in roots:
            continue
        causes = {only.get(need) for need in unmet[name]}
        cause = only[name] = causes.pop() if len(causes) == 1 else None
        if cause is None:
            shared[name] = len(shared)
        else:
            frees[cause] += 1
    blocks = dict(frees)
    if shared:
        # Which shared tasks are at or below a task, as bits. What is below a shared task is shared.
        # A task's bits go when all above it have read them: 20 000 of them would be 50 MB.
        bits: dict[str, int] = {}
        unread = {name: len(needs) for name, needs in unmet.items()}
        for name in (*reversed(order), *(root for root in roots if root not in unmet)):
            found = 1 << shared[name] if name in shared else 0
            for child in below.get(name, ()):
                found |= bits.get(child, 0)
                unread[child] -= 1
                if not unread[child]:
                    bits.pop(child, None)
            bits[name] = found
        for root in roots:
            blocks[root] += bits[root].bit_count()
    return blocks, frees


def _needs_first(unmet: _Unmet, below: _Below) -> list[str]:
    """Held tasks so that each comes after the held tasks it needs; a cycle's tasks come last."""
    left = {name: sum(need in unmet for need in needs) for name, needs in unmet.items()}
    order = [name for name, count in left.items() if count == 0]
    for name in order:  # grows while it is read
        for child in below.get(name, ()):
            left[child] -= 1
            if left[child] == 0:
                order.append(child)
    return order + [name for name, count in left.items() if count > 0]


def _place(ranked: Sequence[RootCause], unmet: _Unmet, below: _Below) -> Iterable[RootCause]:
    """Put each held task under the first root that reaches it, by the shortest way."""
    cause_of = {root.task: root.task for root in ranked}
    children: dict[str, list[str]] = {}

    def reach(start: str) -> int:
        before = len(cause_of)
        queue = deque((start,))
        while queue:
            name = queue.popleft()
            for child in below.get(name, ()):
                if child not in cause_of:
                    cause_of[child] = start
                    children.setdefault(name, []).append(child)
                    queue.append(child)
        return len(cause_of) - before

    for root in ranked:
        reach(root.task)
    circles = []
    for name in unmet:
        if name not in cause_of:  # needs itself in the end: no root reaches it
            cause_of[name] = name
            circles.append(RootCause(name, "blocked", (), reach(name), 0))
    for root in (*ranked, *circles):
        yield replace(root, held=tuple(_tree(root.task, children, unmet, cause_of)))


def _tree(
    root: str, children: _Below, unmet: _Unmet, cause_of: Mapping[str, str]
) -> Iterable[Held]:
    """The tasks under a root, each followed by those below it (a loop: chains can be long)."""
    stack = [(child, 1) for child in reversed(children.get(root, ()))]
    via: dict[str, str] = {}
    while stack:
        name, depth = stack.pop()
        others = {cause_of[need] for need in unmet[name]} - {root}
        yield Held(name, via.get(name), depth, unmet[name], tuple(sorted(others)))
        for child in reversed(children.get(name, ())):
            via[child] = name
            stack.append((child, depth + 1))
