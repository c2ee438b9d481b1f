"""A network for a task in a sandbox that has none: loopback alone, and its services are on it.

A sandbox without network has a network namespace of its own for each program that is started in it,
so no step would reach a service. For a task with services one program, which only sleeps, makes
that namespace, and the others join it: through `nsenter`, which stands before bubblewrap then.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from zf.work.shell import which
from zf.work.supervise.processes import children
from zf.work.walls.sandbox import PROGRAM

MISSING = "its services and steps would need `nsenter`, of util-linux, to be on one network"
SCRIPT = "exec sleep infinity"
# How long bubblewrap may take to make it, which takes milliseconds.
MAKING_S = 10.0
_LOOK_AGAIN_S = 0.005


def wall(program: str) -> tuple[str, ...]:
    """The command line that the sleeper's own is put behind; it sees what zf sees."""
    seen = ("--bind", "/", "/", "--dev-bind", "/dev", "/dev")
    return program, PROGRAM, *seen, "--unshare-net", "--cap-drop", "ALL", "--"


def joined(leader: int, path: str, until: float) -> tuple[str, ...]:
    """The command line that has a program be in the network that this process has made, once it
    has. Raises OSError when that is not in time, or it is gone.
    """
    program = which("nsenter", path)
    if program is None:
        raise OSError(MISSING)
    while (sleeper := _sleeper(leader)) is None:
        if time.monotonic() >= until:
            raise OSError("its network could not be made")
        time.sleep(_LOOK_AGAIN_S)  # nothing says when it is there
    where = f"/proc/{sleeper}/ns"
    if os.geteuid() == 0:
        return program, "nsenter", f"--net={where}/net", "--"
    users = f"--user={where}/user", "--preserve-credentials"
    return program, "nsenter", *users, f"--net={where}/net", "--"


def _sleeper(leader: int) -> int | None:
    """The process in the new network, once it is no longer bubblewrap itself."""
    for pid in children(leader):
        with suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) != PROGRAM:
                return pid
    return None
