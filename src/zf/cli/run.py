"""Verbs that run something: run-phase and run-task, with all their options."""

from __future__ import annotations

from typing import Annotated

import typer

from zf.cli.begin import FailFast, Flags, RunOptions, begin_phases, begin_task
from zf.cli.display import progress
from zf.cli.options import (
    AsJson,
    Directory,
    Key,
    Quiet,
    Resource,
    Shield,
    Sign,
    Tail,
    Verbose,
    complete_phase,
    complete_task,
    positive_lines,
)

RunIdOption = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="Name of the run and its proof folder.")
]
MaxJobs = Annotated[
    str | None,
    typer.Option("--max-jobs", "-j", metavar="N", help="How many tasks run at once. [default: 4]"),
]
PhaseTimeout = Annotated[
    str | None,
    typer.Option("--phase-timeout", metavar="SECONDS", help="Limit of a phase. [default: 3600]"),
]
PollInterval = Annotated[
    str | None,
    typer.Option(
        "--poll-interval",
        metavar="SECONDS",
        help="Longest time between looks at clocks and load. [default: 1]",
    ),
]
Grace = Annotated[
    str | None,
    typer.Option("--grace", metavar="SECONDS", help="Time between TERM and KILL. [default: 5]"),
]
NoRetries = Annotated[
    bool, typer.Option("--no-retries", help="Try every task once, whatever its file says.")
]
FailFastOption = Annotated[
    FailFast | None,
    typer.Option(
        "--fail-fast",
        metavar="[=now]",
        help="Start nothing more after the first failure; with =now end what runs, too.",
    ),
]
OutputOption = Annotated[
    progress.Output, typer.Option("--output", help="How task output is shown while running.")
]
ProgressOption = Annotated[
    progress.Mode, typer.Option("--progress", help="How progress is shown on stderr.")
]


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command("run-phase")(run_phase)
    app.command("run-task")(run_task)


def run_phase(
    phases: Annotated[
        list[str],
        typer.Argument(
            metavar="PHASE...", help="Phases, in run order.", autocompletion=complete_phase
        ),
    ],
    run_id: RunIdOption = None,
    max_jobs: MaxJobs = None,
    phase_timeout: PhaseTimeout = None,
    poll_interval: PollInterval = None,
    grace: Grace = None,
    shield: Shield = None,
    sign: Sign = None,
    key: Key = None,
    fail_fast: FailFastOption = None,
    no_retries: NoRetries = False,
    resource: Resource = None,
    deadline: Annotated[
        str | None,
        typer.Option("--deadline", metavar="SECONDS", help="Limit of the whole run."),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="RUN",
            help="A run whose verified successes meet needs in other phases; 'latest' is the"
            " newest of this commit. Can be given again.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and run nothing.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    tail: Tail = None,
    output: OutputOption = "quiet",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run every task of one or more phases, in order, and leave a proof of each."""
    return begin_phases(
        phases,
        Flags(run_id, max_jobs, phase_timeout, poll_interval, grace, sign, shield),
        RunOptions(
            progress.Show(output, progress_mode, as_json, quiet, verbose, positive_lines(tail)),
            key,
            no_retries,
            fail_fast,
            resource or (),
            deadline,
            upstream or (),
            dry_run,
        ),
    )


def run_task(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A task's id, or its task.yaml.", autocompletion=complete_task
        ),
    ],
    with_needs: Annotated[
        bool, typer.Option("--with-needs", help="Run everything it needs first.")
    ] = False,
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
    output: OutputOption = "prefix",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run one task, without its needs unless told, and exit with its failing step's own code."""
    return begin_task(
        task,
        Flags(run_id, max_jobs, phase_timeout, poll_interval, grace, sign, shield),
        RunOptions(
            progress.Show(output, progress_mode, as_json, quiet, verbose, positive_lines(tail)),
            key,
            no_retries,
            with_needs=with_needs,
        ),
    )
