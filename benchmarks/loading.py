"""What it costs to load a project: one file of many tasks, and as many files of one.

`python -m benchmarks.loading [TASKS] [SRC]` prints microseconds of processor time a task, the
least of several fresh processes; with SRC, the `src` of another version, in turn with this one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

_TASKS = 20_000
_ROUNDS = 5
_HERE = str(Path(__file__).resolve().parents[1] / "src")
_SCRIPT = """
import gc, sys, time
sys.path.insert(0, sys.argv[1])
gc.disable()  # as zf does while it loads
from zf.plan.load import load
began = time.process_time()
found = load(sys.argv[2], sys.argv[2], default_phase_timeout_s=3600)
spent = time.process_time() - began
assert found.flow is not None, found.problems[:3]
print(spent / len(found.flow.tasks) * 1e6)
"""


def _keys(number: int) -> list[str]:
    needs = f"[t{number // 2:05}]" if number else "[]"
    return [
        "phase: A",
        f"needs: {needs}",
        "parallel_safe: true",
        "timeout_sec: 60",
        "env: {A: b}",
        "commands:",
        "  - name: Make",
        "    run: make",
    ]


def write(root: Path, tasks: int, *, in_one_file: bool) -> None:
    """A project of so many tasks, each of which but the first needs another."""
    (root / "tasks").mkdir(parents=True)
    if in_one_file:
        lines = ["tasks:"]
        for number in range(tasks):
            lines += [f"  t{number:05}:", *(f"    {key}" for key in _keys(number))]
        (root / "zf.yaml").write_text("\n".join(lines) + "\n")
        return
    for number in range(tasks):
        folder = root / "tasks" / f"t{number:05}"
        folder.mkdir()
        lines = [f"id: t{number:05}", *_keys(number)]
        (folder / "task.yaml").write_text("\n".join(lines) + "\n")


def per_task_us(source: str, root: Path) -> float:
    """Microseconds that a fresh process spends on each task of the project."""
    words = [sys.executable, "-c", _SCRIPT, source, str(root)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main(tasks: int, sources: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        for name, in_one_file in (("one file", True), ("many files", False)):
            root = Path(scratch, name.replace(" ", "-"))
            write(root, tasks, in_one_file=in_one_file)
            # Other versions cannot read tasks from one file: they are compared with many.
            able = sources[:1] if in_one_file else sources
            least = {source: float("inf") for source in able}
            for _ in range(_ROUNDS):
                for source in able:
                    least[source] = min(least[source], per_task_us(source, root))
            for source in able:
                print(f"{tasks} tasks, {name}: {least[source]:.1f} us a task  ({source})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _TASKS, [_HERE, *sys.argv[2:]])
