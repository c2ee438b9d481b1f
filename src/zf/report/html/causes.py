"""What went wrong, and what is remarkable: each root cause with its log and its victims, then what
was tolerated or succeeded only after a retry, attempt by attempt. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import FAILED
from zf.lean.records import Struct
from zf.report import advice
from zf.report.html.quotes import Quote, Quotes
from zf.report.html.state import STATES, State, state_of
from zf.report.remarks import failed_cases, remarks
from zf.report.words import count, failed_tests, place, spent, tries, what

if TYPE_CHECKING:
    from zf.report.causes import RootCause
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts


class Victim(Struct, frozen=True):
    """A task that was held up: how deep below the cause, and what else held it up."""

    task: str
    state: State
    depth: int
    also: Sequence[str]


class Cause(Struct, frozen=True):
    task: TaskFacts
    state: State
    # After the task's name: "failed: step 'pytest' exited with code 1".
    told: str
    holds_up: str
    where: str
    notes: Sequence[str]
    quote: Quote | None
    earlier: Sequence[str]
    victims: Sequence[Victim]
    # "3 of 812 tests failed: ...", and each of these cases with what it said.
    tests: str
    cases: Sequence[str]
    others: int = 0


class Odd(Struct, frozen=True):
    """A task that did not fail the run and must not be overlooked."""

    task: TaskFacts
    state: State
    told: str
    where: str
    attempts: Sequence[tuple[str, Quote | None]]
    notes: Sequence[str]


def causes(run: RecordedRun, quotes: Quotes) -> Iterator[Cause]:
    """The root causes, the one that holds up most first."""
    for cause in run.facts.causes:
        task = run.facts.tasks.get(cause.task)
        if task is not None:
            yield _cause(run, task, cause, quotes)


def _cause(run: RecordedRun, task: TaskFacts, cause: RootCause, quotes: Quotes) -> Cause:
    tasks = run.facts.tasks
    failed = task.status in FAILED
    return Cause(
        task=task,
        state=state_of(task),
        told=what(task),
        holds_up=f"holds up {count(cause.blocks, 'task')}" if cause.blocks else "",
        where=place(task),
        notes=notes_of(run, task),
        quote=quotes.of(task) if failed and task.attempt else None,
        earlier=tries(task),
        victims=[
            Victim(held.task, state_of(tasks[held.task]), held.depth, held.also)
            for held in cause.held
        ],
        others=cause.blocks - len(cause.held),
        tests=failed_tests(task),
        cases=failed_cases(run.status(task.id) or {}) if task.tests else (),
    )


def notes_of(run: RecordedRun, task: TaskFacts) -> list[str]:
    """What only its status.json says."""
    if not task.attempt or task.status is None:
        return []
    status = run.status(task.id)
    return remarks(status) if status else []


def odd(run: RecordedRun, quotes: Quotes) -> Iterator[Odd]:
    """What was tolerated, then what succeeded only after another try."""
    for task in (*run.facts.warned, *run.facts.flaky):
        attempts: list[tuple[str, Quote | None]] = [
            (line, quotes.of(tried.task, tried.task.attempt))
            for line, tried in zip(tries(task), task.earlier, strict=True)
        ]
        if task.warned:
            ended = f"attempt {task.attempt}: {task.word}{spent(task, ' after ')}: {what(task)}"
            attempts.append((ended, quotes.of(task) if task.status in FAILED else None))
        else:
            attempts.append((f"attempt {task.attempt}: succeeded{spent(task, ' after ')}", None))
        told = f"succeeded only on attempt {task.attempt}"
        if task.warned:
            told = f"{STATES[task.word].word}, which is tolerated: {what(task)}"
        yield Odd(task, state_of(task), told, place(task), attempts, notes_of(run, task))


def first_step(run: RecordedRun) -> tuple[str, Sequence[str]]:
    """What to mend first, and the commands to type next."""
    facts = run.facts
    first = advice.fix_first(facts)
    told = ""
    if first is not None and len(first.tasks) == 1:
        told = f"Fix {printable(first.tasks[0])} first: it frees {count(first.frees, 'task')}."
    elif first is not None:
        told = f"Fix first: {first.render([printable(name) for name in first.tasks])}."
    return told, advice.commands(facts, alive=run.alive, sealed=run.sealed)
