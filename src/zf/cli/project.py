"""The project at hand: its folders, its checked task files, and its runs by their names."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from zf.cli.display import streams
from zf.cli.groups import VERBS
from zf.errors import ZfError, in_shell, printable
from zf.lean import lazy
from zf.model import Asked
from zf.proof.layout import CONTAINERS, LOCKS, MANIFEST

if TYPE_CHECKING:
    from zf.model import Flow, Loaded
    from zf.proof.durations.form import Durations
    from zf.report.facts import Facts


_started_in: str | None = None
# What `-C` said, for the commands that are advised.
_folder = ""


def go_to(folder: str) -> None:
    """Work there from now on; `path_shown` goes on telling paths from where the user is."""
    global _started_in, _folder  # noqa: PLW0603 - the working directory is the process's, too
    if _started_in is None:
        with suppress(OSError):
            _started_in = os.getcwd()
    os.chdir(folder)
    _folder = os.path.join(_folder, folder)


def hide_in_commands(hide: Callable[[str], str]) -> None:
    """Leave `-C` out of what is advised when its folder's name holds a secret."""
    global _folder  # noqa: PLW0603 - as above
    if _folder and hide(_folder) != _folder:
        _folder = ""


def program() -> str:
    """What stands before a verb in a command that is advised: `zf`, or `zf -C DIR` if need be."""
    if not _folder:
        return "zf"
    from shlex import quote

    return f"zf -C {quote(_folder)}"


def as_started() -> tuple[list[str], str | None]:
    """The words and the folder with which another zf is where this one is, and tells paths and
    commands as this one does; None for the current folder.
    """
    return (["-C", _folder], _started_in) if _folder and _started_in else ([], None)


_COMMAND = lazy.pattern(rf"\bzf (?=(?:{'|'.join(VERBS)})\b)")


def as_typed(text: str) -> str:
    """A text for people with its commands as they work in the user's own shell."""
    return _COMMAND.sub(f"{program()} ".replace("\\", r"\\"), text) if _folder else text


def path_shown(path: str) -> str:
    """A path as the user's own shell can follow it; what was unpacked is named by its archive."""
    for folder, archive in _unpacked.items():
        if f"{path}/".startswith(f"{folder}/"):
            return archive + path.removeprefix(folder)
    try:
        return os.path.relpath(path, _started_in or os.curdir)
    except OSError:  # a task has removed the working directory
        return path


_EVERYTHING = Asked()


def open_project(
    *,
    phase_timeout_s: float | None = None,
    quiet: bool = False,
    before: Callable[[str, str], None] = lambda _root, _home: None,
    meanwhile: Callable[[], None] | None = None,
    asked: Asked = _EVERYTHING,
) -> Flow:
    """Every task file of the project, checked. Warnings, about what is `asked` for, go to stderr
    unless `quiet`.

    With `meanwhile`, a second process reads the files while this one does that; `before` is done
    before that process is started, given the root and the home of the project.

    Raises ZfError (exit 2) with all problems of all files.
    """
    from zf.plan import places
    from zf.settings import DEFAULT_PHASE_TIMEOUT_S

    root, home = places.find_root(os.getcwd())
    _end_abandoned(f"{home}/proofs")
    timeout_s = DEFAULT_PHASE_TIMEOUT_S if phase_timeout_s is None else phase_timeout_s
    loaded = None
    before(root, home)
    if meanwhile is not None:
        from zf.plan import preload

        with preload.loading(root, home, default_phase_timeout_s=timeout_s, asked=asked) as result:
            meanwhile()
            loaded = result()
    if loaded is None:
        from zf.plan import load

        loaded = load.load(root, home, default_phase_timeout_s=timeout_s, asked=asked)
    keep(loaded)
    if loaded.flow is None:
        count = sum(problem.severity == "error" for problem in loaded.problems)
        raise ZfError(f"{count} errors in the task files", problems=loaded.problems)
    if not quiet:
        for problem in loaded.problems:
            streams.say(sys.stderr, problem.render() + "\n")
    return loaded.flow


# What was loaded last.
_kept: list[Loaded] = []


def keep(loaded: Loaded) -> None:
    """Have it stay as long as the process, which ends without taking itself apart: of 20 000 tasks
    that takes 50 ms. Nor need the collector look through them again.
    """
    _kept[:] = [loaded]
    gc.freeze()


def project_durations(flow: Flow) -> Durations | None:
    """What the project's own file says of earlier runs; stderr says if it is of no use."""
    from zf.proof.durations.project import of_project

    found, problem = of_project(flow.root, flow.home)
    if problem is not None:
        streams.say(sys.stderr, problem.render() + "\n")
    return found


def proofs_folder() -> str:
    """Where the runs of the project at hand are; its task files need not be valid."""
    from zf.plan import places

    proofs = f"{places.find_root(os.getcwd())[1]}/proofs"
    _end_abandoned(proofs)
    return proofs


def _end_abandoned(proofs: str) -> None:
    """Remove the containers of runs whose zf was killed, with all that goes on in them."""
    if os.path.isdir(f"{proofs}/{LOCKS}/{CONTAINERS}"):
        from zf.run.host import containers

        for problem in containers.clear(proofs):
            streams.say(sys.stderr, f"note: {printable(problem)}\n")


def is_archive(run: str) -> bool:
    """Whether what a user names is the archive of a run, which `zf export` wrote."""
    return run.endswith(".tar") and os.path.isfile(run)


# Folders of runs that were unpacked for as long as this command lasts, with their archives; and
# what removes them, and lets go of the runs that it reads.
_unpacked: dict[str, str] = {}
_to_undo = ExitStack()


def _unpack(archive: str) -> str:
    from zf.audit.exporting.unpack import unpacked

    folder = _to_undo.enter_context(unpacked(archive))
    _unpacked[folder] = archive
    return folder


def let_runs_go() -> None:
    """The command is over: what was unpacked goes, and what was read may."""
    _unpacked.clear()
    _to_undo.close()


def adopt(run: str) -> str:
    """The id of the run that a user names to build on; one in an archive becomes one of this
    project's, once its proof is verified.
    """
    if not is_archive(run):
        return run
    from zf.run.upstream import adopt as take_in

    adopted = take_in(proofs_folder(), run)
    if adopted.is_new:
        commit = f" of commit {printable(adopted.commit)[:12]}" if adopted.commit else ""
        shown = path_shown(f"{proofs_folder()}/{adopted.run}")
        told = (
            f"{printable(run)} is intact: run {adopted.run}{commit} is in {printable(shown)} now\n"
        )
        streams.say(sys.stderr, told)
    return adopted.run


def adopt_suspended(run: str) -> str:
    """The same of a run that is to go on. Raises ZfError (exit 2) for an archive of one that is
    sealed, before anything is taken out of it.
    """
    if is_archive(run) and os.path.lexists(f"{_unpack(run)}/{MANIFEST}"):
        raise _foreign(run)
    return adopt(run)


def find_run(run: str, *, own: bool = False) -> str:
    """The folder of the run that a user names: the one rule for RUN in every verb. No other zf
    removes it until this command is over.

    What ends in `.tar` and is a file is the archive of a run, what has a slash the path of a
    folder, and nothing else is; all else is an id of the project, the beginning of one, or
    `latest`. A verb that changes a run, or builds on it, takes only those
    of its `own` project. Raises ZfError (exit 2) when there is no such run; PrunedError when there
    was one.
    """
    from zf.proof import read

    try:
        found = _find_run(run, own=own)
        _to_undo.callback(read.let_go)
        read.keep(found)
    except (ZfError, FileNotFoundError) as error:
        if not is_archive(run):
            _refuse_pruned(run)
        if isinstance(error, ZfError):
            raise
        return _find_run(run, own=own)
    return found


def _refuse_pruned(run: str) -> None:
    """Raises PrunedError for a run of the project at hand that was there once."""
    from zf.run.retention.ledger import refuse_pruned

    try:
        proofs = proofs_folder()
    except ZfError:
        return  # there is no project
    refuse_pruned(proofs, run)


def _foreign(archive: str) -> ZfError:
    return ZfError(
        f"{printable(archive)} is an archive, and no run of this project",
        code="ZF610",
        hint=f"zf rerun {in_shell(archive)} --failed runs again here what failed there",
    )


def _find_run(run: str, *, own: bool) -> str:
    from zf.proof import read

    if is_archive(run):
        if not own:
            return _unpack(run)
        raise _foreign(run)
    if "/" not in run:
        try:
            return read.find_run(proofs_folder(), run)
        except ZfError as error:
            if not os.path.isdir(run):
                raise
            raise ZfError(
                f"unknown run {printable(run)!r}",
                code=error.problems[0].code,
                hint=f"to name the folder, write {in_shell(f'./{run}')}",
            ) from None
    path = run.rstrip("/") or "/"
    if not own:
        return path
    proofs = proofs_folder()
    name = os.path.basename(os.path.realpath(path))
    if os.path.realpath(path) != os.path.realpath(f"{proofs}/{name}"):
        raise ZfError(
            f"{printable(run)} is no run of this project",
            code="ZF610",
            hint=f"its runs are in {printable(proofs)}",
        )
    return read.find_run(proofs, name)


def facts_of(run_dir: str) -> Facts:
    """What a run's plan and journal say, as far as they go."""
    from zf.proof import read
    from zf.report.facts import build

    return build(read.plan_json(run_dir), read.journal(run_dir).events)
