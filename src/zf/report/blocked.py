"""Why tasks did not run: the deadlock report and the same facts as `blocked.json`.

Takes the tails of logs and the proof folder's path from the caller; reads nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.events import Cause, Status
from zf.instances import together
from zf.report import lost
from zf.report.advice import after_end, fix_first
from zf.report.words import (
    NO_TAILS,
    PLAIN,
    Style,
    count,
    dependency,
    failed_tests,
    limit,
    line_number,
    moment,
    place,
    quoted_log,
    spent,
    tail,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zf.report.causes import Held, RootCause
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

SCHEMA = "zf/blocked/v2"
# Codes of what can become of a task, for programs and search engines: never renumbered.
CODES: Mapping[Cause, str] = {
    Cause.NONE: "ZF500",
    Cause.EXIT: "ZF501",
    Cause.SIGNAL: "ZF502",
    Cause.TIMEOUT: "ZF503",
    Cause.PHASE_TIMEOUT: "ZF504",
    Cause.INTERRUPT: "ZF505",
    Cause.NEED: "ZF506",
    Cause.PHASE_FAILED: "ZF507",
    Cause.FAIL_FAST: "ZF508",
    Cause.SPAWN: "ZF509",
    Cause.WORKDIR: "ZF510",
    Cause.SURVIVORS: "ZF511",
    Cause.ARTIFACTS: "ZF512",
    Cause.STORAGE: "ZF513",
    Cause.WORKER: "ZF514",
    **lost.CODES,
    Cause.RUNNER: "ZF515",
    Cause.SILENCE: "ZF516",
    Cause.CONDITION: "ZF517",
    Cause.DEADLINE: "ZF518",
    Cause.QUEUE_TIMEOUT: "ZF519",
    Cause.CANCEL: "ZF520",
    Cause.SUPERSEDED: "ZF527",
    Cause.CLEANUP: "ZF521",
    Cause.METRICS: "ZF522",
    Cause.BUDGET: "ZF523",
    Cause.OUTPUTS: "ZF528",
    Cause.INSTANCES: "ZF529",
    Cause.MATRIX: "ZF524",
    Cause.STEP_TIMEOUT: "ZF525",
    Cause.SKIP_EXIT_CODE: "ZF526",
    Cause.REPEAT_LIMIT: "ZF753",
    Cause.ON_END: "ZF758",
    Cause.BAD_PROBES: "ZF754",
    Cause.INCONCLUSIVE: "ZF755",
    Cause.PROBE_TIMEOUT: "ZF756",
    Cause.SERVICE: "ZF720",
    Cause.OOM: "ZF721",
    Cause.LIMIT: "ZF722",
    Cause.APPROVAL_TIMEOUT: "ZF734",
    Cause.APPROVAL_REJECTED: "ZF735",
}
# Deeper than this the tree says the depth in words: indenting a chain of 20 000 would take 400 MB.
_DEEPEST = 8


def code(task: TaskFacts | None) -> str:
    """The stable code of what became of a task; ZF500 for one the plan does not know."""
    return CODES[task.cause] if task else CODES[Cause.NONE]


def report(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    proof: str = "",
    style: Style = PLAIN,
) -> str:
    """The deadlock report, or nothing when every task had its turn.

    `tails` are the last raw lines of the causes' logs, `proof` is the run's folder as the reader
    would type it.
    """
    head, groups = headline(facts, style), not_started(facts)
    if not head and not groups:
        return ""
    parts = [head]
    blocking = [cause for cause in facts.causes if cause.blocks]
    for number, cause in enumerate(blocking, start=1):
        log = tails.get(cause.task, ())
        parts.append(_cause(facts, cause, number=number, log=log, proof=proof, style=style))
    parts += groups
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def headline(facts: Facts, style: Style) -> list[str]:
    """Lines that are older than zf and that scripts grep for: not a letter changes. On a terminal,
    which no script reads, they are broken between words.
    """
    pending = _pending(facts)
    lines = []
    if facts.phase_timeout is not None:
        seconds = limit(facts.phase_timeout.timeout_s)
        lines.append(style.paint(f"ERROR: Phase timeout ({seconds}) exceeded", "error"))
    if facts.run_timeout is not None:
        seconds = limit(facts.run_timeout.deadline_s)
        lines.append(style.paint(f"ERROR: Run deadline ({seconds}) exceeded", "error"))
    if pending:
        text = f"ERROR: Deadlock detected - {len(pending)} tasks still pending:"
        lines.append(style.paint(text, "error"))
    for name, unmet in pending.items():
        needs = ", ".join(map(printable, together(facts.tasks[name].needs)))
        lines.append(f"  - {printable(name)} (needs: {needs})")
        lines += [f"    -> {dependency(need, word)}" for need, word in unmet.items()]
    return [style.folded(line, "       ") for line in lines]


def _cause(
    facts: Facts, cause: RootCause, *, number: int, log: Sequence[str], proof: str, style: Style
) -> list[str]:
    task = facts.tasks.get(cause.task)
    name = style.paint(printable(cause.task), "bold")
    word = style.paint(cause.word, cause.word)
    lines = [f"{number}. {code(task)} {name}: {word}"]
    if task is not None:
        lines.append(f"   what:     {what(task) or task.word}")
        if task.completed_at:
            lines.append(f"   when:     {_when(task)}")
        lines.append(f"   where:    {place(task)}")
        if cases := failed_tests(task):
            lines.append(f"   tests:    {cases}")
        if log:
            shown = tail(log)
            lines.append(f"   log:      last {count(len(shown), 'line')}")
            lines += quoted_log(shown, "     ")
        if proof:
            lines.append(f"   proof:    {printable(proof)}/{printable(task.id)}")
    lines.append(f"   holds up: {_weight(cause)}")
    lines += [_branch(entry) for entry in cause.held]
    return lines


def _when(task: TaskFacts) -> str:
    if not task.attempt:
        return moment(task.completed_at)
    return f"{moment(task.completed_at)}, attempt {task.attempt}{spent(task, ', after ')}"


def _weight(cause: RootCause) -> str:
    text = count(cause.blocks, "task")
    above = cause.blocks - len(cause.held)
    if not above:
        return text
    return f"{text} ({above} listed above)" if cause.held else f"{text}, listed above"


def _branch(entry: Held) -> str:
    """One task of the tree, indented below the one it waits for."""
    indent = "  " * min(entry.depth, _DEEPEST)
    notes = []
    if entry.depth > _DEEPEST and entry.via:
        notes.append(f"{entry.depth} deep, through {printable(entry.via)}")
    if entry.also:
        notes.append(f"held up by {', '.join(map(printable, entry.also))} too")
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"   {indent}{printable(entry.task)}{note}"


_HEADINGS: Mapping[str, str] = {
    "": "Cancelled",
    Cause.PHASE_TIMEOUT: "Cancelled by the phase timeout",
    Cause.INTERRUPT: "Cancelled by the interrupt",
    Cause.PHASE_FAILED: "Cancelled because an earlier phase failed",
    Cause.FAIL_FAST: "Cancelled by --fail-fast",
    Cause.MATRIX: "Cancelled by `fail_fast` of their matrix",
    Cause.DEADLINE: "Cancelled by the deadline of the run",
    Cause.CANCEL: "Cancelled by `zf cancel`",
    Cause.SUPERSEDED: "Cancelled for a newer run",
    "waiting": "Still waiting when the record ends",
    "running": "Still running when the record ends",
}


def not_started(facts: Facts) -> list[list[str]]:
    """The tasks that never had their turn and wait for no failed need, by what stopped them."""
    return [_group(key, tasks) for key, tasks in _not_started(facts).items()]


def _group(key: str, tasks: Sequence[TaskFacts]) -> list[str]:
    heading = _HEADINGS.get(key, f"Cancelled ({key})")
    lines = [f"{heading}: {count(len(tasks), 'task')}"]
    for task in tasks:
        # For a task that was never tried the heading says it all.
        tried = f": {what(task)}" if task.status and task.attempt else ""
        lines.append(f"   {printable(task.id)}{tried}")
    return lines


# --- blocked.json --------------------------------------------------------------------------------


def as_json(facts: Facts, *, tails: Mapping[str, Sequence[str]] = NO_TAILS) -> dict[str, Any]:
    """What `blocked.json` holds: the report's facts. Proof folders are relative to the run's."""
    first = fix_first(facts)
    struck, late = facts.phase_timeout, facts.run_timeout
    return {
        "schema": SCHEMA,
        "run_id": printable(facts.run),
        "pending": len(_pending(facts)),
        "phase_timeout": (
            {"phase": printable(struck.phase), "timeout_s": struck.timeout_s} if struck else None
        ),
        "run_timeout": {"deadline_s": late.deadline_s} if late else None,
        "fix_first": (
            {
                "task": printable(first.tasks[0]),
                "with": [printable(name) for name in first.tasks[1:]],
                "frees": first.frees,
            }
            if first
            else None
        ),
        "next": after_end(facts),
        "causes": [_cause_json(facts, cause, tails.get(cause.task, ())) for cause in facts.causes],
        "not_started": [
            _short_json(task) for tasks in _not_started(facts).values() for task in tasks
        ],
        "warned": [_short_json(task) for task in facts.warned],
        "flaky": [printable(task.id) for task in facts.flaky],
    }


def _cause_json(facts: Facts, cause: RootCause, log: Sequence[str]) -> dict[str, Any]:
    task = facts.tasks.get(cause.task)
    return {
        "code": code(task),
        "task": printable(cause.task),
        "status": cause.word,
        "cause": task.cause.value if task else "",
        "what": what(task) if task else "",
        "detail": printable(task.detail) if task else "",
        "phase": printable(task.phase) if task else None,
        "attempt": task.attempt if task else 0,
        "exit_code": task.exit_code if task else None,
        "signal": task.signal if task else None,
        "step": task.step if task else None,
        "started_at": _time(task.started_at if task else ""),
        "completed_at": _time(task.completed_at if task else ""),
        "duration_s": task.duration_s if task else None,
        "file": printable(task.file) if task else None,
        "line": line_number(task) if task else None,
        "log_tail": tail(log),
        "proof": printable(task.id) if task else None,
        "blocks": cause.blocks,
        "frees": cause.frees,
        "held_up": [_held_json(facts, entry) for entry in cause.held],
    }


def _time(at: str) -> str | None:
    return printable(at) or None


def _held_json(facts: Facts, entry: Held) -> dict[str, Any]:
    task = facts.tasks[entry.task]
    return {
        "task": printable(entry.task),
        "phase": printable(task.phase),
        "status": task.word,
        "via": printable(entry.via) if entry.via else None,
        "depth": entry.depth,
        "needs": {printable(need): word for need, word in entry.unmet.items()},
        "also": [printable(name) for name in entry.also],
    }


def _short_json(task: TaskFacts) -> dict[str, Any]:
    return {
        "code": code(task),
        "task": printable(task.id),
        "phase": printable(task.phase),
        "status": task.word,
        "cause": task.cause.value,
        "what": what(task),
    }


# --- What both forms say ------------------------------------------------------------------------

_Pending = dict[str, "Mapping[str, str]"]


def _pending(facts: Facts) -> _Pending:
    """What the report counts as still pending, with the unmet needs, in plan order. Tasks skipped
    for a skipped need are not: nothing is wrong with them.
    """
    unmet = {entry.task: entry.unmet for cause in facts.causes for entry in cause.held}
    # A cause can itself be blocked, when nothing known blocks it.
    unmet |= {cause.task: {} for cause in facts.causes if cause.word == Status.BLOCKED}
    return {
        name: unmet[name]
        for name, task in facts.tasks.items()
        if name in unmet and task.status is not Status.SKIPPED
    }


def _not_started(facts: Facts) -> dict[str, list[TaskFacts]]:
    """Tasks that did not end by themselves and wait for no failed need, by what stopped them."""
    told = {entry.task for cause in facts.causes for entry in cause.held}
    told.update(cause.task for cause in facts.causes)
    groups: dict[str, list[TaskFacts]] = {}
    for task in facts.tasks.values():
        if task.id not in told and task.status in {None, Status.CANCELLED}:
            key = task.cause.value if task.status else task.word
            groups.setdefault(key, []).append(task)
    return groups
