"""`zf explain`: why a task, or a whole run, ended as it did. From facts alone."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import FAILED, WELL
from zf.lean import lazy
from zf.model import NOTHING
from zf.report import advice
from zf.report.remarks import approvals, measured, on_cache, on_use, use
from zf.report.summary import summary
from zf.report.task_facts import bases
from zf.report.words import (
    NO_TAILS,
    PLAIN,
    TAIL_LINES,
    Style,
    condition,
    count,
    dependency,
    duration,
    moment,
    place,
    quoted_log,
    spent,
    story,
    tail,
    tests,
    tries,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from zf.report import blocked
    from zf.report.causes import Held, RootCause
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts
    from zf.report.waiting import Wait
else:
    blocked = lazy.module("zf.report.blocked")


def run(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
    remarks: Mapping[str, Sequence[str]] = NO_TAILS,
    outputs: Mapping[str, Mapping[str, str]] = NOTHING,
    alive: bool = False,
    sealed: bool = False,
    whole: bool = False,
    shown: Collection[str] = (),
) -> str:
    """The whole run: what failed and what that held up, counts, and what to do. With `whole`, what
    was held up is told as trees, below its causes; `alive` says that the run still goes on. Of
    failures that were `shown` the log is not shown again.
    """
    first = advice.fix_first(facts)
    lines = advice.lines(facts, alive=alive, sealed=sealed, zf=style.zf)
    if first is not None:
        names = [style.paint(printable(name), "bold") for name in first.tasks]
        lines.insert(0, style.folded(f"Fix first: {first.render(names)}"))
    report = blocked.report(facts, tails=tails, proof=proof, style=style) if whole else ""
    end = summary(
        facts,
        tails=tails,
        most=most,
        proof=proof,
        style=style,
        remarks=remarks,
        outputs=outputs,
        advice=lines,
        told={cause.task for cause in facts.causes if cause.blocks} if report else (),
        reported=bool(report),
        shown=shown,
    )
    return f"{report}\n{end}" if report else end


def task(
    facts: Facts,
    name: str,
    *,
    log: Sequence[str] = (),
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
    remarks: Sequence[str] = (),
    cases: Sequence[str] = (),
    outputs: Sequence[str] = (),
    alive: bool = False,
    sealed: bool = False,
    wait: Wait | None = None,
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
        *(("approval", line) for line in approvals(found)),
        *(("cache", line) for line in on_cache(found.looked_up)),
        *(("tried", line) for line in tries(found)),
        ("probes", _probes(found)),
        ("tests", tests(found)),
        *(("failed", line) for line in cases),
        *(("output", line) for line in outputs),
        ("when", _when(found)),
        ("used", use(found.measures)),
        *(("measured", line) for line in measured(found.metrics)),
        ("waits", wait.told if wait and wait.why not in {"lease", "retry"} else ""),
        ("waited", _waited(found)),
        ("run", "" if found.status else advice.no_runner(facts, alive=alive, sealed=sealed)),
        ("where", place(found)),
        ("needs", _needs(facts, found)),
        ("held by", _chain(cause, entry) if cause and entry else ""),
        ("also by", ", ".join(map(printable, entry.also)) if entry else ""),
        ("holds up", _holds_up(facts, name)),
        ("proof", f"{printable(proof)}/{printable(name)}" if proof else ""),
        *(("note", line) for line in (*remarks, *on_use(found))),
        ("next", _next(facts, found, style.zf, alive=alive, sealed=sealed)),
    ]
    word = style.paint(found.word, "flaky" if found.flaky else found.conclusion)
    note = " (warned)" if found.warned else " (flaky)" if found.flaky else ""
    lines = [f"{style.paint(printable(name), 'bold')}: {word}{note}"]
    lines += [f"  {label + ':':<9} {text}" for label, text in rows if text]
    if log:
        shown = tail(log, most or found.log_tail or TAIL_LINES)
        lines += ["  log:", *quoted_log(shown, "    ")]
    return "\n".join(lines) + "\n"


def base(facts: Facts, name: str, *, style: Style = PLAIN) -> str:
    """A task with a matrix: what its instances came to, together and each."""
    of = bases(facts.tasks.values())[name]
    word = style.paint(of.conclusion, of.conclusion)
    lines = [f"{style.paint(printable(name), 'bold')}: {word}", f"  what:     {of.told}"]
    lines += [f"  {one.conclusion:<9} {printable(one.id)}{_spent(one)}" for one in of.tasks]
    return "\n".join(lines) + "\n"


def _spent(task: TaskFacts) -> str:
    told = spent(task)
    return "" if told in {"", "-"} else f"  {told}"


def worth_telling(facts: Facts, names: Sequence[str]) -> list[str]:
    """Of the instances of a matrix those that did not go well, each once for what it is."""
    if len(names) == 1:
        return [*names]
    return [name for name in names if facts.tasks[name].status in FAILED][:_MOST_TOLD]


# Of the instances that failed, what is told whole.
_MOST_TOLD = 5


def _next(facts: Facts, task: TaskFacts, zf: str, *, alive: bool, sealed: bool) -> str:
    """The command that could change what became of this task."""
    if task.warned or task.status in WELL:
        return ""
    return "; ".join(advice.commands(facts, alive=alive, sealed=sealed, zf=zf))


def _held_by(facts: Facts, name: str) -> tuple[RootCause | None, Held | None]:
    for cause in facts.causes:
        for entry in cause.held:
            if entry.task == name:
                return cause, entry
    return None, None


def _probes(task: TaskFacts) -> str:
    """What the probes of a task came to, and the last of them; nothing for one without."""
    if task.probe is None:
        return ""
    of = ", ".join(f"{number} {result}" for result, number in task.probes.items())
    said = f": {printable(task.probe.line)}" if task.probe.line else ""
    return f"{of}; the last, number {task.probe.number}, {task.probe.result}{said}"


def _when(task: TaskFacts) -> str:
    if task.status is None or not task.attempt:
        return moment(task.completed_at or task.started_at) if task.completed_at else ""
    begun, ended = moment(task.started_at), moment(task.completed_at)
    return f"{begun} to {ended}{spent(task, ', ')}, attempt {task.attempt}"


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
