"""Approvals: which attempts wait for one, who has given it, and until when it may come. Pure.

An attempt is asked for once, and what is given is for that attempt alone. A task that waits is
ready, but in no line: it holds no slot, no lease and no resource. Whether an answer counts is
decided where it is read (`run/gates`); here it has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from zf.events import ApprovalAsked, ApprovalGiven, ApprovalRefused, Cause, Status
from zf.lean.records import Struct, field
from zf.model import Task
from zf.run.schedule.clock import Clock
from zf.run.schedule.orders import AskApproval, NotAsked, Order
from zf.run.schedule.outcomes import Decision

if TYPE_CHECKING:
    from zf.run.schedule.tasks import Tasks

# An answer to what was asked before an attempt.
Reply = ApprovalGiven | ApprovalRefused

# What becomes of a task to which one of those who may approve it says no.
REJECTED = "rejected"


class _Question(Struct):
    """What is asked of an attempt; `until` is the moment at which it is too late."""

    attempt: int
    is_out: bool = False
    until: float | None = None
    given: set[str] = field(default_factory=set)
    is_met: bool = False


class Gates:
    """`attempts` says how many there were of a task, `order` takes the orders that follow."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        attempts: Callable[[str], int],
        clock: Clock,
        order: Callable[[Order], None],
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._clock = clock
        self._order = order
        self._questions: dict[str, _Question] = {}

    def holds(self, name: str) -> bool:
        """Whether the task has to wait before its next attempt, which is asked for if it was not
        yet.
        """
        if not self._tasks[name].approval:
            return False
        attempt = self._attempts(name) + 1
        question = self._questions.get(name)
        if question is None or question.attempt != attempt:
            question = self._questions[name] = _Question(attempt)
            self._order(AskApproval(name, attempt))
        return not question.is_met

    def asked(self, event: ApprovalAsked) -> None:
        """The question is out, and its time runs."""
        question = self._questions.setdefault(event.task, _Question(event.attempt))
        if question.attempt == event.attempt:
            question.is_out = True
            if event.timeout_s is not None:
                self._wait_until(event.task, question, self._clock.now + event.timeout_s)

    def given(self, event: ApprovalGiven) -> bool:
        """Take in that one has approved; whether the task may go on now."""
        question = self._open(event.task, event.attempt)
        if question is None:
            return False
        question.given.add(event.approver)
        question.is_met = len(question.given) >= self._tasks[event.task].approval["min"]
        return question.is_met

    def is_asked(self, name: str, attempt: int) -> bool:
        """Whether the attempt still waits for an answer."""
        return self._open(name, attempt) is not None

    def is_asleep(self, name: str) -> bool:
        """Whether the task waits for a moment, too, at which it is in line."""
        return name in self._clock.asleep

    def is_to_ask(self, name: str, attempt: int) -> bool:
        """Whether the question is still to be put."""
        question = self._open(name, attempt)
        return question is not None and not question.is_out

    def drop(self, name: str) -> None:
        """The task goes on no more: whatever is answered comes too late."""
        self._questions.pop(name, None)

    def waiting(self) -> tuple[str, ...]:
        """The tasks that wait for approval; none while one of them is still to be asked for."""
        waits = {name: one for name, one in self._questions.items() if not one.is_met}
        return tuple(waits) if all(one.is_out for one in waits.values()) else ()

    def among(self, names: Iterable[str], phase: str | None) -> set[str]:
        """Those of these tasks, of this phase if one is named, that have to be approved."""
        asking = {name for name in names if name in self._tasks and self._tasks[name].approval}
        return {name for name in asking if phase in {None, self._tasks[name].phase}}

    def was_idle(self, seconds: float) -> None:
        """So long the run had no runner: the time for an answer is a time of day, and went on."""
        for name, question in self._questions.items():
            if question.until is not None and not question.is_met:
                self._wait_until(name, question, question.until - seconds)

    def matters(self, name: str, at: float) -> bool:
        """Whether it would be too late at this moment."""
        question = self._questions.get(name)
        return question is not None and question.until == at and not question.is_met

    def too_late(self, name: str) -> Decision:
        """What becomes of a task that was not approved in time."""
        said = self._tasks[name].approval
        detail = f"not approved within {said['timeout_sec']:g}s by {approvers(said)}"
        return Decision(Status.BLOCKED, Cause.APPROVAL_TIMEOUT, detail)

    def _wait_until(self, name: str, question: _Question, at: float) -> None:
        question.until = at
        self._clock.set(at, "approval", name)

    def _open(self, name: str, attempt: int) -> _Question | None:
        question = self._questions.get(name)
        is_open = question is not None and question.attempt == attempt and not question.is_met
        return question if is_open else None


def take_in(tasks: Tasks, event: ApprovalAsked | NotAsked | Reply) -> None:
    """An approval was asked for, or answered."""
    gates = tasks.gates
    match event:
        case ApprovalAsked():
            gates.asked(event)
        case NotAsked(name, detail):
            tasks.end(name, Decision(Status.FAILURE, Cause.ARTIFACTS, detail))
        case ApprovalGiven(name):
            is_met = gates.given(event) and tasks.is_waiting(name)
            if is_met and not gates.is_asleep(name):
                tasks.line_up(name)
        case ApprovalRefused(name, attempt, why) if why == REJECTED:
            if gates.is_asked(name, attempt) and tasks.is_waiting(name):
                tasks.end(name, rejected(event.detail))


def approvers(said: Mapping[str, object]) -> str:
    """Those who may approve, and how many have to, in words."""
    by, least = said["by"], said["min"]
    assert isinstance(by, list | tuple)
    names = ", ".join(by[:-1]) + f" or {by[-1]}" if len(by) > 1 else by[0]
    return f"{least} of {', '.join(by)}" if least != 1 else names


def rejected(detail: str) -> Decision:
    """What becomes of a task to which one has said no, in these words."""
    return Decision(Status.BLOCKED, Cause.APPROVAL_REJECTED, detail)
