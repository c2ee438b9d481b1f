"""What an agent says of itself, and of an attempt that has ended."""

from __future__ import annotations

import os
import platform
import pwd
import sys
import time
from hashlib import sha256
from typing import Any

import zf
from zf.errors import error_text
from zf.events import AttemptEnded, to_json
from zf.proof import layout
from zf.work.agent import frames
from zf.work.agent.archive import files_below, pack
from zf.work.agent.frames import Saying

CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where it has one."""
    return time.clock_gettime(CLOCK)


def hello() -> dict[str, Any]:
    """What an agent says of itself."""
    return {
        "protocol": frames.PROTOCOL,
        "zf": zf.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "host": os.uname().nodename,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "pid": os.getpid(),
        "cpus": os.cpu_count() or 1,
        "platform": f"{platform.system()} {platform.machine()}",
        "at": time.time(),
    }


def result(tree: str, token: str, event: AttemptEnded, *, plain: bool) -> Saying:
    """The tree of an attempt, piece by piece, and what it came to. It is read while it is sent: the
    next attempt comes only after that. `plain`: nothing in it is worth a remark.
    """
    digest, size, held = sha256(), 0, b""
    try:
        for piece in pack(tree, files_below(tree, but={layout.ATTEMPTS})):
            digest.update(piece)
            size += len(piece)
            held += piece
            if len(held) >= frames.PIECE_BYTES:
                yield frames.PIECE, {"token": token}, held
                held = b""
    except OSError as error:
        yield frames.END, {"token": token, "error": error_text(error)}, b""
        return
    if held:
        yield frames.PIECE, {"token": token}, held
    told = {"event": to_json(event), "plain": plain}
    yield frames.END, {"token": token, "sha256": digest.hexdigest(), "bytes": size, **told}, b""
