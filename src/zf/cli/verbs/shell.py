"""Verbs for a person at a task: shell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.options import Directory, as_typers, complete_run, complete_task
from zf.errors import ZfError
from zf.model import Asked
from zf.settings import RunOptions

if TYPE_CHECKING:
    from zf.run.interactive.surroundings import Wanted


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(shell)


def shell(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A task's id, or its task.yaml.", autocompletion=complete_task
        ),
    ],
    command: Annotated[
        str | None,
        typer.Option("-c", "--command", metavar="COMMAND", help="Run COMMAND, exit as it does."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Take the variables that RUN has recorded, and what needs left there.",
            autocompletion=complete_run,
        ),
    ] = None,
    inputs: Annotated[list[str] | None, as_typers(RunOptions.inputs)] = None,
    inputs_file: Annotated[str | None, as_typers(RunOptions.inputs_file)] = None,
    program: Annotated[
        str | None,
        typer.Option("--shell", metavar="PROGRAM", help="Start PROGRAM in place of bash."),
    ] = None,
    _directory: Directory = None,
) -> int:
    """Open a shell where the steps of a task would run, as they have it; nothing is recorded."""
    from zf.cli.display import streams
    from zf.cli.display.progress import wants_colour
    from zf.run.interactive.shell import Session
    from zf.run.interactive.shell import shell as opened

    options = RunOptions(typed={"inputs": inputs, "inputs_file": inputs_file})
    session = Session(
        command=command,
        program=program,
        on_terminal=os.isatty(0) and os.isatty(2),
        coloured=wants_colour(sys.stderr),
    )

    def tell(text: str) -> None:
        streams.say(sys.stderr, text)

    return opened(_wanted(task, options, run), session, tell)


def _wanted(name: str, options: RunOptions, run: str | None) -> Wanted:
    """The task and what a run of it would be given; refused as that would be."""
    from zf.cli.begin import inputs_of, settle, task_id
    from zf.cli.project import find_run
    from zf.plan.graph import plan_task
    from zf.proof.read import LATEST
    from zf.redact.redactor import Redactor, hidden_by_name
    from zf.run.interactive.surroundings import Wanted
    from zf.run.opening import refuse_unset
    from zf.run.request import RunRequest, limits_of

    name = task_id(name)
    flow, settings = settle(options, Asked(task=name))
    if 0 in flow.instances.values():  # those of the run, or of the newest one
        from zf.run.upstream import with_instances

        named = LATEST if run is None else os.path.basename(find_run(run, own=True))
        flow = with_instances(flow, (), [named])
    plan = plan_task(flow, name, with_needs=False, phase_timeout_s=settings.phase_timeout_s.value)
    if len(plan.tasks) > 1:
        raise ZfError(
            f"{name} has a matrix, and a shell is that of one instance",
            code="ZF154",
            hint=f"name one of them, such as {next(iter(plan.tasks))}",
        )
    [task] = plan.tasks.values()
    if run is not None:
        run_dir = find_run(run, own=True)
        return Wanted(flow, task, os.environ, run_dir=run_dir)
    inputs = hidden_by_name(inputs_of(flow, plan, options), flow.project)
    redactor = Redactor(plan.tasks.values(), os.environ, flow.project, inputs)
    limits = limits_of(flow, plan, settings, options)
    refuse_unset(
        RunRequest(
            flow,
            plan,
            settings,
            limits,
            os.environ,
            redactor,
            watch=lambda *_: None,
            inputs=inputs,
        )
    )
    return Wanted(flow, task, os.environ, inputs)
