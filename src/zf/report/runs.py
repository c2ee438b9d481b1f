"""`zf status`: one row for each run, or for each task of one run, as text or for programs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.lean.records import Struct, field
from zf.report.remarks import cpu_s
from zf.report.summary import total_s, use_line
from zf.report.task_facts import Base, TaskFacts, grouped
from zf.report.words import (
    PLAIN,
    WORDS,
    Style,
    counted,
    duration,
    moment,
    size,
    spent,
    story,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from zf.report.facts import Facts
    from zf.report.waiting import Wait


class RunRow(Struct, frozen=True):
    """What a list of runs shows of one. `result` is a facts.Result, or why it cannot be read;
    `advice` is about a run that no zf runs any more.
    """

    run: str
    result: str
    started_at: str
    duration_s: float | None
    phases: tuple[str, ...]
    counts: Mapping[str, int]
    tolerated: Mapping[str, int] = field(default_factory=dict)
    warned: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def row(facts: Facts) -> RunRow:
    return RunRow(
        run=facts.run,
        result=facts.result,
        started_at=facts.started_at,
        duration_s=total_s(facts),
        phases=tuple(facts.phases),
        counts={word: number for word, number in facts.counts.items() if number},
        tolerated=facts.tolerated,
        warned=tuple(task.id for task in facts.warned),
        flaky=tuple(task.id for task in facts.flaky),
    )


def unreadable(run: str, why: str) -> RunRow:
    """The row of a run whose plan or journal cannot be read: it is shown, not hidden."""
    return RunRow(run, why, "", None, (), {})


def table(rows: Collection[RunRow], style: Style = PLAIN) -> str:
    """The runs as the caller ordered them, under a heading, and the advice about them; a sentence
    when there are none.
    """
    cells = [
        (
            printable(row.run),
            printable(row.result),
            moment(row.started_at),
            duration(row.duration_s),
            printable(" ".join(row.phases)) or "-",
            counted(row.counts, row.tolerated, len(row.flaky)) or "-",
        )
        for row in rows
    ]
    if not cells:
        return "no runs yet\n"
    heading = ("RUN", "RESULT", "STARTED", "TIME", "PHASES", "TASKS")
    advice = [line for row in rows for line in row.advice]
    return _aligned([heading, *cells], coloured=1, style=style) + _below(advice)


def as_json(rows: Iterable[RunRow]) -> list[dict[str, Any]]:
    """The same rows for programs; counts hold every status, `warned` and `flaky` name tasks."""
    return [
        {
            "run_id": row.run,
            "result": row.result,
            "started_at": row.started_at or None,
            "duration_s": row.duration_s,
            "phases": list(row.phases),
            "counts": {word: row.counts.get(word, 0) for word in WORDS},
            "warned": list(row.warned),
            "flaky": list(row.flaky),
        }
        for row in rows
    ]


def tasks_table(
    facts: Facts,
    style: Style = PLAIN,
    waits: Mapping[str, Wait] = MappingProxyType({}),
    advice: Sequence[str] = (),
) -> str:
    """Every task of one run in plan order, instances of a matrix together, with what its last
    attempt used, where that is known; for those that wait, what for. Below it, what all attempts
    used if that was much, and `advice`.
    """
    measured = any(task.measures for task in facts.tasks.values())
    cells = [
        (
            printable(f"  {task.id}" if task.base else task.id),
            task.conclusion,
            spent(task) or "-",
            *((duration(cpu_s(task.measures)), _peak(task)) if measured else ()),
            printable(task.phase),
            _story(task, waits.get(task.id)),
        )
        if isinstance(task, TaskFacts)
        else _of_base(task, measured=measured)
        for task in grouped(facts.tasks.values())
    ]
    heading = ("TASK", "STATUS", "TIME", *(("CPU", "MEMORY") if measured else ()), "PHASE", "WHAT")
    below = [*use_line(facts), *map(printable, facts.given), *advice]
    return _aligned([heading, *cells], coloured=1, style=style) + _below(below)


def _of_base(base: Base, *, measured: bool) -> tuple[str, ...]:
    """The row above the instances of a matrix."""
    phase = printable(base.tasks[0].phase)
    unknown = ("-", "-", "-") if measured else ("-",)
    return (printable(base.id), base.conclusion, *unknown, phase, base.told)


def _peak(task: TaskFacts) -> str:
    return size(task.measures.get("peak_memory_bytes"))


def _story(task: TaskFacts, wait: Wait | None = None) -> str:
    if wait is not None and wait.why != "retry":  # of which its story tells more
        return f"waits {wait.told}"
    again = f"attempt {task.attempt}" if task.attempt > 1 else ""
    return "  ".join(part for part in (again, story(task)) if part)


def _below(advice: Iterable[str]) -> str:
    lines = "".join(f"{line}\n" for line in advice)
    return f"\n{lines}" if lines else ""


def _aligned(rows: Sequence[Sequence[str]], *, coloured: int, style: Style) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
        # Painted after padding, so that escapes take no room.
        padded[coloured] = style.paint(padded[coloured], cells[coloured])
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"
