"""Budgets: how much of a metric may be used, and how much was. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zf.lean.records import Struct

# From this part of a budget on it is warned of.
WARN_AT = 0.8


class Spent(Struct, frozen=True):
    """What an attempt that goes on has used so far, by the names of budgets."""

    task: str
    attempt: int
    amounts: Mapping[str, float]


def amounts(series: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float]:
    """How much of what these budgets limit was used, of those of which there are series: `name`
    limits the metric that is called so, and the counter `name_total`; all labels together.
    """
    by_metric = {metric: name for name in names for metric in (name, f"{name}_total")}
    used: dict[str, float] = {}
    for one in series:
        name = by_metric.get(one["name"])
        if name is not None:
            used[name] = used.get(name, 0.0) + one["value"]
    return used


def added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """What was used together."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


def larger(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Of what two looks at the same saw, the larger: what was used does not become less."""
    return {n: max(first.get(n, 0.0), second.get(n, 0.0)) for n in {**first, **second}}


def over(budget: Mapping[str, float], used: Mapping[str, float]) -> str | None:
    """The name in the budget of which more was used than it allows, if there is one."""
    return next((name for name, most in budget.items() if used.get(name, 0.0) > most), None)


def told(name: str, used: float, most: float) -> str:
    """What was used of a budget, for people."""
    return f"{name} is {_number(used)}, its budget {_number(most)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= value < 1e15 else f"{value:.4g}"
