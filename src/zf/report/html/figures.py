"""The pictures of a run in their order, each with its title and the sentences below it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from zf.lean.records import Struct
from zf.report.pictures import graph, timeline
from zf.report.timing.course import of_run

if TYPE_CHECKING:
    from zf.report.formats.recorded import RecordedRun


class Figure(Struct, frozen=True):
    """A picture of the run: an SVG without a style of its own, and sentences below it."""

    id: str
    title: str
    svg: Markup
    told: Sequence[Markup] = ()


def _timeline(run: RecordedRun) -> Figure | None:
    plan, limits = run.plan, run.run.get("limits")
    drawn = timeline.figure(plan, limits, of_run(plan, limits, run.lines))
    return _figure("timeline", "When", drawn)


def _graph(run: RecordedRun) -> Figure | None:
    return _figure("graph", "What needs what", graph.figure(run.facts))


def _figure(name: str, title: str, drawn: tuple[str, Sequence[str]]) -> Figure | None:
    svg, told = drawn
    if not svg:
        return None
    # Both rooms write HTML, in which all that a run says is escaped.
    return Figure(name, title, Markup(svg), tuple(map(Markup, told)))  # noqa: S704


# Each may have nothing to show of a run.
FIGURES: Sequence[Callable[[RecordedRun], Figure | None]] = (_timeline, _graph)
