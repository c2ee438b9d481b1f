"""What a task file says of services that cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zf.plan.yaml.yaml12 import KEY
from zf.variables import service_variables

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Service
    from zf.plan.drafts import Draft


def check_services(drafts: Iterable[Draft]) -> Iterator[Problem]:
    """Services that are nothing, or two things; names that are one name as variables."""
    for draft in drafts:
        if draft.task and draft.task.services:
            yield from _shapes(draft, draft.task.services)
            yield from _names(draft, draft.task.services)


def _shapes(draft: Draft, services: Iterable[Service]) -> Iterator[Problem]:
    for index, one in enumerate(services):
        loc = ("services", index)
        if one.run and one.image:
            message = f"service '{one.name}' has both `run` and `image`"
            hint = "a service is a script or a container: remove one of them"
            yield draft.problem((*loc, "image", KEY), "ZF710", message, hint)
        elif not one.run and not one.image:
            message = f"service '{one.name}' says neither `run` nor `image`"
            yield draft.problem(loc, "ZF710", message, "add `run: COMMAND`, which stays in front")
        elif one.image:
            message = f"service '{one.name}' is an image, which zf cannot start yet"
            hint = "start it as a script: `run: redis-server --port $SVC_CACHE_PORT`"
            yield draft.problem((*loc, "image", KEY), "ZF713", message, hint)


def _names(draft: Draft, services: Iterable[Service]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    assert draft.task is not None
    for index, one in enumerate(services):
        prefix = service_variables(one.name, ("x",))[0]
        if prefix in first:
            said = first[prefix]
            other = (
                "the name of another" if said == one.name else f"the name of '{said}' in variables"
            )
            message = f"service '{one.name}' has {other}"
            loc = ("services", index, "name")
            yield draft.problem(loc, "ZF711", message, "give each service another name")
        first.setdefault(prefix, one.name)
        names = service_variables(one.name, one.ports)
        if doubled := next((name for name in names[1:] if names[1:].count(name) > 1), None):
            message = f"two ports of service '{one.name}' are told as ${doubled}"
            loc = ("services", index, "ports")
            yield draft.problem(loc, "ZF711", message, "give each port another name")
        for name in names:
            if name in draft.task.env or name in draft.task.env_from:
                message = f"'{name}' is the port of service '{one.name}', which zf sets"
                yield draft.problem(("env", name, KEY), "ZF712", message, "choose another name")
