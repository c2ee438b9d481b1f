"""What the commands of an attempt used, put together: of each, and of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Which kind of command, its number, and its measures.
Used = tuple[str, int, dict[str, Any]]
_KINDS = ("step", "cleanup")
_SUMMED = ("cpu_user_s", "cpu_system_s", "read_bytes", "written_bytes", "output_bytes")


def together(used: Sequence[Used]) -> dict[str, Any]:
    """What all commands used together; null where that of one is not known."""
    if len(used) == 1:
        return used[0][2]
    return _sum([one for kind in _KINDS for _, one in _by_number(used, kind)])


def told(used: Sequence[Used], of_all: Mapping[str, Any]) -> dict[str, Any]:
    """The same, and that of each command."""
    if not used:
        return {}
    if len(used) == 1 and used[0][0] == "step":  # as most tasks have one
        _, number, measured = used[0]
        return {**of_all, "steps": [{"step": number, **measured}]}
    steps = [{"step": n, **one} for n, one in _by_number(used, "step")]
    cleanup = [{"cleanup": n, **one} for n, one in _by_number(used, "cleanup")]
    return {**of_all, "steps": steps, **({"cleanup": cleanup} if cleanup else {})}


def _by_number(used: Iterable[Used], kind: str) -> Iterable[tuple[int, dict[str, Any]]]:
    """What each command of this kind used, over all probes where there are some; what it printed is
    that of the last probe, which its record tells.
    """
    own = [(number, measured) for one, number, measured in used if one == kind]
    if len(own) < 2:
        return own
    found: dict[int, list[dict[str, Any]]] = {}
    for number, measured in own:
        found.setdefault(number, []).append(measured)
    return [(number, _over_probes(measured)) for number, measured in found.items()]


def _over_probes(used: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return used[0] if len(used) < 2 else _sum(used) | {"output_bytes": used[-1]["output_bytes"]}


def _sum(used: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(used) < 2:
        return used[0] if used else {}
    sums: dict[str, Any] = {
        key: None if None in (values := [one[key] for one in used]) else round(sum(values), 6)
        for key in _SUMMED
    }
    sums["peak_memory_bytes"] = max(one["peak_memory_bytes"] or 0 for one in used) or None
    sums["source"] = min(one["source"] for one in used)  # any cgroup's
    return sums
