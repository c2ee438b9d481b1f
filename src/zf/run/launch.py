"""One run from a plan to a sealed proof: lock, folder, run.json, plan.json, engine, seal.

Everything before the folder exists can be refused without a trace; everything after it leaves a
proof, whatever happens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import Any

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
from zf.model import NOTHING, Flow, is_valid_id
from zf.plan.graph import Plan
from zf.proof import provenance, store
from zf.proof.journal import Journal, read
from zf.proof.lines import object_lines
from zf.proof.read import log_tail, newest_head, run_json
from zf.proof.seal import MANIFEST, drop_unfinished, seal, sync_folder, write_file, write_json
from zf.record import asdict, record, replace
from zf.report import blocked
from zf.report.facts import Facts, Fold
from zf.run import leases, lock, recover
from zf.run.engine import Engine
from zf.run.interrupts import Inbox, listening
from zf.run.orders import Limits, NotRun, Order, Throttle
from zf.run.ready import impossible
from zf.run.scheduler import Scheduler
from zf.run.scribe import Scribe, Watch
from zf.run.surroundings import surroundings
from zf.run.throttle import Sampler, machine_resources
from zf.settings import Settings
from zf.work import leftovers
from zf.work.outcome import said
from zf.work.pool import Pool
from zf.work.veil import Veil
from zf.work.worker import Shared

# How long a worker may take, beside the grace period, to end what it runs when its runner has died.
_WORKERS_END_S = 30.0


@record
class Launched:
    """What a run came to; `head` is the SHA-256 of the journal's last line, in hex."""

    run: str
    run_dir: str
    exit_code: int
    facts: Facts
    head: str


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
    veil: Veil
    watch: Watch
    look_s: float = float("inf")
    rerun_of: str | None = None

    def source(self) -> provenance.Source:
        """Where the code comes from, as it is now."""
        return provenance.Source.look(
            self.flow.root,
            exclude=(self.flow.proofs,),
            environ=self.environ,
            cache=lock.folder(self.flow.proofs),
        )

    def place(self) -> store.Place:
        """Where its tasks run."""
        host, user = os.uname().nodename, provenance.user_name()
        return store.Place(self.settings.run_id.value, host, user, self.flow.root)

    def scheduler(
        self, about: Mapping[str, Any], decided: Mapping[str, ConditionEvaluated] = NOTHING
    ) -> Scheduler:
        """A scheduler for it; `about` is run.json, `decided` are the conditions answered before."""
        around = surroundings(
            self.plan.tasks.values(),
            self.environ,
            self.flow.project,
            run=self.settings.run_id.value,
            max_jobs=self.limits.max_jobs,
            source=about["source"],
            ci=about.get("ci"),
            hide=self.veil.text,
        )
        return Scheduler(self.plan, self.limits, around, decided)


def limits_of(
    flow: Flow,
    plan: Plan,
    settings: Settings,
    *,
    fail_fast: bool = False,
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
    _leases_folder(request)
    run_dir = f"{proofs}/{run}"
    with listening() as inbox, _claimed(proofs, run), closing(_pool(request, run_dir)) as pool:
        inbox.open_to_others(lock.orders_path(proofs, run))
        # Looked through for secrets, which loads what workers look with before they are forked.
        plan = request.veil.plan(request.plan.as_json())
        pool.get_ready(_first_starts(request))
        source = request.source()
        scribe, began, about = _found(request, command, plan, source)
        scheduler = request.scheduler(about)
        orders = scheduler.start(began)
        with _recording(run):
            return _conduct(
                request, scheduler, orders, scribe, inbox, pool, run_dir, source.changed
            )


def _pool(request: RunRequest, run_dir: str) -> Pool:
    return Pool(
        request.plan.tasks,
        Shared(
            place=request.place(),
            run_dir=run_dir,
            grace_s=request.settings.grace_s.value,
            project=request.flow.project,
            environ=request.environ,
            veil=request.veil,
            aside=lock.aside_path(request.flow.proofs, request.settings.run_id.value),
        ),
    )


def _first_starts(request: RunRequest) -> int:
    """How many tasks are likely to start at once when the run begins, on processors of their own.

    A wrong guess costs a worker that nobody needed, or a start 10 ms later.
    """
    free = sum(not task.needs for task in request.plan.tasks.values())
    return min(request.limits.max_jobs, free, os.cpu_count() or 1)


def _found(
    request: RunRequest, command: Sequence[str], plan: dict[str, Any], source: provenance.Source
) -> tuple[Scribe, float, Mapping[str, Any]]:
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
        redact=request.veil.text,
    )
    about |= {
        "limits": asdict(request.limits),
        "rerun_of": request.rerun_of,
        "secrets": request.flow.project.secrets,
    }
    previous = newest_head(proofs, but=run) or (None, None)
    staging = lock.staging_path(proofs, run)
    try:
        os.mkdir(staging)
        described = object_lines(about)
        write_file(f"{staging}/run.json", described)
        plan_sha256 = write_json(f"{staging}/plan.json", plan)
        scribe = Scribe(Journal.create(f"{staging}/events.jsonl"), Fold(plan), request.watch)
        began = scribe.record(
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
        scribe.commit()
        os.rename(staging, f"{proofs}/{run}")
    except OSError as error:
        store.remove_tree(staging)
        raise _not_writable(proofs, error) from None
    with _recording(run):
        sync_folder(proofs)
    return scribe, began, about


def resume(request: RunRequest, run_dir: str) -> Launched:
    """Finish a run whose runner died: keep what was finished, run the rest, seal.

    Raises ZfError: exit 5 for a run that is alive or sealed, 1 when its proof is not as it was
    left.
    """
    run = request.settings.run_id.value
    _leases_folder(request)
    with listening() as inbox, _taken_over(request, inbox), _recording(run):
        if os.path.lexists(f"{run_dir}/{MANIFEST}"):
            raise ZfError(
                f"run {run!r} is sealed: it never changes",
                exit_code=Exit.RUN_ID_TAKEN,
                code="ZF142",
                hint=f"zf rerun {run} --failed starts a new run from it",
            )
        inbox.open_to_others(lock.orders_path(request.flow.proofs, run))
        ended = leftovers.end(run_dir)
        from zf.run.upstream import refuse_unless_intact  # noqa: PLC0415 - 5 ms no new run needs

        refuse_unless_intact(run_dir, run)
        journal, reading = Journal.reopen(f"{run_dir}/events.jsonl")
        drop_unfinished(run_dir)
        fold = Fold(request.veil.plan(request.plan.as_json()))
        for line in reading.lines:
            fold.apply(line.event, line.mono, line.wall)
        scribe = Scribe(journal, fold, request.watch)
        if isinstance(reading.events[-1], RunEnded):
            # All that was missing is the seal.
            return _close(run, run_dir, scribe)
        scribe.record(RunResumed(ended))
        for attempt in recover.open_attempts(reading.events):
            task = request.plan.tasks[attempt.task]
            scribe.record(recover.outcome(run, run_dir, task, attempt, request.veil))
        scribe.commit()
        lines = read(f"{run_dir}/events.jsonl").lines
        times = recover.moments(lines, time.monotonic())
        about = run_json(run_dir)
        scheduler = request.scheduler(about, recover.conditions_answered(reading.events))
        orders = recover.outstanding(scheduler, lines, times)
        for order in orders:
            if isinstance(order, NotRun):
                recover.drop_undecided(run_dir, order.task)
        pool = _pool(request, run_dir)

        def changed() -> bool | None:
            return provenance.changed_since(about["source"], request.source().facts)

        return _conduct(request, scheduler, orders, scribe, inbox, pool, run_dir, changed, times[0])


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
    scribe: Scribe,
    inbox: Inbox,
    pool: Pool,
    run_dir: str,
    source_changed: Callable[[], bool | None],
    began: float | None = None,
) -> Launched:
    """Carry a run that began at this moment (by default now) to its end and seal it."""
    run = request.settings.run_id.value
    began = time.monotonic() if began is None else began
    about = {"run": run, "run_dir": run_dir}
    place = request.place()
    shown = replace(place, root=request.veil.text(place.root))
    with closing(leases.Leases(_leases_folder(request), about)) as held, closing(pool):
        exit_code = Engine(
            scheduler,
            pool,
            scribe,
            write_not_run=lambda e: _write_not_run(request, run_dir, shown, e),
            inbox=inbox,
            leases=held,
            poll_interval_s=min(request.settings.poll_interval_s.value, request.look_s),
            sampler=_sampler(request),
        ).run(orders)
    blocked_sha256 = _write_blocked(run_dir, scribe.facts)
    took = round(time.monotonic() - began, 6)
    changed = source_changed()
    scribe.record(RunEnded(exit_code, scribe.facts.counts, took, blocked_sha256, changed))
    return _close(run, run_dir, scribe, pool.lists)


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
    if any(task.concurrency for task in request.plan.tasks.values()):
        return leases.folder(os.environ)
    return ""


def _close(run: str, run_dir: str, scribe: Scribe, lists: Mapping[str, str] = NOTHING) -> Launched:
    """Seal a run that has ended; `lists` are checksum lists that are known already."""
    facts = scribe.facts
    head = scribe.close()
    seal(run_dir, lists)
    assert facts.exit_code is not None  # its last event says so
    return Launched(run, run_dir, facts.exit_code, facts, head)


@contextmanager
def _claimed(proofs: str, run: str) -> Iterator[None]:
    """The lock on the id of a run that does not exist yet.

    Raises ZfError: exit 2 for a bad id, 5 for one that is taken.
    """
    if not is_valid_id(run):
        raise ZfError(
            f"run id {run!r} is not a valid id",
            code="ZF121",
            hint="use letters, digits, '.', '_' and '-', at most 128, the first a letter or digit",
        )
    try:
        _make_proofs(proofs)
        lock_fd = lock.acquire(proofs, run)
    except OSError as error:
        raise _not_writable(proofs, error) from None
    try:
        folded = run.casefold()
        taken = next((name for name in os.listdir(proofs) if name.casefold() == folded), None)
        if taken is not None:
            raise ZfError(
                f"run id {run!r} is taken: {proofs}/{taken} exists",
                exit_code=Exit.RUN_ID_TAKEN,
                code="ZF122",
                hint="a run is never written to again; choose another --run-id",
            )
        # What a runner left that was killed before its run had a name.
        store.remove_tree(lock.staging_path(proofs, run))
        yield
    finally:
        store.remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _make_proofs(proofs: str) -> None:
    """Make the folder for the runs, if need be, such that git does not offer them for a commit."""
    try:
        os.makedirs(proofs)
    except FileExistsError:
        if not os.path.isdir(proofs):
            raise
    else:
        with open(f"{proofs}/.gitignore", "x", encoding="ascii") as file:
            file.write("# Made by zf with the folder: runs are kept, not committed.\n*\n")


@contextmanager
def _recording(run: str) -> Iterator[None]:
    """While a run is recorded: an error of the disk stops it, as nothing that is not written down
    counts. Whoever wrote stops there, and never tries an fsync again.
    """
    try:
        yield
    except OSError as error:
        raise ZfError(
            f"run {run!r} was stopped, as it could not be recorded: {said(error)}",
            exit_code=Exit.FAILED,
            code="ZF145",
            hint=f"when that is mended, zf resume {run} finishes the run",
        ) from error


def _not_writable(proofs: str, error: OSError) -> ZfError:
    return ZfError(
        f"cannot write proofs to {proofs}: {error.strerror}",
        code="ZF123",
        hint="make the folder writable, and see that its disk has room",
    )


@contextmanager
def _taken_over(request: RunRequest, inbox: Inbox) -> Iterator[None]:
    """The lock on a run whose runner is dead, once its workers are gone too."""
    patience_s = request.settings.grace_s.value + _WORKERS_END_S
    proofs, run = request.flow.proofs, request.settings.run_id.value
    try:
        lock_fd = lock.take_over(proofs, run, inbox.fileno(), patience_s=patience_s)
    except OSError as error:
        raise _not_writable(proofs, error) from None
    try:
        yield
    finally:
        store.remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _write_not_run(request: RunRequest, run_dir: str, place: store.Place, event: TaskNotRun) -> str:
    task = request.veil.task(request.plan.tasks[event.task])
    return store.write_not_run(
        run_dir, place, task, event.status, event.cause, event.detail, event.needs, event.at
    )


def _write_blocked(run_dir: str, facts: Facts) -> str | None:
    """Write blocked.json if tasks were held up; its SHA-256."""
    struck = facts.phase_timeout or facts.run_timeout
    if struck or facts.counts[Status.BLOCKED]:
        tails = {t.id: log_tail(run_dir, t.id, facts.step_number(t)) for t in facts.failed}
        return write_json(f"{run_dir}/blocked.json", blocked.as_json(facts, tails=tails))
    return None
