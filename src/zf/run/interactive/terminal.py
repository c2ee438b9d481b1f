"""A run that gives one task the terminal: whether it can, what holds for the task, and that the
terminal is given back however the task ends.
"""

from __future__ import annotations

import os
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from zf.errors import ZfError
from zf.events import AttemptEnded, AttemptStarted, Event
from zf.lean.records import replace
from zf.model import Flow, Step, Task
from zf.options import Setting
from zf.report.facts import Facts
from zf.run.recorder import Watch
from zf.settings import Settings
from zf.work.terminal import THE_TERMINAL, modes_in_the_foreground, unstopped

# A person may take their time: a week is as good as no limit, and can be recorded as one.
NO_LIMIT_S = 7 * 86_400.0


def refuse_without(environ: Mapping[str, str], in_ci: str) -> None:
    """Raises ZfError (exit 2) where no person can be at the terminal."""
    if in_ci or environ.get("CI"):
        raise _refused("--tty is for a person, and this is a job of a CI system")
    if not (os.isatty(0) and os.isatty(2)):
        raise _refused("--tty needs a terminal on standard input and standard error")
    try:
        os.close(os.open(THE_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        raise _refused(f"--tty needs a terminal of this session: {error.strerror}") from None


def _refused(message: str) -> ZfError:
    return ZfError(message, code="ZF155", hint="run it without --tty, or from a terminal of yours")


def interactive(flow: Flow, name: str) -> Flow:
    """The flow in which this task waits for a person: without limits of time, and tried once.
    Raises ZfError for one that leaves processes behind, which would lose the terminal.
    """
    task = flow.tasks[name]
    if task.leave_running:
        raise ZfError(
            f"{name} leaves processes running, which no terminal can be given",
            code="ZF155",
            hint=f"zf shell {name} opens a shell where its steps would run",
        )
    return replace(flow, tasks={**flow.tasks, name: _patient(task)})


def _patient(task: Task) -> Task:
    return replace(
        task,
        timeout_s=NO_LIMIT_S,
        silence_timeout_s=None,
        deadline_s=None,
        max_retries=0,
        steps=tuple(map(_unhurried, task.steps)),
    )


def _unhurried(step: Step) -> Step:
    return replace(step, timeout_s=None) if step.timeout_s is not None else step


def unhurried(settings: Settings) -> Settings:
    """The settings of a run with such a task, whose phase waits for it."""
    return replace(settings, phase_timeout_s=Setting(NO_LIMIT_S, "--tty"))


@contextmanager
def lent(watch: Watch, task: str, tell: Callable[[str], None]) -> Iterator[Watch]:
    """What a run is to be watched by in place of `watch`: it shows nothing while the task has the
    terminal. However that ends, the terminal is as it was.
    """
    modes, has_it = _modes(), False

    def watched(event: Event | None, facts: Facts, mono: float) -> None:
        nonlocal has_it
        if isinstance(event, AttemptStarted) and event.task == task:
            has_it = True
            tell(f"{task} has the terminal until it ends: what is typed goes there, Ctrl-C too\r\n")
        elif isinstance(event, AttemptEnded) and event.task == task:
            has_it = False
            give_back(modes)
        if not has_it:
            watch(event, facts, mono)

    try:
        yield watched
    finally:
        give_back(modes)


def _modes() -> list[Any]:
    """As they are for this job. Raises ZfError where it has no terminal."""
    fd = os.open(THE_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return modes_in_the_foreground(fd)
    except OSError as error:
        raise _refused(f"--tty needs a terminal of this session: {error.strerror}") from None
    finally:
        os.close(fd)


def give_back(modes: list[Any]) -> None:
    """Set the terminal as it was: the worker does so, too, unless it was killed."""
    with suppress(OSError, termios.error):
        fd = os.open(THE_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            with unstopped():
                termios.tcsetattr(fd, termios.TCSANOW, modes)
        finally:
            os.close(fd)
