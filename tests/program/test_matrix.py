"""A matrix from its file to its proof: every verb by instance and by base."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ET

import pytest

from tests.support.program import heard

FAILS = '[ "$MATRIX_PY" != 3.12 ] || exit 7'


@pytest.fixture
def flow(project):
    project.file(
        "test",
        """\
id: test
phase: A
parallel_safe: true
matrix: {py: [3.10, 3.12, feature/x], os: [a, B], exclude: [{py: feature/x, os: B}]}
commands:
  - run: echo "$TASK_ID on $MATRIX_PY $MATRIX_OS" | tee "$ARTIFACTS_DIR/said.txt"
  - run: 'FAILS'
""".replace("'FAILS'", f"'{FAILS}'"),
    )
    project.task("report", "true", needs=["test"])
    return project


INSTANCES = {
    "test@py=3.10,os=B": "success",
    "test@py=3.10,os=a": "success",
    "test@py=3.12,os=B": "failure",
    "test@py=3.12,os=a": "failure",
    "test@py=feature-x-217d2bf5,os=a": "success",
}


def test_every_instance_leaves_a_proof_of_its_own_that_holds(flow):
    done = flow.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    assert "test: failure, 5 instances: 3 success, 2 failure" in done.out
    proof = flow.proof("r")
    for name, status in INSTANCES.items():
        assert flow.status("r", name)["status"] == status
    assert flow.status("r", "report")["status"] == "blocked"
    said = proof / "test@py=feature-x-217d2bf5,os=a" / "30-artifacts" / "said.txt"
    assert said.read_text() == "test@py=feature-x-217d2bf5,os=a on feature/x a\n"
    task = json.loads((said.parents[1] / "00-meta" / "task.json").read_text())
    assert (task["base"], task["matrix"]) == ("test", {"py": "feature/x", "os": "a"})
    assert flow.zf("verify", "r").code == 0
    for rules, code in ((["test@py=3.10,os=a"], 0), (["test"], 4)):
        (flow.root / "policy.yaml").write_text(json.dumps({"tasks": rules}))
        assert flow.zf("verify", "r", "--policy", "policy.yaml").code == code


def test_the_verbs_take_the_base_for_all_instances(flow):
    done = flow.zf("run-task", "test", "--run-id", "r")
    assert done.code == 7
    assert re.search(r"Next: zf run-task test(?: --with-needs)?$", done.out, re.MULTILINE)
    logs = flow.zf("logs", "r", "test").out.splitlines()
    assert [line.split(" | ")[0].strip() for line in logs] == [*INSTANCES]
    assert flow.zf("logs", "r", "test@py=3.10,os=a").out == "test@py=3.10,os=a on 3.10 a\n"
    told = flow.zf("explain", "r", "test").out
    assert told.startswith("test: failure\n  what:     5 instances: 3 success, 2 failure\n")
    assert "test@py=3.12,os=a: failure\n" in told
    status = json.loads(flow.zf("status", "r", "--json").out)
    assert status["matrices"] == {"test": "failure"}
    replayed = flow.zf("replay", "r", "test")
    assert replayed.code == 2
    assert "name one of its instances, such as test@py=3.10,os=B" in replayed.err
    again = flow.zf("rerun", "r", "--only", "test", "--run-id", "r2")
    assert {name: flow.status("r2", name)["status"] for name in INSTANCES} == INSTANCES
    assert again.code == 1


def test_a_part_of_a_matrix_is_run_and_run_again(flow):
    done = flow.zf("run-phase", "A", "--matrix", "py=3.12", "--matrix", "os=a", "--run-id", "r")
    assert done.code == 1
    plan = json.loads((flow.proof("r") / "plan.json").read_text())
    assert plan["matrix"] == {"py": ["3.12"], "os": ["a"]}
    assert plan["phases"][0]["whole"] is False
    assert plan["instances"] == {"test": 5}
    assert "was run in part" in flow.zf("verify", "r", "--phase", "A").out
    (flow.root / "policy.yaml").write_text(json.dumps({"tasks": {"test": ["failure"]}}))
    judged = flow.zf("verify", "r", "--policy", "policy.yaml")
    assert judged.code == 4
    assert "was run in part: 1 of its 5 instances" in judged.out
    assert {row["id"]: [need["task"] for need in row["needs"]] for row in plan["tasks"]} == {
        "test@py=3.12,os=a": [],
        "report": ["test@py=3.12,os=a"],
    }
    assert flow.zf("verify", "r").code == 0
    assert flow.zf("rerun", "r", "--failed", "--run-id", "r2").code == 1
    plan = json.loads((flow.proof("r2") / "plan.json").read_text())
    assert [row["id"] for row in plan["tasks"]] == ["test@py=3.12,os=a", "report"]
    wrong = flow.zf("run-phase", "A", "--matrix", "py=3.13")
    assert wrong.code == 2
    assert "error[ZF160]: no matrix has '3.13' on the axis 'py'" in wrong.err
    assert flow.zf("run-phase", "A", "--matrix", "py").code == 2


def test_reports_group_instances(flow):
    flow.zf("run-phase", "A", "--run-id", "r", "--junit", "j.xml", "--report", "p.html")
    suites = ET.parse(flow.root / "j.xml").getroot()
    found = {suite.get("name"): suite for suite in suites}
    assert list(found) == ["A", "A.test"]
    assert found["A.test"].get("failures") == "2"
    cases = {case.get("name"): case.get("classname") for case in found["A.test"].iter("testcase")}
    assert cases == dict.fromkeys(INSTANCES, "A.test")
    page = (flow.root / "p.html").read_text()
    assert '<h2 id="h-matrices">Matrix</h2>' in page
    assert "5 instances: 3 success, 2 failure" in page
    assert 'id="task-test@py=3.10,os=a"' in page


def test_an_instance_that_fails_ends_the_others_where_the_matrix_fails_fast(project):
    project.file(
        "test",
        """\
id: test
phase: A
parallel_safe: true
matrix: {n: [1, 2, 3], fail_fast: true}
commands: [{run: 'if [ "$MATRIX_N" = 1 ]; then exit 3; else exec sleep 60; fi'}]
""",
    )
    done = project.zf("run-phase", "A", "-j", "2", "--run-id", "r")
    assert done.code == 1
    ends = {n: project.status("r", f"test@n={n}") for n in (1, 2, 3)}
    assert [ends[n]["status"] for n in ends] == ["failure", "cancelled", "cancelled"]
    assert (ends[2]["cause"], ends[3]["cause"]) == ("matrix", "matrix")
    assert ends[3]["detail"] == "fail_fast of the matrix: 'test@n=1' ended with status: failure"
    assert "another instance of its matrix" in project.zf("explain", "r", "test@n=2").out
    assert project.zf("verify", "r").code == 0


def test_what_reads_and_exports_a_run_takes_such_names(flow, tmp_path):
    flow.zf("run-phase", "A", "--run-id", "r", "--trace", "t.json", "--openmetrics", "m.txt")
    for form in ("bagit", "ro-crate", "tar"):
        done = flow.zf("export", "r", "--format", form, "-o", f"out-{form}")
        assert done.code == 0, done.err
    assert flow.zf("diff", "r", "r").code == 0
    assert flow.zf("durations", "--write").code == 0
    assert flow.zf("validate").code == 0
    told = json.loads((flow.root / "durations.json").read_text())["tasks"]
    assert "test@py=3.10,os=a" in told
    lists = [*flow.proof("r").glob("test@*/40-checksums/task.sha256")]
    assert len(lists) == 5
    for path in lists:
        checked = subprocess.run(
            ["sha256sum", "--strict", "-c", "40-checksums/task.sha256"],
            cwd=path.parents[1],
            capture_output=True,
            check=False,
        )
        assert checked.returncode == 0


def test_cancelling_a_matrix_cancels_every_instance(project):
    project.file(
        "test",
        """\
id: test
phase: A
parallel_safe: true
matrix: {n: [1, 2, 3]}
commands: [{run: 'exec sleep 60'}]
""",
    )
    zf = project.popen("run-phase", "A", "-j", "2", "--run-id", "r", "--progress", "json")
    heard(zf, "attempt_started", 2)
    assert project.zf("cancel", "r", "test").code == 0
    zf.communicate()
    ends = [project.status("r", f"test@n={n}") for n in (1, 2, 3)]
    assert [(end["status"], end["cause"]) for end in ends] == [("cancelled", "cancel")] * 3


def test_a_killed_run_of_a_part_is_resumed(project):
    project.file(
        "test",
        """\
id: test
phase: A
parallel_safe: true
matrix: {n: [1, 2, 3], max_parallel: 1}
commands: [{run: 'test "$ATTEMPT" != 1 || [ "$MATRIX_N" != 2 ] || exec sleep 60'}]
""",
    )
    project.task("report", "true", needs=["test"])
    chosen = ("--matrix", "n=1", "--matrix", "n=2")
    zf = project.popen("run-phase", "A", *chosen, "--run-id", "r", "--progress", "json")
    heard(zf, "attempt_started", 1, task="test@n=2")
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    done = project.zf("resume", "r")
    assert done.code == 0, done.err
    ends = {path.name for path in project.proof("r").iterdir() if path.is_dir()}
    assert ends == {"test@n=1", "test@n=2", "report"}
    assert project.zf("verify", "r").code == 0


def test_an_axis_that_is_called_like_a_secret_is_refused_before_anything_is_written(project):
    project.file(
        "test", "id: test\nphase: A\nmatrix: {api_token: [hunter2hunter2]}\ncommands: [{run: x}]\n"
    )
    for verb in (("run-phase", "A"), ("validate",)):
        done = project.zf(*verb)
        assert done.code == 2
        assert "tasks/test/task.yaml:1: error[ZF161]: the axis 'api_token' of 'test'" in done.err
    assert not [*(project.root / "proofs").glob("[!.]*")]
