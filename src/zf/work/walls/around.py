"""The wall around the steps of an attempt, made of what its worker has at hand when the first of
them is to run: a sandbox, which each step gets anew, or a container, in which all of them run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from zf.events import Cause, Status
from zf.lean import lazy
from zf.work.interpreters import FILE, TEXT, way
from zf.work.shell import (
    CANNOT_START,
    Behind,
    CannotStandError,
    NotStartedError,
    ScriptFile,
)
from zf.work.walls.reach import folder_of_run, reach

if TYPE_CHECKING:
    from zf.model import Step, Task
    from zf.work.context import WorkerContext
    from zf.work.environment import Environment
    from zf.work.outcome import Outcome
    from zf.work.supervise.supervisor import Ended
    from zf.work.walls import boxed
    from zf.work.walls import sandbox as sandboxes
else:  # a task that has a wall has one of the two
    boxed = lazy.module("zf.work.walls.boxed")
    sandboxes = lazy.module("zf.work.walls.sandbox")

SANDBOX, CONTAINER, _NONE = "sandbox", "container", "none"
# How often the sandbox of a step is made before it is given up.
_TRIES = 3
_FELL = "a sandbox could not be made, which the log says, and was made again"


class Wall:
    """The wall of one attempt of a task that asks for one; it has to be ended."""

    def __init__(self, context: WorkerContext, task: Task, outcome: Outcome) -> None:
        self._context = context
        self._task = task
        self._outcome = outcome
        self._sandbox: sandboxes.Sandbox | None = None
        self._boxed: boxed.Boxed | None = None
        if task.container:
            self._boxed = boxed.Boxed(context, task, outcome.attempt)

    @property
    def takes_files(self) -> bool:
        """Whether every script has to be a file: no descriptor goes into a container."""
        return self._boxed is not None

    def file(self, name: str) -> ScriptFile:
        """Where the script of this command lies for a container."""
        assert self._boxed is not None
        return self._boxed.file(name)

    def behind(
        self,
        env: Environment,
        values: Mapping[str, str],
        script: str | None = None,
        *,
        on: bool = False,
    ) -> Behind:
        """What the command line of a step is put behind, in the current folder, with its variables;
        `script` is the file that it has its script in, if in any, and None for what runs beside the
        steps; `on` a terminal. NotStartedError.
        """
        try:
            if self._boxed is None:
                sandbox = self.sandbox(env)
                words = sandbox.words(os.getcwd(), script or "") if sandbox else ()
                if sandbox is None or script is None:
                    return Behind(words)
                with_report, report = sandbox.reported(words)
                return Behind(with_report, report=report)
            behind = self._boxed.behind(env, values, on=on)
        except CannotStandError as error:
            raise _not_started(error) from None
        self._outcome.isolation = CONTAINER
        self._outcome.container = self._boxed.told
        return behind

    def stood(self, ended: Ended, again: Callable[[], Ended]) -> Ended:
        """How a step ended that began behind it: a sandbox that could not be made is made again, as
        mounts of the machine may have changed meanwhile. NotStartedError.
        """
        tries = 1
        while self._sandbox is not None and not self._sandbox.stood(ended.exit_code):
            if tries == _TRIES:
                told = "its sandbox could not be made, which its log says"
                raise NotStartedError(told, CANNOT_START)
            if _FELL not in self._outcome.notes:
                self._outcome.notes.append(_FELL)
            tries += 1
            ended = again()
        return ended

    def judge(self) -> None:
        """Fail a task that made, in spite of its wall, what is read-only behind it."""
        wall = self._sandbox or self._boxed
        if wall and self._outcome.status is Status.SUCCESS and (paths := wall.put_there()):
            kind = SANDBOX if self._sandbox else CONTAINER
            told = f"{', '.join(paths)} was put into the project, and is read-only in a {kind}"
            self._outcome.fail(Cause.ARTIFACTS, told)

    def sandbox(self, env: Environment) -> sandboxes.Sandbox | None:
        """The sandbox, made when it is first asked for; None for a container, or where the task
        does without. Raises NotStartedError.
        """
        if self._boxed is None and not self._outcome.isolation:
            try:
                self._sandbox, self._outcome.isolation = self._made_sandbox(env.values)
            except CannotStandError as error:
                raise _not_started(error) from None
            if self._sandbox is None:
                self._outcome.notes.append(f"it ran without its sandbox: {self._outcome.isolation}")
        return self._sandbox

    @property
    def standing(self) -> sandboxes.Sandbox | None:
        """The sandbox, if it was made."""
        return self._sandbox

    def end(self) -> None:
        """Remove what was made for it, with all that is in there."""
        if self._sandbox is not None:
            self._sandbox.close()
        if self._boxed is not None and (problem := self._boxed.end()):
            self._outcome.notes.append(problem)

    def _made_sandbox(self, environ: Mapping[str, str]) -> tuple[sandboxes.Sandbox | None, str]:
        """The sandbox that the task asks for, and what the proof is to call it: `sandbox`; or none,
        and why, where the task does without.
        """
        context, task = self._context, self._task
        program, reason = context.shell.find(sandboxes.PROGRAM), sandboxes.MISSING
        if program is not None:
            reason = context.no_sandbox(partial(sandboxes.why_not, program))
        if program is None or reason:
            if not task.sandbox.get("if_available"):
                raise CannotStandError(f"the sandbox cannot be had: {reason}")
            return None, f"{_NONE}: {reason}"
        read = partial(_named, context, task, environ) if "read" in task.sandbox else None
        home = environ.get("HOME")
        reached = reach(context, task, environ["ARTIFACTS_DIR"])
        if "hide" in task.sandbox:
            with open(f"{context.written_aside}/empty", "a"):
                pass
        empty = f"{folder_of_run(context.aside)}/empty"
        root, proofs = context.real_root, folder_of_run(context.proofs)
        rooms = sandboxes.Rooms(root, proofs, root, empty, reached.written, reached.shown)
        return sandboxes.Sandbox(program, task.sandbox, rooms, home, read), SANDBOX


def file_of(
    wall: Wall | None, context: WorkerContext, outcome: Outcome, step: Step, name: str
) -> ScriptFile | None:
    """Where the script of a command lies as a file, if it has to be one: as its shell wants it, or
    its wall does.
    """
    handed = way(step.shell)
    if wall is not None and wall.takes_files and handed != TEXT:
        return wall.file(name)
    if handed != FILE:
        return None
    place = f"scripts/{outcome.task.id}.{outcome.attempt}.{name}"
    return ScriptFile(f"{context.written_aside}/{place}", f"{context.aside}/{place}")


def _not_started(error: CannotStandError) -> NotStartedError:
    """A step whose wall cannot stand is not started."""
    return NotStartedError(str(error), CANNOT_START)


def _named(context: WorkerContext, task: Task, environ: Mapping[str, str]) -> Iterable[str]:
    from zf.work.caching.files import named  # noqa: PLC0415 - few tasks say what they read

    read = tuple(task.sandbox["read"])
    return named(context.real_root, read, proofs=context.proofs, environ=environ)
