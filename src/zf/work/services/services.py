"""The services of an attempt: started before its steps, watched meanwhile, ended after them.

Each has a process that holds it (`holder.py`). All are started at once; what is waited for, one
after the other, is that each is ready.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.events import Cause, ServiceEnded, ServiceStarted
from zf.lean.records import Struct, field
from zf.model import NOTHING
from zf.work.capture import Buffer, Capture
from zf.work.control import RunnerOrders, Stop
from zf.work.services.holder import Held, Start, hold
from zf.work.services.ports import Reserved, listens, variables
from zf.work.shell import NotStartedError, Started
from zf.work.steps import signal_name
from zf.work.supervise.supervisor import Supervisor, Terms

if TYPE_CHECKING:
    from zf.model import Service
    from zf.redact.stream import StreamRedactor
    from zf.work.services.boxed import Box
    from zf.work.supervise.cgroup import Cgroup

# How long to wait before asking again whether one is ready.
_AGAIN_S, _LONGEST_S = 0.1, 3600
# How long an engine's command line may take to hand on what a container printed that has ended.
_LAST_WORDS_S = 1.0
# What is told of the log of one that failed: where it begins, which is where servers say why.
_HEAD_BYTES, _HEAD_LINES, _HEAD_CHARS = 4096, 5, 160
STOPPED, DIED, NOT_READY, NOT_STARTED = "stopped", "died", "not_ready", "not_started"


class Ground(Struct, frozen=True):
    """Where services are started: for an attempt, or for a phase.

    `starting` makes what starts a script there, `boxed` the container of an image; `log_of` says
    where the log of a service goes, `create` makes that file, `wrote` is told its digest, `head`
    gives its first bytes and `digest` its digest. `about` is what events say of whose services they
    are.
    """

    orders: RunnerOrders
    supervisor: Supervisor
    redactor: StreamRedactor
    starting: Callable[[str], Callable[[], Started]]
    boxed: Callable[[Service, Mapping[str, int]], Box]
    log_of: Callable[[str], str]
    create: Callable[[str], int]
    wrote: Callable[[str, str], None]
    head: Callable[[str, int], bytes]
    digest: Callable[[str], str | None]
    report: Callable[[ServiceStarted | ServiceEnded], None]
    enter: Callable[[int], Cgroup | None]
    gone: Callable[[int], None]
    about: Mapping[str, Any]
    grace_s: float
    max_log_bytes: int
    walled: bool = False


class ServiceError(Exception):
    """A service could not be started, was not ready in time, or died; the message says which."""


class Running(Struct):
    """A service of this attempt, and what became of it."""

    service: Service
    ports: Mapping[str, int]
    log: str = ""
    held: Held | None = None
    box: Box | None = None
    fd: int = -1
    began: float = field(default_factory=time.monotonic)
    ready_s: float | None = None
    cause: str = ""
    detail: str = ""


class Services:
    """The services of one attempt, by `prepare`d ports; `end` them whatever happens."""

    def __init__(
        self, services: Sequence[Service], given: Mapping[str, Mapping[str, int]] = NOTHING
    ) -> None:
        """Ports are found free, or `given` by the names of the services. Raises OSError where there
        are none.
        """
        self._reserved = Reserved()
        take = self._reserved.take
        self._all = [
            Running(one, given.get(one.name) or {name: take() for name in one.ports})
            for one in services
        ]
        self._ground: Ground
        self._buffer = Buffer()
        # What has made the network that they and the steps are on, if that is none of the system's.
        self._network: Held | None = None
        # What is to be told of the first one that died.
        self.died = ""

    def variables(self) -> dict[str, str]:
        """What the steps, and the services themselves, are told of the ports."""
        found: dict[str, str] = {}
        for one in self._all:
            found |= variables(one.service.name, one.ports)
        return found

    def make_network(self, ground: Ground, start: Callable[[], Started]) -> int:
        """Have this process make their network; its number. Raises OSError."""
        self._ground = ground
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            capture = Capture(null, self._buffer)
            what = Start("network", start, capture, ground.redactor, 0.0, ground.enter)
            self._network = held = hold(what)
        finally:
            os.close(null)
        ground.supervisor.leave_alone(held.pid)
        while held.ended is None and not held.started:
            held.receive()
        return held.leader

    def begin(self, ground: Ground) -> None:
        """Start all, and wait until they are ready. Raises ServiceError, OSError; what came on the
        orders meanwhile ends the wait, too, and is for the caller to look at.
        """
        self._ground = ground
        self._reserved.let_go()
        for one in self._all:
            self._start(one)
        for one in self._all:
            if ground.orders.stop is None:
                self._await_ready(one)
        self._refuse_dead()

    def end(self) -> list[str]:
        """End all that were started, the last one first; what went wrong by then, for people."""
        going = [one for one in self._all if one.held is not None]
        for one in going:
            self._hear(one)  # it may have died just now
        stop = self._ground.orders.stop if going else None
        for one in reversed(going):
            held = one.held
            if held is not None and held.ended is None:
                one.cause = one.cause or STOPPED
                if one.box is not None:
                    self._end_box(one, one.box)
                held.stop(force=one.box is not None or (stop is not None and stop.force))
        told = [one for running in reversed(going) for one in self._conclude(running)]
        if self._network is not None:
            self._network.stop(force=True)
            self._let_go(self._network)
        return told

    def as_json(self) -> dict[str, Any]:
        """What status.json says of them."""
        return {
            one.service.name: {
                "ports": dict(one.ports),
                "ready_s": one.ready_s,
                "cause": one.cause,
                "detail": self._ground.redactor.text(one.detail),
                "exit_code": (ended := _ended(one)).get("exit_code"),
                "signal": ended.get("signal"),
                "log": one.log,
                **_of_what(one.service),
            }
            for one in self._all
        }

    def await_stop(self) -> None:
        """Wait until the orders want an end, or one has died."""
        while self._ground.orders.stop is None:
            self._pause(math.inf)

    def _start(self, one: Running) -> None:
        ground, service = self._ground, one.service
        one.log = ground.log_of(service.name)
        one.fd = ground.create(one.log)
        stream = ground.redactor.stream()
        capture = Capture(one.fd, self._buffer, stream, ground.max_log_bytes)
        try:
            if service.image:
                one.box = ground.boxed(service, one.ports)
            starting = one.box.starting() if one.box else ground.starting(service.run)
        except NotStartedError as error:
            raise ServiceError(f"service '{printable(service.name)}': {error.args[0]}") from None
        start = Start(
            service.name,
            starting,
            capture,
            ground.redactor,
            ground.grace_s,
            ground.enter,
            ground.walled and one.box is None,
        )
        one.began = time.monotonic()
        one.held = held = hold(start)
        ground.supervisor.leave_alone(held.pid)
        ground.supervisor.attend(held.fileno(), partial(self._take, one))
        ground.report(
            ServiceStarted(
                name=service.name,
                ports=dict(one.ports),
                image=service.image,
                digest=service.digest,
                **ground.about,
            )
        )

    def _take(self, one: Running) -> None:
        """Hear what a service's holder says; its end ends the attempt."""
        held = one.held
        assert held is not None
        held.receive()
        if held.ended is None:
            return
        self._ground.supervisor.ignore(held.fileno())
        if not held.stopping and not one.cause:
            self._died(one, held.ended)
            told = self._told(one)
            self.died = self.died or told
            self._ground.orders.take_stop(Stop(Cause.SERVICE, told))

    def _died(self, one: Running, ended: Mapping[str, Any]) -> None:
        one.cause, one.detail = DIED, str(ended.get("died", ""))
        if "not_started" in ended:
            one.cause, one.detail = NOT_STARTED, str(ended["not_started"])
        elif not one.detail:
            number, code = ended["signal"], ended["exit_code"]
            how = f"ended by {signal_name(number)}" if number else f"exited with code {code}"
            one.detail = f"it {how}" if not number else f"it was {how}"

    def _told(self, one: Running) -> str:
        """A sentence on what went wrong, with where its log begins."""
        words = {
            DIED: "died",
            NOT_READY: "was not ready in time",
            NOT_STARTED: "could not be started",
        }
        named = f"service '{printable(one.service.name)}'"
        told = self._ground.redactor.text(f"{named} {words[one.cause]}: {one.detail}")
        head = self._ground.head(one.log, _HEAD_BYTES).decode("utf-8", "replace")
        lines = [line.strip() for line in head.splitlines() if line.strip()][:_HEAD_LINES]
        if not lines:
            return f"{told}; it printed nothing"
        quoted = " / ".join(printable(line[:_HEAD_CHARS]) for line in lines)
        return f"{told}; its log ({one.log}) begins: {quoted}"

    def _refuse_dead(self) -> None:
        """Raises ServiceError for one that has ended meanwhile."""
        for one in self._all:
            self._hear(one)
            if one.cause:
                raise ServiceError(self._told(one))

    def _hear(self, one: Running) -> None:
        """Take what its holder has said by now, without waiting."""
        held = one.held
        poll = select.poll()
        while held is not None and held.ended is None:
            poll.register(held.fileno(), select.POLLIN)
            if not poll.poll(0):
                return
            self._take(one)

    def _await_ready(self, one: Running) -> None:
        """Ask until it is ready. Raises ServiceError when it is not in time, or has died."""
        service, orders = one.service, self._ground.orders
        until = one.began + service.ready_timeout_s
        while orders.stop is None and not one.cause:
            if self._is_ready(one, until):
                one.ready_s = round(time.monotonic() - one.began, 3)
                if one.box is not None and one.box.fd >= 0:
                    take = partial(self._take_end_of, one, one.box)
                    self._ground.supervisor.attend(one.box.fd, take)
                return
            if time.monotonic() >= until:
                one.cause = NOT_READY
                asked = f"`{service.ready}` did not succeed" if service.ready else _NOT_LISTENING
                one.detail = f"{printable(asked)} in {service.ready_timeout_s:g} s"
                raise ServiceError(self._told(one))
            self._pause(min(until, time.monotonic() + _AGAIN_S))
        if one.cause:
            raise ServiceError(self._told(one))

    def _is_ready(self, one: Running, until: float) -> bool:
        held, ready = one.held, one.service.ready
        if held is None or not held.started:
            return False
        if one.box is not None and not one.box.is_up():
            if one.box.exit_code() is not None:
                self._take_end_of(one, one.box)
            return False
        if ready:
            return self._asked(ready, until)
        if one.box is not None:
            return one.box.is_listening()
        return all(listens(held.leader, number) for number in one.ports.values())

    def _asked(self, ready: str, until: float) -> bool:
        """Whether the command says so. What it prints is nowhere: it fails until it does not."""
        ground = self._ground
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            leader, pipe = ground.starting(ready)()
            terms = Terms(until, cause=Cause.SERVICE, walled=ground.walled)
            ended = ground.supervisor.run(leader, pipe, Capture(null, self._buffer), terms)
        except NotStartedError as error:
            raise ServiceError(f"`{ready}` cannot be run: {error.args[0]}") from None
        finally:
            os.close(null)
        return ended.stop is None and ended.exit_code == 0

    def _pause(self, until: float) -> None:
        """Wait for this moment, or for what comes before."""
        ground = self._ground
        poll = select.poll()
        takers: dict[int, Callable[[], Any]] = {}
        for one in self._all:
            if one.held is not None and one.held.ended is None:
                takers[one.held.fileno()] = partial(self._take, one)
            if one.box is not None and one.box.fd >= 0:
                takers[one.box.fd] = partial(self._take_end_of, one, one.box)
        for fd in ground.orders.fds:
            takers[fd] = partial(ground.orders.receive, fd)
        for fd in takers:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(min(max(0.0, until - time.monotonic()), _LONGEST_S) * 1000):
            takers[fd]()

    def _take_end_of(self, one: Running, box: Box) -> None:
        """Hear that a container has ended, which its engine's command line may be slow to say."""
        self._ground.supervisor.ignore(box.fd)
        box.let_go()
        if not one.cause:
            self._died(one, {"died": f"it exited with code {box.exit_code()}"})
            told = self._told(one)
            self.died = self.died or told
            self._ground.orders.take_stop(Stop(Cause.SERVICE, told))

    def _end_box(self, one: Running, box: Box) -> None:
        """Have a container end, by TERM and grace; what it printed last is then handed on."""
        orders = self._ground.orders

        def wait(seconds: float, what: Callable[[], bool]) -> None:
            until = time.monotonic() + seconds
            while what() and time.monotonic() < until:
                if orders.stop is not None and orders.stop.force:
                    return
                self._pause(min(until, time.monotonic() + _AGAIN_S))

        if box.fd >= 0:
            box.tell_to_end()
            wait(self._ground.grace_s, lambda: box.fd >= 0)
        wait(_LAST_WORDS_S, lambda: one.held is not None and one.held.ended is None)

    def _conclude(self, one: Running) -> list[str]:
        """Wait for the end of one, and write down how it was; what is to be told of that."""
        ground, held = self._ground, one.held
        assert held is not None
        self._let_go(held)
        problem = ""
        ended = _ended(one)
        if one.box is not None:
            ground.supervisor.ignore(one.box.fd)
            if (code := one.box.exit_code()) is not None:
                held.ended = ended = {**ended, "exit_code": code, "signal": None}
            problem = one.box.remove()
        os.close(one.fd)
        digest = ended.get("log_sha256") or ground.digest(one.log) or ""
        ground.wrote(one.log, digest)
        ground.redactor.counts.update(ended.get("hidden", {}))
        ground.report(
            ServiceEnded(
                name=one.service.name,
                ports=dict(one.ports),
                cause=one.cause,
                detail=ground.redactor.text(one.detail),
                exit_code=ended.get("exit_code"),
                signal=ended.get("signal"),
                ready_s=one.ready_s,
                log=one.log,
                log_sha256=digest,
                **ground.about,
            )
        )
        return [*_remarks(one, ended), *([problem] if problem else [])]

    def _let_go(self, held: Held) -> None:
        """Wait for the end of what was told to end, and reap it."""
        ground = self._ground
        ground.supervisor.ignore(held.fileno())
        held.await_end()
        ground.supervisor.forget(held.pid)
        ground.gone(held.pid)


_NOT_LISTENING = "nothing listened on its ports"


def _ended(one: Running) -> Mapping[str, Any]:
    return (one.held and one.held.ended) or {}


def _of_what(service: Service) -> Mapping[str, str]:
    return {"image": service.image, "digest": service.digest} if service.image else {}


def _remarks(one: Running, ended: Mapping[str, Any]) -> Sequence[str]:
    name = printable(one.service.name)
    told = []
    if ended.get("cut"):
        told.append(f"the log of service '{name}' was cut at max_log_bytes")
    if ended.get("failure"):
        told.append(f"the log of service '{name}' could not be written: {ended['failure']}")
    if ended.get("unkillable"):
        told.append(f"service '{name}' left processes that cannot be killed")
    return told
