"""A run as JUnit XML, which CI systems show as tests: a suite for each phase and
each matrix, a case for each task.

The elements are those of Surefire's surefire-test-report.xsd 3.0.2, in its order, `flakyFailure`
and `rerunFailure` included. Added to them are the root `testsuites`, and of a case `file`, `line`
and `properties`, which GitLab, Jenkins and pytest know. GitLab shows the text of `failure`, `error`
and `skipped` and no attribute of them, so the text says everything.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from zf.errors import printable
from zf.events import FAILED, Status
from zf.lean import lazy
from zf.lean.records import Struct
from zf.report.excerpt import LOOK_LINES
from zf.report.formats.findings import findings
from zf.report.summary import total_s
from zf.report.words import (
    count,
    failed_tests,
    line_number,
    log_line,
    place,
    tail,
    tests,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zf.report.formats.findings import Finding
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

# GitLab takes 30 MB.
MAX_BYTES = 29_000_000
# For the root, and what the suites say of what was left out.
_FRAME_BYTES = 10_000
# Of one log; as much as `log_tail` reads.
_LOG_BYTES = 256 * 1024
_LOG_LINES = 16 * 1024
# An assertion with what led to it, where the end of a log has room for its last lines alone.
_EXCERPT_LINES = 40
_DETAIL_CHARS = 500
# With less room than this no line of a log is worth being read, and an excerpt has what it may.
_LEAST_CHARS = 200
_WHOLE_CHARS = 8_000
# A task may be tried 1000 times: of so many the last attempts have an excerpt, and all a line.
_MOST_EXCERPTS = 5

_TIME = lazy.pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# Which cases are written down first, as there may not be room for all.
_ORDER_OF_KINDS = ("failures", "errors", "flakes", "skipped", "")


def render(run: RecordedRun, *, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """The document, of at most `max_bytes`, piece by piece; what is left out is said in it."""
    suites = _suites(run, max_bytes)
    cases = [case for suite in suites for case in suite.cases]
    left_out = _fit(run, suites, max_bytes - _FRAME_BYTES)
    top = {"name": printable(run.id), **_counts(cases), "time": _seconds(total_s(run.facts))}
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n'
    yield _opening("testsuites", top)
    for suite in suites:
        if suite.is_open or not suite.cases:
            yield suite.head
            yield _written(_properties({**suite.said, "zf.left_out": left_out}))
            yield from (case.data for case in suite.cases if case.is_in)
            yield b"</testsuite>\n"
    yield b"</testsuites>\n"


class _Case(Struct):
    """A case, written; `kind` is the count it belongs to, none for one that passed. `logged` is the
    task whose log is to be added, `is_in` whether there is room for the case.
    """

    kind: str
    data: bytes
    logged: TaskFacts | None = None
    is_in: bool = False


class _Suite(Struct):
    """A suite: its first tag, its properties, and whether one of its cases is in."""

    head: bytes
    said: dict[str, str]
    cases: list[_Case]
    is_open: bool = False

    @property
    def size(self) -> int:
        """How many bytes it takes without its cases, about."""
        return len(self.head) + len(_written(_properties(self.said))) + 2 * _TAGS_BYTES


def _suites(run: RecordedRun, max_bytes: int) -> list[_Suite]:
    """A suite for each phase, one for each matrix after that of its phase, and before them one for
    the run itself, if something is wrong with that.
    """
    facts = run.facts
    tasks: dict[tuple[str, str], list[TaskFacts]] = {(name, ""): [] for name in facts.phases}
    for task in facts.tasks.values():
        tasks.setdefault((task.phase, task.base), []).append(task)
    rank = {name: number for number, name in enumerate(dict.fromkeys(phase for phase, _ in tasks))}
    in_order = sorted(tasks.items(), key=lambda one: (rank[one[0][0]], one[0][1]))
    texts = sum(len(task.earlier) + (task.status in FAILED) for task in facts.tasks.values())
    cases = _Cases(run, max_bytes // 2 // max(1, texts))
    told = _of_the_run(run)
    of_run = [] if told is None else [_suite(run, "zf", [told])]
    return of_run + [
        _suite(run, phase, [cases.case(task) for task in of], of if base else ())
        for (phase, base), of in in_order
    ]


def _suite(
    run: RecordedRun, name: str, cases: list[_Case], instances: Sequence[TaskFacts] = ()
) -> _Suite:
    """Of a phase, or of these `instances` of a matrix in it."""
    phase = run.facts.phases.get(name)
    took = phase.duration_s if phase else None
    if instances:
        name = _class_of(instances[0])
        took = sum(task.duration_s or 0 for task in instances)
    attributes = {"name": printable(name), **_counts(cases, flakes=True)}
    attributes["time"] = _seconds(took)
    said = {
        "zf.run": printable(run.id),
        "zf.result": run.facts.result,
        "zf.title": printable(phase.title) if phase else "",
        "zf.head": run.journal.head if run.sealed else "",
    }
    return _Suite(_opening("testsuite", attributes), said, cases)


def _class_of(task: TaskFacts) -> str:
    """The phase, and which matrix of it: what viewers group cases by."""
    return f"{task.phase}.{task.base}" if task.base else task.phase


def _counts(cases: Sequence[_Case], *, flakes: bool = False) -> dict[str, str]:
    counted = Counter(case.kind for case in cases)
    kinds = ("failures", "errors", "skipped") + ("flakes",) * flakes
    return {"tests": str(len(cases)), **{kind: str(counted[kind]) for kind in kinds}}


def _opening(name: str, attributes: dict[str, str]) -> bytes:
    element = ET.Element(name, attributes)
    element.text = "\n"
    return _written(element).replace(f"</{name}>\n".encode(), b"")


def _written(element: ET.Element) -> bytes:
    """The element in UTF-8, each one in it on a line of its own."""
    for inner in element:
        element.text = inner.tail = "\n"
    data: bytes = ET.tostring(element, encoding="utf-8")
    return data + b"\n"


# A case


class _Cases:
    """Makes the cases of a run's tasks; the text of each outcome has at most `most_chars`."""

    def __init__(self, run: RecordedRun, most_chars: int) -> None:
        self._run = run
        self._most_chars = most_chars

    def case(self, task: TaskFacts) -> _Case:
        """The case of a task."""
        element = ET.Element("testcase", self._attributes(task))
        said = {"zf.tests": tests(task), "zf.cached_from": printable(task.cached_from)}
        if task.warned:
            said |= {
                "zf.conclusion": "warned",
                "zf.outcome": task.word,
                "zf.detail": _shortly(task),
            }
        if task.outputs_sha256:
            outputs = self._run.outputs(task.id)
            said |= {f"zf.output.{name}": _output(value) for name, value in outputs.items()}
        if any(said.values()):
            element.append(_properties(said))
        kind, outcome = self._outcome(task)
        if outcome is not None:
            _put(element, [outcome, *self._earlier(task, "rerun")])
        elif task.flaky:
            kind = "flakes"
            _put(element, [*self._earlier(task, "flaky")])
        return _Case(kind, _written(element), task if task.status in FAILED else None)

    def _attributes(self, task: TaskFacts) -> dict[str, str]:
        project = self._run.project
        said = {
            "name": printable(task.id),
            "classname": printable(_class_of(task)),
            "file": printable(f"{project}/{task.file}" if project else task.file),
            "line": str(line_number(task)),
            "time": _seconds(task.duration_s),
        }
        if _TIME.fullmatch(task.started_at):
            said["timestamp"] = task.started_at
        return said

    def _outcome(self, task: TaskFacts) -> tuple[str, ET.Element | None]:
        """The count the case belongs to, and the element that says why; none of both for one that
        passed.
        """
        if task.status is Status.SUCCESS or task.warned:
            return "", None
        if task.status is None and task.running and not self._run.alive:
            why = "it was running when the record of the run ends"
            return "errors", _told("error", why, why, "unfinished")
        if task.status is None:
            why = "it is running" if task.running else "it has not started"
            return "skipped", _told("skipped", why, why)
        if task.status not in FAILED:
            why = f"{task.word}: {_shortly(task)}"
            return "skipped", _told("skipped", why, why)
        kind = "failure" if task.status is Status.FAILURE else "error"
        counted = "failures" if kind == "failure" else "errors"
        return counted, _told(kind, _shortly(task), self._text(task), _type(task))

    def _earlier(self, task: TaskFacts, prefix: str) -> Iterator[ET.Element]:
        """The attempts before, as Surefire tells of them: `rerunFailure`, `flakyError`, ..."""
        first_told = len(task.earlier) - _MOST_EXCERPTS
        for number, tried in enumerate(task.earlier):
            was = tried.task
            word = "Failure" if was.status is Status.FAILURE else "Error"
            told = f"attempt {was.attempt}: {was.word}: {_shortly(was)}"
            element = _told(f"{prefix}{word}", told, "", _type(was))
            text = self._text(was, was.attempt) if number >= first_told else told
            ET.SubElement(element, "stackTrace").text = text
            yield element

    def _text(self, task: TaskFacts, attempt: int | None = None) -> str:
        """What happened, where, and the lines of the log that say why, as far as there is room."""
        about = [_shortly(task), failed_tests(task), place(task)]
        lines = [line for line in about if line]
        room = self._most_chars - sum(map(len, lines))
        number = self._run.facts.step_number(task)
        why: list[str] = []
        if room >= _LEAST_CHARS:
            # Of thousands of failures only the ends of the logs are searched for the reason.
            look = LOOK_LINES if room > _WHOLE_CHARS else _EXCERPT_LINES
            log = self._run.log_tail(task.id, number, attempt=attempt, lines=look)
            why = tail(log, _EXCERPT_LINES)
        while why and room < sum(map(len, why)):
            why.pop(0)
        return "\n".join([*lines, "", *why] if why else lines)


def _told(name: str, message: str, text: str, kind: str = "") -> ET.Element:
    element = ET.Element(name, {"message": message, **({"type": kind} if kind else {})})
    element.text = text
    return element


def _put(element: ET.Element, outcomes: Sequence[ET.Element]) -> None:
    """As the schema has them, each kind in order of time."""
    element.extend(sorted(outcomes, key=lambda one: _ORDER.index(one.tag)))


_ORDER = (
    *("failure", "rerunFailure", "flakyFailure", "skipped"),
    *("error", "rerunError", "flakyError"),
)


def _type(task: TaskFacts) -> str:
    """The stable word for why. Rails, and so GitLab, takes a few types for orders (`file`, `yaml`,
    `array`): no cause is called like one.
    """
    return task.cause.value or task.word


def _shortly(task: TaskFacts) -> str:
    told = what(task) or task.word
    return told if len(told) <= _DETAIL_CHARS else f"{told[: _DETAIL_CHARS - 3]}..."


def _of_the_run(run: RecordedRun) -> _Case | None:
    """A case for what went wrong with the run itself, which the cases of its tasks do not say."""
    found: Finding | None = next(iter(findings(run)), None)
    if found is None or found.task is not None or run.alive:
        return None
    name = {"name": "run", "classname": "zf", "time": _seconds(total_s(run.facts))}
    element = ET.Element("testcase", name)
    element.append(_told("error", found.title, f"{found.title}: {found.what}", run.facts.result))
    return _Case("errors", _written(element))


def _output(value: str) -> str:
    shown = printable(value)
    return shown if len(shown) <= _OUTPUT_CHARS else f"{shown[:_OUTPUT_CHARS]}..."


def _properties(said: dict[str, str]) -> ET.Element:
    element = ET.Element("properties")
    for name, value in said.items():
        if value:
            ET.SubElement(element, "property", {"name": name, "value": value})
    return element


def _seconds(seconds: float | None) -> str:
    """As the schema's xs:float; a record from elsewhere may say anything."""
    known = isinstance(seconds, int | float) and math.isfinite(seconds)
    return f"{max(0.0, seconds or 0.0) if known else 0.0:.3f}"


# What there is room for


def _fit(run: RecordedRun, suites: Sequence[_Suite], room: int) -> str:
    """Take in the cases, those that failed first, then the logs of these, while there is room; what
    had none.
    """
    of_suites = [(case, suite) for suite in suites for case in suite.cases]
    for case, suite in sorted(of_suites, key=lambda pair: _ORDER_OF_KINDS.index(pair[0].kind)):
        size = len(case.data) + (0 if suite.is_open else suite.size)
        if size > room:
            break  # nothing of less interest goes in instead
        case.is_in = suite.is_open = True
        room -= size
    dropped = sum(not case.is_in for case, _ in of_suites)
    logged = [case for case, _ in of_suites if case.logged is not None and case.is_in]
    cut = 0
    for number, case in enumerate(logged):
        log, is_cut = _log(run, case.logged, room // (len(logged) - number))
        case.data = case.data.removesuffix(_END) + log + _END if log else case.data
        room -= len(log)
        cut += is_cut
    said = [f"{count(dropped, 'case')} of {len(of_suites)}"] if dropped else []
    return "; ".join(said + ([f"the beginning of {count(cut, 'log')}"] if cut else []))


_END = b"</testcase>\n"
# Of a log, or a list of properties.
# Of the value of an output.
_OUTPUT_CHARS = 200
_TAGS_BYTES = 400
_MOST_OF_ONE = len("&amp;")


def _log(run: RecordedRun, task: TaskFacts | None, most: int) -> tuple[bytes, bool]:
    """The end of the failed step's log as an element of at most so many bytes, and whether
    something is missing before it.
    """
    assert task is not None
    number = run.facts.step_number(task)
    size = _size_of_log(run, task, number)
    room = min(most, _LOG_BYTES) - _TAGS_BYTES
    if not size or room <= 0:
        return b"", size > 0
    lines = run.log_tail(task.id, number, lines=min(room, _LOG_LINES))
    kept: list[str] = []
    is_cut = False
    for line in reversed(lines):
        shown = log_line(line[-room:])
        escaped = escape(shown)
        needed = len(escaped.encode()) + 1
        if needed > room:
            # No character takes more in XML than an ampersand.
            kept.append(escape(shown[len(shown) - room // _MOST_OF_ONE :]))
            is_cut = True
            break
        kept.append(escaped)
        room -= needed
        if not room:
            break
    is_cut = is_cut or len(kept) < len(lines) or size > _LOG_BYTES
    if is_cut:
        where = escape(printable(run.log_path(task.id, None, number)))
        kept.append(f"[of {size} bytes in {where} the beginning is left out]")
    text = "\n".join(reversed(kept))
    return f"<system-out>{text}\n</system-out>\n".encode(), is_cut


def _size_of_log(run: RecordedRun, task: TaskFacts, number: int) -> int:
    sizes = {log.name: log.bytes for log in run.logs(task.id, None)}
    return sizes.get(f"step-{number}", 0)
