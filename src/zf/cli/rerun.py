"""Verbs on a run that is there: resume, rerun, and cancel."""

from __future__ import annotations

import os
import sys
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.begin import Beside, carry_out, settle
from zf.cli.display import progress, streams
from zf.cli.options import Directory, complete_task, takes_run_options
from zf.cli.project import open_project, proofs_folder
from zf.cli.runs import RUN, facts_of, find, refuse_unknown
from zf.cli.signing import conclude
from zf.errors import Exit, ZfError, printable
from zf.lean.record import replace
from zf.model import Asked
from zf.settings import RunOptions, Settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from zf.report.facts import Facts


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(resume)
    app.command()(rerun)
    app.command()(cancel)


@takes_run_options
def resume(run: Annotated[str, RUN], options: RunOptions, _directory: Directory = None) -> int:
    """Finish a run whose zf was killed: keep what was finished, run the rest, seal the proof."""
    from zf.plan.graph import plan_again
    from zf.proof import layout, read
    from zf.redact.redactor import Redactor
    from zf.run import launch

    streams.display()
    run_dir = find(run, own=True)
    # Which files the run is taken up from is checked again once nothing else can touch it.
    recorded, run_sha256 = read.object_and_digest(run_dir, layout.RUN)
    planned, plan_sha256 = read.object_and_digest(run_dir, layout.PLAN)
    papers = {layout.RUN: run_sha256, layout.PLAN: plan_sha256}
    launch.refuse_old(run_dir, recorded)
    flow = open_project(quiet=True)
    tasks = [flow.tasks[row["id"]] for row in planned["tasks"] if row["id"] in flow.tasks]
    redactor = Redactor(tasks, os.environ, flow.project)
    plan = plan_again(flow, planned, redactor.defined)
    settings = Settings.from_json(recorded["settings"])
    watcher = progress.Watcher(options, flow.proofs)
    request = launch.RunRequest(
        flow,
        plan,
        settings,
        launch.recorded_limits(recorded["limits"]),
        environ=os.environ,
        redactor=redactor,
        watch=watcher.watch,
        look_s=watcher.look_s,
        output_fd=watcher.output_fd,
    )
    signs = settings.sign.value if options.sign is None else options.sign
    return conclude(
        lambda: launch.resume(request, run_dir, papers),
        watcher,
        sign=signs,
        key=options.key,
        hide=redactor.text,
    )


@takes_run_options
def rerun(run: Annotated[str, RUN], options: RunOptions, _directory: Directory = None) -> int:
    """Run a part of an earlier run again, as a new run; the rest is taken from its proof."""
    from zf.plan.graph import plan_selection
    from zf.proof import layout, read
    from zf.run.launch import limits_of, recorded_limits
    from zf.run.lock import refuse_in_use
    from zf.run.upstream import what_it_had

    first, only = options.first, options.only
    if [options.failed, first is not None, only is not None].count(True) != 1:
        raise ZfError("rerun takes one of --failed, --from TASK and --only TASK")
    if options.downstream and first is None:
        raise ZfError("--downstream goes with --from TASK")
    with Beside() as beside:
        flow, settings = settle(options, Asked(), beside)
        run_dir = find(run, own=True)
        # What has not ended did not fail, and would run twice at once.
        refuse_in_use(flow.proofs, os.path.basename(run_dir), "its tasks may still be running")
        facts = facts_of(run_dir)
        if options.failed:
            names = {task.id for task in facts.tasks.values() if not _went_well(facts, task.id)}
        else:
            task = only or first or ""
            refuse_unknown(facts, task)
            names = {task} if only else {task} | _below(facts, task, everything=options.downstream)
        if not names:
            streams.say(sys.stderr, f"nothing to run again: every task of {facts.run} succeeded\n")
            return Exit.OK
        outside = {
            need.task
            for name in names
            if name in flow.tasks
            for need in flow.tasks[name].needs
            if need.task not in names
        }
        earlier = what_it_had(flow.proofs, facts.run, outside)
        try:
            plan = plan_selection(
                flow,
                names,
                phase_timeout_s=settings.phase_timeout_s.value,
                phase_timeout_forced=settings.phase_timeout_s.given,
                upstream=earlier.met,
                unmet=earlier.unmet,
                again=f"zf rerun {facts.run} --failed",
            )
        except ZfError as error:
            raise _with_its_run(error, run, facts, names) from None
        had = recorded_limits(read.object_and_digest(run_dir, layout.RUN)[0]["limits"])
        limits = limits_of(
            flow,
            plan,
            settings,
            fail_fast=had.fail_fast if options.fail_fast is None else options.fail_fast,
            retries=not options.no_retries,
        )
        return carry_out(flow, plan, settings, options, limits, rerun_of=facts.run, beside=beside)


def cancel(
    run: Annotated[str, RUN],
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Only this task.", autocompletion=complete_task),
    ] = None,
    _directory: Directory = None,
) -> None:
    """End a run that another zf is running, or one task of it; once more: end it now."""
    from zf.run import lock

    proofs = proofs_folder()
    run_dir = find(run, own=True)
    run = os.path.basename(run_dir)
    if task is not None:
        refuse_unknown(facts_of(run_dir), task)
    try:
        lock.order(proofs, run, "cancel" if task is None else f"cancel {task}")
    except PermissionError as error:
        raise ZfError(
            f"{run!r} cannot be cancelled from here: {error.strerror}",
            exit_code=Exit.FAILED,
            code="ZF144",
            hint="cancel it from outside of its steps, as the user who runs it",
        ) from None
    except OSError:
        if lock.is_locked(proofs, run):
            raise ZfError(
                f"{run!r} is running ({lock.owner(proofs, run)}), but takes no orders",
                exit_code=Exit.FAILED,
                code="ZF147",
                hint="it could make no fifo; send that process TERM, once more to end it now",
            ) from None
        raise ZfError(
            f"no zf is running {run!r}",
            exit_code=Exit.FAILED,
            code="ZF144",
            hint=f"zf status {run} says what became of it",
        ) from None
    streams.say(sys.stderr, f"asked {run} to cancel {task or 'everything'}\n")


def _with_its_run(error: ZfError, asked: str, facts: Facts, names: Collection[str]) -> ZfError:
    """The refusal of unmet needs, with why this run does not meet them: it may be a newer one than
    the user thinks of, as each `run-task` is a run, and that one ran its task without needs.
    """
    if not error.problems or error.problems[-1].code != "ZF104":
        return error
    last = error.problems[-1]
    name = printable(facts.run)
    hint = last.hint or ""
    if not facts.needs_checked:
        latest = f"{asked} is " if asked != facts.run else ""
        hint = (
            f"zf run-task {quote(printable(min(names)))} --with-needs ({latest}run {name}, which"
            " ran without needs; zf status lists the earlier ones)"
        )
    elif asked != facts.run:
        hint += f" ({asked} is run {name})"
    problems = (*error.problems[:-1], replace(last, hint=hint))
    return ZfError(problems[0].message, exit_code=error.exit_code, problems=problems)


def _went_well(facts: Facts, task: str) -> bool:
    from zf.events import Status

    return facts.tasks[task].status in {Status.SUCCESS, Status.SKIPPED}


def _below(facts: Facts, task: str, *, everything: bool) -> set[str]:
    found: set[str] = set()
    queue = [task]
    while queue:
        for name in facts.dependents.get(queue.pop(), ()):
            if name not in found:
                found.add(name)
                queue.append(name)
    return {name for name in found if everything or not _went_well(facts, name)}
