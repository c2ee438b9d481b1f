"""An instance of a matrix cannot be forged: not its name, not its values, not by making all else
fit. A verifier that was written from the convention alone agrees.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.findings import State
from zf.audit.instances import misnamed
from zf.audit.verify import verify

LONG = "x" * 60
TASK = f"""\
id: test
phase: A
parallel_safe: true
matrix:
  py: [3.11, feature/x]
  include: [{{py: 3.11, extra: 1}}, {{py: 3.13, a_long_axis: {LONG}, another_long_axis: {LONG}z, third_axis: {LONG}}}]
commands: [{{run: 'true'}}]
"""
PLAIN, MARKED = "test@py=3.11", "test@py=feature-x-217d2bf5"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    project = Project(tmp_path_factory.mktemp("matrix") / "project")
    project.file("test", TASK)
    project.task("plain", "true", needs=["test"])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    return project.proof("r")


def rows(plan):
    return {row["id"]: row for row in plan["tasks"]}


def cut(plan):
    return next(row for row in plan["tasks"] if ",etc=" in row["id"])


FORGED_PLANS = {
    "a value": lambda plan: rows(plan)[PLAIN]["matrix"].update(py="3.12"),
    "a value that was marked": lambda plan: rows(plan)[MARKED]["matrix"].update(py="feature/y"),
    "a value that is left out of the name": lambda plan: cut(plan)["matrix"].update(third_axis="y"),
    "another axis": lambda plan: rows(plan)[PLAIN].update(matrix={"os": "3.11"}),
    "no values": lambda plan: rows(plan)[PLAIN].update(matrix={}),
    "another base": lambda plan: rows(plan)[PLAIN].update(base="lint"),
    "no base": lambda plan: rows(plan)[PLAIN].pop("base"),
    "no matrix": lambda plan: rows(plan)[PLAIN].pop("matrix"),
    "a plain task as an instance": lambda plan: rows(plan)["plain"].update(
        base="test", matrix={"py": "3.13"}
    ),
    "fewer instances": lambda plan: plan["instances"].update(test=1),
    "no number of instances": lambda plan: plan.pop("instances"),
    "a matrix that is not there": lambda plan: plan["instances"].update(lint=2),
    "more than the task says": lambda plan: rows(plan)[PLAIN]["matrix"].update(os="a"),
}
FORGED_TASKS = {
    "another value": lambda task: task["matrix"].update(py="3.12"),
    "another base": lambda task: task.update(base="lint"),
    "no matrix": lambda task: task.pop("matrix"),
}


def refuse(run: Path) -> None:
    """The forger made all lists, the journal and the seal anew."""
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    seal(str(run))
    found = verify(str(run))
    assert found.verdicts[0].state == State.FAILED, found.render()
    assert independent_verifier.verify(str(run))[0] is False


def test_the_run_itself_is_whole_for_both(run):
    assert verify(str(run)).exit_code == 0
    assert independent_verifier.verify(str(run)) == (True, True)


@pytest.mark.parametrize("forged", FORGED_PLANS)
def test_a_forged_row_of_the_plan_is_found(run, tmp_path, forged):
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    plan = json.loads((copy / "plan.json").read_text())
    FORGED_PLANS[forged](plan)
    (copy / "plan.json").write_text(json.dumps(plan, separators=(",", ":")) + "\n")
    refuse(copy)


@pytest.mark.parametrize("forged", FORGED_TASKS)
def test_a_forged_record_of_an_instance_is_found(run, tmp_path, forged):
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    path = copy / PLAIN / "00-meta" / "task.json"
    task = json.loads(path.read_text())
    FORGED_TASKS[forged](task)
    path.write_text(json.dumps(task))
    refuse(copy)


def test_a_renamed_instance_is_found(run, tmp_path):
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    (copy / PLAIN).rename(copy / "test@py=3.12")
    refuse(copy)


def test_what_is_wrong_is_told():
    row = {"id": "t@a=1", "base": "t", "matrix": {"a": "2"}}
    assert [*misnamed(row)] == ["'t@a=1' is not called by its values: 'a=1'"]
    assert [*misnamed({**row, "id": "t@a=2"})] == []
    assert [*misnamed({**row, "id": "t@a=2,a=2"})] != []
