"""`zf`: every verb in one list."""

from __future__ import annotations

import io
import sys
from copy import copy
from typing import Annotated, Any

import typer
from typer.main import get_command_name

from zf import __version__
from zf.cli.display import streams
from zf.cli.exits import guarded
from zf.cli.options import Directory
from zf.cli.verbs import (
    help,  # noqa: A004 - a verb
    imports,
    init,
    keep,
    machines,
    proof,
    report,
    rerun,
    runs,
    serve,
    shell,
    tasks,
    watch,
)
from zf.cli.verbs import run as running
from zf.cli.verbs.queued import queue, switches
from zf.cli.words import Verb, Verbs
from zf.errors import Exit

app = typer.Typer(
    name="zf",
    cls=Verbs,
    help="Run task graphs, and leave a proof of every run that an auditor can check.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"zf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _directory: Directory = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for _family in (
    init,
    imports,
    running,
    watch,
    rerun,
    shell,
    tasks,
    machines,
    runs,
    report,
    proof,
    keep,
    serve,
    queue,
    switches,
    help,
):
    _family.register(app)
for _command in app.registered_commands:
    _command.cls = Verb
    if _command.name is None and _command.callback is not None:
        _command.name = get_command_name(_command.callback.__name__)


def run(arguments: list[str] | None = None) -> int:
    """Carry out one command line; the exit code."""
    return guarded(lambda: _parsed(arguments))


def _parsed(arguments: list[str] | None) -> object:
    try:
        program = _ready_for(sys.argv[1:] if arguments is None else arguments)
        return program(args=arguments, prog_name="zf", standalone_mode=False)
    except typer.TyperException as error:
        wrong: Any = error  # what a user can do wrong can be shown, with the usage line
        usage = io.StringIO()
        wrong.show(usage)
        streams.say(sys.stderr, usage.getvalue())
        return wrong.exit_code or Exit.USAGE
    except typer.Abort:
        streams.give_up()
        return Exit.INTERRUPTED


def _ready_for(words: list[str]) -> typer.Typer:
    """The program; with no verb but the first word if that is one: typer takes 90 ms, more than a
    verb's own work may, to make all of them ready.
    """
    named = [verb for verb in app.registered_commands if words[:1] == [verb.name]]
    program = copy(app)
    program.registered_commands = named or app.registered_commands
    return program
