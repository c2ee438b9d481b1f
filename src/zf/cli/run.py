"""Verbs that run something: run-phase and run-task."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli import progress
from zf.cli.options import AsJson, Directory, complete_phase, complete_task
from zf.cli.project import open_project
from zf.cli.signing import Key, Sign, conclude
from zf.errors import Exit, ZfError
from zf.record import record

if TYPE_CHECKING:
    from zf.model import Flow
    from zf.plan.graph import Plan
    from zf.run.orders import Limits
    from zf.settings import Settings

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
    sign: Sign = None,
    key: Key = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Start nothing more after the first failure.")
    ] = False,
    no_retries: NoRetries = False,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            "--resource",
            metavar="NAME=N",
            help="How much there is of what tasks ask for. Can be given again.",
        ),
    ] = None,
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
    output: OutputOption = "quiet",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run every task of one or more phases, in order, and leave a proof of each."""
    from zf.plan import draw, graph

    flow, settings = settle(Flags(run_id, max_jobs, phase_timeout, poll_interval, grace, sign))
    plan = graph.plan_phases(
        flow,
        phases,
        phase_timeout_s=settings.phase_timeout_s.value,
        phase_timeout_forced=settings.phase_timeout_s.given,
        upstream=_upstream(flow, phases, upstream or []),
    )
    if dry_run:
        print(json.dumps(plan.as_json(), indent=2) if as_json else draw.text(plan))
        return Exit.OK
    from zf.run.launch import limits_of
    from zf.settings import amounts, positive_seconds

    limits = limits_of(
        flow,
        plan,
        settings,
        fail_fast=fail_fast,
        retries=not no_retries,
        resources=amounts(resource or [], "--resource"),
        deadline_s=None if deadline is None else positive_seconds(deadline, "--deadline"),
    )
    show = progress.Show(output, progress_mode, as_json)
    return carry_out(flow, plan, settings, show, limits, key=key)


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
    sign: Sign = None,
    key: Key = None,
    output: OutputOption = "prefix",
    progress_mode: ProgressOption = "auto",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run one task, without its needs unless told, and exit with its failing step's own code."""
    from zf.plan import graph

    task_id = _task_id(task)
    flow, settings = settle(Flags(run_id, max_jobs, phase_timeout, poll_interval, grace, sign))
    plan = graph.plan_task(
        flow,
        task_id,
        with_needs=with_needs,
        phase_timeout_s=settings.phase_timeout_s.value,
        phase_timeout_forced=settings.phase_timeout_s.given,
    )
    from zf.run.launch import limits_of

    limits = limits_of(flow, plan, settings, only=task_id, retries=not no_retries)
    show = progress.Show(output, progress_mode, as_json)
    return carry_out(flow, plan, settings, show, limits, key=key)


def _upstream(flow: Flow, phases: list[str], runs: list[str]) -> dict[str, str]:
    if not runs:
        return {}
    from zf.plan import graph
    from zf.run.upstream import resolve as met_upstream

    needs = graph.outside_needs(flow, phases)
    return met_upstream(flow.proofs, flow.root, needs, runs)


def _task_id(text: str) -> str:
    """The id that an id or the path of a task file names; a path also says which project."""
    if "/" not in text and not text.endswith((".yaml", ".yml")):
        return text
    from zf.plan.load import find_root

    path = os.path.realpath(text)
    if os.path.isdir(path):
        path = f"{path}/task.yaml"
    folder, name = os.path.split(path)
    if not os.path.isfile(path):
        raise ZfError(f"{text} is not a task file", hint="name an existing tasks/<id>/task.yaml")
    root, home = find_root(folder)
    if name != "task.yaml" or os.path.dirname(folder) != f"{home}/tasks":
        raise ZfError(
            f"{text} is not a task file of the project {root}",
            hint=f"its task files are {home}/tasks/<id>/task.yaml",
        )
    # Whoever is in that project stays there, so that the paths zf prints fit where they are.
    with suppress(ZfError):
        if find_root(os.getcwd())[0] == root:
            return os.path.basename(folder)
    os.chdir(root)
    return os.path.basename(folder)


@record
class Flags:
    """The options that become settings, as typed."""

    run_id: str | None
    max_jobs: str | None
    phase_timeout: str | None
    poll_interval: str | None
    grace: str | None
    sign: bool | None


def settle(flags: Flags) -> tuple[Flow, Settings]:
    """The checked project, and the settings that hold in it."""
    from zf.settings import resolve

    # UTC, so that run ids sort by time wherever they were made.
    default_run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{os.getpid()}"
    given = {f.name: getattr(flags, f.name) for f in fields(flags)}
    # Flags and variables come first: a bad one is told before any file is read.
    first = resolve(os.environ, default_run_id=default_run_id, **given)
    flow = open_project(phase_timeout_s=first.phase_timeout_s.value)
    settings = resolve(
        os.environ,
        default_run_id=default_run_id,
        project_max_jobs=flow.project.max_jobs,
        project_grace_s=flow.project.grace_s,
        project_sign=flow.project.sign,
        **given,
    )
    return flow, settings


def carry_out(
    flow: Flow,
    plan: Plan,
    settings: Settings,
    show: progress.Show,
    limits: Limits,
    *,
    key: str | None = None,
    rerun_of: str | None = None,
) -> int:
    """Run a plan, showing what happens and then what came of it; the exit code."""
    from zf.run.launch import RunRequest, launch

    watcher = progress.Watcher(show, flow.proofs)
    request = RunRequest(
        flow,
        plan,
        settings,
        limits,
        environ=os.environ,
        watch=watcher.watch,
        look_s=watcher.look_s,
        rerun_of=rerun_of,
    )
    return conclude(lambda: launch(request, sys.argv), watcher, sign=settings.sign.value, key=key)
