"""The commands of a task, one by one: which run, on which terms, and what their records say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from zf.errors import Exit, printable
from zf.events import FAILED, Cause, Status
from zf.lean.records import Struct, replace
from zf.model import recorded_step
from zf.work.interpreters import shown_argv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from zf.model import Step, Task
    from zf.plan.conditions.condition import Scalar
    from zf.work.outcome import Outcome
    from zf.work.supervise.processes import Process
    from zf.work.supervise.supervisor import Ended, Terms

_EXIT_SIGNALLED = 128
_NOT_RUN = dict.fromkeys(
    (
        "exit_code",
        "signal",
        "started_at",
        "completed_at",
        "duration_s",
        "log",
        "log_bytes",
        "log_sha256",
        "output_bytes",
        "output_sha256",
    )
)


class Command:
    """A step or a cleanup command: as it runs, and as the proof shows it."""

    def __init__(
        self, kind: str, index: int, steps: tuple[Step, ...], shown: tuple[Step, ...]
    ) -> None:
        self.kind = kind
        self.index = index
        self.step = steps[index]
        self.shown = shown[index]
        self.file = f"{kind}-{index}"

    @property
    def label(self) -> str:
        """What it is called in sentences."""
        return named(self.kind, self.index, printable(self.shown.name))

    def record(
        self,
        script_sha256: str,
        arguments: Sequence[str],
        env: Mapping[str, str | None],
        *,
        by_file: bool = False,
    ) -> dict[str, Any]:
        """What its record says of a command that did not run; of one that did, the rest is put
        over this. `arguments` and `env`, its own variables, are as they may be shown; `by_file`
        the script is a file, whatever the shell.
        """
        said = recorded_step(self.shown)
        return {
            "schema": "zf/step/v2",
            "step": self.index,
            "name": self.shown.name,
            "line": self.step.line,
            "argv": shown_argv(self.shown.shell, arguments, by_file=by_file),
            "script_sha256": script_sha256,
            "status": "not_run",
            **_NOT_RUN,
            **(said | {"env": env} if env else said),
        }

    def terms(self, terms: Terms) -> Terms:
        """The task's terms, or those of its own time where that is up earlier."""
        limit_s = self.step.timeout_s
        if limit_s is None or (until := time.monotonic() + limit_s) >= terms.deadline:
            return terms
        return replace(terms, deadline=until, cause=Cause.STEP_TIMEOUT)

    def cannot_run(
        self, outcome: Outcome, cause: Cause, detail: str, exit_code: int | None = None
    ) -> Status:
        """Tell the outcome that it was not even started; the word for that in its record."""
        if self.kind == "step":
            return outcome.take_end(self.index, End(Status.FAILURE, cause, detail, exit_code))
        outcome.take_cleanup_end(self.index, End(Status.FAILURE, cause, f"{self.label}: {detail}"))
        return Status.FAILURE

    def take(self, outcome: Outcome, ended: Ended) -> Status:
        """Tell the outcome how it ended; the word for that in its record."""
        if self.kind == "step":
            return outcome.take_step(self.index, ended)
        return outcome.take_cleanup(self.index, ended)


class End(Struct, frozen=True):
    """How a command ended by itself, or by its own time, if it was not well."""

    status: Status
    cause: Cause
    detail: str
    exit_code: int | None = None
    signal: int | None = None


def own_end(where: str, step: Step, ended: Ended, skip: Sequence[int] = ()) -> End | None:
    """How it ended, its tree and what stopped it from outside left aside; None if that was well.
    `skip` are the exit codes by which it says that its task is to be skipped.
    """
    number, code = ended.signal, ended.exit_code
    if ended.stop is not None:
        detail = f"timeout_sec ({step.timeout_s:g} s) of {where} ran out"
        return End(Status.TIMEOUT, Cause.STEP_TIMEOUT, detail, int(Exit.TIMEOUT), number)
    if number is not None:
        detail = f"{where} was ended by {signal_name(number)}"
        return End(Status.FAILURE, Cause.SIGNAL, detail, _EXIT_SIGNALLED + number, number)
    detail = f"{where} exited with code {code}"
    if code in skip:
        return End(Status.SKIPPED, Cause.SKIP_EXIT_CODE, f"{detail}, which skips the task", code)
    return End(Status.FAILURE, Cause.EXIT, detail, code) if code else None


def cleanup_end(name: str, task: Task, index: int, ended: Ended) -> End | None:
    """The same of a cleanup command, which also ends with the time for all of them."""
    stop = ended.stop
    if stop is None or stop.cause is Cause.STEP_TIMEOUT:
        return own_end(name, task.cleanup[index], ended)
    detail = f"{name} did not end in cleanup_timeout_sec ({task.cleanup_timeout_s:g} s)"
    return End(Status.CANCELLED if stop.force else Status.TIMEOUT, stop.cause, detail)


def named(kind: str, number: int, name: str) -> str:
    """A command for people: by its name, or as its files are called where it has none."""
    return name if name == f"{kind}-{number}" else f"{kind} '{name}'"


def signal_name(number: int) -> str:
    """SIGTERM; a real-time signal has no name of its own."""
    from signal import Signals  # noqa: PLC0415 - no step that goes well is ended by one

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def processes(found: Sequence[Process]) -> str:
    """So many processes, for sentences."""
    return "1 process" if len(found) == 1 else f"{len(found)} processes"


# Conditions of steps.


class Answer(Struct, frozen=True):
    """Whether a command is to run, by its condition; `said` is what its record says of that."""

    runs: bool
    said: Mapping[str, Any]
    error: str = ""


def asked(
    command: Command,
    outcome: Outcome,
    look: Callable[[Iterable[str]], tuple[Mapping[str, str], frozenset[str]]],
    facts: Mapping[str, Scalar],
    hide: Callable[[str], str],
    record: dict[str, Any],
) -> bool:
    """Whether the condition of a command is for it, as `answer` has it; its record is told."""
    found = answer(command, outcome, look, facts, hide)
    if found is None:
        return False
    record |= found.said
    if not found.runs:
        record["status"] = Status.SKIPPED
        if found.error:
            why = f"the condition of {command.label} cannot be evaluated: {hide(found.error)}"
            record["status"] = command.cannot_run(outcome, Cause.CONDITION, why)
    return found.runs


def answer(
    command: Command,
    outcome: Outcome,
    look: Callable[[Iterable[str]], tuple[Mapping[str, str], frozenset[str]]],
    facts: Mapping[str, Scalar],
    hide: Callable[[str], str],
) -> Answer | None:
    """What the condition of a command comes to. It may name variables, of which `look` has the
    values and which of them are not told; and `facts` and the project's own values, by how they are
    written. None where it does not come to being asked: a step whose condition calls no status
    function runs as if it called `success()`, too.
    """
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have one
    from zf.plan.conditions.verdict import ConditionContext, Needs, evaluate  # noqa: PLC0415 - as above

    condition = parse(command.step.condition)
    well = outcome.status is Status.SUCCESS
    if command.kind == "step" and not (well or condition.functions):
        return None
    failed, cancelled = outcome.status in FAILED, outcome.status is Status.CANCELLED
    seen, hidden = look(condition.variables)
    context = ConditionContext(seen, facts, hidden, hide, fields=facts)
    verdict = evaluate(condition, context, Needs(well, failed, cancelled))
    operands = {
        name: hide(value) if isinstance(value, str) else value
        for name, value in verdict.operands.items()
    }
    said = {"value": verdict.value, "operands": operands, "error": hide(verdict.error)}
    if verdict.value is False and not condition.functions:
        told = hide(verdict.explain(command.shown.condition))
        outcome.remarks.append(f"{command.label} was skipped: {told}")
    return Answer(verdict.value is True, {"asked": said}, verdict.error)
