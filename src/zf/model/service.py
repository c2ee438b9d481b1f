"""Programs that run beside the steps of a task or tasks of a phase, and how proofs have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.lean.records import Struct, asdict, field


class Service(Struct, frozen=True):
    """A script, or an image. `ready` is empty where it is ready once something listens on its
    ports, which are names; those of an image are the numbers that it listens on. `digest` and `id`
    say which image it is, once that is settled; `pull` and `env` are an image's alone.
    """

    name: str
    run: str = ""
    image: str = ""
    ready: str = ""
    ready_timeout_s: float = 60
    ports: tuple[str, ...] = ()
    pull: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    id: str = ""


def recorded_service(service: Service) -> dict[str, Any]:
    """What it says, by the keys of task files; a text that it leaves out is left out."""
    values = asdict(service)
    said = {"ready_timeout_sec": values.pop("ready_timeout_s"), "ports": [*values.pop("ports")]}
    return {key: value for key, value in values.items() if value} | said


def recalled_service(said: Mapping[str, Any]) -> Service:
    """The service of a recorded form."""
    fields = {**said, "ready_timeout_s": said["ready_timeout_sec"], "ports": tuple(said["ports"])}
    del fields["ready_timeout_sec"]
    return Service(**fields)
