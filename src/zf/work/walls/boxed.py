"""The container of an attempt as its worker has it: made when the first step is to run, again if a
step ended it, and gone before the attempt is judged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import error_text, printable
from zf.work.environment import compose_project_name
from zf.work.shell import Behind, CannotStandError, ScriptFile
from zf.work.supervise.inside import Inside
from zf.work.walls import engine, marks
from zf.work.walls.container import Container, Mounts
from zf.work.walls.engine import DOCKER, Engine, EngineError
from zf.work.walls.reach import own, reach

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext
    from zf.work.environment import Environment

# Who needs no permission of their own.
_ROOT = frozenset({"", "0", "root", "0:0", "root:root"})


class Boxed:
    """The container of one attempt of a task that says `container`."""

    def __init__(self, context: WorkerContext, task: Task, attempt: int) -> None:
        self._context = context
        self._task = task
        self._said = task.container
        self._name = f"{task.id}.{attempt}"
        self._container: Container | None = None
        self._inside: Inside | None = None
        self._opened: list[str] = []

    @property
    def told(self) -> dict[str, str]:
        """What the proof says of the one that stands."""
        assert self._container is not None
        known = {name: self._said[name] for name in ("image", "digest", "id")}
        return {"engine": self._container.engine.kind, **known}

    def file(self, name: str) -> ScriptFile:
        """Where the script of a command lies, for whichever user the steps have in there: outside,
        no other user comes to that folder.
        """
        context, place = self._context, f"scripts/{self._name}/{name}"
        seen = f"{os.path.realpath(context.aside)}/{place}"
        return ScriptFile(f"{context.written_aside}/{place}", seen, 0o444)

    def behind(self, env: Environment, values: Mapping[str, str], *, on: bool) -> Behind:
        """What the command line of a step is put behind. Raises CannotStandError."""
        try:
            container = self._standing(env.values["ARTIFACTS_DIR"])
        except EngineError as error:
            raise CannotStandError(
                f"its container cannot be had: {printable(str(error))}"
            ) from None
        except OSError as error:
            raise CannotStandError(f"its container cannot be had: {error_text(error)}") from None
        hidden = values.keys() - env.recorded
        words = container.words(os.getcwd(), values, hidden, on=on)
        return Behind(words, container.client_env(values, hidden), elsewhere=True)

    def put_there(self) -> list[str]:
        """What is read-only in it, and was put in its place since it was made."""
        return self._container.put_there() if self._container else []

    def end(self) -> str:
        """Remove it with all that is in it; what went wrong."""
        for path in self._opened:
            with suppress(OSError):
                os.chmod(path, 0o755)  # noqa: S103 - as it was
        return self._removed(self._container) if self._container is not None else ""

    def _standing(self, artifacts: str) -> Container:
        if self._container is not None:
            if self._inside is not None and self._inside.is_alive():
                return self._container
            # A step has ended it, or what was to be killed took it along.
            if problem := self._removed(self._container):
                raise EngineError(problem)
        container = self._container = self._container or self._made(artifacts)
        context = self._context
        marks.mark(context.proofs, container.name, context.place.run, self._key, container.engine)
        self._inside = Inside(container.start(), container.listed, container.signal)
        context.supervisor.enclose(self._inside)
        return container

    def _removed(self, container: Container) -> str:
        context, problem = self._context, ""
        try:
            container.remove()
        except EngineError as error:
            told = printable(str(error))
            problem = f"its container could not be removed, which the next zf tries again: {told}"
        else:
            marks.unmark(context.proofs, container.name)
        if self._inside is not None:
            self._inside = None
            context.supervisor.enclose(None)
        return problem

    @property
    def _key(self) -> str:
        return engine.key(self._context.run_dir)

    def _made(self, artifacts: str) -> Container:
        context = self._context
        if "id" not in self._said:
            raise EngineError(f"nothing has looked for its image {self._said['image']}")
        found = engine.found(context.container_engine, os.environ.get("PATH", os.defpath))
        if found is None:
            raise EngineError(engine.why_none(context.container_engine))
        labels = {
            engine.PROJECT: context.real_root,
            engine.RUN: context.place.run,
            engine.TASK: self._task.id,
            engine.KEY: self._key,
        }
        name = compose_project_name(self._key, self._name.replace(".", "-"))
        mounts = self._mounts(found, artifacts)
        return Container(found, self._said, name, labels, mounts, os.environ)

    def _mounts(self, made_by: Engine, artifacts: str) -> Mounts:
        context, real = self._context, os.path.realpath
        reached = reach(context, self._task, artifacts)
        written = {path: path for path in reached.written}
        shield = context.shield
        folder = own(context, self._task, artifacts)
        if shield is not None and made_by.kind == DOCKER and folder != artifacts:
            # Its daemon is outside of the shield.
            written[real(folder)] = real(shield.scratch)
        scripts = f"{context.written_aside}/scripts/{self._name}"
        os.makedirs(os.path.dirname(scripts), 0o700, exist_ok=True)
        os.makedirs(scripts, 0o755, exist_ok=True)
        if self._said.get("user", "") not in _ROOT:
            self._opened = [artifacts, context.written_channel]
            for path in self._opened:
                os.chmod(path, 0o777)  # noqa: S103 - for whichever user the steps have there
        aside = real(context.aside)
        seen = f"{aside}/scripts/{self._name}"
        return Mounts(
            root=context.real_root,
            as_given=context.place.root,
            proofs=real(context.proofs),
            cover=f"{aside}/{context.pid}.cover",
            made_at=f"{context.written_aside}/{context.pid}.cover",
            written=written,
            shown={**reached.shown, seen: seen},
        )
