"""A run from its plan to a sealed proof (`launch`), or from a dead runner's journal (`resume`).

How a run is opened is in `opening.py`, how it ends in `sealing.py`, and what happens between the
two in `engine.py`; here they are put together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from zf.errors import Exit
from zf.events import (
    AttemptEnded,
    PlanExtended,
    RunEnded,
    RunResumed,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.inputs import told
from zf.instances import extended
from zf.lean import lazy
from zf.lean.records import Struct, replace
from zf.model import Task
from zf.proof.durations import runs
from zf.proof.durations.form import Durations
from zf.proof.journal import Journal, JournalReading, Line
from zf.proof.known import Known
from zf.proof.read import run_json
from zf.proof.source import provenance
from zf.proof.tree.records import write_not_run
from zf.report.facts import Facts, Fold
from zf.run import opening, sealing
from zf.run.host import leases, lock, machine
from zf.run.host.interrupts import Inbox, listening
from zf.run.recorder import Recorder
from zf.run.request import RunRequest, refuse_sealed
from zf.run.schedule.orders import Order, runs_here
from zf.run.sealing import Launched
from zf.run.triggered import triggered
from zf.tracing import TRACEPARENT, Trace
from zf.work.pool import Pool
from zf.work.supervise import leftovers
from zf.work.worker import Shared

if TYPE_CHECKING:
    from zf.engines.places import Places
    from zf.run import engine, extending, outputs, recover
    from zf.run.gates import box as gates
    from zf.run.gates import told as facts_for_handlers
    from zf.run.gates.gate import Gate
    from zf.run.schedule.scheduler import Scheduler
    from zf.work.caching.lookup import Caching
    from zf.work.services import phase as beside
    from zf.work.walls import shield
else:  # no new run needs them, and few read outputs
    # Workers get ready while this is imported, and have no use for it.
    engine = lazy.module("zf.run.engine")
    extending = lazy.module("zf.run.extending")
    facts_for_handlers = lazy.module("zf.run.gates.told")
    outputs = lazy.module("zf.run.outputs")
    recover = lazy.module("zf.run.recover")
    gates = lazy.module("zf.run.gates.box")
    shield = lazy.module("zf.work.walls.shield")
    beside = lazy.module("zf.work.services.phase")

# Begins the second look at the work tree; what it gives waits for the answer.
LookingAgain = Callable[[Inbox], AbstractContextManager[Callable[[], bool | None]]]


class _Start(Struct, frozen=True):
    """Where a run goes on from: the orders to begin with, and when it and its phase began, on the
    monotonic clock, without the time in which no zf ran it. `about` is run.json; `durations` are
    those of earlier runs.
    """

    scheduler: Scheduler
    orders: list[Order]
    looking_again: LookingAgain
    began: float
    about: Mapping[str, Any]
    phase_began: float | None = None
    durations: Sequence[Durations] = ()
    # The first event of the run, and what its journal had when it was taken up again.
    started: RunStarted | None = None
    lines: Sequence[Line] = ()


def launch(request: RunRequest, command: Sequence[str]) -> Launched:
    """Run the plan and leave its proof in `<proofs>/<run id>/`.

    Raises ZfError before anything is written: exit 2 for a bad run id, 5 for one that is taken.
    """
    # 1. What cannot be carried out is refused without a trace.
    opening.refuse_impossible(request)
    opening.refuse_unset(request)
    request = opening.able(request)
    with request.looking_up() as caching:
        return _launch(request, command, caching)


def _launch(request: RunRequest, command: Sequence[str], caching: Caching | None) -> Launched:
    known = Known()
    # 2. The plan is looked through for secrets, which loads what workers look with.
    proofs = request.flow.proofs
    plan = request.redactor.plan(request.plan.as_json())
    trace = Trace.begin(request.run, request.environ.get(TRACEPARENT, ""))
    request = replace(request, trace=trace)
    # 3. A queue for signals and orders is open, the run id is ours, and workers are forked.
    with (
        listening() as inbox,
        opening.claimed(proofs, request.run) as lock_fd,
        closing(_pool(request, known, caching, _first_starts(request))) as pool,
    ):
        inbox.open_to_others(*lock.orders_paths(proofs, request.run))
        # Earlier runs say how long its tasks will take. Meanwhile git looks, and workers get ready.
        durations = runs.earlier(proofs, lock.folder(proofs))
        request = request.weighed(plan["tasks"], durations)
        import zf.run.schedule.scheduler  # noqa: F401, PLC0415 - which no worker needs

        source = request.source(inbox)
        source.withdraw()
        # 4. The run's folder appears, whole.
        recorder, began, about, started = opening.new_folder(request, command, plan, source, known)
        scheduler = request.scheduler(about)
        pool.facts = request.facts_for_steps(about, pool.tasks.values())
        start = _Start(
            scheduler,
            scheduler.start(began),
            source.looking_again,
            time.monotonic(),
            about,
            durations=[durations, request.durations] if request.durations else [durations],
            started=started,
        )
        # 5. Tasks run; then the proof is sealed.
        with opening.recording(request.run):
            done = _conduct(request, start, recorder, inbox, pool, lock_fd)
            assert done is not None
        if not (done.facts.tampered or done.facts.suspended):
            took = _took_s(done.facts)
            took.pop(request.terminal, None)  # a person's time
            durations.add(request.run, extended(plan, done.facts.joined)["tasks"], took)
            runs.keep(durations, lock.folder(proofs))
        return done


def _took_s(facts: Facts) -> dict[str, float]:
    """How many seconds each task took that was run and went well, or ended in a way that is
    tolerated.
    """
    return {
        task.id: task.duration_s
        for task in facts.tasks.values()
        if task.duration_s is not None
        and (task.warned or task.status is Status.SUCCESS)
        and not task.cached_from
    }


def resume(request: RunRequest) -> Launched:
    """Finish a run whose runner died: keep what was finished, run the rest, seal.

    What the runner knew is gone with it, so the journal is trusted as it lies there, if its chain
    holds and everything it names fits; nothing that it does not name is believed.

    Raises ZfError: exit 5 for a run that is alive or sealed, 1 when its proof is not as it was
    left.
    """
    done = _go_on(request)
    assert done is not None  # what is not given up is sealed
    return done


def finish_owed(request: RunRequest) -> None:
    """Run the handlers that a run owes whose runner died, and nothing else: it is not to go on.

    As above; its proof stays open, to be sealed as it is then.
    """
    _go_on(request, is_given_up=True)


def _go_on(request: RunRequest, *, is_given_up: bool = False) -> Launched | None:
    """Take a run up where its journal ends."""
    run, run_dir = request.run, request.run_dir
    opening.refuse_unset(request)
    request = opening.able(request)
    # 1. The run is ours, and nothing of the dead runner's is left running.
    with (
        listening() as inbox,
        opening.taken_over(request, inbox) as lock_fd,
        opening.recording(run),
    ):
        refuse_sealed(run_dir)  # by now it may be
        inbox.open_to_others(*lock.orders_paths(request.flow.proofs, run))
        ended = leftovers.end(run_dir)
        from zf.proof import abandoned  # noqa: PLC0415 - no new run needs it

        # 2. Its proof is verified, and its journal taken up where it ends.
        journal, reading = recover.verified_journal(request)
        known = Known(odd=None)
        known.remember_place(run_dir)
        fold = Fold(request.redactor.plan(request.plan.as_json()), request.limits.as_json())
        for line in reading.lines:
            fold.apply(line.event, line.mono, line.wall)
            known.take(line.event)
        recorder = Recorder(journal, fold, request.watch, known)
        known.delivered(about := run_json(run_dir))
        fold.facts.given = told(about)
        abandoned.drop_unfinished(run_dir)
        if isinstance(reading.events[-1], RunEnded):
            # All that was missing is the seal.
            return sealing.close(request, recorder, known)
        # 3. What was under way is written down as lost.
        tasks = {**request.plan.tasks}
        joined: list[PlanExtended] = []
        if request.plan.dynamic:
            joined = extending.recalled(tasks, reading.events, request.redactor.defined)
        abandoned.drop_unnamed(run_dir, tasks, reading.events)
        recorder.record(RunResumed(ended, triggered(request.environ)))
        for attempt in recover.open_attempts(reading.events):
            task, before = tasks[attempt.task], known.task_sha256(attempt.task)
            shield.rescue(lock.aside_path(request.flow.proofs, run), run_dir, attempt.task)
            recorder.record(recover.outcome(run, run_dir, task, attempt, request.redactor, before))
        recorder.commit()
        if any(task.approval for task in tasks.values()):
            recover.answered_meanwhile(request, journal, reading, tasks, recorder)
        # 4. The rest runs, as in a new run; then the proof is sealed.
        begun = reading.events[0]
        assert isinstance(begun, RunStarted)  # its proof is intact
        trace = Trace(run, begun.trace_id, begun.traceparent)
        request = replace(request, trace=trace)
        start = _start_again(request, journal, reading, tasks, is_given_up=is_given_up)
        pool = _pool(request, known, request.caching())
        for event in joined:
            pool.extend(event.base, event.instances)
        pool.facts = request.facts_for_steps(start.about, tasks.values())
        return _conduct(request, start, recorder, inbox, pool, lock_fd, is_given_up=is_given_up)


def _conduct(
    request: RunRequest,
    start: _Start,
    recorder: Recorder,
    inbox: Inbox,
    pool: Pool,
    lock_fd: int,
    *,
    is_given_up: bool = False,
) -> Launched | None:
    """Carry a run to its end and seal it; one that is given up has no end, and is not sealed."""
    run_dir = request.run_dir
    pool.tell_handler = lambda task: facts_for_handlers.told(recorder.facts, task)
    places = _places(request, start.scheduler, pool)
    about = {
        "run": request.run,
        "run_dir": run_dir,
        "started_at": recorder.facts.started_at,
    }
    with (
        ExitStack() as looks,
        closing(leases.Leases(request.leases(), about)) as held,
        closing(places),
    ):
        if pool.beside is not None:
            pool.beside.interrupt_fd = inbox.fileno()
        exit_code = engine.Engine(
            start.scheduler,
            places,
            recorder,
            write_not_run=_write_not_run(request, pool),
            read_outputs=lambda ended: outputs.read_ended(run_dir, ended),
            extending=lambda base: extending.extended(
                request, start.about, places, start.durations, base
            ),
            inbox=inbox,
            leases=held,
            output_fd=request.output_fd,
            poll_interval_s=min(request.settings.poll_interval_s.value, request.look_s),
            sampler=_sampler(request),
            phase_began=start.phase_began,
            gate=_gate(request, start, pool),
        ).run(start.orders)
        if exit_code == Exit.WAITING:
            return sealing.suspended(request, recorder)
        if not places.is_idle:
            places.close()
        # Nothing that a task started runs any more; git looks while the disk works and the workers
        # go, for which nothing waits until all is sealed.
        pool.dismiss()
        source_changed = looks.enter_context(start.looking_again(inbox))
        recorder.commit()
        if places is not pool:
            places.close()
        if is_given_up:
            recorder.close()
            return None
        blocked_sha256 = sealing.write_blocked(run_dir, recorder.facts)
        took_s = round(time.monotonic() - start.began, 6)
        changed = source_changed()
        if any(task.approval for task in pool.tasks.values()):
            gates.clear(request.flow.proofs, request.run)
        return sealing.end(
            request,
            recorder,
            pool.known,
            lock_fd,
            exit_code=exit_code,
            took_s=took_s,
            blocked_sha256=blocked_sha256,
            source_changed=changed,
        )


# Workers, and what else the engine is given.


def _pool(request: RunRequest, known: Known, caching: Caching | None, first: int = 0) -> Pool:
    shared = Shared(
        place=request.place(),
        run_dir=request.run_dir,
        grace_s=request.settings.grace_s.value,
        project=request.flow.project,
        environ=request.environ,
        redactor=request.redactor,
        inputs=request.inputs,
        upstream=request.plan.upstream,
        aside=lock.aside_path(request.flow.proofs, request.run),
        shield=request.shield(),
        trace=request.trace,
        caching=caching,
        terminal=request.terminal,
        container_engine=request.settings.container_engine.value,
    )
    tasks = request.plan.tasks
    try:
        if any(phase.services for phase in request.flow.project.phases.values()):
            shared = beside.with_ports(shared, tasks.values())
        pool = Pool({**tasks} if request.plan.dynamic else tasks, shared, known=known, first=first)
    except OSError as error:
        raise machine.no_process(error) from None
    pool.beside = beside.Beside(shared, pool.kill_all) if shared.beside else None
    return pool


def _places(request: RunRequest, scheduler: Scheduler, pool: Pool) -> Pool | Places:
    """Where its tasks run: here, or in other places, too."""
    limits, tasks = request.limits, pool.tasks
    if not limits.executors or all(runs_here(task, limits) for task in tasks.values()):
        return pool
    from zf.engines import places  # noqa: PLC0415 - few runs have any

    with opening.recording(request.run):
        return places.around(pool, limits.executors, scheduler.placed)


def _first_starts(request: RunRequest) -> int:
    """How many tasks are likely to start at once when the run begins, on processors of their own.

    A wrong guess costs a worker that is of no use, or a start 10 ms later.
    """
    free = sum(not level for level in request.plan.level.values())
    return min(request.limits.max_jobs, free, os.cpu_count() or 1)


def _sampler(request: RunRequest) -> machine.Sampler | None:
    if request.limits.throttle is None:
        return None
    return machine.Sampler(time.monotonic(), request.settings.poll_interval_s.value)


def _gate(request: RunRequest, start: _Start, pool: Pool) -> Gate | None:
    """What puts questions, and judges the answers, where a task is to be approved."""
    if not any(task.approval for task in pool.tasks.values()):
        return None
    from zf.run.gates.gate import opened  # noqa: PLC0415 - few runs have anything to approve

    assert start.started is not None
    gate = opened(request, start.about, start.started, pool.tasks, start.lines)
    pool.answers_for = gate.answers_for
    return gate


def _write_not_run(request: RunRequest, pool: Pool) -> Callable[[TaskNotRun], str]:
    """Writes the tree of a task that is not run; gives its `task_sha256`."""
    place = request.place()
    shown = replace(place, root=request.redactor.text(place.root))

    def write(event: TaskNotRun) -> str:
        task = request.redactor.task(pool.tasks[event.task])
        answers = pool.answers_for(event.task, 0) if task.approval else ()
        return write_not_run(request.run_dir, shown, task, event, answers)

    return write


# What only a resumed run needs.


def _start_again(
    request: RunRequest,
    journal: Journal,
    reading: JournalReading,
    tasks: Mapping[str, Task],
    *,
    is_given_up: bool,
) -> _Start:
    """Where the dead runner stopped, with what was written down since; `tasks` are all that its
    plan has by now.
    """
    from zf.report.timing.clock import idle_s  # noqa: PLC0415 - no new run needs it

    lines = journal.read_back().lines
    times = recover.moments(lines, time.monotonic())
    about = run_json(request.run_dir)
    joined = [task for name, task in tasks.items() if name not in request.plan.tasks]
    scheduler = request.scheduler(about, recover.conditions_answered(reading.events), joined)
    # Of attempts that were followed by another, too: only the last one's tree is what was named.
    for event in reading.events:
        if isinstance(event, AttemptEnded) and scheduler.asks_for_outputs(event):
            scheduler.take_outputs(outputs.read_ended(request.run_dir, event))
    idle = list(idle_s(lines))
    orders = recover.outstanding(scheduler, lines, times, idle, is_given_up=is_given_up)

    @contextmanager
    def looking_again(inbox: Inbox) -> Iterator[Callable[[], bool | None]]:
        now = request.source(inbox)
        now.keep()
        yield lambda: provenance.changed_since(about["source"], now.facts)

    began = recover.phase_began(lines, times)
    begun = reading.events[0]
    assert isinstance(begun, RunStarted)
    return _Start(
        *(scheduler, orders, looking_again, times[0], about, began),
        started=begun,
        lines=lines,
    )
