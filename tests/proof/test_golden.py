"""Proofs that zf 0.1 made, steps counted from 1: every verb that reads proofs still takes them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import independent_verifier
from zf.audit.verify import verify
from zf.proof import read

V1 = Path(__file__).parents[1] / "golden" / "v1"
COMMIT = "8f9028b999a31435d3516af1efcbbb4867602642"
DATE = "2026-11-24T08:00:00Z"


@pytest.fixture
def monday(project):
    """The project as it was then, in a repository with the same commit, and the run of then."""
    shutil.copytree(V1 / "project", project.root, dirs_exist_ok=True)
    for path in project.root.rglob("*.yaml"):
        path.chmod(0o644)
    who = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "harbour", f"GIT_{role}_EMAIL": "harbour@example.org"}
        who[f"GIT_{role}_DATE"] = DATE
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "The harbour"]):
        subprocess.run(["git", *words], cwd=project.root, env={**os.environ, **who}, check=True)
    (project.root / "proofs").mkdir()
    shutil.copytree(V1 / "monday", project.proof("monday"))
    return project


def test_an_old_proof_verifies():
    found = verify(str(V1 / "monday"))
    assert (found.exit_code, found.findings) == (0, ())
    assert independent_verifier.verify(V1 / "monday") == (True, True)
    assert read.run_json(str(V1 / "monday"))["schema"] == "zf/run/v1"


def test_an_old_proof_is_listed_and_explained_with_the_logs_of_its_steps(monday):
    [row] = json.loads(monday.zf("status", "--json").out)
    assert (row["run_id"], row["result"], row["counts"]["blocked"]) == ("monday", "failed", 1)
    table = monday.zf("status", "monday").out
    assert "step 'Assert' exited with code 3" in table
    told = monday.zf("explain", "monday", "test").out
    assert "step 'Assert' exited with code 3" in told
    assert "expected 12 berths, found 11" in told  # of step-2.log, not of step-1.log
    assert "tasks/test/task.yaml:7" in told
    assert "'Try' exited with code 1" in monday.zf("explain", "monday", "flaky").out
    [cause] = json.loads(monday.zf("explain", "monday", "--json").out)["causes"]
    assert (cause["step"], cause["log_tail"]) == (1, ["expected 12 berths, found 11"])


def test_the_logs_of_an_old_proof_are_printed_whole_and_by_their_numbers(monday):
    whole = monday.zf("logs", "monday", "test").out
    assert whole == "ready\nexpected 12 berths, found 11\n"
    assert monday.zf("logs", "monday", "test", "--step", "1").out == "ready\n"


def test_an_old_proof_is_compared_step_by_step_with_a_new_one(monday):
    monday.zf("run-phase", "A", "--run-id", "tuesday")
    assert monday.json("tuesday", "test", "99-summary", "status.json")["step"] == 1
    change = json.loads(monday.zf("diff", "monday", "tuesday", "--json").out)["tasks"]
    assert all(not task["scripts"] and not task["artifacts"] for task in change.values())
    assert all(task["status"] is None for task in change.values())


def test_a_task_of_an_old_proof_is_replayed(monday):
    done = monday.zf("replay", "monday", "test")
    assert done.out.startswith(
        "note: what it needs was not run again: build\n"
        "status: failure, as before\n"
        "exit code: 3, as before\n"
        "signal: none, as before\n"
        "20-logs/step-0.log: equal\n"
        "20-logs/step-1.log: equal\n"
    )
    assert done.code == 0


def test_an_old_proof_is_exported(monday):
    done = monday.zf("export", "monday", "-o", "monday.tar")
    assert done.code == 0, done.err
    subprocess.run(["tar", "-xf", "monday.tar"], cwd=monday.root, check=True)
    assert verify(str(monday.root / "monday")).exit_code == 0


def test_an_old_proof_is_built_on(monday):
    done = monday.zf("rerun", "monday", "--failed", "--run-id", "again")
    assert done.code == 1, done.err
    plan = monday.json("again", "plan.json")
    assert plan["upstream"].keys() == {"build", "flaky"}
    assert [task["id"] for task in plan["tasks"]] == ["test", "publish"]
    assert monday.zf("run-task", "publish", "--upstream", "monday").code != 0  # test failed there
    assert monday.zf("verify", "again").code == 0


def test_a_killed_run_of_an_old_zf_is_not_resumed_but_sealed(monday):
    run = monday.proof("monday")
    (run / "MANIFEST.sha256").unlink()
    (run / "blocked.json").unlink()
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    (run / "events.jsonl").write_bytes(b"".join(lines[:-1]))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = monday.zf("resume", "monday")
    assert done.code == 2
    assert done.err == (
        "error[ZF146]: run 'monday' was begun by zf 0.1.0, whose proofs have another form\n"
        "  hint: finish it with that version; or zf seal monday, then zf rerun monday --failed\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert monday.zf("seal", "monday").code == 0
    assert independent_verifier.verify(run) == (True, False)
    assert monday.zf("verify", "monday").code == 3
