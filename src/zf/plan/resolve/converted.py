"""What the model has of the keys of a task that hold it in another form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.model import NOTHING, QUEUE
from zf.plan.resolve import short


def convert(said: dict[str, Any], form: Mapping[str, Any], lines: Mapping[str, list[int]]) -> None:
    """Make what `Task` has of the keys that hold it in another form."""
    said.pop("matrix", None)  # what it stands for is not known yet
    if "env" in form:
        said["env"], said["env_from"] = _environment(form["env"])
    if "cleanup" in form:
        steps = short.with_shell(form["cleanup"], form.get("shell"))
        said["cleanup"] = short.steps("cleanup", steps, lines["cleanup"])
    if "artifacts" in form:
        said["artifacts"], said["required_artifacts"] = _artifacts(form["artifacts"])
    if isinstance(grouped := form.get("concurrency"), dict):
        said["concurrency"] = grouped["group"]
        said["on_newer"] = grouped.get("on_newer", QUEUE)
    if isinstance(cache := form.get("cache"), dict):
        said |= {
            "cache": True,
            "cache_env": tuple(cache.get("env", ())),
            "cache_tools": tuple(cache.get("tools", ())),
            "generates_check": cache.get("check", ""),
        }
    if "sandbox" in form or "container" in form:
        from zf.plan.walls.keys import converted  # noqa: PLC0415 - few tasks have one

        said |= converted(form, said.get("env", NOTHING))
    if "services" in form:
        from zf.plan.services.keys import converted as services_of  # noqa: PLC0415 - as above

        said["services"] = services_of(form["services"])
    if "repeat" in form:
        from zf.plan.gates.keys import converted as repeated  # noqa: PLC0415 - as above

        said |= repeated(form)
    if "approval" in form:
        from zf.plan.gates.approval import converted as approval_of  # noqa: PLC0415 - as above

        said["approval"] = approval_of(form["approval"])
    if isinstance(form.get("allow_failure"), dict):
        said["allow_failure"] = tuple(form["allow_failure"]["exit_codes"])
    if isinstance(form.get("retry_on"), dict):
        said["retry_on"] = tuple(form["retry_on"]["exit_codes"])


def _environment(
    listed: Mapping[str, str | dict[str, str]],
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The variables with their values, and those that hold outputs of needs."""
    taken = {name: value["from"] for name, value in listed.items() if isinstance(value, dict)}
    if not taken:
        return listed, NOTHING  # type: ignore[return-value]
    return {name: value for name, value in listed.items() if isinstance(value, str)}, taken


def _artifacts(listed: list[str | dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All of them, and those for which there must be a file."""
    rows = [
        (one, False) if isinstance(one, str) else (one["path"], one.get("required"))
        for one in listed
    ]
    return tuple(path for path, _ in rows), tuple(path for path, required in rows if required)
