"""`zf`: every verb in one list, or the one that is asked for without the others."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command_name

from zf import __version__
from zf.cli.display import streams
from zf.cli.exits import guarded
from zf.cli.groups import FAMILIES
from zf.cli.options import Directory
from zf.cli.words import Verb, Verbs
from zf.errors import Exit


def _version(asked: bool) -> None:
    if asked:
        print(f"zf {__version__}")
        raise typer.Exit


def _options(
    _directory: Directory = None,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def program(words: Sequence[str] = ()) -> typer.Typer:
    """The program with all verbs; with no verb but the first word if that is one, and without the
    modules of the others: to import these takes 25 ms, and typer 90 to make all of them ready.
    """
    verbs = typer.Typer(
        name="zf",
        cls=Verbs,
        help="Run task graphs, and leave a proof of every run that an auditor can check.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    verbs.callback()(_options)
    asked = words[0] if words else ""
    for family in [each for each, listed in FAMILIES.items() if asked in listed] or FAMILIES:
        import_module(f"zf.cli.verbs.{family}").register(verbs)
    for command in verbs.registered_commands:
        command.cls = Verb
        if command.name is None and command.callback is not None:
            command.name = get_command_name(command.callback.__name__)
    named = [command for command in verbs.registered_commands if command.name == asked]
    verbs.registered_commands = named or verbs.registered_commands
    return verbs


def run(arguments: list[str] | None = None) -> int:
    """Carry out one command line; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    verbs = program(words)  # a part of zf that cannot be loaded is told of by `__main__`
    return guarded(lambda: _parsed(verbs, words))


def _parsed(verbs: typer.Typer, words: list[str]) -> object:
    try:
        return verbs(args=words, prog_name="zf", standalone_mode=False)
    except typer.TyperException as error:
        wrong: Any = error  # what a user can do wrong can be shown, with the usage line
        usage = io.StringIO()
        wrong.show(usage)
        streams.say(sys.stderr, usage.getvalue())
        return wrong.exit_code or Exit.USAGE
    except typer.Abort:
        streams.give_up()
        return Exit.INTERRUPTED
