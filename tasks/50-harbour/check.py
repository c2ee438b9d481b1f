"""Runs examples/harbour with zf in a scratch folder and compares all it leaves with what must be.

Standard library only, and nothing of zf is imported: this is zf seen from the outside.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "harbour"
EXPECTED = {
    "10-lighthouse": "success",
    "11-pilot": "success",
    "20-dock-north": "success",
    "21-dock-south": "success",
    "22-crane": "failure",
    "30-unload": "blocked",
    "31-customs": "blocked",
    "32-storage": "blocked",
    "40-tide": "timeout",
    "41-departure": "blocked",
    "42-logbook": "blocked",
    "50-weather": "success",
    "51-bulletin": "success",
    "52-foghorn": "success",
}
UNMET = {
    "30-unload": {"22-crane": "failure"},
    "31-customs": {"30-unload": "blocked"},
    "32-storage": {"30-unload": "blocked"},
    "41-departure": {"40-tide": "timeout"},
    "42-logbook": {"31-customs": "blocked", "41-departure": "blocked"},
}


def main(keep: Path) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "harbour"
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("proofs"))
        done = zf(project, "run-phase", "E", "--run-id", "day", "-j", "4")
        (keep / "zf.txt").write_text(done.stdout + done.stderr)
        wrong = list(findings(project, project / "proofs" / "day", done))
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"{len(EXPECTED)} tasks compared, {len(wrong)} things wrong")
    return 1 if wrong else 0


def zf(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zf", "-C", str(project), *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False, timeout=100)


def findings(project: Path, proof: Path, done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    if done.returncode != 1:
        yield f"zf exited {done.returncode}, not 1:\n{done.stderr}"
    yield from outcomes(proof)
    yield from report(proof, done.stdout + done.stderr)
    yield from explained(project)
    yield from survivors(proof)
    yield from checksums(proof)


def outcomes(proof: Path) -> Iterator[str]:
    """Every task has an outcome in its own tree; those that never ran say which need failed."""
    for task, status in EXPECTED.items():
        told = json.loads((proof / task / "99-summary" / "status.json").read_text())
        if told["status"] != status:
            yield f"{task} is {told['status']}, not {status}"
        # A task is blocked by the first need that fails: it need not know of the others yet.
        unmet = UNMET.get(task, {})
        if not told["needs"].items() <= unmet.items() or bool(told["needs"]) is not bool(unmet):
            yield f"{task} has unmet needs {told['needs']}, not {unmet}"
        ran = (proof / task / "20-logs" / "step-0.log").exists()
        if ran is (status == "blocked"):
            yield f"{task} {'ran' if ran else 'left no log'}"
    crane = json.loads((proof / "22-crane" / "99-summary" / "status.json").read_text())
    if (crane["exit_code"], crane["step"]) != (3, 1):
        yield f"22-crane failed with {crane['exit_code']} in step {crane['step']}, not 3 in step 1"
    tide = json.loads((proof / "40-tide" / "99-summary" / "status.json").read_text())
    if tide["exit_code"] != 124:
        yield f"40-tide exited {tide['exit_code']}, not 124"
    pilot = (proof / "11-pilot" / "20-logs" / "step-0.log").read_bytes()
    if pilot != b'Anna\'s "Pride" $(date) is in.\n':
        yield f"11-pilot's log holds {pilot!r}"


def report(proof: Path, output: str) -> Iterator[str]:
    """The deadlock report on the terminal, and the same facts for programs."""
    needed = ["ERROR: Deadlock detected - 5 tasks still pending:"]
    for needs in UNMET.values():
        needed += [f"-> dependency '{need}' has status: {status}" for need, status in needs.items()]
    yield from (f"the output lacks: {line}" for line in needed if line not in output)
    blocked = (proof / "blocked.json").read_text()
    if not blocked.find("22-crane") < blocked.find("40-tide"):
        yield "blocked.json does not rank the crane, which blocks more, before the tide"


def explained(project: Path) -> Iterator[str]:
    """From the proof alone: the logbook was held up by the crane and by the tide."""
    told = zf(project, "explain", "day").stdout
    if "42-logbook (held up by 40-tide too)" not in told:
        yield f"zf explain does not name both culprits:\n{told}"
    told = zf(project, "explain", "day", "42-logbook").stdout
    if "22-crane (failure) -> 30-unload -> 31-customs -> 42-logbook" not in told:
        yield f"zf explain does not say through whom the crane holds up the logbook:\n{told}"


def survivors(proof: Path) -> Iterator[str]:
    """The tide left two sleepers, one in a session of its own; neither may be alive."""
    for name in ("waiting.pid", "hiding.pid"):
        pid = int((proof / "40-tide" / "30-artifacts" / name).read_text())
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        yield f"process {pid} ({name}) is still there"


def checksums(proof: Path) -> Iterator[str]:
    """What an auditor without zf would type."""
    tool = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]
    lists = [(proof / task, "40-checksums/task.sha256") for task in EXPECTED]
    lists += [(proof / "50-weather" / "30-artifacts", "../40-checksums/artifacts.sha256")]
    for folder, name in lists:
        command = [*tool, "-c", "--strict", name]
        done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
        if done.returncode:
            yield f"{folder.name}: {name} does not check: {done.stdout}{done.stderr}"
        listed = re.findall(r"(?m)^\\?[0-9a-f]{64} [ *](?:\./)?(.+)$", (folder / name).read_text())
        if "99-summary/status.json" not in listed and name.endswith("task.sha256"):
            yield f"{folder.name}: {name} does not cover the outcome"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
