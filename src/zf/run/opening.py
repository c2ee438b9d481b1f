"""Opening a run: what can be refused without a trace, its id and lock, and its folder.

Everything before the folder exists can be refused; everything after it leaves a proof.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from zf.errors import Exit, ZfError, error_text, printable
from zf.events import SCHEMA, RunStarted
from zf.inputs import known_to, told, variable
from zf.lean.records import replace
from zf.model import LOCAL, NOTHING, is_limited, is_valid_id
from zf.outlet import say_if_possible
from zf.proof.canonical import canonical
from zf.proof.files import remove_tree, sync_folder, write_new
from zf.proof.journal import Journal
from zf.proof.known import Known
from zf.proof.layout import CONTAINERS, JOURNAL, PLAN, RETENTION, RUN
from zf.proof.lines import object_lines
from zf.proof.read import LATEST, newest_head
from zf.proof.source import provenance
from zf.redact.redactor import secret_axes
from zf.report.facts import Fold
from zf.run.host import lock, machine
from zf.run.host.interrupts import Inbox
from zf.run.recorder import Recorder
from zf.run.request import RunRequest
from zf.run.schedule.orders import fitting_of, runs_here
from zf.run.schedule.ready import impossible
from zf.run.triggered import keep_delivered, triggered
from zf.typed import ALWAYS
from zf.variables import refers

# How long a worker may take, beside the grace period, to end what it runs when its runner has died.
_WORKERS_END_S = 30.0


def able(request: RunRequest) -> RunRequest:
    """The same with what it needs of this machine, the images of its containers. Raises ZfError
    (exit 2) where it cannot be carried out here as it is asked for.
    """
    refuse_unable(request)
    return _with_images(request)


def refuse_unable(request: RunRequest) -> None:
    """Raises ZfError (exit 2) for a run that cannot be carried out here as it is asked for."""
    machine.refuse_unfit(min(request.limits.max_jobs, len(request.plan.tasks)))
    _refuse_unshielded(request)
    _refuse_unwalled(request)
    if limited := [task for task in request.plan.tasks.values() if is_limited(task)]:
        from zf.work.limits.limits import refuse_unheld  # noqa: PLC0415 - few tasks have any

        refuse_unheld(limited)
    if request.settings.executor.value or request.limits.executors:
        _refuse_unplaced(request)
    request.leases()


def _refuse_unplaced(request: RunRequest) -> None:
    """Find out before it begins that there is a place for every task."""
    asked, limits = request.settings.executor, request.limits
    if asked.value and limits.executor not in {LOCAL, *limits.executors}:
        from zf.plan.suggest import nearest  # noqa: PLC0415 - only a message needs it

        known = (*limits.executors, LOCAL)
        guess = nearest(asked.value, known)
        raise ZfError(
            f"{asked.source} is {printable(asked.value)!r}, which is no executor of zf.yaml",
            code="ZF774",
            hint=f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}",
        )
    away = [task for task in request.plan.tasks.values() if not runs_here(task, limits)]
    phases = request.flow.project.phases
    for task in away:
        if task.phase in phases and phases[task.phase].services:
            from zf.plan.placing.checks import SERVICES_ELSEWHERE  # noqa: PLC0415 - few say where

            raise ZfError(
                f"task '{task.id}' runs elsewhere, and the services of its phase do not",
                code="ZF716",
                hint=SERVICES_ELSEWHERE,
            )
        if task.id == request.terminal or task.leave_running:
            what = "has the terminal" if task.id == request.terminal else "leaves processes running"
            raise ZfError(
                f"task {task.id!r} {what}, which it cannot on an executor",
                code="ZF776",
                hint="say `executor: local` in the task, or run it without --executor",
            )
    names = {n for t in away for n in fitting_of(t, limits)}
    path = request.environ.get("PATH", os.defpath)
    for name in sorted(names):
        word = limits.executors[name].start[0]
        if "/" not in word and not any(
            os.access(f"{at}/{word}", os.X_OK) for at in path.split(os.pathsep)
        ):
            raise ZfError(
                f"the command of executor {name!r} is not there: {printable(word)}",
                code="ZF775",
                hint="install it, or mend `start` of the executor in zf.yaml",
            )


def _refuse_unshielded(request: RunRequest) -> None:
    """Where the run must have a shield, find out that there can be one before it begins."""
    grounds = request.shield()
    if grounds is None or grounds.mode != ALWAYS:
        return
    from zf.work.walls.shield import why_not  # noqa: PLC0415 - few runs must have it

    if reason := why_not(grounds):
        raise unshielded(request.settings.shield.source, reason)


def unshielded(source: str, reason: str) -> ZfError:
    """Why a run is refused that must have the shield by the setting of this source."""
    return ZfError(
        f"{source} asks for the shield, which cannot be had: {reason}",
        code="ZF125",
        hint="run zf where it can be had, or without: --shield auto takes it where it is there",
    )


def _refuse_unwalled(request: RunRequest) -> None:
    """Where a task must have a sandbox, find out that there can be one before anything begins."""
    wanting = [
        name
        for name, task in request.plan.tasks.items()
        if task.sandbox and not task.sandbox.get("if_available")
    ]
    if not wanting:
        return
    from zf.work.walls.sandbox import found_on  # noqa: PLC0415 - few tasks ask for a wall

    if reason := found_on(request.environ.get("PATH", os.defpath))[1]:
        more = f" and {len(wanting) - 1} more" if len(wanting) > 1 else ""
        raise unwalled(f"{wanting[0]}{more}", reason)


def _with_images(request: RunRequest) -> RunRequest:
    """The same with the images that its containers are made of. Raises ZfError (exit 2) where they
    cannot be had.
    """
    if not _has_images(request):
        return request
    from zf.run.host import containers  # noqa: PLC0415 - few tasks have one

    flow, setting = request.flow, request.settings.container_engine.value
    known = setting, request.images, flow.root
    plan, project = containers.settled(request.plan, flow.project, *known)
    return replace(request, plan=plan, flow=replace(flow, project=project))


def _has_images(request: RunRequest) -> bool:
    """Whether any could be wanted."""
    phases = request.flow.project.phases.values()
    tasks = request.plan.tasks.values()
    return any(one.container or one.services for one in tasks) or any(p.services for p in phases)


def _clear_containers(proofs: str, run: str) -> None:
    """Remove the containers of a run that is over, which a worker left that was killed."""
    if os.path.isdir(f"{lock.folder(proofs)}/{CONTAINERS}"):
        from zf.run.host import containers  # noqa: PLC0415 - few tasks have one

        for problem in containers.clear(proofs, run):
            say_if_possible(f"zf: {problem}\n")


def unwalled(tasks: str, reason: str) -> ZfError:
    """Why tasks are refused that must run in a sandbox."""
    return ZfError(
        f"{tasks} must run in a sandbox, which cannot be had: {reason}",
        code="ZF127",
        hint="install bubblewrap (`apt install bubblewrap`) on a Linux that lets this user have"
        " namespaces, or say `sandbox: {if_available: true}`",
    )


def refuse_impossible(request: RunRequest) -> None:
    """Raises ZfError (exit 2) for tasks that ask for more than there is, and for matrices of which
    the values cannot be hidden.
    """
    tasks, limits = request.plan.tasks, request.limits.resources
    asked = list(impossible(tasks, limits, request.limits.executor))
    if asked:
        from zf.plan.drafts import too_much  # noqa: PLC0415 - it brings the parsers along

        root = request.flow.root
        problems = tuple(too_much(root, tasks[t], name, limits.get(name, 0)) for t, name in asked)
        raise ZfError(problems[0].message, problems=problems)
    if exposed := tuple(secret_axes(tasks.values(), request.flow.project)):
        raise ZfError(exposed[0].message, problems=exposed)


def refuse_unset(request: RunRequest) -> None:
    """Raises ZfError (exit 2) for variables that tasks or the project require, or that values of
    `env` name, and that are not set: all of them at once.
    """
    tasks, project = request.plan.tasks.values(), request.flow.project
    asking = [task for task in tasks if task.required_env or refers(task)]
    if not (asking or project.required_env):
        return
    from zf.plan.steps import env, problems  # noqa: PLC0415 - few tasks ask for any
    from zf.work.environment import Outside  # noqa: PLC0415 - as above

    environ, root = request.environ, request.flow.root
    outside = Outside(environ, project)
    told = [*problems.unset_for_all(root, env.lacking_of_project(project, environ))]
    for task in asking:
        inputs = map(variable, known_to(request.inputs, task.phase))
        phase = project.phases.get(task.phase)
        beside = env.of_services(phase.services) if phase else ()
        also = (*inputs, *problems.matrix_named(task), *beside)
        here = env.check_here(task, outside.seen(task).get, also)
        found = chain(env.lacking(task, environ), here)
        told += problems.unset(root, task, found)
    if told:
        raise ZfError(told[0].message, problems=tuple(told))


@contextmanager
def claimed(proofs: str, run: str) -> Iterator[int]:
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
        raise not_writable(proofs, error) from None
    try:
        folded, names = run.casefold(), os.listdir(proofs)
        taken = next((name for name in names if name.casefold() == folded), None)
        # A wrapper may have made the folder; the rename in `new_folder` takes it only while empty.
        if taken is not None and not (taken == run and _is_empty_folder(f"{proofs}/{run}")):
            raise _taken(proofs, taken, run)
        if RETENTION in names:
            _refuse_pruned(proofs, run)
        # What a runner left that was killed before its run had a name.
        remove_tree(lock.staging_path(proofs, run))
        yield lock_fd
    finally:
        _clear_containers(proofs, run)
        remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _refuse_pruned(proofs: str, run: str) -> None:
    """An id stands for one run, also when that is gone: what tells of it would tell of another."""
    from zf.run.retention.ledger import Ledger  # noqa: PLC0415 - few projects prune

    if entry := Ledger.read(proofs).pruned.get(run):
        raise ZfError(
            f"run id {run!r} is taken: that run was pruned {entry.wall[:10]}",
            exit_code=Exit.RUN_ID_TAKEN,
            code="ZF122",
            hint=f"choose another --run-id; zf verify {run} says what that run was",
        )


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
def taken_over(request: RunRequest, inbox: Inbox) -> Iterator[int]:
    """The lock on a run whose runner is dead, once its workers are gone too."""
    patience_s = request.settings.grace_s.value + _WORKERS_END_S
    proofs, run = request.flow.proofs, request.run
    try:
        lock_fd = lock.take_over(proofs, run, inbox.fileno(), patience_s=patience_s)
    except OSError as error:
        raise not_writable(proofs, error) from None
    try:
        yield lock_fd
    finally:
        _clear_containers(proofs, run)
        remove_tree(lock.aside_path(proofs, run))
        lock.release(lock_fd)


def _images(request: RunRequest) -> Mapping[str, Mapping[str, str]]:
    """What run.json says of the images of its containers."""
    if not _has_images(request):
        return NOTHING
    from zf.run.host import containers  # noqa: PLC0415 - few tasks have one

    return containers.recorded(request.plan, request.flow.project)


@contextmanager
def recording(run: str) -> Iterator[None]:
    """While a run is recorded: an error of the disk stops it, as nothing that is not written down
    counts. The writer stops there, and never tries an fsync again.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise ZfError(
            f"run {run!r} was stopped, as it could not be recorded: {error_text(error)}",
            exit_code=Exit.FAILED,
            code="ZF145",
            hint=f"when that is mended, zf resume {run} finishes the run",
        ) from error


def not_writable(proofs: str, error: OSError) -> ZfError:
    """Why a run that cannot be recorded there is refused."""
    is_folder = os.path.isdir(proofs) or not os.path.lexists(proofs)
    return ZfError(
        f"cannot write proofs to {proofs}: {error.strerror if is_folder else 'it is no folder'}",
        code="ZF123",
        hint="make the folder writable, and see that its disk has room"
        if is_folder
        else "move it away: zf makes the folder itself",
    )


def new_folder(
    request: RunRequest,
    command: Sequence[str],
    plan: dict[str, Any],
    source: provenance.Source,
    known: Known,
) -> tuple[Recorder, float, Mapping[str, Any], RunStarted]:
    """Make the run's folder with all that is known at its start; the moment it began, what run.json
    says, and the first event.

    All of it appears at once under the run's name: what finds a run finds a whole one.
    """
    run, proofs = request.run, request.flow.proofs
    about = provenance.collect(
        command,
        run_id=run,
        settings=request.settings.as_json(),
        environ=request.environ,
        source=source.facts,
        redact=request.redactor.text,
    )
    about |= {
        "limits": request.limits.as_json(),
        "rerun_of": request.rerun_of,
        "secrets": request.flow.project.secrets,
        "secrets_in_artifacts": request.flow.project.secrets_in_artifacts,
    }
    if request.inputs:
        about["inputs"] = {name: one.as_json() for name, one in request.inputs.items()}
    if images := _images(request):
        about["images"] = images
    if request.terminal:
        about["interactive"] = request.terminal
    asked = triggered(request.environ)
    if asked:
        about["trigger"] = asked
    if request.arguments:
        about["arguments"] = [request.redactor.text(word) for word in request.arguments]
    if any(task.approval for task in request.plan.tasks.values()):
        about["approvals"] = _approvals(request, about)
    previous = newest_head(proofs, but=run) or (None, None)
    staging = lock.staging_path(proofs, run)
    try:
        os.mkdir(staging)
        run_sha256 = write_new(f"{staging}/{RUN}", object_lines(request.redactor.about(about)))
        plan_sha256 = write_new(f"{staging}/{PLAN}", canonical(plan))
        keep_delivered(request.environ, asked, staging, known)
        journal = Journal.create(f"{staging}/{JOURNAL}")
        recorder = Recorder(journal, Fold(plan, about["limits"]), request.watch, known)
        recorder.facts.given = told(about)
        started = RunStarted(
            run,
            tuple(phase.name for phase in request.plan.phases),
            len(request.plan.tasks),
            plan_sha256,
            nonce=os.urandom(16).hex(),
            commit=about["source"]["commit"],
            previous_run=previous[0],
            previous_head=previous[1],
            run_sha256=run_sha256,
            schema=SCHEMA,
            trace_id=request.trace.trace_id,
            traceparent=request.trace.traceparent,
        )
        began = recorder.record(started)
        journal.commit()
        known.remember_place(staging)
        os.rename(staging, request.run_dir)
    except OSError as error:
        remove_tree(staging)
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _taken(proofs, run, run) from None
        raise not_writable(proofs, error) from None
    with recording(run):
        sync_folder(proofs)
        recorder.begin()  # told of from now on only: who hears of the run finds it
    return recorder, began, about, started


def _approvals(request: RunRequest, about: Mapping[str, Any]) -> dict[str, Any]:
    """Who may approve in the run."""
    from zf.run.gates.terms import recorded  # noqa: PLC0415 - few runs have anything to approve

    flow = request.flow
    return recorded(request.plan.tasks.values(), flow.root, flow.project, request.environ, about)
