"""What a message says: values for programs, and a few lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.plan.notify.keys import FAILURE, MISSED, REAPED, RECOVERED, STALLED, WAITING
from zf.report.words import count, counted, duration, what

if TYPE_CHECKING:
    from zf.report.facts import Facts

# As receivers of webhooks name what happened: a thing, and what became of it.
TYPES = {
    FAILURE: "run.failed",
    RECOVERED: "run.recovered",
    WAITING: "run.waiting",
    STALLED: "run.stalled",
    REAPED: "run.reaped",
    MISSED: "schedule.missed",
}
_MOST_CAUSES = 10
_HEADS = {
    FAILURE: "failed",
    RECOVERED: "passes again",
    WAITING: "waits for an approval",
    STALLED: "has said nothing for long",
    REAPED: "was found dead",
}


def of_run(
    about: str,
    facts: Facts,
    *,
    project: str,
    source: Mapping[str, Any],
    head: str = "",
    link: str = "",
    tails: Mapping[str, Sequence[str]] | None = None,
    note: str = "",
) -> dict[str, Any]:
    """The message about a run. `source` is the `source` of its run.json, `head` the hash at the end
    of its journal, `tails` the last lines of logs by task; `note` says more than the facts do.
    """
    phases = list(facts.phases)
    causes = facts.causes[:_MOST_CAUSES] if about != RECOVERED else ()
    told = [
        {
            "task": cause.task,
            "status": str(facts.tasks[cause.task].status or ""),
            "what": what(facts.tasks[cause.task]),
            "blocks": cause.blocks,
        }
        for cause in causes
    ]
    return {
        "type": TYPES[about],
        "project": project,
        "run": facts.run,
        "result": facts.result,
        "phases": phases,
        "tasks": {word: number for word, number in facts.counts.items() if number},
        "causes": told,
        "causes_left_out": max(0, len(facts.causes) - len(told)) if causes else 0,
        "commit": source.get("commit"),
        "branch": source.get("branch"),
        "head": head or None,
        "link": link.replace("{run}", facts.run) or None,
        "logs": {task: list(lines) for task, lines in (tails or {}).items()},
        "subject": f"{project}: {_named(phases, facts.run)} {_HEADS[about]}",
        "text": _text(about, facts, told, note),
    }


def of_schedule(name: str, missed: Sequence[str], why: str, *, project: str) -> dict[str, Any]:
    """The message about times of a schedule at which nothing was started: the first and the last of
    them, RFC 3339, and how many there are and why.
    """
    said = f"schedule {name} missed times"
    return {
        "type": TYPES[MISSED],
        "project": project,
        "schedule": name,
        "missed": list(missed),
        "subject": f"{project}: {said}",
        "text": printable(f"{said}, {' to '.join(missed)}: {why}"),
    }


def for_people(message: Mapping[str, Any]) -> str:
    """The message as plain text: what happened, the logs it takes along, and where to read on."""
    parts = [str(message["text"])]
    for task, lines in message.get("logs", {}).items():
        parts.append("\n".join([f"{task}:", *(f"  {line}" for line in lines)]))
    where = [
        f"{name}: {message[name]}"
        for name in ("run", "commit", "branch", "head", "link")
        if message.get(name)
    ]
    return "\n\n".join([*parts, "\n".join(where)]).rstrip() + "\n"


def _named(phases: Sequence[str], run: str) -> str:
    if not phases:
        return f"run {run}"
    return f"phase{'s' if len(phases) > 1 else ''} {', '.join(phases)}"


def _text(about: str, facts: Facts, told: Sequence[Mapping[str, Any]], note: str) -> str:
    took = [] if facts.duration_s is None else [f"in {duration(facts.duration_s)}"]
    counts = counted(facts.counts, facts.tolerated, len(facts.flaky))
    lines = [f"Run {facts.run} {_HEADS[about]}: {' '.join([counts, *took])}"]
    lines += note.splitlines()
    for cause in told:
        held = f", holds up {count(cause['blocks'], 'task')}" if cause["blocks"] else ""
        lines.append(f"{cause['task']}: {cause['status']}, {cause['what']}{held}")
    return "\n".join(map(printable, lines))
