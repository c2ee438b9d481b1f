"""What ends a run, or a phase, before its time: fail-fast, time, budgets, an interrupt (rule 5)."""

from __future__ import annotations

from collections.abc import Callable

from zf.events import BudgetWarned, Cause, RunTimedOut, Status
from zf.metrics.budget import told
from zf.run.schedule.orders import Limits, Order, Record, TimeOutPhase
from zf.run.schedule.outcomes import Decision
from zf.run.schedule.phases import Phases
from zf.run.schedule.tasks import Tasks

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}


class Stops:
    """What has stopped the run. `late` says that time ran out, of the run or of a phase; `signal`
    is the first that interrupted it; `run_struck`, that the deadline of the run has passed.
    """

    def __init__(
        self, limits: Limits, phases: Phases, tasks: Tasks, order: Callable[[Order], None]
    ) -> None:
        self._limits = limits
        self._phases = phases
        self._tasks = tasks
        self._order = order
        self.late = self.run_struck = False
        self.signal: int | None = None
        self._of_phase: Decision | None = None

    def fail_fast(self, culprit: str) -> None:
        """A task has failed, and `--fail-fast` is on."""
        option = "--fail-fast"
        if self._limits.fail_fast == "now":
            option = "--fail-fast=now"
            self._tasks.kill_running(Cause.FAIL_FAST)
        detail = f"{option}: '{culprit}' ended with status: {self._tasks.done[culprit]}"
        self._tasks.stop(Cause.FAIL_FAST, detail, ())

    def leave_drained(self) -> bool:
        """End the tasks that could start, were there an executor left for them; whether any did."""
        gone = self._tasks.slots.queue.without_place()
        for name, place in gone:
            detail = f"waited for a slot of {place}, where nothing starts any more"
            self._tasks.end(name, Decision(Status.TIMEOUT, Cause.QUEUE_TIMEOUT, detail))
        return bool(gone)

    def time_out_phase(self) -> None:
        """The phase under way has used up its time."""
        phase, timeout_s = self._phases.name, self._phases.timeout_s
        assert phase is not None
        self._order(TimeOutPhase(phase, timeout_s))
        self._run_out_of_time(Cause.PHASE_TIMEOUT, f"phase timeout ({timeout_s:g}s) exceeded")
        self._stops_phase_alone()

    def time_out_run(self) -> None:
        """The deadline of the run has passed."""
        deadline_s = self._limits.deadline_s or 0
        self.run_struck = True
        self._order(Record(RunTimedOut(deadline_s)))
        detail = f"deadline of the run ({deadline_s:g}s) passed"
        self._run_out_of_time(Cause.DEADLINE, detail, later_phases=True)

    def _run_out_of_time(self, cause: Cause, detail: str, *, later_phases: bool = False) -> None:
        self.late = True
        self._phases.run_out_of_time()
        self._ask_no_more(None if later_phases else self._phases.name)
        self._tasks.kill_running(cause)
        self._tasks.stop(cause, detail, self._phases.to_come if later_phases else ())

    def _ask_no_more(self, phase: str | None = None) -> None:
        """The run is over, or the time of this phase is: a task that is to be approved has not its
        turn any more for that its condition says `always()`.
        """
        self._tasks.always -= self._tasks.gates.among(self._tasks.always, phase)

    def over_budget(self, over: BudgetWarned) -> None:
        """A budget is used up: that of a task ends the task alone."""
        detail = told(over.metric, over.spent, over.budget)
        if over.scope == "task":
            if self._tasks.slots.attempt_of(over.name) and self._tasks.is_endable(over.name):
                self._tasks.end(over.name, Decision(Status.FAILURE, Cause.BUDGET, detail))
            return
        whose = f"of phase {over.name}" if over.scope == "phase" else "of the run"
        detail = f"{detail} ({whose})"
        self._phases.run_out_of_budget(over.name)
        if self._tasks.stopped is None:
            later = self._phases.to_come if over.scope == "run" else ()
            self._tasks.kill_running(Cause.BUDGET, detail=detail)
            self._tasks.stop(Cause.BUDGET, detail, later)
            if over.scope == "phase":
                self._stops_phase_alone()

    def interrupt(self, signal: int, *, force: bool) -> None:
        """A signal came to the runner; `force` for the second, which spares nothing."""
        self.signal = self.signal or signal
        self._phases.struck = True
        self._ask_no_more()
        if force:
            self._tasks.always = frozenset()
        self._tasks.kill_running(Cause.INTERRUPT, force=force)
        detail = f"interrupted by {_SIGNALS.get(signal, f'signal {signal}')}"
        self._tasks.stop(Cause.INTERRUPT, detail, self._phases.to_come, spare=False)

    def phase_ended(self) -> None:
        """The phase ended badly: what stopped it alone stops the later ones no more."""
        if self._tasks.stopped is self._of_phase:
            self._tasks.stopped = None

    def _stops_phase_alone(self) -> None:
        """What has just stopped the run is over with the phase, where the run is to keep going."""
        if self._limits.keep_going:
            self._of_phase = self._tasks.stopped
