"""What a valid zf.yaml becomes in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.model import NOTHING, Phase, Project
from zf.plan.places import PROJECT_FILE


def project_of(form: Mapping[str, Any]) -> Project:
    """The project that a valid form describes; None stays where the file is silent."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in form.items()
    }
    said.pop("shell", None)  # what it says is in the tasks
    throttle = said.pop("throttle", {})
    said.pop("inputs", None)
    said["phases"] = {
        name: Phase(
            phase.get("title", ""),
            phase.get("timeout_sec"),
            phase.get("budget", NOTHING),
            tuple(phase.get("needs", ())),
            phase.get("max_jobs"),
            protected=phase.get("protected", False),
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
