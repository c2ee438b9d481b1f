"""Projects of one file and of shared files, run by the real zf: what steps see, what the proof says,
what explains it, and that where values came from cannot be forged.
"""

import json

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.findings import State
from zf.audit.verify import verify

SHARED = """\
defaults: {env: {COLOUR: red}}
templates:
  t: {timeout_sec: 9, commands: ['echo $COLOUR in $(basename $TASK_DIR) of $PHASE']}
tasks:
  a: {use: t}
  b: {use: t, needs: [a], env: {COLOUR: blue}}
"""


@pytest.fixture
def shared(project: Project) -> Project:
    (project.root / "tasks").rmdir()
    (project.root / "zf.yaml").write_text(f"include: [ci/more.yaml]\n{SHARED}")
    (project.root / "ci").mkdir()
    (project.root / "ci/more.yaml").write_text("tasks: {c: {use: t, needs: [b]}}\n")
    return project


def test_a_project_of_one_file_runs_and_verifies(shared):
    done = shared.zf("run", "--run-id", "r")
    assert done.code == 0, done.err
    name = shared.root.name.encode()
    assert shared.log("r", "a") == b"red in " + name + b" of main\n"
    assert shared.log("r", "b") == b"blue in " + name + b" of main\n"
    assert shared.log("r", "c") == b"red in ci of main\n"
    assert shared.zf("verify", "r").code == 0
    rows = {row["id"]: row for row in shared.json("r", "plan.json")["tasks"]}
    assert rows["b"]["origins"] == {"commands": "zf.yaml:4", "timeout_sec": "zf.yaml:4"}
    for row in rows.values():
        assert shared.json("r", row["id"], "00-meta", "task.json")["origins"] == row["origins"]


def test_a_line_more_in_the_file_changes_no_digest(shared):
    """In a file of several tasks, where a task stands is no part of what it does."""
    (shared.root / "below").mkdir()
    done = shared.zf("run", "--run-id", "r", cwd=shared.root / "below")
    assert done.code == 0
    before = {row["id"]: row["sha256"] for row in shared.json("r", "plan.json")["tasks"]}
    (shared.root / "zf.yaml").write_text(f"# Why\ninclude: [ci/more.yaml]\n{SHARED}")
    assert shared.zf("run", "--run-id", "r2").code == 0
    assert {row["id"]: row["sha256"] for row in shared.json("r2", "plan.json")["tasks"]} == before


def test_a_task_of_a_file_is_named_by_that_file(shared):
    assert shared.zf("run-task", "ci/more.yaml", "--run-id", "r").code == 0
    assert shared.status("r", "c")["status"] == "success"
    done = shared.zf("run-task", "zf.yaml")
    assert done.code == 2
    assert "zf.yaml has 2 tasks" in done.err
    assert "name one of them by its id: a, b" in done.err


def test_explain_names_the_line_of_every_value(shared):
    done = shared.zf("plan", "--explain", "b")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["b", "zf.yaml:7"] in lines
    assert ["env.COLOUR", "blue", "zf.yaml:7"] in lines
    assert ["timeout_sec", "9", "zf.yaml:4"] in lines
    [found] = json.loads(shared.zf("plan", "--explain", "c", "--json").out)
    places = {part["key"]: part["place"] for part in found["parts"]}
    assert (found["id"], found["file"]) == ("c", "ci/more.yaml")
    assert places["env.COLOUR"] == "zf.yaml:2"
    assert places["needs"] == "ci/more.yaml:1"
    assert places["phase"] is None


@pytest.mark.parametrize(
    "words",
    [("--explain", "d"), ("--explain", "a", "main"), ("--explain", "a", "--format", "dot")],
)
def test_what_cannot_be_explained_is_refused(shared, words):
    done = shared.zf("plan", *words)
    assert (done.code, done.out) == (2, "")


def test_a_secret_of_a_file_is_not_explained(shared):
    text = SHARED.replace("COLOUR: blue", "API_TOKEN: tops3cret-value")
    (shared.root / "zf.yaml").write_text(f"secrets: [API_TOKEN]\ninclude: [ci/more.yaml]\n{text}")
    done = shared.zf("plan", "--explain", "b")
    assert "env.API_TOKEN" in done.out
    assert "tops3cret" not in done.out


FORGED = {
    "another line": lambda said: said["origins"].update(timeout_sec="zf.yaml:5"),
    "one less": lambda said: said["origins"].pop("commands"),
    "one more": lambda said: said["origins"].update(phase="zf.yaml:1"),
    "none": lambda said: said.pop("origins"),
}


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("where", ["plan", "task"])
def test_where_values_came_from_cannot_be_forged(shared, where, forged, tmp_path):
    """The forger makes all lists, the journal and the seal anew."""
    assert shared.zf("run", "--run-id", "r").code == 0
    run = shared.proof("r")
    assert independent_verifier.verify(str(run)) == (True, True)
    path = run / ("plan.json" if where == "plan" else "b/00-meta/task.json")
    said = json.loads(path.read_text())
    FORGED[forged]({row["id"]: row for row in said["tasks"]}["b"] if where == "plan" else said)
    path.write_text(json.dumps(said) + "\n")
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    seal(str(run))
    found = verify(str(run))
    assert found.verdicts[0].state == State.FAILED, found.render()
    assert independent_verifier.verify(str(run))[0] is False
