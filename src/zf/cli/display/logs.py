"""What tasks printed, of a run that is over, was killed, or still goes on: `zf logs`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from zf.cli.display import streams
from zf.errors import ZfError
from zf.events import FAILED
from zf.lean.records import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zf.proof.growing import AttemptLog
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

# How often a run that goes on is looked at: soon enough to seem at once.
_LOOK_S = 0.1
# Whether it still has its zf takes a lock, for a moment, where there is no fifo.
_ALIVE_S = 1.0


class Wanted(Struct, frozen=True):
    """Which logs: of one task or all, of one attempt or the last, of one step or all of them, and
    only of tasks that failed.
    """

    task: str | None
    attempt: int | None
    step: int | None
    failed: bool

    def takes(self, task: TaskFacts) -> bool:
        """Whether this task's log is wanted, as it stands."""
        return task.attempt >= (self.attempt or 1) and (not self.failed or task.status in FAILED)


class Reading:
    """One run, and how far its journal and its logs were read."""

    def __init__(self, run_dir: str, wanted: Wanted) -> None:
        from zf.proof import read
        from zf.proof.growing import GrowingJournal
        from zf.report.facts import Fold
        from zf.report.task_facts import named

        self._run_dir = run_dir
        self._wanted = wanted
        self._fold = Fold(read.plan_json(run_dir))
        self._journal = GrowingJournal(run_dir)
        self._logs: dict[str, _Log] = {}
        self._printed = False
        self._alive = True
        self._next_question = 0.0
        # None for all tasks of the run.
        self._names: tuple[str, ...] | None = None
        self._heard()
        self._names = None if wanted.task is None else named(self._facts, wanted.task)

    @property
    def _facts(self) -> Facts:
        return self._fold.facts

    def _heard(self) -> list[str]:
        """Take in what was written to the journal since; the tasks that it is about."""
        from zf.report.task_facts import named

        names: dict[str, None] = {}
        for line in self._journal.more():
            self._fold.apply(line.event, line.mono, line.wall)
            names[getattr(line.event, "task", None) or ""] = None
        if self._names and any(name not in self._facts.tasks for name in self._names):
            self._names = named(self._facts, self._wanted.task or "")  # its instances are known
        return [name for name in names if name in self._facts.tasks]

    def _named(self) -> list[TaskFacts]:
        tasks = self._facts.tasks
        return [*tasks.values()] if self._names is None else [tasks[name] for name in self._names]

    @property
    def _only(self) -> TaskFacts | None:
        """The task whose log is wanted, if it is of one alone: then it is printed as it is."""
        named = self._names or ()
        return self._facts.tasks[named[0]] if len(named) == 1 else None

    def print_all(self) -> None:
        """Print each log as it is now."""
        for task in self._named():
            if self._wanted.takes(task):
                self._put(self._log_of(task).new(ended=True))
        self._tell_if_none()

    def follow(self) -> None:
        """Print what is there, and what comes, until it has ended."""
        news = [task.id for task in self._named()]
        was_over = False
        while True:
            over = self._is_over()
            running = [name for name, log in self._logs.items() if not log.ended]
            for name in dict.fromkeys([*news, *running]):
                self._print_new(self._facts.tasks[name])
            # Of an attempt that has ended, the next line may tell that it is tried again.
            if over and (was_over or self._facts.exit_code is not None):
                break
            was_over = over
            streams.linger(_LOOK_S)
            news = [name for name in self._heard() if self._names is None or name in self._names]
        self._tell_if_killed()
        self._tell_if_none()

    def _print_new(self, task: TaskFacts) -> None:
        """The rest of attempts that have ended, and what is new of one that runs."""
        if not self._wanted.takes(task):
            return
        log = self._logs.setdefault(task.id, self._log_of(task))
        while log.number < task.attempt and self._wanted.attempt is None:
            self._put(log.new(ended=True))
            log = self._logs[task.id] = self._log_of(task, log.number + 1)
            if self._only is not None:
                streams.say(sys.stderr, f"attempt {log.number}\n")
        log.ended = log.number < task.attempt or not task.running
        self._put(log.new(ended=log.ended))

    def _log_of(self, task: TaskFacts, number: int = 0) -> _Log:
        from zf.proof.growing import AttemptLog

        wanted, first = self._wanted, self._facts.first_step
        number = number or wanted.attempt or task.attempt
        log = AttemptLog(self._run_dir, task.id, number, first, wanted.step)
        return _Log(log, number, None if self._only is not None else task.id)

    def _put(self, pieces: Iterable[bytes]) -> None:
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            self._printed = True

    def _is_over(self) -> bool:
        """Whether nothing more will come of what is wanted."""
        if self._facts.exit_code is not None or not self._is_alive():
            return True
        return self._names is not None and all(map(self._has_ended, self._named()))

    def _has_ended(self, task: TaskFacts) -> bool:
        """Whether nothing more will come of the wanted attempt of this task."""
        attempt = self._wanted.attempt
        if task.status is not None or attempt is None or task.attempt < attempt:
            return task.status is not None
        return task.attempt > attempt or not task.running

    def _is_alive(self) -> bool:
        from zf.run.host.lock import has_runner

        now = time.monotonic()
        if self._alive and now >= self._next_question:
            self._next_question = now + _ALIVE_S
            self._alive = has_runner(os.path.dirname(self._run_dir) or ".", self._facts.run)
        return self._alive

    def _tell_if_killed(self) -> None:
        from zf.proof.layout import MANIFEST
        from zf.report import advice

        if self._names is None or any(task.status is None for task in self._named()):
            sealed = os.path.lexists(f"{self._run_dir}/{MANIFEST}")
            told = advice.no_runner(self._facts, sealed=sealed)
            streams.say(sys.stderr, f"{told}\n" * bool(told))

    def _tell_if_none(self) -> None:
        """Raises ZfError where a log was named that is not there; says so of a whole run."""
        if self._printed:
            return
        wanted, run = self._wanted, self._facts.run
        task = self._only
        most = max((one.attempt for one in self._named()), default=0)
        if wanted.attempt is not None and 0 < most < wanted.attempt:
            raise ZfError(
                f"{wanted.task or 'no task'} of run {run!r} had"
                f" {'an' if wanted.task is None else 'no'} attempt {wanted.attempt}",
                code="ZF132",
                hint="leave out --attempt to see the last one",
            )
        if wanted.failed and most and not any(t.status in FAILED for t in self._named()):
            none = f"no instance of {wanted.task}" if wanted.task else "no task"
            told = f"{none} has failed" if task is None else f"{task.id} is {task.word}"
            streams.say(sys.stderr, f"{told} in run {run}\n")
        elif task is not None:
            raise ZfError(
                f"no log of {task.id!r} in run {run!r}: it is {task.word}",
                code="ZF131",
                hint=f"zf explain {run} {task.id} says why",
            )
        elif not most:
            streams.say(sys.stderr, f"no task of run {run} has started\n")


class _Log:
    """What is printed of one attempt: its bytes, or with its task before it, its lines."""

    def __init__(self, log: AttemptLog, number: int, task: str | None) -> None:
        from zf.proof.growing import LogLines

        self.number = number
        self.ended = False
        self._log = log
        self._lines = LogLines(log)
        self._task = task

    def new(self, *, ended: bool) -> Iterator[bytes]:
        """What was written since the last call."""
        from zf.report.terminal import prefixed

        if self._task is None:
            yield from (piece for _, piece in self._log.pieces(ended=ended))
            return
        for line in self._lines.rest() if ended else self._lines.more():
            text = f"{prefixed(self._task, line)}\n"
            yield text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
