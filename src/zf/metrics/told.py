"""What a journal says that an attempt measured, as far as it can be what zf wrote: whatever reads a
run adds it up, sorts it and writes it as text. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import float_info
from typing import Any

# More than any disk holds: whatever claims that is no zf.
MOST = 2**63


def measures(told: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers among them, which whatever reads a run adds up and rounds."""
    return {
        name: value
        for name, value in told.items()
        if value is None or name == "source" or (type(value) in {int, float} and 0 <= value < MOST)
    }


def tests(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The counts of cases and the names of failed ones; nothing where they are none."""
    counts = [told.get(key) for key in ("total", "failed", "errors", "skipped")]
    names = told.get("names")
    if any(type(count) is not int or not 0 <= count < MOST for count in counts):
        return {}
    return told if type(names) is list and all(type(one) is str for one in names) else {}


def metrics(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those that are series, which whatever reads a run sorts, adds up and writes as text."""
    return [{**one, "value": float(one["value"])} for one in told if _is_series(one)]


def _is_series(one: Mapping[str, Any]) -> bool:
    name, unit, labels = one.get("name"), one.get("unit"), one.get("labels")
    if type(name) is not str or type(unit) is not str or type(labels) is not dict:
        return False
    value: Any = one.get("value")
    if type(value) not in {int, float} or not abs(value) <= float_info.max:
        return False
    names = (name.replace(":", "_"), *labels)
    return (
        one.get("type") in ("counter", "gauge")
        and all(text.isascii() and text.isidentifier() for text in names)
        and all(type(text) is str for text in labels.values())
    )
