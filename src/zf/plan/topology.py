"""Names and the names they need: levels, and the shortest cycles. Pure.

Linear in names plus needs, but the search for the shortest cycle, which only a broken project
pays for; nothing recurses, so a chain may be of any length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

# For every name, the names it needs, all of them known.
_Edges = Mapping[str, Collection[str]]
# Of a circle in a message.
_MOST_SHOWN = 10


def levels_of(needs: _Edges) -> dict[str, int]:
    """For every name, the length of the longest chain of needs below it.

    Names on a cycle, or above one, have no level and are left out.
    """
    missing = {name: len(needed) for name, needed in needs.items()}
    dependents = _reversed(needs)
    ready = deque(name for name, count in missing.items() if not count)
    levels = dict.fromkeys(ready, 0)
    while ready:
        name = ready.popleft()
        for other in dependents[name]:
            missing[other] -= 1
            if not missing[other]:
                # Names come in the order of their levels, so the last need is the deepest.
                levels[other] = levels[name] + 1
                ready.append(other)
    return levels


def shortest_cycles(needs: _Edges) -> Iterator[list[str]]:
    """For every knot of names that need each other, one of its shortest cycles.

    A cycle starts with its smallest name; each name needs the next, the last needs the first.
    """
    if _leads_up(needs):
        return
    levels = levels_of(needs)
    if len(levels) == len(needs):
        return
    stuck = {name: needed for name, needed in needs.items() if name not in levels}
    inside = {n: sorted(need for need in stuck[n] if need in stuck) for n in sorted(stuck)}
    for names in _knots(inside):
        knot = {name: {need for need in inside[name] if need in names} for name in names}
        cycle = _shortest_cycle(knot)
        if cycle:
            start = cycle.index(min(cycle))
            yield cycle[start:] + cycle[:start]


def _leads_up(needs: _Edges) -> bool:
    """Whether all needs stand above the names that need them, as in most projects: there is no
    cycle then. Looked at first, as it takes a tenth of the time that the levels take.
    """
    above: set[str] = set()
    for name, needed in needs.items():
        if not above.issuperset(needed):
            return False
        above.add(name)
    return True


def shown(parts: Sequence[str], between: str = " -> ") -> str:
    """What goes round in a circle, in a line; of many the first and the last."""
    more = len(parts) - _MOST_SHOWN
    if more > 0:
        parts = [*parts[: _MOST_SHOWN - 2], f"... {more} more ...", *parts[-2:]]
    return between.join(parts)


def _knots(needs: _Edges) -> Iterator[set[str]]:
    """The strongly connected components, by Kosaraju's two walks."""
    dependents = _reversed(needs)
    done: set[str] = set()
    for start in reversed(_finished_last(needs)):
        if start not in done:
            knot = reachable([start], dependents.__getitem__, avoid=done)
            done |= knot
            yield knot


def _finished_last(needs: _Edges) -> list[str]:
    """Every name after the names a depth-first walk finds below it (without recursion)."""
    order: list[str] = []
    seen: set[str] = set()
    for start in needs:
        if start in seen:
            continue
        seen.add(start)
        path = [(start, iter(needs[start]))]
        while path:
            name, rest = path[-1]
            below = next((need for need in rest if need not in seen), None)
            if below is None:
                order.append(name)
                path.pop()
            else:
                seen.add(below)
                path.append((below, iter(needs[below])))
    return order


def _shortest_cycle(knot: Mapping[str, set[str]]) -> list[str] | None:
    """A shortest cycle: the best one through each name, which is then left out."""
    needs = {name: set(needed) for name, needed in knot.items()}
    dependents = {name: set(others) for name, others in _reversed(needs).items()}
    best: list[str] | None = None
    for start in sorted(needs):
        if start in needs:
            best = _cycle_through(start, needs, best) or best
            _drop(start, needs, dependents)
    return best


def _cycle_through(
    start: str, needs: Mapping[str, set[str]], best: list[str] | None
) -> list[str] | None:
    """A shortest cycle through `start` that is shorter than `best`, breadth first."""
    came_from: dict[str, str] = {}
    ring = [start]
    length = 1
    while ring and (best is None or length < len(best)):
        following = []
        for name in ring:
            for need in sorted(needs[name]):
                if need == start:
                    return _path(name, start, came_from)
                if need not in came_from:
                    came_from[need] = name
                    following.append(need)
        ring = following
        length += 1
    return None


def _path(name: str, start: str, came_from: Mapping[str, str]) -> list[str]:
    path = [name]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def _drop(name: str, needs: dict[str, set[str]], dependents: dict[str, set[str]]) -> None:
    """Take the name out, and with it every name no cycle can go through any more."""
    waiting = [name]
    while waiting:
        gone = waiting.pop()
        if gone not in needs:
            continue
        for need in needs.pop(gone) - {gone}:
            dependents[need].discard(gone)
            if not dependents[need]:
                waiting.append(need)
        for other in dependents.pop(gone) - {gone}:
            needs[other].discard(gone)
            if not needs[other]:
                waiting.append(other)


def _reversed(needs: _Edges) -> dict[str, list[str]]:
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for need in needed:
            dependents[need].append(name)
    return dependents


def reachable(
    starts: Iterable[str], step: Callable[[str], Iterable[str]], avoid: Collection[str] = ()
) -> set[str]:
    """Every name that steps lead to from these, themselves included, not entering `avoid`."""
    found = set(starts)
    waiting = [*found]
    while waiting:
        for name in step(waiting.pop()):
            if name not in found and name not in avoid:
                found.add(name)
                waiting.append(name)
    return found
