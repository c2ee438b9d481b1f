"""What the moments are for that the clock has in its lists, and what follows of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zf.events import Cause, Status
from zf.model import Task
from zf.run.schedule.clock import Alarm, Clock
from zf.run.schedule.outcomes import Decision
from zf.run.schedule.phases import Phases
from zf.run.schedule.stops import Stops
from zf.run.schedule.tasks import Tasks

# How soon it is looked again whether handlers have ended that the run's deadline waits for.
_AGAIN_S = 1.0


class Alarms:
    """`ended`: the run is over; `given_up`: nothing but handlers is still to begin."""

    def __init__(
        self, plan: Mapping[str, Task], clock: Clock, phases: Phases, tasks: Tasks, stops: Stops
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._phases = phases
        self._tasks = tasks
        self._slots = tasks.slots
        self._stops = stops
        self.ended = self.given_up = False

    def matters(self, alarm: Alarm) -> bool:
        """Whether there is still something to wake or to stop."""
        at, _, kind, name = alarm
        if self.given_up and kind not in {"lease", "wake"}:
            return False
        match kind:
            case "phase":
                return self._phases.name == name and not self._phases.struck
            case "wake":
                # A replay leaves alarms behind that did not strike.
                return self._clock.asleep.get(name) == at
            case "queue":
                return name in self._slots.queue and not self._slots.has_begun(name)
            case "lease":
                return True
            case "approval":
                return self._tasks.gates.matters(name, at)
            case "deadline":
                return self._tasks.is_endable(name)
            case "attempt":
                return self._slots.monitors.is_late(name, at) and self._tasks.is_endable(name)
            case "run":
                return not self.ended and not self._stops.run_struck and self._stops.signal is None

    def strike(self, alarm: Alarm) -> None:
        _, _, kind, name = alarm
        match kind:
            case "wake":
                self._tasks.line_up(name)
            case "queue":
                patience_s = self._plan[name].queue_timeout_s
                detail = f"waited {patience_s:g}s for {self._slots.awaited_by(name)}"
                end = Decision(Status.TIMEOUT, Cause.QUEUE_TIMEOUT, detail)
                self._tasks.give_up_waiting(name, end)
            case "lease":
                self._slots.look_again(name)
            case "approval":
                self._tasks.end(name, self._tasks.gates.too_late(name))
            case "deadline":
                deadline_s = self._plan[name].deadline_s
                detail = f"deadline ({deadline_s:g}s after the start) passed"
                self._tasks.end(name, Decision(Status.TIMEOUT, Cause.DEADLINE, detail))
            case "attempt":
                self._tasks.time_out(name)
            case "phase":
                self._stops.time_out_phase()
            case "run" if self._tasks.handlers.ended is not None:
                self._clock.set(self._clock.now + _AGAIN_S, "run")  # handlers have their own time
            case "run":
                self._stops.time_out_run()
