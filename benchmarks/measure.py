"""One command, measured from outside: wall time, CPU of its whole tree, its peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Linux counts in KiB, macOS in bytes.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
# Whatever would change what is measured: settings of zf and make, and colours.
_UNWANTED = ("ZF_", "ZENFLOW_", "MAKE", "MFLAGS", "PYTHON", "JUST_", "TASK_", "DOIT_", "COVERAGE_")
_UNWANTED_NAMES = frozenset(
    {
        "CI",
        "RUN_ID",
        "MAX_JOBS",
        "PHASE_TIMEOUT_SEC",
        "POLL_INTERVAL_SEC",
    }
)


class FailedError(Exception):
    """A measured command did not do what it was to do, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`cpu_s` is user and system time of the command and all it waited for; `peak_bytes` is the
    largest resident size of any one of these processes, and never less than our own: a child
    begins with its parent's peak.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int


def environment(**more: str) -> dict[str, str]:
    """The environment of every measured command: the caller's, less what would skew it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_UNWANTED) and name not in _UNWANTED_NAMES
    }
    return {**kept, **more}


def run(
    command: Sequence[str], cwd: str, env: Mapping[str, str] | None = None, *, code: int = 0
) -> Measured:
    """Run a command to its end; raises FailedError when it exits with another code."""
    said = os.path.join(cwd, ".said")
    with open(said, "wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment() if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
    # wait4 has taken the exit from Popen, which would warn of a process it believes to run.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise FailedError(f"{' '.join(command)[:300]}\nexit {process.returncode}: {tail(said)}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measured(wall_s, cpu_s, usage.ru_maxrss * _MAXRSS_BYTES)


def tail(path: str, size: int = 2000) -> str:
    """The last words of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - size))
        return file.read().decode("utf-8", "replace")
