"""How a step is started: bash in a session of its own, on a script that nothing can change then.

bash reads a script file piece by piece while it runs it, so a file that the step can write would
let a task rewrite its own failure. What bash gets is an open file without a name, sealed by the
kernel where it can do that (memfd), on descriptor 3. It never lies in a folder, so there is nothing
to clear away, even when the script holds secrets and the worker is killed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stub for it
import _thread
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from zf.proof.files import write_all
from zf.work.outcome import error_text

# The descriptor in the step. What the step starts inherits it: sealed, nothing can be done to it,
# and a script which opens 3 for a purpose of its own just replaces it.
_FD = 3
_BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
# The exit codes of shells for a command that cannot be started, and one that is not there.
_EXIT_NOT_STARTED, _EXIT_NOT_FOUND = 126, 127
_SEALS = 0
if hasattr(fcntl, "F_SEAL_WRITE"):
    _SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_PLACES = ("/dev/fd", "/proc/self/fd")
USUAL_PATH = f"{_PLACES[0]}/{_FD}"
MISSING = (
    "bash gets its script as an open file, and neither /dev/fd nor /proc/self/fd is there: "
    "mount /proc, or link /dev/fd to /proc/self/fd"
)
# The child's pid, and the pipe its output comes from.
Started = tuple[int, int]


class NotStartedError(Exception):
    """There is no child: the arguments are why, and the exit code that shells have for it."""


class Shell:
    """Starts steps; remembers where bash is for which PATH. What steps read is what this process
    reads.
    """

    def __init__(self, path: str, confine: Callable[[], None] | None = None) -> None:
        """`path` is the usual PATH; `confine` is called in the thread that starts a step, which
        ends with that.
        """
        self._bash: dict[str, str | None] = {path: _which("bash", path)}
        self._confine = confine
        # Python and the worker ignore some signals; a step starts with all of them as usual.
        self._ignored = [
            n for n in _signal.valid_signals() if _signal.getsignal(n) == _signal.SIG_IGN
        ]

    def start(self, env: Mapping[str, str], text: bytes, arguments: Sequence[str] = ()) -> Started:
        """Run this script in the current folder, with these arguments. Raises NotStartedError."""
        path = env.get("PATH", os.defpath)
        if path not in self._bash:
            self._bash[path] = _which("bash", path)
        bash = self._bash[path]
        if bash is None:
            raise NotStartedError("bash is not on the PATH of the step", _EXIT_NOT_FOUND)
        if script_path() is None:
            raise NotStartedError(MISSING, _EXIT_NOT_STARTED)
        try:
            script = sealed(text)
        except OSError as error:
            problem = f"the script could not be handed to bash: {error_text(error)}"
            raise NotStartedError(problem, _EXIT_NOT_STARTED) from None
        spawn = partial(self._spawn, bash, (*argv(), *arguments), env, script)
        try:
            return spawn() if self._confine is None else _in_a_thread(self._confine, spawn)
        except OSError as error:
            problem = f"bash could not be started: {error.strerror}"
            raise NotStartedError(problem, _EXIT_NOT_STARTED) from None
        finally:
            os.close(script)

    def _spawn(
        self, bash: str, words: tuple[str, ...], env: Mapping[str, str], script: int
    ) -> Started:
        pipe, output = os.pipe()
        try:
            pid = os.posix_spawn(
                bash,
                words,
                env,
                file_actions=(
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                    (os.POSIX_SPAWN_DUP2, script, _FD),
                ),
                setsid=True,
                setsigmask=(),
                setsigdef=self._ignored,
            )
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(output)
        os.set_blocking(pipe, False)
        return pid, pipe


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


def _which(program: str, path: str) -> str | None:
    """Where a program is on this PATH. By hand, as `shutil` takes each worker 4 ms to import."""
    for folder in path.split(os.pathsep) if path else ():
        found = os.path.join(folder, program)
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    return None


@cache
def argv() -> tuple[str, ...]:
    """The arguments bash is started with."""
    return (*_BASH, script_path() or USUAL_PATH)


@cache
def script_path() -> str | None:
    """The name under which bash finds its script; None where the system has no such names."""
    return next((f"{place}/{_FD}" for place in _PLACES if os.path.exists(f"{place}/0")), None)


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
