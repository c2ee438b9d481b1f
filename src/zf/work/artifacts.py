"""What must not be in artifacts, and when collecting them ends early.

Collecting ends on an order, at its time limit and when the runner is gone: the steps are over by
then, so no supervisor listens to the runner, and files may be large.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import Cause
from zf.proof.tree.artifacts import TOLD_MOST, Collected, collect, listed
from zf.redact.secret_forms import WEAK_BYTES
from zf.redact.token_rules import SHAPES
from zf.work.control import RunnerOrders, Stop

if TYPE_CHECKING:
    from zf.proof.tree.store import TaskTree
    from zf.redact.secret_forms import Secret
    from zf.redact.stream import StreamRedactor
    from zf.work.context import WorkerContext

# Artifacts of a task with a short time limit may still be large.
LEAST_S = 60.0
# How often it is asked for orders; what is collected sooner than that costs no call.
_LOOK_S = 0.05


class ArtifactSecrets:
    """What is looked for in artifacts: all that is hidden in output, but for values so short that
    they occur by chance. Hiding one of those costs a word; here it would cost the task.
    """

    def __init__(
        self, redactor: StreamRedactor, secrets: Iterable[Secret], allowed_in: tuple[str, ...]
    ) -> None:
        self.text = redactor.text
        self._lines = redactor.lines
        self._weak = {f"secret:{one.name}" for one in secrets if len(one.value) < WEAK_BYTES}
        self._allowed_in = allowed_in
        # What was let through: the first notes, and how many there are in all.
        self._notes: list[str] = []
        self._count = 0

    def search(self, path: str, data: Iterable[bytes]) -> list[str]:
        """The rules that forbid the artifact, each with the line of its first find; none where its
        name matches one of `allowed_in`, or where only the shape of a text speaks against it: test
        data looks like that. Both are noted.
        """
        rules = {rule: line for rule, line in self._lines(data).items() if rule not in self._weak}
        if not rules:
            return []
        told = [f"{rule} in line {line}" for rule, line in sorted(rules.items())]
        if any(fnmatchcase(path, pattern) for pattern in self._allowed_in):
            found = f"contains a secret ({listed(told)}): allow_secrets_in permits it"
        elif rules.keys() <= SHAPES:
            found = (
                f"has what looks like a secret ({listed(told)}) and is kept: replace it if it is"
                " one; allow_secrets_in says that it is meant"
            )
        else:
            return told
        self._count += 1
        if len(self._notes) < TOLD_MOST // 2:
            self._notes.append(f"artifact {printable(self.text(path))} {found}")
        return []

    def notes(self) -> list[str]:
        """What was let through, and how much more than is told."""
        more = self._count - len(self._notes)
        return self._notes + [f"and {more} more artifacts like these"] * (more > 0)


class RunnerGoneError(Exception):
    """The runner is dead: what is being collected is left for `zf resume` or `zf seal`."""


class Collecting:
    """Called between two files or blocks: why no more artifacts are to be taken, or nothing.

    An order that ended the steps does not end this: artifacts of a task that was ended are kept,
    too. An order that leaves no grace does, whenever it came.
    """

    def __init__(self, orders: RunnerOrders, limit_s: float) -> None:
        self._orders = orders
        self._before = orders.stop
        self._limit_s = limit_s
        began = time.monotonic()
        self._until = began + limit_s
        self._look_at = began + _LOOK_S
        # What ended it before everything was taken.
        self.stop: Stop | None = None

    def __call__(self) -> str:
        if self.stop is not None:
            return _REASON
        now = time.monotonic()
        if now < self._look_at:
            return ""
        self._look_at = now + _LOOK_S
        self._orders.look()
        if self._orders.gone:
            raise RunnerGoneError
        stop = self._orders.stop
        if stop is not None and (self._before is None or stop.force):
            self.stop = stop
        elif now >= self._until:
            detail = f"collecting the artifacts did not end in {self._limit_s:g} s"
            self.stop = Stop(Cause.TIMEOUT, detail)
        return _REASON if self.stop is not None else ""


class Briefly:
    """The same where a dead worker's artifacts are kept in its place, in the process on which all
    others wait: until something comes on `wakeup_fd`, or for `limit_s`.
    """

    def __init__(self, wakeup_fd: int | None = None, limit_s: float = LEAST_S) -> None:
        began = time.monotonic()
        self._until = began + limit_s
        self._look_at = began + _LOOK_S
        self._poll = select.poll()
        if wakeup_fd is not None:
            self._poll.register(wakeup_fd, select.POLLIN)

    def __call__(self) -> str:
        now = time.monotonic()
        if now < self._look_at:
            return ""
        self._look_at = now + _LOOK_S
        return _REASON if now >= self._until or self._poll.poll(0) else ""


_REASON = "was not taken when collecting the artifacts was stopped"


def collecting_limit_s(timeout_s: float) -> float:
    """How long collecting may take for a task with this `timeout_sec`, in seconds."""
    return max(timeout_s, LEAST_S)


def collected(
    context: WorkerContext,
    tree: TaskTree,
    patterns: tuple[str, ...],
    secrets: ArtifactSecrets,
    left: str,
    collecting: Collecting,
) -> Collected:
    """The artifacts of an attempt, taken into its tree; `left` is where it has them meanwhile, if
    not there.
    """
    return collect(
        tree,
        context.real_root,
        patterns,
        proofs=context.proofs,
        secrets=secrets,
        left=left or None,
        stop_reason=collecting,
    )
