"""Rows about one thing at a time: start-up, one task, a lot of output, a big artifact, waiting."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.bench import Bench, Row, median, walls
from benchmarks.measure import Measured
from benchmarks.runners import ZF, Runner, zf_program
from benchmarks.shapes import chain, wide

if TYPE_CHECKING:
    import psutil

_MIB = 1024 * 1024
_MB = 1_000_000


def start_rows(bench: Bench) -> Iterator[Row]:
    """The verbs that editors and shells call, beside an interpreter that does nothing."""
    commands = {
        "nothing": [sys.executable, "-I", "-c", "pass"],
        "--version": [*zf_program(), "--version"],
        "--help": [*zf_program(), "--help"],
    }
    with bench.folder() as folder:
        taken = _interleaved(bench, commands, folder, times=4)
    for flag in ("--version", "--help"):
        yield _ratio(
            f"`zf {flag}` / `python -I -c pass`", taken, (flag, "nothing"), target=5, must=8
        )


def run_task_row(bench: Bench) -> Iterator[Row]:
    """One task from typing to sealed proof, beside what importing the dependencies costs alone."""
    with bench.folder() as folder:
        _zf_runner(bench).write(wide(1), folder)
        commands = {
            "imports": [sys.executable, "-c", "import typer, pydantic, yaml"],
            "run-task": [*zf_program(), "run-task", "t00000"],
        }
        taken = _interleaved(bench, commands, folder, times=2)
    work = "`zf run-task`, a no-op / `python -c 'import typer, pydantic, yaml'`"
    yield _ratio(work, taken, ("run-task", "imports"), target=1.3, must=2)


def output_row(bench: Bench) -> Iterator[Row]:
    """A step that only writes: what keeping its output costs, in CPU, all processes together."""
    return _output(bench, secrets=0, target=1.2, must=1.6)


def redact_row(bench: Bench) -> Iterator[Row]:
    """The same while looking for secrets, beside the same floor, which looks for none."""
    return _output(bench, secrets=20, target=2, must=3)


# The floor of `output`: as cheap as Python does it, large pipe and large reads included.
_PUMP = """
import fcntl, hashlib, os, subprocess
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
step = subprocess.Popen(["bash", "--norc", "-c", open("script").read()], stdout=subprocess.PIPE)
pipe = step.stdout.fileno()
if hasattr(fcntl, "F_SETPIPE_SZ"):
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
sha256, view = hashlib.sha256(), memoryview(bytearray(1 << 20))
while count := os.readv(pipe, [view]):
    sha256.update(view[:count])
    os.write(log, view[:count])
step.wait()
"""


def _output(bench: Bench, *, secrets: int, target: float, must: float) -> Iterator[Row]:
    block, blocks = bench.size(64, 8) * _MIB, 16
    rng = random.Random(2)
    values = {f"ZF_BENCH_{n:02}": rng.randbytes(15).hex() for n in range(secrets)}
    taken: dict[str, list[Measured]] = {"floor": [], "zf": []}
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            _write_log(folder, "block", block, rng, list(values.values()))
            script = f"cat{' block' * blocks}"
            _write(folder, "script", script.encode())
            _write_task(folder, script)
            if secrets:
                _write(folder, "zf.yaml", f"secrets: [{', '.join(values)}]\n".encode())
            taken["floor"].append(measure.run([sys.executable, "-I", "-c", _PUMP], folder))
            os.unlink(os.path.join(folder, "log"))
            env = measure.environment(**values)
            command = [*zf_program(), "run-phase", "A", "--run-id", "run"]
            taken["zf"].append(measure.run(command, folder, env))
    cpu = {name: [one.cpu_s for one in runs] for name, runs in taken.items()}
    peak_mb = median(one.peak_bytes for one in taken["zf"]) / _MB
    redacting = f", {secrets} secrets to redact" if secrets else ""
    yield Row(
        work=f"{_size(block * blocks)} of output{redacting}: CPU / pipe + write + sha256 in Python",
        value=median(cpu["zf"]) / median(cpu["floor"]),
        unit="x",
        target=target,
        must=must,
        detail=f"{_seconds(cpu['zf'])} / {_seconds(cpu['floor'])}; at most {peak_mb:.0f} MB",
        samples=cpu,
    )


# Prints as a test runner does: a dot for each of 3 000 tests of a tenth of a millisecond.
_DOTS = """
for _ in range(3_000):
    sum(range(5_000))
    print(".", end="", flush=True)
"""


def chatty_row(bench: Bench) -> Iterator[Row]:
    """A step that prints a little again and again: what being read costs it, in wall time."""
    taken: dict[str, list[float]] = {"file": [], "zf": []}
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            _write(folder, "dots.py", _DOTS.encode())
            _write_task(folder, f"{sys.executable} -I dots.py")
            alone = f"{sys.executable} -I dots.py > log"
            taken["file"].append(measure.run(["bash", "--norc", "-c", alone], folder).wall_s)
            measure.run([*zf_program(), "run-phase", "A", "--run-id", "run"], folder)
            with open(f"{folder}/proofs/run/a/10-commands/step-0.json", "rb") as file:
                taken["zf"].append(json.load(file)["duration_s"])
    yield Row(
        work="3 000 dots, one at a time: a step / the same into a file",
        value=median(taken["zf"]) / median(taken["file"]),
        unit="x",
        target=1.02,
        must=1.1,
        detail=f"{_seconds(taken['zf'])} / {_seconds(taken['file'])}",
        samples=taken,
    )


def artifact_rows(bench: Bench) -> Iterator[Row]:
    """A large artifact: into the proof and sealed, then verified, beside hashing it once."""
    size = bench.size(2048, 128) * _MIB
    hashing = (
        "import hashlib; sha256, view = hashlib.sha256(), memoryview(bytearray(1 << 20))\n"
        "with open('proofs/run/a/30-artifacts/big', 'rb', buffering=0) as file:\n"
        "    while count := file.readinto(view): sha256.update(view[:count])"
    )
    taken: dict[str, list[float]] = {"hash": [], "seal": [], "verify": []}
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            _write_task(folder, f'head -c {size} /dev/zero > "$ARTIFACTS_DIR/big"')
            command = [*zf_program(), "run-phase", "A", "--run-id", "run"]
            run = measure.run(command, folder)
            with open(f"{folder}/proofs/run/a/10-commands/step-0.json", "rb") as file:
                step_s = json.load(file)["duration_s"]
            taken["seal"].append(run.wall_s - step_s)
            taken["hash"].append(measure.run([sys.executable, "-I", "-c", hashing], folder).wall_s)
            taken["verify"].append(measure.run([*zf_program(), "verify", "run"], folder).wall_s)
    for which, work in (("seal", "a run less its step"), ("verify", "`zf verify`")):
        yield Row(
            work=f"{_size(size)} artifact: {work} / hashlib, 1 MiB reads",
            value=median(taken[which]) / median(taken["hash"]),
            unit="x",
            target=1.1,
            must=1.3,
            detail=f"{_seconds(taken[which])} / {_seconds(taken['hash'])}, start-up included",
            samples=taken,
        )


# What a run does with each of so many events: encode, chain, write; and what verifying does. In CPU
# time, for neither waits for anything.
_EVENTS = """
import os, sys, time
from zf.events import AttemptStarted, RunStarted
from zf.proof.journal import Chain, Journal, raw_lines
count, wall = int(sys.argv[1]), "2026-11-21T06:30:44.123456Z"
journal = Journal.create("events.jsonl")
journal.append(RunStarted("r", ("A",), 1, "0" * 64, "0" * 32, None, None, None, "0" * 64), wall, 0)
began = time.process_time()
for number in range(count):
    journal.append(AttemptStarted(f"t{number:05}", 1, 0), wall, number / 1000)
    if number % 10 == 0:
        journal.flush()
journal.commit()
written = time.process_time()
chain = Chain()
with open("events.jsonl", "rb") as stream:
    for raw in raw_lines(stream):
        chain.accept(raw.removesuffix(b"\\n"))
assert chain.head == journal.head
print(written - began, time.process_time() - written)
"""


def events_rows(bench: Bench) -> Iterator[Row]:
    """Events into a chained journal, and the chain checked again, in CPU time."""
    count = bench.size(100_000, 10_000)
    taken: dict[str, list[float]] = {"append": [], "check": []}
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            command = [sys.executable, "-c", _EVENTS, str(count)]
            said = subprocess.run(
                command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
            )
        for which, seconds in zip(taken, said.stdout.split(), strict=True):
            taken[which].append(float(seconds) / count * 1e6)
    for which, work in (("append", "chained and written"), ("check", "read and checked")):
        yield Row(
            work=f"{count} events {work}, each: CPU",
            value=median(taken[which]),
            unit="us",
            target=7,
            must=10,
            detail=f"{min(taken[which]):.1f} to {max(taken[which]):.1f} us",
            samples=taken,
        )


def latency_rows(bench: Bench) -> Iterator[Row]:
    """From the exit of a step to the start of the step that waited for it, as the proof tells."""
    shape = chain(bench.size(200, 50))
    gaps_ms: list[float] = []
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            runner = _zf_runner(bench)
            runner.write(shape, folder)
            measure.run(runner.run_command(bench.jobs), folder)
            steps = []
            for task in shape.needs:
                with open(f"{folder}/proofs/run/{task}/10-commands/step-0.json", "rb") as file:
                    steps.append(json.load(file))
        for before, after in pairwise(steps):
            gap = _moment(after["started_at"]) - _moment(before["completed_at"])
            gaps_ms.append(gap * 1000)
    gaps_ms.sort()
    for percent, target, must in ((50, 2, 5), (99, 10, 25)):
        yield Row(
            work=f"exit of a step to start of its dependent, p{percent}",
            value=gaps_ms[len(gaps_ms) * percent // 100],
            unit="ms",
            target=target,
            must=must,
            detail=f"{len(gaps_ms)} gaps in {shape.name}, worst {gaps_ms[-1]:.1f} ms",
            samples={"gaps_ms": gaps_ms},
        )


def idle_row(bench: Bench) -> Iterator[Row]:
    """What zf and its workers do while every task sleeps."""
    if not os.path.exists("/proc/self/schedstat"):
        return  # only Linux tells the CPU time of a process in nanoseconds
    import psutil  # noqa: PLC0415 - makes the harness larger, and every child it measures with it

    shares = []
    for _ in range(bench.rounds):
        with bench.folder() as folder:
            for n in range(4):
                _write_task(folder, f"sleep {bench.size(12, 4)}", f"a{n}")
            process = subprocess.Popen(
                [*zf_program(), "run-phase", "A", "-j4"],
                cwd=folder,
                env=measure.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            runner = psutil.Process(process.pid)
            while _count_named("sleep", runner.children(recursive=True)) < 4:
                time.sleep(0.05)
            time.sleep(0.5)
            family = [process.pid, *(child.pid for child in runner.children(recursive=True))]
            before, start = sum(map(_cpu_ns, family)), time.perf_counter_ns()
            time.sleep(bench.size(10, 2))
            spent, passed = sum(map(_cpu_ns, family)) - before, time.perf_counter_ns() - start
            process.wait()
            shares.append(100 * spent / passed)
    yield Row(
        work="waiting for sleeping tasks: CPU of runner and workers",
        value=median(shares),
        unit="%",
        target=0.1,
        must=0.5,
        detail=f"of a core, over {bench.size(10, 2)} s",
        samples={"percent": shares},
    )


def _count_named(name: str, processes: Iterable[psutil.Process]) -> int:
    """How many of them have this name; one may have ended by the time it is asked."""
    from psutil import NoSuchProcess  # noqa: PLC0415 - as above

    count = 0
    for process in processes:
        with suppress(NoSuchProcess):
            count += process.name() == name
    return count


def _interleaved(
    bench: Bench, commands: dict[str, list[str]], folder: str, *, times: int
) -> dict[str, list[float]]:
    """Wall seconds of short commands, taking turns; `times` turns a round."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(bench.rounds * times):
        for name, command in commands.items():
            taken[name] += walls([measure.run(command, folder)])
    return taken


def _ratio(
    work: str, taken: dict[str, list[float]], names: tuple[str, str], *, target: float, must: float
) -> Row:
    one, other = (median(taken[name]) for name in names)
    return Row(
        work=work,
        value=one / other,
        unit="x",
        target=target,
        must=must,
        detail=f"{one * 1000:.0f} ms / {other * 1000:.0f} ms",
        samples={name: taken[name] for name in names},
    )


def _seconds(values: list[float]) -> str:
    return f"{median(values):.2f} s"


def _zf_runner(bench: Bench) -> Runner:
    return bench.pick(ZF)[0]


def _write(folder: str, name: str, data: bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def _write_task(folder: str, script: str, task: str = "a") -> None:
    os.makedirs(f"{folder}/tasks/{task}")
    text = (
        f"id: {task}\nphase: A\nparallel_safe: true\n"
        f"commands:\n  - name: run\n    run: |\n      {script}\n"
    )
    _write(folder, f"tasks/{task}/task.yaml", text.encode())


def _write_log(folder: str, name: str, size: int, rng: random.Random, secrets: list[str]) -> None:
    """What a chatty test run prints; one line in a thousand gives a secret away.

    Written a MiB at a time: what we held in memory would count as the measured commands' peak.
    """
    words = [rng.randbytes(rng.randrange(2, 6)).hex() for _ in range(500)]
    lines = []
    for n in range(20_000):
        said = " ".join(rng.choices(words, k=rng.randrange(3, 12)))
        told = f" token={rng.choice(secrets)}" if secrets and n % 1000 == 0 else ""
        lines.append(f"2026-01-02T03:04:05.{n:06}Z INFO {said}{told}\n")
    text = "".join(lines).encode()
    with open(os.path.join(folder, name), "wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(text[:left])


def _cpu_ns(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])
    except FileNotFoundError:
        return 0


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _size(size: int) -> str:
    return f"{size // (1024 * _MIB)} GiB" if size >= 1024 * _MIB else f"{size // _MIB} MiB"
