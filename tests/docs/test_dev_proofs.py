"""Phase F's check of earlier proofs, on proofs that zf really made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import Project

CHECK = Path(__file__).resolve().parents[2] / "tasks" / "60-checksums" / "check.py"


def check(project: Project) -> tuple[int, list[str]]:
    """Its exit code and what it prints."""
    command = [sys.executable, str(CHECK), str(project.root / "proofs")]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def ran(project: Project) -> Project:
    project.task("10-good", 'echo made >"$ARTIFACTS_DIR/made.txt"')
    project.task("20-bad", "exit 3")
    assert project.zf("run-phase", "A", "--run-id", "monday").code == 1
    return project


def test_good_proofs_check_whatever_became_of_the_tasks(ran):
    code, lines = check(ran)
    assert code == 0
    assert lines[:3] == [
        "  10-good: success, checks",
        "  20-bad: failure, checks",
        "phase A: run monday, 2 tasks",
    ]
    assert lines[3] == "phase B: not run here yet, so nothing to check: zf run-phase B"
    assert lines[-1] == "3 checked, 0 wrong"


def test_the_newest_run_of_the_phase_counts_and_not_that_of_one_task(ran):
    assert ran.zf("run-phase", "A", "--run-id", "tuesday").code == 1
    assert ran.zf("run-task", "10-good", "--run-id", "wednesday").code == 0
    assert "phase A: run tuesday, 2 tasks" in check(ran)[1]


@pytest.mark.parametrize("name", ["30-artifacts/made.txt", "20-logs/step-0.log"])
def test_a_changed_file_is_found(ran, name):
    with ran.proof("monday", "10-good", name).open("a") as file:
        file.write("changed")
    code, lines = check(ran)
    assert code == 1
    assert "  10-good: success, DOES NOT CHECK" in lines


def test_a_task_that_was_killed_is_said_and_passed_over(ran):
    ran.proof("monday", "MANIFEST.sha256").unlink()
    ran.proof("monday", "10-good", "99-summary", "status.json").unlink()
    code, lines = check(ran)
    assert code == 0
    assert lines[0] == "  10-good: no outcome, its run was killed or is still going on"


def test_nothing_to_check_is_an_error(project):
    (project.root / "proofs").mkdir()
    code, lines = check(project)
    assert code == 1
    assert lines[-1] == "There is no proof of an earlier phase here. Start with: zf run-phase A"


def test_the_plan_it_reads_is_the_documented_one(ran):
    assert json.loads(ran.proof("monday", "plan.json").read_bytes())["schema"] == "zf/plan/v2"
