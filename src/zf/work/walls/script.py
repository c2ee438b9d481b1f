"""A step's script as bash reads it: bytes that nothing can change once the step has been started.

bash reads a script file piece by piece while it runs it, so a file that the step can write would
let a task rewrite its own failure. What bash gets is an open file without a name, sealed by the
kernel where it can do that (memfd), on descriptor 3. It never lies in a folder, so there is nothing
to clear away, even when the script holds secrets and the worker is killed.
"""

from __future__ import annotations

import fcntl
import os
from functools import cache

from zf.proof.files import write_all

# The descriptor in the step. What the step starts inherits it: sealed, nothing can be done to it,
# and a script which opens 3 for a purpose of its own just replaces it.
FD = 3
_SEALS = 0
if hasattr(fcntl, "F_SEAL_WRITE"):
    _SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_PLACES = ("/dev/fd", "/proc/self/fd")
USUAL_PATH = f"{_PLACES[0]}/{FD}"
MISSING = (
    "bash gets its script as an open file, and neither /dev/fd nor /proc/self/fd is there: "
    "mount /proc, or link /dev/fd to /proc/self/fd"
)


@cache
def path() -> str | None:
    """The name under which bash finds its script; None where the system has no such names."""
    return next((f"{place}/{FD}" for place in _PLACES if os.path.exists(f"{place}/0")), None)


def sealed(text: bytes) -> int:
    """A descriptor from which these bytes are read, to be closed once the step has been started."""
    try:
        fd = os.memfd_create("zf-script", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):
        return _unlinked(text)
    try:
        write_all(fd, text)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unlinked(text: bytes) -> int:
    """The same where there is no memfd (macOS): a file without a name, open for reading only. It
    has lost its name before it gets its first byte.
    """
    from tempfile import mkstemp  # noqa: PLC0415 - 2 ms that Linux never pays

    writer, name = mkstemp(prefix="zf-")
    try:
        try:
            reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            os.unlink(name)
        write_all(writer, text)
    finally:
        os.close(writer)
    return reader
