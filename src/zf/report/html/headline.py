"""The first sentence of the page: how the run went, and the one thing to know about that. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import FAILED, Status
from zf.report.summary import total_s
from zf.report.words import VERBS, count, duration, limit, signal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.causes import RootCause
    from zf.report.facts import Facts

# So many other causes are named before they are only counted.
_MOST_NAMED = 2


def headline(facts: Facts, *, alive: bool = False) -> str:
    """One sentence, which says nothing that the run's files do not."""
    match facts.result:
        case "passed":
            return _passed(facts)
        case "nothing run":
            return f"Nothing ran: {_counts(facts, 'was', 'were')}."
        case "tampered":
            return (
                "Tampered with while it ran: "
                f"{count(len(facts.tampered), 'thing')} in its folder is not what zf wrote."
            )
        case "waiting" if not alive:
            return _waiting(facts, facts.suspended)
        case "unfinished" | "waiting" if alive:
            asked = [task.id for task in facts.tasks.values() if task.unanswered is not None]
            if asked and not facts.counts["running"]:
                return _waiting(facts, asked)
            return f"Still running: {_ended_so_far(facts)}."
        case "unfinished":
            return f"Never finished: its zf was killed after {_ended(facts)}."
        case "interrupted":
            return f"Interrupted{_by(facts)}{_after(facts)}: {_ended(facts)}."
        case "timeout":
            return f"{_out_of_time(facts)}: {_ended(facts)}."
    return f"{_what(facts)} failed: {_why(facts)}."


def _passed(facts: Facts) -> str:
    total, done = len(facts.tasks), facts.counts[Status.SUCCESS]
    told = f"All {total} tasks" if total > 1 and done == total else ""
    told = told or (count(total, "task") if done == total else f"{done} of {total} tasks")
    notes = [f"{printable(task.id)} only on attempt {task.attempt}" for task in facts.flaky[:1]]
    if len(facts.flaky) > 1:
        notes = [f"{len(facts.flaky)} of them only after a retry"]
    tolerated = [task for task in facts.warned if task.status in FAILED]
    if tolerated:
        notes.append(f"{count(len(tolerated), 'failure')} {_be(len(tolerated))} tolerated")
    skipped = facts.counts[Status.SKIPPED]
    if skipped:
        notes.append(f"{skipped} {_be(skipped)} skipped")
    took = total_s(facts)
    within = f" in {duration(took)}" if took is not None else ""
    return "; ".join([f"{told} succeeded{within}", *notes]) + "."


def _be(number: int) -> str:
    return "was" if number == 1 else "were"


def _counts(facts: Facts, one: str, many: str) -> str:
    words = (Status.SKIPPED, Status.BLOCKED, Status.CANCELLED)
    parts = [
        f"{facts.counts[word]} {one if facts.counts[word] == 1 else many} {word.value}"
        for word in words
        if facts.counts[word]
    ]
    return ", ".join(parts) or "no task was planned"


def _waiting(facts: Facts, tasks: Sequence[str]) -> str:
    shown = [*map(printable, tasks[:_MOST_NAMED])]
    if more := len(tasks) - len(shown):
        shown.append(f"{more} more")
    return f"Waiting for approval of {' and '.join(shown)}: {_ended_so_far(facts)}."


def _ended_so_far(facts: Facts) -> str:
    return f"{_ended(facts, 'has' if len(facts.tasks) == 1 else 'have')} so far"


def _ended(facts: Facts, verb: str = "had") -> str:
    total = len(facts.tasks)
    ended = total - facts.counts["waiting"] - facts.counts["running"]
    return f"{ended} of {count(total, 'task')} {verb} ended"


def _by(facts: Facts) -> str:
    if facts.interrupted is None:
        return ""
    return f" by {signal_name(facts.interrupted.signal).rpartition('(')[2].rstrip(')')}"


def _after(facts: Facts) -> str:
    took = total_s(facts)
    return f" after {duration(took)}" if took is not None else ""


def _out_of_time(facts: Facts) -> str:
    if facts.phase_timeout is not None:
        phase = facts.phases.get(facts.phase_timeout.phase)
        within = f" ({limit(phase.timeout_s)})" if phase else ""
        return f"Phase {printable(facts.phase_timeout.phase)} ran out of time{within}"
    return f"The run went past its deadline{_after(facts)}"


def _what(facts: Facts) -> str:
    failed = [phase.name for phase in facts.phases.values() if phase.state == "failed"]
    if len(failed) == 1:
        return f"Phase {printable(failed[0])}"
    return "The run"


def _why(facts: Facts) -> str:
    causes = [cause for cause in facts.causes if cause.word in VERBS]
    if not causes:
        return _counts(facts, "was", "were") if facts.causes else "it has no reason on record"
    first, *others = causes
    told = _cause(facts, first)
    if first.blocks:
        told += f", and {count(first.blocks, 'task')} waited for it"
    if 0 < len(others) <= _MOST_NAMED:
        told += "".join(f"; {_cause(facts, other)}" for other in others)
    elif others:
        told += f"; {len(others)} others failed, too"
    return told


def _cause(facts: Facts, cause: RootCause) -> str:
    task = facts.tasks.get(cause.task)  # a plan from elsewhere may not have it
    late = task is not None and task.status is Status.TIMEOUT and task.attempt
    after = f" after {duration(task.duration_s)}" if task is not None and late else ""
    return f"{printable(cause.task)} {VERBS[Status(cause.word)]}{after}"
