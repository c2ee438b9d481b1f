"""The container of a service that is an image: the engine's own command line, in the foreground, is
what the service's process holds like any script, and prints what the container does. Its end is not
that of the container where that is a daemon's, or it was killed: so it is removed by name after it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from zf.errors import error_text, printable
from zf.variables import expand
from zf.work.environment import compose_project_name
from zf.work.services.ports import answers, listens
from zf.work.shell import CANNOT_START, NotStartedError, which
from zf.work.supervise.leftovers import COOKIE
from zf.work.walls import engine, marks
from zf.work.walls.container import CLIENTS, limits
from zf.work.walls.engine import PODMAN, Engine, EngineError

if TYPE_CHECKING:
    from zf.model import Service
    from zf.work.context import WorkerContext
    from zf.work.shell import Started

# What engines call the state of a container that has ended.
_ENDED = "exited", "stopped"
# What the shell that begins it goes by, and which therefore stands in its command line.
_SHELLS = frozenset({"BASH_ENV", "BASHOPTS", "ENV", "PS4", "SHELLOPTS"})


class Box:
    """A container that is a service, on these ports of this machine's loopback. It is of the
    attempt that `task` and `attempt` name, whose variables are `seen`.
    """

    def __init__(
        self,
        context: WorkerContext,
        seen: Mapping[str, str],
        task: str,
        attempt: int,
        service: Service,
        ports: Mapping[str, int],
    ) -> None:
        self._context = context
        self._seen = seen
        self._task = task
        self._service = service
        self._ports = ports
        self._key = engine.key(context.run_dir)
        self._name = compose_project_name(self._key, f"{task}-{attempt}-{service.name}")
        # The number of its first process; and a descriptor of it while that is there.
        self._pid, self.fd = 0, -1
        self._engine: Engine | None = None

    def starting(self) -> Callable[[], Started]:
        """What starts it. Raises NotStartedError."""
        context, service = self._context, self._service
        found = engine.found(context.container_engine, os.environ.get("PATH", os.defpath))
        if found is None or not service.id:
            reason = engine.why_none(context.container_engine)
            told = reason if found is None else f"nothing has looked for its image {service.image}"
            raise NotStartedError(f"its container cannot be had: {told}", CANNOT_START)
        try:
            marks.mark(context.proofs, self._name, context.place.run, self._key, found)
        except OSError as error:
            told = f"its container cannot be marked: {error_text(error)}"
            raise NotStartedError(told, CANNOT_START) from None
        self._engine = found = _outside(found)
        values = self._values()
        words = (*found.words, *self._words(found, values))
        ours = engine.with_sbin(os.environ)
        outside = {name: value for name, value in ours.items() if name not in _SHELLS}
        given = {name: value for name, value in values.items() if not _is_told(name)}
        env = {**outside, **given, COOKIE: self._seen[COOKIE]}
        os.chdir(context.real_root)
        return partial(context.shell.start, env, os.fsencode(f"exec {shlex.join(words)}"))

    def is_up(self) -> bool:
        """Whether it was begun; what is in there may not be ready yet."""
        if not self._pid:
            told = self._asked("{{.State.Pid}}")
            self._pid = int(told) if told.isdecimal() else 0
            if self._pid:
                with suppress(OSError):  # gone, or of a machine of its own
                    self.fd = os.pidfd_open(self._pid)
        return bool(self._pid)

    def is_listening(self) -> bool:
        """Whether something listens on each of its ports in there: those outside are the engine's,
        which takes connections before anything in there does.
        """
        if not os.path.isdir(f"/proc/{self._pid}"):  # it is a machine's of its own
            return all(map(answers, self._ports.values()))
        return all(listens(self._pid, int(name)) for name in self._ports)

    def tell_to_end(self) -> None:
        """Send TERM to its first process."""
        assert self._engine is not None
        with suppress(EngineError):  # it has ended
            self._engine.ask(("kill", "--signal", "TERM", self._name), os.environ)

    def exit_code(self) -> int | None:
        """How its first process ended, if it did so by itself or by TERM."""
        state, _, code = self._asked("{{.State.Status}} {{.State.ExitCode}}").partition(" ")
        return int(code) if state in _ENDED and code.isdecimal() else None

    def let_go(self) -> None:
        """Forget its first process, which is gone."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def remove(self) -> str:
        """End it, and all that is in it; what went wrong."""
        if self._engine is None:
            return ""
        self.let_go()
        try:
            self._engine.remove([self._name], os.environ)
        except EngineError as error:
            named = f"the container of service '{printable(self._service.name)}'"
            told = printable(str(error))
            return f"{named} could not be removed, which the next zf tries again: {told}"
        marks.unmark(self._context.proofs, self._name)
        return ""

    def _asked(self, form: str) -> str:
        """What the engine says of it; nothing where there is none."""
        assert self._engine is not None
        try:
            return self._engine.ask(("inspect", "--format", form, self._name), os.environ)
        except EngineError:
            return ""

    def _values(self) -> Mapping[str, str]:
        """The variables that it is given. Raises NotStartedError."""
        found = expand(self._service.env, self._seen.get)
        for name, why in found.problems.items():
            raise NotStartedError(f"its variable {name} has no value: {why}", CANNOT_START)
        return found.values

    def _words(self, made_by: Engine, values: Mapping[str, str]) -> Iterator[str]:
        yield from ("run", "--pull", "never", "--name", self._name)
        labels = {
            engine.PROJECT: self._context.real_root,
            engine.RUN: self._context.place.run,
            engine.TASK: self._task,
            engine.KEY: self._key,
        }
        yield from engine.labels(labels)
        # It is removed when all that counts has ended, and its log is zf's.
        yield from ("--stop-signal", "KILL", "--log-driver", "none")
        yield from limits(made_by.kind)
        for name, number in self._ports.items():
            yield from ("--publish", f"127.0.0.1:{number}:{name}")
        for name, value in values.items():
            yield from ("--env", f"{name}={value}" if _is_told(name) else name)
        yield self._service.id


def _outside(made_by: Engine) -> Engine:
    """Podman where the runner is, whose mounts are the machine's: under a shield it would keep the
    network of a container to a namespace that nothing else sees, and fail for all others.
    """
    runner = f"/proc/{os.getppid()}/ns"
    if made_by.kind != PODMAN or os.geteuid() != 0:
        return made_by  # without root it has namespaces of its own for that
    try:
        own, others = [
            [os.stat(f"{where}/{kind}").st_ino for kind in ("user", "mnt")]
            for where in ("/proc/self/ns", runner)
        ]
    except OSError:
        return made_by
    enter = which("nsenter", os.environ.get("PATH", os.defpath))
    if own == others or own[0] != others[0] or enter is None:
        return made_by
    return Engine((enter, f"--mount={runner}/mnt", "--", *made_by.words), made_by.kind)


def _is_told(name: str) -> bool:
    """Whether its value has to be in the command line, as it would mean something out here."""
    return name in CLIENTS or name in _SHELLS
