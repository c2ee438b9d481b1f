"""`python -m benchmarks`: measure, print the table, keep it.

A full run takes long and wants a quiet machine; it writes docs/performance.md and its chart. With
--quick or --only nothing is written unless asked for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping

from benchmarks import far, graphs, machine, notify, report, runners, serving, shapes, single, walls
from benchmarks.bench import Bench, Row
from benchmarks.measure import FailedError

ROWS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "wide": graphs.wide_row,
    "layers": graphs.layers_row,
    "chain": graphs.chain_row,
    "skewed": graphs.skewed_row,
    "shield": graphs.shield_rows,
    "growth-wide": graphs.growth_wide_rows,
    "growth-skewed": graphs.growth_skewed_rows,
    "start": single.start_rows,
    "run-task": single.run_task_row,
    "output": single.output_row,
    "redact": single.redact_row,
    "chatty": single.chatty_row,
    "artifact": single.artifact_rows,
    "events": single.events_rows,
    "latency": single.latency_rows,
    "idle": single.idle_row,
    "agent": far.agent_rows,
    "dask": far.dask_rows,
    "far-log": far.log_rows,
    "notify": notify.notify_rows,
    "walls": walls.wall_rows,
    "serve-clients": serving.clients_rows,
    "serve-runs": serving.runs_rows,
    "serve-log": serving.log_rows,
    "serve-large": serving.large_rows,
}
_PROFILED = {
    "wide": shapes.wide(1000),
    "layers": shapes.layers(20, 50),
    "chain": shapes.chain(200),
    "skewed": shapes.skewed(1500, hub=1000),
    "large": shapes.wide(20_000),
}
_DOCUMENT = os.path.join(os.path.dirname(__file__), "..", "docs", "performance.md")
_CHART = "performance.svg"


def main(arguments: list[str] | None = None) -> int:
    """Exit 1 when a row misses what it must at least be, or a measured command failed."""
    options = _options(arguments)
    if options.profile:
        from benchmarks import stages  # noqa: PLC0415 - it brings zf itself into this process

        print(stages.profile(_PROFILED[options.profile]), end="")
        return 0
    # Memory where there is some: what a disk is busy with fools every comparison.
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    scratch = tempfile.mkdtemp(prefix="zf-benchmarks-", dir=options.folder or shared)
    rows: list[Row] = []
    try:
        there, missing = runners.installed(runners.compile_floor(scratch))
        for line in missing:
            print(line, file=sys.stderr)
        bench = Bench(scratch, there, options.rounds, quick=options.quick)
        for row in _measure(bench, options.only or list(ROWS)):
            rows.append(row)  # noqa: PERF402 - one by one: a row that fails costs no other
        about = machine.describe(there, scratch)
    except FailedError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch)
        print(f"{report.peers_table(rows)}\n{report.table(rows)}", end="")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(report.as_json(rows, about))
    if not (options.quick or options.only):
        _write_document(rows, about)
    return int(any(report.verdict(row) == "MISSED" for row in rows))


def _measure(bench: Bench, wanted: list[str]) -> Iterator[Row]:
    for name in wanted:
        print(f"{name} ... ", end="", file=sys.stderr, flush=True)
        start = time.monotonic()
        yield from ROWS[name](bench)
        print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


def _write_document(rows: list[Row], about: Mapping[str, str]) -> None:
    with open(_DOCUMENT, encoding="utf-8") as file:
        document = file.read()
    with open(os.path.join(os.path.dirname(_DOCUMENT), _CHART), "w", encoding="utf-8") as file:
        file.write(report.chart(rows))
    with open(_DOCUMENT, "w", encoding="utf-8") as file:
        file.write(report.between_markers(document, report.section(rows, about, _CHART)))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything smaller, to try it")
    parser.add_argument("--only", action="append", choices=ROWS, help="this row; may be repeated")
    parser.add_argument("--rounds", type=int, help="[default: 5, with --quick 1]")
    parser.add_argument("--json", metavar="FILE", help="write every sample to FILE")
    parser.add_argument("--folder", metavar="DIR", help="where to work [default: /dev/shm]")
    parser.add_argument(
        "--profile",
        choices=_PROFILED,
        help="instead: say where zf's own time goes on this graph",
    )
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    return options


if __name__ == "__main__":
    sys.exit(main())
