"""Verbs on a run that is there: resume, rerun, and cancel."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from zf.cli.begin import Beside, Flags, carry_out, fails_fast, settle
from zf.cli.display import progress, streams
from zf.cli.options import (
    AsJson,
    Directory,
    Key,
    Quiet,
    Shield,
    Sign,
    Tail,
    Verbose,
    complete_task,
    positive_lines,
)
from zf.cli.project import open_project, proofs_folder
from zf.cli.run import (
    FailFastOption,
    Grace,
    MaxJobs,
    NoRetries,
    OutputOption,
    PhaseTimeout,
    PollInterval,
    ProgressOption,
    RunIdOption,
)
from zf.cli.runs import RUN, facts_of, find
from zf.cli.signing import conclude
from zf.errors import Exit, ZfError
from zf.model import Asked


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(resume)
    app.command()(rerun)
    app.command()(cancel)


def resume(
    run: Annotated[str, RUN],
    sign: Sign = None,
    key: Key = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    tail: Tail = None,
    output: OutputOption = "quiet",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Finish a run whose zf was killed: keep what was finished, run the rest, seal the proof."""
    from zf.run.launch import resume as go_on
    from zf.run.request import recorded_request

    streams.display()
    run_dir = find(run, own=True)
    flow = open_project(quiet=True)
    show = progress.Show(output, progress_mode, as_json, quiet, verbose, positive_lines(tail))
    watcher = progress.Watcher(show, flow.proofs)
    request = recorded_request(
        flow,
        run_dir,
        os.environ,
        watch=watcher.watch,
        look_s=watcher.look_s,
        output_fd=watcher.output_fd,
    )
    return conclude(
        lambda: go_on(request),
        watcher,
        sign=request.settings.sign.value if sign is None else sign,
        key=key,
        hide=request.redactor.text,
    )


def rerun(
    run: Annotated[str, RUN],
    failed: Annotated[
        bool, typer.Option("--failed", help="Every task that did not succeed.")
    ] = False,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TASK",
            autocompletion=complete_task,
            help="TASK, and whatever depends on it and did not succeed.",
        ),
    ] = None,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="With --from: everything that depends on TASK.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="TASK", autocompletion=complete_task, help="Just TASK."),
    ] = None,
    fail_fast: FailFastOption = None,
    no_retries: NoRetries = False,
    run_id: RunIdOption = None,
    max_jobs: MaxJobs = None,
    phase_timeout: PhaseTimeout = None,
    poll_interval: PollInterval = None,
    grace: Grace = None,
    shield: Shield = None,
    sign: Sign = None,
    key: Key = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    tail: Tail = None,
    output: OutputOption = "quiet",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run a part of an earlier run again, as a new run; the rest is taken from its proof."""
    from zf.run.request import limits_of
    from zf.run.rerun import Selection, select

    if [failed, first is not None, only is not None].count(True) != 1:
        raise ZfError("rerun takes one of --failed, --from TASK and --only TASK")
    if downstream and first is None:
        raise ZfError("--downstream goes with --from TASK")
    with Beside() as beside:
        flow, settings = settle(
            Flags(run_id, max_jobs, phase_timeout, poll_interval, grace, sign, shield),
            Asked(),
            beside,
        )
        selection = Selection(only, first, downstream)
        again = select(flow, settings, find(run, own=True), selection, run)
        if again.plan is None:
            streams.say(sys.stderr, f"nothing to run again: every task of {again.run} succeeded\n")
            return Exit.OK
        limits = limits_of(
            flow,
            again.plan,
            settings,
            fail_fast=again.had.fail_fast if fail_fast is None else fails_fast(fail_fast),
            retries=not no_retries,
        )
        show = progress.Show(output, progress_mode, as_json, quiet, verbose, positive_lines(tail))
        return carry_out(
            flow, again.plan, settings, show, limits, key=key, rerun_of=again.run, beside=beside
        )


def cancel(
    run: Annotated[str, RUN],
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Only this task.", autocompletion=complete_task),
    ] = None,
    _directory: Directory = None,
) -> None:
    """End a run that another zf is running, or one task of it; once more: end it now."""
    from zf.report.facts import refuse_unknown
    from zf.run.lock import cancel as ask_to_cancel

    run_dir = find(run, own=True)
    run = os.path.basename(run_dir)
    if task is not None:
        refuse_unknown(facts_of(run_dir), task)
    ask_to_cancel(proofs_folder(), run, task)
    streams.say(sys.stderr, f"asked {run} to cancel {task or 'everything'}\n")
