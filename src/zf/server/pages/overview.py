"""The first page, and the list of runs: what goes on, what each phase came to, what was run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from zf.errors import Problem
from zf.lean.records import Struct
from zf.plan.phases import phase_order
from zf.report.words import count
from zf.server.live.summaries import Summary, Wanted
from zf.server.pages.frame import rows, sheet
from zf.server.pages.frame.sheet import flows_of, runs_of

if TYPE_CHECKING:
    from zf.model import Flow

router = APIRouter(include_in_schema=False)

_LATEST, _PART = 10, 50
# Among so many of the newest runs the last ones of a phase are looked for.
_LOOKED_AT = 100


class PhaseRow(Struct, frozen=True):
    """A phase of the project, and its last runs."""

    name: str
    title: str
    tasks: int
    last: rows.Row | None
    bars: Sequence[rows.Bar]


@router.get("/")
def overview(request: Request, part: str = "") -> Response:
    """What goes on now, each phase's last result, and the latest runs."""
    if request.scope.get("zf.who") is None:
        # A browser takes the fragment, in which a token may be, along with it.
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    runs = runs_of(request)
    running = list(runs.newest(lambda run: run.result == "running"))
    shown: dict[str, Any] = {"running": list(map(rows.row, running))}
    if part == "running":
        return HTMLResponse(sheet.filled(request, "running.html", **shown))
    newest = list(runs.newest(lambda _: True, _LOOKED_AT))
    problems = flows_of(request).problems()
    shown |= {
        "sentence": _sentence(running, newest, problems),
        "problems": [problem.render().partition("\n")[0] for problem in problems],
        "phases": [] if problems else list(_phases(flows_of(request).now(), newest)),
        "rows": [rows.row(run) for run in newest[:_LATEST]],
    }
    return sheet.page(request, "overview.html", **shown)


def _sentence(
    running: Sequence[Summary], newest: Sequence[Summary], problems: Sequence[Problem]
) -> str:
    """What there is to know first."""
    if running:
        return f"{count(len(running), 'run')} {'goes' if len(running) == 1 else 'go'} on now."
    if problems:
        return "The task files have problems."
    if not newest:
        return "Nothing was run yet."
    last = newest[0]
    told = rows.told(last)
    word = rows.RESULTS[last.result].word if last.result in rows.RESULTS else last.result
    return f"The last run {word}" + (f": {told}." if told else ".")


def _phases(flow: Flow, newest: Sequence[Summary]) -> Iterator[PhaseRow]:
    tasks = Counter(task.phase for task in flow.tasks.values())
    for name in phase_order(flow.tasks, flow.project):
        about = flow.project.phases.get(name)
        runs = [run for run in newest if name in run.phases]
        drawn = rows.phase_bars(run for run in runs if run.result != "running")
        last = rows.row(runs[0]) if runs else None
        yield PhaseRow(name, about.title if about else "", tasks[name], last, drawn)


@router.get("/runs")
def listed(
    request: Request,
    q: str = "",
    result: str = "",
    phase: str = "",
    branch: str = "",
    commit: str = "",
    since: Annotated[str, Query(max_length=30)] = "",
    cursor: str = "",
) -> Response:
    """The runs, newest first, as many as are wanted."""
    wanted = Wanted(phase, result, branch.strip(), commit.strip().lower(), since.strip(), q.strip())
    runs = runs_of(request)
    try:
        found = runs.listed(wanted, cursor, _PART)
    except ValueError:
        return RedirectResponse("/runs", HTTPStatus.SEE_OTHER)
    return sheet.page(
        request,
        "runs.html",
        wanted=wanted,
        filtered=not wanted.everything,
        rows=list(map(rows.row, found.rows)),
        next=found.next,
        cursor=cursor,
        results=[(name, state.word) for name, state in rows.RESULTS.items()],
        phases=_known_phases(request),
    )


def _known_phases(request: Request) -> list[str]:
    if flows_of(request).problems():
        return []
    flow = flows_of(request).now()
    return list(phase_order(flow.tasks, flow.project))
