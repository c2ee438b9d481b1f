"""Asking git: commands side by side in one folder and environment, none waited for too long.

What git prints goes to files, so that no command waits for a reader.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.lean.records import Struct
from zf.lean.signals import signal
from zf.proof.files import remove_tree
from zf.proof.source.top import NO_WORK_TREE

if TYPE_CHECKING:
    from typing import Protocol, Self

    class Ear(Protocol):
        """What is told when the run is to end, after which nothing is waited for."""

        def fileno(self) -> int:
            """A descriptor that becomes readable when there is something to be read."""
            ...

        def is_to_end(self) -> bool:
            """Whether that says that the run is to end."""
            ...


# A repository so large that git needs longer is described without its state: it is not waited for.
GIT_TIMEOUT_S = 30.0
# Nothing git reads on the way may run a program or wait for an answer from a terminal.
_GIT = ("--no-pager", "-c", "core.fsmonitor=false", "-c", "color.ui=false")
# Set inside hooks and by hand; they would make git answer for another repository than the root's.
_GIT_LOCAL = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)


class GitError(Exception):
    """Git gave no answer; the message is for source.note."""


class NotAwaitedError(GitError):
    """The run is to end, and git's answer was not waited for."""

    def __init__(self) -> None:
        super().__init__("git's answer was not waited for, as the run was to end")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which git answers for the folder it is asked in, and asks nothing."""
    kept = {name: value for name, value in environ.items() if name not in _GIT_LOCAL}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def refuse_to_wait(ear: Ear | None) -> None:
    if ear is not None and ear.is_to_end():
        raise NotAwaitedError


class Asked(Struct, frozen=True):
    """A git at work, and the files that its output goes to."""

    pid: int
    out: str
    said: str


class Asking:
    """Git commands in one folder and environment, side by side: most of their time is waiting.

    What they print goes to files in a scratch folder, so that none waits for a reader. (The module
    `subprocess` takes 5 ms to import.)
    """

    def __init__(
        self, env: dict[str, str], folder: str, scratch: str, ear: Ear | None = None
    ) -> None:
        self.env = env
        self.folder = folder
        self.ear = ear
        self.deadline = time.monotonic() + GIT_TIMEOUT_S
        self._scratch = scratch
        self._git = _program(env)
        self._asked: list[Asked] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was begun and is not needed any more, as something else went wrong."""
        for asked in self._asked:
            os.kill(asked.pid, signal.SIGKILL)
            os.waitpid(asked.pid, 0)

    def start(self, *words: str, given: bytes | None = None) -> Asked:
        """Begin to ask; `given` is what git reads on its standard input."""
        name = f"{self._scratch}/{os.urandom(6).hex()}"
        source = os.devnull
        if given is not None:
            source = f"{name}.in"
            with open(source, "xb") as stream:
                stream.write(given)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        pid = os.posix_spawn(
            self._git,
            ("git", "-C", self.folder, *_GIT, *words),
            self.env,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{name}.out", new, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, f"{name}.said", new, 0o600),
            ),
            # Ctrl-C is for the run, which says what is to become of its gits.
            setpgroup=0,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
        asked = Asked(pid, f"{name}.out", f"{name}.said")
        self._asked.append(asked)
        return asked

    def is_answered(self) -> bool:
        """Whether all gits have ended, so that nothing is waited for; True where the system (macOS)
        cannot tell without letting go of them.
        """
        if not hasattr(os, "waitid"):
            return True
        looking = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return all(os.waitid(os.P_PID, asked.pid, looking) for asked in self._asked)

    def await_end(self, asked: Asked) -> int:
        """Its exit code. Raises GitError when that takes too long, or is not waited for."""
        status = _await(asked.pid, self.deadline, self.ear)
        if status is None:
            raise GitError(f"git gave no answer in {GIT_TIMEOUT_S:g} s")
        self._asked.remove(asked)
        return os.waitstatus_to_exitcode(status)

    def outcome(self, asked: Asked) -> tuple[int, bytes, bytes]:
        """How it ended and what it printed. Raises GitError when that takes too long."""
        code = self.await_end(asked)
        return code, contents(asked.out) or b"", contents(asked.said) or b""

    def finish(self, asked: Asked, *, or_none: bool = False) -> bytes:
        """What git printed; with `or_none`, nothing when it failed. Raises GitError."""
        code, out, said = self.outcome(asked)
        if code == 0:
            return out
        if or_none:
            return b""
        raise GitError(refusal(said))

    def ask(self, *words: str, given: bytes | None = None) -> bytes:
        """Begin and finish."""
        return self.finish(self.start(*words, given=given))


def _program(env: Mapping[str, str]) -> str:
    for folder in os.get_exec_path(env):
        path = os.path.join(folder, "git")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "git")


def _await(pid: int, until: float, ear: Ear | None) -> int | None:
    """The status that a child ends with; None when the time is up."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            refuse_to_wait(ear)
            if time.monotonic() >= until:
                return None
            time.sleep(0.001)
        return ended[1]
    try:
        if not await_readable(fd, ear, until):
            return None
    finally:
        os.close(fd)
    return os.waitpid(pid, 0)[1]


def await_readable(fd: int, ear: Ear | None, until: float | None = None) -> bool:
    """Wait for it; False when the time is up. Raises NotAwaitedError when the run is to end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if ear is not None:
        poll.register(ear.fileno(), select.POLLIN)
    while True:
        patience = None if until is None else max(0.0, until - time.monotonic()) * 1000
        ready = [number for number, _ in poll.poll(patience)]
        if ear is not None and ear.fileno() in ready:
            refuse_to_wait(ear)
        if fd in ready or not ready:
            return fd in ready


def refusal(said: bytes) -> str:
    """What git said, as one line for the record."""
    text = said.decode("utf-8", "backslashreplace")
    if "not a git repository" in text:
        return NO_WORK_TREE
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0].removeprefix("fatal: ") if lines else "it failed without a word"
    if "dubious ownership" in text:
        first += " (git config --global --add safe.directory FOLDER allows it)"
    return f"git refused: {printable(first)}"


@contextmanager
def scratch_folder(environ: Mapping[str, str]) -> Iterator[str]:
    """A new folder for a moment. (`tempfile` takes 7 ms to import.)"""
    usual = environ.get("TMPDIR", "")
    place = usual if os.path.isabs(usual) and os.path.isdir(usual) else "/tmp"  # noqa: S108
    folder = f"{place}/zf-git-{os.getpid()}-{os.urandom(8).hex()}"
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        remove_tree(folder)


def contents(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def text(out: bytes) -> str:
    return out.decode("utf-8", "backslashreplace")


def text_lines(out: bytes) -> list[str]:
    """Not `splitlines`, as the name of a branch or tag may hold what else it takes for a break."""
    return text(out).removesuffix("\n").split("\n") if out else []


def first_line(out: bytes) -> str | None:
    lines = text_lines(out)
    return lines[0].strip() or None if lines else None
