"""What phases need, how many tasks they run at once, that a run kept going, and which newer run
ended a task: none of it can be changed unseen.
"""

import json
import os

import pytest

from tests.support import independent_verifier
from tests.support.program import Project
from zf.audit.verify import verify

GROUP = {"group": "g", "on_newer": "cancel_running"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that kept going after a phase whose task a newer run had ended."""
    project = Project(tmp_path_factory.mktemp("forged") / "project")
    os.mkfifo(project.root / "gate")
    hold = 'test "$RUN_ID" != r1 || read line < gate'
    project.task("a", hold, phase="A", concurrency=GROUP)
    project.task("b", "true", phase="B")
    project.task("c", "true", phase="C")
    (project.root / "zf.yaml").write_text("phases: {C: {needs: [A], max_jobs: 2}}\n")
    older = project.popen("run", "--keep-going", "-v", "--run-id", "r1")
    assert any("start     a" in line for line in older.stderr)
    assert project.zf("run", "A", "--run-id", "r2").code == 0
    older.communicate()
    assert older.returncode == 1
    path = project.proof("r1")
    assert verify(str(path)).exit_code == 0
    assert independent_verifier.verify(str(path))[0]
    return path


def in_plan(name, change):
    """What the plan has of this phase is changed."""

    def changed(text):
        plan = json.loads(text)
        change(next(row for row in plan["phases"] if row["name"] == name))
        return json.dumps(plan, sort_keys=True, separators=(",", ":"))

    return "plan.json", changed


CHANGES = {
    "a phase needs less": in_plan("C", lambda row: row.update(needs=[])),
    "a phase does not say": in_plan("C", lambda row: row.pop("needs")),
    "a phase runs more": in_plan("C", lambda row: row.update(max_jobs=9)),
    "a part is the whole": in_plan("B", lambda row: row.update(whole=False)),
    "it did not keep going": (
        "run.json",
        lambda text: text.replace('"keep_going":true', '"keep_going":false').replace(
            '"keep_going": true', '"keep_going": false'
        ),
    ),
    "another run asked": ("events.jsonl", lambda text: text.replace("run r2", "run r3")),
    "none asked": ("events.jsonl", lambda text: text.replace('"by":"run r2"', '"by":""')),
    "another end": (
        "a/99-summary/status.json",
        lambda text: text.replace("superseded", "cancel"),
    ),
    "a group that waits": (
        "a/00-meta/task.json",
        lambda text: text.replace("cancel_running", "queue"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_by_both_verifiers(run, name):
    file, change = CHANGES[name]
    path = run / file
    good = path.read_text()
    assert change(good) != good, good
    path.write_text(change(good))
    try:
        assert verify(str(run)).exit_code != 0
        assert not independent_verifier.verify(str(run))[0]
    finally:
        path.write_text(good)
