"""The loop: scheduler <-> executor <-> journal.

It decides nothing and knows no graph. It carries out the scheduler's orders and hands what happened
to the recorder; the only thing it waits on is the executor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

from zf.errors import Exit
from zf.events import (
    ApprovalAsked,
    AttemptEnded,
    AttemptPlaced,
    AttemptStarted,
    CancelRequested,
    Cause,
    Event,
    ExecutorDrained,
    HandlerClaimed,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    Probe,
    ResultQuarantined,
    RunSuspended,
    TaskNotRun,
    timestamp,
)
from zf.lean.records import replace
from zf.lean.signals import signal
from zf.metrics.budget import Spent
from zf.model import NOTHING, is_valid_id
from zf.run.host.interrupts import FOR, Inbox
from zf.run.host.leases import Leases
from zf.run.host.machine import Sampler
from zf.run.recorder import Recorder
from zf.run.schedule.orders import (
    AskApproval,
    AskLease,
    ConcludeAttempt,
    EndPhase,
    EndRun,
    Extend,
    Extended,
    KillAttempt,
    LeaseAnswered,
    NotExtended,
    NotRun,
    Order,
    OutputsRead,
    Record,
    ReleaseLease,
    RestAttempt,
    StartAttempt,
    StartPhase,
    StartProbe,
    Suspend,
    Tick,
    TimeOutPhase,
)
from zf.run.schedule.scheduler import Scheduler
from zf.work.control import Told

# What is told of attempts on other machines beside their ends.
Placed = AttemptPlaced | ResultQuarantined

if TYPE_CHECKING:
    from zf.run.gates.gate import Gate


class Executor(Protocol):
    """Runs attempts: the local pool, or that with what is elsewhere. `woken` says whether the last
    `wait` found its `wakeup_fd` readable.
    """

    woken: bool

    def start(
        self,
        task: str,
        attempt: int,
        slot: int,
        lease_fd: int | None = None,
        then: str | None = None,
        spent: Mapping[str, float] = NOTHING,
    ) -> None:
        """Begin; the attempt's one AttemptEnded comes out of `wait`, whatever goes wrong. Its
        worker holds `lease_fd` open meanwhile, so that the lease outlives the runner. `then` is the
        task that will probably follow in this slot, and may be prepared for. `spent` is what
        earlier attempts used of the task's budget.
        """
        ...

    def rest(self, task: str) -> None:
        """A probe of the attempt has ended, and its slot is another's until the next begins."""
        ...

    def probe(self, task: str) -> None:
        """Begin the next probe of the attempt; its one Probe comes out of `wait`, or its end."""
        ...

    def conclude(self, task: str, cause: Cause, detail: str) -> None:
        """The attempt had its last probe: it ends as a failure for this cause, or well."""
        ...

    def kill(self, task: str, cause: Cause, *, force: bool, detail: str = "") -> None:
        """End the attempt for this cause; `force` skips the grace period."""
        ...

    def wait(
        self, timeout_s: float | None, wakeup_fd: int | None, output_fd: int | None = None
    ) -> Sequence[AttemptEnded | Spent | Told | Placed]:
        """Attempts that ended, and what others have come to, spent or found so far; empty when the
        time is up, `wakeup_fd` became readable or `output_fd` writable.
        """
        ...

    def end_phase(self, phase: str) -> Sequence[Told]:
        """End what ran beside the tasks of a phase that is over; what is to be recorded of that."""
        ...

    def close(self) -> None:
        """End every worker."""
        ...


class Engine:
    """One run, from its first order to its last; ticks at least every `poll_interval_s`."""

    def __init__(
        self,
        scheduler: Scheduler,
        executor: Executor,
        recorder: Recorder,
        *,
        write_not_run: Callable[[TaskNotRun], str],
        read_outputs: Callable[[AttemptEnded], OutputsRead],
        extending: Callable[[str], Extended | NotExtended],
        inbox: Inbox,
        leases: Leases,
        output_fd: Callable[[], int | None],
        poll_interval_s: float,
        sampler: Sampler | None = None,
        phase_began: float | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._executor = executor
        self._recorder = recorder
        self._write_not_run = write_not_run
        self._read_outputs = read_outputs
        self._extending = extending
        self._inbox = inbox
        self._leases = leases
        self._output_fd = output_fd
        self._poll_interval_s = poll_interval_s
        self._sampler = sampler
        self._gate = gate
        self._looked = 0.0
        self._slots: list[int] = []
        self._slot_of: dict[str, int] = {}
        # Of a run that is taken up again the phase may have begun before.
        self._phase_started = time.monotonic() if phase_began is None else phase_began
        self._interrupts = 0
        self._exit_code: int | None = None

    def run(self, orders: list[Order]) -> int:
        """From the first orders until the scheduler orders the end; the exit code it names."""
        self._carry_out(orders)
        wake_at = self._scheduler.wake_at()
        while self._exit_code is None:
            self._recorder.commit()
            patience_s = self._patience(wake_at)
            ended = self._executor.wait(patience_s, self._inbox.fileno(), self._output_fd())
            for event in ended:
                if isinstance(event, Spent):
                    self._carry_out(self._scheduler.handle(event, time.monotonic()))
                    continue
                if not isinstance(event, AttemptEnded | Probe):
                    # What decides is the end of the attempt, which says it, too.
                    self._record(event)
                    continue
                if isinstance(event, AttemptEnded):
                    self._free_slot(event.task)
                self._happened(event)
            if self._executor.woken or self._inbox.kept:
                self._take_news()
            now = time.monotonic()
            if self._gate is not None and now >= self._looked + self._poll_interval_s:
                self._take_answers(self._gate)  # who could not tell of one has handed it in
            self._leases.expire(now)
            wake_at = self._scheduler.wake_at()
            if wake_at is not None and wake_at <= now:
                self._carry_out(self._scheduler.handle(Tick(), now))
                wake_at = self._scheduler.wake_at()
            load = self._sampler.sample(now) if self._sampler is not None else None
            if load is not None:
                self._carry_out(self._scheduler.handle(load, now))
                wake_at = self._scheduler.wake_at()
            self._recorder.tick(now)
        return self._exit_code

    def _record(self, event: Event) -> float:
        if self._gate is not None:
            self._gate.take(event, timestamp(time.time()))
        return self._recorder.record(event)

    def _happened(
        self, event: AttemptEnded | Probe | Interrupted | CancelRequested | ExecutorDrained
    ) -> None:
        # The scheduler goes by the very moment in the journal, so that a replay decides the same.
        moment = self._record(event)
        if isinstance(event, AttemptEnded) and self._scheduler.asks_for_outputs(event):
            self._scheduler.take_outputs(self._read_outputs(event))
        self._carry_out(self._scheduler.handle(event, moment))

    def _take_news(self) -> None:
        for news in self._inbox.read():
            if isinstance(news, int):
                self._interrupt(news)
            else:
                self._obey(news)

    def _interrupt(self, number: int) -> None:
        self._interrupts += 1
        self._happened(Interrupted(number, self._interrupts))

    def _obey(self, order: str) -> None:
        """`cancel` or `cancel TASK`, as `zf cancel` writes it, behind `for WHO` where the server
        was asked for it; `drain EXECUTOR`, as `zf workers drain` does; `supersede TASK RUN`, as a
        newer run does; `answers`, when an approval was answered. Anything else means nothing.
        """
        words = order.split(" ")
        asked_by = {}
        if words[0] == FOR and len(words) > 2:
            from zf.trigger import of_word  # noqa: PLC0415 - few runs are a server's

            asked_by, words = of_word(words[1]), words[2:]
        match words:
            case ["cancel"]:
                self._record(CancelRequested(None, asked_by=asked_by))
                self._interrupt(signal.SIGTERM)
            case ["cancel", task]:
                self._happened(CancelRequested(task, asked_by=asked_by))
            case ["answers"] if self._gate is not None:
                self._take_answers(self._gate)
            case ["drain", executor] if executor in self._scheduler.executors:
                self._happened(ExecutorDrained(executor))
            case ["supersede", task, run] if is_valid_id(run):
                self._happened(CancelRequested(task, by=f"run {run}"))

    def _patience(self, wake_at: float | None) -> float:
        """How long to wait at most for what may come; the scheduler is to be woken at `wake_at`."""
        if self._inbox.kept:
            return 0.0
        if wake_at is None and self._sampler is None:
            return self._poll_interval_s
        now = time.monotonic()
        wanted = [now + self._poll_interval_s]
        if wake_at is not None:
            wanted.append(wake_at)
        if self._sampler is not None:
            wanted.append(self._sampler.due_at())
        return max(0.0, min(wanted) - now)

    def _carry_out(self, orders: list[Order]) -> None:
        starts, claims = [], False
        waiting, last = deque(orders), deque[Extend | AskApproval]()
        while waiting or last:
            match order := waiting.popleft() if waiting else last.popleft():
                case StartAttempt(task, attempt, spent):
                    slot = self._take_slot(task)
                    self._record(AttemptStarted(task, attempt, slot))
                    starts.append((task, attempt, slot, spent))
                case AskLease():
                    waiting.extend(self._ask_lease(order))
                case Extend() | AskApproval() if waiting:
                    last.append(order)  # no lease may be asked for that has no answer yet
                case AskApproval():
                    waiting.extend(self._ask(order))
                case Extend(base):
                    waiting.extend(self._extend(base))
                case ReleaseLease(task):
                    self._leases.release(task)
                case KillAttempt(task, _, cause, force, detail):
                    self._executor.kill(task, cause, force=force, detail=detail)
                case RestAttempt() | StartProbe() | ConcludeAttempt():
                    self._attend(order)
                case NotRun():
                    self._not_run(order)
                case StartPhase(phase, timeout_s):
                    self._phase_started = time.monotonic()
                    self._record(PhaseStarted(phase, timeout_s))
                case TimeOutPhase(phase, timeout_s):
                    self._record(PhaseTimedOut(phase, timeout_s))
                case EndPhase(phase, ok):
                    for told in self._executor.end_phase(phase):
                        self._recorder.record(told)
                    took = time.monotonic() - self._phase_started
                    self._record(PhaseEnded(phase, ok, round(took, 6)))
                case Record(event):
                    self._record(event)
                    claims |= isinstance(event, HandlerClaimed)
                case Suspend(waits):
                    self._record(RunSuspended(waits))
                    self._exit_code = Exit.WAITING
                case EndRun(exit_code):
                    self._exit_code = exit_code
        if starts:
            # Written before a worker is told: what runs is always in the journal. Made durable
            # only after, in `run`, so that the disk works while the tasks do.
            if claims:  # a handler never runs again, even after a power cut
                self._recorder.commit()
            self._recorder.flush()
            for task, attempt, slot, spent in starts:
                then = self._scheduler.guess_next(task)
                self._executor.start(task, attempt, slot, self._leases.fd(task), then, spent)

    def _attend(self, order: RestAttempt | StartProbe | ConcludeAttempt) -> None:
        """Carry out what a monitor is to do next."""
        match order:
            case RestAttempt(task):
                self._free_slot(task)
                self._executor.rest(task)
            case StartProbe(task):
                self._take_slot(task)
                self._executor.probe(task)
            case ConcludeAttempt(task, _, cause, detail):
                self._executor.conclude(task, cause, detail)

    def _ask_lease(self, order: AskLease) -> list[Order]:
        task, group, wants, now = order.task, order.concurrency, order.cancels, time.monotonic()
        newer = "" if order.protected else self._leases.newer(task, group, wants=wants)
        owner = None if newer else self._leases.take(task, group, now, wants=wants)
        return self._scheduler.handle(LeaseAnswered(task, owner, newer), now)

    def _extend(self, base: str) -> list[Order]:
        if not self._scheduler.is_to_extend(base):
            return []  # what came of another has ended it meanwhile
        answer, now = self._extending(base), time.monotonic()
        if isinstance(answer, Extended):
            now = self._record(answer.event)
            # It outlasts a crash before there is a tree that nothing else explains.
            self._recorder.commit()
        return self._scheduler.handle(answer, now)

    def _ask(self, order: AskApproval) -> list[Order]:
        gate = self._gate
        if gate is None or not self._scheduler.is_to_ask(order):
            return []  # what came of another has ended the task meanwhile
        answer, now = gate.ask(order), time.monotonic()
        if isinstance(answer, ApprovalAsked):
            now = self._record(answer)
        return self._scheduler.handle(answer, now)

    def _take_answers(self, gate: Gate) -> None:
        """Read what was answered. It is forgotten once the journal has it for good."""
        self._looked = time.monotonic()
        read = []
        for event, path in gate.look():
            read.append(path)
            if event is not None:
                moment = self._record(event)
                self._carry_out(self._scheduler.handle(event, moment))
        if read:
            self._recorder.commit()
            gate.forget(read)

    def _not_run(self, order: NotRun) -> None:
        now, end = timestamp(time.time()), (order.status, order.cause, order.detail, order.needs)
        event = TaskNotRun(order.task, *end, now, task_sha256="", warned=order.warned)
        event = replace(event, task_sha256=self._write_not_run(event))
        self._record(event)

    def _take_slot(self, task: str) -> int:
        # With none free, every slot there has been is in use.
        slot = heappop(self._slots) if self._slots else len(self._slot_of)
        self._slot_of[task] = slot
        return slot

    def _free_slot(self, task: str) -> None:
        slot = self._slot_of.pop(task, None)
        if slot is not None:  # a monitor that rests has none
            heappush(self._slots, slot)
