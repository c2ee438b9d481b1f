"""Graphs of tasks with how long each takes, drawn at random: some of the shape of well-known
scientific workflows, some of no shape, all with few tasks that take most of the time.

With them two independent ways to run one: as make does, and a plain list schedule with slots.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tests.support.simulated import plan_of, task
from zf.plan.graph import Plan

Ranks = Mapping[str, float]


@dataclass(slots=True)
class Trace:
    """`needs` is in the order of the file it would be written in, needs first."""

    shape: str
    chance: random.Random
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, mean_s: float, *needs: str, spread: float = 0.4) -> str:
        """One more task, which takes about so long: log-normal, as measured ones mostly are."""
        return self.took(kind, mean_s * self.chance.lognormvariate(0, spread), *needs)

    def heavy(self, *needs: str, tail: float = 1.3) -> str:
        """One more task, of a heavy tail: one of many takes as long as all others together."""
        return self.took("task", min(500.0, self.chance.paretovariate(tail)), *needs)

    def took(self, kind: str, took_s: float, *needs: str) -> str:
        name = f"{kind}_{len(self.needs):05d}"
        self.needs[name] = needs
        self.took_s[name] = max(0.01, took_s)
        return name

    def plan(self) -> Plan:
        tasks = (task(name, needs) for name, needs in self.needs.items())
        return plan_of(*tasks, phase_timeout_s=1e9)

    def dependents(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.needs}
        for name, needs in self.needs.items():
            for need in needs:
                found[need].append(name)
        return found

    def ways(self) -> dict[str, float]:
        """For each task the time from its start to the end, along the longest way."""
        found: dict[str, float] = {}
        dependents = self.dependents()
        for name in reversed(self.needs):
            behind = (found[other] for other in dependents[name])
            found[name] = self.took_s[name] + max(behind, default=0.0)
        return found

    def least_s(self, slots: int) -> float:
        """What no order can beat: the longest way, and the work spread over the slots."""
        return max(*self.ways().values(), sum(self.took_s.values()) / slots)

    def list_schedule_s(self, slots: int, ranks: Ranks) -> float:
        """How long it takes if a free slot takes the ready task of the lowest rank."""
        dependents = self.dependents()
        missing = {name: len(set(needs)) for name, needs in self.needs.items()}
        ready = [(ranks[name], name) for name, count in missing.items() if not count]
        ready.sort()
        running: list[tuple[float, str]] = []
        now = 0.0
        while ready or running:
            while ready and len(running) < slots:
                name = heappop(ready)[1]
                heappush(running, (now + self.took_s[name], name))
            now, name = heappop(running)
            for other in set(dependents[name]):
                missing[other] -= 1
                if not missing[other]:
                    heappush(ready, (ranks[other], other))
        return now

    def make_s(self, slots: int) -> float:
        """How long `make -jN` takes for the better of two files: one whose first goal is all tasks
        in order, and one whose goals are those that nothing needs. It looks from there for what it
        can start, depth first.
        """
        in_file = {name: float(rank) for rank, name in enumerate(self.needs)}
        return min(self.list_schedule_s(slots, r) for r in (in_file, self._depth_first()))

    def _depth_first(self) -> dict[str, float]:
        ranks: dict[str, float] = {}
        dependents = self.dependents()
        to_do = [name for name in reversed(self.needs) if not dependents[name]]
        seen: set[str] = set()
        while to_do:
            name = to_do[-1]
            if name in seen:
                to_do.pop()
                ranks.setdefault(name, len(ranks))
            else:
                seen.add(name)
                to_do += [need for need in reversed(self.needs[name]) if need not in seen]
        return ranks

    def searched_s(self, slots: int, tries: int, enough_s: float) -> float:
        """The shortest of so many list schedules by ways that chance has stretched; no further once
        one is short enough.
        """
        ways, chance = self.ways(), random.Random(0)
        best_s = self.list_schedule_s(slots, {name: -way for name, way in ways.items()})
        for _ in range(tries):
            if best_s <= enough_s:
                break
            reach = chance.choice((0.02, 0.1, 0.3, 0.6, 1))
            ranks = {n: -way * chance.uniform(1 - reach, 1 + reach) for n, way in ways.items()}
            best_s = min(best_s, self.list_schedule_s(slots, ranks))
        return best_s


# Workflows as their traces show them: what depends on what, and about how long each kind takes.


def montage(trace: Trace, size: int) -> None:
    """A mosaic of the sky in three colours: images are projected, their overlaps fitted."""
    images = max(4, size // 15)
    width = max(2, round(images**0.5))
    mosaics = []
    for _ in range(3):
        projected = [trace.add("project", 18) for _ in range(images)]
        overlaps = [
            trace.add("fit", 1, projected[one], projected[other], spread=0.3)
            for one in range(images)
            for other in (one + 1, one + width, one + width + 1)
            if other < images
        ]
        model = trace.add("model", images * 1.5, trace.add("concat", images * 0.8, *overlaps))
        corrected = [trace.add("background", 1.5, model, one) for one in projected]
        table = trace.add("table", 2, *corrected)
        mosaics.append(trace.add("add", images * 0.7, table, *corrected))
    trace.add("view", 20, *mosaics)


def epigenomics(trace: Trace, size: int) -> None:
    """Reads of a genome are split, filtered and mapped in four steps each, and merged again."""
    merged = []
    for _ in range(3):
        split = trace.add("split", 30)
        mapped = []
        for _ in range(max(2, round(size / 13 * trace.chance.uniform(0.5, 1.5)))):
            sanger = trace.add("sanger", 1, trace.add("filter", 3, split, spread=0.8), spread=0.5)
            packed = trace.add("pack", 1.2, sanger, spread=0.5)
            mapped.append(trace.add("map", 120, packed, spread=1))
        merged.append(trace.add("merge", 10, *mapped))
    trace.add("pileup", 40, trace.add("index", 40, trace.add("merge", 20, *merged)))


def genome(trace: Trace, size: int) -> None:
    """Chromosomes of people of seven populations (the 1000 Genomes project)."""
    for _ in range(max(1, size // 26)):
        people = [trace.add("individuals", 60, spread=0.5) for _ in range(10)]
        merged = trace.add("individuals_merge", 80, *people, spread=0.5)
        sifted = trace.add("sifting", 10, spread=0.6)
        for _ in range(7):
            trace.add("mutation_overlap", 40, merged, sifted, spread=0.7)
            trace.add("frequency", 100, merged, sifted, spread=0.6)


def seismology(trace: Trace, size: int) -> None:
    """Many stations, each on its own, and one look at all of them."""
    stations = [trace.add("deconvolve", 5, spread=1.2) for _ in range(size - 1)]
    trace.add("sift", 3, *stations)


def soykb(trace: Trace, size: int) -> None:
    """Samples go through a chain and twenty callers each; a merge of twenty takes long."""
    merged = []
    for _ in range(max(2, size // 28)):
        step = trace.add("align", 30)
        for kind in ("sort", "dedup", "replace", "realign_target", "realign"):
            step = trace.add(kind, 10, step)
        callers = [trace.add("haplotype", 20, step, spread=0.8) for _ in range(20)]
        merged.append(trace.add("merge", 250, *callers))
    together = trace.add("combine", 60, *merged)
    for kind in ("select_indel", "select_snp"):
        trace.add("filter", 5, trace.add(kind, 10, together))


# Graphs of no particular shape, with heavy tails.


def layered(trace: Trace, size: int) -> None:
    width = max(4, round(size**0.5 * trace.chance.uniform(0.5, 2)))
    layers: list[list[str]] = []
    while len(trace.needs) < size:
        before = layers[-1] if layers else []
        count = min(size - len(trace.needs), trace.chance.randint(1, 2 * width))
        layers.append([trace.heavy(*_some(trace, before, 3)) for _ in range(count)])


def scattered(trace: Trace, size: int) -> None:
    names: list[str] = []
    for _ in range(size):
        tail = trace.chance.choice((1.1, 1.5, 2.5))
        names.append(trace.heavy(*_some(trace, names[-60:], 3), tail=tail))


def wide(trace: Trace, size: int) -> None:
    for _ in range(size):
        trace.heavy(tail=1.2)


def chains(trace: Trace, size: int) -> None:
    while len(trace.needs) < size:
        step = trace.heavy()
        for _ in range(min(size - len(trace.needs), trace.chance.randint(0, 50))):
            step = trace.heavy(step)


def stages(trace: Trace, size: int) -> None:
    gate: tuple[str, ...] = ()
    while len(trace.needs) < size:
        stage = [trace.heavy(*gate, tail=1.4) for _ in range(trace.chance.randint(3, 60))]
        gate = (trace.heavy(*stage),)


def _some(trace: Trace, names: list[str], most: int) -> list[str]:
    count = min(len(names), trace.chance.randint(0, most))
    return sorted(trace.chance.sample(names, count))


WORKFLOWS: tuple[Callable[[Trace, int], None], ...] = (
    montage,
    epigenomics,
    genome,
    seismology,
    soykb,
)
OTHERS: tuple[Callable[[Trace, int], None], ...] = (layered, scattered, wide, chains, stages)


def draw(shape: Callable[[Trace, int], None], seed: int, size: int | None = None) -> Trace:
    """One trace of about so many tasks, or of 100 to 1 000."""
    chance = random.Random(f"{shape.__name__}/{seed}")
    trace = Trace(shape.__name__, chance)
    shape(trace, size or chance.choice((100, 150, 200, 300, 500, 1000)))
    return trace


def drawn_of(shapes: tuple[Callable[[Trace, int], None], ...], seeds: range) -> Iterator[Trace]:
    for seed in seeds:
        for shape in shapes:
            yield draw(shape, seed)
