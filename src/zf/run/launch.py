"""One run from a plan to a sealed proof: lock, folder, run.json, plan.json, engine, seal.

Everything before the folder exists can be refused without a trace; everything after it leaves a
proof, whatever happens.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from zf.errors import Exit, ZfError, printable
from zf.events import (
    SCHEMA,
    ConditionEvaluated,
    RunEnded,
    RunResumed,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.lean.record import asdict, record, replace
from zf.model import NOTHING, Flow, is_valid_id
from zf.plan.graph import Plan
from zf.proof.files import remove_tree, sync_folder, write_file, write_json
from zf.proof.journal import Journal, JournalReading
from zf.proof.known import Known
from zf.proof.layout import BLOCKED, JOURNAL, MANIFEST, PLAN, RUN
from zf.proof.lines import object_lines
from zf.proof.read import LATEST, log_tail, newest_head, run_json
from zf.proof.seal import Compared, compare_known, seal_known
from zf.proof.source import provenance
from zf.proof.tree.records import Place, write_not_run
from zf.redact.redactor import Redactor
from zf.report.facts import Facts, Fold
from zf.run import fitness, leases, lock, recover
from zf.run.context import condition_contexts
from zf.run.engine import Engine
from zf.run.interrupts import Inbox, listening
from zf.run.load import Sampler, machine_resources
from zf.run.recorder import Recorder, Watch
from zf.run.schedule.orders import Limits, Order, Throttle
from zf.run.schedule.ready import impossible
from zf.run.schedule.scheduler import Scheduler
from zf.settings import ALWAYS, NEVER, Settings
from zf.work import leftovers
from zf.work.outcome import said
from zf.work.pool import Pool
from zf.work.walls.shield import Grounds, rescue, why_not
from zf.work.worker import Shared

if TYPE_CHECKING:
    from zf.proof.source.prefetch import Looking

# Begins the second look at the work tree; what it gives waits for the answer.
LookingAgain = Callable[[Inbox], AbstractContextManager[Callable[[], bool | None]]]
# How long a worker may take, beside the grace period, to end what it runs when its runner has died.
_WORKERS_END_S = 30.0
# Of the time a run took, what may be spent on looking through its trees before it is sealed.
_COMPARED_SHARE = 0.005
# So many differences are told in the journal; the rest is counted.
_MOST_DIFFERENCES = 100


@record
class Launched:
    """What a run came to; `head` is the SHA-256 of the journal's last line, in hex. `compared` is
    how many task trees were looked at for tampering, of how many.
    """

    run: str
    run_dir: str
    exit_code: int
    facts: Facts
    head: str
    manifest_sha256: str
    compared: tuple[int, int] = (0, 0)


def no_output() -> int | None:
    """Nothing waits to be written."""
    return None


@record
class RunRequest:
    """What to run and how; `watch` is called at least every `look_s` seconds, or every poll
    interval.
    """

    flow: Flow
    plan: Plan
    settings: Settings
    limits: Limits
    environ: Mapping[str, str]
    redactor: Redactor
    watch: Watch
    look_s: float = float("inf")
    # What `watch` has more to write on, if it has.
    output_fd: Callable[[], int | None] = no_output
    rerun_of: str | None = None
    # A look at the work tree that was begun before the project was loaded.
    looking: Looking | None = None

    def source(self, inbox: Inbox) -> provenance.Source:
        """Where the code comes from, as it is now, or was when a look was begun."""
        found = self.looking and self.looking.source(inbox)
        return found or provenance.Source.look(
            self.flow.root,
            exclude=(self.flow.proofs,),
            environ=self.environ,
            cache=lock.folder(self.flow.proofs),
            ear=inbox,
        )

    def place(self) -> Place:
        """Where its tasks run."""
        host, user = os.uname().nodename, provenance.user_name()
        return Place(self.settings.run_id.value, host, user, self.flow.root)

    def scheduler(
        self, about: Mapping[str, Any], decided: Mapping[str, ConditionEvaluated] = NOTHING
    ) -> Scheduler:
        """A scheduler for it; `about` is run.json, `decided` are the conditions answered before."""
        contexts = condition_contexts(
            self.plan.tasks.values(),
            self.environ,
            self.flow.project,
            run=self.settings.run_id.value,
            max_jobs=self.limits.max_jobs,
            source=about["source"],
            ci=about.get("ci"),
            hide=self.redactor.text,
        )
        return Scheduler(self.plan, self.limits, contexts, decided)


def limits_of(
    flow: Flow,
    plan: Plan,
    settings: Settings,
    *,
    fail_fast: bool | Literal["now"] = False,
    only: str | None = None,
    retries: bool = True,
    resources: Mapping[str, int] = NOTHING,
    deadline_s: float | None = None,
) -> Limits:
    """What the user allows a run: flags first, then the project file, then the machine itself."""
    project = flow.project
    there_is: dict[str, int] = {}
    if any(task.resources for task in plan.tasks.values()):
        there_is = {**machine_resources(), **project.resources, **resources}
    throttle = None
    if project.throttle_cpu_percent is not None or project.throttle_min_free_mem_mb is not None:
        usual = Throttle()
        throttle = Throttle(
            project.throttle_cpu_percent or usual.cpu_percent,
            project.throttle_min_free_mem_mb or usual.min_free_mem_mb,
        )
    return Limits(
        settings.max_jobs.value,
        fail_fast,
        only,
        retries=retries,
        resources=there_is,
        throttle=throttle,
        deadline_s=deadline_s,
        seed=settings.run_id.value,
    )


def recorded_limits(recorded: Mapping[str, Any]) -> Limits:
    """The limits that a run.json says a run was begun with."""
    throttle = recorded["throttle"]
    return Limits(**{**recorded, "throttle": throttle and Throttle(**throttle)})


def launch(request: RunRequest, command: Sequence[str]) -> Launched:
    """Run the plan and leave its proof in `<proofs>/<run id>/`.

    Raises ZfError before anything is written: exit 2 for a bad run id, 5 for one that is taken.
    """
    run = request.settings.run_id.value
    proofs = request.flow.proofs
    _refuse_impossible(request)
    fitness.refuse_unfit(min(request.limits.max_jobs, len(request.plan.tasks)))
    _refuse_unshielded(request)
    _leases_folder(request)
    run_dir = f"{proofs}/{run}"
    known = Known()
    with (
        listening() as inbox,
        _claimed(proofs, run) as lock_fd,
        closing(_pool(request, run_dir, known)) as pool,
    ):
        inbox.open_to_others(*lock.orders_paths(proofs, run))
        # Looked through for secrets, which loads what workers look with before they are forked.
        plan = request.redactor.plan(request.plan.as_json())
        _have_workers(pool, _first_starts(request))
        source = request.source(inbox)
        source.withdraw()
        recorder, began, about = _found(request, command, plan, source, known)
        scheduler = request.scheduler(about)
        orders = scheduler.start(began)
        with _recording(run):
            return _conduct(
                request,
                scheduler,
                orders,
                recorder,
                inbox,
                pool,
                run_dir,
                source.looking_again,
                lock_fd,
            )


def _pool(request: RunRequest, run_dir: str, known: Known) -> Pool:
    return Pool(
        request.plan.tasks,
        known=known,
        shared=Shared(
            place=request.place(),
            run_dir=run_dir,
            grace_s=request.settings.grace_s.value,
            project=request.flow.project,
            environ=request.environ,
            redactor=request.redactor,
            upstream=request.plan.upstream,
            aside=lock.aside_path(request.flow.proofs, request.settings.run_id.value),
            shield=_shield_grounds(request),
        ),
    )


def _have_workers(pool: Pool, first: int) -> None:
    error = pool.get_ready(first)
    if error is not None:
        raise ZfError(
            f"no worker process can be started: {error.strerror}",
            code="ZF126",
            hint="raise the limit on processes (ulimit -u) or on memory, or end other processes",
        ) from None


def _shield_grounds(request: RunRequest) -> Grounds | None:
    """What the workers are to shield; None when that is not wanted."""
    mode = request.settings.shield.value
    if mode == NEVER:
        return None
    proofs, run = request.flow.proofs, request.settings.run_id.value
    return Grounds(
        mode,
        proofs,
        lock.folder(proofs),
        lock.lock_path(proofs, run),
        lock.orders_paths(proofs, run),
        lambda: lock.live_runs(proofs, but=run),
        # What is left running is for a task that comes later to end.
        landlock=mode == ALWAYS and not any(t.leave_running for t in request.plan.tasks.values()),
    )


def _refuse_unshielded(request: RunRequest) -> None:
    """Where the run must have a shield, find out that there can be one before it begins."""
    grounds = _shield_grounds(request)
    if grounds is not None and grounds.mode == ALWAYS and (reason := why_not(grounds)):
        raise ZfError(
            f"{request.settings.shield.source} asks for the shield, which cannot be had: {reason}",
            code="ZF125",
            hint="run zf where it can be had, or without: --shield auto takes it where it is there",
        )


def _first_starts(request: RunRequest) -> int:
    """How many tasks are likely to start at once when the run begins, on processors of their own.

    A wrong guess costs a worker that nobody needed, or a start 10 ms later.
    """
    free = sum(not task.needs for task in request.plan.tasks.values())
    return min(request.limits.max_jobs, free, os.cpu_count() or 1)


def _found(
    request: RunRequest,
    command: Sequence[str],
    plan: dict[str, Any],
    source: provenance.Source,
    known: Known,
) -> tuple[Recorder, float, Mapping[str, Any]]:
    """Make the run's folder with all that is known at its start; the moment it began, and what
    run.json says.

    All of it appears at once under the run's name, so whoever finds a run finds a whole one.
    """
    run = request.settings.run_id.value
    proofs = request.flow.proofs
    about = provenance.collect(
        request.flow.root,
        command,
        run_id=run,
        settings=request.settings.as_json(),
        environ=request.environ,
        source=source.facts,
        redact=request.redactor.text,
    )
    about |= {
        "limits": asdict(request.limits),
        "rerun_of": request.rerun_of,
        "secrets": request.flow.project.secrets,
        "secrets_in_artifacts": request.flow.project.secrets_in_artifacts,
    }
    previous = newest_head(proofs, but=run) or (None, None)
    staging = lock.staging_path(proofs, run)
    try:
        os.mkdir(staging)
        described = object_lines(request.redactor.about(about))
        write_file(f"{staging}/{RUN}", described)
        plan_sha256 = write_json(f"{staging}/{PLAN}", plan)
        journal = Journal.create(f"{staging}/{JOURNAL}")
        recorder = Recorder(journal, Fold(plan, about["limits"]), request.watch, known)
        began = recorder.record(
            RunStarted(
                run,
                tuple(phase.name for phase in request.plan.phases),
                len(request.plan.tasks),
                plan_sha256,
                nonce=os.urandom(16).hex(),
                commit=about["source"]["commit"],
                previous_run=previous[0],
                previous_head=previous[1],
                run_sha256=sha256(described).hexdigest(),
                schema=SCHEMA,
            )
        )
        recorder.commit()
        known.remember_place(staging)
        os.rename(staging, f"{proofs}/{run}")
    except OSError as error:
        remove_tree(staging)
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _taken(proofs, run, run) from None
        raise _not_writable(proofs, error) from None
    with _recording(run):
        sync_folder(proofs)
    return recorder, began, about


def resume(request: RunRequest, run_dir: str, papers: Mapping[str, str]) -> Launched:
    """Finish a run whose runner died: keep what was finished, run the rest, seal.

    What the runner knew is gone with it, so the journal is trusted as it lies there, if its chain
    holds and everything it names fits; nothing that it does not name is believed. `papers` are the
    digests of the run.json and plan.json that the request was made from.

    Raises ZfError: exit 5 for a run that is alive or sealed, 1 when its proof is not as it was
    left.
    """
    run = request.settings.run_id.value
    fitness.refuse_unfit(min(request.limits.max_jobs, len(request.plan.tasks)))
    _refuse_unshielded(request)
    _leases_folder(request)
    with listening() as inbox, _taken_over(request, inbox) as lock_fd, _recording(run):
        if os.path.lexists(f"{run_dir}/{MANIFEST}"):
            raise ZfError(
                f"run {run!r} is sealed: it never changes",
                exit_code=Exit.RUN_ID_TAKEN,
                code="ZF142",
                hint=f"zf rerun {run} --failed starts a new run from it",
            )
        inbox.open_to_others(*lock.orders_paths(request.flow.proofs, run))
        ended = leftovers.end(run_dir)
        from zf.proof import abandoned  # noqa: PLC0415 - no new run needs either
        from zf.run.upstream import refuse_unless_intact  # noqa: PLC0415

        found = refuse_unless_intact(run_dir, run)
        journal, reading = Journal.reopen(f"{run_dir}/{JOURNAL}")
        if reading.head != found.result["head"] or _papers(reading) != dict(papers):
            raise _changed_meanwhile(run)
        known = Known()
        known.remember_place(run_dir)
        limits = asdict(request.limits)
        fold = Fold(request.redactor.plan(request.plan.as_json()), limits)
        for line in reading.lines:
            fold.apply(line.event, line.mono, line.wall)
            known.take(line.event)
        recorder = Recorder(journal, fold, request.watch, known)
        abandoned.drop_unfinished(run_dir)
        if isinstance(reading.events[-1], RunEnded):
            # All that was missing is the seal.
            return _close(request, run_dir, recorder, known)
        abandoned.drop_unnamed(run_dir, request.plan.tasks, reading.events)
        recorder.record(RunResumed(ended))
        for attempt in recover.open_attempts(reading.events):
            task, before = request.plan.tasks[attempt.task], known.list_of(attempt.task)
            rescue(lock.aside_path(request.flow.proofs, run), run_dir, attempt.task)
            recorder.record(recover.outcome(run, run_dir, task, attempt, request.redactor, before))
        recorder.commit()
        lines = journal.read_back().lines
        times = recover.moments(lines, time.monotonic())
        about = run_json(run_dir)
        scheduler = request.scheduler(about, recover.conditions_answered(reading.events))
        orders = recover.outstanding(scheduler, lines, times, recover.idle_s(lines))
        pool = _pool(request, run_dir, known)

        @contextmanager
        def looking_again(inbox: Inbox) -> Iterator[Callable[[], bool | None]]:
            now = request.source(inbox)
            now.keep()
            yield lambda: provenance.changed_since(about["source"], now.facts)

        began = (times[0], recover.phase_began(lines, times))
        return _conduct(
            request,
            scheduler,
            orders,
            recorder,
            inbox,
            pool,
            run_dir,
            looking_again,
            lock_fd,
            began,
        )


def _papers(reading: JournalReading) -> dict[str, str]:
    """The digests that a journal has of the files written before it."""
    started = reading.events[0]
    assert isinstance(started, RunStarted)  # its proof is intact
    return {RUN: started.run_sha256, PLAN: started.plan_sha256}


def _changed_meanwhile(run: str) -> ZfError:
    return ZfError(
        f"the proof of run {run!r} changed while it was looked at",
        exit_code=Exit.FAILED,
        code="ZF140",
        hint=f"zf verify {run} says what is wrong with it",
    )


def refuse_old(run_dir: str, described: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose files have another form: its halves would differ.

    `described` is what its run.json says. One that is sealed is refused for that, by `resume`.
    """
    if described.get("schema") != provenance.SCHEMA and not os.path.lexists(
        f"{run_dir}/{MANIFEST}"
    ):
        run, version = os.path.basename(run_dir), printable(str(described.get("zf_version")))
        raise ZfError(
            f"run {run!r} was begun by zf {version}, whose proofs have another form",
            code="ZF146",
            hint=f"finish it with that version; or zf seal {run}, then zf rerun {run} --failed",
        )


def _conduct(
    request: RunRequest,
    scheduler: Scheduler,
    orders: list[Order],
    recorder: Recorder,
    inbox: Inbox,
    pool: Pool,
    run_dir: str,
    looking_again: LookingAgain,
    lock_fd: int,
    began: tuple[float, float | None] | None = None,
) -> Launched:
    """Carry a run to its end and seal it. It and its phase began at these moments, by default now;
    time in which nobody ran it is left out.
    """
    run = request.settings.run_id.value
    run_began, phase_began = began or (time.monotonic(), None)
    about = {"run": run, "run_dir": run_dir}
    place = request.place()
    shown = replace(place, root=request.redactor.text(place.root))
    with (
        ExitStack() as looks,
        closing(leases.Leases(_leases_folder(request), about)) as held,
        closing(pool),
    ):
        exit_code = Engine(
            scheduler,
            pool,
            recorder,
            write_not_run=lambda e: _write_not_run(request, run_dir, shown, e),
            inbox=inbox,
            leases=held,
            output_fd=request.output_fd,
            poll_interval_s=min(request.settings.poll_interval_s.value, request.look_s),
            sampler=_sampler(request),
            phase_began=phase_began,
        ).run(orders)
        if not pool.is_idle:
            pool.close()
        # Nothing that a task started runs any more; git looks while the disk works and the workers
        # go.
        source_changed = looks.enter_context(looking_again(inbox))
        recorder.commit()
        pool.close()
        blocked_sha256 = _write_blocked(run_dir, recorder.facts)
        took = round(time.monotonic() - run_began, 6)
        changed = source_changed()
    tops = {JOURNAL: recorder.sha256()}
    if blocked_sha256 is not None:
        tops[BLOCKED] = blocked_sha256
    compared = compare_known(run_dir, pool.known, tops, took * _COMPARED_SHARE)
    if not lock.is_in_place(lock_fd, request.flow.proofs, run):
        compared = replace(compared, differences=(*compared.differences, _lock_gone(run)))
    # What was put there may be called like a secret.
    tampered = tuple(map(request.redactor.text, _capped(compared.differences)))
    if tampered:
        exit_code = exit_code or Exit.FAILED
    recorder.record(
        RunEnded(exit_code, recorder.facts.counts, took, blocked_sha256, changed, tampered)
    )
    return _close(request, run_dir, recorder, pool.known, compared)


def _lock_gone(run: str) -> str:
    path = lock.lock_path("..", run)
    return f"{path}: is not the lock that this run began with, which keeps other zf from it"


def _capped(differences: tuple[str, ...]) -> tuple[str, ...]:
    """As many as a line of the journal has room for."""
    if len(differences) <= _MOST_DIFFERENCES:
        return differences
    more = len(differences) - _MOST_DIFFERENCES
    return (*differences[:_MOST_DIFFERENCES], f"and {more} more")


def _sampler(request: RunRequest) -> Sampler | None:
    if request.limits.throttle is None:
        return None
    return Sampler(time.monotonic(), request.settings.poll_interval_s.value)


def _refuse_impossible(request: RunRequest) -> None:
    tasks, limits = request.plan.tasks, request.limits.resources
    asked = list(impossible(tasks, limits))
    if asked:
        from zf.plan.drafts import too_much  # noqa: PLC0415 - it brings the parsers along

        root = request.flow.root
        problems = tuple(too_much(root, tasks[t], name, limits.get(name, 0)) for t, name in asked)
        raise ZfError(problems[0].message, problems=problems)


def _leases_folder(request: RunRequest) -> str:
    """Where leases are kept, for a run that needs any."""
    groups = {task.concurrency for task in request.plan.tasks.values() if task.concurrency}
    return leases.folder(os.environ, groups) if groups else ""


def _close(
    request: RunRequest,
    run_dir: str,
    recorder: Recorder,
    known: Known,
    compared: Compared | None = None,
) -> Launched:
    """Seal a run that has ended, from what its runner knows."""
    facts = recorder.facts
    head, known.tops[JOURNAL] = recorder.close()
    assert facts.exit_code is not None  # its last event says so
    sealed = seal_known(run_dir, known, after=compared)
    facts.tampered = tuple(map(request.redactor.text, sealed.differences))
    return Launched(
        request.settings.run_id.value,
        run_dir,
        Exit.FAILED if facts.tampered else facts.exit_code,
        facts,
        head,
        sealed.manifest_sha256,
        sealed.compared,
    )


def _is_empty_folder(path: str) -> bool:
    """Whether it is a folder, no link to one, that holds nothing at all."""
    try:
        return not os.path.islink(path) and not os.listdir(path)
    except OSError:
        return False


def _taken(proofs: str, name: str, run: str) -> ZfError:
    return ZfError(
        f"run id {run!r} is taken: {proofs}/{name} exists",
        exit_code=Exit.RUN_ID_TAKEN,
        code="ZF122",
        hint="a run is never written to again; choose another --run-id",
    )


@contextmanager
def _claimed(proofs: str, run: str) -> Iterator[int]:
    """The lock on the id of a run that does not exist yet.

    Raises ZfError: exit 2 for a bad id, 5 for one that is taken.
    """
    if run.casefold() == LATEST:
        raise ZfError(
            f"run id {run!r} is not a valid id: it stands for the newest run",
            code="ZF121",
            hint="choose another --run-id",
        )
    if not is_valid_id(run):
        raise ZfError(
            f"run id {run!r} is not a valid id",
            code="ZF121",
            hint="use letters, digits, '.', '_' and '-', at most 128, the first a letter or digit",
        )
    try:
        _make_proofs(proofs)
        lock_fd = lock.acquire(proofs, run, "choose another --run-id")
    except OSError as error:
        raise _not_writable(proofs, error) from None
    try:
        folded = run.casefold()
        taken = next((name for name in os.listdir(proofs) if name.casefold() == folded), None)
        # A wrapper may have made the folder; the rename in `_found` takes it only while empty.
        if taken is not None and not (taken == run and _is_empty_folder(f"{proofs}/{run}")):
            raise _taken(proofs, taken, run)
        # What a runner left that was killed before its run had a name.
        remove_tree(lock.staging_path(proofs, run))
        yield lock_fd
    finally:
        remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _make_proofs(proofs: str) -> None:
    """Make the folder for the runs, if need be, such that git does not offer them for a commit."""
    try:
        os.makedirs(proofs)
    except FileExistsError:
        if not os.path.isdir(proofs):
            raise
    else:
        with open(f"{proofs}/.gitignore", "x", encoding="utf-8") as file:
            file.write("# Made by zf with the folder: runs are kept, not committed.\n*\n")


@contextmanager
def _recording(run: str) -> Iterator[None]:
    """While a run is recorded: an error of the disk stops it, as nothing that is not written down
    counts. Whoever wrote stops there, and never tries an fsync again.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise ZfError(
            f"run {run!r} was stopped, as it could not be recorded: {said(error)}",
            exit_code=Exit.FAILED,
            code="ZF145",
            hint=f"when that is mended, zf resume {run} finishes the run",
        ) from error


def _not_writable(proofs: str, error: OSError) -> ZfError:
    is_folder = os.path.isdir(proofs) or not os.path.lexists(proofs)
    return ZfError(
        f"cannot write proofs to {proofs}: {error.strerror if is_folder else 'it is no folder'}",
        code="ZF123",
        hint="make the folder writable, and see that its disk has room"
        if is_folder
        else "move it away: zf makes the folder itself",
    )


@contextmanager
def _taken_over(request: RunRequest, inbox: Inbox) -> Iterator[int]:
    """The lock on a run whose runner is dead, once its workers are gone too."""
    patience_s = request.settings.grace_s.value + _WORKERS_END_S
    proofs, run = request.flow.proofs, request.settings.run_id.value
    try:
        lock_fd = lock.take_over(proofs, run, inbox.fileno(), patience_s=patience_s)
    except OSError as error:
        raise _not_writable(proofs, error) from None
    try:
        yield lock_fd
    finally:
        remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _write_not_run(request: RunRequest, run_dir: str, place: Place, event: TaskNotRun) -> str:
    task = request.redactor.task(request.plan.tasks[event.task])
    return write_not_run(
        run_dir, place, task, event.status, event.cause, event.detail, event.needs, event.at
    )


def _write_blocked(run_dir: str, facts: Facts) -> str | None:
    """Write blocked.json if tasks were held up; its SHA-256."""
    struck = facts.phase_timeout or facts.run_timeout
    if struck or facts.counts[Status.BLOCKED]:
        from zf.report import blocked  # noqa: PLC0415 - a run that goes well does without
        from zf.report.excerpt import LOOK_LINES  # noqa: PLC0415

        tails = {
            t.id: log_tail(run_dir, t.id, facts.step_number(t), lines=LOOK_LINES)
            for t in facts.failed
        }
        told = blocked.as_json(facts, tails=tails)
        return write_json(f"{run_dir}/{BLOCKED}", told, anyway=True)
    return None
