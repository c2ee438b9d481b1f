"""The cycles of a watch: beginning what is due, following what runs, ending what a change ends."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from zf.errors import ZfError
from zf.events import FAILED, WELL, AttemptEnded, AttemptStarted, RetryScheduled, Status, TaskNotRun
from zf.proof.journal import Line
from zf.run.host import lock
from zf.watch.agenda import Agenda, Start
from zf.watch.cycle import Running
from zf.watch.debounce import Echoes
from zf.watch.given import Project, Screen, Terms
from zf.watch.standby import Standby
from zf.watch.tidy import Tidy

# The clock of a file system stands still for some milliseconds.
_LATE_S = 0.02
_MOST_REMEMBERED = 1_000


class Cycles:
    """Those under way, of what the `agenda` says."""

    def __init__(
        self, agenda: Agenda, proofs: str, project: Project, screen: Screen, terms: Terms
    ) -> None:
        self.under_way: dict[str, Running] = {}
        # How many tasks may run at once.
        self.max_jobs = 1
        # Until when nothing is begun, as tasks may have caused what is due; None for no rest.
        self.rests_until: float | None = None
        self._agenda = agenda
        self._proofs = proofs
        self._project = project
        self._screen = screen
        self._tidy = Tidy(proofs, terms.keep)
        self._echoes = Echoes()
        self._is_held = False
        self._standby: Standby | None = None
        self._starts: dict[str, Start] = {}
        # When each running task began, and when the last ones began and ended, on the monotonic
        # clock.
        self._running: dict[tuple[str, str], float] = {}
        self._ran: deque[tuple[float, float]] = deque(maxlen=_MOST_REMEMBERED)
        self._count = 0
        self._upcoming = ""

    def ask(self) -> None:
        """The user wants what is due, whatever it is due to."""
        self._echoes.asked()
        self._is_held, self.rests_until = False, None

    def changed(self, files: Sequence[str], began: float) -> None:
        """A burst of changes that began at that moment is over."""
        self._echoes.changed(files, self._after_s(began))
        self._is_held, self.rests_until = False, None

    def _after_s(self, moment: float) -> float | None:
        """How long after the last task began that ran at this moment; None where none did."""
        ran = [start for start, end in self._ran if start <= moment <= end + _LATE_S]
        ran += [start for start in self._running.values() if start <= moment]
        return moment - max(ran) if ran else None

    def interrupt(self, number: int) -> None:
        """End all in order, as this signal ends a run; once more, at once."""
        for cycle in self.under_way.values():
            cycle.interrupt(number)

    def abandon(self) -> None:
        """The watch ends, perhaps because it cannot go on."""
        for cycle in self.under_way.values():
            cycle.abandon()
        self._tidy.close()
        if self._standby is not None:
            self._standby.close()

    def get_ready(self) -> None:
        """Nothing goes on, so another zf can start meanwhile, for the next cycle."""
        if self._standby is None:
            with suppress(OSError):  # of which will be told should it come to a cycle
                self._standby = Standby()

    def _another(self) -> Standby:
        """Another zf, at best one that waits. Raises OSError when none can be started."""
        waiting, self._standby = self._standby, None
        if waiting is not None and not waiting.is_there():
            waiting.close()
            waiting = None
        return waiting or Standby()

    def supersede(self, ended: Mapping[str, Sequence[str]]) -> None:
        """End these tasks of cycles: the next one runs them again."""
        for run, names in ended.items():
            cycle = self.under_way[run]
            if not cycle.supersede(names, self._next_id()):
                # It takes no orders here: all of it has to end for that.
                cycle.interrupt(signal.SIGTERM)

    def _next_id(self) -> str:
        if not self._upcoming:
            self._count += 1
            moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            self._upcoming = f"{moment}-{os.getpid()}-w{self._count}"
        return self._upcoming

    def begin(self, now: float) -> None:
        """Begin what is due, if it may begin now."""
        start = self._agenda.start()
        if start is None or self._is_held:
            return
        if self.rests_until is None:
            rest_s = self._echoes.rest_s()
            if rest_s is None:
                self._hold()
                return
            if rest_s:
                self.rests_until = now + rest_s
        if self.rests_until is not None and now < self.rests_until:
            return
        self.rests_until = None
        self._start(start)

    def _hold(self) -> None:
        self._is_held, self._is_told_waiting = True, False
        files = " ".join(self._echoes.files[:3])
        self._screen.say(
            f"{files}: changed once more at the same moment of a cycle, so that is taken for the"
            " tasks' own doing, and nothing is begun for it; name it in generates of the task that"
            " writes it, or in .gitignore"
        )

    def _start(self, start: Start) -> None:
        run, values = self._next_id(), dict(self._project.values)
        if self.under_way:
            most = self.max_jobs
            values["max_jobs"] = max(1, most - len(self._running))
        try:
            folder, other = os.getcwd(), self._another()
        except OSError as error:
            self._agenda.stale |= start.tasks
            self._agenda.due -= start.tasks
            self._screen.say(f"no run can be started: {error.strerror}; Enter tries again")
            return
        about = start.tasks, start.upstream, folder, values, self._project.command
        cycle = Running(other, self._proofs, run, *about)
        self._upcoming = ""
        self._agenda.begun(run, start)
        self._echoes.begun()
        self.under_way[run], self._starts[run] = cycle, start
        self._is_told_waiting = False
        self._screen.begun(cycle)

    def follow(self) -> None:
        """Take in what happened in the cycles, and which are over."""
        for run, cycle in list(self.under_way.items()):
            over = cycle.is_over()
            try:
                for line in cycle.happened():
                    self._take(run, line)
                    self._screen.happened(cycle, line)
            except (ZfError, OSError, ValueError, KeyError) as error:
                self._screen.say(f"run {run} cannot be followed: {error}")
            if over:
                self._over(run, cycle)

    def _take(self, run: str, line: Line) -> None:
        match line.event:
            case AttemptStarted(task=task):
                self._running[run, task] = line.mono
                self._agenda.started(run, task)
            case RetryScheduled(task=task):
                self._agenda.retried(run, task)
            case AttemptEnded() | TaskNotRun() as event:
                began = self._running.pop((run, event.task), None)
                if began is not None:
                    self._ran.append((began, line.mono))
                self._agenda.ended(run, event.task, _word(event))

    def _over(self, run: str, cycle: Running) -> None:
        del self.under_way[run]
        start = self._starts.pop(run)
        self._running = {key: at for key, at in self._running.items() if key[0] != run}
        if cycle.facts is None:
            self._agenda.lost(run, start)
        else:
            self._agenda.over(run)
        self._screen.over(cycle)
        if cycle.facts is not None and lock.is_locked(self._proofs, run):
            self._screen.say(f"something of run {run} is left: zf status {run} tells more")
        cycle.close()
        in_use = {*self._agenda.fresh.values(), *self.under_way}
        for start in self._starts.values():
            in_use.update(start.upstream.values())
        self._tidy.over(in_use)


def _word(event: AttemptEnded | TaskNotRun) -> str:
    if event.warned or event.status is Status.SUCCESS:
        return "well"
    if event.status in WELL:
        return "skipped"
    return "failed" if event.status in FAILED else "not run"
