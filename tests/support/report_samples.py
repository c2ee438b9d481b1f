"""Plans and events for the tests of the report room: small, readable, with fixed times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zf.events import (
    SCHEMA,
    AttemptEnded,
    AttemptStarted,
    Cause,
    Event,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.report.facts import Facts, Fold, build
from zf.report.terminal import plain_line
from zf.report.words import PLAIN, Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# As short as the tables that are made of them need it.
B, C, F, S, T = (
    Status.BLOCKED,
    Status.CANCELLED,
    Status.FAILURE,
    Status.SKIPPED,
    Status.TIMEOUT,
)

DAY = "2026-11-21T06:30:"


def at(second: float) -> str:
    return f"{DAY}{second:09.6f}Z"


def plan(
    needs: str | Mapping[str, str | Sequence[str]],
    *,
    phase: str = "E",
    checked: bool = True,
    **titles: str,
) -> dict[str, Any]:
    """What plan.json would hold for tasks with these needs, given in a sound order.

    Names, and what one task needs, can be given in a text, with blanks between them.
    """
    if isinstance(needs, str):
        needs = dict.fromkeys(needs.split(), "")
    return {
        "schema": "zf/plan/v2",
        "phases": [{"name": phase, "title": "", "timeout_s": 3600}],
        "needs": "checked" if checked else "not_checked",
        "upstream": {},
        "tasks": [
            {
                "id": name,
                "title": titles.get(name, name),
                "phase": phase,
                "file": f"tasks/{name}/task.yaml",
                "line": 1,
                "needs": [
                    {"task": n, "optional": False, "require": "success"}
                    for n in (of.split() if isinstance(of, str) else of)
                ],
                "parallel_safe": True,
                "timeout_s": 3,
                "level": 0,
                "chain": 1,
                "steps": [{"name": "Prepare", "line": 5}, {"name": "Seed", "line": 8}],
            }
            for name, of in needs.items()
        ],
    }


def facts_of(needs: str | Mapping[str, str | Sequence[str]], events: Iterable[Event] = ()) -> Facts:
    """What is known of a run of such a plan after these events."""
    return build(plan(needs), events)


def told_lines(
    needs: str | Mapping[str, str | Sequence[str]], events: Iterable[Event], style: Style = PLAIN
) -> list[str]:
    """The plain lines of such a run, event by event."""
    fold = Fold(plan(needs))
    told = []
    for event in events:
        fold.apply(event)
        told.append(plain_line(fold.facts, event, style))
    return [line for line in told if line]


def run_started(tasks: int = 1) -> RunStarted:
    return RunStarted("r1", ("E",), tasks, "0" * 64, "n", None, None, None, schema=SCHEMA)


def started(task: str, attempt: int = 1) -> AttemptStarted:
    return AttemptStarted(task, attempt, 0)


def ended(
    task: str,
    status: Status = Status.SUCCESS,
    cause: Cause = Cause.NONE,
    *,
    attempt: int = 1,
    exit_code: int | None = 0,
    signal: int | None = None,
    step: int | None = None,
    detail: str = "",
    second: float = 41.5,
    duration_s: float = 3.0,
    warned: bool = False,
    measures: Mapping[str, Any] | None = None,
) -> AttemptEnded:
    return AttemptEnded(
        task=task,
        attempt=attempt,
        status=status,
        exit_code=exit_code,
        signal=signal,
        cause=cause,
        detail=detail,
        step=step,
        started_at=at(second),
        completed_at=at(second + duration_s),
        duration_s=duration_s,
        task_sha256="0" * 64,
        warned=warned,
        measures=measures or {},
    )


def used(cpu_s: float, peak: int | None = None, written: int = 0) -> dict[str, Any]:
    """Measures of an attempt: a fifth of the processor time was in the kernel."""
    return {
        "cpu_user_s": cpu_s * 0.8,
        "cpu_system_s": cpu_s * 0.2,
        "peak_memory_bytes": peak,
        "read_bytes": 0,
        "written_bytes": written,
        "output_bytes": 12,
        "source": "wait4",
    }


def timed_out(task: str) -> AttemptEnded:
    return ended(task, Status.TIMEOUT, Cause.TIMEOUT, exit_code=124, step=1)


def failed(task: str, exit_code: int = 3, **more: Any) -> AttemptEnded:
    ways = {"exit_code": exit_code, "step": 0, "duration_s": 0.25} | more
    return ended(task, Status.FAILURE, Cause.EXIT, **ways)


def blocked(task: str, **needs: Status) -> TaskNotRun:
    return not_run(task, Status.BLOCKED, Cause.NEED, needs={n: Status(s) for n, s in needs.items()})


def not_run(
    task: str, status: Status, cause: Cause, *, detail: str = "", needs: Mapping[str, Status] = {}
) -> TaskNotRun:
    return TaskNotRun(task, status, cause, detail, needs, at(45), "0" * 64)


def run_ended(exit_code: int, duration_s: float = 3.4) -> RunEnded:
    return RunEnded(exit_code, {}, duration_s)


SEED = {
    "30-migrate": (),
    "40-seed-database": ("30-migrate",),
    "41-lint": (),
    "42-e2e-admin": ("40-seed-database",),
    "43-e2e-report": ("42-e2e-admin", "41-lint"),
}


def seed_events() -> list[Event]:
    """A seed that times out and holds up two tasks, and a lint that fails."""
    return [
        run_started(5),
        PhaseStarted("E", 3600),
        started("30-migrate"),
        started("41-lint"),
        ended("30-migrate", duration_s=0.5),
        started("40-seed-database"),
        failed("41-lint"),
        not_run(
            "43-e2e-report",
            Status.BLOCKED,
            Cause.NEED,
            needs={"42-e2e-admin": Status.BLOCKED, "41-lint": Status.FAILURE},
        ),
        timed_out("40-seed-database"),
        not_run(
            "42-e2e-admin",
            Status.BLOCKED,
            Cause.NEED,
            needs={"40-seed-database": Status.TIMEOUT},
        ),
        PhaseEnded("E", ok=False, duration_s=3.3),
        run_ended(1),
    ]


def seed_facts() -> Facts:
    return facts_of(SEED, seed_events())


TAILS = {
    "40-seed-database": ["connecting\n", "\x1b[31mstill\x1b[0m\tconnecting\n"],
    "41-lint": ["core.py:1: unused import\n"],
}


def midway() -> Facts:
    """The sample run after seven of its events, one a second from 100 on."""
    fold = Fold(plan(SEED))
    for second, event in enumerate(seed_events()[:7]):
        fold.apply(event, 100.0 + second)
    return fold.facts


def running(*names: str, at: float = 100.0) -> Fold:
    """Tasks without needs, all running since then."""
    fold = Fold(plan(dict.fromkeys(names, ())))
    for name in names:
        fold.apply(started(name), at)
    return fold
