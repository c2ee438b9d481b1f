"""Options that several verbs share, and the names that shell completion offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from zf.errors import ZfError

if TYPE_CHECKING:
    from zf.model import Task


def _change_directory(directory: str | None) -> str | None:
    if directory is not None:
        try:
            os.chdir(directory)
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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def complete_phase(incomplete: str) -> list[tuple[str, str]]:
    """Phases of the project at hand, with what they hold."""
    counts: dict[str, int] = {}
    for task in _tasks():
        counts[task.phase] = counts.get(task.phase, 0) + 1
    return [(p, f"{n} tasks") for p, n in sorted(counts.items()) if p.startswith(incomplete)]


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Tasks of the project at hand, with their titles."""
    return [(t.id, t.title) for t in _tasks() if t.id.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Runs of the project at hand, newest first."""
    from zf.cli.project import proofs_folder
    from zf.proof.read import list_runs

    try:
        return [name for name in list_runs(proofs_folder()) if name.startswith(incomplete)]
    except (ZfError, OSError):
        return []


def _tasks() -> list[Task]:
    from zf.cli.project import open_project

    try:
        return list(open_project(quiet=True).tasks.values())
    except ZfError:
        return []


RunId = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's id.", autocompletion=complete_run)
]
