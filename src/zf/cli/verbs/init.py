"""Verbs that make task files: init for a project that has none, new for one more task."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import Directory
from zf.errors import Exit, ZfError, printable


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(init)


def init(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="The folder of the project.", show_default=False)
    ] = ".",
    ci: Annotated[
        Literal["github", "gitlab"] | None,
        typer.Option("--ci", help="Write a CI job, too, that runs the tasks and keeps the proof."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    _directory: Directory = None,
) -> int:
    """Look at a project, propose tasks that pass now, and write them as zf.yaml."""
    from zf.adopt import checking, looking
    from zf.plan.places import PROJECT_FILE

    root = os.path.realpath(directory)
    if not os.path.isdir(root):
        raise ZfError(f"{printable(directory)} is not a folder", code="ZF101")
    there = checking.is_project(root)
    files: dict[str, str] = {}
    if there:
        _say(f"{there} is there already: nothing in it was changed (`zf new TASK` adds a task)\n")
        images: tuple[str, ...] = ()
    else:
        proposal = looking.look(root, os.environ)
        images = proposal.images
        files[PROJECT_FILE] = proposal.text()
        checking.refuse_problems(checking.problems_with(root, files), "the proposal is not valid")
        if proposal.looked:
            _say(f"looked at {', '.join(map(printable, proposal.looked))}\n")
    if ci:
        files |= _ci_job(root, ci, images)
    if not files:
        return Exit.OK
    for name, text in files.items():
        _say(f"\n{name} would be:\n\n" if len(files) > 1 else "\n")
        streams.say(sys.stdout, _shown(text))
        sys.stdout.flush()
    if not yes and not _agreed(files):
        return Exit.FAILED
    for name, text in files.items():
        checking.write_new(f"{root}/{name}", text)
    _say(f"\nwrote {' and '.join(files)}\n")
    _say_what_next(root, directory)
    return Exit.OK


def _say(text: str) -> None:
    streams.say(sys.stderr, text)


def _ci_job(root: str, ci: str, images: tuple[str, ...]) -> dict[str, str]:
    return {}


def _agreed(files: dict[str, str]) -> bool:
    """Ask once, where that can be answered."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        _say("\nnothing was written, as there is no terminal to ask on\n  hint: zf init --yes\n")
        return False
    _say(f"\nWrite {' and '.join(files)}? [Y/n] ")
    answer = sys.stdin.readline()
    if answer[:1] in "yY\n" and answer:
        return True
    _say("nothing was written\n")
    return False


def _shown(text: str) -> str:
    """As it is to be written; on a terminal with comments dim and the names of tasks bold."""
    from zf.cli.display.progress import wants_colour

    if not wants_colour(sys.stdout):
        return text
    text = re.sub(r"(?m)^( *#.*)$", "\x1b[2m\\1\x1b[0m", text)
    return re.sub(r"(?m)^(  [\w.-]+):", "\x1b[1m\\1\x1b[0m:", text)


def _say_what_next(root: str, directory: str) -> None:
    from shlex import quote

    where = "" if root == os.path.realpath(".") else f"-C {quote(directory)} "
    _say(f"  next: zf {where}run\n")
