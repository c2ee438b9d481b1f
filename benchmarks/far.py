"""Rows about agents: what a task costs that runs elsewhere, and when its output is here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import measure
from benchmarks.bench import Bench, Row, median
from benchmarks.measure import FailedError, Measured
from benchmarks.runners import zf_program

_LOCAL, _PIPE, _DASK = "local", "pipe", "dask"
_PLACES = {_LOCAL: (), _PIPE: ("--executor", "far"), _DASK: ("--executor", "dask://local")}


def agent_rows(bench: Bench) -> Iterator[Row]:
    """Over a pipe to `zf agent`, one after the other, beside the pool of this machine."""
    count = bench.size(500, 20)
    taken = _taken(bench, (_LOCAL, _PIPE), count, slots=1)
    yield _more(taken, count, _PIPE, "wall_s", "over a pipe to `zf agent`", must=3)
    yield _more(taken, count, _PIPE, "cpu_s", "over a pipe to `zf agent`, CPU", must=None)


def dask_rows(bench: Bench) -> Iterator[Row]:
    """By Dask workers of this machine, one after the other and four at once."""
    if importlib.util.find_spec("distributed") is None:
        print("dask: left out, `distributed` is not installed", file=sys.stderr)
        return
    count = bench.size(200, 10)
    taken = _taken(bench, (_LOCAL, _DASK), count, slots=1)
    yield _more(taken, count, _DASK, "wall_s", "by Dask, one after the other", must=15)
    count = bench.size(1000, 20)
    taken = _taken(bench, (_LOCAL, _DASK), count, slots=4)
    yield _more(taken, count, _DASK, "wall_s", "by Dask, -j4", must=3)
    yield _more(taken, count, _DASK, "cpu_s", "by Dask, -j4, CPU of all", must=None)


def _taken(
    bench: Bench, places: tuple[str, ...], count: int, *, slots: int
) -> dict[tuple[str, int], list[Measured]]:
    """Runs of `count` tasks and of one, in turns."""
    taken: dict[tuple[str, int], list[Measured]] = {}
    for _ in range(bench.rounds):
        for place in places:
            for tasks in (1, count):
                taken.setdefault((place, tasks), []).append(_run(bench, place, tasks, slots))
    return taken


def _run(bench: Bench, place: str, count: int, slots: int) -> Measured:
    with bench.folder() as folder:
        tasks = "".join(
            f"  t{n:05}: {{phase: A, parallel_safe: true, run: 'true'}}\n" for n in range(count)
        )
        _write_project(folder, tasks, slots)
        words = ("run-phase", "A", f"-j{slots}", "--run-id", "run", "--shield", "never")
        measured = measure.run(
            [*zf_program(), *words, *_PLACES[place]], folder, _environment(folder)
        )
        with open(f"{folder}/proofs/run/events.jsonl", "rb") as journal:
            ended = journal.read().count(b'"type":"attempt_ended"')
        if ended != count:
            raise FailedError(f"{place}: {ended} of {count} tasks ended")
        return measured


def _write_project(folder: str, tasks: str, slots: int) -> None:
    start = ", ".join([*zf_program(), "agent"])
    text = f"executors:\n  far: {{start: [{start}], slots: {slots}}}\ntasks:\n{tasks}"
    with open(f"{folder}/zf.yaml", "w", encoding="utf-8") as file:
        file.write(text)


def _environment(folder: str) -> dict[str, str]:
    # Beside what is measured, and gone with it.
    return measure.environment(XDG_CACHE_HOME=f"{folder}/.cache")


def _more(
    taken: dict[tuple[str, int], list[Measured]],
    count: int,
    place: str,
    what: str,
    work: str,
    *,
    must: float | None,
) -> Row:
    """What a task takes more there than here, in milliseconds, start-up taken off."""
    each = {}
    for where in (_LOCAL, place):
        one, all_ = (
            median(getattr(run, what) for run in taken[where, size]) for size in (1, count)
        )
        each[where] = 1000 * (all_ - one) / (count - 1)
    return Row(
        work=f"a task {work}: more than by the pool",
        value=each[place] - each[_LOCAL],
        unit="ms",
        target=must,
        must=must,
        detail=f"{each[place]:.2f} ms / {each[_LOCAL]:.2f} ms a task, {count} tasks",
        samples={
            f"{where} {size}": [getattr(run, what) for run in runs]
            for (where, size), runs in taken.items()
        },
    )


# Says when each of its lines is printed.
_STAMPS = "import time\nfor _ in range({}): print(time.time(), flush=True); time.sleep(0.011)"


def log_rows(bench: Bench) -> Iterator[Row]:
    """From a line that a step prints elsewhere until it is in the log here."""
    count, late_ms = bench.size(500, 30), list[float]()
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            step = f"'{sys.executable} stamps.py'"
            _write_project(folder, f"  t: {{phase: A, executor: far, run: {step}}}\n", 1)
            with open(f"{folder}/stamps.py", "w", encoding="ascii") as file:
                file.write(_STAMPS.format(count))
            late_ms += _late(folder, count)
    late_ms.sort()
    yield Row(
        work="a line printed elsewhere: until it is in the log here, p99",
        value=late_ms[len(late_ms) * 99 // 100],
        unit="ms",
        target=100,
        must=100,
        detail=f"{len(late_ms)} lines, p50 {median(late_ms):.0f} ms, worst {late_ms[-1]:.0f} ms",
        samples={"late_ms": late_ms},
    )


def _late(folder: str, count: int) -> list[float]:
    """How many milliseconds each line was on its way; the log is looked at every millisecond."""
    log, late_ms, rest = f"{folder}/proofs/run/t/20-logs/step-0.log", list[float](), b""
    words = [*zf_program(), "run-phase", "A", "--run-id", "run", "--shield", "never"]
    with subprocess.Popen(
        words,
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not os.path.exists(log) and process.poll() is None:
            time.sleep(0.001)
        with open(log, "rb", buffering=0) as stream:
            while len(late_ms) < count and process.poll() is None:
                *lines, rest = (rest + (stream.read() or b"")).split(b"\n")
                now = time.time()
                late_ms += [1000 * (now - float(line)) for line in lines]
                time.sleep(0.001)
    if len(late_ms) < count * 0.9:
        raise FailedError(f"{len(late_ms)} of {count} lines were seen while they came")
    return late_ms
