"""What the watch is given: a screen, a project, and terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zf.errors import Problem
from zf.lean.records import Struct
from zf.model import Flow, Loaded, Task
from zf.proof.journal import Line
from zf.watch.cycle import Running


class Screen(Protocol):
    """What is shown; and which keys are pressed."""

    look_s: float

    def is_gone(self) -> bool:
        """Whether nothing reads any more what is shown."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when a key is pressed; None without keys."""
        ...

    def pressed(self) -> list[str]:
        """What the keys ask for: `all`, `failed`, `shell` or `quit`."""
        ...

    def lend(self) -> None:
        """Leave the terminal to something else, until `take_back`."""
        ...

    def take_back(self) -> None:
        """Have it again."""
        ...

    def changed(self, files: Sequence[str]) -> None:
        """These files have changed."""
        ...

    def begun(self, cycle: Running) -> None:
        """A cycle begins."""
        ...

    def happened(self, cycle: Running, line: Line) -> None:
        """A line of its journal."""
        ...

    def over(self, cycle: Running) -> None:
        """It is over."""
        ...

    def waiting(self, tasks: int, files: int, unsettled: int, failed: int) -> None:
        """Nothing is under way; so many tasks are `unsettled`, of which so many `failed`."""
        ...

    def tick(self, now: float) -> None:
        """Time has passed."""
        ...

    def say(self, text: str) -> None:
        """A sentence."""
        ...

    def problems(self, found: Sequence[Problem]) -> None:
        """What is wrong."""
        ...


class Project(Protocol):
    """What is watched."""

    values: Mapping[str, Any]
    command: Sequence[str]

    def load(self) -> Loaded:
        """Its task files, as they are now."""
        ...

    def watched(self, flow: Flow) -> Mapping[str, Task]:
        """The tasks of it that are watched. Raises ZfError."""
        ...

    def max_jobs(self, flow: Flow) -> int:
        """How many of them may run at once."""
        ...

    def words_of_shell(self, task: str) -> tuple[Sequence[str], str | None]:
        """What another zf is called with to open a shell for it, and in which folder if not in the
        current one.
        """
        ...


class Terms(Struct, frozen=True):
    """How it is watched: how long a burst of changes is waited for, in seconds; whether folders are
    looked at every now and then, instead of being told of; and whether all that is watched is run
    at first. The proofs of so many cycles are kept; None for all.
    """

    quiet_s: float
    polling: bool
    at_once: bool
    keep: int | None
