"""Logs: their bytes, windows of their lines, and what is looked for in them."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel

from zf.proof import layout, read
from zf.server.api.needs import DIGITS, AllRuns, Followed, Project, Viewer
from zf.server.live import lines
from zf.server.live.opened import OpenRuns
from zf.server.problems import Refused
from zf.server.sending import described, sent

router = APIRouter(tags=["logs"])

_CURSOR = r"^([0-9]{1,15}\.[0-9]{1,15})?$"
_NAME = re.compile(r"(?:step|cleanup)-\d{1,9}")
# So long the end of a log is told with the numbers of its lines, or without them.
_COUNTS_S = 0.3

Log = Annotated[str, Path(description="Its name, such as step-0 or cleanup-0.")]
Attempt = Annotated[
    int, Query(ge=0, le=1_000_000, description="Of this attempt; 0 for the last one."), DIGITS
]
BASE = "/runs/{run}/tasks/{task}/logs/{log}"


class LogLine(BaseModel):
    """A line: its text, undecodable bytes replaced, of a very long one the beginning."""

    text: str
    bytes: int


class LogWindow(BaseModel):
    """Lines that follow each other. `first` is the number of the first, from 1, and null where it
    is not known yet; `total` is how many were counted; `end` the byte behind the last.
    """

    first: int | None
    lines: list[LogLine]
    start: int
    end: int
    total: int
    size: int


class LogFound(BaseModel):
    """Numbers of lines that have the text. `next` is where to go on, null at the end."""

    lines: list[int]
    next: str | None


@router.get(
    BASE,
    summary="A log, whole or a range of its bytes",
    response_class=Response,
    responses=described("text/plain"),
)
def log_bytes(
    run: str,
    task: str,
    log: Log,
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    attempt: Attempt = 0,
    asked: Annotated[str | None, Header(alias="Range")] = None,
) -> Response:
    """As it lies in the proof; `Range: bytes=` has a part of it."""
    name = runs.find(run)
    stream = read.open_file(f"{project.proofs}/{name}", _path(followed, name, task, log, attempt))
    return sent(stream, f"{task}.{log}.log", asked, "text/plain; charset=utf-8")


@router.get(f"{BASE}/lines", summary="A window of lines, or the last ones")
def log_lines(
    run: str,
    task: str,
    log: Log,
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    attempt: Attempt = 0,
    first: Annotated[int, Query(ge=1, description="The first line, from 1."), DIGITS] = 1,
    count: Annotated[int, Query(ge=1, le=lines.MOST_LINES, description="How many."), DIGITS] = 500,
    tail: Annotated[
        int, Query(ge=0, le=lines.MOST_LINES, description="The last so many."), DIGITS
    ] = 0,
) -> LogWindow:
    """Of a log of any size: only what is asked for is read."""
    name = runs.find(run)
    path = _path(followed, name, task, log, attempt)
    with lines.opened(f"{project.proofs}/{name}", path) as (index, stream):
        if tail:
            found = lines.tail(index, stream, tail, _COUNTS_S)
        else:
            found = lines.window(index, stream, first, count)
        size = stream.seek(0, 2)
        return LogWindow(
            first=found.first,
            lines=[_line(line) for line in found.lines],
            start=found.start,
            end=found.end,
            total=index.lines,
            size=size,
        )


@router.get(f"{BASE}/search", summary="The numbers of the lines that have a text")
def log_search(
    run: str,
    task: str,
    log: Log,
    _who: Viewer,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    text: Annotated[str, Query(min_length=1, max_length=500, description="Whatever its case.")],
    attempt: Attempt = 0,
    limit: Annotated[
        int, Query(ge=1, le=1000, description="How many lines at most."), DIGITS
    ] = 100,
    cursor: Annotated[str, Query(pattern=_CURSOR, description="`next` of the answer before.")] = "",
) -> LogFound:
    """At most 256 MiB are looked through for one answer; `next` goes on from there."""
    name = runs.find(run)
    start, before = _place(cursor)
    with read.open_file(
        f"{project.proofs}/{name}", _path(followed, name, task, log, attempt)
    ) as stream:
        found = lines.search(stream, text, start, before, limit)
    following = None if found.next is None else f"{found.next}.{found.lines}"
    return LogFound(lines=list(found.numbers), next=following)


def _path(followed: OpenRuns, run: str, task: str, log: str, attempt: int) -> str:
    if not _NAME.fullmatch(log):
        raise Refused(HTTPStatus.NOT_FOUND, "a log is called step-0 or cleanup-0", code="ZF611")
    if not attempt:
        return f"{task}/{layout.log(log)}"
    with followed.open(run) as opened:
        return f"{opened.tree(task, attempt)}/{layout.log(log)}"


def _line(line: lines.Line) -> LogLine:
    return LogLine(text=line.text.decode("utf-8", "replace").removesuffix("\r"), bytes=line.bytes)


def _place(cursor: str) -> tuple[int, int]:
    start, _, before = cursor.partition(".")
    return int(start or 0), int(before or 0)
