"""A recorded run as one HTML page: what is shown, in which order, piece after piece. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from zf import __version__
from zf.report.html import causes, costs, sheet, tables
from zf.report.html.figures import FIGURES
from zf.report.html.headline import headline
from zf.report.html.logs import Packs
from zf.report.html.quotes import Quote, Quotes
from zf.report.html.state import bar, counted
from zf.report.summary import total_s
from zf.report.words import count, duration, moment, size, spent

if TYPE_CHECKING:
    from zf.report.formats.recorded import RecordedRun

MAX_BYTES = 25_000_000
# What comes behind the logs: the script, and the list of logs that are left out.
_FOOT_BYTES = 256 * 1024


def render(run: RecordedRun, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """The page, piece by piece, with as many whole logs as `max_bytes` have room for."""
    environment = sheet.environment()
    environment.globals.update(count=count, size=size, run=run, max_bytes=max_bytes)
    environment.globals.update(href="#task-{}".format, log_href=None, most_victims=None)
    room = max_bytes - _FOOT_BYTES
    for piece in sheet.pieces(environment.get_template("page.html"), _shown(run)):
        room -= len(piece)
        yield piece
    packs = Packs(run)
    yield from packs.blocks(room)
    yield from sheet.pieces(environment.get_template("foot.html"), _behind(run, packs))


def _shown(run: RecordedRun) -> dict[str, Any]:
    run.expect_verification()
    facts, quotes, css = run.facts, Quotes(run), sheet.css()
    rows = tables.rows(run)
    shown = {
        "policy": sheet.policy(css, sheet.text("page.js")),
        "version": __version__,
        "css": css,
        "facts": facts,
        "sentence": headline(facts, alive=run.alive),
        "origin": list(origin(run)),
        "bar": bar(counted(facts)),
        "counted": list(counted(facts)),
        "causes": list(causes.causes(run, quotes)),
        "first_step": causes.first_step(run),
        "odd": list(causes.odd(run, quotes)),
        "figures": [figure for make in FIGURES if (figure := make(run)) is not None],
        "rows": rows,
        "matrices": tables.matrices(run),
        "columns": tables.columns(run, rows),
        "artifacts": tables.artifacts(run),
        "outputs": tables.outputs(run),
        "decisions": list(tables.decisions(run)),
        "costs": costs.costs(facts),
        "about": list(tables.about(run)),
        "settings": list(tables.settings(run)),
        "took": took,
        "said_of": said_of,
    }
    found = run.verification or {"verdicts": {}, "findings": ()}
    return shown | {
        "intact": found["verdicts"].get("INTACT", {}).get("state") != "failed",
        "verdicts": tables.verdicts(found),
        "findings": tables.findings(found),
        "signed": bool(found.get("result", {}).get("attestations")),
    }


def _behind(run: RecordedRun, packs: Packs) -> dict[str, Any]:
    index = {"first": run.facts.first_step, "logs": packs.index}
    return {
        "left_out": list(tables.left_out(run, packs.left_out)),
        "left_out_number": len(packs.left_out),
        "index": _as_data(index),
        "js": sheet.text("page.js"),
    }


def _as_data(value: Any) -> Markup:
    """JSON that no parser of HTML can take for its end."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def origin(run: RecordedRun) -> Iterator[str]:
    """Of what, when, how long and where."""
    source, facts = run.run.get("source"), run.facts
    if isinstance(source, dict):
        names = (source.get("branch") or source.get("tag"), str(source.get("commit") or "")[:10])
        if told := " ".join(filter(None, map(str, filter(None, names)))):
            yield told
    if len(facts.phases) > 1:
        yield f"phases {' '.join(facts.phases)}"
    if facts.started_at:
        yield moment(facts.started_at)
    if (seconds := total_s(facts)) is not None:
        yield duration(seconds)
    if host := run.run.get("host"):
        yield f"on {host}"


def took(task: Any) -> str:
    told = spent(task)
    return "" if told == "-" else told


def said_of(quote: Quote) -> int:
    """The line at which a log is opened: where it says what failed, or its last."""
    lines = [line for part in (*quote.telling, quote.last) for line in part]
    said = next((line.number for line in lines if line.said), 0)
    return said or max((line.number for line in lines), default=0)
