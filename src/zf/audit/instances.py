"""Instances of a matrix: whether their names follow from their values, and their own papers say the
same. Pure.

By conventions/PROOFS_CONVENTION.md alone: what made the names shares no code with this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

_REST = "etc"
_KEPT, _DIGITS, _REST_DIGITS = 20, 8, 12


def misnamed(row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the name of a task of plan.json, given its `base` and `matrix`."""
    name = str(row.get("id"))
    base, at, tail = name.partition("@")
    values = row.get("matrix")
    if not at:
        if "base" in row or "matrix" in row:
            yield f"{name!r:.200} is called like a task, and said to be an instance"
        return
    if row.get("base") != base or not isinstance(values, dict) or not values:
        yield f"{name!r:.200} is called like an instance, and said to be none"
        return
    seen: set[str] = set()
    for part in tail.split(","):
        axis, _, told = part.partition("=")
        if axis in seen or told not in _forms(axis, values):
            yield f"{name!r:.200} is not called by its values: {part!r:.80}"
        seen.add(axis)


def miscounted(plan: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the `instances` of plan.json: of each matrix in it there is a number, and
    no fewer than are planned.
    """
    rows = plan.get("tasks")
    bases = [str(row.get("base")) for row in rows or () if isinstance(row, dict) and "base" in row]
    sizes = plan.get("instances", {})
    if not isinstance(sizes, dict) or sizes.keys() != set(bases):
        yield "does not say of each of its matrices, and no others, how many instances they have"
        return
    for base, size in sizes.items():
        if type(size) is int and size < (planned := bases.count(base)):
            yield f"has {planned} instances of {base!r:.200}, and says that there are {size}"


def _forms(axis: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """How the value of an axis may stand in a name."""
    if axis in values:
        value = str(values[axis])
        kept = re.sub(r"[^A-Za-z0-9._+]+", "-", value)[:_KEPT].strip("-.") or "x"
        return value, f"{kept}-{_sha256(value)[:_DIGITS]}"
    whole = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return (_sha256(whole)[:_REST_DIGITS],) if axis == _REST else ()


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
