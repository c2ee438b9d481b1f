"""What a sandbox costs a task that does nothing, beside one whose shell is bubblewrap itself.

How long bubblewrap takes depends on what ran before it: started in a loop, it finds in the caches
of the processor what it left there, and after a task of any runner it does not. So what zf adds is
told by two tasks that differ in nothing but who puts bash into bubblewrap; the loops are beside it.

Whatever else the machine does only makes things slower, so what is compared are the least times of
many turns; start-up is measured on a single task and taken off.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from benchmarks import measure
from benchmarks.bench import Bench, Row
from benchmarks.measure import Measured
from benchmarks.runners import RUN_ID, zf_program

_TURNS = 3
_BY_HAND = "bwrap as its shell"
_KINDS: Mapping[str, tuple[str, str]] = {
    "bare": ("", "never"),
    "shield": ("", "auto"),
    _BY_HAND: ("shell: {shell}\n", "never"),
    "sandbox": ("sandbox: true\n", "never"),
}
_COMMAND_LINE = """
import json, sys
from zf.work.walls.sandbox import Rooms, command_line
root = sys.argv[1]
written = [f"{root}/written/artifacts", f"{root}/written/told"]
rooms = Rooms(root, f"{root}/proofs", root, written=written)
print(json.dumps([*command_line({}, rooms)]))
"""
# bubblewrap does not wait for what it started: that is done here, or its time would not count.
_LOOP = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
program = next(p for f in os.get_exec_path() if os.access(p := f"{f}/{sys.argv[2]}", os.X_OK))
for _ in range(int(sys.argv[1])):
    os.posix_spawn(program, sys.argv[2:], os.environ)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
"""


def wall_rows(bench: Bench) -> Iterator[Row]:
    """What is wanted is that zf adds no more than a millisecond to bubblewrap itself."""
    if shutil.which("bwrap") is None:
        return
    many = bench.size(60, 20)
    with bench.folder() as folder:
        turns: dict[str, Callable[[], Measured]] = {}
        for name, (said, shield) in _KINDS.items():
            for count in (1, many):
                turns[f"{name} {count}"] = _zf(f"{folder}/{name}-{count}", said, shield, count)
        for name, words in (("bash", []), ("bwrap", _bubblewrap(folder))):
            turns[name] = _loop(folder, [*words, "bash", "-c", ":"], many)
        taken: dict[str, list[Measured]] = {name: [] for name in turns}
        for _ in range(bench.rounds * _TURNS):
            for name, turn in turns.items():
                taken[name].append(turn())
    for kind, word in (("wall", "wall_s"), ("CPU", "cpu_s")):
        least = {name: min(getattr(one, word) for one in runs) for name, runs in taken.items()}
        each = {
            name: (least[f"{name} {many}"] - least[f"{name} 1"]) / (many - 1) for name in _KINDS
        }
        each |= {f"{name} in a loop": least[name] / many for name in ("bash", "bwrap")}
        yield Row(
            work=f"a sandboxed no-op: {kind} more than a no-op whose shell is bubblewrap",
            value=(each["sandbox"] - each[_BY_HAND]) * 1000,
            unit="ms",
            target=1.0,
            must=None,
            detail=", ".join(f"{name} {ms * 1000:.2f} ms" for name, ms in each.items()),
            samples={name: [getattr(one, word) for one in runs] for name, runs in taken.items()},
        )


def _zf(folder: str, said: str, shield: str, count: int) -> Callable[[], Measured]:
    shell = json.dumps([*_bubblewrap(folder), "bash", "-c"])
    for n in range(count):
        os.makedirs(f"{folder}/tasks/t{n}")
        with open(f"{folder}/tasks/t{n}/task.yaml", "w", encoding="ascii") as file:
            file.write(f"id: t{n}\nphase: A\n{said.format(shell=shell)}commands:\n  - run: ':'\n")
    words = ["run-phase", "A", "-j", "1", "--run-id", RUN_ID, "--shield", shield]

    def turn() -> Measured:
        shutil.rmtree(f"{folder}/proofs", ignore_errors=True)
        return measure.run([*zf_program(), *words], folder)

    return turn


def _loop(folder: str, words: list[str], count: int) -> Callable[[], Measured]:
    return lambda: measure.run([sys.executable, "-S", "-c", _LOOP, str(count), *words], folder)


def _bubblewrap(folder: str) -> list[str]:
    """The same namespaces and mounts as zf asks for; zf is not loaded here."""
    for name in ("proofs", "written/artifacts", "written/told"):
        os.makedirs(f"{folder}/{name}")
    asked = [sys.executable, "-c", _COMMAND_LINE, folder]
    told = subprocess.run(asked, check=True, capture_output=True, encoding="utf-8").stdout
    words: list[str] = json.loads(told)
    return words
