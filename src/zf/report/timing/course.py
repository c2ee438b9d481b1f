"""The course of a run: every attempt on its slot, what each start had waited for last, and the
waits that took no slot. Pure: plan, limits and the journal's lines in.

Times are seconds since the first line, on a clock that stands still while no runner is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import tee
from typing import Any, Literal

from zf.events import (
    AttemptEnded,
    AttemptStarted,
    Cause,
    Event,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    RunResumed,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.lean.records import Struct, field
from zf.report.timing.clock import Written, elapsed_s, idle_s
from zf.report.timing.shortage import Lack, Shortage

# The last thing that an attempt waited for.
Why = (
    Literal["begin", "phase", "need", "retry", "resume", "start_after", "lease", "throttle"] | Lack
)


# No run has so many slots, attempts or seconds of delay.
_MOST = 1e9
# With more slots than attempts, slots are numbered anew.
_MOST_SLOTS = 1024


class Attempt(Struct):
    """One attempt; `word` is the status it ended with, `running` if it did not.

    `ready_s` is when nothing but the others kept it from starting. `why` is the last thing it
    waited for, `name` the resource or group of that, `after` the attempt whose end brought it, by
    its number in the course.
    """

    task: str
    number: int
    slot: int
    start_s: float
    end_s: float
    ready_s: float
    why: Why
    name: str
    after: int | None
    word: str = "running"
    cause: Cause = Cause.NONE
    detail: str = ""
    warned: bool = False
    # The moment that its worker has for it, in UTC; empty where that was not told.
    began_at: str = ""

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class Wait(Struct, frozen=True):
    """A time in which a task could have gone on but for `why`; `name` is the resource, the group,
    what kept the machine busy, or the run that had the lease.
    """

    task: str
    why: Why
    name: str
    start_s: float
    end_s: float


class Pause(Struct, frozen=True):
    """No runner was there at `at_s`, for `idle_s`: the run's own clock stood still."""

    at_s: float
    idle_s: float


class Band(Struct, frozen=True):
    """A phase, or a time in which the machine was too busy, as `name` says."""

    name: str
    start_s: float
    end_s: float


class Course(Struct):
    """All that happened in time; `attempts` in order of their start. `ended` says whether the run
    was over.
    """

    attempts: list[Attempt] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    phases: list[Band] = field(default_factory=list)
    throttled: list[Band] = field(default_factory=list)
    slots: int = 0
    length_s: float = 0.0
    ended: bool = False

    def critical(self) -> list[int]:
        """The chain that decided when the run was over, in order: the attempt that ended last, the
        one whose end had let it start, and so on back to the beginning.
        """
        ends = [(attempt.end_s, index) for index, attempt in enumerate(self.attempts)]
        index = max(ends)[1] if ends else None
        chain: list[int] = []
        while index is not None:
            chain.append(index)
            index = self.attempts[index].after
        return chain[::-1]


def of_run(
    plan: Mapping[str, Any], limits: Mapping[str, Any] | None, lines: Iterable[Written]
) -> Course:
    """The course of the run with this plan.json, these `limits` of its run.json, and this journal.

    Events about tasks that are not in the plan are left out. Raises ValueError for a plan that
    lacks something.
    """
    try:
        fold = _Fold(plan, limits or {})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a zf plan: {error!r}") from error
    written, times, idles = tee(lines, 3)
    for line, at, idle in zip(written, elapsed_s(times), idle_s(idles), strict=True):
        fold.apply(line, at, idle)
    return fold.finish()


# What is counted with, or shown, of an event; a journal from elsewhere may hold anything.
_NUMBERS = ("attempt", "slot", "delay_s", "waited_s")
_TEXTS = ("task", "phase", "owner", "concurrency", "reason", "detail", "started_at")


def _is_sound(event: Event) -> bool:
    numbers = (getattr(event, name, 0) for name in _NUMBERS)
    texts = (getattr(event, name, None) for name in _TEXTS)
    return all(isinstance(n, int | float) and 0 <= n < _MOST for n in numbers) and all(
        text is None or isinstance(text, str) for text in texts
    )


class _Reason(Struct, frozen=True):
    """Something that an attempt had to wait for until `at_s`."""

    at_s: float
    why: Why
    after: int | None = None
    name: str = ""


class _Lease(Struct):
    owner: str
    since_s: float
    until_s: float | None = None


class _Fold:
    """Reads the lines one after the other; `now` is the time of the one being read."""

    def __init__(self, plan: Mapping[str, Any], limits: Mapping[str, Any]) -> None:
        self.course = Course()
        self.now = 0.0
        self._tasks = {row["id"]: row for row in plan["tasks"]}
        self._needs = {
            name: [need["task"] for need in row["needs"]] for name, row in self._tasks.items()
        }
        self._short = Shortage(plan["tasks"], limits.get("max_jobs"), limits.get("resources") or {})
        self._max_jobs: dict[str, int | None] = {
            row["name"]: min(row["max_jobs"], most) if most and "max_jobs" in row else most
            for most in (limits.get("max_jobs"),)
            for row in plan["phases"]
        }
        self._open: dict[str, int] = {}
        self._abandoned: dict[str, int] = {}
        self._over: dict[str, _Reason] = {}
        self._again: dict[str, _Reason] = {}
        self._leases: dict[str, _Lease] = {}
        self._phase = _Reason(0.0, "begin")
        self._latest: int | None = None
        self._throttle: Band | None = None

    def apply(self, line: Written, at: float, idle: float) -> None:
        event, self.now = line.event, at
        task = getattr(event, "task", None)
        if not _is_sound(event) or (task is not None and task not in self._tasks):
            return
        match event:
            case AttemptStarted():
                self._started(event)
            case AttemptEnded():
                self._ended(event)
            case TaskNotRun():
                self._over[event.task] = _Reason(at, "need", self._last_need(event.task).after)
            case RetryScheduled() | RetryDropped():
                self._retry(event)
            case LeaseAwaited() | LeaseTaken():
                self._lease(event)
            case ThrottleEntered() | ThrottleLeft():
                self._throttled(event)
            case PhaseStarted() | PhaseEnded():
                self._bound(event)
            case RunResumed():
                self._resumed(idle)
            case RunEnded():
                self.course.ended = True
            case _:
                pass

    def finish(self) -> Course:
        """What is still open goes on up to the last line."""
        course = self.course
        course.length_s = self.now
        if course.slots > _MOST_SLOTS:
            of = {slot: new for new, slot in enumerate(sorted({a.slot for a in course.attempts}))}
            for attempt in course.attempts:
                attempt.slot = of[attempt.slot]
            course.slots = len(of)
        for index in self._open.values():
            course.attempts[index].end_s = self.now
        for task, lease in self._leases.items():
            if lease.until_s is None:
                self._wait(task, _Reason(self.now, "lease", name=lease.owner), lease.since_s)
        for task, reason in self._again.items():
            end = course.attempts[reason.after].end_s if reason.after is not None else self.now
            self._wait(task, _Reason(min(reason.at_s, self.now), reason.why), end)
        if self._throttle is not None:
            self._throttled(None)
        if course.phases:
            last = course.phases[-1]
            if last.end_s < last.start_s:
                course.phases[-1] = Band(last.name, last.start_s, self.now)
        return course

    def _started(self, event: AttemptStarted) -> None:
        ready = self._ready(event.task)
        ready_s = min(ready.at_s, self.now)
        last = self._last_wait(event.task, ready, ready_s)
        index = len(self.course.attempts)
        self.course.attempts.append(
            Attempt(
                task=event.task,
                number=event.attempt,
                slot=event.slot,
                start_s=self.now,
                end_s=self.now,
                ready_s=ready_s,
                why=last.why,
                name=last.name,
                after=last.after,
            )
        )
        self.course.slots = max(self.course.slots, event.slot + 1)
        self._open[event.task] = index
        self._short.take(event.task, self.now)

    def _ready(self, name: str) -> _Reason:
        """What it waited for before it stood in line."""
        again = self._again.pop(name, None)
        if again is not None:
            if again.after is not None:
                end_s = self.course.attempts[again.after].end_s
                until = _Reason(min(again.at_s, self.now), again.why)
                self._wait(name, until, end_s)
            return again
        need = self._last_need(name)
        ready = need if need.at_s > self._phase.at_s else self._phase
        start_after = self._tasks[name].get("start_after_s") or 0.0
        if start_after > ready.at_s:
            return _Reason(start_after, "start_after", ready.after)
        return ready

    def _last_need(self, name: str) -> _Reason:
        over = [self._over[need] for need in self._needs[name] if need in self._over]
        return max(over, key=lambda reason: reason.at_s, default=_Reason(-1.0, "need"))

    def _last_wait(self, name: str, ready: _Reason, ready_s: float) -> _Reason:
        """What it waited for last, in line or before. Told besides, where no slot was used for it:
        the waits for what the run itself was short of, for leases, and for the machine.
        """
        reasons = [ready]
        freed = self._short.freed(name, ready_s)
        if freed is not None:
            reasons.append(_Reason(freed.at_s, freed.why, freed.attempt, freed.name))
        lease = self._leases.pop(name, None)
        if lease is not None and lease.until_s is not None and lease.until_s > lease.since_s:
            taken = _Reason(lease.until_s, "lease", ready.after, lease.owner)
            reasons.append(taken)
            self._wait(name, taken, lease.since_s)
        throttled = self.course.throttled[-1] if self.course.throttled else None
        if throttled is not None and throttled.end_s > ready_s:
            reasons.append(_Reason(throttled.end_s, "throttle", ready.after, throttled.name))
        last = max(reasons, key=lambda reason: reason.at_s)
        if last.why == "throttle" and throttled is not None:
            self._wait(name, last, max(ready_s, throttled.start_s))
        elif freed is not None and last.after == freed.attempt and last.why != "slot":
            self._wait(name, last, self._short.since(name, freed, ready_s))
        return last

    def _wait(self, task: str, until: _Reason, since_s: float) -> None:
        if until.at_s > since_s:
            self.course.waits.append(Wait(task, until.why, until.name, since_s, until.at_s))

    def _ended(self, event: AttemptEnded) -> None:
        index = self._open.get(event.task)
        if index is not None:
            self._close(event.task)
        else:
            index = self._abandoned.pop(event.task, None)
        if index is None:
            return
        attempt = self.course.attempts[index]
        attempt.word, attempt.warned = event.status.value, event.warned
        attempt.cause, attempt.detail = event.cause, event.detail
        attempt.began_at = event.started_at
        self._over[event.task] = _Reason(attempt.end_s, "need", index)
        if event.cause is Cause.RUNNER:
            self._again[event.task] = _Reason(self.now, "resume", index)

    def _close(self, task: str) -> None:
        index = self._open.pop(task)
        self.course.attempts[index].end_s = self.now
        self._short.give_back(task, index, self.now)
        self._latest = index

    def _retry(self, event: RetryScheduled | RetryDropped) -> None:
        over = self._over.get(event.task)
        if isinstance(event, RetryDropped) or over is None:
            self._again.pop(event.task, None)
        else:
            at_s = self.now + event.delay_s
            self._again[event.task] = _Reason(at_s, "retry", over.after)

    def _lease(self, event: LeaseAwaited | LeaseTaken) -> None:
        lease = self._leases.setdefault(event.task, _Lease("", self.now))
        if isinstance(event, LeaseAwaited):
            lease.owner = event.owner
        else:
            lease.owner = lease.owner or event.concurrency
            lease.since_s, lease.until_s = self.now - event.waited_s, self.now

    def _throttled(self, event: ThrottleEntered | ThrottleLeft | None) -> None:
        if isinstance(event, ThrottleEntered):
            self._throttle = Band(event.reason, self.now, self.now)
        elif self._throttle is not None:
            band, self._throttle = self._throttle, None
            self.course.throttled.append(Band(band.name, band.start_s, self.now))

    def _bound(self, event: PhaseStarted | PhaseEnded) -> None:
        if isinstance(event, PhaseStarted):
            why: Why = "begin" if self._latest is None else "phase"
            self._phase = _Reason(self.now, why, self._latest)
            self._short.max_jobs = self._max_jobs.get(event.phase, self._short.max_jobs)
            # One that ends before it begins has not ended.
            self.course.phases.append(Band(event.phase, self.now, -1.0))
        elif self.course.phases:
            last = self.course.phases[-1]
            self.course.phases[-1] = Band(last.name, last.start_s, self.now)

    def _resumed(self, idle: float) -> None:
        """What ran is gone; what became of it is said by the lines that follow."""
        self.course.pauses.append(Pause(self.now, idle))
        for task in list(self._open):
            index = self._open[task]
            self._close(task)
            self.course.attempts[index].word = "lost"
            self._abandoned[task] = index
        if self._throttle is not None:
            self._throttled(None)
