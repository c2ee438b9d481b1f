"""Checks, with sha256sum alone, what the newest run of each earlier phase left in proofs/.

A phase that was never run here, or a task whose outcome is missing because its run was killed, is
said and passed over. When there is nothing to check at all, that is an error.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

EARLIER = ("A", "B", "C", "D", "E")
TOOL = ("sha256sum",) if shutil.which("sha256sum") else ("shasum", "-a", "256")


def main(proofs: Path) -> int:
    checked, wrong = 0, 0
    plans = newest_first(proofs)
    for phase in EARLIER:
        found = next(((run, ids) for run, plan in plans if (ids := tasks_of(plan, phase))), None)
        if found is None:
            print(f"phase {phase}: not run here yet, so nothing to check: zf run-phase {phase}")
            continue
        run, ids = found
        for task in ids:
            told = check_task(run / task)
            checked += told is not None
            wrong += told is False
        if sealed(run):
            checked += 1
            wrong += not check(run, "MANIFEST.sha256")
        print(f"phase {phase}: run {run.name}, {len(ids)} tasks")
    print(f"{checked} checked, {wrong} wrong")
    if not checked:
        print("There is no proof of an earlier phase here. Start with: zf run-phase A")
    return 0 if checked and not wrong else 1


def newest_first(proofs: Path) -> list[tuple[Path, dict]]:
    plans = sorted(proofs.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime_ns)
    return [(path.parent, json.loads(path.read_bytes())) for path in plans]


def tasks_of(plan: dict, phase: str) -> list[str]:
    """None of a run of a single task, which is no run of its phase."""
    if plan["needs"] == "not_checked":
        return []
    return [task["id"] for task in plan["tasks"] if task["phase"] == phase]


def sealed(run: Path) -> bool:
    """The run this check is itself a part of is not sealed yet."""
    return (run / "MANIFEST.sha256").exists()


def check_task(tree: Path) -> bool | None:
    """None: nothing to check, since the task has no outcome."""
    if not (tree / "99-summary" / "status.json").exists():
        print(f"  {tree.name}: no outcome, its run was killed or is still going on")
        return None
    status = json.loads((tree / "99-summary" / "status.json").read_bytes())["status"]
    good = check(tree, "40-checksums/task.sha256")
    if (tree / "40-checksums" / "artifacts.sha256").exists():
        good = check(tree / "30-artifacts", "../40-checksums/artifacts.sha256") and good
    print(f"  {tree.name}: {status}, {'checks' if good else 'DOES NOT CHECK'}")
    return good


def check(folder: Path, name: str) -> bool:
    if os.stat(folder / name).st_size == 0:  # coreutils calls an empty list an error
        return True
    command = [*TOOL, "--check", "--strict", name]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"{folder}: {name}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
