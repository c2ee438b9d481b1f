"""Whether this process can run anything: what it inherited from its parent, and what is mounted.

Asked before anything is written. What is missing here would otherwise make every task fail, each
with a message that does not name the cause.
"""

from __future__ import annotations

import os
import resource
import sys

from zf.errors import ZfError

# What the runner has open besides a socket for each worker.
_OPEN_FILES = 20


def refuse_unfit(slots: int) -> None:
    """Raises ZfError (exit 2) if a run with this many workers cannot work here."""
    if not os.path.exists(os.devnull):
        raise ZfError(
            f"there is no {os.devnull}, which every step reads from",
            code="ZF126",
            hint="mount or fill /dev, as containers and chroots usually have it",
        )
    if sys.platform == "linux" and not os.path.exists("/proc/self/stat"):
        raise ZfError(
            "/proc is not mounted, and without it zf cannot tell which processes a task left",
            code="ZF126",
            hint="mount -t proc proc /proc",
        )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and slots + _OPEN_FILES > hard:
        most = max(1, hard - _OPEN_FILES)
        raise ZfError(
            f"{slots} tasks at once need {slots + _OPEN_FILES} open files, and the limit is {hard}",
            code="ZF126",
            hint=f"raise it (ulimit -Hn), or run fewer at once: -j {most}",
        )
