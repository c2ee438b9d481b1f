"""Instances of a matrix, for people and for steps: how they are listed, their variables, and the
plan of a run with those that joined it. Pure.

What they are called, and which there are, is in plan/matrix/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from zf.model import base_of


class Joined(Protocol):
    """The event with which the instances of `base` join a plan."""

    @property
    def base(self) -> str: ...

    @property
    def instances(self) -> Iterable[Mapping[str, Any]]: ...

    @property
    def of(self) -> int: ...


def extended(
    plan: Mapping[str, Any], joined: Iterable[Joined], *, as_written: bool = False
) -> Mapping[str, Any]:
    """What a plan.json holds, with the instances that joined it during the run in the place of
    their bases, and with needs on those as needs on all of them: as if they had been known. Needs
    stay `as_written` for what compares them with other records of them.
    """
    by_base = {event.base: event for event in joined}
    if not by_base:
        return plan
    rows: list[dict[str, Any]] = []
    for row in plan["tasks"]:
        event = by_base.get(row["id"])
        rows += [row] if event is None else rows_of(row, event.instances)
    names = (
        {}
        if as_written
        else {base: [str(one["id"]) for one in by_base[base].instances] for base in by_base}
    )
    rows = [
        {**row, "needs": [*_needs(row["needs"], names)]}
        if any(need["task"] in names for need in row["needs"])
        else row
        for row in rows
    ]
    sizes = {base: event.of for base, event in by_base.items()}
    return {**plan, "tasks": rows, "instances": {**plan.get("instances", {}), **sizes}}


def listed_by(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The outputs, as `task.output`, that say which instances there are, by the `matrix_from` of
    their task.
    """
    found = [said["from"]] if "from" in said else []
    found += [one["from"] for one in said.values() if isinstance(one, dict) and "from" in one]
    return tuple(dict.fromkeys(found))


def rows_of(
    base: Mapping[str, Any], instances: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows that instances have in a plan.json, by that of their base."""
    plain = {key: value for key, value in base.items() if key not in {"matrix_from", "weight_s"}}
    by_name = {need["task"]: need for need in base["needs"]}
    rows = []
    for one in instances:
        name = one["id"]
        needs = [
            {**(by_name.get(need) or by_name[base_of(need)]), "task": need}
            for need in one.get("needs", by_name)
        ]
        told = {key: one[key] for key in ("matrix", "sha256", "weight_s") if key in one}
        title = name if base["title"] == base["id"] else base["title"]
        rows.append(
            {**plain, "id": name, "title": title, "base": base["id"], "needs": needs, **told}
        )
    return rows


def _needs(
    needs: Iterable[Mapping[str, Any]], names: Mapping[str, Iterable[str]]
) -> Iterator[dict[str, Any]]:
    for need in needs:
        for name in names.get(need["task"], (need["task"],)):
            yield {**need, "task": name}


def matrix_variable(axis: str) -> str:
    """The variable of an axis of a matrix: `py-version` is MATRIX_PY_VERSION."""
    return f"MATRIX_{axis.upper().replace('-', '_')}"


def together(tasks: Iterable[str]) -> list[str]:
    """Ids for people to read: of a matrix of which several are named, how many in place of all."""
    of_base: dict[str, list[str]] = {}
    for task in tasks:
        of_base.setdefault(base_of(task), []).append(task)
    return [
        f"{base} ({len(names)} instances)" if len(names) > 1 else names[0]
        for base, names in of_base.items()
    ]
