"""Verifying an earlier run in a second process, while this one gets ready to build on it.

What verifies takes 20 ms to import and to make, and a small proof 6 to look through: a third of the
time before the first step of a run that builds on another. What is found comes back through a pipe,
and only of a proof that is as it should be: of any other, who asks finds out again, and says why.
"""

from __future__ import annotations

import _thread
import os
import select
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Self

from zf.lean.records import DecodeError, Struct, json_decode, json_encode
from zf.lean.signals import signal
from zf.proof.layout import PLAN
from zf.work.supervise import cgroup

if TYPE_CHECKING:
    from zf.audit.authentic import Trust


class Sound(Struct, frozen=True):
    """A proof that is intact: which verdicts it `passed`, the end of its journal, what the tasks
    came to that were run in it, the digests of the lists of all, and that of its plan.json.
    """

    passed: tuple[str, ...]
    head: str
    own: Mapping[str, str]
    tasks: Mapping[str, str]
    plan_sha256: str


class Verifying:
    """A process that verifies the run in this folder. To be closed: it never outlives that."""

    def __init__(self, run_dir: str, pid: int, answer: int) -> None:
        self.run_dir = run_dir
        self._pid = pid
        self._answer = answer
        self._sound: Sound | None = None

    @classmethod
    def begin(cls, run_dir: str, trust: Trust | None = None) -> Self | None:
        """Begin; None where no process can be had, or no pipe."""
        try:
            answer, theirs = os.pipe()
        except OSError:
            return None
        try:
            pid = os.fork()
        except OSError:
            os.close(answer)
            return None
        else:
            if pid == 0:
                os.close(answer)  # or it would wait for itself to read, should the other one die
                _verify_and_exit(theirs, run_dir, trust)
            return cls(run_dir, pid, answer)
        finally:
            os.close(theirs)

    def sound(self) -> Sound | None:
        """What was found; waits for it. None where the proof is to be verified again."""
        if self._answer >= 0:
            with os.fdopen(self._answer, "rb") as stream:
                self._answer = -1
                # Nothing is there, or what is left of it, when a second process asks, too.
                with suppress(DecodeError):
                    self._sound = json_decode(stream.read(), type=Sound)
        return self._sound

    def sound_within(self, wait_s: float) -> Sound | None:
        """The same, waiting no longer than that."""
        poll = select.poll()
        if self._answer >= 0:
            poll.register(self._answer, select.POLLIN)
        return self.sound() if self._answer < 0 or poll.poll(wait_s * 1000) else None

    def end(self) -> None:
        """Nothing more is asked of it."""
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """The same, and wait until it has gone, which the kernel may put off for some 20 ms."""
        self.end()
        os.waitpid(self._pid, 0)


def _verify_and_exit(answer: int, run_dir: str, trust: Trust | None) -> NoReturn:
    """The other process; it says nothing of what is wrong: verifying again will.

    Workers are about to be forked, or will be as soon as it has answered: it waits for the kernel
    twice, each time so that they need not.
    """
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with suppress(RuntimeError):  # no more threads for this user
            _thread.start_new_thread(cgroup.get_ready, ())
        from zf.audit.authentic import NO_TRUST  # noqa: PLC0415 - the import this is about
        from zf.audit.findings import State  # noqa: PLC0415 - as above
        from zf.audit.verify import verify  # noqa: PLC0415 - as above
        from zf.proof.read import object_and_digest  # noqa: PLC0415 - as above

        found = verify(run_dir, trust=trust or NO_TRUST)
        passed = tuple(v.name for v in found.verdicts if v.state is State.PASSED)
        if "INTACT" in passed:
            plan_sha256 = object_and_digest(run_dir, PLAN)[1]
            told = Sound(passed, found.result["head"], found.own, found.tasks, plan_sha256)
            with os.fdopen(answer, "wb") as stream:
                stream.write(json_encode(told))
        cgroup.get_ready()
    finally:
        os._exit(0)
