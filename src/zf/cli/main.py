"""`zf`: every verb in one list, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
from copy import copy
from typing import Annotated, Any

import typer

from zf import __version__
from zf.cli import again, crash, proof, runs, streams, tasks
from zf.cli import run as running
from zf.cli.options import Directory
from zf.cli.words import Verb, Verbs
from zf.errors import Exit, Problem, ZfError

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
    streams.make_ready()
    try:
        program = _ready_for(sys.argv[1:] if arguments is None else arguments)
        code = program(args=arguments, prog_name="zf", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        usage = io.StringIO()
        error.show(usage)
        streams.say(sys.stderr, usage.getvalue())
        return int(error.exit_code)
    except ZfError as error:
        show_problems(error.problems)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`zf list | head`).
        streams.silence(sys.stdout)
        return 128 + 13
    except OSError as error:
        if error.errno not in _OUT_OF_REACH:
            return _internal(error)
        return _stopped_by_the_system(error)
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
        streams.say(sys.stderr, problem.render() + "\n")


# What the system has none of, or does not let us have: nothing that is wrong with zf.
_OUT_OF_REACH = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.ENOMEM,
}


def _stopped_by_the_system(error: OSError) -> int:
    # The stream that took no more would be tried again at exit, and change the exit code.
    if not streams.say(sys.stdout, ""):
        error.filename = "stdout"
    where = f": {os.fsdecode(error.filename)}" if error.filename else ""
    show_problems((Problem("ZF190", f"{error.strerror}{where}", hint="zf stopped there"),))
    return Exit.USAGE


def _internal(error: Exception) -> int:
    streams.say(sys.stderr, f"zf: {crash.told(error)}\n")
    return Exit.INTERNAL
