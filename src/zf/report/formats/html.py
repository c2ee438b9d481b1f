"""The run as one HTML page, which needs nothing but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.report.html import comparison, page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.report.formats.recorded import RecordedRun


def render(
    run: RecordedRun,
    *,
    max_bytes: int = page.MAX_BYTES,
    against: comparison.Against | None = None,
) -> Iterator[bytes]:
    """The page, piece by piece, of at most `max_bytes`: large logs are left out before that. With
    `against`, a page that compares the run with that one.
    """
    if against is not None:
        return comparison.render(run, against)
    return page.render(run, max_bytes)
