"""A run as spans: one for the run, each phase, task, attempt, and step or cleanup command. Pure.

Names, attributes and their values are those of OpenTelemetry's semantic conventions for CI/CD,
https://opentelemetry.io/docs/specs/semconv/cicd/cicd-spans/; what these have no word for begins
with `zf.`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

from zf.events import (
    AttemptEnded,
    AttemptStarted,
    Cause,
    PhaseEnded,
    PhaseStarted,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.lean.records import Struct, field
from zf.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

Attributes = dict[str, "str | int | float | bool"]

_RESULTS: Mapping[str, str] = {
    Status.SUCCESS: "success",
    Status.FAILURE: "failure",
    Status.TIMEOUT: "timeout",
    Status.BLOCKED: "skip",
    Status.SKIPPED: "skip",
    Status.CANCELLED: "cancellation",
    Status.LOST: "error",
    "not_run": "skip",
}
_RUN_RESULTS: Mapping[str, str] = {
    "passed": "success",
    "failed": "failure",
    "timeout": "timeout",
    "interrupted": "cancellation",
    "nothing run": "skip",
    "unfinished": "error",
    "waiting": "skip",
    "tampered": "error",
}
_ERRORS = {"failure", "timeout", "error"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Where a measure of an attempt goes, by its name in the attempt's event.
_MEASURES = {
    "cpu_user_s": "zf.cpu.user_s",
    "cpu_system_s": "zf.cpu.system_s",
    "peak_memory_bytes": "zf.memory.peak_bytes",
}


class Span(Struct, frozen=True):
    """One of them; times in nanoseconds since the epoch. `error` says what went wrong, None where
    nothing did; `is_root` that nothing of this run is above it.
    """

    name: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int | float | bool]
    error: str | None = None
    is_root: bool = False


def trace_of(run: RecordedRun) -> Trace:
    """The run's trace; that of a run from before there were any is made from its nonce, so that it
    is the same each time.
    """
    started = run.events[0] if run.events else None
    if not isinstance(started, RunStarted):
        return Trace(run.id, _digest(run.id)[:32])
    trace_id = started.trace_id or _digest(f"{started.run}\0{started.nonce}")[:32]
    return Trace(started.run, trace_id, started.traceparent)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def resource(run: RecordedRun) -> Attributes:
    """What all spans of the run have in common."""
    source: Mapping[str, Any] = run.run.get("source") or {}
    ci: Mapping[str, Any] = run.run.get("ci") or {}
    said = {
        "service.version": run.run.get("zf_version"),
        "host.name": run.run.get("host"),
        "cicd.pipeline.name": _pipeline(run),
        "cicd.pipeline.run.id": run.id,
        "cicd.pipeline.run.url.full": ci.get("url"),
        "vcs.repository.url.full": source.get("repo"),
        "vcs.ref.head.name": source.get("branch") or source.get("tag"),
        "vcs.ref.head.revision": source.get("commit"),
    }
    return {name: value for name, value in said.items() if isinstance(value, str) and value}


def of_run(run: RecordedRun) -> Iterator[Span]:
    """The spans, each after the one above it. What had not ended when the run did, or was killed,
    ends with the journal.
    """
    made = _Spans(run)
    yield made.of_the_run()
    yield from made.of_phases()
    for task in run.facts.tasks.values():
        yield from made.of_task(task)


def _pipeline(run: RecordedRun) -> str:
    """What is run: as many names as a project has phases that are run together, not one a run."""
    return ", ".join(run.facts.phases)


class _Took(Struct):
    """What the journal says of an attempt, or of a task that was not run."""

    attempt: int
    start_ns: int
    end_ns: int
    ended: AttemptEnded | TaskNotRun | None = None


class _Course(Struct):
    """The journal, sorted by what its events tell of."""

    start_ns: int = 0
    end_ns: int = 0
    phases: dict[str, tuple[int, int, bool | None]] = field(default_factory=dict)
    tasks: dict[str, list[_Took]] = field(default_factory=dict)


class _Spans:
    def __init__(self, run: RecordedRun) -> None:
        self._run = run
        self._trace = trace_of(run)
        self._root = self._trace.span_id()
        self._course = _read(run)

    def of_the_run(self) -> Span:
        run, course = self._run, self._course
        result, parent = _RUN_RESULTS[run.facts.result], self._trace.parent
        attributes: Attributes = {
            "cicd.pipeline.action.name": "RUN",
            "cicd.pipeline.result": result,
            "zf.run.result": run.facts.result,
        }
        if run.facts.exit_code is not None:
            attributes["process.exit.code"] = run.facts.exit_code
        error = None
        if result in _ERRORS:
            attributes["error.type"] = run.facts.result
            error = f"the run came to: {run.facts.result}"
        return Span(
            f"RUN {_pipeline(run)}".rstrip(),
            self._root,
            "" if parent is None else parent.span_id,
            course.start_ns,
            course.end_ns,
            attributes,
            error,
            is_root=True,
        )

    def of_phases(self) -> Iterator[Span]:
        for name, (start, end, ok) in self._course.phases.items():
            error = "" if ok is False else None
            yield Span(
                f"phase {name}",
                self._trace.span_id("phase", name),
                self._root,
                start,
                end,
                {"zf.phase": name},
                error,
            )

    def of_task(self, task: TaskFacts) -> Iterator[Span]:
        """The task with all below it; nothing for one that the run has not come to."""
        took = self._course.tasks.get(task.id)
        if not took:
            return
        phase = self._trace.span_id("phase", task.phase)
        parent = phase if task.phase in self._course.phases else self._root
        own = self._trace.span_id("task", task.id)
        last = took[-1]
        yield self._task_run(
            task.id,
            own,
            parent,
            task.id,
            (took[0].start_ns, max(one.end_ns for one in took)),
            last.ended,
            {"zf.phase": task.phase, "zf.task.title": task.title, "zf.attempts": last.attempt},
        )
        for one in took:
            if one.attempt:
                yield from self._of_attempt(task, one, own)

    def _of_attempt(self, task: TaskFacts, took: _Took, parent: str) -> Iterator[Span]:
        number = str(took.attempt)
        own = self._trace.span_id("attempt", task.id, number)
        more: Attributes = {"zf.attempt": took.attempt}
        if isinstance(took.ended, AttemptEnded):
            if took.ended.exit_code is not None:
                more["process.exit.code"] = took.ended.exit_code
            for name, key in _MEASURES.items():
                if isinstance(value := took.ended.measures.get(name), int | float):
                    more[key] = value
        yield self._task_run(
            f"{task.id} attempt {number}",
            own,
            parent,
            f"{task.id}.{number}",
            (took.start_ns, took.end_ns),
            took.ended,
            more,
        )
        first = self._run.facts.first_step
        for place, row in enumerate(task.steps):
            title = str(row.get("name") or f"step-{first + place}")
            span = self._command(task, took, own, f"step-{first + place}", title)
            if span is not None:  # else it was skipped, or not reached
                yield span
        for place in count():
            name = f"cleanup-{place}"
            if self._run.command_record(task.id, took.attempt, name) is None:
                break
            if (span := self._command(task, took, own, name, name)) is not None:
                yield span

    def _command(
        self, task: TaskFacts, took: _Took, parent: str, name: str, title: str
    ) -> Span | None:
        """A step or cleanup command by the name of its files; None where it was not run."""
        record = self._run.command_record(task.id, took.attempt, name)
        start = _ns(record.get("started_at")) if record else None
        if record is None or start is None:
            return None
        end = _ns(record.get("completed_at")) or start
        result = _RESULTS.get(str(record.get("status")), "error")
        attributes = self._about(task.id, f"{task.id}.{took.attempt}/{name}", result)
        # As the conventions have it, a step is a task of a pipeline, too.
        attributes["cicd.pipeline.task.name"] = title
        error = None
        for key in ("exit_code", "signal"):
            if isinstance(record.get(key), int):
                attributes["process.exit.code" if key == "exit_code" else "zf.signal"] = record[key]
        if result in _ERRORS:
            code = record.get("exit_code")
            attributes["error.type"] = "timeout" if result == "timeout" else f"exit {code}"
            error = ""
        span_id = self._trace.span_id("step", task.id, str(took.attempt), name)
        return Span(title, span_id, parent, start, max(start, end), attributes, error)

    def _task_run(
        self,
        name: str,
        span_id: str,
        parent: str,
        run_id: str,
        times: tuple[int, int],
        ended: AttemptEnded | TaskNotRun | None,
        more: Attributes,
    ) -> Span:
        result = "error" if ended is None else _RESULTS[ended.status]
        task = name.split(" ", 1)[0]
        attributes = self._about(task, run_id, result) | more
        error = None
        if ended is not None:
            attributes["zf.status"] = ended.status.value
            if ended.cause is not Cause.NONE:
                attributes["zf.cause"] = ended.cause.value
            if ended.warned:
                attributes["zf.tolerated"] = True
        if result in _ERRORS:
            attributes["error.type"] = (
                ended.cause.value or result if ended is not None else "unfinished"
            )
            if not (ended is not None and ended.warned):
                error = ended.detail if ended is not None else "it had not ended"
        return Span(name, span_id, parent, *times, attributes, error)

    def _about(self, task: str, run_id: str, result: str) -> Attributes:
        attributes: Attributes = {
            "cicd.pipeline.task.name": task,
            "cicd.pipeline.task.run.id": run_id,
            "cicd.pipeline.task.run.result": result,
            "zf.task": task,
        }
        url = (self._run.run.get("ci") or {}).get("url")
        if isinstance(url, str) and url:
            attributes["cicd.pipeline.task.run.url.full"] = url
        return attributes


def _read(run: RecordedRun) -> _Course:
    """Open ends are put at the last line's time."""
    course = _Course()
    for line in run.lines:
        at = _ns(line.wall) or course.end_ns
        course.start_ns = course.start_ns or at
        course.end_ns = max(course.end_ns, at)
        event = line.event
        match event:
            case PhaseStarted():
                course.phases.setdefault(event.phase, (at, 0, None))
            case PhaseEnded():
                start, _, _ = course.phases.get(event.phase, (at, 0, None))
                course.phases[event.phase] = start, max(start, at), event.ok
            case AttemptStarted():
                took = course.tasks.setdefault(event.task, [])
                took.append(_Took(event.attempt, at, 0))
            case AttemptEnded():
                _end_attempt(course.tasks.setdefault(event.task, []), event, at)
            case TaskNotRun():
                course.tasks.setdefault(event.task, []).append(_Took(0, at, at, event))
            case _:
                pass
    end = course.end_ns
    for name, (start, over, ok) in course.phases.items():
        course.phases[name] = start, over or end, ok
    for took in course.tasks.values():
        for one in took:
            one.end_ns = one.end_ns or max(one.start_ns, end)
    return course


def _end_attempt(took: list[_Took], event: AttemptEnded, at: int) -> None:
    if not took or took[-1].ended is not None:
        took.append(_Took(event.attempt, at, 0))
    one = took[-1]
    one.start_ns = _ns(event.started_at) or one.start_ns
    one.end_ns = max(one.start_ns, _ns(event.completed_at) or at)
    one.ended = event


def _ns(stamp: object) -> int | None:
    """Nanoseconds since the epoch; None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
