"""The local executor: one worker process per slot, forked when the slot is first used.

The runner's side of the ties described in `control.py`. It is single-threaded and waits on all
workers at once; a worker that dies, or stops answering, is an outcome like any other.
"""

from __future__ import annotations

# The half of `socket` that is compiled: its other half takes 3 ms to import.
import _socket
import gc
import math
import os
import select
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from zf.events import AttemptEnded, Cause, Status, timestamp
from zf.lean.signals import signal
from zf.metrics.budget import Spent
from zf.model import NOTHING, Task
from zf.proof.known import Known
from zf.work.artifacts import Briefly
from zf.work.context import extend, needed
from zf.work.control import (
    DISMISS,
    PING,
    Report,
    Told,
    decode,
    decode_told,
    extend_order,
    kill_order,
    start_order,
    word_order,
)
from zf.work.outcome import Outcome
from zf.work.supervise import cgroup, leftovers
from zf.work.supervise.handles import Started, WorkerHandle, allowed_s, how, limit_s
from zf.work.supervise.leftovers import cgroup_name
from zf.work.supervise.processes import (
    SubreaperTree,
    become_subreaper,
    cpu_ticks,
    hide_from_tracers,
    is_stopped,
)
from zf.work.supervise.supervisor import KILL_LIMIT_S
from zf.work.supervise.watchdog import Patience, Watch
from zf.work.worker import WITHHELD, Shared, occupy_standard_fds, raise_file_limit, serve

if TYPE_CHECKING:
    from zf.work.services.phase import Beside

_RECEIVE_BYTES = 65536
# How long after its time, or after an order to end, zf looks whether a worker was stopped; how long
# a woken one has; how often zf looks again at one that is still working.
_STOPPED_S, _WOKEN_S, _AGAIN_S = 0.5, 0.25, 1.0
# What a worker without anything to do may take to exit.
_EXIT_S = 10.0


class Pool:
    """Runs attempts of these tasks in processes of their own; an `Executor` of the engine's.

    It makes this process a subreaper, so that what a killed worker leaves comes here to be ended.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        shared: Shared,
        patience: Patience | None = None,
        known: Known | None = None,
        first: int = 0,
    ) -> None:
        """Starts the workers of the `first` slots before there are orders for them: each has to
        wait 10 ms for its cgroup (RCU), and the runner has something else to do meanwhile. Raises
        OSError when one cannot be started. Later on that is an attempt's outcome.
        """
        occupy_standard_fds()
        self.known = known or Known()  # of the lists of attempts, here
        # The caller says what conditions of steps may refer to beside variables, by task; and by
        # which statements an attempt was approved, each with its signature.
        self.facts: Mapping[str, Mapping[str, Any]] = NOTHING
        self.answers_for: Callable[[str, int], Sequence[tuple[str, str]]] = lambda *_: ()
        # The services of phases, where there are any; the caller says it, too.
        self.beside: Beside | None = None
        # What a handler is told of its run, as JSON; the caller says how it is had.
        self.tell_handler: Callable[[str], str] = str
        self.tasks = tasks
        self._extensions: list[bytes] = []
        self.shared = shared
        self._patience = patience or Patience()
        self._handles: dict[int, WorkerHandle] = {}
        self._leaving: list[WorkerHandle] = []
        self._dismissed: list[WorkerHandle] = []  # to be waited for
        self._running: dict[str, WorkerHandle] = {}
        self._ended: list[AttemptEnded | Spent | Told] = []
        self._poll = select.poll()
        self._handle_at: dict[int, WorkerHandle] = {}
        self._wakeup_fd: int | None = None
        self._output_fd: int | None = None
        self.woken = False
        self._ticked = time.monotonic()
        self._due = math.inf  # the earliest moment at which a worker may have to be woken
        self._closed = False
        self._cgroups: str | None = None
        # Its write end is open in the runner and nowhere else: however the runner dies, each
        # worker then reads its end.
        self._life_read, self._life_write = os.pipe()
        self._file_limits = raise_file_limit()
        hide_from_tracers()
        self._tree = SubreaperTree() if become_subreaper() else None
        with suppress(OSError):
            # Where the cgroups of workers are, which are born in this one.
            self._cgroups = cgroup.own_folder()
        # Children from before zf was started in this process: not ours to end.
        self._foreign = set(self._tree.children()) if self._tree is not None else set()
        try:
            for slot in range(first):
                self._handles[slot] = self._fork(slot, early=True)
        except OSError:
            self.close()
            raise

    def start(
        self,
        task: str,
        attempt: int,
        slot: int,
        lease_fd: int | None = None,
        then: str | None = None,
        spent: Mapping[str, float] = NOTHING,
    ) -> None:
        """Give the attempt to the slot's worker, its lease with it, and what may follow it."""
        started = Started(self.tasks[task], attempt, time.time(), time.monotonic())
        handle = self._handles.get(slot)
        if handle is None:
            try:
                handle = self._handles[slot] = self._fork(slot)
            except OSError as error:
                self._decide_lost(started, f"no worker could be started: {error.strerror}")
                return
        handle.under_way, handle.watch, handle.woken = started, None, False
        self._running[task] = handle
        self._set_due(handle, started.began + limit_s(started.task) + _STOPPED_S)
        before = self.known.task_sha256(task) if attempt > 1 else ""
        for line in self._extensions[handle.extensions :]:
            self._send(handle, line)
            handle.extensions += 1
        needs = NOTHING
        if started.task.needs:
            names = [need.task for need in needed(started.task, self.shared.joined)]
            needs = self.known.lists_for_others(names)
        facts = self.facts.get(task, NOTHING)
        told = self.tell_handler(task) if started.task.on_end else ""
        beside, phase = self.beside, started.task.phase
        refused = "" if beside is None else beside.begin(phase, self._poll)
        more = needs, spent, facts, refused, self.answers_for(task, attempt), told
        self._send(handle, start_order(task, attempt, then, before, *more), lease_fd)

    def rest(self, task: str) -> None:
        """The worker of this attempt keeps it and waits; its slot gets another worker."""
        handle = self._running[task]
        if self._handles.get(handle.slot) is handle:
            self._leaving.append(self._handles.pop(handle.slot))
            self._send(handle, word_order("rest"))
        handle.due = math.inf

    def probe(self, task: str) -> None:
        """Have the next probe of the attempt begun."""
        handle = self._running[task]
        handle.watch, handle.woken = None, False
        self._set_due(handle, time.monotonic() + limit_s(self.tasks[task]) + _STOPPED_S)
        self._send(handle, word_order("probe"))

    def conclude(self, task: str, cause: Cause, detail: str) -> None:
        """Have the attempt ended, after its last probe."""
        self._send(self._running[task], word_order("end", cause, detail))

    def extend(self, base: str, instances: Sequence[Mapping[str, Any]]) -> None:
        """Take in the instances of a task that joined the plan, as the journal tells of them."""
        extend(cast("dict[str, Task]", self.tasks), self.shared.joined, base, instances)
        self._extensions.append(extend_order(base, instances))

    def kill(self, task: str, cause: Cause, *, force: bool, detail: str = "") -> None:
        """Have the attempt ended for this cause; nothing happens when it has ended already."""
        handle = self._running.get(task)
        if handle is not None and handle.under_way is not None:
            attempt = handle.under_way.attempt
            self._send(handle, kill_order(task, attempt, cause, force=force, detail=detail))
            self._set_due(handle, time.monotonic() + _STOPPED_S)

    def wait(
        self, timeout_s: float | None, wakeup_fd: int | None, output_fd: int | None = None
    ) -> list[AttemptEnded | Spent | Told]:
        """Attempts that ended, and what others have come to, spent or found so far; empty when the
        time is up, `wakeup_fd` became readable or `output_fd` writable.
        """
        self.woken = False
        if wakeup_fd != self._wakeup_fd:
            self._wakeup_fd = self._watch(wakeup_fd, self._wakeup_fd, select.POLLIN)
        if output_fd != self._output_fd:
            self._output_fd = self._watch(output_fd, self._output_fd, select.POLLOUT)
        if self.beside is not None:
            self._ended += self.beside.take_told()
        if not self._ended:
            tick_s = self._patience.tick_s
            patience_s = tick_s if timeout_s is None else min(timeout_s, tick_s)
            patience_s = min(patience_s, self._due - time.monotonic())
            for fd, _ in self._poll.poll(math.ceil(max(0.0, patience_s) * 1000)):
                self.woken |= fd == wakeup_fd
                if (handle := self._handle_at.get(fd)) is not None:
                    self._receive(handle)
                elif self.beside is not None and fd == self.beside.fd:
                    self.beside.receive()
            self._check_alive()
            if time.monotonic() >= self._due:
                self._wake_stopped()
        ended, self._ended = self._ended, []
        return ended

    def end_phase(self, phase: str) -> Sequence[Told]:
        """The phase is over, and so are its services; what is to be recorded of them."""
        return self.beside.end(phase) if self.beside is not None else ()

    def kill_all(self, phase: str, detail: str) -> None:
        """End what runs of this phase: a service of it is not there any more."""
        for name, handle in self._running.items():
            if handle.under_way is not None and handle.under_way.task.phase == phase:
                self.kill(name, Cause.SERVICE, force=False, detail=detail)

    @property
    def is_idle(self) -> bool:
        """Whether nothing that an attempt started runs, neither meant to stay nor unkillable."""
        return not self._running and not self._leaving

    def close(self) -> None:
        """Wait until every worker has ended, with what it runs or has kept; once is enough."""
        if self._closed:
            return
        self._closed = True
        self.dismiss()
        for handle in self._dismissed:
            self._await_exit(handle)
        if self._tree is not None:
            self._tree.close()
        os.close(self._life_read)
        os.close(self._life_write)

    def dismiss(self) -> None:
        """Tell every worker that nothing more is to come; `close` waits for their ends."""
        if self.beside is not None:
            self.beside.close()
        for handle in (*self._handles.values(), *self._leaving):
            self._dismissed.append(handle)
            self._send(handle, DISMISS)
            os.kill(handle.pid, signal.SIGCONT)  # what was left running may have stopped it
            self._disconnect(handle)
        self._handles, self._leaving = {}, []

    def _send(self, handle: WorkerHandle, line: bytes, lease_fd: int | None = None) -> None:
        # A worker that has just died takes nothing; its end is noticed in `wait`.
        with suppress(BrokenPipeError, ConnectionResetError):
            if lease_fd is not None:
                lease = struct.pack("i", lease_fd)
                sent = handle.socket.sendmsg(
                    [line], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, lease)]
                )
                line = line[sent:]
            handle.socket.sendall(line)

    def _watch(self, fd: int | None, before: int | None, events: int) -> int | None:
        if before is not None:
            self._poll.unregister(before)
        if fd is not None:
            self._poll.register(fd, events)
        return fd

    def _receive(self, handle: WorkerHandle) -> None:
        try:
            data = handle.socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            self._reap(handle)
            return
        *lines, handle.pending = (handle.pending + data).split(b"\n")
        for line in lines:
            if told := decode_told(line):
                self._ended.append(told)
            elif line + b"\n" != PING:
                self._take_report(handle, decode(line))
            elif handle.watch is not None:
                handle.watch.answered = True

    def _take_report(self, handle: WorkerHandle, report: Report) -> None:
        ended, is_last, is_plain, listed = report
        handle.under_way = None
        if not is_plain:
            self.known.remark_on(ended.task)
        self.known.take_list(ended.task, listed or None)
        del self._running[ended.task]
        self._ended.append(ended)
        if is_last and self._handles.get(handle.slot) is handle:
            # It stays to look after what it could or should not kill; the slot gets another.
            self._leaving.append(self._handles.pop(handle.slot))

    def _reap(self, handle: WorkerHandle) -> None:
        """A worker is gone: end what it left, unless it ended by itself. An attempt it had is lost,
        whatever is in the attempt's tree: only what the worker said on its socket counts.
        """
        self._disconnect(handle)
        _, status = os.waitpid(handle.pid, 0)
        if self._handles.get(handle.slot) is handle:
            del self._handles[handle.slot]
        else:
            self._leaving.remove(handle)
        self._clear_after(handle, status)
        if handle.under_way is not None:
            del self._running[handle.under_way.task.id]
            self._end_orphans(handle)
            why = handle.kill_reason or f"it ended with {how(status)}"
            self._decide_lost(handle.under_way, f"its worker died: {why}")

    def _clear_after(self, handle: WorkerHandle, status: int) -> None:
        """Remove the worker's cgroup. If it did not end by itself, something may live in there."""
        if status:
            leftovers.end_worker(self.shared.run_dir, handle.pid)
        elif self._cgroups is not None:
            cgroup.remove(self._cgroups, cgroup_name(self.shared.run_dir, handle.pid))

    def _decide_lost(self, lost: Started, detail: str) -> None:
        task = lost.task.id
        self.known.take_list(task, None)
        self.known.remark_on(task)
        outcome = Outcome(lost.task, lost.attempt, timestamp(lost.at), lost.began)
        outcome.interactive = lost.task.id == self.shared.terminal
        outcome.executor = self.shared.executor
        outcome.fail(Cause.WORKER, detail, status=Status.LOST)
        shared, before = self.shared, self.known.task_sha256(task)
        if shared.shield is not None:
            from zf.work.walls.shield import rescue  # noqa: PLC0415 - a worker has died

            rescue(shared.aside, shared.run_dir, task)
        ended = outcome.write_abandoned_status(
            shared.run_dir, shared.place.run, shared.redactor, before, Briefly(self._wakeup_fd)
        )
        self._ended.append(ended)

    def _end_orphans(self, handle: WorkerHandle) -> None:
        """End what a dead worker left: processes that bear the attempt's marks, or became children
        of the runner. What the runner itself starts is told apart by its session.
        """
        lost = handle.under_way
        assert lost is not None
        leftovers.end_attempt(self.shared.run_dir, lost.task.id, lost.attempt)
        if self._tree is not None:
            ours = {one.pid for one in (*self._handles.values(), *self._leaving)}
            leftovers.end_orphans(self._tree, ours | self._foreign)

    def _check_alive(self) -> None:
        """Ask every busy worker for a sign of life, once a tick."""
        now = time.monotonic()
        elapsed_s = now - self._ticked
        if elapsed_s < self._patience.tick_s:
            return
        self._ticked = now
        for handle in list(self._running.values()):
            assert handle.under_way is not None
            if handle.watch is None:
                allowed = allowed_s(handle.under_way.task, self.shared.grace_s)
                handle.watch = Watch(self._patience, allowed)
            kill_reason = handle.watch.tick(elapsed_s, cpu_ticks(handle.pid))
            if kill_reason:
                handle.kill_reason = kill_reason
                os.kill(handle.pid, signal.SIGKILL)
            else:
                self._send(handle, PING)

    def _set_due(self, handle: WorkerHandle, due: float) -> None:
        handle.due = due
        self._due = min(self._due, due)

    def _wake_stopped(self) -> None:
        """Wake each worker that is stopped although its time is over or its end was ordered. One
        that was stopped again is killed; one that is running ends its attempt by itself.
        """
        now = time.monotonic()
        self._due = math.inf
        for handle in self._running.values():
            if handle.due > now:
                self._due = min(self._due, handle.due)
            elif not is_stopped(handle.pid):
                self._set_due(handle, now + _AGAIN_S)
            elif not handle.woken:
                handle.woken = True
                os.kill(handle.pid, signal.SIGCONT)
                self._set_due(handle, now + _WOKEN_S)
            else:
                handle.kill_reason = "it was stopped again when its time was over"
                handle.due = math.inf
                os.kill(handle.pid, signal.SIGKILL)

    def _disconnect(self, handle: WorkerHandle) -> None:
        self._poll.unregister(handle.socket)
        del self._handle_at[handle.socket.fileno()]
        handle.socket.close()

    def _await_exit(self, handle: WorkerHandle) -> None:
        """Wait for a worker's end, and kill it when that does not come in time."""
        patience_s = _EXIT_S + self.shared.grace_s + KILL_LIMIT_S
        if handle.under_way is not None:
            patience_s += allowed_s(handle.under_way.task, self.shared.grace_s)
        if not leftovers.await_end(handle.pid, time.monotonic() + patience_s):
            os.kill(handle.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            _, status = os.waitpid(handle.pid, 0)
            self._clear_after(handle, status)

    def _fork(self, slot: int, *, early: bool = False) -> WorkerHandle:
        ours, theirs = _socket.socketpair()
        # What exists now is shared with the worker for good; a collection would only copy pages.
        gc.freeze()
        # Until the child has its own handlers, an interrupt in it would be written to the runner's
        # wake-up pipe and count twice.
        signal.pthread_sigmask(signal.SIG_BLOCK, WITHHELD)
        try:
            pid = os.fork()
            if pid == 0:
                others = [handle.socket for handle in (*self._handles.values(), *self._leaving)]
                others.append(ours)
                life = self._life_read, self._life_write
                about = self.shared, self.tasks, theirs, life, self._file_limits, others
                serve(*about, early=early)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WITHHELD)
            theirs.close()
        handle = WorkerHandle(slot, pid, ours, extensions=len(self._extensions))
        self._poll.register(ours, select.POLLIN)
        self._handle_at[ours.fileno()] = handle
        return handle
