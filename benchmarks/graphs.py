"""Rows about whole graphs: how much slower than the floor, and does it stay so when they grow?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from benchmarks import measure
from benchmarks.bench import Bench, Row, floor_and_zf, median, race, walls
from benchmarks.measure import Measured
from benchmarks.runners import FLOOR, GO_TASK, RUN_ID, ZF, ZF_SHIELDED, Runner, zf_program
from benchmarks.shapes import Shape, chain, layers, skewed, wide

_MB = 1_000_000


def wide_row(bench: Bench) -> Iterator[Row]:
    return _against_floor(bench, wide(bench.size(1000, 100)), 1.3)


def layers_row(bench: Bench) -> Iterator[Row]:
    return _against_floor(bench, layers(20, bench.size(50, 5)), 1.3)


def chain_row(bench: Bench) -> Iterator[Row]:
    return _against_floor(bench, chain(bench.size(200, 50)), 1.4)


def skewed_row(bench: Bench) -> Iterator[Row]:
    # The shape of real projects; the targets are those of the regular shapes.
    return _against_floor(bench, skewed(bench.size(1500, 150), hub=bench.size(1000, 100)), 1.3)


def _against_floor(bench: Bench, shape: Shape, target: float) -> Iterator[Row]:
    """Wall time as a multiple of the floor's; go-task, which proves nothing, must be slower."""
    taken = race(bench, shape, bench.runners)
    peers = {name: median(walls(runs)) for name, runs in taken.items()}
    floor, go_task = peers.get(FLOOR), peers.get(GO_TASK)
    if floor is None:
        return
    yield Row(
        work=f"{shape.name}: wall / C floor with proof",
        value=peers[ZF] / floor,
        unit="x",
        target=target,
        must=go_task / floor if go_task else None,
        limit="go-task",
        detail=f"{_s(peers[ZF])} / {_s(floor)}",
        samples={name: walls(runs) for name, runs in taken.items()},
        peers=peers,
    )


def shield_rows(bench: Bench) -> Iterator[Row]:
    """What keeping steps away from the proof costs each of them, in CPU time of all processes.
    Start-up, and with it the making of the namespace, is measured on a single task and taken off.
    """
    runners = bench.pick(ZF, ZF_SHIELDED)
    if len(runners) < 2:
        return
    alone = _cpu(race(bench, wide(1), runners))
    for shape in (wide(bench.size(1000, 100)), chain(bench.size(200, 50))):
        spent = {
            name: [(one - median(alone[name])) / (len(shape) - 1) for one in runs]
            for name, runs in _cpu(race(bench, shape, runners)).items()
        }
        # Round by round: what else the machine does is in both.
        more = [y - x for x, y in zip(spent[ZF], spent[ZF_SHIELDED], strict=True)]
        yield Row(
            work=f"{shape.name}: CPU that the shield adds to a step",
            value=median(more) * 1e6,
            unit="us",
            target=300,
            must=None,
            detail=f"{_us(median(spent[ZF_SHIELDED]))} / {_us(median(spent[ZF]))} a task",
            samples=spent,
        )


def _cpu(taken: dict[str, list[Measured]]) -> dict[str, list[float]]:
    return {name: [measured.cpu_s for measured in runs] for name, runs in taken.items()}


_OFTEN = 5000


def growth_wide_rows(bench: Bench) -> Iterator[Row]:
    return _growth(bench, "wide", [wide(bench.size(n, n // 20)) for n in (1000, 5000, 20_000)])


def growth_skewed_rows(bench: Bench) -> Iterator[Row]:
    shapes = [
        skewed(bench.size(n, n // 20), hub=bench.size(min(1000, n // 2), 40))
        for n in (1000, 5000, 20_000)
    ]
    return _growth(bench, "skewed", shapes)


def _growth(bench: Bench, name: str, shapes: list[Shape]) -> Iterator[Row]:
    """What a task costs in a large graph as a multiple of what it costs in a small one.

    Start-up, measured on a single task, is taken off first: shared by more tasks, it would hide
    the growth that is looked for.
    """
    runs: dict[int, list[float]] = defaultdict(list)
    peaks: dict[int, list[float]] = defaultdict(list)
    checks: dict[tuple[str, int], list[float]] = defaultdict(list)
    floors: dict[int, list[float]] = defaultdict(list)
    one = wide(1)

    for _ in range(bench.rounds):
        once = Bench(bench.scratch, bench.runners, rounds=1, jobs=bench.jobs, quick=bench.quick)
        for shape in (one, *shapes):

            def after(runner: Runner, folder: str, size: int = len(shape)) -> None:
                if runner.name != ZF:
                    return
                for verb in (["validate"], ["verify", RUN_ID]):
                    # Of a small graph nearly all is start-up, which is taken off: what is left
                    # would be noise if it were measured as seldom as that of a large one.
                    for _ in range(max(1, min(5, _OFTEN // size))):
                        took = measure.run([*zf_program(), *verb], folder)
                        checks[verb[0], size].append(took.wall_s)

            taken = race(once, shape, floor_and_zf(bench), after)
            runs[len(shape)] += walls(taken[ZF])
            peaks[len(shape)] += [measured.peak_bytes / _MB for measured in taken[ZF]]
            floors[len(shape)] += walls(taken.get(FLOOR, []))

    small = len(shapes[0])
    for shape in shapes[1:]:
        large = len(shape)
        yield Row(
            work=f"{name}, {large} tasks: cost per task / cost per task at {small}",
            value=_per_task(runs, large) / _per_task(runs, small),
            unit="x",
            target=1.05,
            must=1.2,
            detail=f"{_us(_per_task(runs, large))} / {_us(_per_task(runs, small))} a task"
            + (f"; the floor: {_floor_growth(floors, large, small)}" if floors[large] else ""),
            samples={str(size): values for size, values in runs.items()},
        )
    for verb in ("validate", "verify"):
        by_size = {size: values for (which, size), values in checks.items() if which == verb}
        large = len(shapes[-1])
        yield Row(
            work=f"`zf {verb}`, {name}, {large} tasks: cost per task / at {small}",
            value=_per_task(by_size, large) / _per_task(by_size, small),
            unit="x",
            target=1.05,
            must=1.2,
            detail=f"{_us(_per_task(by_size, large))} / {_us(_per_task(by_size, small))} a task",
            samples={str(size): values for size, values in by_size.items()},
        )
    for shape, target, must in zip(shapes[1:], (60, 150), (100, 300), strict=True):
        yield Row(
            work=f"{name}, {len(shape)} tasks: peak memory of the runner",
            value=median(peaks[len(shape)]),
            unit="MB",
            target=target,
            must=must,
            detail=f"one task: {median(peaks[1]):.0f} MB",
            samples={str(size): values for size, values in peaks.items()},
        )


def _per_task(walls_by_size: dict[int, list[float]], size: int) -> float:
    return (median(walls_by_size[size]) - median(walls_by_size[1])) / size


def _floor_growth(floors: dict[int, list[float]], large: int, small: int) -> str:
    return f"{_per_task(floors, large) / _per_task(floors, small):.2f} x"


def _s(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us"
