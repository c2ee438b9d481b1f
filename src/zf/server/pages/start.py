"""Starting a run: phases or tasks, the inputs they take, and the plan that it would have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from zf.errors import ZfError
from zf.inputs import Input, text_of
from zf.lean.records import Struct
from zf.model import Flow
from zf.plan.phases import phase_order
from zf.report.facts import build
from zf.report.pictures import graph as picture
from zf.server.pages.frame import links, sheet
from zf.server.pages.frame.sheet import flows_of, runs_of
from zf.server.planning import Planned, planned

router = APIRouter(include_in_schema=False)

# A graph of more tasks is on its own page.
_MOST_DRAWN = 150
# Names of tasks of each step of a plan, and steps of a phase: to see what it is, not to read it.
_MOST_NAMED, _MOST_STEPS = 12, 20
_MOST_LISTED = 400

Names = Annotated[list[str] | None, Query()]


class Field(Struct, frozen=True):
    """A field of the form: an input, the phases that know it (none for all), and what stands in it
    at first.
    """

    name: str
    input: Input
    phases: Sequence[str]
    value: str
    default: str

    @property
    def chosen(self) -> Sequence[str]:
        """The entries of a list that are chosen at first."""
        return self.value.split("\n")


@router.get("/start")
def start(request: Request, phase: Names = None, task: Names = None, of: str = "") -> Response:
    """The form, filled in with what is named, or as another run was started."""
    problems = flows_of(request).problems()
    if problems:
        return sheet.page(request, "problems.html", problems=[p.render() for p in problems])
    flow = flows_of(request).now()
    phases, tasks, given = list(phase or ()), list(task or ()), dict[str, str]()
    if of:
        like = runs_of(request).of(runs_of(request).find(of))
        phases, given = [*like.phases], {**like.inputs}
    known = list(phase_order(flow.tasks, flow.project))
    chosen = [name for name in known if name in phases]
    return sheet.page(
        request,
        "start.html",
        phases=[(name, _title(flow, name), name in chosen) for name in known],
        tasks=[name for name in tasks if name in _names(flow)],
        all_tasks=sorted(_names(flow)) if len(flow.tasks) <= _MOST_LISTED else [],
        fields=list(_fields(flow, given)),
        of=of,
        **_plan(request, chosen, tasks),
    )


@router.get("/start/plan")
def plan(request: Request, phase: Names = None, task: Names = None) -> Response:
    """The plan that such a run would have, as a part of the page."""
    shown = _plan(request, phase or [], task or [])
    return HTMLResponse(sheet.filled(request, "start_plan.html", **shown))


def _names(flow: Flow) -> set[str]:
    return {name for task in flow.tasks.values() for name in (task.id, task.base) if name}


def _title(flow: Flow, name: str) -> str:
    about = flow.project.phases.get(name)
    return about.title if about else ""


def _fields(flow: Flow, given: Mapping[str, str]) -> Iterator[Field]:
    """Every input that is declared, each once with the phases that declare it."""
    declared: dict[str, tuple[Input, list[str]]] = {
        name: (one, []) for name, one in flow.project.inputs.items()
    }
    for phase, about in flow.project.phases.items():
        for name, one in about.inputs.items():
            declared.setdefault(name, (one, []))[1].append(phase)
    for name, (one, phases) in declared.items():
        default = "" if one.default is None else text_of(one.default)
        known = given.get(name, default)
        yield Field(name, one, phases, default if one.secret else known, default)


def _plan(request: Request, phases: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """What the part of the page that tells the plan is filled with."""
    if not (phases or tasks):
        return {"plan": None, "wrong": (), "svg": "", "levels": (), "command": ""}
    try:
        found = planned(request.app.state.project, phases, tasks)
    except ZfError as error:
        told = [problem.render() for problem in error.problems]
        return {"plan": None, "wrong": told, "svg": "", "levels": (), "command": ""}
    verb = "run" if tasks else "run-phase"
    svg = ""
    if len(found.plan.tasks) <= _MOST_DRAWN:
        svg, _ = picture.figure(build(found.as_json, ()))
    return {
        "plan": found,
        "wrong": (),
        "svg": links.in_graph(Markup(svg)),  # noqa: S704 - escaped where it is drawn
        "levels": list(_levels(found)),
        "command": f"zf {verb} {' '.join(found.words)}",
    }


def _levels(found: Planned) -> Iterator[tuple[str, int, Sequence[tuple[Sequence[str], int]], int]]:
    """Each phase with the number of its tasks; then, in order, the tasks that can run side by side:
    the first names of each such step and how many more there are; and how many steps more.
    """
    for phase in found.plan.phases:
        tasks = [task for task in found.plan.tasks.values() if task.phase == phase.name]
        levels: dict[int, list[str]] = {}
        for task in tasks:
            levels.setdefault(found.plan.level[task.id], []).append(task.id)
        steps = [levels[level] for level in sorted(levels)]
        shown = [(ids[:_MOST_NAMED], max(0, len(ids) - _MOST_NAMED)) for ids in steps[:_MOST_STEPS]]
        yield phase.name, len(tasks), shown, max(0, len(steps) - _MOST_STEPS)
