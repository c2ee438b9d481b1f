"""The key of a task or a phase that says which programs run beside its steps, and what it becomes
in the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zf.model import Service
from zf.plan.files.patterns import ID, IMAGE, NOT_BLANK
from zf.plan.form import (
    ENV,
    Key,
    list_of,
    mapping,
    number,
    one_of,
    text,
    text_or_number,
    whole,
)
from zf.plan.walls.keys import MISSING, PULLS
from zf.typed import MAX_SECONDS

DEFAULT_READY_S = 60
MOST_PORT = 65_535

SERVICE: Mapping[str, Key] = {
    "name": Key(text(ID), "What it is called.", required=True, example="name: db"),
    "run": Key(
        text(NOT_BLANK),
        "The script that is the service: it stays in the foreground until zf ends it.",
    ),
    "image": Key(
        text(IMAGE),
        "The image of the container that is the service, in place of `run`: by Podman or Docker,"
        " its ports on this machine's loopback.",
    ),
    "pull": Key(
        one_of(*PULLS),
        "When its image is fetched, as for a `container`.",
        default=MISSING,
    ),
    "env": Key(
        ENV,
        "Variables of the container of an `image`, which has no others; `${NAME}` is one of the"
        " task.",
        default={},
    ),
    "ready": Key(
        text(NOT_BLANK),
        "A script that succeeds once the service can be used; it is tried again and again."
        " Default: something listens on each of its ports.",
    ),
    "ready_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds that the service may take to be ready.",
        default=DEFAULT_READY_S,
    ),
    "ports": Key(
        list_of(text_or_number(text(ID), whole(1, MOST_PORT))),
        "Ports that zf gives it, by a name, and those of an `image` by the number that it listens"
        " on in there: of a service `db` the first is `$SVC_DB_PORT`, and each is told by its name,"
        " as `$SVC_DB_ADMIN_PORT`.",
        default=[],
    ),
}
SERVICES = Key(
    list_of(mapping(SERVICE)),
    "Programs that run beside the steps: started before the first, waited for until they are ready,"
    " ended after the last.",
    keys=SERVICE,
)


def converted(listed: Iterable[Mapping[str, Any]]) -> tuple[Service, ...]:
    """The services that a valid form describes."""
    return tuple(
        Service(
            one["name"],
            run=one.get("run", ""),
            image=one.get("image", ""),
            ready=one.get("ready", ""),
            ready_timeout_s=one.get("ready_timeout_sec", DEFAULT_READY_S),
            ports=tuple(map(str, one.get("ports", ()))),
            pull=one.get("pull", MISSING) if "image" in one else "",
            env=one.get("env", {}),
        )
        for one in listed
    )
