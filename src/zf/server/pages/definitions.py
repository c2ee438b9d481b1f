"""What the project says: its tasks, what each comes to and where that is written, and how they hang
together.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup

from zf.errors import ZfError, printable
from zf.lean.records import Struct
from zf.model import base_of
from zf.plan import graph
from zf.plan.phases import phase_order
from zf.plan.resolve import explain
from zf.proof.durations import runs as durations
from zf.proof.durations.form import Took
from zf.redact.redactor import Redactor
from zf.report.facts import build
from zf.report.html import terminal
from zf.report.html.state import STATES, State
from zf.report.pictures import graph as picture
from zf.report.words import duration
from zf.run.host import lock
from zf.server.live.summaries import Summary
from zf.server.pages.frame import links, rows, sheet
from zf.server.pages.frame.sheet import flows_of, runs_of
from zf.server.problems import Refused

if TYPE_CHECKING:
    from zf.model import Flow, Task

router = APIRouter(include_in_schema=False)

_PART = 200
# Among so many of the newest runs the last results of tasks are looked for.
_LOOKED_AT = 60
_MOST_BYTES = 512 * 1024
_LONGEST = 400
# How long tasks took is read of several runs: for so many seconds it is good.
_FRESH_S = 5.0


class TaskRow(Struct, frozen=True):
    """A task of the project: how it ended last, how long it takes, what needs it."""

    id: str
    title: str
    phase: str
    last: State | None
    run: str
    expected: str
    bars: Sequence[rows.Bar]
    needs: Sequence[str]
    needed_by: int


@router.get("/tasks")
def tasks(
    request: Request,
    q: str = "",
    phase: str = "",
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """All of them, phase by phase, or those that a text or a phase names."""
    problems = flows_of(request).problems()
    if problems:
        return sheet.page(request, "problems.html", problems=[p.render() for p in problems])
    flow = flows_of(request).now()
    order = {name: place for place, name in enumerate(phase_order(flow.tasks, flow.project))}
    words = q.lower().split()
    found = [
        task
        for task in flow.tasks.values()
        if (not phase or task.phase == phase)
        and all(word in f"{task.id}\n{task.title}\n{task.phase}".lower() for word in words)
    ]
    found.sort(key=lambda task: order[task.phase])
    return sheet.page(
        request,
        "definitions.html",
        rows=list(_rows(request, flow, found[start : start + _PART])),
        found=len(found),
        start=start,
        next=start + _PART if start + _PART < len(found) else 0,
        q=q,
        phase=phase,
        phases=list(order),
        titles={name: about.title for name, about in flow.project.phases.items()},
    )


def _rows(request: Request, flow: Flow, shown: Sequence[Task]) -> Iterator[TaskRow]:
    newest = list(runs_of(request).newest(lambda _: True, _LOOKED_AT))
    took = _took(request.app.state.project.proofs, int(time.monotonic() / _FRESH_S))
    needed = _needed_by(flow)
    for task in shown:
        last, run = _last(newest, task.id)
        known = took.get(task.id)
        yield TaskRow(
            id=task.id,
            title=task.title,
            phase=task.phase,
            last=last,
            run=run,
            expected=duration(known.expected_s) if known else "",
            bars=_bars(newest, task.id, known),
            needs=[need.task for need in task.needs],
            needed_by=len(needed.get(task.id, ())),
        )


@lru_cache(maxsize=1)
def _took(proofs: str, _fresh: int) -> Mapping[str, Took]:
    """How long tasks took in the newest runs, read again when some seconds have gone by."""
    return durations.earlier(proofs, lock.folder(proofs)).tasks


def _needed_by(flow: Flow) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in flow.tasks.values():
        for need in task.needs:
            found.setdefault(need.task, []).append(task.id)
    return found


def _last(newest: Sequence[Summary], task: str) -> tuple[State | None, str]:
    """How a task ended last, and in which run."""
    for run in newest:
        word = run.end_of(task)
        if word and word not in {"waiting", "blocked", "cancelled"}:
            return STATES.get(word, State("lost", word)), run.run
    return None, ""


def _bars(newest: Sequence[Summary], task: str, took: Took | None) -> list[rows.Bar]:
    """Its last ends, the newest last; those that went well as high as they took long."""
    seconds = iter(took.seconds if took else ())
    drawn = []
    for run in newest:
        word = run.end_of(task)
        if word in {"", "waiting", "running", "blocked", "cancelled", "skipped"}:
            continue
        state = STATES.get(word, State("lost", word))
        drawn.append((state, next(seconds, None) if word == "success" else None, run))
        if len(drawn) == rows.MOST_BARS:
            break
    return rows.bars((state, took_s, run.run, run.started_at) for state, took_s, run in drawn)


# One task.


@router.get("/tasks/{name}")
def task(request: Request, name: str) -> Response:
    """What it says, where that is written, and how it went."""
    problems = flows_of(request).problems()
    if problems:
        return sheet.page(request, "problems.html", problems=[p.render() for p in problems])
    flow = flows_of(request).now()
    found = [one for one in flow.tasks.values() if name in {one.id, one.base}]
    if not found and base_of(name) != name:
        found = [one for one in flow.tasks.values() if one.id == base_of(name)]
    if not found:
        why = f"the project has no task {printable(name)} now"
        raise Refused(HTTPStatus.NOT_FOUND, why, code="ZF130")
    first = found[0]
    redactor = Redactor(flow.tasks.values(), os.environ, flow.project)
    parts = list(explain.parts(flow.root, redactor.defined(first)))
    newest = list(runs_of(request).newest(lambda run: bool(run.end_of(first.id)), _LOOKED_AT))
    fresh = int(time.monotonic() / _FRESH_S)
    took = _took(request.app.state.project.proofs, fresh).get(first.id)
    needed = _needed_by(flow).get(first.id, [])
    return sheet.page(
        request,
        "definition.html",
        task=first,
        instances=[one.id for one in found] if first.base else [],
        said=[(p.key, _told(p.value), p.place, _place(p.place)) for p in parts if p.place],
        silent=[(p.key, _told(p.value)) for p in parts if not p.place],
        source=_source(flow.root, first.file, redactor.text),
        needs=[need.task for need in first.needs],
        known=flow.tasks,
        needed_by=needed,
        expected=duration(took.expected_s) if took else "",
        bars=_bars(newest, first.id, took),
        ends=[
            (run.run, run.started_at, STATES.get(run.end_of(first.id), STATES["lost"]))
            for run in newest[:12]
        ],
    )


def _told(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, Mapping) and "run" in value and value.keys() <= {"name", "run"}:
        value = value["run"]
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    told = told.rstrip("\n")
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."


def _place(place: str | None) -> str:
    """The line of a place that is in the file which the page shows."""
    return (place or "").rpartition(":")[2]


def _source(root: str, file: str, hide: Callable[[str], str]) -> list[Markup]:
    """A file of the project, secrets hidden; nothing where it is gone, or is not below the root."""
    path = os.path.realpath(f"{root}/{file}")
    if not path.startswith(os.path.realpath(root) + os.sep):
        return []
    try:
        with open(path, "rb") as opened:
            text = opened.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = hide(text).split("\n")
    return terminal.lines(lines[:-1] if lines[-1] == "" else lines)


# How they hang together.


@router.get("/graph")
def drawn(request: Request, phase: Annotated[list[str] | None, Query()] = None) -> Response:
    """What needs what: all tasks, or those of some phases."""
    problems = flows_of(request).problems()
    if problems:
        return sheet.page(request, "problems.html", problems=[p.render() for p in problems])
    flow = flows_of(request).now()
    order = phase_order(flow.tasks, flow.project)
    wanted = [name for name in order if name in (phase or ())] or list(order)
    svg, told = _picture(flow, tuple(wanted))
    return sheet.page(
        request,
        "graph.html",
        svg=svg,
        told=told,
        phases=order,
        wanted=wanted,
        tasks=sum(task.phase in wanted for task in flow.tasks.values()),
    )


def make(flow: Flow) -> None:
    """Draw all of it, and keep that."""
    _picture(flow, tuple(phase_order(flow.tasks, flow.project)))


_last_drawn: list[tuple[Flow, tuple[str, ...], tuple[Markup, list[Markup]]]] = []


def _picture(flow: Flow, wanted: tuple[str, ...]) -> tuple[Markup, list[Markup]]:
    """The graph; those drawn last are kept for as long as the files stay as they are."""
    for known, phases, made in _last_drawn:
        if known is flow and phases == wanted:
            return made
    try:
        plan = graph.plan_phases(flow, wanted, phase_timeout_s=3600.0, phase_timeout_forced=False)
    except ZfError as error:
        return Markup(), [Markup("{}").format(str(error))]
    svg, told = picture.figure(build(plan.as_json(), ()))
    made = links.in_graph(Markup(svg)), [Markup(line) for line in told]  # noqa: S704 - escaped there
    _last_drawn[:] = [(flow, wanted, made), *_last_drawn[:3]]
    return made
