"""Verbs that run something new: run, run-phase and run-task."""

from __future__ import annotations

from typing import Annotated

import typer

from zf.cli.begin import begin_named, begin_phases, begin_task
from zf.cli.options import (
    Directory,
    complete_named,
    complete_phase,
    complete_task,
    takes_run_options,
)
from zf.settings import RunOptions


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command("run")(run)
    app.command("run-phase")(run_phase)
    app.command("run-task")(run_task)


@takes_run_options
def run(
    options: RunOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHASE|TASK...",
            help="Phases and tasks; none for all of them. phase:NAME and task:NAME say which is"
            " meant of two with one name.",
            autocompletion=complete_named,
        ),
    ] = None,
    _directory: Directory = None,
) -> int:
    """Run everything, or some phases or tasks with all that they need, and leave a proof."""
    return begin_named(words or (), options)


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
