"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from zf.cli import crash, streams
from zf.errors import Exit, Problem, ZfError

if TYPE_CHECKING:
    from collections.abc import Callable


def guarded(program: Callable[[], object]) -> int:
    """Carry out a command; the exit code. Never a traceback for what a user can cause."""
    streams.make_ready()
    try:
        code = program()
        sys.stdout.flush()
    except ZfError as error:
        _show(error.problems)
        return error.exit_code
    except KeyboardInterrupt:
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


def _show(problems: tuple[Problem, ...]) -> None:
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
    _show(
        (
            Problem(
                "ZF190",
                f"{error.strerror}{where}",
                hint="see that there is room for it, and permission",
            ),
        )
    )
    return Exit.USAGE


def _internal(error: Exception) -> int:
    streams.say(sys.stderr, f"zf: {crash.told(error)}\n")
    return Exit.INTERNAL
