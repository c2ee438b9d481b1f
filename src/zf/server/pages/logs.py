"""The page of a log: a window of its lines, its end, or where a text stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from markupsafe import Markup

from zf.lean.records import Struct
from zf.proof import layout, read
from zf.report.html import terminal
from zf.report.html.state import state_of
from zf.report.words import count
from zf.server.live import lines as windows
from zf.server.live.lines import Line, Window
from zf.server.live.opened import FollowedRun
from zf.server.pages.frame import links, sheet
from zf.server.pages.frame.sheet import open_runs
from zf.server.problems import Refused

router = APIRouter(prefix="/runs/{run}/tasks/{task}/logs/{command}", include_in_schema=False)

# Lines on the page as it is sent, of which some are before the one that is asked for.
_FIRST, _BEFORE = 300, 30
# A page waits so long for the numbers of the last lines of a log that was never counted.
_COUNT_S = 0.25
_MOST_HITS = 200
_MOST_COPIED = 200_000
_COMMAND = re.compile(r"(step|cleanup)-[0-9]{1,9}")

Attempt = Annotated[int | None, Query(ge=1)]


class Shown(Struct, frozen=True):
    """A line on the page. `number` is None where it is not known yet; `state` is a class."""

    number: int | None
    text: Markup
    state: str


class Place(Struct, frozen=True):
    """Where a log is in the folder of its run."""

    folder: str
    path: str


@router.get("")
def log(
    request: Request,
    run: str,
    task: str,
    command: str,
    attempt: Attempt = None,
    line: Annotated[int | None, Query(ge=1)] = None,
    q: str = "",
) -> Response:
    """A window around a line, or the end."""
    with open_runs(request).open(run) as opened:
        facts = opened.facts.tasks.get(task)
        if facts is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"run {run} has no task {task}", code="ZF130")
        place = _place(opened, task, command, attempt)
        logs = [one.name for one in opened.logs(task, attempt)]
        grows = opened.alive and facts.running and attempt in {None, facts.attempt}
        state, title = state_of(facts), _title(facts, command, opened.facts.first_step)
    with windows.opened(place.folder, place.path) as (index, stream):
        if line is None:
            window = windows.tail(index, stream, _FIRST, _COUNT_S)
        else:
            window = windows.window(index, stream, max(1, line - _BEFORE), _FIRST)
        known = window.first is not None
        total = index.lines if known else None
    hits = _found(place, q, 0, 0) if q else None
    return sheet.page(
        request,
        "log.html",
        run_name=run,
        task=task,
        command=command,
        title=title,
        attempt=attempt,
        state=state,
        logs=logs,
        grows=grows,
        rows=list(_shown(window, line, q)),
        first=window.first,
        last=window.first + len(window.lines) - 1 if window.first else None,
        total=total,
        line=line,
        q=q,
        hits=hits,
        window_lines=_FIRST,
        here=links.log(run, task, command, attempt=attempt),
    )


@router.get("/lines")
def part(
    request: Request,
    run: str,
    task: str,
    command: str,
    first: Annotated[int, Query(ge=1)] = 1,
    count: Annotated[int, Query(ge=0, le=windows.MOST_LINES)] = 500,
    attempt: Attempt = None,
    q: str = "",
    at: int | None = None,
) -> Response:
    """Some lines as a part of the page."""
    place = _of(request, run, task, command, attempt)
    with windows.opened(place.folder, place.path) as (index, stream):
        window = windows.window(index, stream, first, count)
        beyond = first > index.lines
        total = index.lines
    rows = [] if beyond else list(_shown(window, at, q))
    shown = {"rows": rows, "first": first if beyond else window.first, "total": total, "q": q}
    return HTMLResponse(sheet.filled(request, "log_lines.html", **shown))


@router.get("/text")
def text(
    request: Request,
    run: str,
    task: str,
    command: str,
    first: Annotated[int, Query(ge=1)],
    last: Annotated[int, Query(ge=1)],
    attempt: Attempt = None,
) -> Response:
    """Whole lines as they are, to be copied."""
    place = _of(request, run, task, command, attempt)
    if last - first >= _MOST_COPIED:
        why = f"at most {count(_MOST_COPIED, 'line')} are copied: download the log"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, why)
    with windows.opened(place.folder, place.path) as (index, stream):
        index.count(stream)
        start, end = index.offset(stream, first), index.offset(stream, last + 1)
        stream.seek(start)
        data = stream.read(min(end - start, 64 * 1024 * 1024))
    return PlainTextResponse(data)


@router.get("/found")
def found(
    request: Request,
    run: str,
    task: str,
    command: str,
    q: str,
    start: Annotated[int, Query(ge=0)] = 0,
    before: Annotated[int, Query(ge=0)] = 0,
    attempt: Attempt = None,
) -> Response:
    """Where a text stands, from a place on."""
    place = _of(request, run, task, command, attempt)
    shown = {
        "hits": _found(place, q, start, before),
        "here": links.log(run, task, command, attempt=attempt),
        "q": q,
    }
    return HTMLResponse(sheet.filled(request, "log_hits.html", **shown))


def _of(request: Request, run: str, task: str, command: str, attempt: int | None) -> Place:
    with open_runs(request).open(run) as opened:
        return _place(opened, task, command, attempt)


def _place(run: FollowedRun, task: str, command: str, attempt: int | None) -> Place:
    """Raises Refused for what names no log."""
    if not _COMMAND.fullmatch(command):
        raise Refused(HTTPStatus.NOT_FOUND, f"no log is called {command}", code="ZF611")
    path = f"{run.tree(task, attempt)}/{layout.log(command)}"
    if "/" in task or not read.exists(run.folder, path):
        why = f"task {task} has no log {command}" + (f" in attempt {attempt}" if attempt else "")
        raise Refused(HTTPStatus.NOT_FOUND, why, code="ZF611")
    return Place(run.folder, path)


def _title(facts: Any, command: str, first_step: int) -> str:
    kind, _, number = command.partition("-")
    place = int(number) - first_step
    if kind == "step" and 0 <= place < len(facts.steps):
        return str(facts.steps[place].get("name") or command)
    return command


def _shown(window: Window, at: int | None, q: str) -> Iterator[Shown]:
    texts = [line.text.decode("utf-8", "replace") for line in window.lines]
    wanted = q.lower()
    for place, text in enumerate(terminal.lines(texts)):
        line = window.lines[place]
        number = None if window.first is None else window.first + place
        state = "at" if at is not None and number == at else ""
        if wanted and wanted in texts[place].lower():
            state = f"{state} hit".strip()
        yield Shown(number, text + _cut(line), state)


def _cut(line: Line) -> Markup:
    """Of an endless line, how long it is."""
    if line.bytes <= windows.LINE_BYTES:
        return Markup()
    return Markup('<i class="cut"> of {} in all</i>').format(count(line.bytes, "byte"))


class Hits(Struct, frozen=True):
    """Lines that have a text, and where to look on."""

    rows: Sequence[Shown]
    next: int | None
    before: int


def _found(place: Place, q: str, start: int, before: int) -> Hits:
    if not q:
        return Hits((), None, 0)
    with windows.opened(place.folder, place.path) as (index, stream):
        hits = windows.search(stream, q, start, before, _MOST_HITS)
        index.count(stream)
        rows = [
            row
            for number in hits.numbers
            for row in _shown(windows.window(index, stream, number, 1), None, "")
        ]
    return Hits(rows, hits.next, hits.lines)
