"""What controls a worker: orders on a socket, the runner's life on a pipe, and signals.

When one of the two is closed the runner is dead; then, as after a TERM, whatever runs is stopped
and nothing more is begun.
"""

from __future__ import annotations

import _socket
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from zf.events import (
    AttemptEnded,
    Cached,
    CacheMissed,
    Cause,
    Probe,
    ServiceEnded,
    ServiceStarted,
    Status,
    from_json,
    to_json,
)
from zf.lean.encoder import decoder, encoder
from zf.lean.records import Struct, asdict, astuple, field
from zf.lean.signals import signal
from zf.metrics.budget import Spent
from zf.model import NOTHING

_RECEIVE_BYTES = 4096
# Of a tree with some thirty files: the runner keeps the lists of all tasks until it seals the run.
_LIST_BYTES = 4096
# One order brings one, and orders come one at a time.
_LEASES_BYTES = _socket.CMSG_SPACE(4 * struct.calcsize("i"))
# How long a runner that was told to end, too, may take to say so.
_WORD_S = 2.0


# What an attempt tells before its end. But for probes, the runner only writes it down.
Told = Cached | CacheMissed | Probe | ServiceStarted | ServiceEnded


class Stop(Struct, frozen=True):
    """Why a tree is to end before its leader does; `force` leaves no grace."""

    cause: Cause
    detail: str
    force: bool = False


class StartOrder(Struct, frozen=True):
    """An attempt to run. `then` is the task that may follow it; `before` the `task_sha256` of the
    attempt before it; `needs` those of needs that this run met and that may have left something.
    """

    task: str
    attempt: int
    then: str = ""
    before: str = ""
    needs: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    # What earlier attempts used of the task's budget.
    spent: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    # What conditions of its steps may refer to beside variables, by how it is written there.
    facts: Mapping[str, str | int | float | bool] = field(default_factory=lambda: NOTHING)
    # Why no step of it may start: a service of its phase is not there.
    refused: str = ""
    # The statements by which it was approved, each with its signature.
    answers: Sequence[Sequence[str]] = ()
    # Of a handler: what its run or phase came to, as JSON.
    told: str = ""


class RunnerOrders:
    """The worker's end; `stop` is why the attempt under way is to end, if it is."""

    def __init__(self, runner: _socket.socket, life_fd: int) -> None:
        self._socket = runner
        # Open while the attempt it came for is under way: should the runner die, this is what keeps
        # the attempt's `concurrency` group from other runs.
        self._leases: list[int] = []
        self._signals, self._wake = os.pipe()
        for end in (self._signals, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, _do_nothing)
        self._life = life_fd
        self.fds: tuple[int, ...] = (runner.fileno(), life_fd, self._signals)
        self.stop: Stop | None = None
        self.ended = False
        # Whether there is no runner any more that would hear a report.
        self.gone = False
        # Whether the runner itself said that this is the end; if it was killed, it did not.
        self.dismissed = False
        # What joined the plan since the last attempt: the base, and its instances.
        self.extensions: list[Mapping[str, Any]] = []
        # What the attempt under way is to do after a probe: another, or to end, and how.
        self.after_probe: Mapping[str, Any] | None = None
        # Whether the runner gave its slot to another worker: it takes no other attempt.
        self.detached = False
        self._current: StartOrder | None = None
        self._pending = b""
        self._poll = select.poll()
        for fd in self.fds:
            self._poll.register(fd, select.POLLIN)

    def next(self) -> StartOrder | None:
        """Wait for the next attempt to run; None when there is no more to do."""
        self.stop = None
        self._current = None
        while self._leases:
            os.close(self._leases.pop())
        while self._current is None and not self.ended:
            ready = self._poll.poll()
            # What came while nothing runs has nothing to end: a worker goes when the runner does.
            with suppress(BlockingIOError):
                os.read(self._signals, 512)
            for fd, _ in ready:
                if fd != self._signals:
                    self.receive(fd)
        return None if self.ended else self._current

    def report(self, ended: AttemptEnded, *more: Any) -> None:
        """Tell the runner how the attempt ended, with what `encode` says of it besides. If the
        runner is gone, this is not heard, and the attempt is lost.
        """
        self.tell(encode(ended, *more))

    def report_spent(self, spent: Spent) -> None:
        """Tell the runner what the attempt under way has used so far."""
        self.tell(b"%b%b\n" % (SPENT, _to_json(asdict(spent)).encode()))

    def await_word(self) -> Mapping[str, Any] | None:
        """What the runner wants after a probe, once it says so; None where the attempt is to end
        for what `stop` says.
        """
        while self.after_probe is None and self.stop is None:
            for fd, _ in self._poll.poll():
                self.receive(fd)
        word, self.after_probe = self.after_probe, None
        return None if self.stop is not None else word

    def report_found(self, event: Told) -> None:
        """Tell the runner what came of looking for an earlier result, or of a service."""
        self.tell(b"%b%b\n" % (FOUND, _to_json(to_json(event)).encode()))

    def tell(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def look(self) -> None:
        """Take what has come, without waiting; for use in the middle of long work."""
        for fd, _ in self._poll.poll(0):
            self.receive(fd)

    def hear_of_children(self) -> None:
        """Become readable when a child ends, for systems without pidfds; and once now, as one may
        have ended already.
        """
        signal.signal(signal.SIGCHLD, _do_nothing)
        os.write(self._wake, bytes((signal.SIGCHLD,)))

    def receive(self, fd: int) -> bool:
        """Read what has come on one of `fds`; True when a child may have ended."""
        if fd == self._signals:
            numbers = os.read(fd, 512)
            if signal.SIGTERM in numbers:
                self._let_runner_speak()
                self._end(Cause.WORKER, "the worker was told to end by SIGTERM")
            return signal.SIGCHLD in numbers
        data = self._read(fd)
        if not data:
            self.fds = tuple(one for one in self.fds if one != fd)
            self.gone = True
            self._end(Cause.RUNNER, "the runner died")
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._take(_from_json(line.decode()))
        return False

    def _let_runner_speak(self) -> None:
        """A TERM for the whole group, such as that of `timeout`, went to the runner, too. Then what
        the runner makes of it is why the attempt ends.
        """
        runner = select.poll()
        for fd in (self._socket.fileno(), self._life):
            runner.register(fd, select.POLLIN)
        until = time.monotonic() + _WORD_S
        while self.stop is None and (left_s := until - time.monotonic()) > 0:
            for fd, _ in runner.poll(left_s * 1000):
                self.receive(fd)

    def _read(self, fd: int) -> bytes:
        """What has come from the runner; nothing when it is dead."""
        if fd != self._socket.fileno():
            return os.read(fd, 1)
        try:
            data, with_it, _, _ = self._socket.recvmsg(_RECEIVE_BYTES, _LEASES_BYTES)
        except ConnectionResetError:
            return b""
        for _, _, leases in with_it:
            for (lease,) in struct.iter_unpack("i", leases):
                os.set_inheritable(lease, False)  # not for steps
                self._leases.append(lease)
        return data

    def _take(self, order: Mapping[str, Any] | Literal[False] | None) -> None:
        if order is None:
            self.tell(PING)
            return
        if order is False:
            self.dismissed = True
            return
        current = self._current
        if "extend" in order:
            self.extensions.append(order)
        elif "after" in order:
            self._attend(order)
        elif "cause" not in order:
            self._current = StartOrder(**order)
        elif current and (order["task"], order["attempt"]) == (current.task, current.attempt):
            stop = Stop(Cause(order["cause"]), order["detail"], force=order["force"])
            self.take_stop(stop)

    def _attend(self, order: Mapping[str, Any]) -> None:
        if order["after"] == "rest":
            self.detached = True
        else:
            self.after_probe = order

    def _end(self, cause: Cause, why: str) -> None:
        self.ended = True
        self.take_stop(Stop(cause, why))

    def take_stop(self, stop: Stop) -> None:
        """The first cause stays; a later order can only take the grace away."""
        if self.stop is None:
            self.stop = stop
        elif stop.force:
            self.stop = Stop(self.stop.cause, self.stop.detail, force=True)


def _do_nothing(*_: object) -> None:
    """Without a handler Python would not write the signal's number to the pipe."""


# An outcome; whether its worker takes no other attempt, and nothing of it is worth a remark;
# and what its task.sha256 says.
Report = tuple[AttemptEnded, bool, bool, str]
# Asks a worker whether it still answers, and is the answer.
PING = b"null\n"
# What a line begins with that tells what an attempt has used so far.
SPENT = b"spent "
# And one that tells of an event of the attempt that the runner only has to write down.
FOUND = b"found "
# Says that the runner wants nothing more, and sees to what the worker leaves.
DISMISS = b"false\n"


def start_order(
    task: str,
    attempt: int,
    then: str | None = None,
    before: str = "",
    needs: Mapping[str, str] = NOTHING,
    spent: Mapping[str, float] = NOTHING,
    facts: Mapping[str, Any] = NOTHING,
    refused: str = "",
    answers: Sequence[Sequence[str]] = (),
    told: str = "",
) -> bytes:
    """A line that begins an attempt, and says which task may follow it; for a second attempt also
    the `task_sha256` of the one before, and what was `spent` of its budget; those of `needs`; and
    the `facts` that conditions of its steps may name; and the `answers` by which it was approved;
    and what a handler is `told`.
    """
    # An id needs no escapes in JSON, and this is on the way from one step to the next.
    more = f',"before":"{before}"' if before else ""
    if needs:
        pairs = ",".join([f'"{need}":"{digest}"' for need, digest in needs.items()])
        more += f',"needs":{{{pairs}}}'
    if spent:
        more += f',"spent":{_to_json(dict(spent))}'
    if facts:
        more += f',"facts":{_to_json(dict(facts))}'
    if refused:
        more += f',"refused":{_to_json(refused)}'
    if answers:
        more += f',"answers":{_to_json([*map(list, answers)])}'
    if told:
        more += f',"told":{_to_json(told)}'
    return f'{{"task":"{task}","attempt":{attempt},"then":"{then or ""}"{more}}}\n'.encode("ascii")


def extend_order(base: str, instances: Sequence[Mapping[str, Any]]) -> bytes:
    """A line that tells which instances joined the plan; it comes before an attempt."""
    return b"%b\n" % _to_json({"extend": base, "instances": [*instances]}).encode()


def kill_order(task: str, attempt: int, cause: Cause, *, force: bool, detail: str = "") -> bytes:
    """A line that ends an attempt; it means nothing to a worker that is done with it."""
    order = {"task": task, "attempt": attempt, "cause": cause, "force": force, "detail": detail}
    return b"%b\n" % _to_json(order).encode()


def word_order(after: Literal["rest", "probe", "end"], cause: str = "", detail: str = "") -> bytes:
    """A line that says what an attempt is to do after a probe: wait for another line and take no
    other attempt, probe again, or end well or for this cause.
    """
    return b"%b\n" % _to_json({"after": after, "ending": cause, "detail": detail}).encode()


def decode_told(line: bytes) -> Spent | Told | None:
    """What a line tells of an attempt that goes on; None for a line of another kind."""
    if line.startswith(SPENT):
        return Spent(**_from_json(line[len(SPENT) :].decode()))
    if line.startswith(FOUND):
        event = from_json(_from_json(line[len(FOUND) :].decode()))
        assert isinstance(event, Told)
        return event
    return None


def encode(ended: AttemptEnded, is_last: bool, is_plain: bool, listed: bytes = b"") -> bytes:
    """A line that reports an outcome: the values alone, in their order; whether this worker takes
    no other attempt, and nothing in status.json is worth a remark; and what task.sha256 says. A
    long list is left where it is.
    """
    told = listed.decode("ascii") if len(listed) <= _LIST_BYTES else ""
    return b"%b\n" % _to_json([*astuple(ended), is_last, is_plain, told]).encode()


def decode(line: bytes) -> Report:
    """What such a line says."""
    *values, is_last, is_plain, listed = _from_json(line.decode())
    values[_STATUS] = _STATUSES[values[_STATUS]]
    values[_CAUSE] = _CAUSES[values[_CAUSE]]
    return AttemptEnded(*values), is_last, is_plain, listed


_to_json, _from_json = encoder(), decoder()
# By their values: to ask the enum itself takes a few calls of Python's.
_STATUSES, _CAUSES = {one.value: one for one in Status}, {one.value: one for one in Cause}
_STATUS, _CAUSE = map(AttemptEnded.__struct_fields__.index, ("status", "cause"))
