"""A matrix whose instances a need lists, from its file to its proof: every verb."""

from __future__ import annotations

import json
import os
import shutil
import signal
import xml.etree.ElementTree as ET

import pytest

from tests.support import independent_verifier
from tests.support.program import heard

FILE = """\
phases: {B: {}, C: {needs: [B]}}
tasks:
  plan:
    phase: B
    outputs: [list]
    pass_env: [LIST]
    commands: ['printf "list=%s\\n" "$LIST" >> "$ZF_OUTPUT"']
  test:
    phase: B
    needs: [plan]
    parallel_safe: true
    matrix: {from: plan.list}
    outputs: [said]
    commands:
      - 'echo "$TASK_ID $MATRIX_ITEM" | tee "$ARTIFACTS_DIR/it"'
      - '[ ! -e "fail-$MATRIX_ITEM" ] || exit 7'
      - 'echo "said=<$MATRIX_ITEM>" >> "$ZF_OUTPUT"'
  pack:
    phase: B
    needs: [plan, {task: test, matrix: same}]
    parallel_safe: true
    matrix: {item: {from: plan.list}, os: [x, y]}
    commands: ['cat "$NEEDS_DIR"/*/it']
  report:
    phase: B
    needs: [test]
    env: {ALL: {from: test.said}}
    commands: ['echo "$ALL"; cat "$NEEDS_DIR"/*/it']
  last:
    phase: C
    needs: [test]
    condition: status('test') == 'success'
    commands: ['cat "$NEEDS_DIR"/*/it']
"""
A, C = "test@item=a", "test@item=c-d-e5fb6071"


@pytest.fixture
def flow(project):
    (project.root / "zf.yaml").write_text(FILE)
    return project


def run(flow, *words, items='["a", "c/d", 3.10]', **env):
    return flow.zf(*words, env={**os.environ, "LIST": items, **env})


def test_an_explained_plan_says_which_need_lists_the_instances(flow):
    text = FILE.replace("{from: plan.list}\n    out", "{from: plan.list, max_parallel: 2}\n    out")
    (flow.root / "zf.yaml").write_text(text)
    told = {}
    for task in ("test", "pack"):
        [explained] = json.loads(flow.zf("plan", "--explain", task, "--json").out)
        told[task] = next(part for part in explained["parts"] if part["key"] == "matrix")
    assert told["test"]["value"] == {"from": "plan.list", "max_parallel": 2}
    assert told["test"]["place"] == "zf.yaml:12"
    assert told["pack"]["value"] == {"item": {"from": "plan.list"}, "os": ["x", "y"]}


def ends(flow, run):
    return {
        path.name: flow.status(run, path.name)["status"]
        for path in flow.proof(run).iterdir()
        if path.is_dir()
    }


def both(flow, run, code=0):
    done = flow.zf("verify", run)
    assert done.code == code, done.out
    assert independent_verifier.verify(str(flow.proof(run))) == (True, True)


def test_every_instance_is_a_task_of_its_own_and_what_needs_the_base_has_all(flow):
    done = run(flow, "run", "--run-id", "r")
    assert done.code == 0, done.err
    assert "test: 3 instances: item=a, item=c-d-e5fb6071, item=3.10" in done.err
    names = {name for name in ends(flow, "r") if name.startswith("test")}
    assert names == {A, C, "test@item=3.10"}
    said, *kept = flow.log("r", "report").decode().splitlines()
    values = {A: "<a>", C: "<c/d>", "test@item=3.10": "<3.10>"}
    assert json.loads(said) == values
    assert sorted(kept) == sorted(f"{name} {value[1:-1]}" for name, value in values.items())
    assert flow.log("r", "pack@item=a,os=y") == b"test@item=a a\n"
    task = flow.json("r", C, "00-meta", "task.json")
    assert (task["base"], task["matrix"]) == ("test", {"item": "c/d"})
    assert "matrix_from" not in task
    plan = {row["id"]: row for row in flow.json("r", "plan.json")["tasks"]}
    assert plan["test"]["matrix_from"] == {"from": "plan.list"}
    events = flow.events("r")
    (joined,) = [e for e in events if e["type"] == "plan_extended" and e["base"] == "test"]
    assert [one["id"] for one in joined["instances"]] == [*values]
    began = [e["seq"] for e in events if e["type"] == "attempt_started" and e["task"] in values]
    assert joined["seq"] < min(began)
    both(flow, "r")
    # Policies and reports take the base for its instances.
    for rules, code in ((["test"], 0), (["plan"], 0)):
        (flow.root / "policy.yaml").write_text(json.dumps({"tasks": rules}))
        assert flow.zf("verify", "r", "--policy", "policy.yaml").code == code
    assert json.loads(flow.zf("status", "r", "--json").out)["matrices"]["test"] == "success"
    replayed = flow.zf("replay", "r", "test")
    assert "name one of its instances, such as test@item=a" in replayed.err


def test_one_that_fails_is_run_again_alone(flow):
    (flow.root / "fail-a").touch()
    done = run(flow, "run", "B", "--run-id", "r")
    assert done.code == 1
    assert "test: failure, 3 instances: 2 success, 1 failure" in done.out
    assert ends(flow, "r")["report"] == "blocked"
    assert ends(flow, "r")["pack@item=a,os=x"] == "blocked"
    assert ends(flow, "r")["pack@item=3.10,os=x"] == "success"
    both(flow, "r")
    assert "exited with code 7" in flow.zf("explain", "r", "test").out
    assert "test@item=a a" in flow.zf("logs", "r", "test").out
    assert flow.zf("report", "r", "-o", "r.html", "--junit", "r.xml").code == 0
    cases = ET.fromstring((flow.root / "r.xml").read_text()).iter("testcase")
    assert {case.get("name") for case in cases} >= {A, C}
    assert A in (flow.root / "r.html").read_text()
    (flow.root / "fail-a").unlink()
    again = run(flow, "rerun", "r", "--failed", "--run-id", "s", items="other")
    assert again.code == 0, again.err
    assert set(ends(flow, "s")) == {A, "report", "pack@item=a,os=x", "pack@item=a,os=y"}
    assert len(json.loads(flow.log("s", "report").split(b"\n")[0])) == 3
    both(flow, "s")
    assert flow.zf("diff", "r", "s").code in {0, 1}
    # Where the list is made anew, so are the instances.
    anew = run(flow, "rerun", "r", "--from", "plan", "--downstream", "--run-id", "t", items='["n"]')
    assert anew.code == 0, anew.err
    assert "test@item=n" in ends(flow, "t")
    assert A not in ends(flow, "t")
    both(flow, "t")
    one = run(flow, "rerun", "r", "--only", A, "--run-id", "u")
    assert one.code == 0, one.err
    assert set(ends(flow, "u")) == {A}


@pytest.mark.parametrize(
    ("items", "status", "told"),
    [
        ("[]", "skipped", "no instances: plan.list lists none"),
        ("[1", "failure", "no instances: 'plan.list' is no JSON"),
        ('["a", "a"]', "failure", "no instances: 'plan.list' has 'a' twice"),
        (json.dumps([*range(257)]), "failure", "at most 256 are possible"),
        ('[{"password": "x"}]', "failure", "is called like a secret"),
    ],
)
def test_a_list_without_instances_is_told_everywhere(flow, items, status, told):
    done = run(flow, "run", "B", "--run-id", "r", items=items)
    assert done.code == (0 if status == "skipped" else 1)
    assert told in done.err + done.out
    end = flow.status("r", "test")
    assert (end["status"], end["cause"]) == (status, "instances")
    assert told in end["detail"]
    assert told in flow.zf("explain", "r", "test").out
    both(flow, "r")
    if status == "failure":
        causes = flow.json("r", "blocked.json")["causes"]
        assert "ZF529" in {cause["code"] for cause in causes}
        assert flow.zf("report", "r", "-o", "r.html", "--junit", "r.xml").code == 0
        for page in ("r.html", "r.xml"):
            assert "no instances: " in (flow.root / page).read_text()
        # What is advised makes the list anew.
        assert "zf rerun r --failed" in done.out
        again = run(flow, "rerun", "r", "--failed", "--run-id", "s")
        assert again.code == 0, again.err
        assert A in ends(flow, "s")


def test_a_part_is_chosen_and_counted(flow):
    done = run(flow, "run", "test", "--matrix", "item=a", "--matrix", "item=z", "--run-id", "r")
    assert done.code == 0, done.err
    assert set(ends(flow, "r")) == {"plan", A}
    (flow.root / "policy.yaml").write_text(json.dumps({"tasks": ["test"]}))
    done = flow.zf("verify", "r", "--policy", "policy.yaml")
    assert "was run in part: 1 of its 3 instances" in done.out
    both(flow, "r")
    assert "zf run test" in flow.zf("run", A).err
    assert flow.zf("run-task", "test").code == 2


def test_a_value_that_no_list_has_fails_and_says_so(flow):
    done = run(flow, "run", "test", "pack", "--matrix", "item=z", "--run-id", "r")
    assert done.code == 1
    assert "no instances: no matrix of this run has 'z' on the axis 'item'" in done.err
    both(flow, "r")
    done = run(flow, "run", "test", "--matrix", "itm=a", "--run-id", "s")
    assert (done.code, flow.status("s", "test")["status"]) == (1, "failure")
    assert "no matrix of this run has the axis 'itm' that --matrix names" in done.err
    both(flow, "s")


OTHERS = """\
tasks:
  plan: {outputs: [list], run: 'echo "list=[1]" >> "$ZF_OUTPUT"'}
  late: {needs: [plan], outputs: [list], run: 'echo "list=[2]" >> "$ZF_OUTPUT"'}
  first: {needs: [plan], matrix: {from: plan.list}, run: 'true'}
  second: {needs: [late], matrix: {from: late.list}, run: 'true'}
"""


def test_a_value_that_another_list_has_skips_the_task(flow):
    (flow.root / "zf.yaml").write_text(OTHERS)
    for value, skipped, other in (("1", "second", "first"), ("2", "first", "second")):
        done = flow.zf("run", "--matrix", f"item={value}", "--run-id", value)
        assert done.code == 0, done.err
        assert flow.status(value, skipped)["status"] == "skipped"
        assert flow.status(value, f"{other}@item={value}")["status"] == "success"
        both(flow, value)
    done = flow.zf("run", "--matrix", "item=3", "--run-id", "r")
    assert (done.code, flow.status("r", "second")["status"]) == (1, "failure")
    both(flow, "r")


def test_another_phase_builds_on_the_instances_of_an_earlier_run(flow):
    assert run(flow, "run-phase", "B", "--run-id", "r").code == 0
    done = run(flow, "run-phase", "C", "--upstream", "r", "--run-id", "s")
    assert done.code == 0, done.err
    assert len(flow.log("s", "last").splitlines()) == 3
    assert set(flow.json("s", "plan.json")["upstream"]) == {A, C, "test@item=3.10"}
    both(flow, "s")


SLOW = """\
tasks:
  plan:
    outputs: [list]
    commands: ['echo "list=[1, 2, 3]" >> "$ZF_OUTPUT"']
  test:
    needs: [plan]
    parallel_safe: true
    matrix: {n: {from: plan.list}, max_parallel: 1}
    commands: ['test "$ATTEMPT" != 1 || [ "$MATRIX_N" != 2 ] || [ -e quick ] || exec sleep 60']
  report: {needs: [test], commands: ['ls "$NEEDS_DIR" || true']}
"""
NAMES = {f"test@n={n}" for n in (1, 2, 3)}


def killed(project):
    (project.root / "zf.yaml").write_text(SLOW)
    zf = project.popen("run", "--run-id", "r", "--progress", "json")
    heard(zf, "attempt_started", 1, task="test@n=2")
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()


def test_a_run_that_is_killed_afterwards_goes_on_with_the_instances_it_has(project):
    killed(project)
    assert "test@n=3" in project.zf("status", "r").out
    # Another list could not be told from this one by what runs.
    done = project.zf("resume", "r")
    assert done.code == 0, done.err
    assert set(ends(project, "r")) == {"plan", "report"} | NAMES
    assert [e["type"] for e in project.events("r")].count("plan_extended") == 1
    both(project, "r")


def test_a_run_that_is_killed_before_lists_them_then(project):
    killed(project)
    path = project.proof("r", "events.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if b'"plan_extended"' in line)
    path.write_bytes(b"".join(lines[:cut]))
    for name in NAMES:
        shutil.rmtree(project.proof("r", name), ignore_errors=True)
    (project.root / "quick").touch()
    done = project.zf("resume", "r")
    assert done.code == 0, done.err
    assert set(ends(project, "r")) == {"plan", "report"} | NAMES
    both(project, "r")


def test_a_killed_rerun_of_instances_is_resumed(project):
    killed(project)
    project.zf("seal", "r")
    zf = project.popen("rerun", "r", "--failed", "--run-id", "s", "--progress", "json")
    heard(zf, "attempt_started", 1, task="test@n=2")
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    done = project.zf("resume", "s")
    assert done.code == 0, done.err
    assert set(ends(project, "s")) == {"test@n=2", "test@n=3", "report"}
    both(project, "s")


def test_one_instance_can_be_cancelled_and_the_base_for_all(project):
    (project.root / "zf.yaml").write_text(SLOW)
    zf = project.popen("run", "--run-id", "r", "--progress", "json")
    heard(zf, "attempt_started", 1, task="test@n=2")
    assert project.zf("cancel", "r", "test").code == 0
    zf.communicate()
    assert ends(project, "r") == {
        "plan": "success",
        "report": "blocked",
        "test@n=1": "success",
        "test@n=2": "cancelled",
        "test@n=3": "cancelled",
    }
    both(project, "r", code=0)


def test_earlier_results_count_for_instances(project):
    (project.root / "zf.yaml").write_text(
        """\
tasks:
  plan: {outputs: [list], pass_env: [LIST], commands: ['echo "list=$LIST" >> "$ZF_OUTPUT"']}
  test:
    needs: [plan]
    sources: [zf.yaml]
    cache: true
    matrix: {from: plan.list}
    commands: ['echo "$MATRIX_ITEM" > "$ARTIFACTS_DIR/it"']
"""
    )
    assert run(project, "run", "--run-id", "r", items='["a"]').code == 0
    assert run(project, "run", "--cached", "--run-id", "s", items='["a"]').code == 0
    assert project.status("s", A).get("cached_from", {}).get("run") == "r"
    both(project, "s")
    # The list is part of what an instance depends on, as it is an output of a need.
    why = run(project, "run", "--cached", "--dry-run", "--why", items='["a"]')
    assert "test  has instances that are known when plan.list is" in why.out
