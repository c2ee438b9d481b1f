"""A run as a machine that anything can happen to: start, exit, timeout, crash, resume, cancel.

Hypothesis moves it. The program is the real scheduler, the real journal in a real file, the real
facts and the real recovery, with time moved by hand; the model is what is promised, in a few
lines. After every step they must agree, and the journal alone must tell the same.
"""

from __future__ import annotations

import shutil
import tempfile
from copy import copy
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.journals import read
from tests.support.simulated import ended, plan_of, task
from tests.support.simulated_journals import check_once, runner_died, written
from zf.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    Event,
    Interrupted,
    PhaseTimedOut,
    RetryScheduled,
    RunResumed,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.model import Need, Task
from zf.plan.graph import Plan
from zf.proof.journal import Journal
from zf.report.facts import Fold
from zf.run.recover import moments, open_attempts, outstanding
from zf.run.schedule.orders import EndRun, KillAttempt, Limits, Order, Tick, TimeOutPhase
from zf.run.schedule.scheduler import Scheduler

SUCCESS, CANCELLED, BLOCKED = Status.SUCCESS, Status.CANCELLED, Status.BLOCKED
ENDS = [SUCCESS, SUCCESS, Status.FAILURE, Status.TIMEOUT, Status.LOST]
PHASE_S = 100.0
RETRY_S = 7.0
LIMITS = Limits(max_jobs=2, seed="machine")
WALL = "2026-11-21T00:00:00.000000Z"


@dataclass
class Model:
    """What is promised of every task, told by what happened and nothing else."""

    tasks: dict[str, Task]
    over: dict[str, Status] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    # What a task came to that is to be tried again, and whether that may have to wait.
    again: dict[str, Status] = field(default_factory=dict)
    asleep: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    stopped: bool = False
    spared: bool = False  # those that wait for what still runs
    signal: int | None = None
    timed_out: bool = False

    def copy(self) -> Model:
        values = {each.name: copy(getattr(self, each.name)) for each in fields(self)}
        return Model(**values)

    def hear(self, event: Event) -> None:
        match event:
            case AttemptEnded(name):
                self._ended(name, event)
            case CancelRequested(name) if name in self.running:
                self.doomed.add(name)
            case CancelRequested(name) if name in self.tasks.keys() - self.over.keys():
                self.over[name] = self.again.pop(name, CANCELLED)
                self.asleep.discard(name)
            case Interrupted(signal):
                self.signal = self.signal or signal
                self._stop(spared=False)
            case PhaseTimedOut():
                self.timed_out = True
                self._stop(spared=True)
            case AttemptStarted(name, attempt):
                self.start(name, attempt)
        self._follow()

    def start(self, name: str, attempt: int) -> None:
        assert name in self.ready() | self.asleep, f"{name} may not start"
        assert attempt == self.attempts.get(name, 0) + 1
        assert len(self.running) < LIMITS.max_jobs
        self.attempts[name] = self.running[name] = attempt
        self.again.pop(name, None)
        self.asleep.discard(name)

    def ready(self) -> set[str]:
        if self.stopped:
            return set()
        waiting = self.tasks.keys() - self.over.keys() - self.running.keys() - self.asleep
        return {n for n in waiting if all(need.task in self.over for need in self.tasks[n].needs)}

    def _ended(self, name: str, event: AttemptEnded) -> None:
        del self.running[name]
        wanted = self.tasks[name].max_retries - self.retries.get(name, 0)
        if self.stopped or name in self.doomed:
            self.over[name] = event.status
        elif event.cause == "runner":
            self.again[name] = event.status
        elif event.status is not SUCCESS and wanted and event.status in self.tasks[name].retry_on:
            self.retries[name] = self.retries.get(name, 0) + 1
            self.again[name] = event.status
            if self.tasks[name].retry_delay_s:
                self.asleep.add(name)
        else:
            self.over[name] = event.status

    def _stop(self, *, spared: bool) -> None:
        self.stopped, self.spared = True, spared
        self.over.update(self.again)
        self.again.clear()
        self.asleep.clear()

    def _follow(self) -> None:
        """What the ends so far mean for those that wait."""
        changed = True
        while changed:
            blocked = {n for n in self._waiting() if any(map(self._blocks, self.tasks[n].needs))}
            self.over |= dict.fromkeys(blocked, BLOCKED)
            changed = bool(blocked)
        if self.stopped:
            self._cancel_waiting(but=self._below_running() if self.spared else set())

    def _blocks(self, need: Need) -> bool:
        status = self.over.get(need.task, SUCCESS)
        harmless = {SUCCESS, CANCELLED} if self.stopped else {SUCCESS}
        return need.require == "success" and status not in harmless

    def _waiting(self) -> set[str]:
        return self.tasks.keys() - self.over.keys() - self.running.keys() - self.again.keys()

    def _below_running(self) -> set[str]:
        found = set(self.running)
        for name, each in self.tasks.items():
            if any(need.task in found and need.require == "success" for need in each.needs):
                found.add(name)
        return found

    def _cancel_waiting(self, *, but: set[str]) -> None:
        self.over |= dict.fromkeys(self._waiting() - but, CANCELLED)

    def exit_code(self) -> int:
        if self.signal is not None:
            return 130 if self.signal == 2 else 143
        if self.timed_out:
            return 124
        return int(any(status is not SUCCESS for status in self.over.values()))


@dataclass
class Turn:
    """The last turn: what had been written and was true before it, and what was heard in it."""

    written: int
    model: Model


def plans() -> st.SearchStrategy[Plan]:
    @st.composite
    def draw_plan(draw: st.DrawFn) -> Plan:
        tasks: list[Task] = []
        for number in range(draw(st.integers(1, 6))):
            among = st.sampled_from([t.id for t in tasks] or ["none"])
            needs = draw(st.lists(among, max_size=2 if tasks else 0, unique=True))
            rules = [Need(n, require=draw(st.sampled_from(["success", "done"]))) for n in needs]
            tasks.append(
                task(
                    f"t{number}",
                    rules,
                    max_retries=draw(st.integers(0, 2)),
                    retry_delay_s=draw(st.sampled_from([0, 0, RETRY_S])),
                    retry_on=draw(
                        st.sampled_from([("failure", "timeout", "lost"), ("lost",), ("failure",)])
                    ),
                )
            )
        return plan_of(*tasks, phase_timeout_s=PHASE_S)

    return draw_plan()


class Run(RuleBasedStateMachine):
    """Each rule is something that can happen to a run."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="zf-machine-")
        self.path = f"{self.folder}/events.jsonl"
        self.now = 1000.0
        # The least and the most time that the phase may think has passed.
        self.at_least = self.at_most = 0.0
        # Outcomes that workers, or a recovery, have claimed: they stand whatever crashes.
        self.claimed: dict[tuple[str, int], AttemptEnded] = {}
        self.killed: dict[str, str] = {}
        # When a task that waits to be tried again has waited long enough.
        self.due: dict[str, float] = {}
        self.exit_code: int | None = None
        self.lines = 0

    def teardown(self) -> None:
        if self.lines:
            self.journal.close()
        shutil.rmtree(self.folder)

    # What can happen.

    @initialize(plan=plans())
    def start(self, plan: Plan) -> None:
        self.plan = plan
        self.model = Model(dict(plan.tasks))
        self.scheduler = Scheduler(plan, LIMITS)
        self.journal = Journal.create(self.path)
        self.fold = Fold(plan.as_json())
        started = RunStarted("machine", ("A",), len(plan.tasks), "", "", None, None, None)
        self._take_turn([started], lambda: self.scheduler.start(self.now))

    @precondition(lambda self: self.exit_code is None and self.model.running)
    @rule(data=st.data())
    def an_attempt_ends(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.running)))
        attempt = self.model.running[name]
        event = ended(name, self._draw_status(data, name), attempt=attempt)
        self.claimed[name, attempt] = event
        self._hear(event)

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.at_least += seconds
        self.at_most += seconds
        while self.exit_code is None and (at := self.scheduler.wake_at()) is not None:
            if at > self.now:
                break
            self._take_turn([], lambda: self.scheduler.handle(Tick(), self.now))

    @precondition(lambda self: self.exit_code is None)
    @rule(number=st.integers(0, 4))
    def somebody_cancels(self, number: int) -> None:
        self._hear(CancelRequested(f"t{number}"))

    @precondition(lambda self: self.exit_code is None)
    @rule(number=st.sampled_from([2, 15]))
    def somebody_interrupts(self, number: int) -> None:
        self._hear(Interrupted(number, 1))

    @rule(data=st.data())
    def the_runner_crashes_and_is_resumed(self, data: st.DataObject) -> None:
        """Perhaps while it wrote what it had heard last, which then was never heard."""
        self.journal.close()
        self.exit_code = None
        kept = data.draw(st.integers(max(1, self.turn.written), self.lines), label="lines kept")
        whole = Path(self.path).read_bytes().splitlines(keepends=True)
        torn = whole[kept][: data.draw(st.integers(0, 40))] if kept < len(whole) else b""
        Path(self.path).write_bytes(b"".join(whole[:kept]) + torn)
        self.journal, reading = Journal.reopen(self.path)
        self.model = self.turn.model.copy()
        for event in reading.events[self.turn.written :]:
            self.model.hear(event)
        self._resume(data, reading.events)

    def _resume(self, data: st.DataObject, events: tuple[Event, ...]) -> None:
        reading = read(self.path)
        self.at_least -= self.now - reading.lines[-1].mono
        self.fold = Fold(self.plan.as_json())
        for line in reading.lines:
            self.fold.apply(line.event, line.mono, line.wall)
        self.lines = len(reading.lines)
        self.killed.clear()
        # Time in which nobody ran the run counts for nothing, so it may take as long again.
        self.due = dict.fromkeys(self.plan.tasks, self.now + RETRY_S)
        found = [self._found(data, attempt) for attempt in open_attempts(events)]

        def decide() -> list[Order]:
            lines = read(self.path).lines
            self.scheduler = Scheduler(self.plan, LIMITS)
            return outstanding(self.scheduler, lines, moments(lines, self.now))

        self._take_turn([RunResumed(0), *found], decide)

    def _found(self, data: st.DataObject, attempt: AttemptStarted) -> AttemptEnded:
        """What recovery finds of an attempt: its worker's outcome, or the one it claims itself."""
        key = attempt.task, attempt.attempt
        if key not in self.claimed:
            status = data.draw(st.sampled_from([None, *ENDS]), label=f"worker of {key}")
            lost = runner_died(attempt)
            self.claimed[key] = (
                lost if status is None else ended(attempt.task, status, attempt=attempt.attempt)
            )
        return self.claimed[key]

    # How the runner goes about it.

    def _draw_status(self, data: st.DataObject, name: str) -> Status:
        if name in self.killed:
            # Unless it ended by itself before the order reached its worker.
            by_order = Status.TIMEOUT if "timeout" in self.killed[name] else CANCELLED
            return data.draw(st.sampled_from([by_order, SUCCESS, Status.FAILURE]))
        return data.draw(st.sampled_from(ENDS))

    def _hear(self, event: AttemptEnded | Interrupted | CancelRequested) -> None:
        self._take_turn([event], lambda: self.scheduler.handle(event, self.now))

    def _take_turn(self, heard: list[Event], decide) -> None:
        self.turn = Turn(self.lines, self.model.copy())
        for event in heard:
            self._write(event)
        if heard:
            self.journal.flush()
        for order in decide():
            assert self.exit_code is None
            event = written(order)
            if event is not None:
                self._write(event)
            match order:
                case KillAttempt(name, _, cause):
                    self.killed[name] = cause
                case TimeOutPhase():
                    assert self.at_most >= PHASE_S
                case EndRun(code):
                    self.exit_code = code
        self.journal.commit()

    def _write(self, event: Event) -> None:
        if isinstance(event, TaskNotRun):
            assert event.task not in self.model.attempts
        self.journal.append(event, WALL, self.now)
        self.fold.apply(event, self.now, WALL)
        self.lines += 1
        self.model.hear(event)
        match event:
            case AttemptStarted(name):
                self.killed.pop(name, None)
            case RetryScheduled(name, _, delay_s):
                self.due[name] = self.now + delay_s

    # What must hold after each step.

    @invariant()
    def program_and_model_agree(self) -> None:
        model = self.model
        assert dict(self.scheduler.done) == model.over
        assert dict(self.scheduler.running) == model.running
        if self.exit_code is not None:
            assert model.over.keys() == model.tasks.keys()
            assert self.exit_code == model.exit_code()
        else:
            assert model.over.keys() != model.tasks.keys()

    @invariant()
    def nothing_idles(self) -> None:
        model = self.model
        slept = {name for name in model.asleep if self.now >= self.due[name]}
        assert not (model.ready() | slept) or len(model.running) == LIMITS.max_jobs
        if self.exit_code is None:
            assert model.running or model.asleep
            # The clock has been looked at whenever it was moved.
            assert model.stopped or self.at_least < PHASE_S

    @invariant()
    def the_journal_tells_the_same(self) -> None:
        reading = read(self.path)
        assert (reading.damage, reading.torn, len(reading.lines)) == (None, False, self.lines)
        check_once(reading.events)
        again = Scheduler(self.plan, LIMITS)
        times = moments(reading.lines, reading.lines[-1].mono)
        if self.exit_code is None:
            assert outstanding(again, reading.lines, times) == []
            assert dict(again.running) == self.model.running
            assert dict(again.done) == self.model.over

    @invariant()
    def the_facts_tell_the_same(self) -> None:
        facts = self.fold.facts
        for name, status in self.model.over.items():
            assert facts.tasks[name].status == status
        assert {t for t in facts.tasks if t in facts.running} == self.model.running.keys()


def check(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Run, settings=settings(max_examples=examples, stateful_step_count=steps)
    )


def test_program_and_model_agree_whatever_happens():
    check(150, 20)


@pytest.mark.campaign
def test_campaign_program_and_model_agree_whatever_happens():
    check(20_000, 40)
