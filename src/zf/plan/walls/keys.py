"""The key of a task that says behind which wall its steps run, and what it becomes in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.plan.files.patterns import GLOB, INSIDE, NOT_BLANK
from zf.plan.form import BOOL, Key, either, list_of, text

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

WALLS: Mapping[str, Key] = {
    "sandbox": Key(
        either(BOOL, SANDBOX),
        "Steps see the system read-only, the project, and of the proofs their own artifacts alone;"
        " no network unless it is asked for.",
        keys=SANDBOX,
    ),
}


def converted(form: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that come of its `sandbox`. Of what it reads nothing is left to be named
    as a source.
    """
    held = _sandbox(form["sandbox"])
    said: dict[str, Any] = {"sandbox": held}
    if "read" in held and "sources" not in form:
        said["sources"] = tuple(held["read"])
    return said


def _sandbox(said: bool | Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model has of it: empty for none, and else `network` at least."""
    if isinstance(said, bool):
        return {"network": False} if said else {}
    return {"network": False, **said}
