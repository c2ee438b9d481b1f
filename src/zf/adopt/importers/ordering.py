"""The order in which make and just go through what a task needs -> priorities, where needs among
these do not imply it already.

Tasks that run one at a time, the highest priority first, are gone through in exactly the order that
the priorities have, if no task comes before what it needs: the next one in that order can always
start. That is the order in which a depth-first walk leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from zf.adopt.importers.model import Import, reaches

_MOST_WALKS = 50


def order(source: Import) -> None:
    """Give the tasks priorities where that is needed, and say where an order is not kept."""
    needs = {job.name: [need.name for need in job.needs] for job in source.jobs}
    meant = {name: _meant(listed, needs) for name, listed in needs.items()}
    open_ = {name for name in needs if not _implied(meant[name], needs)}
    if not open_:
        return
    below = {*_walk([one for name in needs if name in open_ for one in needs[name]], needs)}
    walked = _best_walk([*source.usual, *needs], needs, {n: meant[n] for n in open_})
    place = {name: number for number, name in enumerate(n for n in walked if n in below)}
    for job in source.jobs:
        if job.name in place:
            job.keys["priority"] = len(place) - place[job.name]
        if job.name in open_:
            construct = f"needs {' '.join(needs[job.name])}"
            if _wrong(meant[job.name], place):
                remedy = "other tasks name them in another order: add needs that say which is meant"
                source.manual(construct, remedy, job=job, first=True)
            else:
                source.changed(construct, "in this order, by `priority`", job=job)


def _best_walk(
    names: list[str], needs: Mapping[str, list[str]], open_: Mapping[str, list[str]]
) -> list[str]:
    """The walk that keeps the most orders, of those that begin at a task whose order matters."""
    best: list[str] = []
    fewest = len(open_) + 1
    for start in ["", *(name for name in names if name in open_)][:_MOST_WALKS]:
        walked = _walk([start, *names], needs)
        place = {name: number for number, name in enumerate(walked)}
        wrong = sum(_wrong(listed, place) for listed in open_.values())
        if wrong < fewest:
            best, fewest = walked, wrong
        if not wrong:
            break
    return best


def _wrong(listed: list[str], place: Mapping[str, int]) -> bool:
    return sorted(listed, key=place.__getitem__) != listed


def _meant(listed: list[str], needs: Mapping[str, list[str]]) -> list[str]:
    """What a task needs in the order in which it would be done for this task alone."""
    return [name for name in _walk(listed, needs) if name in listed]


def _implied(listed: list[str], needs: Mapping[str, list[str]]) -> bool:
    """Whether each needs the one before it, near or far."""
    return all(reaches(needs, later, earlier) for earlier, later in pairwise(listed))


def _walk(names: list[str], needs: Mapping[str, list[str]]) -> list[str]:
    """All names, each behind what it needs, as a walk leaves them."""
    left: dict[str, None] = {}
    seen: set[str] = set()
    for start in names:
        stack = [start] if start in needs else []
        while stack:
            name = stack[-1]
            if name in seen:
                left.setdefault(stack.pop())
                continue
            seen.add(name)
            stack += [one for one in reversed(needs[name]) if one not in seen]
    return list(left)
