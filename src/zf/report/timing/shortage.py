"""What tasks that could start were short of, seen from what ran: slots, resources, groups, and
tasks that run alone. Pure.

By the scheduler's rules: a task in line starts as soon as it lacks nothing, so one that was ready
and started later was short of what was given back just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from zf.lean.records import Struct

Lack = Literal["slot", "alone", "resource", "concurrency", "matrix"]
Claim = tuple[tuple[str, int], ...]

# What is short again sooner than this was never free: the runner gives it to the next in one turn.
_ONE_TURN_S = 0.05
_GROUP = "concurrency "
_MATRIX = "matrix "


class Freed(Struct, frozen=True):
    """Something was given back at `at_s` by the attempt with this number in the course."""

    why: Lack
    name: str
    at_s: float
    attempt: int


class Short(Struct):
    """The last time in which a claim could not be met; `until_s` is None while it cannot."""

    name: str
    since_s: float
    until_s: float | None = None


class _Given(Struct, frozen=True):
    """What was free before it was given back, when that was, and by which attempt."""

    before: int
    at_s: float
    attempt: int


def places(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many instances of each matrix run at once, where that is limited."""
    # A task that never came to have instances is no place for any.
    limited = (row for row in rows if row.get("max_parallel") and "base" in row)
    return {_MATRIX + row["base"]: row["max_parallel"] for row in limited}


def claim_of(row: Mapping[str, Any]) -> Claim:
    """What a task of plan.json takes while it runs: its resources, and the place of its group."""
    claim = {name: amount for name, amount in (row.get("resources") or {}).items() if amount}
    if row.get("concurrency"):
        claim[_GROUP + row["concurrency"]] = 1
    if row.get("max_parallel") and "base" in row:
        claim[_MATRIX + row["base"]] = 1
    return tuple(sorted(claim.items()))


class Shortage:
    """Follows what running tasks hold. `max_jobs` is how many may run, None if not known."""

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        max_jobs: int | None,
        resources: Mapping[str, int],
    ) -> None:
        self.max_jobs = max_jobs
        self._claims = {row["id"]: claim_of(row) for row in rows}
        self._alone = {row["id"] for row in rows if not row["parallel_safe"]}
        self._free = {**resources, **places(rows)}
        self._users: dict[str, set[Claim]] = {}
        for claim in set(self._claims.values()):
            for name, _ in claim:
                self._users.setdefault(name, set()).add(claim)
        self._running: dict[str, float] = {}
        self._given: dict[str, _Given] = {}
        self._slot: _Given | None = None
        self._last: _Given | None = None
        self._exclusive: tuple[_Given, float] | None = None
        self._short: dict[Claim, Short] = {}

    def take(self, task: str, now: float) -> None:
        """The task starts."""
        self._running[task] = now
        for name, amount in self._claims[task]:
            self._free[name] = self._free.get(name, 1) - amount
        self._look_at(task, now)

    def give_back(self, task: str, attempt: int, now: float) -> None:
        """The attempt of the task with this number in the course has ended."""
        running = len(self._running)
        began = self._running.pop(task)
        given = _Given(running, now, attempt)
        if self.max_jobs is not None and running >= self.max_jobs:
            self._slot = given
        if task in self._alone:
            self._exclusive = given, began
        self._last = given
        for name, amount in self._claims[task]:
            self._given[name] = _Given(self._free[name], now, attempt)
            self._free[name] += amount
        self._look_at(task, now)

    def freed(self, task: str, ready: float) -> Freed | None:
        """What this task, which starts now and was ready then, waited for last."""
        found: list[Freed] = []
        for name, amount in self._claims[task]:
            given = self._given.get(name)
            if given is not None and given.before < amount:
                found.append(_freed(name, given))
        if task in self._alone and self._last is not None:
            found.append(Freed("alone", "", self._last.at_s, self._last.attempt))
        if self._exclusive is not None:
            given, _ = self._exclusive
            found.append(Freed("alone", "", given.at_s, given.attempt))
        if self._slot is not None:
            found.append(Freed("slot", "", self._slot.at_s, self._slot.attempt))
        late = [freed for freed in found if freed.at_s > ready]
        # Of several at one moment the first, which is the most particular.
        return max(late, key=lambda freed: freed.at_s, default=None)

    def since(self, task: str, freed: Freed, ready: float) -> float:
        """From when on it was short of what was then given back."""
        if freed.why == "alone" and task not in self._alone and self._exclusive is not None:
            return max(ready, self._exclusive[1])
        short = self._short.get(self._claims[task])
        if freed.why in {"resource", "concurrency", "matrix"} and short is not None:
            return max(ready, short.since_s)
        return ready

    def _look_at(self, task: str, now: float) -> None:
        """Which claims cannot be met any more, or can be again, since this task came or went."""
        claims = {claim for name, _ in self._claims[task] for claim in self._users[name]}
        for claim in claims:
            lacking = next((n for n, amount in claim if self._free.get(n, 1) < amount), None)
            short = self._short.get(claim)
            if lacking is None:
                if short is not None and short.until_s is None:
                    short.until_s = now
            elif short is None or _is_over(short, now):
                self._short[claim] = Short(lacking, now)
            else:
                short.until_s = None


def _is_over(short: Short, now: float) -> bool:
    return short.until_s is not None and now - short.until_s > _ONE_TURN_S


def _freed(name: str, given: _Given) -> Freed:
    if name.startswith(_GROUP):
        return Freed("concurrency", name.removeprefix(_GROUP), given.at_s, given.attempt)
    if name.startswith(_MATRIX):
        return Freed("matrix", name.removeprefix(_MATRIX), given.at_s, given.attempt)
    return Freed("resource", name, given.at_s, given.attempt)
