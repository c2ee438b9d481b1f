"""What of a run is worth a line where others are told of it: one finding for each cause, and none
for what a cause held up. Annotations, code quality and the summary are made of these. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zf.errors import printable
from zf.lean.records import Struct
from zf.report.blocked import code
from zf.report.excerpt import LOOK_LINES
from zf.report.summary import VERDICTS
from zf.report.words import (
    TAIL_LINES,
    VERBS,
    count,
    failed_tests,
    line_number,
    spent,
    step,
    tail,
    what,
)

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

Kind = Literal["error", "warning", "notice"]


class Finding(Struct, frozen=True):
    """Something that happened to a task, or to the run where `task` is None. `file` is its task
    file as the repository has it, `holds_up` how many tasks waited for it; `key` stays the same
    from run to run.
    """

    kind: Kind
    title: str
    what: str
    code: str
    key: tuple[str, ...]
    task: TaskFacts | None = None
    file: str = ""
    line: int = 0
    holds_up: int = 0


def findings(run: RecordedRun) -> list[Finding]:
    """Errors first, the one that holds up most before all others; then what was tolerated, then
    what succeeded only after a retry.
    """
    facts = run.facts
    weight = {cause.task: cause.blocks for cause in facts.causes}
    failed = sorted(facts.failed, key=lambda task: -weight.get(task.id, 0))
    found = [_of_task(run, "error", task, weight.get(task.id, 0)) for task in failed]
    if told := _of_run(facts, found):
        found.insert(0, told)
    found += [_of_task(run, "warning", task, 0) for task in facts.warned]
    return [*found, *(_of_task(run, "notice", task, 0) for task in facts.flaky)]


def _of_task(run: RecordedRun, kind: Kind, task: TaskFacts, holds_up: int) -> Finding:
    verb = VERBS.get(task.status, task.word) if task.status else task.word
    if kind == "notice":
        verb = f"succeeded only on attempt {task.attempt}"
    title = f"{printable(task.id)} {verb}{spent(task, ' after ')}"
    title += ", tolerated" if kind == "warning" else ""
    last = task.earlier[-1].task if kind == "notice" and task.earlier else task
    file = f"{run.project}/{task.file}" if run.project else task.file
    return Finding(
        kind,
        title,
        f"attempt {last.attempt}: {last.word}: {what(last)}" if last is not task else what(task),
        code(last),
        ("zf", task.id, code(last), step(last)),
        task,
        printable(file),
        line_number(task),
        holds_up,
    )


def _of_run(facts: Facts, found: list[Finding]) -> Finding | None:
    """What went wrong with the run itself; what its tasks came to says the rest."""
    if facts.tampered:
        told = "; ".join(map(printable, facts.tampered[:3]))
        return _run(facts, told, "ZF149")
    if facts.result == "unfinished":
        return _run(facts, "its record ends before the run did", "ZF515")
    if facts.interrupted is not None:
        return _run(facts, "it was interrupted", "ZF505")
    if not found and facts.result in {"failed", "timeout"}:
        return _run(facts, "its time ran out" if facts.result == "timeout" else "", "ZF504")
    return None


def _run(facts: Facts, told: str, number: str) -> Finding:
    verdict = VERDICTS[facts.result]
    title = f"{verdict} {printable(facts.run)}"
    return Finding("error", title, told or verdict, number, ("zf", verdict))


def log_of(run: RecordedRun, finding: Finding, most: int = TAIL_LINES) -> list[str]:
    """The lines of a finding's log that say why, safe to print."""
    task = finding.task
    if task is None or finding.kind == "notice":
        return []
    number = run.facts.step_number(task)
    return tail(run.log_tail(task.id, number, lines=max(LOOK_LINES, most)), most)


def said(run: RecordedRun, finding: Finding) -> str:
    """A finding in a few lines: what happened, which tests failed, what it holds up, and the reason
    in its log.
    """
    lines = [f"{finding.what} [{finding.code}]"]
    if finding.task is not None and (tests := failed_tests(finding.task)):
        lines.append(tests)
    if finding.holds_up:
        lines.append(f"holds up {count(finding.holds_up, 'task')}")
    return "\n".join([*lines, *(f"| {line}".rstrip() for line in log_of(run, finding))])
