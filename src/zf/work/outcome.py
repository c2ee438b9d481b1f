"""What an attempt has come to, from its first step to its claimed outcome and its last event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import compress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from zf.errors import Exit, error_text, printable
from zf.events import WELL, AttemptEnded, Cause, Status, timestamp
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING
from zf.proof.layout import TIMEOUT_MARK
from zf.proof.tree.artifacts import TOLD_MOST, Collected, collect, listed
from zf.proof.tree.records import status_fields
from zf.proof.tree.store import NO_ARTIFACT, TaskTree
from zf.work.artifacts import ArtifactSecrets
from zf.work.control import Stop
from zf.work.results import measures
from zf.work.steps import End, cleanup_end, named, own_end, processes
from zf.work.supervise.processes import Process
from zf.work.supervise.supervisor import Ended

if TYPE_CHECKING:
    from zf.model import Task
    from zf.redact.redactor import Redactor
    from zf.work.results.metrics import Measured
    from zf.work.results.reports import Tests

EXIT_TIMEOUT = int(Exit.TIMEOUT)
# How a step ends that leaves nothing to judge: by itself, with code 0, and nothing was left.
_WELL = Ended(0, None, None)
# Of the command line of a process that was left behind.
COMMAND_CHARS = 300
# In one sentence. With TOLD_MOST it keeps status.json, and an event, far below 4 MiB.
_DETAIL_CHARS = 4000
_OF_ITS_PLACE = ("isolation", "container", "interactive", "services", "limits", "executor")
_of_its_place = attrgetter(*_OF_ITS_PLACE)
# What status.json takes of the last event, where it says it.
_OF_ITS_EVENT = ("metrics", "outputs_sha256", "cached_from")
_of_its_event = attrgetter(*_OF_ITS_EVENT)
_TIMEOUTS = {
    Cause.TIMEOUT: "timeout_sec ({task.timeout_s:g} s) ran out in {where}",
    Cause.PHASE_TIMEOUT: "the phase timeout ran out in {where}",
    Cause.PROBE_TIMEOUT: "probe_timeout_sec ({task.repeat[probe_timeout_sec]:g} s) ran out in"
    " {where}",
    Cause.SILENCE: "no output for silence_timeout_sec ({task.silence_timeout_s:g} s) from {where}",
    Cause.DEADLINE: "the deadline passed in {where}",
}


class Outcome(Struct):
    """Success until something else happens; the first thing that does decides."""

    task: Task
    attempt: int
    started_at: str = field(default_factory=lambda: timestamp(time.time()))
    began: float = field(default_factory=time.monotonic)
    status: Status = Status.SUCCESS
    exit_code: int | None = 0
    signal: int | None = None
    cause: Cause = Cause.NONE
    detail: str = ""
    step: int | None = None
    # Whether steps still run if their conditions say so: a failure was a step's own.
    goes_on: bool = True
    containment: str = ""
    # How the steps were shielded. A worker that died took that with it: it stays unknown.
    shield: str = "unknown"
    isolation: str = ""  # the wall that its steps asked for and had; what a container was made of
    container: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    survivors: dict[int, Process] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # Of steps that were skipped, or failed and were tolerated.
    remarks: list[str] = field(default_factory=list)
    tolerated: bool = False  # whether there was such a failure
    redactions: Mapping[str, int] = field(default_factory=dict)
    collected: Collected = field(default_factory=Collected)
    # What the task's own reports say of its test cases, where it has any.
    tests: Tests | None = None
    cached_from: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    services: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    limits: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    interactive: bool = False  # whether it had the terminal, so that a person could type
    executor: str = ""  # where it ran, if not where the runner is
    # What the task measured of itself, and the digest of the file with its outputs, if any.
    measured: Measured | None = None
    outputs_sha256: str = ""
    # What each command that was started used: which kind of command, its number, its measures.
    used: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)

    def measure(self, kind: str, number: int, used: dict[str, Any], output_bytes: int) -> None:
        """Take what a command used and printed."""
        used["output_bytes"] = output_bytes
        self.used.append((kind, number, used))

    def begin(self) -> None:
        """From now on its time is taken."""
        self.started_at, self.began = timestamp(time.time()), time.monotonic()

    def fail(
        self,
        cause: Cause,
        detail: str,
        *,
        status: Status = Status.FAILURE,
        exit_code: int | None = None,
        number: int | None = None,
        step: int | None = None,
    ) -> None:
        self.status, self.cause, self.detail = status, cause, detail
        self.exit_code, self.signal, self.step = exit_code, number, step
        self.goes_on = False

    def take_step(self, step: int, ended: Ended) -> Status:
        """Judge a step by how its tree ended; the word for what became of the step itself."""
        if ended == _WELL:  # as most do
            return Status.SUCCESS
        where = self._where(step)
        if ended.stop is not None and ended.stop.cause is not Cause.STEP_TIMEOUT:
            status = self.take_stop(step, ended.stop, ended.signal)
        else:
            skip = self.task.skip_exit_codes if self.status is Status.SUCCESS else ()
            end = own_end(where, self.task.steps[step], ended, skip)
            status = Status.SUCCESS if end is None else self.take_end(step, end)
        return self._take_processes(where, ended, step) or status

    def take_end(self, step: int, end: End) -> Status:
        """Judge a step by how it ended itself, which was not well."""
        if self.task.steps[step].continue_on_error and end.status is not Status.SKIPPED:
            self.remarks.append(f"{end.detail}, which is tolerated")
            self.tolerated = True
            return end.status
        if end.status is Status.SKIPPED:
            self.goes_on = False
        return self._end(end, step)

    def _end(self, end: End, step: int | None) -> Status:
        """The end of the attempt, if nothing else was before; else it is told."""
        if self.status is Status.SUCCESS:
            self.status, self.cause, self.detail = end.status, end.cause, end.detail
            self.exit_code, self.signal, self.step = end.exit_code, end.signal, step
        else:
            self.notes.append(end.detail)
        return end.status

    def take_cleanup(self, step: int, ended: Ended) -> Status:
        """Judge a cleanup command, which can only make what was well a failure; how it ended."""
        name = named("cleanup", step, printable(self.task.cleanup[step].name))
        end = cleanup_end(name, self.task, step, ended)
        if end is not None:
            self.take_cleanup_end(step, replace(end, exit_code=ended.exit_code))
        self._take_processes(name, ended, None)
        return Status.SUCCESS if end is None else end.status

    def take_cleanup_end(self, step: int, end: End) -> None:
        """A cleanup command did not do its work: that is told, and fails what was well."""
        if self.task.cleanup[step].continue_on_error:
            self.remarks.append(f"{end.detail}, which is tolerated")
        elif self.status in WELL:
            self.fail(Cause.CLEANUP, end.detail, exit_code=end.exit_code)
        else:
            self.notes.append(end.detail)

    def tell_remarks(self) -> None:
        """Say of a success what did not happen in it, and of anything else beside it."""
        if self.status is Status.SUCCESS:
            self.detail = "; ".join(self.remarks)
        else:
            self.notes += self.remarks

    def _take_processes(self, where: str, ended: Ended, step: int | None) -> Status | None:
        """Judge by what the leader left behind; a cause that came before stays. FAILURE if that is
        what it comes to.
        """
        for one in (*ended.survivors, *ended.unkillable):
            self.survivors[one.pid] = one
        left, addition = ended.unkillable, " that cannot be killed"
        if not left and not self.task.leave_running:
            left, addition = ended.survivors, " behind"
        if left:
            detail = f"{where} left {processes(left)}{addition}"
            if self.status in WELL:
                self.fail(Cause.SURVIVORS, detail, exit_code=0, step=step)
                self.goes_on = not ended.unkillable
                return Status.FAILURE
            self.notes.append(detail)
        return None

    def take_stop(self, step: int, stop: Stop, number: int | None = None) -> Status:
        """End for a reason that came from outside the step; what that makes of the step."""
        self.goes_on = False
        return self._take_stop(self._where(step), step, stop, number)

    def take_stop_of_collecting(self, stop: Stop) -> None:
        """The same after the steps, while artifacts were collected; an earlier failure stays."""
        if self.status is not Status.SUCCESS:
            why = stop.detail or f"collecting the artifacts was stopped ({stop.cause})"
            self.notes.append(why)
        elif stop.cause is Cause.TIMEOUT:
            self.fail(
                stop.cause, stop.detail, status=Status.TIMEOUT, exit_code=EXIT_TIMEOUT, step=None
            )
        else:
            self._take_stop("collecting the artifacts", None, stop, None)

    def begin_anew(self) -> None:
        """Forget how the last probe ended: another one decides."""
        self.status, self.cause, self.detail = Status.SUCCESS, Cause.NONE, ""
        self.exit_code, self.signal, self.step = 0, None, None
        self.goes_on, self.tolerated = True, False
        self.remarks.clear()

    def end_series(self, cause: Cause, detail: str) -> None:
        """The last probe is over, and all of them together are a failure."""
        last, code, number, step = self.detail, self.exit_code or None, self.signal, self.step
        told = f"{detail}; the last: {last}" if last else detail
        self.fail(cause, told, exit_code=code, number=number, step=step)

    def take_stop_between_probes(self, stop: Stop) -> None:
        """End for a reason that came while it waited for its next probe."""
        self.goes_on = False
        self._take_stop("the wait for its next probe", None, stop, None)

    def take_told(self, notes: Iterable[str], cause: Cause, problem: str) -> None:
        """Judge by what the steps told, where a problem is to fail it; an earlier failure stays."""
        self.notes += notes
        if problem and self.status is Status.SUCCESS:
            self.fail(cause, problem)

    def take_budget(self, spent: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """Judge by the task's budget, of which earlier attempts have `spent` so much, and this one
        was `seen` to; an earlier failure stays.
        """
        from zf.metrics import budget  # noqa: PLC0415 - few tasks have one

        task = self.task
        series = self.measured.metrics.as_json() if self.measured else []
        used = budget.amounts(series, task.budget)
        silent = [name for name in task.budget if name not in used]
        total = budget.added(spent, budget.larger(seen, used))
        over = budget.over(task.budget, total)
        if self.status is not Status.SUCCESS:
            return
        if over is not None:
            self.fail(Cause.BUDGET, budget.told(over, total[over], task.budget[over]))
        elif silent and task.budget_required:
            named = ", ".join(silent)
            self.fail(Cause.BUDGET, f"it measured nothing of what its budget limits: {named}")

    def take_artifacts(
        self,
        found: Collected,
        strange: list[tuple[str, str]],
        required: tuple[str, ...],
        *,
        leaks_fail: bool,
    ) -> None:
        """Judge by the artifacts; an earlier failure stays. `strange` is what steps did in zf's own
        part of the tree: paths, and what is wrong with each. `required` are patterns.
        """
        for path, reason in strange:
            found.refuse(path, reason)
        self.collected = found
        if self.status not in WELL:
            return
        if found.leaks and leaks_fail:
            held = "artifact {} contains a secret"
            if found.leaked > 1:
                held = "artifacts {} contain secrets"
            self.fail(Cause.ARTIFACTS, held.format(listed(found.leaks, found.leaked)))
        elif strange:
            path, reason = strange[0]
            more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
            shown = found.shown(path)
            detail = f"in $PROOF_DIR, {shown} {reason}{more}"
            if reason == NO_ARTIFACT:
                detail = f"a step wrote {shown} into $PROOF_DIR{more}; write to $ARTIFACTS_DIR"
            self.fail(Cause.ARTIFACTS, detail)
        elif self.status is Status.SUCCESS:
            shown_required = map(found.shown, required)
            missing = [f"'{pattern}'" for pattern in shown_required if pattern in found.missing]
            if missing:
                detail = f"no file was kept for the required artifact {', '.join(missing)}"
                self.fail(Cause.ARTIFACTS, detail)

    def _take_stop(self, where: str, step: int | None, stop: Stop, number: int | None) -> Status:
        status, detail, code = Status.FAILURE, stop.detail, None
        if stop.cause in _TIMEOUTS:
            status, code = Status.TIMEOUT, EXIT_TIMEOUT
            detail = _TIMEOUTS[stop.cause].format(task=self.task, where=where)
        elif stop.cause in {Cause.WORKER, Cause.RUNNER}:
            status = Status.LOST
        elif stop.cause is Cause.BUDGET:
            detail = f"{stop.detail}, in {where}"
        elif stop.cause not in {Cause.STORAGE, Cause.SERVICE}:
            status = Status.CANCELLED
            detail = f"{stop.detail}, in {where}" if stop.detail else f"cancelled in {where}"
        return self._end(End(status, stop.cause, detail, code, number), step)

    def _where(self, step: int) -> str:
        return named("step", step, printable(self.task.steps[step].name))

    def hide(self, shown: Callable[[str], str]) -> None:
        """Have it tell of its texts what may be shown of them."""
        if self.detail:
            self.detail = shown(self.detail)
        for pid, one in self.survivors.items():
            self.survivors[pid] = replace(one, command=shown(one.command))

    def undecided(self) -> AttemptEnded:
        """The same without a claim in the tree, when the runner is gone: nothing hears it, and
        whatever takes the run up decides the tree.
        """
        self.fail(Cause.RUNNER, "the runner died", status=Status.LOST)
        return self._event()

    def write_status(self, tree: TaskTree, run: str) -> AttemptEnded:
        """Write status.json, which claims the outcome. Raises OSError when it cannot be written."""
        if len(self.detail) > _DETAIL_CHARS:
            self.detail = f"{self.detail[: _DETAIL_CHARS - 3]}..."
        ended = self._event()
        if self.status is Status.TIMEOUT:
            tree.write(TIMEOUT_MARK, f"{self.detail}\n".encode())
        digest = tree.write_status(
            status_fields(
                run,
                self.task,
                ended,
                measures=measures.told(self.used, ended.measures),
                containment=self.containment,
                shield=self.shield,
                survivors=[
                    {"pid": one.pid, "command": printable(one.command[:COMMAND_CHARS])}
                    for one in [*self.survivors.values()][:TOLD_MOST]
                ],
                artifacts=self.collected.count,
                refused=self.collected.refused,
                unmatched=self.collected.unmatched,
                notes=self._told_notes(),
                redactions=self.redactions,
                **self._told_by_the_task(ended),
            )
        )
        return replace(ended, task_sha256=digest)

    @property
    def is_plain(self) -> bool:
        """Whether its status.json says nothing that is worth a remark."""
        found = self.collected
        return not (self.notes or self.survivors or found.notes or found.refused or found.unmatched)

    def _told_by_the_task(self, ended: AttemptEnded) -> dict[str, Any]:
        """What the task itself has to say, where it says something: of tests, of what it cost."""
        values = _of_its_place(self)
        told = dict(compress(zip(_OF_ITS_PLACE, values, strict=True), values))
        if self.tests and self.tests.status:
            told["tests"] = self.tests.status
        values = _of_its_event(ended)
        return told | dict(compress(zip(_OF_ITS_EVENT, values, strict=True), values))

    def _told_notes(self) -> list[str]:
        """What is noted, in bounds, and of each list that was cut how long it was."""
        notes = self.notes + self.collected.notes
        if not (notes or self.collected.refusals or self.survivors):
            return notes
        told = [n if len(n) <= _DETAIL_CHARS else f"{n[: _DETAIL_CHARS - 3]}..." for n in notes]
        for what, count in (
            ("notes", len(notes)),
            ("refused files", self.collected.refusals),
            ("processes left behind", len(self.survivors)),
        ):
            if what == "notes":
                told = told[:TOLD_MOST]
            if count > TOLD_MOST:
                told.append(f"and {count - TOLD_MOST} more {what} that are not listed")
        return told

    def _event(self) -> AttemptEnded:
        """The end of the attempt, now; without the digest of a claim."""
        return AttemptEnded(
            self.task.id,
            self.attempt,
            self.status,
            self.exit_code,
            self.signal,
            self.cause,
            self.detail,
            self.step,
            self.started_at,
            timestamp(time.time()),
            round(time.monotonic() - self.began, 6),
            "",
            self.task.tolerates(self.status, self.exit_code),
            measures.together(self.used),
            tests=self.tests.event if self.tests else {},
            metrics=self.measured.metrics.as_json() if self.measured else [],
            outputs_sha256=self.outputs_sha256,
            cached_from=dict(self.cached_from) if self.status is Status.SUCCESS else {},
        )

    def write_abandoned_status(
        self,
        run_dir: str,
        run: str,
        redactor: Redactor,
        before: str = "",
        stop_reason: Callable[[], str] | None = None,
    ) -> AttemptEnded:
        """Write status.json in a tree whose worker stopped writing at some point, or is dead. What
        lies there is evidence at best: no outcome in it is believed, and nothing in it has been
        searched for secrets. `before` is the `task_sha256` of the attempt before this one;
        `stop_reason` says when no more artifacts are to be kept.

        If even this cannot be written, the event has no digest and the tree stays undecided.
        """
        self.outputs_sha256 = ""  # their file goes: it may be half written
        try:
            with closing(self._abandoned_tree(run_dir, before)) as tree:
                allowed_in = self.task.allow_secrets_in
                secrets = ArtifactSecrets(redactor.full, redactor.secrets, allowed_in)
                self.collected = collect(
                    tree, run_dir, (), proofs=run_dir, secrets=secrets, stop_reason=stop_reason
                )
                if self.collected.stopped:
                    self.notes.append("collecting the artifacts was stopped before its end")
                self.notes += secrets.notes()
                self.task = redactor.task(self.task)
                self.hide(redactor.text)
                return self.write_status(tree, run)
        except OSError as error:
            if self.cause is not Cause.STORAGE:
                detail = f"{self.detail}; its proof could not be written: {error_text(error)}"
                self.detail = detail.removeprefix("; ")
            if self.status is Status.SUCCESS:
                self.status, self.cause = Status.FAILURE, Cause.STORAGE
            return self._event()

    def _abandoned_tree(self, run_dir: str, before: str) -> TaskTree:
        """The tree of this attempt, also when its worker died before it had moved away that of the
        attempt before, which is on record and stays as it is.
        """
        from zf.proof.tree.contents import is_tree_of  # noqa: PLC0415 - a worker has died

        if before and is_tree_of(run_dir, self.task.id, before):
            return TaskTree.create(run_dir, self.task.id, self.attempt)
        return TaskTree.reopen(run_dir, self.task.id)
