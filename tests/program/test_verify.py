"""What `zf verify` says first, and what it does not take for a success or for a whole phase."""

import json

import pytest

from tests.support.program import Project


def first_line(project: Project, *words: str) -> tuple[int, str]:
    done = project.zf("verify", *words)
    return done.code, " ".join(done.out.splitlines()[0].split())


def test_the_result_of_the_run_comes_first_and_a_failed_run_is_no_pass(project):
    """Five verdicts that hold over a failed run are a true record of a failure."""
    project.task("good", "true")
    assert project.zf("run-phase", "A", "--run-id", "passed").code == 0
    project.task("bad", "exit 3")
    project.task("held", "true", needs=["bad"])
    assert project.zf("run-phase", "A", "--run-id", "failed").code == 1
    policy = project.root / "policy.yaml"
    policy.write_text("result: success\n")
    assert first_line(project, "passed") == (0, "RESULT SUCCEEDED 1 succeeded")
    assert first_line(project, "passed", "--passed", "--policy", "policy.yaml")[0] == 0
    code, told = first_line(project, "failed")
    assert (code, told) == (0, "RESULT FAILED 1 failed, 1 blocked, 1 succeeded; exit code 1")
    assert first_line(project, "failed", "--passed") == (1, told)
    assert first_line(project, "failed", "--policy", "policy.yaml") == (4, told)
    for run, state in (("passed", "success"), ("failed", "failure")):
        data = json.loads(project.zf("verify", run, "--json", "--vsa", "vsa.json").out)
        assert data["outcome"]["state"] == state
        vsa = json.loads((project.root / "vsa.json").read_text())["predicate"]
        assert vsa["verificationResult"] == {"success": "PASSED", "failure": "FAILED"}[state]
    # What is claimed by files that were changed is not said to have come to anything.
    next((project.proof("passed") / "good/20-logs").iterdir()).write_text("x")
    code, told = first_line(project, "passed", "--passed")
    assert (code, told) == (1, "RESULT UNKNOWN the proof is not intact; it claims: 1 succeeded")


@pytest.mark.parametrize("way", ["run-task", "with needs", "only", "failed", "upstream", "phase"])
def test_a_part_of_a_phase_does_not_pass_for_the_phase(project, way):
    project.task("lint", "true")
    project.task("test", "[ -e mended ]")
    project.task("ship", "true", phase="B", needs=["test"])
    project.zf("run-phase", "A", "--run-id", "first")
    (project.root / "mended").touch()
    words, phase, said = {
        "run-task": (("run-task", "lint"), "A", "was run in part"),
        "with needs": (("run-task", "ship", "--with-needs"), "A", "was run in part"),
        "only": (("rerun", "first", "--only", "lint"), "A", "was run in part"),
        "failed": (("rerun", "first", "--failed"), "A", "was run in part"),
        "upstream": (("run-phase", "B", "--upstream", "again"), "B", ""),
        "phase": (("run-phase", "A"), "A", ""),
    }[way]
    project.zf("run-phase", "A", "--run-id", "again")
    assert project.zf(*words, "--run-id", "r").code == 0
    (project.root / "policy.yaml").write_text(f"successful_phases: [{phase}]\n")
    for asked in (("--phase", phase), ("--policy", "policy.yaml")):
        done = project.zf("verify", "r", "--passed", *asked)
        assert (done.code, said in done.out) == (4 if said else 0, True), done.out


def test_a_phase_run_without_its_needs_is_told_as_such(project):
    project.task("lint", "true")
    project.task("ship", "true", phase="B", needs=["lint"])
    assert project.zf("run-task", "ship", "--run-id", "r").code == 0
    done = project.zf("verify", "r", "--phase", "B")
    assert done.code == 4
    assert "phase B was run without looking at what its tasks need" in done.out


def test_where_needs_were_met_is_recorded_with_digests(project):
    project.task("lint", "true")
    project.task("ship", "true", phase="B", needs=["lint"])
    assert project.zf("run-phase", "A", "--run-id", "a").code == 0
    assert project.zf("run-phase", "B", "--upstream", "a", "--run-id", "b").code == 0
    met = json.loads((project.proof("b") / "plan.json").read_text())["upstream"]["lint"]
    head = json.loads(project.zf("verify", "a", "--json").out)["result"]["head"]
    assert (met["run"], met["head"]) == ("a", head)
    assert (
        f'"task_sha256":"{met["task_sha256"]}"' in (project.proof("a") / "events.jsonl").read_text()
    )
