"""The run as one HTML page, which needs nothing but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.report.html import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.report.formats.recorded import RecordedRun


def render(run: RecordedRun, *, max_bytes: int = page.MAX_BYTES) -> Iterator[bytes]:
    """The page, piece by piece, of at most `max_bytes`: large logs are left out before that."""
    return page.render(run, max_bytes)
