"""Graphs to run: pure values, the same for every runner, and the check that one was run rightly."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """A graph of tasks that do nothing but say their id; each stands after everything it needs."""

    name: str
    needs: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.needs)


def script(task: str) -> str:
    """What a task runs, in any runner: one bash builtin, and a line that proves it ran."""
    return f"echo {task} >> order"


def wide(count: int) -> Shape:
    """Tasks that have nothing to do with each other."""
    return Shape(f"wide-{count}", {_id(n): () for n in range(count)})


def layers(depth: int, width: int) -> Shape:
    """Layers of equal width; a task needs two neighbours of the layer before it."""
    needs: dict[str, tuple[str, ...]] = {}
    for layer in range(depth):
        for place in range(width):
            above = (layer - 1) * width
            two = {above + place, above + (place + 1) % width} if layer else set()
            needs[_id(layer * width + place)] = tuple(_id(n) for n in sorted(two))
    return Shape(f"layers-{depth}x{width}", needs)


def chain(count: int) -> Shape:
    """Each task needs the one before it."""
    return Shape(f"chain-{count}", {_id(n): (_id(n - 1),) if n else () for n in range(count)})


def skewed(count: int, *, hub: int, seed: int = 1) -> Shape:
    """As found in projects: a few tasks are needed by very many, most by hardly any.

    The first task is needed by the next `hub`; the others need up to three earlier ones, and what
    is needed already is needed again more likely.
    """
    rng = random.Random(seed)
    needs: dict[str, tuple[str, ...]] = {_id(0): ()}
    wanted = [0]
    for n in range(1, count):
        chosen = {rng.choice(wanted) for _ in range(rng.randrange(4))} - {0}
        if n <= hub:
            chosen.add(0)
        wanted += [n, *chosen]
        needs[_id(n)] = tuple(_id(m) for m in sorted(chosen))
    return Shape(f"skewed-{count}", needs)


def violation(shape: Shape, order: Sequence[str]) -> str | None:
    """What is wrong with the order the tasks ran in; None when each ran once, after its needs."""
    place = {task: n for n, task in enumerate(order)}
    if len(place) != len(order):
        return f"{len(order) - len(place)} tasks ran more than once"
    if place.keys() != shape.needs.keys():
        return f"{len(place.keys() & shape.needs.keys())} of {len(shape)} tasks ran"
    for task, needs in shape.needs.items():
        for need in needs:
            if place[need] > place[task]:
                return f"{task} ran before {need}, which it needs"
    return None


def _id(number: int) -> str:
    return f"t{number:05}"
