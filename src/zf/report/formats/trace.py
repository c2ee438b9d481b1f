"""The run over time for Perfetto and chrome://tracing: the JSON object form of the Trace Event
Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.

One process, the run; a thread for each slot, and threads for the phases, the critical path, the
waits, and the times in which the machine was too busy. Times are microseconds since the journal's
first line, on the run's own clock, which stands still while no zf runs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zf.report.timing.course import Attempt, Course, Wait, of_run

if TYPE_CHECKING:
    from zf.report.formats.recorded import RecordedRun

_RUN = 1
# Threads in the order in which they are shown; slots and rows of waits come after these.
_PHASES, _PATH, _MACHINE, _FIRST_SLOT = 1, 2, 3, 10
_NONE: Mapping[str, Any] = {}

Event = dict[str, Any]


def render(run: RecordedRun) -> Iterator[bytes]:
    """The file, an event a line."""
    course = of_run(run.plan, run.run.get("limits"), run.lines)
    about = {"run": run.id, "started_at": run.facts.started_at, "clock": "seconds of the run"}
    yield f'{{"displayTimeUnit":"ms","otherData":{_dump(about)},"traceEvents":[\n'.encode()
    between = b""
    for event in _events(run, course):
        yield between + _dump(event).encode("ascii")
        between = b",\n"
    yield b"\n]}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _events(run: RecordedRun, course: Course) -> Iterator[Event]:
    yield _named("process_name", 0, f"zf {run.id}")
    if course.phases:
        yield from _thread(_PHASES, "phases")
        for band in course.phases:
            yield _span(_PHASES, "phase", f"phase {band.name}", band.start_s, band.end_s)
    critical = course.critical()
    if critical:
        yield from _thread(_PATH, "critical path")
    for index in critical:
        attempt = course.attempts[index]
        args = {"waited_last_for": _waited(attempt)}
        name, start, end = attempt.task, attempt.start_s, attempt.end_s
        yield _span(_PATH, "critical", name, start, end, args)
    if course.throttled:
        yield from _thread(_MACHINE, "machine too busy")
    for band in course.throttled:
        yield _span(_MACHINE, "throttle", band.name, band.start_s, band.end_s)
    for slot in range(course.slots):
        yield from _thread(_FIRST_SLOT + slot, f"slot {slot + 1}")
    for index, attempt in enumerate(course.attempts):
        yield _attempt(attempt, run.facts.tasks[attempt.task].phase)
        yield from _steps(run, attempt)
        if attempt.after is not None:
            yield from _arrow(index, course.attempts[attempt.after], attempt)
    yield from _running(course)
    yield from _waits(course)
    for pause in course.pauses:
        idle = {"seconds_without_zf": round(pause.idle_s, 6)}
        yield _event("i", 0, "resume", "the run was resumed", pause.at_s) | {"s": "p", "args": idle}


def _attempt(attempt: Attempt, phase: str) -> Event:
    args: Event = {
        "task": attempt.task,
        "attempt": attempt.number,
        "phase": phase,
        "status": attempt.word,
        "waited_last_for": _waited(attempt),
    }
    if attempt.cause:
        args |= {"cause": attempt.cause.value, "detail": attempt.detail}
    if attempt.warned:
        args["tolerated"] = True
    name = attempt.task + (f" (attempt {attempt.number})" if attempt.number > 1 else "")
    thread, kinds = _FIRST_SLOT + attempt.slot, f"attempt,{attempt.word}"
    return _span(thread, kinds, name, attempt.start_s, attempt.end_s, args)


def _waited(attempt: Attempt) -> str:
    return f"{attempt.why} {attempt.name}".rstrip()


def _steps(run: RecordedRun, attempt: Attempt) -> Iterator[Event]:
    """The steps of an attempt, within its span: placed by the clock of its worker."""
    if not attempt.began_at:
        return
    facts = run.facts.tasks[attempt.task]
    first = run.facts.first_step
    for place, row in enumerate(facts.steps):
        record = run.step_record(attempt.task, attempt.number, first + place)
        if record is None:
            return
        if record.get("started_at") is None or record.get("duration_s") is None:
            continue  # it was skipped, or not reached
        began = attempt.start_s + _apart(attempt.began_at, record["started_at"])
        start = min(max(began, attempt.start_s), attempt.end_s)
        end = min(start + record["duration_s"], attempt.end_s)
        args = {"status": record["status"], "exit_code": record.get("exit_code")}
        name = str(row.get("name") or f"step-{first + place}")
        yield _span(_FIRST_SLOT + attempt.slot, "step", name, start, end, args)


def _apart(first: str, second: str) -> float:
    try:
        apart = datetime.fromisoformat(second) - datetime.fromisoformat(first)
    except (TypeError, ValueError):
        return 0.0
    return apart.total_seconds()


def _arrow(number: int, before: Attempt, attempt: Attempt) -> Iterator[Event]:
    """From the end of what it had waited for last to its start. The first end of an arrow belongs
    to the span it lies in, which a span's own end does not.
    """
    end = _us(before.end_s) - 1
    start = _event("s", _FIRST_SLOT + before.slot, "waited", attempt.why, before.end_s)
    yield start | {"ts": max(end, _us(before.start_s)), "id": number}
    finish = _event("f", _FIRST_SLOT + attempt.slot, "waited", attempt.why, attempt.start_s)
    yield finish | {"bp": "e", "id": number}


def _running(course: Course) -> Iterator[Event]:
    """How many attempts ran, whenever that changed."""
    changes = [(attempt.start_s, 1) for attempt in course.attempts]
    changes += [(attempt.end_s, -1) for attempt in course.attempts]
    running = 0
    moments: dict[float, int] = {}
    for at, change in sorted(changes):
        running += change
        moments[at] = running
    for at, running in moments.items():
        yield _event("C", 0, "running", "running", at) | {"args": {"attempts": running}}


def _waits(course: Course) -> Iterator[Event]:
    """In as many threads as it takes for none to hold two at a time: spans of one thread nest."""
    first = _FIRST_SLOT + course.slots
    until: list[int] = []
    for wait in sorted(course.waits, key=lambda w: (w.start_s, w.end_s, w.task)):
        start = _us(wait.start_s)
        row = next((n for n, end in enumerate(until) if end <= start), len(until))
        if row == len(until):
            until.append(0)
            yield from _thread(first + row, f"waits {row + 1}")
        until[row] = _us(wait.end_s)
        yield _span(first + row, f"wait,{wait.why}", _told(wait), wait.start_s, wait.end_s)


def _told(wait: Wait) -> str:
    return f"{wait.task}: {wait.why} {wait.name}".rstrip()


def _us(seconds: float) -> int:
    return round(1_000_000 * seconds)


def _event(phase: str, thread: int, kinds: str, name: str, at_s: float) -> Event:
    return {
        "name": name,
        "cat": kinds,
        "ph": phase,
        "ts": _us(at_s),
        "pid": _RUN,
        "tid": thread,
    }


def _span(
    thread: int,
    kinds: str,
    name: str,
    start_s: float,
    end_s: float,
    args: Mapping[str, Any] = _NONE,
) -> Event:
    event = _event("X", thread, kinds, name, start_s)
    event["dur"] = max(0, _us(end_s) - event["ts"])
    return event | ({"args": args} if args else {})


def _thread(thread: int, name: str) -> Iterator[Event]:
    yield _named("thread_name", thread, name)
    yield _named("thread_sort_index", thread, thread)


def _named(kind: str, thread: int, name: str | int) -> Event:
    """What a thread or the process is called, or where it is shown: these events have no time."""
    key = "sort_index" if kind.endswith("sort_index") else "name"
    return _event("M", thread, "__metadata", kind, 0.0) | {"args": {key: name}}
