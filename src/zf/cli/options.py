"""Options that several verbs share, and the names that shell completion offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.project import go_to
from zf.errors import ZfError
from zf.model import is_valid_id
from zf.settings import lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zf.model import Task


def _change_directory(directory: str | None) -> str | None:
    if directory is not None:
        try:
            go_to(directory)
        except OSError as error:
            raise ZfError(
                f"-C {directory}: {error.strerror}", hint="name an existing folder"
            ) from None
    return directory


Directory = Annotated[
    str | None,
    typer.Option(
        "-C",
        metavar="DIR",
        callback=_change_directory,
        is_eager=True,
        help="Work as if started in DIR.",
    ),
]
Sign = Annotated[
    bool | None,
    typer.Option("--sign/--no-sign", help="Sign the proof when the run is over, or do not."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="With --sign: an SSH key, or an Ed25519 key in PEM. [default: git's signing key]",
    ),
]
Shield = Annotated[
    str | None,
    typer.Option(
        "--shield",
        metavar="MODE",
        help="Keep the proof out of reach of the steps: auto, always or never. [default: auto]",
    ),
]
Resource = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="NAME=N",
        help="How much there is of what tasks ask for. Can be given again.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the summary alone, and nothing before it.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print a line when a task starts, too.")
]
Tail = Annotated[
    str | None,
    typer.Option(
        "--tail",
        metavar="N",
        help="How many lines of a failed step's log are shown. [default: the task file's, or 10]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def positive_lines(text: str | None) -> int | None:
    """What --tail says; ZfError (exit 2) for what is no number of lines."""
    return None if text is None else lines(text, "--tail")


# Shells take what completion prints for code: zsh's script evaluates it, bash puts it on the line
# as it stands. So names are offered only if they are ids, which hold no character that means
# anything to a shell, and no other text of a file is offered: no titles.


def complete_phase(incomplete: str) -> list[str]:
    """Phases of the project at hand."""
    return _offered(sorted({task.phase for task in _tasks()}), incomplete)


def complete_task(incomplete: str) -> list[str]:
    """Tasks of the project at hand."""
    return _offered((task.id for task in _tasks()), incomplete)


def complete_run(incomplete: str) -> list[str]:
    """Runs of the project at hand, newest first."""
    from zf.cli.project import proofs_folder
    from zf.proof.read import list_runs

    try:
        return _offered(list_runs(proofs_folder()), incomplete)
    except (ZfError, OSError):
        return []


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete) and is_valid_id(name)]


def _tasks() -> list[Task]:
    from zf.cli.project import open_project

    try:
        return list(open_project(quiet=True).tasks.values())
    except (ZfError, OSError):
        return []


RunId = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's id.", autocompletion=complete_run)
]
