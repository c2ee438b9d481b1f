"""Verbs that make task files: init for a project that has none, new for one more task."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import Directory, complete_phase, complete_task
from zf.cli.project import as_typed, open_project, path_shown
from zf.errors import Exit, ZfError, printable

if TYPE_CHECKING:
    from zf.model import Flow


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(init)
    app.command()(new)


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
    code, written = _propose(directory, ci, yes=yes)
    if written:
        _say_what_next(os.path.realpath(directory), directory)
    return code


def offer() -> bool:
    """Propose the first tasks for the project at hand, to be run at once; whether there are any
    now.
    """
    _say("there are no tasks here yet: ")
    return _propose(".", None, yes=False)[1]


def _propose(
    directory: str, ci: Literal["github", "gitlab"] | None, *, yes: bool
) -> tuple[int, bool]:
    """The exit code, and whether something was written."""
    from zf.adopt import checking, looking
    from zf.plan.places import PROJECT_FILE

    root = os.path.realpath(directory)
    if not os.path.isdir(root):
        raise ZfError(f"{printable(directory)} is not a folder", code="ZF101")
    there = checking.is_project(root)
    files: dict[str, str] = {}
    proposal = looking.look(root, os.environ) if ci or not there else None
    if there:
        _say(f"{there} is there already: nothing in it was changed (`zf new TASK` adds a task)\n")
    elif proposal:
        files[PROJECT_FILE] = proposal.text()
        checking.refuse_problems(checking.problems_with(root, files), "the proposal is not valid")
        looked = ", ".join(map(printable, proposal.looked))
        _say(f"looked at {looked}\n" if looked else "this could be the first\n")
        _point_to_import(root, directory)
    if ci and proposal:
        files |= _ci_job(root, ci, proposal.images)
    if not files:
        return Exit.OK, False
    checking.refuse_outside(root, files)
    for name, text in files.items():
        _say(f"\n{name} would be:\n\n" if len(files) > 1 else "\n")
        streams.say(sys.stdout, _shown(text))
        sys.stdout.flush()
    if not yes and not _agreed(files):
        return Exit.FAILED, False
    for name, text in files.items():
        checking.write_new(f"{root}/{name}", text)
    apart = "\n" if yes else ""  # an answer has ended its own line
    _say(f"{apart}wrote {' and '.join(files)}\n")
    return Exit.OK, True


def _say(text: str) -> None:
    streams.say(sys.stderr, text)


def _point_to_import(root: str, directory: str) -> None:
    """Where the project's CI could be taken over instead: the first of its files."""
    from shlex import quote

    from zf.adopt.importers import IMPORTERS
    from zf.adopt.looking import ci

    for kind, path in ci.importable(root):
        if kind in IMPORTERS:
            shown = quote(os.path.normpath(os.path.join(directory, path)))
            told = as_typed(f"zf import {kind} {shown}")
            _say(f"or, to take the CI over: {printable(told)}\n")
            return


def _ci_job(root: str, ci: str, images: tuple[str, ...]) -> dict[str, str]:
    """The file of the CI job, if there is none yet; else the job is shown, to be added."""
    from zf.adopt import ci_jobs

    path, text = ci_jobs.FILES[ci], ci_jobs.job(ci, images)
    if not os.path.lexists(f"{root}/{path}"):
        if ci_jobs.VARIABLE in text:
            what = "a secret of the repository" if ci == "github" else "a variable of the project"
            _say(f"CI installs zf from $ZF_SOURCE: set that, {what}, to a git repository of zf\n")
        return {path: text}
    _say(f"{path} is there already: nothing in it was changed")
    if ci == "gitlab":
        with open(f"{root}/{path}", encoding="utf-8", errors="replace") as file:
            if file.read() != text:
                _say("; add this job to it\n\n")
                streams.say(sys.stdout, _shown(text))
                return {}
    _say("\n")
    return {}


def is_answered() -> bool:
    """Whether there is a terminal on which a question is seen and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(files: dict[str, str]) -> bool:
    """Ask once, where that can be answered."""
    if not is_answered():
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


def new(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of the new task.")],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="CMD", help="What it runs; several are its steps, in order."),
    ] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option(
            "--needs",
            metavar="TASK",
            help="A task that must have succeeded before; may be given more than once.",
            autocompletion=complete_task,
        ),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(
            "--phase",
            metavar="PHASE",
            help="Its phase. Default: that of its last need, or the only one there is.",
            autocompletion=complete_phase,
        ),
    ] = None,
    use: Annotated[
        list[str] | None,
        typer.Option("--use", metavar="TEMPLATE", help="A template that says what it does not."),
    ] = None,
    _directory: Directory = None,
) -> int:
    """Add a task to the project: to zf.yaml, or as a file, wherever most of its tasks are."""
    from zf.adopt import adding

    keys: dict[str, Any] = {}
    flow = open_project(quiet=True)
    needs = [name for word in needs or () for name in word.split(",") if name]
    _refuse_names(flow, task, needs)
    if named := _phase_of(flow, phase, needs):
        keys["phase"] = named
    if use:
        keys["use"] = use
    if needs:
        keys["needs"] = needs
    scripts = run or ([] if use else [f"echo '{task} does nothing yet' >&2; exit 1"])
    if scripts:
        keys |= {"run": scripts[0]} if len(scripts) == 1 else {"commands": scripts}
    added = adding.added(flow, task, keys)
    print(f"{path_shown(f'{flow.root}/{added.file}')}:{added.line}\n")
    print(_shown("\n".join(added.lines)))
    print(f"\n  next: {as_typed(f'zf run {task}')}")
    return Exit.OK


def _refuse_names(flow: Flow, task: str, needs: list[str]) -> None:
    from zf.model import is_valid_id
    from zf.plan.refusals import refuse_task

    if not is_valid_id(task):
        hint = "start with a letter or digit; letters, digits, '.', '_' and '-' may follow"
        raise ZfError(f"'{task}' is not a valid name for a task", code="ZF216", hint=hint)
    for other in flow.tasks.values():
        if task in (other.id, other.base):
            raise ZfError(
                f"the task '{task}' is there already, in {other.file}",
                code="ZF240",
                hint="choose another name",
            )
    names = {name for other in flow.tasks.values() for name in (other.id, other.base)}
    for need in needs:
        if need not in names:
            refuse_task(flow, need)


def _phase_of(flow: Flow, phase: str | None, needs: list[str]) -> str | None:
    """The phase to write; None where the tasks of the project name none."""
    from zf.model import DEFAULT_PHASE

    phases = {other.phase for other in flow.tasks.values()}
    if phase is not None or phases == {DEFAULT_PHASE}:
        return phase
    by_need = [o.phase for n in needs for o in flow.tasks.values() if n in (o.id, o.base)]
    if not by_need and len(phases) > 1:
        known = ", ".join(sorted(phases))
        raise ZfError("the phase of the task is not known", hint=f"--phase, one of {known}")
    return by_need[-1] if by_need else next(iter(phases), None)
