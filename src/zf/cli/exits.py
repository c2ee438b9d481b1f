"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from zf import __version__
from zf.cli.display import streams
from zf.cli.project import as_typed, let_runs_go
from zf.errors import Exit, Problem, ZfError, printable
from zf.lean.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable


def guarded(program: Callable[[], object]) -> int:
    """Carry out a command; the exit code. Never a traceback for what a user can cause."""
    try:
        return _guarded(program)
    finally:
        let_runs_go()


def _guarded(program: Callable[[], object]) -> int:
    streams.make_ready()
    try:
        code = program()
        streams.show_rest()
        sys.stdout.flush()
    except ZfError as error:
        return _refused(error)
    except KeyboardInterrupt:
        streams.give_up()
        return Exit.INTERRUPTED
    except (BrokenPipeError, streams.ReaderGoneError):
        # What read our output is gone (`zf list | head`).
        streams.silence(sys.stdout)
        return Exit.BROKEN_PIPE
    except OSError as error:
        if _is_nowhere():
            _show((_NOWHERE,))
            return Exit.USAGE
        if error.errno == errno.ENOENT and _has_no_scratch():
            _show((_NO_SCRATCH,))
            return Exit.USAGE
        if error.errno not in _OUT_OF_REACH:
            return _internal(error)
        return _stopped_by_the_system(error)
    except Exception as error:  # noqa: BLE001  # the last net: nearly all here is a bug of zf
        if _lacks_memory(error):
            return _stopped_by_the_system(OSError(errno.ENOMEM, str(error) or "not enough memory"))
        return _internal(error)
    return code if isinstance(code, int) and code else _unless_lost()


def _refused(error: ZfError) -> int:
    try:
        _show(error.problems)
        streams.show_rest()
    except KeyboardInterrupt:
        streams.give_up()
        return Exit.INTERRUPTED
    return error.exit_code


def _unless_lost() -> int:
    """The exit code of what went well: not 0 when a part of what it had to say is lost."""
    error = streams.lost()
    if error is None:
        return Exit.OK
    gone = isinstance(error, (BrokenPipeError, streams.ReaderGoneError))
    return Exit.BROKEN_PIPE if gone else Exit.USAGE


def _show(problems: tuple[Problem, ...]) -> None:
    """Print findings to stderr, one after the other."""
    for problem in problems:
        hint = as_typed(problem.hint) if problem.hint else problem.hint
        streams.say(sys.stderr, replace(problem, hint=hint).render() + "\n")


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
    errno.EBADF,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}


_NOWHERE = Problem(
    "ZF101",
    "the working directory is gone",
    hint="cd to a folder that exists, or name the project's folder with -C",
)


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


_NO_SCRATCH = Problem(
    "ZF190",
    "there is no folder in which a file can be written for a moment",
    hint="see that there is room in /tmp, or name another folder: TMPDIR=FOLDER zf ...",
)


def _has_no_scratch() -> bool:
    import tempfile

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return True
    return False


_REMEDY = {
    errno.ENOTDIR: "something else is where a folder should be: move it away",
    errno.EBADF: "it is closed; to discard what zf prints, use >/dev/null",
    errno.ENOMEM: "raise the limit zf was started with (ulimit -v, a container's), or free some",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or end some",
    errno.EMFILE: "raise the limit of open files that zf was started with (ulimit -n)",
    errno.ENFILE: "the whole machine has no open files left: end what holds many",
}


def _lacks_memory(error: Exception) -> bool:
    """Also where a compiled module could not be loaded, of which the loader says only that, or
    where the interpreter lost the MemoryError on its way.
    """
    if isinstance(error, ImportError):
        return (error.path or "").endswith(".so")
    is_lost = any(words in str(error) for words in _LOST)
    return is_lost or isinstance(error, (MemoryError, SyntaxError))


# What the interpreter and its compiler say in place of a MemoryError.
_LOST = ("without setting an exception", " is required for ")


def _stopped_by_the_system(error: OSError) -> int:
    # The stream that took no more would be tried again at exit, and change the exit code.
    if not streams.say(sys.stdout, ""):
        error.filename = "stdout"
    where = f": {os.fsdecode(error.filename)}" if error.filename else ""
    _show(
        (
            Problem(
                "ZF190",
                f"{error.strerror}{where}",
                hint=_REMEDY.get(error.errno or 0, "see that there is room for it, and permission"),
            ),
        )
    )
    return Exit.USAGE


def _internal(error: Exception) -> int:
    streams.say(sys.stderr, f"zf: {internal_error(error)}\n")
    return Exit.INTERNAL


def internal_error(error: Exception) -> str:
    """A bug of zf's own in a sentence; the traceback is in the file which that names, or below it
    where no file can be written.
    """
    import tempfile
    import traceback

    what = f"internal error: {printable(f'{type(error).__name__}: {error}')}\n"
    bug = "  This is a bug in zf, not in your task files. The traceback is"
    trace = f"zf {__version__}, Python {sys.version}\n{sys.argv!r}\n\n"
    trace += "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="zf-crash-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return f"{what}{bug}:\n{trace}"
    return f"{what}{bug} in {file.name}"
