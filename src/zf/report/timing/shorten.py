"""What would have made a run shorter: the run gone through again with one task at half its time.
Pure.

A list schedule by the scheduler's rules: needs, phases, slots, resources, groups, tasks that run
alone; the order of tasks in line is the order in which they started. Waits for what the run did
not have in hand (a retry's delay, another run's lease, a busy machine) take as long as they took.
What only the real machine knows, such as that tasks which share a disk slow each other, is not in
it, so its numbers are said as "about".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from zf.lean.records import Struct, replace
from zf.report.timing.course import Course
from zf.report.timing.shortage import Claim, claim_of, places

# How many attempts all the trials together may go through: about a fifth of a second.
_MOST_STEPS = 25_000
# Below these a shorter task makes no difference that anyone would look for.
_LEAST_S, _LEAST_SHARE = 0.1, 0.01
_BEST = 3
_OUTSIDE = ("lease", "throttle")


class Help(Struct, frozen=True):
    """Halving the time of this task makes the run shorter by so much."""

    task: str
    duration_s: float
    saved_s: float


class Advice(Struct, frozen=True):
    """The tasks whose shortening shortens the run most, at most three, the best first, each by
    `least_s` or more. `left_out` says that not all that could be among them were tried; `slots` are
    twice those of the run, and `slots_saved_s` what they would have brought.
    """

    best: tuple[Help, ...]
    least_s: float
    left_out: bool
    slots: int
    slots_saved_s: float


def what_helps(plan: Mapping[str, Any], limits: Mapping[str, Any], course: Course) -> Advice:
    """Tries the tasks that took longest, on the critical path first, until no other can do more."""
    again = Again(plan, limits, course)
    whole = again.length_s(None)
    least = max(_LEAST_S, _LEAST_SHARE * whole)
    critical = {course.attempts[index].task for index in course.critical()}
    longest = sorted(again.spent, key=lambda t: (t not in critical, -again.spent[t], t))
    most = max(5, _MOST_STEPS // max(1, len(again.jobs)))
    best: list[Help] = []
    left_out = False
    tried = 0
    for task in longest:
        # Half of its time is all that it can bring, but for luck with the order of others.
        enough = best[-1].saved_s if len(best) == _BEST else least
        if again.spent[task] / 2 < max(enough, least):
            continue
        if tried == most:
            left_out = True
            break
        tried += 1
        saved = whole - again.length_s(task)
        if saved >= least:
            best.append(Help(task, again.spent[task], saved))
            best = sorted(best, key=lambda one: (-one.saved_s, one.task))[:_BEST]
    slots = 2 * again.slots
    saved = whole - again.length_s(None, slots)
    return Advice(tuple(best), least, left_out, slots, saved if saved >= least else 0.0)


class _Job(Struct, frozen=True):
    """One attempt: how long it took, and how long after its task was ready, or its last attempt
    over, it could have stood in line.
    """

    task: str
    duration_s: float
    delay_s: float
    not_before_s: float
    claim: Claim
    alone: bool
    then: int | None = None


class Again:
    """The run, to be gone through as often as wanted. `jobs` are in the order of their start."""

    def __init__(self, plan: Mapping[str, Any], limits: Mapping[str, Any], course: Course) -> None:
        rows = {row["id"]: row for row in plan["tasks"]}
        self._free: dict[str, int] = {**(limits.get("resources") or {}), **places(plan["tasks"])}
        self.jobs = _jobs(rows, course, self._free)
        self.spent: dict[str, float] = defaultdict(float)
        self._first: dict[str, int] = {}
        for index, job in enumerate(self.jobs):
            self.spent[job.task] += job.duration_s
            self._first.setdefault(job.task, index)
        self.slots: int = limits.get("max_jobs") or course.slots
        phases: dict[str, list[str]] = {row["name"]: [] for row in plan["phases"]}
        for task in self._first:
            phases.setdefault(rows[task]["phase"], []).append(task)
        most = {row["name"]: row["max_jobs"] for row in plan["phases"] if "max_jobs" in row}
        self._phases = [(tasks, most.get(name, len(tasks))) for name, tasks in phases.items()]
        self._needs = _needs_within(rows, self._first)
        self._below: dict[str, list[str]] = defaultdict(list)
        for task, needs in self._needs.items():
            for need in needs:
                self._below[need].append(task)

    def length_s(self, halved: str | None, slots: int | None = None) -> float:
        """How long the run takes when this task takes half its time, or with so many slots."""
        now = 0.0
        for tasks, most in self._phases:
            line = _Line(self.jobs, min(slots or self.slots, max(1, most)), self._free)
            now = self._phase(tasks, line, halved, now)
        return now

    def _phase(self, tasks: Sequence[str], line: _Line, halved: str | None, now: float) -> float:
        """From the moment a phase begins to the one when it is over."""
        missing = {task: len(self._needs[task]) for task in tasks}
        # Ends come before arrivals of the same moment: what they free is there for them.
        events = [self._arrival(self._first[t], now) for t in tasks if not missing[t]]
        heapify(events)
        while events:
            now = events[0][0]
            while events and events[0][0] == now:
                _, arrives, index = heappop(events)
                job = self.jobs[index]
                if arrives:
                    heappush(line.ready, index)
                    continue
                line.release(job)
                if job.then is not None:
                    heappush(events, self._arrival(job.then, now))
                    continue
                for task in self._below.get(job.task, ()):
                    missing[task] -= 1
                    if not missing[task]:
                        heappush(events, self._arrival(self._first[task], now))
            for index in line.starts():
                job = self.jobs[index]
                share = 0.5 if job.task == halved else 1.0
                heappush(events, (now + share * job.duration_s, False, index))
        return now

    def _arrival(self, index: int, now: float) -> tuple[float, bool, int]:
        job = self.jobs[index]
        return max(now + job.delay_s, job.not_before_s), True, index


class _Line:
    """The attempts that could start, in order, and what they would need for it."""

    def __init__(self, jobs: Sequence[_Job], slots: int, free: Mapping[str, int]) -> None:
        self.ready: list[int] = []
        self._jobs = jobs
        self._slots = slots
        self._free = dict(free)
        self._aside: dict[str, list[int]] = {}
        self._running = 0
        self._exclusive = False

    def starts(self) -> Iterator[int]:
        """Those that start now."""
        while self.ready and self._running < self._slots and not self._exclusive:
            job = self._jobs[self.ready[0]]
            lacking = next((n for n, amount in job.claim if self._lacks(n, amount)), None)
            if lacking is not None:
                # It steps aside, and so does what wants the same after it.
                self._aside.setdefault(lacking, []).append(heappop(self.ready))
                continue
            if job.alone and self._running:
                return
            for name, amount in job.claim:
                self._free[name] = self._free.get(name, 1) - amount
            self._running += 1
            self._exclusive = job.alone
            yield heappop(self.ready)

    def _lacks(self, name: str, amount: int) -> bool:
        return name in self._aside or self._free.get(name, 1) < amount

    def release(self, job: _Job) -> None:
        """The attempt has ended."""
        self._running -= 1
        self._exclusive = False
        for name, amount in job.claim:
            self._free[name] += amount
            for index in self._aside.pop(name, ()):
                heappush(self.ready, index)


def _jobs(
    rows: Mapping[str, Mapping[str, Any]], course: Course, free: Mapping[str, int]
) -> list[_Job]:
    jobs: list[_Job] = []
    latest: dict[str, int] = {}
    for index, attempt in enumerate(course.attempts):
        row = rows[attempt.task]
        # Nothing ran that asked for more than there was; a foreign plan may say so all the same.
        claim = tuple((n, min(amount, free.get(n, amount))) for n, amount in claim_of(row))
        outside_s = attempt.start_s - attempt.ready_s if attempt.why in _OUTSIDE else 0.0
        before = latest.get(attempt.task)
        if before is not None:
            outside_s += max(0.0, attempt.ready_s - course.attempts[before].end_s)
            jobs[before] = replace(jobs[before], then=index)
        jobs.append(
            _Job(
                task=attempt.task,
                duration_s=attempt.duration_s,
                delay_s=outside_s,
                not_before_s=row.get("start_after_s") or 0.0,
                claim=claim,
                alone=not row["parallel_safe"],
            )
        )
        latest[attempt.task] = index
    return jobs


def _needs_within(
    rows: Mapping[str, Mapping[str, Any]], ran: Collection[str]
) -> dict[str, set[str]]:
    """For each task that ran, the tasks of its phase that ran and that it needs, also through
    others that were not run.
    """
    found: dict[str, set[str]] = {}
    for name, row in rows.items():  # in plan order: needs come first
        needs: set[str] = set()
        for need in (one["task"] for one in row["needs"]):
            if need in ran:
                needs |= {need} if rows[need]["phase"] == row["phase"] else set()
            else:
                needs |= found.get(need, set())
        found[name] = needs
    return {
        name: {n for n in needs if rows[n]["phase"] == rows[name]["phase"]}
        for name, needs in found.items()
        if name in ran
    }
