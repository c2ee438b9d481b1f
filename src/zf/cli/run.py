"""Verbs that run something new: run-phase and run-task."""

from __future__ import annotations

from typing import Annotated

import typer

from zf.cli.begin import begin_phases, begin_task
from zf.cli.options import Directory, complete_phase, complete_task, takes_run_options
from zf.settings import RunOptions


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command("run-phase")(run_phase)
    app.command("run-task")(run_task)


@takes_run_options
def run_phase(
    phases: Annotated[
        list[str],
        typer.Argument(
            metavar="PHASE...", help="Phases, in run order.", autocompletion=complete_phase
        ),
    ],
    options: RunOptions,
    _directory: Directory = None,
) -> int:
    """Run every task of one or more phases, in order, and leave a proof of each."""
    return begin_phases(phases, options)


@takes_run_options
def run_task(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A task's id, or its task.yaml.", autocompletion=complete_task
        ),
    ],
    options: RunOptions,
    _directory: Directory = None,
) -> int:
    """Run one task, without its needs unless told, and exit with its failing step's own code."""
    return begin_task(task, options)
