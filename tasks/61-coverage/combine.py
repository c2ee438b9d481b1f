"""Adds up what the newest runs of phases B and C covered, and asks for 95 % of all branches.

Each test task leaves coverage.sqlite among its artifacts. Where one is missing there is no honest
total: that is said, and nothing is asserted.
"""

import os
import subprocess
import sys
from pathlib import Path

TASKS = ("20-unit", "30-proof", "31-work", "32-run", "33-cli", "34-docs")
LEAST_PERCENT = 95


def main(proofs: Path, keep: Path) -> int:
    newest = {task: newest_data(proofs, task) for task in TASKS}
    missing = [task for task, data in newest.items() if data is None]
    if missing:
        print(f"No coverage from {', '.join(missing)}, so no total. First: zf run-phase B C")
        return 0
    os.environ["COVERAGE_FILE"] = str(keep / "coverage.sqlite")
    coverage("combine", "--keep", *(str(data) for data in newest.values()))
    coverage("xml", "-o", str(keep / "coverage.xml"))
    return coverage("report", f"--fail-under={LEAST_PERCENT}")


def newest_data(proofs: Path, task: str) -> Path | None:
    found = proofs.glob(f"*/{task}/30-artifacts/coverage.sqlite")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def coverage(*arguments: str) -> int:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
