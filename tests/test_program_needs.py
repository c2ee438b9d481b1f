"""What a need kept is found wherever the need was met: the recipe of docs/how-to/keep-a-file.md."""

import re
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).resolve().parents[1] / "docs/how-to/keep-a-file.md"
(RECIPE,) = re.findall(r"(?ms)^```yaml\n(needs: .*?)^```", PAGE.read_text())


@pytest.fixture
def kept(project):
    recipe = yaml.safe_load(RECIPE)
    project.task("10-count", "echo 7 > $ARTIFACTS_DIR/words.txt")
    script = recipe["commands"][0]["run"]
    project.task(
        "20-read", f"[ -e ok ] && {script}", needs=recipe["needs"], phase="B", parallel_safe=True
    )
    (project.root / "ok").touch()
    return project


def reads(project, run):
    assert project.status(run, "20-read")["status"] == "success"
    assert project.log(run, "20-read", 0).endswith(b"7\n")
    assert project.zf("verify", run).code == 0
    assert not (project.root / "proofs" / ".needs" / run).exists()


def test_in_the_same_run(kept):
    assert kept.zf("run-phase", "A", "B", "--run-id", "r").code == 0
    reads(kept, "r")


def test_under_upstream(kept):
    kept.zf("run-phase", "A", "--run-id", "r")
    assert kept.zf("run-phase", "B", "--run-id", "r2", "--upstream", "r").code == 0
    reads(kept, "r2")


def test_under_rerun(kept):
    (kept.root / "ok").unlink()
    assert kept.zf("run-phase", "A", "B", "--run-id", "r").code == 1
    (kept.root / "ok").touch()
    assert kept.zf("rerun", "r", "--failed", "--run-id", "r2").code == 0
    reads(kept, "r2")
    assert kept.zf("rerun", "r2", "--only", "20-read", "--run-id", "r3").code == 0
    reads(kept, "r3")


def test_a_rerun_keeps_the_upstream_of_its_run(kept):
    kept.zf("run-phase", "A", "--run-id", "r")
    (kept.root / "ok").unlink()
    assert kept.zf("run-phase", "B", "--run-id", "r2", "--upstream", "r").code == 1
    (kept.root / "ok").touch()
    done = kept.zf("rerun", "r2", "--failed", "--run-id", "r3")
    assert done.code == 0, done.err
    reads(kept, "r3")
    assert kept.json("r3", "plan.json")["upstream"]["10-count"]["run"] == "r"


def test_files_that_are_not_as_listed_are_not_used(kept):
    kept.task(
        "15-spoil",
        "echo 8 > $PROOF_DIR/../10-count/30-artifacts/words.txt || exit 77",
        needs=["10-count"],
        phase="A",
    )
    done = kept.zf("run-phase", "A", "B", "--run-id", "r")
    if kept.status("r", "15-spoil")["exit_code"] == 77:
        pytest.skip("the shield keeps the task from it")
    assert done.code == 1
    status = kept.status("r", "20-read")
    assert status["cause"] == "artifacts"
    assert status["detail"] == (
        "the artifacts of need 10-count cannot be used:"
        " words.txt is not what it was when its task ended"
    )
    assert kept.json("r", "20-read", "10-commands", "step-0.json")["status"] == "not_run"
