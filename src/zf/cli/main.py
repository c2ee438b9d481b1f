"""`zf`: every verb in one list, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from copy import copy
from typing import Annotated, Any

import typer

from zf import __version__
from zf.cli import again, proof, runs, tasks
from zf.cli import run as running
from zf.cli.options import Directory
from zf.cli.words import Verb, Verbs
from zf.errors import Exit, Problem, ZfError, printable

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


for _family in (running, again, tasks, runs, proof):
    _family.register(app)
for _command in app.registered_commands:
    _command.cls = Verb


# Every error a user can make at the command line descends from this one in typer, which exports
# only its children.
_UsageError: Any = typer.BadParameter.__mro__[2]


def run(arguments: list[str] | None = None) -> int:
    """Carry out one command line; the exit code. Never a traceback for what a user can cause."""
    try:
        program = _ready_for(sys.argv[1:] if arguments is None else arguments)
        code = program(args=arguments, prog_name="zf", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        error.show()
        return int(error.exit_code)
    except ZfError as error:
        show_problems(error.problems)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`zf list | head`). Python would try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception as error:  # noqa: BLE001  # the last net: anything here is a bug of zf
        return _internal(error)
    return code if isinstance(code, int) else Exit.OK


def _ready_for(words: list[str]) -> typer.Typer:
    """The program; with no verb but the first word if that is one: typer takes 10 ms, more than a
    verb's own work may, to make all of them ready.
    """
    named = [verb for verb in app.registered_commands if words[:1] == [verb.name]]
    program = copy(app)
    program.registered_commands = named or app.registered_commands
    return program


def show_problems(problems: tuple[Problem, ...]) -> None:
    """Print findings to stderr, one after the other."""
    for problem in problems:
        print(problem.render(), file=sys.stderr)


def _internal(error: Exception) -> int:
    import tempfile
    import traceback

    fd, name = tempfile.mkstemp(prefix="zf-crash-", suffix=".txt")
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"zf {__version__}, Python {sys.version}\n{sys.argv!r}\n\n")
        traceback.print_exception(error, file=file)
    print(
        f"zf: internal error: {printable(f'{type(error).__name__}: {error}')}\n"
        f"  This is a bug in zf, not in your task files. The traceback is in {name}",
        file=sys.stderr,
    )
    return Exit.INTERNAL
