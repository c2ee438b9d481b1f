"""The keys of a task that say behind which wall its steps run, and what they become in `model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.plan.files.patterns import ENGINE, GLOB, IMAGE, INSIDE, MEMORY, NETWORK, NOT_BLANK, USER
from zf.plan.form import (
    BOOL,
    ENV,
    Key,
    bool_or_text,
    either,
    list_of,
    number,
    one_of,
    text,
    text_or_keys,
)
from zf.typed import SHIELD_MODES

SANDBOX: Mapping[str, Key] = {
    "network": Key(
        BOOL, "Whether steps reach the network; without it there is loopback alone.", default=False
    ),
    "write": Key(
        list_of(text(INSIDE)),
        "Files and folders of the project that steps can write to, and nothing else of it; a folder"
        " that is not there is made.",
    ),
    "read": Key(
        list_of(text(GLOB)),
        "Globs of the files of the project that steps see, and nothing else of it; `!` takes some"
        " out.",
    ),
    "hide": Key(
        list_of(text(NOT_BLANK)),
        "Files and folders that steps find empty: in the project, absolute, or in the home folder"
        " (`~/.ssh`).",
    ),
    "if_available": Key(
        BOOL,
        "Whether the steps run without it where it cannot be had, which the proof says; else the"
        " run does not begin.",
        default=False,
    ),
}

HOST = "host"
PULLS = NEVER, MISSING, ALWAYS = "never", "missing", "always"
# The most processors that anything has.
_MOST_CPUS = 100_000

CONTAINER: Mapping[str, Key] = {
    "image": Key(
        text(IMAGE),
        "The image, by its name and tag, its digest or its id.",
        required=True,
        example="image: debian:12",
    ),
    "pull": Key(
        one_of(*PULLS),
        "When the image is fetched, before the run begins: `never`, where it is `missing`, or"
        " `always`.",
        default=MISSING,
    ),
    "user": Key(
        text(USER),
        "Who the steps are in there: a name or number, and after a `:` the group. Default: as the"
        " image says.",
    ),
    "volumes": Key(
        list_of(text(NOT_BLANK)),
        "What else of the machine is there: `SOURCE:TARGET`, and `:ro` after it for reading alone."
        " A source is a path, from the project root or absolute, or the name of a volume.",
        default=[],
    ),
    "env": Key(
        ENV,
        "Variables of the task, over which those of its `env` win; the image's own lie below.",
        default={},
    ),
    "network": Key(
        bool_or_text(NETWORK),
        "Whether steps reach the network; or which: `host`, or one that the engine has by this"
        " name.",
        default=True,
    ),
    "memory": Key(
        text(MEMORY), "The most memory that all in there has together, such as `512m` or `2g`."
    ),
    "cpus": Key(
        number(above=0, most=_MOST_CPUS), "How many processors all in there has together, at most."
    ),
}

WALLS: Mapping[str, Key] = {
    "sandbox": Key(
        either(BOOL, SANDBOX),
        "Steps see the system read-only, the project, and of the proofs their own artifacts alone;"
        " no network unless it is asked for.",
        keys=SANDBOX,
    ),
    "container": Key(
        text_or_keys(IMAGE, CONTAINER),
        "The image of the container that steps run in, by Podman or Docker; the project is in there"
        " at its own path, and of the proofs the task's own artifacts alone.",
        keys=CONTAINER,
    ),
}


WALLS_OF_PROJECT: Mapping[str, Key] = {
    "shield": Key(
        one_of(*SHIELD_MODES),
        "Whether the proof is kept out of reach of steps while they run. A flag or variable wins"
        " over this.",
        default="auto",
    ),
    "container_engine": Key(
        text(ENGINE),
        "What makes the containers of tasks: `podman`, `docker`, or a command line that begins with"
        " one of them. A flag or variable wins over this.",
        default="auto",
    ),
}


def converted(form: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a task that come of its `sandbox` and `container`; `env` are its own variables.
    Of what a sandbox reads nothing is left to be named as a source.
    """
    held = _sandbox(form.get("sandbox", False))
    said: dict[str, Any] = {"sandbox": held}
    if "read" in held and "sources" not in form:
        said["sources"] = tuple(held["read"])
    if (container := form.get("container", False)) is not False:
        plain: dict[str, Any] = (
            {"image": container} if isinstance(container, str) else {**container}
        )
        if own := plain.pop("env", None):
            said["env"] = {**own, **env}
        # Services are on the loopback of this machine.
        network = HOST if form.get("services") else True
        said["container"] = {"pull": MISSING, "network": network, **plain}
    else:
        said["container"] = {}
    return said


def _sandbox(said: bool | Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model has of it: empty for none, and else `network` at least."""
    if isinstance(said, bool):
        return {"network": False} if said else {}
    return {"network": False, **said}
