"""A process that holds one service: starts it, keeps its log, ends it, and proves that it is gone.

A worker forks it, and neither counts what it holds among what a step left behind nor ends it with
a step. It is a subreaper like the worker, and the service in it is supervised as a step is. Over a
socket it says when the service was started and how it ended. When that socket is closed its worker
is dead, and it ends the service; when it is killed itself, the service becomes its worker's child.
"""

from __future__ import annotations

import _socket
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from zf.events import Cause
from zf.lean.encoder import decoder, encoder
from zf.lean.records import Struct
from zf.lean.signals import signal
from zf.outlet import say_if_possible
from zf.work.capture import Capture
from zf.work.control import RunnerOrders, kill_order, start_order
from zf.work.shell import NotStartedError, Started
from zf.work.supervise.leftovers import await_end
from zf.work.supervise.processes import GroupTree, SubreaperTree, Tree, become_subreaper
from zf.work.supervise.supervisor import KILL_LIMIT_S, Ended, Supervisor, Terms

if TYPE_CHECKING:
    from zf.redact.stream import StreamRedactor
    from zf.work.supervise.cgroup import Cgroup

_WITHHELD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RECEIVE_BYTES = 65_536
# Beside the grace period and the time for a kill.
_MORE_S = 5.0


class Start(Struct, frozen=True):
    """What a holder is to do: `start` the service, whose output goes into `capture`, which hides
    secrets with `redactor`. `enter` puts a process of this number into a cgroup of its own.
    """

    name: str
    start: Callable[[], Started]
    capture: Capture
    redactor: StreamRedactor
    grace_s: float
    enter: Callable[[int], Cgroup | None]
    # Whether it stands behind a wall, which has a process of its own.
    walled: bool = False


class Held(Struct):
    """A service as its worker sees it. `started` is set once it runs, `ended` is how it ended, as
    `_told` has it; a holder that died says so itself with `died`.
    """

    name: str
    pid: int
    socket: _socket.socket
    grace_s: float
    leader: int = 0
    started: bool = False
    ended: dict[str, Any] | None = None
    stopping: bool = False
    pending: bytes = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> None:
        """Take what it says; at the end of that it is dead."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = self.ended or {"died": "the process that holds it died"}
            return
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            said = _from_json(line.decode())
            if said is None:
                continue
            if "leader" in said:
                self.started, self.leader = True, said["leader"]
            else:
                self.ended = said

    def stop(self, *, force: bool = False) -> None:
        """Have it end the service: TERM, grace, KILL; without grace if forced."""
        self.stopping = True
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(kill_order(self.name, 1, Cause.NONE, force=force))

    def await_end(self) -> None:
        """Wait for its end and reap it; it is killed if that does not come in time."""
        until = time.monotonic() + self.grace_s + 2 * KILL_LIMIT_S + _MORE_S
        self.socket.settimeout(max(0.1, until - time.monotonic()))
        while self.ended is None:
            try:
                self.receive()
            except TimeoutError:
                self.ended = {"died": "the process that holds it hung"}
        if not await_end(self.pid, time.monotonic() + _MORE_S):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.socket.close()


def hold(what: Start) -> Held:
    """Fork a process that holds a service. Raises OSError."""
    ours, theirs = _socket.socketpair()
    # An order to end must not come between the fork and the handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WITHHELD)
    try:
        pid = os.fork()
        if not pid:
            ours.close()
            _serve(what, theirs)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WITHHELD)
        theirs.close()
    held = Held(what.name, pid, ours, what.grace_s)
    with suppress(BrokenPipeError, ConnectionResetError):
        ours.sendall(start_order(what.name, 1))
    return held


def _serve(what: Start, worker: _socket.socket) -> NoReturn:
    """The life of the process that was forked; it never returns into the code it came from."""
    code = os.EX_SOFTWARE
    try:
        os.setsid()
        close_all_but(worker.fileno(), what.capture.fileno())
        orders = RunnerOrders(worker, worker.fileno())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WITHHELD)
        cgroup = what.enter(os.getpid())
        tree: Tree = SubreaperTree(cgroup) if become_subreaper() else GroupTree()
        supervisor = Supervisor(orders, what.grace_s, tree)
        if orders.next() is not None:
            _tell(worker, _held(what, supervisor, orders, worker))
        code = os.EX_OK
    except BaseException as error:  # noqa: BLE001 - nothing above this frame is ours
        say_if_possible(f"zf: the process that holds service {what.name} failed: {error!r}\n")
    finally:
        os._exit(code)


def _held(
    what: Start, supervisor: Supervisor, orders: RunnerOrders, worker: _socket.socket
) -> dict[str, Any]:
    """Start the service and see it through to its end; what is said of that."""
    hidden = what.redactor.counts.copy()
    try:
        leader, pipe = what.start()
    except NotStartedError as error:
        return {"not_started": str(error.args[0])} | _log(what.capture)
    _tell(worker, {"leader": leader})
    ended = supervisor.run(leader, pipe, what.capture, Terms(math.inf, walled=what.walled))
    what.capture.finish()
    hidden = what.redactor.counts - hidden
    return _told(ended, orders) | _log(what.capture) | {"hidden": dict(hidden)}


def _told(ended: Ended, orders: RunnerOrders) -> dict[str, Any]:
    return {
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "stopped": ended.stop is not None or orders.stop is not None,
        "unkillable": [one.command for one in ended.unkillable],
    }


def _log(capture: Capture) -> dict[str, Any]:
    return {
        "log_bytes": capture.log_bytes,
        "log_sha256": capture.log_sha256,
        "cut": capture.is_cut,
        "failure": capture.failure and (capture.failure.strerror or str(capture.failure)),
    }


def _tell(worker: _socket.socket, said: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.sendall(b"%b\n" % _to_json(said).encode())


def close_all_but(*fds: int) -> None:
    """Let go of what is the worker's: its ties to the runner above all, which shall end with it."""
    kept = {0, 1, 2, *fds}
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        if fd not in kept:
            with suppress(OSError):
                os.close(fd)


_to_json, _from_json = encoder(), decoder()
