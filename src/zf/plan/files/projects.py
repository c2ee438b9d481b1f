"""What a valid zf.yaml says of the project, as the model has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zf.lean.records import replace
from zf.model import NOTHING, Phase, Project, Service
from zf.plan.places import PROJECT_FILE
from zf.plan.placing.keys import executors_of
from zf.plan.yaml.yaml12 import KEY

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.plan.files import reading
    from zf.plan.yaml.yaml12 import Document


def read_project(found: reading.Project) -> tuple[Project, list[Problem]]:
    """What zf.yaml says of the project, with the inputs that it declares."""
    said = found.said
    if found.file is None:
        return Project(), []
    project = _project(said, found.file.document)
    phases = said.get("phases", {})
    if "inputs" not in said and not any("inputs" in phase for phase in phases.values()):
        return project, []
    from zf.plan.inputs import declared  # noqa: PLC0415 - few projects declare any

    assert found.file.source is not None  # it says something
    read = declared.read(found.file.source, found.file.document)
    named = {
        name: replace(phase, inputs=read.phases.get(name, NOTHING))
        for name, phase in project.phases.items()
    }
    return replace(project, inputs=read.project, phases=named), read.problems


def _line(document: Document, phase: str) -> int:
    found: int = document.node_at(("phases", phase, "needs", KEY)).start_mark.line + 1
    return found


def _services(listed: list[dict[str, Any]]) -> tuple[Service, ...]:
    from zf.plan.services.keys import converted  # noqa: PLC0415 - few phases have any

    return converted(listed)


def _project(form: Mapping[str, Any], document: Document) -> Project:
    """The project that a valid form describes; None stays where the file is silent."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in form.items()
    }
    said.pop("shell", None)  # what it says is in the tasks
    throttle = said.pop("throttle", {})
    said.pop("inputs", None)
    said["executors"] = executors_of(said.pop("executors", {}))
    said.pop("on_end", None)  # tasks, which are read as such
    said["phases"] = {
        name: Phase(
            phase.get("title", ""),
            phase.get("timeout_sec"),
            phase.get("budget", NOTHING),
            tuple(phase.get("needs", ())),
            phase.get("max_jobs"),
            protected=phase.get("protected", False),
            services=_services(phase["services"]) if "services" in phase else (),
            needs_line=_line(document, name) if "needs" in phase else None,
        )
        for name, phase in form.get("phases", {}).items()
    }
    return Project(
        file=PROJECT_FILE,
        grace_s=said.pop("grace_sec", None),
        throttle_cpu_percent=throttle.get("cpu_percent"),
        throttle_min_free_mem_mb=throttle.get("min_free_mem"),
        **said,
    )
