"""When handlers have their turn: at the end of their phase, and of the run. Pure."""

from __future__ import annotations

from zf.events import Cause, Status
from zf.model.handler import FAILURE, INTERRUPTED, RUN_PHASE, SUCCESS, TIMEOUT
from zf.run.schedule.clock import Clock
from zf.run.schedule.outcomes import Decision
from zf.run.schedule.phases import Phases
from zf.run.schedule.stops import Stops
from zf.run.schedule.tasks import Tasks


class Handling:
    """What is begun of the handlers of a run; which there are, and are claimed, they know."""

    def __init__(self, clock: Clock, phases: Phases, tasks: Tasks, stops: Stops) -> None:
        self._clock = clock
        self._phases = phases
        self._tasks = tasks
        self._stops = stops
        self.handlers = tasks.handlers

    def begin_next(self) -> bool:
        """If all tasks of the phase have ended: begin the first of its handlers that is there for
        this end, once the one before has ended. Whether there was anything to do.
        """
        phase, handlers, tasks = self._phases.name, self.handlers, self._tasks
        left = [name for name in handlers.of(phase) if name not in tasks.done]
        if phase is None or not left or len(left) < self._phases.left(phase):
            return False
        if handlers.ended is None:
            self._phases.struck = True  # from here on each has its own time
            handlers.ended = self._came_to(phase)
        first = left[0]
        if tasks.slots.attempt_of(first) or first in tasks.slots.queue:
            return False
        if first in self._clock.asleep:
            return False
        if handlers.matches(first, handlers.ended):
            return self._tasks.decide(first) or first in tasks.slots.queue
        told = handlers.ended or "had no turn"
        of = f"phase '{phase}'" if phase != RUN_PHASE else "the run"
        detail = f"not for this end: {of} {'came to ' * bool(handlers.ended)}{told}"
        tasks.not_run(first, Decision(Status.SKIPPED, Cause.ON_END, detail))
        return True

    def give_up(self) -> None:
        """Nothing but handlers starts any more, and nothing is said of what does not."""
        self._tasks.stopped = Decision(Status.CANCELLED, Cause.RUNNER, "the run was given up")
        self._phases.struck = True
        for phase in (self._phases.name, *self._phases.to_come):
            for name in self._phases.members(phase):
                self._tasks.leave_line(name)

    def begin_owed(self, name: str, ended: str) -> None:
        """Begin a handler of a run that is given up, or end it by its condition."""
        self.handlers.ended = ended
        self._tasks.decide(name)

    def _came_to(self, phase: str) -> str:
        signal, late = self._stops.signal, self._stops.late
        if phase != RUN_PHASE:
            ended = self._phases.came_to(phase)
            return INTERRUPTED if ended and signal is not None else ended
        if signal is not None:
            return INTERRUPTED
        return TIMEOUT if late else SUCCESS if self._phases.all_ok else FAILURE
