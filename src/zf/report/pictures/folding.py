"""Which boxes stand for the tasks of a run where they are too many to be drawn one by one. Pure.

Folded are tasks of one phase whose ids begin alike: of one level, if that leaves few enough boxes,
else of all, unless two such groups would need each other; else tasks of a few levels together. What
failed stands alone, and so does what leads to it and what it held up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from zf.events import FAILED
from zf.lean.records import Struct
from zf.report.facts import Facts

MOST_BOXES = 150
# Of what leads to a failure, the last needs; of what it held up, as many as leave room for others.
_MOST_BEFORE = 12
_MOST_KEPT = 120
# From so many on, tasks that need the same and are needed by the same stand in a block.
_LEAST_BLOCK = 4
# How many boxes a phase has from left to right where its tasks are folded by level alone.
_LEVELS = 6
_PARTS = re.compile(r"[A-Za-z]+|[0-9]+")


class Box(Struct, frozen=True):
    """A task; or several drawn as one under the name `label`; or, where that is empty, several
    of the same place in the graph, which stand side by side in one block.
    """

    tasks: tuple[str, ...]
    label: str
    phase: str


class Folded(Struct, frozen=True):
    """Boxes, so that each comes after all it needs, and the needs between them."""

    boxes: Sequence[Box]
    lines: Sequence[tuple[int, int]]
    # Needs that follow from others, which are no lines.
    implied: int

    @property
    def folds(self) -> int:
        """How many boxes stand for several tasks."""
        return sum(len(box.tasks) > 1 and bool(box.label) for box in self.boxes)


def fold(facts: Facts, most: int = MOST_BOXES) -> Folded:
    """The run's tasks as at most about `most` boxes, or one for each that has to stand alone."""
    needs = {
        name: [need for need in task.needs if need in facts.tasks]
        for name, task in facts.tasks.items()
    }
    rank = {phase: place for place, phase in enumerate(facts.phases)}
    level = _levels(facts.tasks, lambda name: ((need, 1) for need in needs[name]))
    if len(needs) <= most:
        groups: dict[object, list[str]] = {name: [name] for name in needs}
    else:
        alone = _kept(facts, needs)
        groups = _coarse_enough(facts, needs, level, alone, most)
    given, blocks = _with_blocks(groups.values(), facts, needs)
    given.sort(
        key=lambda names: (
            rank.get(facts.tasks[names[0]].phase, -1),
            min(level[name] for name in names),
        ),
    )
    order = _needs_first(given, needs)
    boxes = [_box(facts, names, block=names[0] in blocks) for names in order]
    lines = _lines(order, needs)
    kept = _without_implied(len(boxes), lines)
    return Folded(boxes, kept, len(lines) - len(kept))


def _lines(
    groups: Iterable[Sequence[str]], needs: Mapping[str, Sequence[str]]
) -> set[tuple[int, int]]:
    """Which groups need which, by their places."""
    of = {name: place for place, names in enumerate(groups) for name in names}
    return {(of[need], of[name]) for name in needs for need in needs[name] if of[need] < of[name]}


def _with_blocks(
    groups: Iterable[list[str]], facts: Facts, needs: Mapping[str, Sequence[str]]
) -> tuple[list[list[str]], set[str]]:
    """The groups, with single tasks that have the same place in the graph together; and the first
    task of each such block.
    """
    given = list(groups)
    of = {name: place for place, names in enumerate(given) for name in names}
    above: list[set[int]] = [set() for _ in given]
    below: list[set[int]] = [set() for _ in given]
    for name, needed in needs.items():
        for need in needed:
            above[of[name]].add(of[need])
            below[of[need]].add(of[name])
    alike: dict[object, list[str]] = {}
    for place, names in enumerate(given):
        if len(names) == 1:
            phase = facts.tasks[names[0]].phase
            key = (phase, frozenset(above[place]), frozenset(below[place]))
            alike.setdefault(key, []).append(names[0])
    blocks = [names for names in alike.values() if len(names) >= _LEAST_BLOCK]
    inside = {name for names in blocks for name in names}
    others = [names for names in given if names[0] not in inside]
    return [*others, *blocks], {names[0] for names in blocks}


def _levels(
    names: Iterable[str], needs: Callable[[str], Iterable[tuple[str, int]]]
) -> dict[str, int]:
    """The longest way to each name; names come after what they need."""
    level: dict[str, int] = {}
    for name in names:
        level[name] = max((level.get(need, 0) + more for need, more in needs(name)), default=0)
    return level


def _kept(facts: Facts, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """What is not folded, the causes before their victims."""
    kept = {name for name, task in facts.tasks.items() if task.status in FAILED}
    for name in sorted(kept):
        before = name
        for _ in range(_MOST_BEFORE):
            # The need that ended last is the one that the failure had waited for.
            ended = [(facts.tasks[need].completed_at, need) for need in needs[before]]
            if not ended or len(kept) >= _MOST_KEPT:
                break
            before = max(ended)[1]
            kept.add(before)
    held = sorted((held.depth, held.task) for cause in facts.causes for held in cause.held)
    for _, name in held:
        if len(kept) >= _MOST_KEPT:
            break
        kept.add(name)
    return kept


def _coarse_enough(
    facts: Facts,
    needs: Mapping[str, Sequence[str]],
    level: Mapping[str, int],
    kept: set[str],
    most: int,
) -> dict[object, list[str]]:
    """The finest groups that are few enough. No two of them need each other: what is kept raises
    the rank of all that comes after it, so none of it stands between tasks of one group.
    """
    after = _levels(
        facts.tasks,
        lambda name: ((need, int(name in kept or need in kept)) for need in needs[name]),
    )
    needless = not any(needs.values())
    for key in _keys(facts, level):
        groups: dict[object, list[str]] = {}
        for name, task in facts.tasks.items():
            at: object = name
            if name not in kept:
                at = (task.phase, after[name], *key(name))
            groups.setdefault(at, []).append(name)
        few = len(groups) <= most and not _in_circles(groups.values(), needs)
        # In one group by the beginning of their ids alone, tasks would not seem to need any.
        if few and (needless or _lines(groups.values(), needs)):
            return groups
    return groups


def _keys(facts: Facts, level: Mapping[str, int]) -> Iterator[Callable[[str], tuple[object, ...]]]:
    """What tasks of one group have in common, beside their phase: ever less."""

    def alike(name: str, parts: int) -> tuple[object, ...]:
        blocked = facts.tasks[name].word == "blocked"
        return level[name], blocked, *_PARTS.findall(name)[:parts]

    for parts in (3, 2, 1):
        yield partial(alike, parts=parts)
    for parts in (3, 2, 1):
        yield lambda name, parts=parts: tuple(_PARTS.findall(name)[:parts])  # type: ignore[misc]
    first: dict[str, int] = {}
    depth: dict[str, int] = {}
    for name, task in facts.tasks.items():
        first[task.phase] = min(first.get(task.phase, level[name]), level[name])
        depth[task.phase] = max(depth.get(task.phase, 0), level[name])

    def near(name: str) -> tuple[object, ...]:
        phase = facts.tasks[name].phase
        deep = depth[phase] + 1 - first[phase]
        return (_LEVELS * (level[name] - first[phase]) // max(deep, _LEVELS),)

    yield near
    yield lambda _: ()


def _in_circles(groups: Iterable[Sequence[str]], needs: Mapping[str, Sequence[str]]) -> bool:
    """Whether some groups need each other, directly or through others."""
    given = list(groups)
    return len(_in_order(given, needs)) < len(given)


def _needs_first(
    groups: Sequence[list[str]], needs: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """The groups so that each comes after those it needs; otherwise in the order given."""
    order = _in_order(groups, needs)
    # Of a foreign plan whose needs go round in a circle, the rest as it is.
    seen = set(order)
    order += [place for place in range(len(groups)) if place not in seen]
    return [groups[place] for place in order]


def _in_order(groups: Sequence[Sequence[str]], needs: Mapping[str, Sequence[str]]) -> list[int]:
    """The numbers of all groups that can come after what they need."""
    of = {name: place for place, names in enumerate(groups) for name in names}
    below: list[set[int]] = [set() for _ in groups]
    missing = [0] * len(groups)
    for name, needed in needs.items():
        other = of[name]
        for one in {of[need] for need in needed} - {other}:
            if other not in below[one]:
                below[one].add(other)
                missing[other] += 1
    order = [place for place, count in enumerate(missing) if not count]
    for place in order:  # grows while it is read
        for other in sorted(below[place]):
            missing[other] -= 1
            if not missing[other]:
                order.append(other)
    return order


def _box(facts: Facts, names: Sequence[str], *, block: bool) -> Box:
    phase = facts.tasks[names[0]].phase
    if len(names) == 1:
        return Box((names[0],), names[0], phase)
    if block:
        return Box(tuple(names), "", phase)
    begin = _beginning(names)
    return Box(
        tuple(names), f"{begin}… {len(names)} tasks" if begin else f"{len(names)} tasks", phase
    )


def _beginning(names: Sequence[str]) -> str:
    """What all these names begin with, up to the end of a word."""
    first, last = min(names), max(names)
    same = next(
        (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    while same and (first[same - 1].isalnum() and first[same : same + 1].isalnum()):
        if first[same - 1].isalpha() != first[same].isalpha():
            break
        same -= 1
    return first[:same]


def _without_implied(boxes: int, lines: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """The lines that no longer way replaces, with the boxes below each as bits."""
    below: dict[int, list[int]] = {}
    for one, other in lines:
        below.setdefault(one, []).append(other)
    reach = [0] * boxes
    kept: list[tuple[int, int]] = []
    for box in reversed(range(boxes)):
        # The nearest first: what they reach needs no line of its own.
        for other in sorted(below.get(box, ())):
            if not reach[box] >> other & 1:
                kept.append((box, other))
            reach[box] |= reach[other] | 1 << other
    return sorted(kept)
