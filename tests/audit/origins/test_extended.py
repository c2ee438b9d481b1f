"""Instances that joined a plan cannot be added, left out or changed, not by making all else fit. A
verifier that was written from the convention alone agrees.
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.findings import State
from zf.audit.verify import verify

FILE = """\
tasks:
  plan:
    outputs: [list, other, empty]
    commands:
      - |
        echo 'list=["a", "b", 3.10]' >> "$ZF_OUTPUT"
        echo 'other=["a", "b"]' >> "$ZF_OUTPUT"
        echo 'empty=[]' >> "$ZF_OUTPUT"
  lint: {parallel_safe: true, commands: ['true']}
  test:
    needs: [plan, lint]
    parallel_safe: true
    matrix: {from: plan.list}
    commands: ['echo "$MATRIX_ITEM" > "$ARTIFACTS_DIR/it"']
  more:
    needs: [plan]
    parallel_safe: true
    matrix: {item: {from: plan.other}, os: [x, y], exclude: [{item: a, os: y}], include: [{item: b, z: 1}]}
    commands: ['true']
  none:
    needs: [plan]
    matrix: {from: plan.empty}
    commands: ['true']
  report:
    needs: [test]
    commands: ['ls "$NEEDS_DIR"']
"""
A, B, LAST = "test@item=a", "test@item=b", "test@item=3.10"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("extended") / "project")
    (project.root / "zf.yaml").write_text(FILE)
    return project


@pytest.fixture(scope="module")
def run(project) -> Path:
    assert project.zf("run", "--run-id", "r").code == 0
    return project.proof("r")


@pytest.fixture(scope="module")
def chosen(project) -> Path:
    done = project.zf("run", "--run-id", "c", "--matrix", "item=b")
    assert done.code == 0, done
    return project.proof("c")


class Journal:
    """The lines of a run's journal, to be changed; `put` writes them, numbered anew."""

    def __init__(self, run: Path) -> None:
        self.run = run
        lines = (run / "events.jsonl").read_text().splitlines()
        self.rows = [json.loads(line) for line in lines]

    def extension(self, base="test"):
        return next(r for r in self.rows if r["type"] == "plan_extended" and r["base"] == base)

    def index(self, kind, **said):
        return next(
            index
            for index, row in enumerate(self.rows)
            if row["type"] == kind and said.items() <= row.items()
        )

    def without(self, *tasks):
        self.rows = [row for row in self.rows if row.get("task") not in tasks]
        for task in tasks:
            shutil.rmtree(self.run / task, ignore_errors=True)

    def move(self, index, to):
        self.rows.insert(to, self.rows.pop(index))

    def put(self):
        for seq, row in enumerate(self.rows):
            row["seq"] = seq
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in self.rows)
        (self.run / "events.jsonl").write_text(text)


def a_value(journal):
    journal.extension()["instances"][0]["matrix"]["item"] = "c"


def a_value_more(journal):
    journal.extension()["instances"][0]["matrix"]["os"] = "c"


def one_more(journal):
    joined = journal.extension()
    joined["instances"].append({**joined["instances"][0], "id": "test@item=c"})
    joined["instances"][-1]["matrix"] = {"item": "c"}
    joined["of"] = 4
    for row in [row for row in journal.rows if row.get("task") == A]:
        journal.rows.insert(journal.rows.index(row) + 1, {**row, "task": "test@item=c"})
    tree = journal.run / "test@item=c"
    shutil.copytree(journal.run / A, tree)
    for path in tree.rglob("*.json"):
        path.write_text(path.read_text().replace(A, "test@item=c").replace('"a"', '"c"'))


def one_less(journal):
    joined = journal.extension()
    joined["instances"] = [one for one in joined["instances"] if one["id"] != B]
    joined["of"] = 2
    journal.without(B)


def one_less_that_was_not_chosen(journal):
    joined = journal.extension()
    joined["instances"] = [one for one in joined["instances"] if one["id"] != B]
    journal.without(B)


def another_number(journal):
    journal.extension()["of"] = 5


def another_digest(journal):
    journal.extension()["instances"][1]["sha256"] = "0" * 64


def another_order(journal):
    journal.extension()["instances"].reverse()


def another_base(journal):
    journal.extension()["base"] = "lint"


def of_a_task_without_a_matrix(journal):
    journal.rows.insert(
        journal.index("plan_extended", base="test"),
        {**journal.extension(), "base": "report", "instances": [], "of": 1},
    )


def twice(journal):
    journal.rows.insert(journal.index("plan_extended", base="test"), dict(journal.extension()))


def never(journal):
    journal.rows.remove(journal.extension())


def none_at_all(journal):
    """As if the list had been empty."""
    at = journal.index("plan_extended", base="test")
    told = journal.rows[journal.index("task_not_run", task="none")]
    journal.rows[at] = {**told, "task": "test"}
    journal.without(A, B, LAST)
    tree = journal.run / "test"
    shutil.copytree(journal.run / "none", tree)
    for path in tree.rglob("*.json"):
        path.write_text(path.read_text().replace('"none"', '"test"'))


def some_of_an_empty_list(journal):
    at = journal.index("task_not_run", task="none")
    journal.rows[at] = {
        **journal.extension(),
        "base": "none",
        "of": 1,
        "instances": [{"id": "none@item=a", "matrix": {"item": "a"}, "sha256": "0" * 64}],
    }
    shutil.rmtree(journal.run / "none")


def after_one_began(journal):
    at = journal.index("attempt_started", task=LAST)
    journal.move(journal.index("plan_extended", base="test"), at)


def before_the_list_was_there(journal):
    journal.move(journal.index("plan_extended", base="test"), 2)


def a_need_more(journal):
    journal.extension()["instances"][0]["needs"] = ["plan", "lint", "report"]


def another_list(journal):
    _handed_on(journal, ["a", "b"])


def a_list_without_bounds(journal):
    """Which no verifier may make instances of."""
    _handed_on(journal, {f"a{axis}": [*range(1000)] for axis in range(20)})


def a_list_that_is_nested_too_deeply(journal):
    _handed_on(journal, "[" * 100_000)


def _handed_on(journal, value):
    """Change what the need handed on, with its digests."""
    path = journal.run / "plan" / "30-outputs.json"
    before = path.read_text()
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_text(before.replace(r"[\"a\", \"b\", 3.10]", json.dumps(text)[1:-1]))
    assert path.read_text() != before
    digests = [sha256(text.encode()).hexdigest() for text in (before, path.read_text())]
    for row in journal.rows:
        if row.get("outputs_sha256") == digests[0]:
            row["outputs_sha256"] = digests[1]
    status = journal.run / "plan" / "99-summary" / "status.json"
    status.write_text(status.read_text().replace(*digests))


def from_another_output(journal):
    _plan(journal, lambda row: row.update(matrix_from={"from": "plan.other"}))


def no_longer_a_matrix(journal):
    _plan(journal, lambda row: row.pop("matrix_from"))


def _plan(journal, change):
    path = journal.run / "plan.json"
    plan = json.loads(path.read_text())
    change(next(row for row in plan["tasks"] if row["id"] == "test"))
    path.write_text(json.dumps(plan, separators=(",", ":")) + "\n")


def a_name_that_is_no_text(journal):
    journal.extension()["instances"][1]["id"] = 5


FORGED = [
    *(a_value, a_value_more, one_more, one_less, one_less_that_was_not_chosen, another_number),
    *(another_order, another_base, of_a_task_without_a_matrix, twice, never, none_at_all),
    *(some_of_an_empty_list, after_one_began, before_the_list_was_there, a_need_more),
    *(a_list_without_bounds, a_list_that_is_nested_too_deeply, a_name_that_is_no_text),
    *(another_list, from_another_output, no_longer_a_matrix),
]


def forge(run: Path, copy: Path, change) -> str:
    """The forger makes all lists, the journal and the seal anew; what verify says then."""
    shutil.copytree(run, copy)
    journal = Journal(copy)
    change(journal)
    journal.put()
    proof_mutations.repair_lists(copy)
    proof_mutations.repair_journal(copy)
    seal(str(copy))
    found = verify(str(copy))
    assert found.verdicts[0].state == State.FAILED, found.render()
    return found.render()


def test_the_runs_themselves_are_whole_for_both(run, chosen):
    for each in (run, chosen):
        found = verify(str(each))
        assert found.exit_code == 0, found.render()
        assert independent_verifier.verify(str(each)) == (True, True)


def test_making_it_anew_changes_nothing(run, tmp_path):
    with pytest.raises(AssertionError, match="INTACT     PASSED"):
        forge(run, tmp_path / "r", lambda journal: None)
    assert independent_verifier.verify(str(tmp_path / "r")) == (True, True)


@pytest.mark.parametrize("change", FORGED)
def test_what_was_forged_is_found(run, tmp_path, change):
    forge(run, tmp_path / "r", change)
    assert independent_verifier.verify(str(tmp_path / "r"))[0] is False


def test_another_digest_is_found(run, tmp_path):
    told = forge(run, tmp_path / "r", another_digest)
    assert "is not the task that joined the plan, by its digest" in told


def test_a_step_that_was_changed_is_found_by_the_digest(run, tmp_path):
    def change(journal):
        path = journal.run / B / "00-meta" / "task.json"
        task = json.loads(path.read_text())
        task["timeout_sec"] = 5
        path.write_text(json.dumps(task))

    told = forge(run, tmp_path / "r", change)
    assert "by its digest" in told


def test_what_matrix_chose_is_part_of_what_is_compared(chosen, tmp_path):
    def widen(journal):
        path = journal.run / "plan.json"
        path.write_text(
            path.read_text().replace('"matrix":{"item":["b"]}', '"matrix":{"item":["a"]}')
        )

    assert '"matrix":{"item":["b"]}' in (chosen / "plan.json").read_text()
    forge(chosen, tmp_path / "c", widen)
    assert independent_verifier.verify(str(tmp_path / "c"))[0] is False


def test_the_messages_say_what_is_wrong(run, tmp_path):
    assert "are not those that plan.list lists" in forge(run, tmp_path / "1", one_less)
    assert "plan.list lists some" in forge(run, tmp_path / "2", none_at_all)
    assert "known before 'plan' has ended" in forge(run, tmp_path / "3", before_the_list_was_there)
