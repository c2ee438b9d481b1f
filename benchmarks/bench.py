"""What every row shares: where it works, how often it repeats, and the form of its answer."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from benchmarks import measure
from benchmarks.measure import FailedError, Measured
from benchmarks.runners import FLOOR, ZF, Runner
from benchmarks.shapes import Shape, violation

_numbers = count()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a number, what it should be, and what it must at least be.

    `limit` says in words where `must` comes from when it is not a fixed number. `samples` are the
    single measurements, for the JSON file; `peers` are medians of wall seconds by runner.
    """

    work: str
    value: float
    unit: Literal["x", "MB", "ms", "us", "%"]
    target: float | None
    must: float | None
    detail: str
    limit: str = ""
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    peers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure. `quick` makes everything smaller: to try the harness, not to quote."""

    scratch: str
    runners: Sequence[Runner]
    rounds: int = 5
    jobs: int = 2
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def pick(self, *names: str) -> list[Runner]:
        """The runners of these names, as far as they are installed."""
        return [runner for runner in self.runners if runner.name in names]

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A fresh folder: what an earlier one left behind, in caches or on disk, must not tell."""
        path = os.path.join(self.scratch, f"{next(_numbers):05}")
        os.mkdir(path)
        try:
            yield path
        finally:
            shutil.rmtree(path)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def race(
    bench: Bench,
    shape: Shape,
    runners: Sequence[Runner],
    after: Callable[[Runner, str], None] | None = None,
) -> dict[str, list[Measured]]:
    """Every runner once per round, each round beginning with another one; every run is checked.

    A runner that proves nothing may be unable to run the graph; then it is left out, aloud.
    `after` is called with each finished run's folder before that is removed.
    """
    taken: dict[str, list[Measured]] = {runner.name: [] for runner in runners}
    for turn in range(bench.rounds):
        first = turn % len(runners)
        for runner in [*runners[first:], *runners[:first]]:
            if runner.name not in taken:
                continue
            with bench.folder() as folder:
                try:
                    taken[runner.name].append(_run(bench, shape, runner, folder))
                except FailedError as error:
                    if runner.proves:
                        raise
                    print(f"\n{runner.name} is left out of {shape.name}: {error}", file=sys.stderr)
                    del taken[runner.name]
                    continue
                if after is not None:
                    after(runner, folder)
    return taken


def _run(bench: Bench, shape: Shape, runner: Runner, folder: str) -> Measured:
    runner.write(shape, folder)
    measured = measure.run(runner.run_command(bench.jobs), folder)
    with open(os.path.join(folder, "order"), encoding="ascii") as order:
        wrong = violation(shape, order.read().split())
    if wrong:
        raise FailedError(f"{runner.name} did not run {shape.name} rightly: {wrong}")
    return measured


def walls(taken: Iterable[Measured]) -> list[float]:
    return [measured.wall_s for measured in taken]


def floor_and_zf(bench: Bench) -> list[Runner]:
    """The two that keep a proof."""
    return bench.pick(FLOOR, ZF)
