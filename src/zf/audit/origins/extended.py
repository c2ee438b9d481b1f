"""Instances that joined the plan of the run that is judged: whether they are those that the outputs
of their needs list, no more and no fewer, and joined it before they began.

By conventions/PROOFS_CONVENTION.md alone: what made the instances shares no code with this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from zf.audit.account import Account
from zf.audit.evidence import Evidence
from zf.audit.instances import misnamed
from zf.instances import Joined, extended
from zf.lean.records import Struct
from zf.model import base_of, definition_sha256, is_task_id, recalled
from zf.proof.journal import decode
from zf.proof.layout import JOURNAL, OUTPUTS
from zf.proof.read import MAX_JSON_BYTES

_MOST = 256
# More do not fit into an output.
_MOST_ENTRIES = 65_536
# The axis of a plain list.
_ITEM = "item"
_LISTS = ("include", "exclude")
_STARS = "***"
_Values = Mapping[str, str]


class _Event(Struct, frozen=True):
    """A sound event."""

    base: str
    instances: Sequence[Mapping[str, Any]]
    of: int


def take_in(seen: Evidence) -> None:
    """Put the instances that the journal tells of into the plan, as far as it has their base."""
    joined: list[Joined] = []
    for told in seen.account.extended:
        wrong = [*_out_of_place(seen, told)]
        for problem in wrong:
            seen.tampered("extended", problem, JOURNAL)
        if not wrong:
            joined.append(_Event(told["base"], told["instances"], told["of"]))
    if joined:
        seen.plan = extended(seen.plan, joined, as_written=True)
        rows = {row["id"]: row for row in seen.plan["tasks"] if row.get("id")}
        of = {event.base: [one["id"] for one in event.instances] for event in joined}
        seen.planned = {name: rows[name] for each in seen.planned for name in of.get(each, (each,))}
        seen.joined = {name for names in of.values() for name in names}
    for name in sorted(seen.joined):
        for problem in misnamed(seen.planned[name]):
            seen.tampered("extended", problem, JOURNAL)
    for name, row in seen.planned.items():
        if "matrix_from" in row:
            for problem in _left_out(seen, name, row):
                seen.tampered("extended", problem, JOURNAL)


def grown(plan: Mapping[str, Any], account: Account) -> Mapping[str, Any]:
    """What the plan.json of an intact run says, with the instances that joined its plan."""
    joined = [_Event(one["base"], one["instances"], one["of"]) for one in account.extended]
    return extended(plan, joined, as_written=True)


def unlike(row: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    """What a task.json says otherwise than the digest with which the instance joined the plan. Not
    told of one from which a secret was taken that the plan knew nothing of.
    """
    try:
        digest = definition_sha256(recalled(task))
    except (TypeError, KeyError, ValueError, AttributeError):
        digest = ""
    if digest != row.get("sha256") and (not digest or _STARS not in json.dumps(task)):
        yield "is not the task that joined the plan, by its digest"


def _out_of_place(seen: Evidence, told: Mapping[str, Any]) -> Iterator[str]:
    """Why an event cannot have put instances into this plan."""
    base, instances, of = told.get("base"), told.get("instances"), told.get("of")
    row = seen.planned.get(base) if isinstance(base, str) else None
    if row is None or "matrix_from" not in row or not isinstance(base, str):
        yield f"instances join the plan of {base!r:.200}, which is planned to have none"
        return
    if not isinstance(instances, list) or not instances or type(of) is not int:
        yield f"no instances join the plan of {base!r:.200}"
        return
    if not len(instances) <= of <= _MOST:
        yield f"{len(instances)} of {of} instances of {base!r:.200} join the plan"
    if base in seen.account.tasks:
        yield f"tells of {base!r:.200}, in whose place its instances are"
    names = [one.get("id") for one in instances]
    for name in names:
        if not isinstance(name, str) or not is_task_id(name) or base_of(name) != base:
            yield f"{name!r:.200} is no instance of {base!r:.200}"
            return
    folded = [name.casefold() for name in names]
    is_twice = len({*folded}) < len(folded)
    for name in names:
        if is_twice or name in seen.planned:
            yield f"{name!r:.200} joins a plan that has it"
            return
    yield from _other_needs(base, row, instances)
    late = [need for need in _sources(row) if not _ended_before(seen, need, told)]
    if late:
        yield f"the instances of {base!r:.200} are known before {late[0]!r:.200} has ended"
        return
    listed = _listed(seen, row)
    values = [one.get("matrix") for one in instances]
    if isinstance(listed, str):
        yield f"the instances of {base!r:.200} are made of what is no list: {listed}"
    elif listed is not None and (len(listed), _chosen(seen, listed)) != (of, values):
        yield f"the instances of {base!r:.200} are not those that {_told(row)} lists"


def _other_needs(
    base: str, row: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Instances may need less than their base, where they need those with the same values."""
    needs = {need["task"] for need in row["needs"]}
    for one in instances:
        names = one.get("needs", ())
        if any(name not in needs and base_of(name) not in needs for name in names):
            yield f"{one['id']!r:.200} needs what {base!r:.200} does not"


def _ended_before(seen: Evidence, need: str, told: Mapping[str, Any]) -> bool:
    """Whether a task had come to its end by then; one that is not in this run had."""
    if need not in seen.planned:
        return True
    end = seen.account.tasks[need].terminal if need in seen.account.tasks else None
    return end is not None and end["seq"] < told["seq"]


def _left_out(seen: Evidence, base: str, row: Mapping[str, Any]) -> Iterator[str]:
    """A task that is said to have no instances, though there are some in its list."""
    account = seen.account.tasks.get(base)
    end = (account.terminal if account else None) or {}
    if account and account.began:
        yield f"{base!r:.200} was attempted, in place of its instances"
    if end.get("cause") == "instances" and end.get("status") == "skipped":
        listed = _listed(seen, row)
        if listed is not None and (isinstance(listed, str) or _chosen(seen, listed)):
            yield f"{base!r:.200} is said to have no instances, and {_told(row)} lists some"


# What the outputs list.


def _references(row: Mapping[str, Any]) -> dict[str, str]:
    """The outputs that say which instances there are: `task.output` by the axis, "" for all."""
    said = row["matrix_from"]
    found = {"": said["from"]} if isinstance(said.get("from"), str) else {}
    return found | {
        axis: of["from"]
        for axis, of in said.items()
        if isinstance(of, dict) and isinstance(of.get("from"), str)
    }


def _sources(row: Mapping[str, Any]) -> list[str]:
    return [reference.rpartition(".")[0] for reference in _references(row).values()]


def _told(row: Mapping[str, Any]) -> str:
    return f"{' and '.join(_references(row).values()):.200}"


def _listed(seen: Evidence, row: Mapping[str, Any]) -> list[_Values] | str | None:
    """The values of every instance; or why there are none; None where another run has them."""
    said = dict(row["matrix_from"])
    try:
        for axis, reference in _references(row).items():
            need, _, output = reference.rpartition(".")
            if need not in seen.planned:
                return None
            handed = decode(seen.bundle.read(f"{need}/{OUTPUTS}", MAX_JSON_BYTES))
            value = json.loads(handed[output], parse_int=str, parse_float=str)
            if axis:
                said[axis] = value
            elif isinstance(value, dict):
                said = value
            else:
                is_whole = bool(value) and all(isinstance(one, dict) for one in value)
                said = {"include" if is_whole else _ITEM: value}
        return _combined(said)
    except RecursionError:
        return "nested too deeply"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{error!r:.100}"


def _combined(said: Mapping[str, Any]) -> list[_Values]:
    """A matrix, its values known -> those of each instance."""
    axes = {axis: _texts(of) for axis, of in said.items() if axis not in _LISTS}
    include, exclude = ([_entry(one) for one in said.get(key, ())] for key in _LISTS)
    if prod(map(len, axes.values())) > _MOST or len(include) > _MOST_ENTRIES:
        raise ValueError("more instances than there can be")
    crossed = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    kept = [
        one for one in crossed if axes and not any(out.items() <= one.items() for out in exclude)
    ]
    whole: list[dict[str, str]] = [dict(one) for one in kept]
    added: list[_Values] = []
    for entry in include:
        fits = [
            index
            for index, own in enumerate(kept)
            if all(own.get(axis, value) == value for axis, value in entry.items())
        ]
        for index in fits:
            whole[index].update(entry)
        if not fits:
            added.append(entry)
    return [*whole, *added]


def _texts(of: Any) -> list[str]:
    if isinstance(of, dict):
        # One more than there can be is refused, however many are said.
        return [str(number) for number in range(1, min(int(of["count"]), _MOST + 1) + 1)]
    return [_text(one) for one in of]


def _entry(of: Mapping[str, Any]) -> dict[str, str]:
    return {axis: _text(one) for axis, one in of.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise TypeError("no single value")
    return value


def _chosen(seen: Evidence, listed: Sequence[_Values]) -> list[_Values]:
    """Those with the values that `--matrix` chose."""
    chosen = seen.plan.get("matrix", {})
    axes = {axis for one in listed for axis in one}
    return [
        one
        for one in listed
        if all(one.get(axis) in values for axis, values in chosen.items() if axis in axes)
    ]
