"""How a step is started: bash in a session of its own, on a script that nothing can change then.

bash reads a script file piece by piece while it runs it, so a file that the step can write would
let a task rewrite its own failure. What bash gets is an open file without a name, sealed by the
kernel where it can do that (memfd), on descriptor 3. It never lies in a folder, so there is nothing
to clear away, even when the script holds secrets and the worker is killed.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from zf.errors import error_text, printable
from zf.lean.records import Struct
from zf.lean.signals import signal
from zf.proof.files import write_all
from zf.work.interpreters import (
    BASH,
    FD,
    FILE,
    OPEN,
    TEXT,
    bash_argv,
    command_line,
    script_path,
    way,
)

if TYPE_CHECKING:
    from zf.work.terminal import Terminal

# The exit codes of shells for a command that cannot be started, and one that is not there.
CANNOT_START, _NOT_FOUND = 126, 127
_SEALS = 0
if hasattr(fcntl, "F_SEAL_WRITE"):
    _SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
MISSING = (
    "a shell gets its script as an open file, and neither /dev/fd nor /proc/self/fd is there: "
    "mount /proc, or link /dev/fd to /proc/self/fd"
)
# Python and the worker ignore some signals; a step starts with all of them as usual. All of them
# are named: of each that is not, the C library asks first what becomes of it, 60 calls a step.
_SIGNALS = frozenset(signal.valid_signals())
# Where what a step is behind finds the file that it reports to.
REPORT = FD + 1
# The child's pid, and the pipe its output comes from.
Started = tuple[int, int]


class ScriptFile(Struct, frozen=True):
    """Where a script can lie as a file: as it can be written there, and as a step sees it."""

    written: str
    seen: str
    mode: int = 0o400

    def write(self, text: bytes) -> None:
        """Raises OSError. The file can only be read."""
        os.makedirs(os.path.dirname(self.written), 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.written, flags, 0o400)
        try:
            if self.mode != 0o400:
                os.fchmod(fd, self.mode)
            write_all(fd, text)
        finally:
            os.close(fd)

    def __enter__(self) -> None:
        """It is gone after the step."""

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.unlink(self.written)


class Behind(Struct, frozen=True):
    """What a step's command line is put behind: words after the path of their program, and their
    own environment where they do not have the step's; `elsewhere` its program is found in there,
    and every script it reads has to be a file. They write to `report`, if it is one,
    on descriptor 4.
    """

    words: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    elsewhere: bool = False
    report: int = -1


NOTHING_BETWEEN = Behind()


class CannotStandError(Exception):
    """A step cannot be put behind its wall; the message says why."""


class NotStartedError(Exception):
    """There is no child: the arguments are why, and the exit code that shells have for it."""


class WorkdirError(NotStartedError):
    """A command cannot run in this folder; the message says why."""


def enter(root: str, workdir: str, shown: str) -> None:
    """Go where a command is to run; WorkdirError when that is no place for it. `root` is absolute
    and has no links, `workdir` is below it, and `shown` is what it may be called.
    """
    why = ""
    try:
        os.chdir(f"{root}/{workdir}")
        # Asked of the kernel after going there: no link can be swapped in between.
        here = os.getcwd()
        if here != root and not here.startswith(f"{root.rstrip('/')}/"):
            why = " leads out of the project"
    except OSError as error:
        why = f": {error.strerror}"
    if why:
        raise WorkdirError(f"workdir '{printable(shown)}'{why}")


def behind(outer: Sequence[str], inner: Sequence[str]) -> Sequence[str]:
    """The command line of a wall around another; each begins with a path and a name."""
    return (*outer, inner[0], *inner[2:]) if outer and inner else outer or inner


class Shell:
    """Starts steps; remembers where their programs are for which PATH. What steps read is what this
    process reads.
    """

    def __init__(self, path: str, confine: Callable[[], None] | None = None) -> None:
        """`path` is the usual PATH; `confine` is called in the thread that starts a step, which
        ends with that.
        """
        self._found: dict[tuple[str, str], str | None] = {("bash", path): which("bash", path)}
        self._path = path
        self._confine = confine

    def start(
        self,
        env: Mapping[str, str],
        text: bytes,
        arguments: Sequence[str] = (),
        shell: Sequence[str] = (),
        file: ScriptFile | None = None,
        on: Terminal | None = None,
        *,
        wall: Behind = NOTHING_BETWEEN,
    ) -> Started:
        """Run this script in the current folder, with these arguments: with bash, or the beginning
        of a command line that is `shell`, which may want it as a `file`; behind a `wall`, if there
        is one. It reads, and prints, what this process does, or is `on` a terminal. Raises
        NotStartedError.
        """
        name = shell[0] if shell else "bash"
        program = name if wall.elsewhere else self._find(name, env.get("PATH", os.defpath))
        if program is None:
            why = (
                "is no program that can be run" if "/" in name else "is not on the PATH of the step"
            )
            problem = f"{printable(name)} {why}"
            raise NotStartedError(problem, _NOT_FOUND)
        handed = way(shell) if shell else OPEN
        if wall.elsewhere and handed == OPEN:
            handed, shell = FILE, shell or BASH
        if handed == OPEN and script_path() is None:
            raise NotStartedError(MISSING, CANNOT_START)
        try:
            if handed == FILE and file is not None:
                file.write(text)
            script = sealed(text) if handed == OPEN else -1
        except OSError as error:
            problem = f"the script could not be handed to {printable(name)}: {error_text(error)}"
            raise NotStartedError(problem, CANNOT_START) from None
        # By its path: bash looks for itself on the whole PATH otherwise, 12 calls a step.
        argv = (program, *bash_argv()[1:], *arguments)
        if shell:
            seen = {OPEN: script_path(), FILE: file and file.seen}.get(handed)
            argv = command_line(shell, seen or os.fsdecode(text), arguments)
        if wall.words:
            argv, program = (*wall.words[1:], program, *argv[1:]), wall.words[0]
        values = env if wall.env is None else wall.env
        opened = _opened(script, wall.report)
        spawn = partial(self._spawn, program, argv, values, opened, on)
        try:
            return spawn() if self._confine is None else _in_a_thread(self._confine, spawn)
        except ValueError:  # a NUL, which no argument or variable can hold
            problem = f"{printable(name)} could not be started: its command line holds a NUL"
            raise NotStartedError(problem, CANNOT_START) from None
        except OSError as error:
            problem = f"{printable(name)} could not be started: {error.strerror}"
            if error.errno == errno.E2BIG and handed == TEXT:
                problem += ": without the -c of its `shell` it gets the script as a file"
            raise NotStartedError(problem, CANNOT_START) from None
        finally:
            if script >= 0:
                os.close(script)

    def find(self, name: str) -> str | None:
        """Where a program is that zf itself needs, on the usual PATH."""
        return self._find(name, self._path)

    def _find(self, name: str, path: str) -> str | None:
        if "/" in name:  # a path, from the folder that the step runs in
            return name if _is_program(name) else None
        if (name, path) not in self._found:
            self._found[name, path] = which(name, path)
        return self._found[name, path]

    def _spawn(
        self,
        program: str,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        opened: tuple[tuple[int, int, int], ...],
        on: Terminal | None,
    ) -> Started:
        pipe, output = (on.master, -1) if on else os.pipe()
        # Opened by the leader of a session that has none, a terminal becomes its own.
        streams = (
            ((os.POSIX_SPAWN_OPEN, 0, on.name, os.O_RDWR, 0), *_both(0)) if on else _both(output)
        )
        try:
            pid = os.posix_spawn(
                program,
                argv,
                env,
                file_actions=(*streams, *opened),
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
        except OSError:
            if not on:
                os.close(pipe)
            raise
        finally:
            if not on:
                os.close(output)
        os.set_blocking(pipe, False)
        return pid, pipe


def _opened(script: int, report: int) -> tuple[tuple[int, int, int], ...]:
    """Have a program find its script, and where to report to, if it is to have them."""
    opened = ((os.POSIX_SPAWN_DUP2, script, FD),) if script >= 0 else ()
    return (*opened, (os.POSIX_SPAWN_DUP2, report, REPORT)) if report >= 0 else opened


def _both(fd: int) -> tuple[tuple[int, int, int], ...]:
    """Have a program write what it prints to this."""
    return (os.POSIX_SPAWN_DUP2, fd, 1), (os.POSIX_SPAWN_DUP2, fd, 2)


def _in_a_thread(confine: Callable[[], None], start: Callable[[], Started]) -> Started:
    """Start a step from a thread of its own, so that it alone is confined, and becomes the worker's
    child like any other.
    """
    done = _thread.allocate_lock()
    result: list[Started] = []
    error: list[BaseException] = []

    def inside() -> None:
        try:
            confine()
            result.append(start())
        except BaseException as raised:  # noqa: BLE001 - raised again where it belongs
            error.append(raised)
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(inside, ())
    with done:
        if error:
            raise error[0]
        return result[0]


def which(program: str, path: str) -> str | None:
    """Where a program is on this PATH. By hand, as `shutil` takes each worker 4 ms to import."""
    for folder in path.split(os.pathsep) if path else ():
        found = os.path.join(folder, program)
        if _is_program(found):
            return found
    return None


def _is_program(path: str) -> bool:
    return os.access(path, os.X_OK) and not os.path.isdir(path)


def sealed(text: bytes) -> int:
    """A descriptor from which these bytes are read, to be closed once the step has been started."""
    try:
        fd = os.memfd_create("zf-script", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):
        return _unlinked(text)
    try:
        write_all(fd, text)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unlinked(text: bytes) -> int:
    """The same where there is no memfd (macOS): a file without a name, open for reading only. It
    has lost its name before it gets its first byte.
    """
    from tempfile import mkstemp  # noqa: PLC0415 - 2 ms that Linux never pays

    writer, name = mkstemp(prefix="zf-")
    try:
        try:
            reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            os.unlink(name)
        write_all(writer, text)
    finally:
        os.close(writer)
    return reader
