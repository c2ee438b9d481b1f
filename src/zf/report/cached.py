"""Earlier results in words: whose counts for a task, or why none does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import Cached

if TYPE_CHECKING:
    from zf.events import CacheMissed

# Of what changed; the proof has more.
_MOST = 10


def why(looked_up: Cached | CacheMissed | None) -> list[str]:
    """What came of looking for an earlier result: a line, and one for each thing that changed."""
    if looked_up is None:
        return []
    if isinstance(looked_up, Cached):
        return [f"the result of run {printable(looked_up.origin)} counts: nothing has changed"]
    since = f" since run {printable(looked_up.origin)}" if looked_up.origin else ""
    lines = [f"not used: {printable(looked_up.reason)}{since}"]
    for change in looked_up.changed[:_MOST]:
        what = " ".join(filter(None, (change.get("part"), change.get("name"))))
        old, new = change.get("old", ""), change.get("new", "")
        lines.append(printable(f"{what}: {old} -> {new}"))
    if len(looked_up.changed) > _MOST:
        lines.append(f"and {len(looked_up.changed) - _MOST} more")
    return lines
