"""`zf explain`: why a task, or a whole run, came to what it came to. From facts alone."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.report import blocked, terminal
from zf.report.words import (
    NO_TAILS,
    PLAIN,
    Style,
    condition,
    count,
    dependency,
    duration,
    moment,
    place,
    quoted_log,
    run_task,
    story,
    tail,
    tries,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zf.report.facts import Facts, Held, RootCause, TaskFacts

# How many lines of a log the summary repeats.
_AGAIN = 3


def run(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    proof: str = "",
    style: Style = PLAIN,
) -> str:
    """The whole run: the deadlock report again, if there was one, then the summary."""
    report = blocked.report(facts, tails=tails, proof=proof, style=style)
    # The report has shown these logs a few lines higher up; the last words are enough.
    shown = {cause.task for cause in facts.causes if cause.blocks} if report else set()
    tails = {name: lines[-_AGAIN:] if name in shown else lines for name, lines in tails.items()}
    end = terminal.summary(facts, tails=tails, proof=proof, style=style)
    return f"{report}\n{end}" if report else end


def task(
    facts: Facts,
    name: str,
    *,
    log: Sequence[str] = (),
    proof: str = "",
    style: Style = PLAIN,
) -> str:
    """One task: what became of it and why, what it needed, what it holds up, what to type next.

    Raises KeyError for a task that is not in the plan.
    """
    found = facts.tasks[name]
    cause, entry = _held_by(facts, name)
    rows = [
        ("title", printable(found.title)),
        ("phase", printable(found.phase)),
        ("what", "; ".join(starmap(dependency, entry.unmet.items())) if entry else story(found)),
        *(("asked", condition(asked)) for asked in found.asked),
        *(("tried", line) for line in tries(found)),
        ("when", _when(found)),
        ("waited", _waited(found)),
        ("where", place(found)),
        ("needs", _needs(facts, found)),
        ("held by", _chain(cause, entry) if cause and entry else ""),
        ("also by", ", ".join(map(printable, entry.also)) if entry else ""),
        ("holds up", _holds_up(facts, name)),
        ("proof", f"{printable(proof)}/{printable(name)}" if proof else ""),
        ("next", run_task(cause.task if cause and cause.task in facts.tasks else name)),
    ]
    word = style.paint(found.word, "flaky" if found.flaky else found.conclusion)
    note = " (warned)" if found.warned else " (flaky)" if found.flaky else ""
    lines = [f"{style.paint(printable(name), 'bold')}: {word}{note}"]
    lines += [f"  {label + ':':<9} {text}" for label, text in rows if text]
    if log:
        lines += ["  log:", *quoted_log(tail(log), "    ")]
    return "\n".join(lines) + "\n"


def _held_by(facts: Facts, name: str) -> tuple[RootCause | None, Held | None]:
    for cause in facts.causes:
        for entry in cause.held:
            if entry.task == name:
                return cause, entry
    return None, None


def _when(task: TaskFacts) -> str:
    if task.status is None or not task.attempt:
        return moment(task.completed_at or task.started_at) if task.completed_at else ""
    begun, ended = moment(task.started_at), moment(task.completed_at)
    return f"{begun} to {ended}, {duration(task.duration_s)}, attempt {task.attempt}"


def _waited(task: TaskFacts) -> str:
    if not task.waited_s:
        return ""
    return f"{duration(task.waited_s)} while another run had '{printable(task.concurrency)}'"


def _needs(facts: Facts, task: TaskFacts) -> str:
    return ", ".join(f"{printable(need)} ({_need_word(facts, task, need)})" for need in task.needs)


def _need_word(facts: Facts, task: TaskFacts, need: str) -> str:
    if need in facts.tasks:
        found = facts.tasks[need]
        return f"{found.word}, tolerated" if found.warned else found.word
    if need in facts.upstream:
        return f"success in run {printable(facts.upstream[need])}"
    return "absent" if need in task.optional and facts.needs_checked else "not checked"


def _chain(cause: RootCause, entry: Held) -> str:
    """The shortest way from the root cause down to the task."""
    entries = {held.task: held for held in cause.held}
    way = [entry.task]
    while entry.via:
        entry = entries[entry.via]
        way.append(entry.task)
    way.append(f"{cause.task} ({cause.word})")
    return " -> ".join(printable(name) for name in reversed(way))


def _holds_up(facts: Facts, name: str) -> str:
    for cause in facts.causes:
        if cause.task == name and cause.blocks:
            listed = ", ".join(printable(entry.task) for entry in cause.held)
            rest = f": {listed}" if listed else ", listed under another cause"
            return count(cause.blocks, "task") + rest
    return ""
