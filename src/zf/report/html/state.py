"""How a state is told on the page: a word, and a class that gives it a shape and a colour. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zf.events import Status
from zf.lean.records import Struct

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts


class State(Struct, frozen=True):
    """`name` is a class of `page.css`, the same for shapes in figures."""

    name: str
    word: str


# In the order in which they are told everywhere: what went wrong comes first.
STATES = {
    state.name: state
    for state in (
        State("failure", "failed"),
        State("timeout", "timed out"),
        State("lost", "lost"),
        State("blocked", "blocked"),
        State("cancelled", "cancelled"),
        State("warned", "tolerated"),
        State("flaky", "flaky"),
        State("skipped", "skipped"),
        State("running", "running"),
        State("waiting", "waiting"),
        State("success", "succeeded"),
    )
}
# A narrower part of the bar could not be seen.
_THINNEST = 6
_BAR = 1000
RANK = {name: number for number, name in enumerate(STATES)}


def name_of(task: TaskFacts) -> str:
    """Which of the states a task is in."""
    return "flaky" if task.flaky else task.conclusion


def state_of(task: TaskFacts) -> State:
    """The state of a task, with a word that says more where there is more to say."""
    name = name_of(task)
    if name == "flaky":
        return State(name, f"flaky, attempt {task.attempt}")
    if name == "warned":
        status = Status.FAILURE if task.status is None else task.status
        return State(name, f"{STATES[status.value].word}, tolerated")
    return STATES[name]


def counted(facts: Facts) -> Iterator[tuple[State, int]]:
    """How many tasks are in each state, those that occur."""
    counts = dict.fromkeys(STATES, 0)
    for task in facts.tasks.values():
        counts[name_of(task)] += 1
    return ((STATES[name], number) for name, number in counts.items() if number)


def bar(counts: Iterable[tuple[State, int]]) -> list[tuple[str, int, int]]:
    """How many tasks are in which state, as lengths: class, begin and length of each part."""
    parts = [(state.name, number) for state, number in counts]
    total = sum(number for _, number in parts)
    drawn, x = [], 0
    if total == 0:
        return []
    lengths = [max(_THINNEST, round(_BAR * number / total)) for _, number in parts]
    over = sum(lengths) - _BAR
    lengths[lengths.index(max(lengths))] -= over
    for (name, _), length in zip(parts, lengths, strict=True):
        drawn.append((name, x, max(1, length - 2)))
        x += length
    return drawn
