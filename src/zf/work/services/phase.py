"""The services of a phase, in a worker that runs nothing: forked by the runner when the first task
of the phase is about to start, and ended when the phase is over.

It is a worker like those of tasks (shield, cgroup, orders on a socket), and holds services as an
attempt does; their logs lie at the top of the run.
"""

from __future__ import annotations

import _socket
import gc
import os
import select
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import file_digest
from typing import TYPE_CHECKING, Any, NoReturn

from zf.events import Cause
from zf.lean import lazy
from zf.lean.encoder import decoder, encoder
from zf.lean.records import Struct, replace
from zf.lean.signals import signal
from zf.model import DEFAULT_MAX_LOG_BYTES, Phase, Task
from zf.outlet import say_if_possible
from zf.proof import layout
from zf.proof.files import NEW, READ
from zf.redact.stream import StreamRedactor
from zf.work.control import RunnerOrders, Told, decode_told, kill_order, start_order
from zf.work.services.holder import close_all_but
from zf.work.services.ports import Reserved
from zf.work.services.services import Ground, ServiceError, Services
from zf.work.shell import Started
from zf.work.supervise.leftovers import await_end, cgroup_name, cookie, end_attempt
from zf.work.supervise.supervisor import KILL_LIMIT_S
from zf.work.worker import WITHHELD, Shared, Worker, begin_process

if TYPE_CHECKING:
    from zf.work.services import boxed
else:  # few services are images
    boxed = lazy.module("zf.work.services.boxed")

_RECEIVE_BYTES = 65_536
# What the cookie calls the attempt: no task is called so.
_NAME = "{0}@@services"
_INTERRUPTED = "zf was interrupted before the services of the phase were ready"


def with_ports(shared: Shared, tasks: Iterable[Task]) -> Shared:
    """The same with ports for the services of the phases of these tasks. Raises OSError."""
    return replace(shared, beside=ports(shared.project.phases, {task.phase for task in tasks}))


def ports(
    phases: Mapping[str, Phase], named: Collection[str]
) -> dict[str, dict[str, dict[str, int]]]:
    """Free ports for the services of these phases, by phase, service and name.
    Raises OSError.
    """
    reserved = Reserved()
    try:
        return {
            name: {s.name: {port: reserved.take() for port in s.ports} for s in phase.services}
            for name, phase in phases.items()
            if phase.services and name in named
        }
    finally:
        reserved.let_go()


class Beside:
    """The runner's side: the services of the phase that goes on. `told` are events that the runner
    is still to record.
    """

    def __init__(self, shared: Shared, kill: Callable[[str, str], None]) -> None:
        """`kill` ends what runs of a phase, for this reason."""
        self.fd = -1
        self.told: list[Told] = []
        # Becomes readable when the user wants something.
        self.interrupt_fd: int | None = None
        self._shared = shared
        self._kill = kill
        self._phase = self._refused = ""
        self._state = ""
        self._pid = 0
        self._socket: _socket.socket
        self._pending = b""
        self._polled: select.poll | None = None

    def begin(self, phase: str, poll: select.poll) -> str:
        """Have the services of the phase be there; why they are not, if so. This waits for them, as
        nothing else of a run goes on then. `poll` is to be woken by what becomes of them.
        """
        if phase != self._phase:
            self._phase, self._refused, self._state = phase, "", ""
            if phase in self._shared.beside:
                self._begin(phase)
                if self.fd >= 0 and self._state != "over":
                    self._polled = poll
                    poll.register(self.fd, select.POLLIN)
        return self._refused

    def receive(self) -> None:
        """Take what has come from the worker that holds them."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            if self._state != "over":
                self._fail("the process that holds the services of the phase died")
                end_attempt(self._shared.run_dir, _NAME.format(self._phase), 0)
            self._state = "over"
            self._leave()
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            if (event := decode_told(line)) is not None:
                assert isinstance(event, Told)
                self.told.append(event)
                continue
            said = _from_json(line.decode())
            if said is not None:
                self._state = said["state"]
                if said.get("why"):
                    self._fail(said["why"])

    def end(self, phase: str) -> list[Told]:
        """End them, as the phase is over; the events that are still to be recorded."""
        if self.fd >= 0 and phase == self._phase:
            self._send(kill_order(phase, 1, Cause.NONE, force=False))
            while self._state != "over":
                if self._is_interrupted():
                    self._send(kill_order(phase, 1, Cause.NONE, force=True))
                    self.interrupt_fd = None
                if self._await():
                    self.receive()
            self._leave()
            self._reap()
        return self.take_told()

    def take_told(self) -> list[Told]:
        """What is to be recorded by now; not told again."""
        told, self.told = self.told, []
        return told

    def close(self) -> None:
        """The same without anything to record: the run is given up."""
        self.end(self._phase)

    def _begin(self, phase: str) -> None:
        try:
            self._fork(phase)
        except OSError as error:
            self._refused = f"the services of phase {phase} cannot be started: {error.strerror}"
            return
        self._send(start_order(phase, 1))
        while not (self._state or self._refused):
            if self._is_interrupted():
                self._refused = _INTERRUPTED
            elif self._await():
                self.receive()

    def _fork(self, phase: str) -> None:
        self._socket, theirs = _socket.socketpair()
        gc.freeze()
        signal.pthread_sigmask(signal.SIG_BLOCK, WITHHELD)
        try:
            self._pid = os.fork()
            if not self._pid:
                _serve(self._shared, phase, theirs)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WITHHELD)
            theirs.close()
        self.fd, self._pending = self._socket.fileno(), b""

    def _await(self) -> bool:
        """Wait until something has come from the worker, or from the user."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if self.interrupt_fd is not None:
            poll.register(self.interrupt_fd, select.POLLIN)
        return any(fd == self.fd for fd, _ in poll.poll())

    def _is_interrupted(self) -> bool:
        if self.interrupt_fd is None:
            return False
        poll = select.poll()
        poll.register(self.interrupt_fd, select.POLLIN)
        return bool(poll.poll(0))

    def _fail(self, why: str) -> None:
        if not self._refused:
            self._refused = why
            self._kill(self._phase, why)

    def _send(self, line: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(line)

    def _leave(self) -> None:
        if self._polled is not None:
            self._polled.unregister(self.fd)
        self._polled = None

    def _reap(self) -> None:
        if not await_end(self._pid, time.monotonic() + KILL_LIMIT_S):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        self._socket.close()
        self.fd = -1


def _serve(shared: Shared, phase: str, runner: _socket.socket) -> NoReturn:
    """The life of the process that was forked; it never returns into the code it came from."""
    code = os.EX_SOFTWARE
    try:
        close_all_but(runner.fileno())
        begin_process()
        orders = RunnerOrders(runner, runner.fileno())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WITHHELD)
        if orders.next() is not None:
            _Keeper(shared, phase, orders).keep()
        code = os.EX_OK
    except BaseException as error:  # noqa: BLE001 - nothing above this frame is ours
        say_if_possible(f"zf: the process that holds the services of {phase} failed: {error!r}\n")
    finally:
        os._exit(code)


class _Keeper(Struct):
    """The worker's side."""

    shared: Shared
    phase: str
    orders: RunnerOrders

    def keep(self) -> None:
        """Start the services, say when they are ready, and end them when the runner wants that."""
        context = Worker(self.shared, self.orders).context
        if context.shield is not None:
            context.shield.set_up()
        services = Services(
            self.shared.project.phases[self.phase].services, self.shared.beside[self.phase]
        )
        try:
            services.begin(self._ground(context))
        except ServiceError as error:
            self._tell("failed", str(error))
        else:
            self._tell("ready")
            services.await_stop()
            if services.died:
                self._tell("failed", services.died)
        finally:
            services.end()
        self._tell("over")

    def _tell(self, state: str, why: str = "") -> None:
        self.orders.tell(b"%b\n" % _to_json({"state": state, "why": why}).encode())

    def _ground(self, context: Any) -> Ground:
        name = partial(cgroup_name, context.run_dir)
        cgroup = context.cgroup
        task = Task(_NAME.format(self.phase), self.phase, ())
        env = context.outside.build(task, self._own(context, task))
        redactor = StreamRedactor(context.outside.secrets(task, env))

        def starting(script: str) -> Callable[[], Started]:
            os.chdir(context.real_root)
            return partial(context.shell.start, {**env.values}, os.fsencode(script))

        return Ground(
            orders=self.orders,
            supervisor=context.supervisor,
            redactor=redactor,
            starting=starting,
            boxed=lambda *of: boxed.Box(context, env.values, task.id, 0, *of),
            log_of=lambda name: self._log_of(context.written_at, name),
            create=lambda path: os.open(f"{context.written_at}/{path}", NEW, 0o666),
            wrote=lambda path, digest: None,  # noqa: ARG005 - the event says it
            head=lambda path, most: _head(f"{context.written_at}/{path}", most),
            digest=lambda path: _digest(f"{context.written_at}/{path}"),
            report=self.orders.report_found,
            enter=lambda pid: None if cgroup is None else cgroup.beside(name(pid)),
            gone=lambda pid: None if cgroup is None else cgroup.remove_beside(name(pid)),
            about={"task": None, "attempt": 0, "phase": self.phase},
            grace_s=context.supervisor.grace_s,
            max_log_bytes=DEFAULT_MAX_LOG_BYTES,
        )

    def _log_of(self, folder: str, service: str) -> str:
        number = 1
        while os.path.lexists(f"{folder}/{layout.phase_log(self.phase, service, number)}"):
            number += 1
        return layout.phase_log(self.phase, service, number)

    def _own(self, context: Any, task: Task) -> dict[str, str]:
        place = context.place
        return {
            "RUN_ID": place.run,
            "PHASE": self.phase,
            "ZENFLOW_ROOT": place.root,
            "ZF_COOKIE": cookie(context.run_dir, task.id, 0),
            **context.ports_of(self.phase),
        }


def _head(path: str, most: int) -> bytes:
    with open(os.open(path, READ), "rb") as stream:
        return stream.read(most)


def _digest(path: str) -> str | None:
    try:
        with open(os.open(path, READ), "rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


_to_json, _from_json = encoder(), decoder()
