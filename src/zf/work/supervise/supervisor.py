"""One child tree: its own session, a deadline, TERM, grace, KILL, and the proof that it is empty.

On Linux the worker is a child subreaper, so whatever a step starts stays its descendant however
often it forks or changes session, and the kernel's ECHILD is the proof that none is left. Elsewhere
there is only the step's process group: best effort, as `containment` says in the proof.

Nothing here sleeps: it waits in poll on the step's exit, its output and the runner's orders. The
step's leader stays a zombie until the last signal to its group, so that its number cannot have
passed to another process.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

from zf.events import Cause
from zf.lean.records import Struct, replace
from zf.lean.signals import signal
from zf.work.capture import Capture, LateOutput
from zf.work.control import RunnerOrders, Stop
from zf.work.supervise.processes import Process, Tree, describe, is_first
from zf.work.supervise.reading import Reading

if TYPE_CHECKING:
    from zf.work.supervise.inside import Inside

# What a step started may outlive it by this much before it counts as left behind: a `>(tee log)`
# needs a moment to read its end of file, on a busy machine a long one.
SETTLE_S = 1.0
# A killed process that is not gone after this long hangs in the kernel or is not ours to signal.
KILL_LIMIT_S = 10.0
# How often what a step uses is looked at, where there is a budget for it.
METER_S = 0.5
# How many exits to wait for at once. Any of them is a reason to look again, so a part is enough.
_WATCHED = 64
# poll takes milliseconds in a C int; waking once an hour costs nothing.
_LONGEST_POLL_S = 3600.0

_PEEK = os.WEXITED | os.WNOWAIT | os.WNOHANG


class Terms(Struct, frozen=True):
    """How long a tree may go on: until `deadline` (of time.monotonic()), and `silence_s` without
    output. With `leave_running`, what its leader leaves stays. A `cleanup` runs although something
    was stopped: only an order that leaves no grace ends it early. `meter` is called about once in
    METER_S as long as the leader runs; it must not raise. `cause` is what the deadline is called.
    Of a tree that is `walled` in, with processes of its own namespace, the first of these is the
    wall's: it goes when all others have gone.
    """

    deadline: float
    silence_s: float | None = None
    leave_running: bool = False
    cleanup: bool = False
    meter: Callable[[], None] | None = None
    cause: Cause = Cause.TIMEOUT
    walled: bool = False

    def ending(self, deadline: float, cause: Cause) -> Terms:
        """The same with another deadline, which is called this."""
        return replace(self, deadline=deadline, cause=cause)


class Ended(Struct, frozen=True):
    """How a tree ended. `stop` is why zf ended it, None when its leader ended by itself; then one
    of `exit_code` and `signal` is set. `survivors` were still there after that and were killed,
    unless they were to be left; `unkillable` are there still.
    """

    exit_code: int | None
    signal: int | None
    stop: Stop | None
    survivors: tuple[Process, ...] = ()
    unkillable: tuple[Process, ...] = ()


class _Wake(Enum):
    EXIT = 1
    ORDER = 2
    TIME = 3


class Supervisor:
    """Runs one child tree at a time in a process that has no other children."""

    def __init__(self, orders: RunnerOrders, grace_s: float, tree: Tree) -> None:
        self._orders = orders
        self.grace_s = grace_s
        self._tree = tree
        self._poll = select.poll()
        for fd in orders.fds:
            self._poll.register(fd, select.POLLIN)
        # The pidfd of each process waited for; None where only SIGCHLD tells.
        self._watched: dict[int, int | None] = {}
        self._exit_fds: set[int] = set()
        # What else may say something meanwhile, and what takes that.
        self._others: dict[int, Callable[[], None]] = {}
        self._terms: Terms
        # Of the child under way, or the last one.
        self._reading: Reading
        self._keys: tuple[int, Callable[[], bool]] | None = None
        # Whether something was left running, which `tend_kept` is to end when its time comes.
        self.has_kept = False
        # Whether something could not be killed: this process can vouch for no further attempt.
        self.has_unkillable = False
        # By pipe, the output of what was left running: read so that this can go on.
        self._kept: dict[int, LateOutput] = {}
        self._late: list[LateOutput] = []

    def run(
        self,
        leader: int,
        pipe: int,
        capture: Capture,
        terms: Terms,
        meanwhile: Callable[[], None] | None = None,
        keys: tuple[int, Callable[[], bool]] | None = None,
    ) -> Ended:
        """See through to its end a child that was just started, whose output comes from `pipe`;
        nothing of its tree is left then. First `meanwhile` is called; it must not raise. `keys` are
        a descriptor on which something may come for it, and what takes that, which says whether
        more can come.
        """
        self._terms = terms
        self._reading = reading = Reading(pipe, capture, self._poll)
        self._keys = keys
        if keys is not None:
            self._poll.register(keys[0], select.POLLIN)
        try:
            if meanwhile is not None:
                meanwhile()
            return self._await_end(leader)
        except BaseException:
            self._kill(0)
            raise
        finally:
            self._watch(())
            self._stop_typing()
            if self.has_kept and reading.is_open:
                reading.hand_over()
                self._kept[pipe] = capture.late_output(pipe)
                self._late.append(self._kept[pipe])
            else:
                reading.close()

    def enclose(self, inside: Inside | None) -> None:
        """Have the trees to come be what is in a container; for None not any more."""
        self._tree.enclose(inside)

    def attend(self, fd: int, take: Callable[[], None]) -> None:
        """From now on call this when something has come on this descriptor; it must not raise."""
        self._others[fd] = take
        self._poll.register(fd, select.POLLIN)

    def ignore(self, fd: int) -> None:
        """No more of that."""
        if self._others.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def leave_alone(self, pid: int) -> None:
        """As `Tree` has it; and so is `forget`."""
        self._tree.leave_alone(pid)

    def forget(self, pid: int) -> None:
        self._tree.forget(pid)

    def measures(self) -> dict[str, Any]:
        """What was used since this was last called, as status.json has it."""
        some_go_on = self.has_kept or self.has_unkillable
        return self._tree.meter.take(some_go_on=some_go_on)

    def tend_kept(self) -> None:
        """Look after what was left running until the runner wants its end, then end it."""
        self._orders.hear_of_children()
        while not self._orders.ended:
            for fd, _ in self._poll.poll():
                if self._receive(fd):
                    self._tree.left(0)  # which reaps
        self._end(0, force=self._is_forced())
        self._close_kept()

    def take_late_output(self) -> list[LateOutput]:
        """What was printed by what had been left running and is gone; not told again."""
        if self._kept:
            return []
        late, self._late = self._late, []
        return [one for one in late if one.bytes]

    def _await_end(self, leader: int) -> Ended:
        stop, status = self._until_exit(leader)
        survivors: tuple[Process, ...] = ()
        unkillable: tuple[Process, ...] = ()
        if stop is not None:
            unkillable = self._end(leader, force=stop.force)
        elif self._tree.has_only(leader):
            pass
        elif self._terms.leave_running:
            survivors = self._left_over(leader)
        elif not self._settles(leader):
            survivors = self._left_over(leader)
            unkillable = self._end(leader, force=self._is_forced())
        self._drain()
        exit_code, number = status if stop is None else _status(leader)
        self.has_kept = bool(survivors) and self._terms.leave_running
        if self.has_kept:
            self._tree.keep(leader)
            return Ended(exit_code, number, stop, survivors)
        if unkillable:
            self.has_unkillable = True
            return Ended(exit_code, number, stop, survivors, unkillable)
        self._tree.meter.reap(leader, 0)
        if not self._tree.is_empty():
            # The kernel's list may miss a child while others exit; its ECHILD cannot.
            missed = self._left_over(0)
            survivors += missed if stop is None else ()
            unkillable = self._kill(0)
            self.has_unkillable = bool(unkillable)
            self._drain()
        self._close_kept()
        return Ended(exit_code, number, stop, survivors, unkillable)

    def _left_over(self, leader: int) -> tuple[Process, ...]:
        """What is still there of the step's own processes."""
        found = self._tree.members(leader)
        return describe([pid for pid in found if not (self._terms.walled and is_first(pid))])

    def _until_exit(self, leader: int) -> tuple[Stop | None, _Status]:
        """Wait for the leader's exit; why the tree is to end, if that came first, and how it is."""
        while True:
            self._watch([leader])
            limit, cause = self._limit()
            late = self._stop_reason() is None and self._wait_metered(limit) is _Wake.TIME
            # Looked at after the clock: a step that is done keeps its outcome, however late that
            # is noticed.
            status = _status(leader)
            if status != _RUNNING:
                return None, status
            stop = self._stop_reason()
            if stop is not None:
                return stop, status
            # Output may have come meanwhile.
            if late and time.monotonic() >= self._limit()[0]:
                return Stop(cause, ""), status

    def _wait_metered(self, until: float) -> _Wake:
        """Wait as `_wait` does, and look at the meter meanwhile."""
        meter = self._terms.meter
        if meter is None:
            return self._wait(until)
        while True:
            look_at = min(until, time.monotonic() + METER_S)
            woken = self._wait(look_at)
            meter()
            if woken is not _Wake.TIME or look_at == until:
                return woken

    def _limit(self) -> tuple[float, Cause]:
        """When the tree's time is up, as things are, and what that will be called."""
        terms = self._terms
        if terms.silence_s is not None:
            silent_until = self._reading.capture.heard + terms.silence_s
            if silent_until < terms.deadline:
                return silent_until, Cause.SILENCE
        return terms.deadline, terms.cause

    def _stop_reason(self) -> Stop | None:
        """Why the tree is to end, the clock left aside; None when it is not."""
        stop = self._orders.stop
        if stop is not None and (stop.force or not self._terms.cleanup):
            return stop
        failure = self._reading.capture.failure
        if failure is not None:
            return Stop(Cause.STORAGE, f"the log could not be written: {failure.strerror}")
        return None

    def _settles(self, leader: int) -> bool:
        """Whether what the leader left ends by itself in a moment."""
        return self._until_gone(leader, time.monotonic() + SETTLE_S)

    def _end(self, leader: int, *, force: bool) -> tuple[Process, ...]:
        """End the whole tree but keep the leader's zombie; returns those that cannot be killed."""
        if not force:
            left = self._tree.left(leader)
            # What stands around the step ends with it, and says then how it ended.
            spare = self._terms.walled
            self._tree.send(signal.SIGTERM, leader, left, spare=spare)
            # A stopped process gets its TERM only once it runs.
            self._tree.send(signal.SIGCONT, leader, left, spare=spare)
            if self._until_gone(leader, time.monotonic() + self.grace_s):
                return ()
        return self._kill(leader)

    def _kill(self, leader: int) -> tuple[Process, ...]:
        if self._until_gone(leader, time.monotonic() + KILL_LIMIT_S, signal.SIGKILL):
            return ()
        return describe(self._tree.members(leader))

    def _until_gone(self, leader: int, until: float, number: int = 0) -> bool:
        """Wait until nothing is left but the leader's zombie (`leader` 0: nothing at all), sending
        the signal, if there is one, to what is still there after each exit.

        False when it is `until`, or when without a signal of ours the runner leaves no more time.
        """
        while True:
            left = self._tree.left(leader)
            waiting = [*left, leader] if leader and _status(leader) == _RUNNING else left
            if not waiting and (leader or self._tree.is_empty()):
                return True
            if number:
                self._tree.send(number, leader, left)
            elif self._is_forced():
                return False
            self._watch(waiting)
            again_s = self._tree.look_again_s
            limit = until if again_s is None else min(until, time.monotonic() + again_s)
            if waiting:
                self._wait(limit)
            if time.monotonic() >= until:
                return False

    def _is_forced(self) -> bool:
        stop = self._orders.stop
        return stop is not None and stop.force

    def _wait(self, until: float) -> _Wake:
        """Move output and take orders until an exit, a new order or a time."""
        before = self._stop_reason()
        while True:
            exited = False
            reading = self._reading
            for fd, _ in self._poll.poll(_milliseconds(min(until, reading.again_at))):
                if fd == reading.pipe:
                    reading.pump()
                else:
                    exited |= self._receive(fd)
            again = reading.look_again()
            if exited:
                return _Wake.EXIT
            if self._stop_reason() != before:
                return _Wake.ORDER
            # What has gathered comes before the clock: this process may have stood still.
            if time.monotonic() >= until and not again:
                return _Wake.TIME

    def _receive(self, fd: int) -> bool:
        """Take what has come on a descriptor other than the output; whether it may be an exit."""
        if fd in self._exit_fds:
            return True
        if fd in self._others:
            self._others[fd]()
            return False
        if self._keys is not None and fd == self._keys[0]:
            if not self._keys[1]():
                self._stop_typing()
            return False
        if fd in self._kept:
            if not self._kept[fd].pump():
                self._poll.unregister(fd)
            return False
        exited = self._orders.receive(fd)
        if fd not in self._orders.fds:
            self._poll.unregister(fd)
        return exited

    def _close_kept(self) -> None:
        """What an earlier step had left running is gone too."""
        for pipe, late in self._kept.items():
            late.finish()
            with suppress(KeyError):  # it may have come to its end
                self._poll.unregister(pipe)
            os.close(pipe)
        self._kept.clear()

    def _watch(self, pids: Sequence[int]) -> None:
        """Be woken by the exit of these, or of some of them when they are many."""
        watched = self._watched
        wanted = pids[:_WATCHED]
        for pid in watched.keys() - wanted:
            fd = watched.pop(pid)
            if fd is not None:
                self._exit_fds.discard(fd)
                self._poll.unregister(fd)
                os.close(fd)
        for pid in wanted:
            if pid in watched:
                continue
            try:
                fd = watched[pid] = os.pidfd_open(pid)
            except (OSError, AttributeError):
                # No pidfds on this system, or no descriptors left.
                watched[pid] = None
                self._orders.hear_of_children()
            else:
                self._exit_fds.add(fd)
                self._poll.register(fd, select.POLLIN)

    def _drain(self) -> None:
        """Take what is still in the pipe. The tree is gone, so that is all, unless another process
        holds the pipe: then it is what is there now. A person who is shown it is not waited for.
        """
        self._reading.capture.is_behind = None
        self._reading.drain()

    def _stop_typing(self) -> None:
        if self._keys is not None:
            self._poll.unregister(self._keys[0])
            self._keys = None


_Status = tuple[int | None, int | None]
_RUNNING: _Status = (None, None)


def _status(leader: int) -> _Status:
    """Exit code and signal of a child, which stays a zombie; both None while it runs."""
    result = os.waitid(os.P_PID, leader, _PEEK)
    if result is None:
        return _RUNNING
    if result.si_code == os.CLD_EXITED:
        return result.si_status, None
    return None, result.si_status


def _milliseconds(until: float) -> int:
    """What poll takes; rounded up, so that it does not wake just before its time."""
    return math.ceil(max(0.0, min(until - time.monotonic(), _LONGEST_POLL_S)) * 1000)
