"""What it costs a run to tell of its failure, where the receiver of the message never answers."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator

from benchmarks import measure
from benchmarks.bench import Bench, Row, median, walls
from benchmarks.measure import Measured
from benchmarks.runners import zf_program


def notify_rows(bench: Bench) -> Iterator[Row]:
    """The same run with a message and without, in turn."""
    tasks = bench.size(500, 50)
    runs = {"told": _told, "untold": _untold}
    taken: dict[str, list[Measured]] = {name: [] for name in runs}
    for turn in range(bench.rounds):
        for name in sorted(runs, reverse=bool(turn % 2)):
            with bench.folder() as folder:
                taken[name].append(runs[name](bench, tasks, folder))
    cpu = {name: [one.cpu_s for one in measured] for name, measured in taken.items()}
    wall = {name: walls(measured) for name, measured in taken.items()}
    for what, spent, must in (("CPU", cpu, 1.15), ("wall time", wall, None)):
        told, untold = median(spent["told"]), median(spent["untold"])
        yield Row(
            work=f"{what} of a failing run whose message is never answered",
            value=told / untold,
            unit="x",
            target=1.05,
            must=must,
            detail=f"{told:.2f} s / {untold:.2f} s for {tasks} tasks and no message",
            samples=spent,
        )


def _told(bench: Bench, tasks: int, folder: str) -> Measured:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/hook"
        measured = _run(bench, tasks, folder, f"notify: {{ops: {{type: webhook, url: '{url}'}}}}\n")
        mute.accept()[0].close()  # for it waits until here
    with open(os.path.join(folder, "proofs/.outbox/lock"), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until what sends has ended
    return measured


def _untold(bench: Bench, tasks: int, folder: str) -> Measured:
    return _run(bench, tasks, folder, "")


def _run(bench: Bench, tasks: int, folder: str, notify: str) -> Measured:
    steps = {f"t{number:05}": "true" for number in range(tasks - 1)} | {"bad": "exit 1"}
    with open(os.path.join(folder, "zf.yaml"), "w", encoding="utf-8") as file:
        file.write(f"{notify}tasks: {json.dumps(steps)}\n")
    return measure.run([*zf_program(), "run", "-j", str(bench.jobs)], folder, code=1)
