"""A run as its folder has it, for what tells of it: read with care, never trusted.

Of a run that goes on, was killed, or came from elsewhere, it has what is there. Whether that is
true, `zf verify` says, and its answer is handed in, since what tells does not judge.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from zf.errors import ZfError
from zf.proof import forms, layout, read
from zf.proof.read import Artifact, LogFile
from zf.report.facts import Fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from zf.events import Event
    from zf.proof.journal import JournalReading, Line
    from zf.report.facts import Facts

__all__ = ["Artifact", "LogFile", "RecordedRun"]

_PIECE_BYTES = 1024 * 1024


class RecordedRun:
    """The files of a run. Raises ZfError where run.json, plan.json or the journal cannot be read;
    of a task, what cannot be read is not there.

    `alive` says that a zf runs it now; `verify` gives what `zf verify --json` prints of it, and
    `begin_to_verify` has that made ready beside other work.
    `project` is where in its repository the project is, `page` where in it the run's page is to be
    written; both are empty where that is not known.
    """

    def __init__(
        self,
        folder: str,
        *,
        alive: bool = False,
        verify: Callable[[], Mapping[str, Any]] | None = None,
        begin_to_verify: Callable[[], None] | None = None,
        project: str = "",
        page: str = "",
    ) -> None:
        self.folder = folder
        self.project = project
        self.page = page
        self.alive = alive
        self._verify = verify
        self._begin_to_verify = begin_to_verify

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """What run.json says, but for what has not its form."""
        return _in_form("run", read.run_json(self.folder))

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """What plan.json says, with the instances that joined the plan."""
        return read.grown_plan(self.folder)

    @cached_property
    def journal(self) -> JournalReading:
        """The journal as far as it is intact, with what is wrong behind that."""
        return read.journal(self.folder)

    @property
    def lines(self) -> Iterable[Line]:
        """Each event with the times at which it was written down."""
        return self.journal.lines

    @property
    def events(self) -> Sequence[Event]:
        return self.journal.events

    @cached_property
    def facts(self) -> Facts:
        """What the events come to."""
        fold = Fold(self.plan)
        for line in self.lines:
            fold.apply(line.event, line.mono, line.wall)
        with suppress(KeyError, TypeError):
            limits = self.run["limits"]
            fold.facts.max_jobs, fold.facts.resources = limits["max_jobs"], limits["resources"]
        return fold.facts

    @property
    def id(self) -> str:
        """The run's id, as its journal has it."""
        return self.facts.run or str(self.run.get("run_id", ""))

    @cached_property
    def sealed(self) -> bool:
        """Whether it is closed: nothing of it changes any more."""
        return read.exists(self.folder, layout.MANIFEST)

    def expect_verification(self) -> None:
        """Say that `verification` will be asked for: it may be worked out meanwhile."""
        if self._begin_to_verify is not None:
            self._begin_to_verify()
            self._begin_to_verify = None

    @cached_property
    def verification(self) -> Mapping[str, Any] | None:
        """What `zf verify` says of the proof, as JSON; None where that was not asked."""
        return None if self._verify is None else self._verify()

    def status(self, task: str, attempt: int | None = None) -> Mapping[str, Any] | None:
        """What status.json says of the newest attempt, or of that one, but for what has not its
        form; None where there is none.
        """
        return self._json("status", f"{self._tree(task, attempt)}/{layout.STATUS}")

    def step_record(self, task: str, attempt: int | None, step: int) -> Mapping[str, Any] | None:
        """How a step ended, the step numbered as its files are; None where it was not reached."""
        return self.command_record(task, attempt, f"step-{step}")

    def command_record(self, task: str, attempt: int | None, name: str) -> Mapping[str, Any] | None:
        """The same of any command, by the name of its files: `step-0`, `cleanup-0`."""
        return self._json("step", f"{self._tree(task, attempt)}/{layout.command_record(name)}")

    def outputs(self, task: str) -> Mapping[str, str]:
        """What a task handed on, by name; nothing where there is none."""
        with suppress(ZfError):
            return read.outputs(self.folder, task)
        return {}

    def log(self, task: str, attempt: int | None, step: int) -> BinaryIO | None:
        """A step's log, opened; None where there is none."""
        with suppress(ZfError):
            return read.open_file(self.folder, self.log_path(task, attempt, step))
        return None

    def log_path(self, task: str, attempt: int | None, step: int) -> str:
        """Where in the folder the log of a step is, if it has one."""
        return f"{self._tree(task, attempt)}/{layout.step_log(step)}"

    def logs(self, task: str, attempt: int | None) -> list[LogFile]:
        """Every log of an attempt, its cleanup's too."""
        return read.logs(self.folder, self._tree(task, attempt))

    def log_pieces(self, task: str, attempt: int | None, name: str) -> Iterator[bytes]:
        """A log by its name, piece by piece; nothing where it is not there."""
        with suppress(ZfError):
            path = f"{self._tree(task, attempt)}/{layout.log(name)}"
            with read.open_file(self.folder, path) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    yield piece

    def log_tail(
        self, task: str, step: int, *, attempt: int | None = None, lines: int = 10
    ) -> list[str]:
        """The last lines of a step's log, raw but decoded; see `read.log_tail`."""
        return read.log_tail(self.folder, task, step, attempt=attempt or 0, lines=lines)

    def artifacts(self, task: str) -> list[Artifact]:
        """What was kept of what the newest attempt left, by the list of their checksums."""
        if self.sealed:
            return self._sealed_artifacts.get(task, [])
        return read.artifacts(self.folder, task)

    @cached_property
    def _sealed_artifacts(self) -> Mapping[str, list[Artifact]]:
        return read.sealed_artifacts(self.folder)

    def _tree(self, task: str, attempt: int | None) -> str:
        return read.attempt_tree(self.folder, task, attempt or 0)

    def _json(self, form: str, path: str) -> Mapping[str, Any] | None:
        with suppress(ZfError):
            return _in_form(form, read.read_json(self.folder, path))
        return None


def _in_form(form: str, value: dict[str, Any]) -> Mapping[str, Any]:
    if not forms.problems(form, value):
        return value
    sound: Mapping[str, Any] = forms.sound(form, value)
    return sound
