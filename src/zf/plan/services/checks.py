"""What a task file says of services that cannot be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from zf.errors import Problem
from zf.plan.files.place import Loc
from zf.plan.files.pointer import pointer_to
from zf.plan.places import PROJECT_FILE
from zf.plan.services.keys import MOST_PORT
from zf.plan.yaml.yaml12 import KEY
from zf.variables import service_variables

if TYPE_CHECKING:
    from zf.model import Project, Service, Task
    from zf.plan.drafts import Draft


# Says what is wrong with a value of a task or phase.
Told = Callable[[Loc, str, str, str], Problem]


def check_services(drafts: Iterable[Draft], project: Project, root: str) -> Iterator[Problem]:
    """Services that are nothing, or two things; names that are one name as variables."""
    for name, phase in project.phases.items():
        if phase.services:
            told = partial(_of_phase, root, name)
            yield from _shapes(told, phase.services)
            yield from _variables(told, phase.services)
            yield from _names(told, phase.services, ())
    for draft in drafts:
        task = draft.task
        if task is None:
            continue
        own = project.phases.get(task.phase)
        around = own.services if own else ()
        yield from _shapes(draft.problem, task.services)
        if draft.matrix is None:  # the values of one are put there, which its paths are checked for
            yield from _variables(draft.problem, task.services)
        yield from _names(draft.problem, task.services, around)
        yield from _unreached(draft, task)
        yield from _env(draft, task, (*task.services, *around))


def _of_phase(root: str, name: str, loc: Loc, code: str, message: str, hint: str) -> Problem:
    pointer = pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE)
    return pointer.problem(("phases", name, *loc), code, message, hint)


def _shapes(told: Told, services: Iterable[Service]) -> Iterator[Problem]:
    for index, one in enumerate(services):
        loc = ("services", index)
        if one.run and one.image:
            message = f"service '{one.name}' has both `run` and `image`"
            hint = "a service is a script or a container: remove one of them"
            yield told((*loc, "image", KEY), "ZF710", message, hint)
        elif not one.run and not one.image:
            message = f"service '{one.name}' says neither `run` nor `image`"
            yield told(loc, "ZF710", message, "add `run: COMMAND`, which stays in front")
        elif one.image:
            yield from _image(told, loc, one)
        elif one.env:
            message = f"service '{one.name}' is a script, which has the variables of the task"
            yield told((*loc, "env", KEY), "ZF713", message, "write them before it in `run`")


def _variables(told: Told, services: Iterable[Service]) -> Iterator[Problem]:
    """Images whose names cannot be known before the run."""
    for index, one in enumerate(services):
        if "${" in one.image:
            message = f"the image of service '{one.name}' has a variable, which is not known before"
            hint = "write the image out; only the values of a task's `matrix` are known"
            yield told(("services", index, "image"), "ZF713", message, hint)


def _image(told: Told, loc: Loc, one: Service) -> Iterator[Problem]:
    """What cannot be meant of a service that is an image."""
    for index, port in enumerate(one.ports):
        if not (port.isdecimal() and 1 <= int(port) <= MOST_PORT):
            message = f"port '{port}' of service '{one.name}' is no number, and that is an image"
            hint = "say on which port it listens in its container: ports: [6379]"
            yield told((*loc, "ports", index), "ZF713", message, hint)


def _unreached(draft: Draft, task: Task) -> Iterator[Problem]:
    """Images beside steps that are on a network of their own."""
    if not task.sandbox or task.sandbox["network"]:
        return
    for index, one in enumerate(task.services):
        if one.image:
            message = (
                f"service '{one.name}' is an image, and a sandbox without network keeps from it"
            )
            hint = "say `sandbox: {network: true}`, or start its program with `run`"
            yield draft.problem(("services", index, "image", KEY), "ZF713", message, hint)


def _names(told: Told, services: Iterable[Service], around: Iterable[Service]) -> Iterator[Problem]:
    """Names of services and ports; `around` are those of the phase."""
    first = {service_variables(one.name, ("x",))[0]: one.name for one in around}
    for index, one in enumerate(services):
        prefix = service_variables(one.name, ("x",))[0]
        if prefix in first:
            said = first[prefix]
            other = "the name of another" if said == one.name else f"that of '{said}' in variables"
            message = f"service '{one.name}' has {other}"
            loc = ("services", index, "name")
            yield told(loc, "ZF711", message, "give each service another name")
        first.setdefault(prefix, one.name)
        names = service_variables(one.name, one.ports)
        if doubled := next((name for name in names[1:] if names[1:].count(name) > 1), None):
            message = f"two ports of service '{one.name}' are told as ${doubled}"
            yield told(("services", index, "ports"), "ZF711", message, "give each another name")


def _env(draft: Draft, task: Task, services: Iterable[Service]) -> Iterator[Problem]:
    for one in services:
        for name in service_variables(one.name, one.ports):
            if name in task.env or name in task.env_from:
                message = f"'{name}' is the port of service '{one.name}', which zf sets"
                yield draft.problem(("env", name, KEY), "ZF712", message, "choose another name")
