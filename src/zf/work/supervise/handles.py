"""A worker as its runner sees it, and the attempt that it was given."""

from __future__ import annotations

# As in `pool.py`.
import _socket
import math
import os

from zf.lean.records import Struct
from zf.model import Task
from zf.work.artifacts import collecting_limit_s
from zf.work.supervise.supervisor import KILL_LIMIT_S, SETTLE_S
from zf.work.supervise.watchdog import Watch


class Started(Struct, frozen=True):
    """An attempt that was given to a worker `at` a time of the wall clock; `began` is monotonic."""

    task: Task
    attempt: int
    at: float
    began: float


class WorkerHandle(Struct):
    """A worker as the runner sees it; `under_way` is the attempt it has been given."""

    slot: int
    pid: int
    socket: _socket.socket
    under_way: Started | None = None
    watch: Watch | None = None
    # How many of the extensions of the plan it knows.
    extensions: int = 0
    # From this moment on it must not be stopped (SIGSTOP); whether it was woken once.
    due: float = math.inf
    woken: bool = False
    pending: bytes = b""
    kill_reason: str = ""


def limit_s(task: Task) -> float:
    """How long steps may run at a stretch."""
    return float(task.repeat["probe_timeout_sec"]) if task.repeat else task.timeout_s


def allowed_s(task: Task, grace_s: float) -> float:
    """How long an attempt may take by its own times, if nothing of it can be killed."""
    ending_s = SETTLE_S + grace_s + KILL_LIMIT_S
    commands = len(task.steps) + len(task.cleanup) + len(task.services)
    ready_s = sum(one.ready_timeout_s for one in task.services)
    took_s = limit_s(task) + task.cleanup_timeout_s + collecting_limit_s(task.timeout_s)
    return took_s + ready_s + ending_s * commands


def how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
