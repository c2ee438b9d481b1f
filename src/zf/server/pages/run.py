"""The pages of one run: how it went or goes, its tasks, pictures, files, settings and proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from zf.lean.records import Struct
from zf.proof.growing import AttemptLog
from zf.report import advice, waiting
from zf.report.html import causes, costs, page, tables
from zf.report.html.figures import FIGURES, Figure
from zf.report.html.headline import headline
from zf.report.html.quotes import Quote, Quotes
from zf.report.html.state import RANK, STATES, bar, counted, name_of
from zf.report.live import to_come
from zf.report.summary import total_s
from zf.report.words import PLAIN, duration, last_shown
from zf.server.pages.approvals import at_gates
from zf.server.pages.frame import links, sheet
from zf.server.pages.frame.sheet import open_runs, runs_of

if TYPE_CHECKING:
    from zf.report.formats.recorded import Artifact
    from zf.report.task_facts import TaskFacts
    from zf.server.live.opened import FollowedRun

router = APIRouter(prefix="/runs/{run}", include_in_schema=False)

# Tasks on the first page of a run, and in a part of the list of all.
_FIRST, _PART = 50, 200
# A picture of more tasks has a page of its own.
_MOST_DRAWN = 150
# Needs are in the table, gates above the board.
_TOLD_ELSEWHERE = {"need", "phase", "approval"}
# Rows of the board: as many as a screen has room for.
_MOST_SLOTS = 16
# Causes, and what each of them held up, on the first page of a run.
_MOST_CAUSES, _MOST_VICTIMS = 30, 100


class Slot(Struct, frozen=True):
    """A row of the board: what runs on a slot, and what it printed last."""

    task: TaskFacts | None
    since: float
    running_for: str
    last: str


def shared(request: Request, run: FollowedRun, part: str = "") -> dict[str, Any]:
    """What every page of a run shows."""
    facts = run.facts
    counts = run.once("counts", lambda: list(counted(facts)))
    return {
        "run": run,
        "facts": facts,
        "part": part,
        "intact": True,
        "sentence": run.once(f"headline {run.alive}", lambda: headline(facts, alive=run.alive)),
        "origin": _origin(run),
        "bar": bar(counts),
        "counted": counts,
        "before": _before(request, run),
        "can_resume": facts.exit_code is None and not run.alive and not run.sealed,
        "failed": bool(facts.failed) and not run.alive,
        "href": lambda task: links.task(run.name, task),
        "log_href": lambda task, quote, line: _log_of(run, task, quote, line),
        "took": page.took,
        "said_of": page.said_of,
        "most_victims": _MOST_VICTIMS,
    }


def _origin(run: FollowedRun) -> list[str]:
    """Of what, when, how long and where; how long it goes on is told by a clock."""
    told = list(page.origin(run))
    so_far = duration(total_s(run.facts)) if run.alive else ""
    return [text for text in told if text != so_far]


def _log_of(run: FollowedRun, task: str, quote: Quote, line: int) -> str:
    newest = run.facts.tasks[task].attempt
    attempt = quote.attempt if quote.attempt != newest else None
    return links.log(run.name, task, quote.command, attempt=attempt, line=line or None)


def _before(request: Request, run: FollowedRun) -> str:
    """The run of the same phases before this one, to compare it with."""
    names = runs_of(request).names()
    wanted = set(run.facts.phases)
    place = names.index(run.name) if run.name in names else len(names)
    for name in names[place + 1 : place + 21]:
        summary = runs_of(request).of(name)
        if summary.over and wanted & set(summary.phases):
            return name
    return ""


@router.get("")
def overview(request: Request, run: str) -> Response:
    """How the run went, or goes."""
    name = runs_of(request).find(run)
    if name != run:
        return RedirectResponse(links.run(name))
    with open_runs(request).open(name) as opened:
        shown = shared(request, opened) | _course(opened)
        few = len(opened.facts.tasks) <= _MOST_DRAWN
        shown |= _whole(opened)
        shown["figures"] = _figures(opened, "timeline") if few and not opened.alive else []
        return sheet.page(request, "run.html", **shown)


def _whole(run: FollowedRun) -> dict[str, Any]:
    """What its tasks come to together."""
    return {
        "matrices": run.once("matrices", lambda: tables.matrices(run)),
        "costs": run.once("costs", lambda: costs.costs(run.facts)),
    }


@router.get("/live")
def live(request: Request, run: str) -> Response:
    """What of that changes while it goes on."""
    with open_runs(request).open(run) as opened:
        shown = shared(request, opened) | _course(opened)
        return HTMLResponse(sheet.filled(request, "live.html", **shown))


def _course(run: FollowedRun) -> dict[str, Any]:
    """The board of a run that goes on, and what went wrong so far."""
    found, more, odd = run.once("causes", lambda: _causes(run))
    return {
        "board": list(_board(run)) if run.alive else [],
        "more_running": max(0, len(run.facts.running) - _MOST_SLOTS),
        "eta": to_come(run.facts.eta_s(time.monotonic())) if run.alive else "",
        "waits": _waits(run) if run.alive else [],
        "gates": at_gates(run),
        "causes": found,
        "more_causes": more,
        "odd": odd,
        "first_step": causes.first_step(run),
        **_rows(run, _first(run)),
    }


def _causes(run: FollowedRun) -> tuple[list[causes.Cause], int, list[causes.Odd]]:
    """What went wrong, as far as a page shows it, and how many more causes there are."""
    quotes = Quotes(run)
    found = list(islice(causes.causes(run, quotes), _MOST_CAUSES))
    odd = list(islice(causes.odd(run, quotes), _MOST_CAUSES))
    return found, len(run.facts.causes) - len(found), odd


def _first(run: FollowedRun) -> Sequence[TaskFacts]:
    """The tasks on its first page: as planned while it goes on, or they would change places."""
    if run.alive:
        return list(islice(run.facts.tasks.values(), _FIRST))
    return run.once("first", lambda: _ordered(run.facts.tasks.values(), "")[:_FIRST])


def _board(run: FollowedRun) -> Iterator[Slot]:
    """A row for each slot: a task has its place for as long as it runs."""
    running = {run.slots.get(name, 0): task for name, task in run.facts.running.items()}
    most = min(max([*running, (run.facts.max_jobs or 1) - 1]) + 1, _MOST_SLOTS)
    now = time.monotonic()
    for slot in range(most):
        task = running.get(slot)
        if task is None or task.started_mono is None:
            yield Slot(None, 0.0, "", "")
            continue
        log = AttemptLog(run.folder, task.id, task.attempt, run.facts.first_step).last_line()
        text = "" if log is None else log[0].decode("utf-8", "replace")
        seconds = max(0.0, now - task.started_mono)
        yield Slot(task, seconds, duration(seconds), last_shown(text, PLAIN))


def _waits(run: FollowedRun) -> list[tuple[str, str]]:
    """What tasks wait for that could run, the first of them."""
    if len(run.facts.tasks) > _PART or not run.facts.counts["waiting"]:
        return []
    found = waiting.waits(run.facts, time.monotonic()).items()
    return [(name, wait.told) for name, wait in found if wait.why not in _TOLD_ELSEWHERE][:8]


# The list of all tasks.


@router.get("/tasks")
def tasks(
    request: Request,
    run: str,
    q: str = "",
    state: str = "",
    sort: str = "",
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The tasks, as many as are wanted: what went wrong first."""
    with open_runs(request).open(run) as opened:
        words = q.lower().split()
        found = [
            task
            for task in opened.facts.tasks.values()
            if (not state or name_of(task) == state)
            and all(word in f"{task.id}\n{task.title}".lower() for word in words)
        ]
        part = _ordered(found, sort)[start : start + _PART]
        shown = shared(request, opened, "tasks") | {
            **_rows(opened, part),
            "found": len(found),
            "start": start,
            "next": start + _PART if start + _PART < len(found) else 0,
            "wanted_state": state,
            "wanted_sort": sort,
            "q": q,
        }
        return sheet.page(request, "run_tasks.html", **shown)


def _rows(run: FollowedRun, tasks: Sequence[TaskFacts]) -> dict[str, Any]:
    """Tasks as rows, and the columns in which any of them has something."""
    rows = [tables.row_of(task) for task in tasks]
    return {"rows": rows, "columns": tables.columns(run, rows)}


def _ordered(found: Any, sort: str) -> Sequence[TaskFacts]:
    rows: list[TaskFacts] = list(found)
    match sort:
        case "plan":
            return rows
        case "time":
            return sorted(rows, key=lambda task: -(task.duration_s or 0.0))
        case "cpu":
            return sorted(rows, key=lambda task: -(tables.cpu_of(task.measures) or 0.0))
        case "memory":
            return sorted(rows, key=lambda task: -(task.measures.get("peak_memory_bytes") or 0))
        case "name":
            return sorted(rows, key=lambda task: task.id)
    return sorted(rows, key=lambda task: RANK[name_of(task)])


# Its other parts.


@router.get("/timeline")
@router.get("/graph")
def picture(request: Request, run: str) -> Response:
    """The run over time, or what needed what."""
    part = request.url.path.rpartition("/")[2]
    with open_runs(request).open(run) as opened:
        shown = shared(request, opened, part) | {"figures": _figures(opened, part)}
        return sheet.page(request, "run_figures.html", **shown)


def _figures(run: FollowedRun, wanted: str) -> list[Figure]:
    return run.once(wanted, lambda: _drawn(run, wanted))


def _drawn(run: FollowedRun, wanted: str) -> list[Figure]:
    drawn = (make(run) for make in FIGURES if wanted in make.__name__)
    return [
        Figure(
            one.id,
            one.title,
            links.in_picture(one.svg, run.name),
            [links.in_picture(line, run.name) for line in one.told],
        )
        for one in drawn
        if one is not None
    ]


@router.get("/files")
def files(request: Request, run: str) -> Response:
    """What its tasks left and handed on."""
    with open_runs(request).open(run) as opened:
        shown = shared(request, opened, "files") | {
            "artifacts": _artifacts(opened),
            "outputs": tables.outputs(opened),
            "decisions": list(tables.decisions(opened)),
            "costs": None,
        }
        return sheet.page(request, "run_files.html", **shown)


def _artifacts(run: FollowedRun) -> tuple[list[tuple[str, Artifact]], int, int]:
    return run.once("artifacts", lambda: tables.artifacts(run))


@router.get("/settings")
def settings(request: Request, run: str) -> Response:
    """How it was set, and where it came from."""
    with open_runs(request).open(run) as opened:
        shown = shared(request, opened, "settings") | {
            "about": list(tables.about(opened)),
            "settings": list(tables.settings(opened)),
            "commands": advice.commands(opened.facts, alive=opened.alive, sealed=opened.sealed),
        }
        return sheet.page(request, "run_settings.html", **shown)


@router.get("/verify")
def verify(request: Request, run: str, now: bool = False) -> Response:
    """The five verdicts: one after the other by a script, or all at once without."""
    with open_runs(request).open(run) as opened:
        shown = shared(request, opened, "verify")
        shown["head"] = opened.head
    found = _verified(opened.folder) if now else None
    shown |= {
        "verdicts": tables.verdicts(found) if found else [],
        "findings": tables.findings(found) if found else [],
        "names": ("intact", "complete", "authentic", "expected", "timed"),
        "states": STATES,
        "none": Markup(),
    }
    return sheet.page(request, "run_verify.html", **shown)


# What makes, one after the other, all that the pages of a run that is over show and keep.
PARTS: Sequence[Callable[[FollowedRun], object]] = (
    _course,
    _whole,
    _artifacts,
    lambda run: _figures(run, "graph"),
    lambda run: _figures(run, "timeline"),
)


def _verified(folder: str) -> dict[str, Any]:
    from zf.audit.verify import verify as judge  # noqa: PLC0415 - what judges is loaded when asked

    return judge(folder).as_json()
