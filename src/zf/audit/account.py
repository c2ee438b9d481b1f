"""What a journal says of a run: one pass over its lines, task by task, clocks and contradictions.

Pure, and deliberately not the fold that reports use: it trusts no value's type and keeps every
contradiction, because the lines may come from anywhere. Speed matters: millions of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from zf.audit.papers.services import ENDED, STARTED, ServiceAccount
from zf.events import TYPES, Status
from zf.lean.records import Struct, field

_WALL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_STATUSES = frozenset(Status)
_ENDS = frozenset({"attempt_ended", "task_not_run"})
# A journal that contradicts itself everywhere needs no longer list than this to be refused.
_MAX_PROBLEMS = 100
_OF_SERVICES = frozenset({STARTED, ENDED})
_OF_HANDLERS = frozenset({"handler_claimed", "handler_ended"})
_LOOKED_UP = frozenset({"cached", "cache_missed"})
_AT_GATE = frozenset({"approval_asked", "approval_given", "approval_refused", "run_suspended"})
# Events that say once more what the plan says.
_OF_THE_PLAN = frozenset(
    {
        *("run_started", "run_resumed", "phase_started", "phase_timed_out", "phase_ended"),
        *("lease_awaited", "lease_taken", "retry_scheduled"),
    }
)
# Thirty thousand years; also keeps infinities and numbers no float can hold out of the sums.
_MAX_MONO_S = 1e12


class TaskAccount(Struct):
    """The events of one task: the attempts that began and ended, and the one that settled it."""

    began: int = 0
    open: bool = False
    looked_up: bool = False
    # How many probes the attempt had, and what the last one came to.
    probes: int = 0
    probe: object = None
    # Of a handler: whether it was claimed, and whether its end was told.
    claimed: bool = False
    closed: bool = False
    ended: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    terminal: Mapping[str, Any] | None = None
    # The earlier result that the attempt which counts says it found, if one.
    cached: Mapping[str, Any] | None = None
    # The services of its attempts.
    services: dict[int, ServiceAccount] = field(default_factory=dict)
    # Where those of its attempts ran that ran elsewhere.
    placed: dict[int, Mapping[str, Any]] = field(default_factory=dict)


class Clocks(Struct):
    """How wall and monotonic clock moved from line to line; seconds, wall ones since the epoch.

    `drift_s` is the largest difference between the two since the runner began, `back_s` the largest
    step backwards of either. `doubts` names lines whose own times contradict each other. `apart_s`
    is how far the clock of an agent was from the runner's at most, where attempts had agents.
    """

    first: float | None = None
    last: float = 0.0
    last_mono: float = 0.0
    drift_s: float = 0.0
    back_s: float = 0.0
    apart_s: float | None = None
    doubts: list[str] = field(default_factory=list)
    _offset: float = 0.0
    _restarted: bool = False

    def restart(self) -> None:
        """The next line is another runner's, perhaps of another boot: only wall time goes on."""
        self._restarted = True

    def feed(self, wall: str, mono: float) -> None:
        """Take the next line's clocks; ValueError when the wall clock is no time."""
        if _WALL.fullmatch(wall) is None:
            raise ValueError("not a UTC time with microseconds")
        moment = datetime.fromisoformat(wall).timestamp()
        if not -_MAX_MONO_S < mono < _MAX_MONO_S:
            raise ValueError("not a time since boot")
        if self.first is None:
            self.first, self._offset = moment, moment - mono
        elif self._restarted:
            self.back_s = max(self.back_s, self.last - moment)
            self._offset, self._restarted = moment - mono, False
        else:
            drift = abs(moment - mono - self._offset)
            self.drift_s = max(self.drift_s, drift)
            back = max(self.last - moment, self.last_mono - mono)
            self.back_s = max(self.back_s, back)
        self.last, self.last_mono = moment, mono


def _is_open(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an approval was asked for and there is no answer yet, nor an end without one."""
    lacking = 0
    for event in events:
        match event.get("type"):
            case "approval_asked":
                lacking = event.get("min", 1)
            case "approval_given":
                lacking -= 1
            case "approval_refused" if event.get("why") != "rejected":
                pass
            case _:
                lacking = 0
    return lacking > 0


class Account(Struct):
    """Feed it every line in order; then read what it kept."""

    lines: int = 0
    started: Mapping[str, Any] | None = None
    ended: Mapping[str, Any] | None = None
    tasks: dict[str, TaskAccount] = field(default_factory=dict)
    clocks: Clocks = field(default_factory=Clocks)
    problems: list[str] = field(default_factory=list)
    # Those to be held against the plan, in order.
    of_the_plan: list[Mapping[str, Any]] = field(default_factory=list)
    resumed: bool = False
    # The events with which instances joined the plan.
    extended: list[Mapping[str, Any]] = field(default_factory=list)
    # The services of phases, by phase; and of all that have ended, their logs with their digests.
    beside: dict[str, ServiceAccount] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    # Of tasks that were to be approved: what was asked and answered, and what then began or ended.
    gates: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    # The event by which the runner left the run, while no other goes on with it.
    suspended: Mapping[str, Any] | None = None

    def feed(self, data: Mapping[str, Any]) -> None:
        """Take the next line."""
        self.lines += 1
        kind = data.get("type")
        if kind == "run_resumed":
            self.clocks.restart()
        try:
            self.clocks.feed(data["wall"], data["mono"])
        except (ValueError, KeyError):
            self._problem("its clocks do not show a time")
        if self.lines == 1:
            if kind != "run_started":
                self._problem("the first event is not run_started")
            self.started = data
        else:
            if self.started is not None and data.get("run") != self.started.get("run"):
                self._problem("is of another run")
            if kind == "run_started":
                self._problem("the run starts again")
        if self.ended is not None:
            self._problem("something happened after the run ended")
        if self.suspended is not None and kind != "run_resumed":
            self._problem("something happened while the run was suspended")
        self.suspended = data if kind == "run_suspended" else None
        if type(kind) is not str or kind not in TYPES:
            self._problem("an event of no known type")
        elif kind == "attempt_started":
            self._began(data)
        elif kind in _ENDS:
            self._ended(data)
        elif kind in _LOOKED_UP:
            self._looked_up(data)
        elif kind == "probe":
            self._probed(data)
        elif kind in _OF_HANDLERS:
            self._of_handler(data)
        elif kind in _OF_SERVICES:
            self._of_service(data)
        elif kind in _AT_GATE:
            self._at_gate(data)
        elif kind == "plan_extended":
            self._extended(data)
        elif kind == "attempt_placed":
            self._placed(data)
        elif kind == "run_ended":
            self.ended = data
        elif kind in _OF_THE_PLAN:
            self.of_the_plan.append(data)
            self.resumed |= kind == "run_resumed"
            if kind == "retry_scheduled":
                self._retried(data)

    def _placed(self, data: Mapping[str, Any]) -> None:
        offset_s = data.get("clock_offset_s")
        if not isinstance(offset_s, int | float) or isinstance(offset_s, bool):
            self._problem("tells nothing of an agent's clock")
            return
        self.clocks.apart_s = max(self.clocks.apart_s or 0.0, abs(offset_s))
        account = self._task(data)
        if account is None:
            return
        if not account.open or data.get("attempt") != account.began:
            self._problem("tells of the place of an attempt that is not under way")
        account.placed[account.began] = data

    def _at_gate(self, data: Mapping[str, Any]) -> None:
        if data.get("type") == "run_suspended":
            open_ = {name for name, events in self.gates.items() if _is_open(events)}
            if {*(data.get("waiting") or ())} != open_:
                self._problem("the run is left for other approvals than were open")
            return
        name = data.get("task")
        if type(name) is not str:
            self._problem("names no task")
            return
        account = self.tasks.get(name) or TaskAccount()
        is_next = not account.open and data.get("attempt") == account.began + 1
        if data.get("type") == "approval_asked" and not is_next:
            self._problem("approval is asked for out of order")
        self.gates.setdefault(name, []).append(data)

    def _extended(self, data: Mapping[str, Any]) -> None:
        instances = data.get("instances")
        names = [one.get("id") for one in instances or () if isinstance(one, dict)]
        if any(name in self.tasks for name in names):
            self._problem("instances join the plan that were there before")
        if any(one.get("base") == data.get("base") for one in self.extended):
            self._problem("instances join the plan twice")
        else:
            self.extended.append(data)

    def _task(self, data: Mapping[str, Any]) -> TaskAccount | None:
        name = data.get("task")
        if type(name) is not str:
            self._problem("names no task")
            return None
        account = self.tasks.get(name)
        if account is None:
            account = self.tasks[name] = TaskAccount()
        return account

    def _began(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account is None:
            return
        if account.open or data.get("attempt") != account.began + 1:
            self._problem("an attempt starts out of order")
        account.began += 1
        account.open = True
        if data["task"] in self.gates:
            self.gates[data["task"]].append(data)
        account.looked_up = False
        account.probes, account.probe = 0, None
        account.terminal = account.cached = None

    def _looked_up(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account is None:
            return
        if not account.open or data.get("attempt") != account.began or account.looked_up:
            self._problem("an earlier result is looked for out of order")
        account.looked_up = True
        account.cached = data if data.get("type") == "cached" else None

    def _of_handler(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account is None:
            return
        if data.get("type") == "handler_claimed":
            if account.claimed or account.began:
                self._problem("a handler is claimed that was before, or has begun")
            account.claimed = True
            return
        end = account.terminal or {}
        if not account.claimed or account.closed or end.get("status") != data.get("status"):
            self._problem("tells of a handler another end than it had")
        account.closed = True

    def _of_phase(self, data: Mapping[str, Any]) -> None:
        phase, log = str(data.get("phase")), str(data.get("log"))
        if self.resumed:  # those that went on when the runner died are started once more
            self.beside.setdefault(phase, ServiceAccount()).forget(data)
        wrong = self.beside.setdefault(phase, ServiceAccount()).feed(data)
        if not wrong and data.get("type") == ENDED:
            wrong = "the log of a service comes twice" if log in self.logs else ""
            self.logs[log] = str(data.get("log_sha256"))
        if wrong:
            self._problem(wrong)

    def _probed(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account is None:
            return
        if not account.open or data.get("attempt") != account.began:
            self._problem("a probe ends of an attempt that is not under way")
        account.probes += 1
        account.probe = data.get("result")
        if data.get("number") != account.probes:
            self._problem("a probe is not the next of its attempt")

    def _of_service(self, data: Mapping[str, Any]) -> None:
        if data.get("task") is None and data.get("attempt") == 0:
            self._of_phase(data)
            return
        account = self._task(data)
        if account is None:
            return
        if not account.open or data.get("attempt") != account.began:
            self._problem("tells of a service of an attempt that is not under way")
            return
        wrong = account.services.setdefault(account.began, ServiceAccount()).feed(data)
        if wrong:
            self._problem(wrong)

    def _retried(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account and (account.open or data.get("attempt") != account.began + 1):
            self._problem("another attempt is scheduled than the next")

    def _ended(self, data: Mapping[str, Any]) -> None:
        account = self._task(data)
        if account is None:
            return
        status = data.get("status")
        if type(status) is not str or status not in _STATUSES:
            self._problem("ends with an unknown status")
        if data.get("type") == "attempt_ended":
            if not account.open or data.get("attempt") != account.began:
                self._problem("an attempt ends that was not under way")
            account.ended[account.began] = data
            if account.probes and status == "success" and account.probe != "good":
                self._problem("an attempt succeeds whose last probe was not good")
            # The form of a time of day is fixed, so text compares as time does.
            times = [data.get("started_at"), data.get("completed_at"), data.get("wall")]
            told = [time for time in times if isinstance(time, str)]
            if len(told) < len(times) or told != sorted(told):
                self._doubt("an attempt's times are not in order")
        elif account.open or account.terminal is not None:
            self._problem("a task that was attempted is said not to have run")
        elif data["task"] in self.gates:
            self.gates[data["task"]].append(data)
        account.open = False
        account.terminal = data

    def _doubt(self, text: str) -> None:
        if len(self.clocks.doubts) < _MAX_PROBLEMS:
            self.clocks.doubts.append(f"line {self.lines}: {text}")

    def _problem(self, text: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"line {self.lines}: {text}")
