"""The containers of a run before and after it: which image the name of each stands for, fetched if
need be, and what a run left that was killed.

A task that is to run has the image's digest and id: so its proof has them, its digest and its key
in the cache hold them, and every attempt gets the same image whatever becomes of the name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError, printable
from zf.lean.records import asdict, replace
from zf.outlet import say_if_possible
from zf.plan.places import PROJECT_FILE
from zf.run.host import lock
from zf.work.walls import engine, marks
from zf.work.walls.engine import Engine, EngineError, Image

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Flow, Phase, Project, Service, Task
    from zf.plan.files.place import Loc
    from zf.plan.graph import Plan

_ALWAYS, _MISSING, _NEVER = "always", "missing", "never"
# What a run records of each image, by the name that tasks have for it.
Images = Mapping[str, Mapping[str, str]]


def settled(
    plan: Plan, project: Project, setting: str, known: Images, root: str
) -> tuple[Plan, Project]:
    """Both with what the names of images stand for: by the `known` of an earlier run, else by what
    is here and can be fetched. Raises ZfError (exit 2) for all that cannot be had.
    """
    wanting = _wanting(plan, project)
    if not wanting:
        return plan, project
    looking = _Looking(_engine(setting, wanting), known)
    problems: list[Problem] = []

    def look(about: Task | str, loc: Loc, said: Mapping[str, Any]) -> Image | None:
        try:
            return looking.found(said)
        except _NotHereError as error:
            problems.append(_problem(root, about, loc, error))
            return None

    found = _looked_for(plan, project, look)
    if problems:
        raise ZfError(problems[0].message, problems=tuple(problems))
    return found


def as_known_here(plan: Plan, setting: str) -> Plan:
    """The same as far as it can be said while nothing is fetched, or refused."""
    made_by = engine.found(setting, os.environ.get("PATH", os.defpath))
    if made_by is None:
        return plan

    def look(about: Task | str, loc: Loc, said: Mapping[str, Any]) -> Image | None:  # noqa: ARG001 - it is never told
        try:
            return made_by.image(said["image"], os.environ)
        except EngineError:
            return None

    return replace(plan, tasks={name: _task(task, look) for name, task in plan.tasks.items()})


def recorded(plan: Plan, project: Project) -> dict[str, dict[str, str]]:
    """What run.json says of the images of a plan that is settled."""
    holders: list[Task | Phase] = [*plan.tasks.values(), *_phases(plan, project).values()]
    return {
        said["image"]: {key: said[key] for key in ("digest", "id")}
        for holder in holders
        for said in _images_of(holder)
        if said.get("id")
    }


def pinned(flow: Flow, images: Images) -> Flow:
    """The flow with what a run says of its images, to go on with that run."""

    def look(about: Task | str, loc: Loc, said: Mapping[str, Any]) -> Image | None:  # noqa: ARG001 - as above
        pin = images.get(said["image"])
        return Image(pin["id"], pin["digest"]) if pin else None

    tasks = {name: _task(task, look) for name, task in flow.tasks.items()}
    phases = {name: _phase(name, phase, look) for name, phase in flow.project.phases.items()}
    return replace(flow, tasks=tasks, project=replace(flow.project, phases=phases))


def _wanting(plan: Plan, project: Project) -> list[str]:
    """What needs an image, in words."""
    tasks = [
        name if task.container else f"the services of {name}"
        for name, task in plan.tasks.items()
        if any(_images_of(task))
    ]
    phases = _phases(plan, project).items()
    return tasks + [f"the services of phase {name}" for name, one in phases if any(_images_of(one))]


def _phases(plan: Plan, project: Project) -> dict[str, Phase]:
    """Those of the plan of which something is said."""
    named = {task.phase for task in plan.tasks.values()}
    return {name: phase for name, phase in project.phases.items() if name in named}


def _images_of(holder: Task | Phase) -> Iterator[Mapping[str, Any]]:
    """What a task or a phase says of each image, by the keys that say it."""
    if container := getattr(holder, "container", None):
        yield container
    yield from (asdict(one) for one in holder.services if one.image)


# Finds out what an image is, if that is known: of a task or the phase of this name, in this place.
_Look = Callable[["Task | str", "Loc", Mapping[str, Any]], Image | None]


def _looked_for(plan: Plan, project: Project, look: _Look) -> tuple[Plan, Project]:
    tasks = {name: _task(task, look) for name, task in plan.tasks.items()}
    of_plan = _phases(plan, project)
    phases = {
        name: _phase(name, phase, look) if name in of_plan else phase
        for name, phase in project.phases.items()
    }
    return replace(plan, tasks=tasks), replace(project, phases=phases)


def _task(task: Task, look: _Look) -> Task:
    if task.container and (image := look(task, ("container",), task.container)):
        task = _with(task, image)
    if services := _services(task, task.services, look):
        task = replace(task, services=services)
    return task


def _phase(name: str, phase: Phase, look: _Look) -> Phase:
    services = _services(name, phase.services, look)
    return replace(phase, services=services) if services else phase


def _services(about: Task | str, services: tuple[Service, ...], look: _Look) -> tuple[Service, ...]:
    found = []
    for index, one in enumerate(services):
        image = look(about, ("services", index, "image"), asdict(one)) if one.image else None
        found.append(replace(one, digest=image.digest, id=image.id) if image else one)
    return tuple(found)


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

    def found(self, said: Mapping[str, Any]) -> Image:
        """The image that this names. Raises _NotHereError."""
        name, pull = said["image"], said["pull"]
        if "${" in name:
            message = f"image '{name}' is only known when the instances of the task are"
            hint = "write it out: a matrix that a task lists says nothing of images"
            raise _NotHereError("ZF706", message, hint)
        known = self._known.get(name) if pull != _ALWAYS else None
        pin = {key: said[key] for key in ("digest", "id")} if said.get("id") else known
        try:
            return self._pinned(name, pull, pin) if pin else self._named(name, pull)
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


def _engine(setting: str, wanting: Sequence[str]) -> Engine:
    made_by = engine.found(setting, os.environ.get("PATH", os.defpath))
    reason = engine.why_none(setting) if made_by is None or sys.platform != "linux" else ""
    if made_by is None or reason:
        first, more = wanting[0], len(wanting) - 1
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


def _problem(root: str, about: Task | str, loc: Loc, error: _NotHereError) -> Problem:
    if isinstance(about, str):
        from zf.plan.files.pointer import pointer_to  # noqa: PLC0415 - it brings the parsers along

        pointer = pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
        return pointer.problem(("phases", about, *loc), error.code, str(error), error.hint)
    from zf.plan.drafts import of_task  # noqa: PLC0415 - as above

    return of_task(root, about, loc, error.code, str(error), error.hint)
