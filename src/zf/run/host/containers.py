"""The containers of a run before and after it: which image the name of each stands for, fetched if
need be, and what a run left that was killed.

A task that is to run has the image's digest and id: so its proof has them, its digest and its key
in the cache hold them, and every attempt gets the same image whatever becomes of the name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError, printable
from zf.lean.records import replace
from zf.outlet import say_if_possible
from zf.run.host import lock
from zf.work.walls import engine, marks
from zf.work.walls.engine import Engine, EngineError, Image

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Flow, Task
    from zf.plan.graph import Plan

_ALWAYS, _MISSING, _NEVER = "always", "missing", "never"
# What a run records of each image, by the name that tasks have for it.
Images = Mapping[str, Mapping[str, str]]


def settled(plan: Plan, setting: str, known: Images, root: str) -> Plan:
    """The plan with what the names of images stand for: by the `known` of an earlier run, else by
    what is here and can be fetched. Raises ZfError (exit 2) for all that cannot be had.
    """
    wanting = {name: task for name, task in plan.tasks.items() if task.container}
    if not wanting:
        return plan
    looking = _Looking(_engine(setting, wanting), known)
    tasks, problems = dict(plan.tasks), []
    for name, task in wanting.items():
        try:
            tasks[name] = looking.found(task)
        except _NotHereError as error:
            problems.append(_problem(root, task, error))
    if problems:
        raise ZfError(problems[0].message, problems=tuple(problems))
    return replace(plan, tasks=tasks)


def as_known_here(plan: Plan, setting: str) -> Plan:
    """The same as far as it can be said while nothing is fetched, or refused."""
    made_by = engine.found(setting, os.environ.get("PATH", os.defpath))
    if made_by is None:
        return plan
    tasks = dict(plan.tasks)
    for name, task in plan.tasks.items():
        if task.container:
            try:
                image = made_by.image(task.container["image"], os.environ)
            except EngineError:
                continue
            tasks[name] = _with(task, image) if image else task
    return replace(plan, tasks=tasks)


def recorded(plan: Plan) -> dict[str, dict[str, str]]:
    """What run.json says of the images of a plan that is settled."""
    return {
        task.container["image"]: {key: task.container[key] for key in ("digest", "id")}
        for task in plan.tasks.values()
        if "id" in task.container
    }


def pinned(flow: Flow, images: Images) -> Flow:
    """The flow with what a run says of its images, to go on with that run."""
    tasks = {
        name: replace(task, container={**task.container, **images[task.container["image"]]})
        if task.container and task.container["image"] in images
        else task
        for name, task in flow.tasks.items()
    }
    return replace(flow, tasks=tasks)


def clear(proofs: str, run: str = "") -> list[str]:
    """Remove the containers of runs that are dead, or of this one, which is over; what went
    wrong.
    """
    if not os.path.isdir(marks.folder(proofs)):
        return []

    def is_dead(other: str) -> bool:
        return other == run if run else not lock.is_locked(proofs, other)

    return marks.clear(proofs, is_dead, os.environ)


class _NotHereError(Exception):
    """An image cannot be had: the code of the problem, what it is, and a remedy."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


class _Looking:
    """Finds out what names of images stand for, each once."""

    def __init__(self, made_by: Engine, known: Images) -> None:
        self._engine = made_by
        self._known = known
        self._fetched: set[str] = set()

    def found(self, task: Task) -> Task:
        """The task with its image. Raises _NotHereError."""
        said = task.container
        name, pull = said["image"], said["pull"]
        if "${" in name:
            message = f"image '{name}' is only known when the instances of the task are"
            hint = "write it out: a matrix that a task lists says nothing of images"
            raise _NotHereError("ZF706", message, hint)
        known = self._known.get(name) if pull != _ALWAYS else None
        pin = {key: said[key] for key in ("digest", "id")} if "id" in said else known
        try:
            return _with(task, self._pinned(name, pull, pin) if pin else self._named(name, pull))
        except EngineError as error:
            message = f"{self._engine.kind} cannot look for image '{name}': {error}"
            raise _NotHereError("ZF703", printable(message), _HINT) from None

    def _named(self, name: str, pull: str) -> Image:
        if pull == _ALWAYS:
            self._pull(name)
        image = self._engine.image(name, os.environ)
        if image is None and pull == _MISSING:
            self._pull(name)
            image = self._engine.image(name, os.environ)
        if image is None:
            hint = f"{self._engine.kind} pull {name} fetches it; so does `pull: missing`"
            message = f"image '{name}' is not here, and is not to be fetched (pull: {pull})"
            raise _NotHereError("ZF704", message, hint)
        return image

    def _pinned(self, name: str, pull: str, pin: Mapping[str, str]) -> Image:
        """The image that the run had, by its id, or fetched by its digest."""
        image = self._engine.image(pin["id"], os.environ)
        if image is None and pull != _NEVER and pin["digest"] != pin["id"]:
            by_digest = f"{_repository(name)}@{pin['digest']}"
            self._pull(by_digest)
            image = self._engine.image(by_digest, os.environ)
        if image is None:
            message = f"image '{name}' is not here as the run had it ({pin['digest']})"
            raise _NotHereError("ZF704", message, "fetch or load that image; its name may stay")
        return Image(image.id, pin["digest"], image.user)

    def _pull(self, name: str) -> None:
        if name in self._fetched:
            return
        say_if_possible(f"zf: {self._engine.kind} fetches image {printable(name)}\n")
        try:
            self._engine.pull(name, os.environ)
        except EngineError as error:
            message = f"image '{name}' cannot be fetched: {error}"
            hint = f"{self._engine.kind} pull {name} says more; `pull: never` takes what is here"
            raise _NotHereError("ZF705", printable(message), hint) from None
        self._fetched.add(name)


_HINT = "install podman (`apt install podman`) or docker, or name it: --container-engine COMMAND"


def _engine(setting: str, wanting: Mapping[str, Task]) -> Engine:
    made_by = engine.found(setting, os.environ.get("PATH", os.defpath))
    reason = engine.why_none(setting) if made_by is None or sys.platform != "linux" else ""
    if made_by is None or reason:
        first, more = next(iter(wanting)), len(wanting) - 1
        told = f"{first} and {more} more" if more else first
        raise ZfError(
            f"{told} must run in a container, which cannot be had: {reason}",
            code="ZF703",
            hint=_HINT,
        )
    return made_by


def _with(task: Task, image: Image) -> Task:
    said: dict[str, Any] = {**task.container, "digest": image.digest, "id": image.id}
    if image.user:
        said.setdefault("user", image.user)
    return replace(task, container=said)


def _repository(name: str) -> str:
    """An image's name without its tag and digest."""
    plain = name.partition("@")[0]
    head, colon, tag = plain.rpartition(":")
    return head if colon and "/" not in tag else plain


def _problem(root: str, task: Task, error: _NotHereError) -> Problem:
    from zf.plan.drafts import of_task  # noqa: PLC0415 - it brings the parsers along

    return of_task(root, task, ("container",), error.code, str(error), error.hint)
