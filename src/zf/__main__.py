"""`zf` and `python -m zf`: the way in; the parser is left out where it is not needed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

TYPE_CHECKING = False  # importing it takes 4 ms
if TYPE_CHECKING:
    from typing import NoReturn

# Kept free for the sentence that there is too little memory: CPython takes a MiB at a time. Nothing
# is ever written there, so it costs addresses and no memory.
_ROOM_BYTES = 2 << 20


def main() -> None:
    """The console script. Exits with a code of `zf.errors.Exit` or of the verb."""
    short = _short_answer()
    if short:
        try:
            # Not through sys.stdout, which would keep what it cannot write and try again.
            _write(short.encode())
        except OSError:
            pass  # the parser's way of saying it copes with that
        else:
            return
    room = None
    try:
        room = bytearray(_ROOM_BYTES)
        code = _run()
        from zf.lean.signals import signal  # which is there by now

        with suppress(OSError):  # `_leave` sees to that
            _flush()
        # All is done and said: an interrupt could only spoil the way out, and the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        # Before the command line was even there, or while a reader that has stopped is waited for.
        os._exit(130)  # Exit.INTERRUPTED; to import it could be interrupted, too
    except (ImportError, MemoryError, OSError, SyntaxError, SystemError) as error:
        del room
        _refuse_to_start(error)
    _leave(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:  # its other end made it non-blocking, and it is full
            import select

            select.select([], [1], [])


def _leave(code: int) -> NoReturn:
    """Exit without having the interpreter take itself apart: 5 ms, and 10 after 1 000 tasks."""
    try:
        _flush()
    except OSError:
        sys.exit(code)  # which tries again, and says so when it fails again
    os._exit(code)


def _refuse_to_start(error: Exception) -> NoReturn:
    """Say that a part of zf could not be loaded for want of memory or open files: what tells all
    other errors may be that part. (A SyntaxError or SystemError is a MemoryError that the
    interpreter lost.)
    """
    if isinstance(error, ModuleNotFoundError):
        raise error
    # They hold all that was loaded so far.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    told = (
        f"error[ZF190]: zf could not be started: {str(error) or 'not enough memory'}\n"
        "  hint: raise the limits it was started with (ulimit -v, ulimit -n, a container's)\n"
    )
    try:
        os.write(2, told.encode(errors="backslashreplace"))
    finally:
        os._exit(2)  # Exit.USAGE


def _run() -> int:
    if "_ZF_COMPLETE" in os.environ:
        from zf.cli import complete

        answered = complete.answer(os.environ)
        if answered is not None:
            return answered
    verb = sys.argv[1:2]
    if verb in (["run"], ["run-phase"], ["run-task"], ["rerun"], ["validate"], ["verify"]):
        import gc

        # Modules, plans and lists of files are never garbage; looking for some among them takes
        # 9 of the 80 ms before a run begins, and a twentieth of what it takes to verify one.
        gc.disable()
    from zf.run.host import interrupts

    interrupts.heed()
    if verb in (["run"], ["run-phase"], ["run-task"], ["rerun"]):
        from zf.cli import quick

        code = quick.run(sys.argv[1:])
        if code is not None:
            return code
    if sys.argv[1:] == ["agent"]:  # every executor starts some
        from zf.cli.exits import guarded
        from zf.work.agent.agent import serve

        return guarded(lambda: serve(os.environ))
    from zf.cli.main import run

    return run()


def _short_answer() -> str:
    """What can be said before the command-line parser is imported."""
    if sys.argv[1:] == ["--version"]:
        # Editors and CI probe for it.
        from zf import __version__

        return f"zf {__version__}\n"
    if sys.argv[1:] in (["--help"], ["-h"]) and _columns() >= 80:
        return _help()
    return ""


def _help() -> str:
    """What the parser says to `--help` on 80 columns or more, written down: 10 ms instead of 70,
    nearly all of them for importing the parser. A test compares the two.
    """
    with open(f"{os.path.dirname(__file__)}/cli/help.txt", encoding="utf-8") as file:
        return file.read()


def _columns() -> int:
    """As the parser counts them, short of importing what it asks."""
    told = os.environ.get("COLUMNS", "")
    try:
        return int(told) if told.isdigit() and int(told) else os.get_terminal_size(1).columns
    except OSError:
        return 80  # no terminal


if __name__ == "__main__":
    main()
