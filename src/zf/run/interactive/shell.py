"""A shell where the steps of a task would run, for a person to try things in: no part of any run.

It is bash as steps have it, without anybody's start-up files, and on a terminal with a prompt that
says so. It has the terminal for itself: what is typed, Ctrl-C too, is for the shell.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from shlex import quote

from zf.errors import ZfError, printable
from zf.lean.records import Struct
from zf.model import Step
from zf.proof.files import remove_tree
from zf.run.interactive.surroundings import Surroundings, Wanted, prepare
from zf.run.opening import unwalled
from zf.work.interpreters import bash_with
from zf.work.shell import CannotStandError, WorkdirError, enter, which

# Longer scripts are told by their beginning: they are in the task's file.
_MOST_LINES = 15
# What the shell gets as it would from a terminal, whatever Python made of it.
_AS_USUAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM)
_PROMPT = r"(zf \[\e[36m\]{0}\[\e[0m\]) \w \$ "
_PLAIN_PROMPT = r"(zf {0}) \w \$ "


class Session(Struct, frozen=True):
    """How the shell is to be: with a `command` to carry out in place of a person's, and another
    `program` than bash. `on_terminal` is whether a person types, `coloured` how the prompt is.
    """

    command: str | None = None
    program: str | None = None
    on_terminal: bool = False
    coloured: bool = False


def shell(wanted: Wanted, session: Session, tell: Callable[[str], None]) -> int:
    """Open it and wait for its end; its exit code, which is 128 and more after a signal.

    `tell` is told a text for the person at the terminal. Raises ZfError for what cannot be made, or
    started.
    """
    if image := wanted.task.container.get("image"):
        root = quote(os.path.realpath(wanted.flow.root))
        raise ZfError(
            f"the steps of {wanted.task.id} run in a container, in which zf opens no shell",
            code="ZF154",
            hint=f"podman run --rm -it -v {root}:{root} -w {root} {quote(image)} sh",
        )
    with _scratch(tell) as scratch:
        here = prepare(wanted, scratch)
        if session.command is None and session.on_terminal:
            tell(introduction(here))
        else:
            for note in here.notes:
                tell(f"note: {printable(note)}\n")
        argv = _argv(session, here, scratch)
        program = which(argv[0], here.variables.get("PATH", os.defpath))
        if "/" in argv[0]:
            program = argv[0]
        if program is None:
            raise ZfError(
                f"{printable(argv[0])} is not on the PATH of the step",
                code="ZF154",
                hint="name a program that is there with --shell",
            )
        root = os.path.realpath(wanted.flow.root)
        came_from = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            enter(root, wanted.task.workdir, wanted.task.workdir)
            if wanted.task.sandbox:
                wall = _wall(wanted, root, scratch, tell)
                argv = (*wall[1:], program, *argv[1:]) if wall else argv
                program = wall[0] if wall else program
            return _waited_for(program, argv, here)
        except WorkdirError as error:
            raise ZfError(
                str(error), code="ZF154", hint="what it needs may have to make it"
            ) from None
        finally:
            os.fchdir(came_from)
            os.close(came_from)


def _wall(wanted: Wanted, root: str, scratch: str, tell: Callable[[str], None]) -> Sequence[str]:
    """What stands before the shell's command line, for its task's sandbox; nothing where the task
    may do without and there is none. Raises ZfError.
    """
    from zf.work.caching.files import named  # noqa: PLC0415 - few tasks have a sandbox
    from zf.work.walls.sandbox import (  # noqa: PLC0415 - as above
        Rooms,
        Sandbox,
        found_on,
    )

    said, proofs = wanted.task.sandbox, os.path.realpath(wanted.flow.proofs)
    program, reason = found_on(wanted.environ.get("PATH", os.defpath))
    if program is None or reason:
        if not said.get("if_available"):
            raise unwalled(wanted.task.id, reason)
        tell(f"note: this shell has no sandbox: {printable(reason)}\n")
        return ()
    with open(f"{scratch}/empty", "x"):
        pass
    read = None
    if "read" in said:
        globs = tuple(said["read"])
        read = partial(named, root, globs, proofs=proofs, environ=wanted.environ)
    # Of the proofs there is nothing but a cover, which has to lie on a folder.
    os.makedirs(proofs, exist_ok=True)
    rooms = Rooms(root, proofs, root, f"{scratch}/empty", [scratch])
    try:
        return Sandbox(program, said, rooms, wanted.environ.get("HOME"), read).words(os.getcwd())
    except CannotStandError as error:
        raise ZfError(str(error), code="ZF154", hint="see `sandbox` in the task file") from None


@contextmanager
def _scratch(tell: Callable[[str], None]) -> Iterator[str]:
    """A folder for as long as the shell is open, and longer if something was put where artifacts
    go.
    """
    folder = os.path.realpath(tempfile.mkdtemp(prefix="zf-shell-"))
    try:
        yield folder
    finally:
        artifacts = f"{folder}/artifacts"
        if os.path.isdir(artifacts) and os.listdir(artifacts):
            for name in os.listdir(folder):
                if name != "artifacts":
                    remove_tree(f"{folder}/{name}")
            tell(f"kept: {artifacts}\n")
        else:
            remove_tree(folder)


def _argv(session: Session, here: Surroundings, scratch: str) -> Sequence[str]:
    if session.program is not None:
        return (session.program, *(("-c", session.command) if session.command is not None else ()))
    if session.command is not None:
        return bash_with(session.command)
    if not session.on_terminal:
        return ("bash", "--noprofile", "--norc", "-s")
    prompt = (_PROMPT if session.coloured else _PLAIN_PROMPT).format(here.task.id)
    with open(f"{scratch}/rc", "x", encoding="utf-8") as rc:
        # What is typed here may be a secret: no history keeps it.
        rc.write(f"unset HISTFILE\nPS1='{prompt}'\n")
    return ("bash", "--noprofile", "--rcfile", f"{scratch}/rc", "-i")


def _waited_for(program: str, argv: Sequence[str], here: Surroundings) -> int:
    """Start it, and leave all keys to it. TERM and HUP are passed on: a shell on a terminal ends
    with HUP alone; and again each second, as bash forgets one that comes while it shows its prompt.
    A second TERM ends a shell that takes no notice of HUP.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _AS_USUAL[:2]}
    pids: list[int] = []

    terms = 0

    def pass_on(number: int, _frame: object) -> None:
        nonlocal terms
        terms += number == signal.SIGTERM
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP if terms < 2 else signal.SIGKILL)
        signal.alarm(1)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        before[number] = signal.signal(number, pass_on)
    try:
        pids.append(
            os.posix_spawn(program, [*argv], here.variables, setsigmask=(), setsigdef=_AS_USUAL)
        )
        code = os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1])
    except OSError as error:
        raise ZfError(
            f"{printable(argv[0])} could not be started: {error.strerror}", code="ZF154"
        ) from None
    finally:
        pids.clear()
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def introduction(here: Surroundings) -> str:
    """What the shell is, and the steps, such that they can be pasted."""
    task = here.task
    where = "" if task.workdir in {"", "."} else f" in {printable(task.workdir)}"
    lines = [
        f"zf shell: as the steps of {task.id} would find it{where}; nothing is recorded",
        f"$ARTIFACTS_DIR is {here.artifacts}, removed if it stays empty",
    ]
    by_run: dict[str, list[str]] = {}
    for need, run in here.met.items():
        by_run.setdefault(run, []).append(need)
    lines += [f"$NEEDS_DIR has {', '.join(needs)} of run {run}" for run, needs in by_run.items()]
    lines += [f"note: {printable(note)}" for note in here.notes]
    lines += ["its steps, to be pasted:", ""]
    for number, step in enumerate(task.steps):
        lines += _pasted(number, step)
    return "\n".join(lines) + "\n\n"


def _pasted(number: int, step: Step) -> Iterator[str]:
    name = "" if step.name == f"step-{number}" else f" {step.name}"
    folder = f", in {step.workdir}" if step.workdir else ""
    with_shell = f", with {' '.join(step.shell)}" if step.shell else ""
    own = "".join(f" {variable}={quote(value)}" for variable, value in step.env.items())
    with_own = f", where{own}" if own else ""
    yield f"# step {number}{printable(f'{name}{folder}{with_shell}{with_own}')}"
    script = step.run.rstrip("\n").split("\n")
    for line in script[:_MOST_LINES]:
        yield "\t".join(map(printable, line.split("\t")))
    if len(script) > _MOST_LINES:
        yield f"# and {len(script) - _MOST_LINES} more lines"
