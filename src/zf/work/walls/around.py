"""The wall around the steps of an attempt, made of what its worker has at hand when the first of
them is to run: a sandbox, which each step gets anew, or a container, in which all of them run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from zf.events import Cause, Status
from zf.lean import lazy
from zf.proof import layout
from zf.work.shell import NOTHING_BETWEEN, Behind, CannotStandError, ScriptFile
from zf.work.walls.reach import reach

if TYPE_CHECKING:
    from zf.model import Task
    from zf.proof.tree.store import TaskTree
    from zf.work.context import WorkerContext
    from zf.work.environment import Environment
    from zf.work.outcome import Outcome
    from zf.work.walls import boxed, sandbox
else:  # a task that has a wall has one of the two
    boxed = lazy.module("zf.work.walls.boxed")
    sandbox = lazy.module("zf.work.walls.sandbox")

SANDBOX, CONTAINER, _NONE = "sandbox", "container", "none"
# Of the files that a step could not see, and of the end of its log that is looked at for them.
_MOST_UNSEEN, _END_BYTES = 5, 16_384


class Wall:
    """The wall of one attempt of a task that asks for one; it has to be ended."""

    def __init__(self, context: WorkerContext, task: Task, outcome: Outcome) -> None:
        self._context = context
        self._task = task
        self._outcome = outcome
        self._sandbox: sandbox.Sandbox | None = None
        self._boxed: boxed.Boxed | None = None
        if task.container:
            self._boxed = boxed.Boxed(context, task, outcome.attempt)

    @property
    def takes_files(self) -> bool:
        """Whether every script has to be a file: no descriptor goes into a container."""
        return self._boxed is not None

    def file(self, name: str) -> ScriptFile:
        """Where the script of this command can lie as a file."""
        if self._boxed is not None:
            return self._boxed.file(name)
        return script_file(self._context, self._task, self._outcome.attempt, name)

    def behind(
        self, env: Environment, values: Mapping[str, str], script: str, *, on: bool
    ) -> Behind:
        """What the command line of a step is put behind, in the current folder, with its variables;
        `script` is the file that it has its script in, if any, `on` a terminal. CannotStandError.
        """
        if self._boxed is not None:
            behind = self._boxed.behind(env, values, on=on)
            self._outcome.isolation = CONTAINER
            self._outcome.container = self._boxed.told
            return behind
        if not self._outcome.isolation:
            self._sandbox, self._outcome.isolation = self._made_sandbox(env.values)
            if self._sandbox is None:
                self._outcome.notes.append(f"it ran without its sandbox: {self._outcome.isolation}")
        if self._sandbox is None:
            return NOTHING_BETWEEN
        program, _, *words = self._sandbox.words(os.getcwd(), script)
        return Behind((program, *words))

    def judge(self) -> None:
        """Fail a task that made, in spite of its wall, what is read-only behind it."""
        wall = self._sandbox or self._boxed
        if wall and self._outcome.status is Status.SUCCESS and (paths := wall.put_there()):
            kind = SANDBOX if self._sandbox else CONTAINER
            told = f"{', '.join(paths)} was put into the project, and is read-only in a {kind}"
            self._outcome.fail(Cause.ARTIFACTS, told)

    def tell_unread(self, tree: TaskTree, index: int) -> None:
        """Note those of the files that a failed step speaks of that its sandbox kept from it."""
        if self._sandbox is None:
            return
        workdir = self._task.steps[index].workdir or self._task.workdir
        end = tree.end_of(layout.log(f"step-{index}"), _END_BYTES)
        for path in self._sandbox.unseen(workdir, end.decode("utf-8", "replace"))[:_MOST_UNSEEN]:
            told = f"{path} is in the project, but not in `read` of its sandbox"
            self._outcome.notes.append(told)

    def end(self) -> None:
        """Remove what was made for it, with all that is in there."""
        if self._boxed is not None and (problem := self._boxed.end()):
            self._outcome.notes.append(problem)

    def _made_sandbox(self, environ: Mapping[str, str]) -> tuple[sandbox.Sandbox | None, str]:
        """The sandbox that the task asks for, and what the proof is to call it: `sandbox`; or none,
        and why, where the task does without.
        """
        context, task = self._context, self._task
        program, reason = context.shell.find(sandbox.PROGRAM), sandbox.MISSING
        if program is not None:
            reason = context.no_sandbox(partial(sandbox.why_not, program))
        if program is None or reason:
            if not task.sandbox.get("if_available"):
                raise CannotStandError(f"the sandbox cannot be had: {reason}")
            return None, f"{_NONE}: {reason}"
        read = partial(_named, context, task, environ) if "read" in task.sandbox else None
        home = environ.get("HOME")
        reached = reach(context, task, environ["ARTIFACTS_DIR"])
        empty = f"{context.written_aside}/empty"
        with open(empty, "a"):
            pass
        root, proofs = context.real_root, os.path.realpath(context.proofs)
        rooms = sandbox.Rooms(
            root, proofs, root, os.path.realpath(empty), reached.written, reached.shown
        )
        return sandbox.Sandbox(program, task.sandbox, rooms, home, read), SANDBOX


def script_file(context: WorkerContext, task: Task, attempt: int, name: str) -> ScriptFile:
    """Where the script of a command can lie as a file, in no container."""
    place = f"scripts/{task.id}.{attempt}.{name}"
    return ScriptFile(f"{context.written_aside}/{place}", f"{context.aside}/{place}")


def _named(context: WorkerContext, task: Task, environ: Mapping[str, str]) -> Iterable[str]:
    from zf.work.caching.files import named  # noqa: PLC0415 - few tasks say what they read

    read = tuple(task.sandbox["read"])
    return named(context.real_root, read, proofs=context.proofs, environ=environ)
