"""What the run cost: what its processes used, and what its tasks measured of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.lean.records import Struct
from zf.metrics.exposition import summed
from zf.metrics.usage import COST, REQUESTS, TOKENS
from zf.report.html.tables import cpu_of
from zf.report.remarks import labels, number, on_use
from zf.report.words import count, duration, size

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

# Series of a longer list are counted.
MOST_SERIES = 200
_MOST_REMARKS = 20
# Less processor time would be told as none.
_WORTH_TELLING_S = 0.1


class Series(Struct, frozen=True):
    """One series, added up over the run: its labels as text, its value, how many tasks have it."""

    name: str
    labels: str
    value: str
    tasks: int


class Costs(Struct, frozen=True):
    """Sentences about the whole, and every series."""

    told: Sequence[str]
    series: Sequence[Series]
    more: int


def costs(facts: Facts) -> Costs | None:
    """None where nothing was measured."""
    tasks = facts.tasks.values()
    total = summed(task.metrics for task in tasks if task.metrics)
    told = [*_used(facts), *_asked(facts), *_models(total)]
    if not told and not total:
        return None
    having: dict[tuple[str, str], int] = {}
    for task in tasks:
        for one in task.metrics:
            key = (one["name"], labels(one["labels"]))
            having[key] = having.get(key, 0) + 1
    series = [
        Series(
            one["name"],
            told_as := labels(one["labels"]),
            f"{number(one['value'])} {one['unit']}".rstrip(),
            having.get((one["name"], told_as), 0),
        )
        for one in total[:MOST_SERIES]
    ]
    return Costs(told, series, len(total) - len(series))


def _attempts(task: TaskFacts) -> Iterator[TaskFacts]:
    """How the task stood after each attempt: a retry's cost is a cost."""
    for tried in task.earlier:
        yield tried.task
    yield task


def _used(facts: Facts) -> Iterator[str]:
    found = [
        (spent, attempt.id)
        for task in facts.tasks.values()
        for attempt in _attempts(task)
        if (spent := cpu_of(attempt.measures)) is not None
    ]
    whole = sum(spent for spent, _ in found)
    if whole < _WORTH_TELLING_S:
        return
    most, name = max(found, key=lambda one: one[0])
    told = f"{duration(whole)} of processor time in {count(len(found), 'attempt')}"
    if len(found) > 1:
        told += f", the most ({duration(most)}) in {name}"
    peaks = [
        (peak, attempt.id)
        for task in facts.tasks.values()
        for attempt in _attempts(task)
        if isinstance(peak := attempt.measures.get("peak_memory_bytes"), int)
    ]
    if peaks:
        peak, name = max(peaks, key=lambda one: one[0])
        told += f"; the largest process had {size(peak)} of memory, in {name}"
    yield f"{told}."


def _asked(facts: Facts) -> list[str]:
    """What tasks used of what they had asked for, where that is worth a remark."""
    lines = [f"{task.id}: {line}." for task in facts.tasks.values() for line in on_use(task)]
    more = len(lines) - _MOST_REMARKS
    return [*lines[:_MOST_REMARKS], *([f"And {more} more remarks like these."] if more > 0 else [])]


def _models(total: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What language models cost, by the names that are reserved for that."""
    sums = {name: [one["value"] for one in total if one["name"] == name] for name in _MODELS}
    told = [
        f"{number(sum(values))} {noun}" if noun else f"${sum(values):,.2f}".replace(",", " ")
        for name, noun in _MODELS.items()
        if (values := sums[name])
    ]
    if told:
        yield f"Language models: {', '.join(told)}."


_MODELS = {COST: "", TOKENS: "tokens", REQUESTS: "requests"}
