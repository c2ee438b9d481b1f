"""Verbs about the machines that tasks run on: doctor for this one, agent and workers for others."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from zf.cli.options import AsJson, Directory
from zf.errors import ZfError


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(doctor)
    app.command()(agent)
    app.command()(workers)


def doctor(as_json: AsJson = False, _directory: Directory = None) -> int:
    """Look at what zf needs here (programs, disk, clock, limits, the project), and say what to do.

    Exits with 1 if something stands in the way of a run, or of what it would prove.
    """
    from zf.cli.display.progress import style_of
    from zf.cli.project import as_typed
    from zf.doctor import look
    from zf.doctor.finding import text

    findings = look.examine(os.environ)
    if as_json:
        print(json.dumps(look.as_json(findings), indent=2))
    else:
        sys.stdout.write(as_typed(text(findings, style_of(sys.stdout))))
    return look.exit_code(findings)


def agent() -> int:
    """Run tasks for a zf on another machine, which starts this and speaks to it through its pipes.

    Not for people: what `start` of an executor in zf.yaml names. It ends by itself when its stdin
    does.
    """
    from zf.work.agent.agent import serve

    return serve(os.environ)


def workers(
    action: Annotated[
        str | None,
        typer.Argument(metavar="drain", help="With drain, a run begins nothing more there."),
    ] = None,
    executor: Annotated[
        str | None, typer.Argument(metavar="EXECUTOR", help="The executor to drain.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The run, if several go on.")
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Show where tasks can run: the executors of zf.yaml, and the agents of runs that go on."""
    from zf.cli.display.workers import drain, show

    if action is None:
        show(run, as_json=as_json)
    elif action == "drain" and executor is not None:
        drain(run, executor)
    else:
        raise ZfError(
            "zf workers takes nothing, or: drain EXECUTOR",
            hint="zf workers lists the executors",
        )
