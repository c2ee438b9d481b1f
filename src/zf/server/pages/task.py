"""The page of a task in a run: its attempts, steps, scripts and environment, what it left and what
it measured, what it was asked and what it waited for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from zf.errors import ZfError
from zf.events import FAILED, Cached
from zf.lean.records import Struct
from zf.proof import layout, read
from zf.report import waiting
from zf.report.html import causes, tables, terminal
from zf.report.html.quotes import Quotes
from zf.report.html.state import STATES, State, state_of
from zf.report.remarks import failed_cases, labels
from zf.report.remarks import number as number_of
from zf.report.timing.course import of_run
from zf.report.words import condition, duration, failed_tests, place, size, story, what
from zf.server.pages.frame import links, sheet
from zf.server.pages.frame.sheet import open_runs
from zf.server.pages.run import shared
from zf.server.problems import Refused

if TYPE_CHECKING:
    from zf.report.task_facts import TaskFacts
    from zf.server.live.opened import FollowedRun

router = APIRouter(prefix="/runs/{run}/tasks/{task}", include_in_schema=False)

# What of a script, or of a file of the environment, is shown.
_MOST_BYTES = 64 * 1024
# Of more tasks it takes too long to see what each start had waited for.
_MOST_TASKS = 2000
_MOST_SHOWN = 100
_STEP_STATES = {"not_run": State("skipped", "not reached")}
_EXPORT = re.compile(r"export ([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PASSED = "# passed, value not recorded: "


class Step(Struct, frozen=True):
    """A step or a cleanup command of an attempt."""

    name: str
    title: str
    state: State
    told: str
    took: str
    script: Sequence[Markup]
    log: str
    bytes: str
    line: int


@router.get("")
def task(request: Request, run: str, task: str, attempt: int | None = None) -> Response:
    """A task, by its newest attempt or another one."""
    with open_runs(request).open(run) as opened:
        facts = _facts(opened, task, attempt)
        newest = opened.facts.tasks[task]
        number = None if facts.attempt == newest.attempt else facts.attempt
        quotes = Quotes(opened)
        shown = shared(request, opened, "task") | {
            "task": facts,
            "state": state_of(facts),
            "told": story(facts),
            "place": place(facts),
            "attempts": list(_attempts(opened, newest)),
            "shown_attempt": facts.attempt,
            "quote": quotes.of(facts, number) if facts.status in FAILED and facts.attempt else None,
            "notes": causes.notes_of(opened, facts),
            "tests": failed_tests(facts),
            "cases": failed_cases(opened.status(task, number) or {}) if facts.tests else (),
            "steps": list(_steps(opened, facts, number)),
            "needs": [_related(opened, name) for name in facts.needs[:_MOST_SHOWN]],
            "needed_by": [
                _related(opened, name)
                for name in opened.facts.dependents.get(task, ())[:_MOST_SHOWN]
            ],
            "needed_by_number": len(opened.facts.dependents.get(task, ())),
            "waited": list(_waited(opened, facts)),
            "conditions": [condition(asked) for asked in facts.asked],
            "cached": _cached(facts),
            "used": list(_used(facts)),
            "metrics": [
                (one["name"], labels(one["labels"]), f"{number_of(one['value'])} {one['unit']}")
                for one in facts.metrics[:_MOST_SHOWN]
            ],
            "artifacts": opened.artifacts(task)[: tables.MOST_ARTIFACTS] if not number else [],
            "outputs": opened.outputs(task) if facts.outputs_sha256 else {},
            "environment": list(_environment(opened, request.app.state.project.root, task, number)),
        }
    return sheet.page(request, "task.html", **shown)


def _facts(run: FollowedRun, task: str, attempt: int | None) -> TaskFacts:
    """The task as it stood after that attempt. Raises Refused where there is none."""
    found = run.facts.tasks.get(task)
    if found is not None and attempt not in {None, found.attempt}:
        earlier = (tried.task for tried in found.earlier if tried.task.attempt == attempt)
        found = next(earlier, None)
    if found is None:
        what_not = f"task {task}" if attempt is None else f"attempt {attempt} of task {task}"
        raise Refused(HTTPStatus.NOT_FOUND, f"run {run.name} has no {what_not}", code="ZF130")
    return found


def _attempts(run: FollowedRun, task: TaskFacts) -> Iterator[tuple[TaskFacts, State, str, str]]:
    """Each attempt, its state, what is said of it, and where its page is."""
    tried = [one.task for one in task.earlier]
    for one in [*tried, *([task] if task.attempt else [])]:
        number = None if one is task else one.attempt
        yield one, state_of(one), what(one), links.task(run.name, task.id, number)


def _steps(run: FollowedRun, task: TaskFacts, attempt: int | None) -> Iterator[Step]:
    logs = {one.name: one.bytes for one in run.logs(task.id, attempt)} if task.attempt else {}
    names = [f"step-{run.facts.first_step + number}" for number in range(len(task.steps))]
    names += [name for name in logs if name not in names]
    for number, name in enumerate(names):
        record: Mapping[str, Any] = {}
        if task.attempt:
            record = run.command_record(task.id, attempt, name) or {}
        planned = task.steps[number] if number < len(task.steps) else {}
        seconds = record.get("duration_s")
        yield Step(
            name=name,
            title=str(record.get("name") or planned.get("name") or name),
            state=_state_of_step(task, record, name in logs),
            told=_told_of_step(record),
            took=duration(seconds) if isinstance(seconds, int | float) else "",
            script=_text(run, task, attempt, name),
            log=links.log(run.name, task.id, name, attempt=attempt) if name in logs else "",
            bytes=size(logs[name]) if name in logs else "",
            line=int(planned.get("line") or 0),
        )


def _state_of_step(task: TaskFacts, record: Mapping[str, Any], has_log: bool) -> State:
    status = record.get("status")
    if isinstance(status, str):
        return _STEP_STATES.get(status) or STATES.get(status) or State("lost", status)
    if has_log:
        return STATES["running" if task.running else "lost"]
    return STATES["waiting"] if task.status is None else State("skipped", "not reached")


def _told_of_step(record: Mapping[str, Any]) -> str:
    if record.get("signal"):
        return f"signal {record['signal']}"
    return f"exit code {record['exit_code']}" if record.get("exit_code") else ""


def _text(run: FollowedRun, task: TaskFacts, attempt: int | None, name: str) -> list[Markup]:
    """The script of a command, as it was run."""
    tree = read.attempt_tree(run.folder, task.id, attempt or 0)
    with suppress(ZfError), read.open_file(run.folder, f"{tree}/{layout.script(name)}") as file:
        lines = file.read(_MOST_BYTES).decode("utf-8", "replace").split("\n")
        return terminal.lines(lines[:-1] if lines[-1] == "" else lines)
    return []


def _related(run: FollowedRun, name: str) -> tuple[str, State, str]:
    """A task that is needed or needs: its state, or the run that met the need."""
    found = run.facts.tasks.get(name)
    if found is not None:
        return name, state_of(found), links.task(run.name, name)
    other = run.facts.upstream.get(name, "")
    met = State("success", f"met by run {other}") if other else State("skipped", "not in this run")
    return name, met, links.task(other, name) if other else ""


def _waited(run: FollowedRun, task: TaskFacts) -> Iterator[str]:
    """What it waits for, or had waited for, in sentences."""
    facts = run.facts
    if task.status is None and not task.running:
        if run.alive:
            found = waiting.waits(facts, time.monotonic()).get(task.id)
            if found is not None:
                yield f"It waits {found.told}."
        return
    if len(facts.tasks) > _MOST_TASKS or not task.attempt:
        return
    course = run.once("course", lambda: of_run(run.plan, run.run.get("limits"), run.lines))
    for one in course.attempts:
        if one.task == task.id and one.number == task.attempt:
            waited = one.start_s - one.ready_s
            before = course.attempts[one.after].task if one.after is not None else ""
            yield f"{_WHY.get(one.why, one.why).format(name=one.name, before=before)}"
            if waited >= 0.1:
                yield f"It could have started {duration(waited)} earlier, had there been room."


_WHY: Mapping[str, str] = {
    "begin": "It could start when the run began.",
    "phase": "It waited for its phase to begin.",
    "need": "The last need to be met was {before}.",
    "retry": "It waited for the delay of its retry.",
    "resume": "It waited for zf resume.",
    "start_after": "It waited for its start_after.",
    "lease": "It waited for '{name}', which another run had.",
    "throttle": "It waited for the machine to be less busy.",
    "slot": "It waited for a slot, which {before} left.",
    "resource": "It waited for {name}, which {before} left.",
    "concurrency": "It waited for '{name}', which {before} left.",
    "exclusive": "It waited for {before}, which runs alone.",
    "alone": "It waited to run alone, after {before}.",
    "turn": "It waited for its turn, after {before}.",
    "matrix": "It waited for another instance of its matrix, {before}.",
}


def _cached(task: TaskFacts) -> tuple[str, str]:
    """What came of looking for an earlier result, and the run that has it."""
    looked = task.looked_up
    if looked is None:
        return "", ""
    if isinstance(looked, Cached):
        return "Nothing was run: the result is that of run", looked.origin
    return "No earlier result counted for it.", ""


def _used(task: TaskFacts) -> Iterator[tuple[str, str]]:
    """What the attempt used."""
    measures = task.measures
    cpu_s = tables.cpu_of(measures)
    if cpu_s is not None:
        yield "processor time", duration(cpu_s)
    for key, name in (
        ("peak_memory_bytes", "most memory"),
        ("read_bytes", "read"),
        ("written_bytes", "written"),
        ("output_bytes", "printed"),
    ):
        if isinstance(value := measures.get(key), int | float):
            yield name, size(value)


def _environment(
    run: FollowedRun, root: str, task: str, attempt: int | None
) -> Iterator[tuple[str, str]]:
    """Its variables. Where the server's machine keeps what is not told."""
    tree = read.attempt_tree(run.folder, task, attempt or 0)
    try:
        with read.open_file(run.folder, f"{tree}/{layout.ENV}") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except ZfError:
        return
    for line in text.split("\n"):
        if line.startswith(_PASSED):
            yield line.removeprefix(_PASSED), "passed, its value is not recorded"
        elif found := _EXPORT.fullmatch(line):
            yield found[1], _told_value(found[2], root)


def _told_value(quoted: str, root: str) -> str:
    value = quoted[1:-1].replace("'\\''", "'") if quoted.startswith("'") else quoted
    value = value.replace(root, ".")
    if any(part.startswith("/") for part in value.split(":")):
        return "a place on the machine of the run"
    return value
