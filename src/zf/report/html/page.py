"""A recorded run as one HTML page: what of it is shown, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from zf.report.summary import VERDICTS, total_s
from zf.report.words import duration, story

if TYPE_CHECKING:
    from zf.report.formats.recorded import RecordedRun

MAX_BYTES = 25 * 1024 * 1024


def render(run: RecordedRun, max_bytes: int) -> Iterator[bytes]:
    """The page, piece by piece."""
    environment = Environment(
        loader=PackageLoader("zf.report.html", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    facts = run.facts
    template = environment.get_template("page.html")
    stream = template.stream(
        run=run,
        facts=facts,
        max_bytes=max_bytes,
        verdict=VERDICTS[facts.result],
        took=duration(total_s(facts)),
        story=story,
    )
    stream.enable_buffering(500)
    for piece in stream:
        yield piece.encode("utf-8", "backslashreplace")
