"""A policy: what must be true of every run that is to be trusted for something. Pure.

It says nothing that `zf verify`'s options could not say, in a file that can be reviewed. Unknown
keys are refused: a rule that was mistyped must not count as kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from posixpath import join
from typing import Any

from zf.audit.authentic import NO_TRUST, Trust
from zf.audit.expected import NOTHING, Approved, Expectations
from zf.audit.result import Result
from zf.audit.signing.signers import SCHEMES
from zf.errors import Problem, ZfError
from zf.events import Status
from zf.inputs import text_of
from zf.lean.records import replace
from zf.model import is_task_id, is_valid_id

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGE = re.compile(r"(\d{1,9})\s*([smhd])")


def parse(
    rules: Any,
    folder: str,
    expectations: Expectations = NOTHING,
    trust: Trust = NO_TRUST,
) -> tuple[Expectations, Trust]:
    """The policy's rules on top of what the command line expects already.

    Files it names are relative to `folder`, where the policy lies. Raises ZfError with every
    problem at once.
    """
    if not isinstance(rules, Mapping):
        raise ZfError("a policy is a mapping of rules", code="ZF650", hint="see zf verify --help")
    problems = []
    expected: dict[str, Any] = {}
    trusted: dict[str, Any] = {}
    keys = dict(trust.keys)
    for key, value in rules.items():
        rule = _RULES.get(key)
        if rule is None:
            hint = "a policy knows " + ", ".join(_RULES)
            problems.append(Problem("ZF650", f"unknown rule {str(key)[:80]!r}", hint=hint))
            continue
        field, read = rule
        try:
            told = read(value)
        except ValueError as error:
            problems.append(Problem("ZF650", f"{key}: {error}"))
            continue
        if field == "keys":
            keys[key] = join(folder, told)
        elif field == "timestamp_ca":
            trusted[field] = join(folder, told)
        elif field == "signers":
            trusted[field] = told
        else:
            expected[field] = told
    if isinstance(rules.get("tasks"), Mapping) and not problems:
        expected["approvals"] = _approvals(rules["tasks"])
    if "signers" in trusted and "allowed_signers" not in keys:
        problems.append(Problem("ZF650", "signers: needs allowed_signers, which holds their keys"))
    if problems:
        raise ZfError("the policy cannot be used", problems=tuple(problems))
    return replace(expectations, **expected), replace(trust, keys=keys, **trusted)


def age_s(text: Any) -> float:
    """`90s`, `15m`, `12h`, `7d` in seconds; ValueError for anything else."""
    found = _AGE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not an age such as 12h or 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def _flag(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise ValueError("neither true nor false")


def _required(value: Any) -> bool:
    if value == "required":
        return True
    raise ValueError("not 'required', the only thing to say of it")


def _isolation(value: Any) -> Mapping[str, str]:
    """The wall of all tasks, or walls by task or phase."""
    if not isinstance(value, Mapping):
        return {"": _wall(value)}
    return {_ids([name], is_task_id)[0]: _wall(wall) for name, wall in value.items()}


_WALLS = ("sandbox", "container")


def _wall(value: Any) -> str:
    if value in _WALLS:
        return str(value)
    raise ValueError("neither 'sandbox' nor 'container', the walls that can be demanded")


def _refused(value: Any) -> bool:
    if value == "refused":
        return True
    raise ValueError("not 'refused', the only thing to say of it")


def _result(value: Any) -> str:
    if value != Result.SUCCESS:
        raise ValueError("only success can be demanded")
    return Result.SUCCESS.value


def _attempts(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("not a number of attempts, from 1")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("not a list")
    return tuple(_text(item) for item in value)


def _ids(value: Any, is_good: Callable[[str], bool] = is_valid_id) -> tuple[str, ...]:
    for item in (items := _texts(value)):
        if not is_good(item):
            raise ValueError(f"{item[:80]!r} is no id")
    return items


def _tasks(value: Any) -> Mapping[str, frozenset[str]]:
    """A list of ids that must have succeeded, or a mapping of ids to the statuses allowed, or to
    these (`status`) and by whom it must have been approved; the id of a task with a matrix stands
    for each of its instances.
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(_ids(value, is_task_id), frozenset({Status.SUCCESS.value}))
    rules = {}
    for task, allowed in value.items():
        if isinstance(allowed, Mapping):
            _approval(allowed)
            allowed = allowed.get("status", Status.SUCCESS.value)  # noqa: PLW2901 - its short form
        statuses = _texts([allowed] if isinstance(allowed, str) else allowed)
        unknown = set(statuses) - set(Status)
        if unknown:
            raise ValueError(f"no task ends as {min(unknown)[:80]!r}")
        rules[_ids([task], is_task_id)[0]] = frozenset(statuses)
    return rules


def _approvals(value: Mapping[str, Any]) -> Mapping[str, Approved]:
    """The approvers that tasks must have, of those of which that is said."""
    found = {name: _approval(said) for name, said in value.items() if isinstance(said, Mapping)}
    return {name: one for name, one in found.items() if one is not None}


def _approval(said: Mapping[str, Any]) -> Approved | None:
    if unknown := said.keys() - {"status", *Approved.__struct_fields__}:
        raise ValueError(f"{str(min(unknown, key=str))[:80]!r} is nothing to say of a task")
    if not said.keys() - {"status"}:
        return None
    by = _texts(said["approved_by"]) if "approved_by" in said else ()
    least = _attempts(said["min"]) if "min" in said else 1
    if by and least > len(by):
        raise ValueError(f"min is {least}, and approved_by has {len(by)}")
    return Approved(by, least, four_eyes=_flag(said.get("four_eyes", False)))


def _inputs(value: Any) -> Mapping[str, tuple[str, ...]]:
    """What inputs must have been: a scalar, or a list of texts."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("not a mapping of names to values")
    rules = {}
    for name, wanted in value.items():
        texts = wanted if isinstance(wanted, list) else [wanted]
        if not all(isinstance(text, str | int | float) for text in texts):
            raise ValueError(f"{str(name)[:80]!r} is no text, number, true, false or list of texts")
        rules[name] = tuple(map(text_of, texts))
    return rules


# Rule -> the field it fills, and how its value is read. The manual's table is compared with it.
_RULES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "result": ("result", _result),
    "phases": ("phases", _ids),
    "successful_phases": ("successful_phases", _ids),
    "tasks": ("tasks", _tasks),
    "max_attempts": ("max_attempts", _attempts),
    "commit": ("commit", _text),
    "plan": ("plan", _text),
    "clean_tree": ("clean_tree", _flag),
    "unchanged_tree": ("unchanged_tree", _flag),
    "max_age": ("max_age_s", age_s),
    "shield": ("shield", _required),
    "isolation": ("isolation", _isolation),
    "inputs": ("inputs", _inputs),
    "cached": ("no_cached", _refused),
    "interactive": ("no_interactive", _refused),
    **{scheme.keys: ("keys", _text) for scheme in SCHEMES},
    "signers": ("signers", _texts),
    "timestamp_ca": ("timestamp_ca", _text),
}
