"""What earlier runs took: the kept file, which the journals can replace, and what follows of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.program import Project
from zf.proof.durations.form import Durations, Took
from zf.proof.durations.runs import earlier, keep, weights

A, B = "a" * 64, "b" * 64


def row(name: str, *needs: str, script: str = A) -> dict[str, object]:
    return {"id": name, "script_sha256": script, "needs": [{"task": need} for need in needs]}


class TestWeights:
    def test_runs_come_before_the_file_of_the_project(self):
        own = Durations(tasks={"a": Took(A, [1]), "b": Took(B, [9])})
        kept = Durations(tasks={"a": Took(A, [5]), "b": Took(A, [3])})
        assert weights([row("a"), row("b")], own, kept) == {"a": 1, "b": 3}

    def test_an_unknown_task_takes_for_each_need_what_the_others_take(self):
        own = Durations(tasks={"a": Took(A, [2]), "b": Took(A, [4])})
        rows = [row("a"), row("b"), row("c"), row("d", "a", "b")]
        assert weights(rows, own) == {"a": 2, "b": 4, "c": 3, "d": 6}

    def test_where_nothing_is_known_nothing_is_guessed(self):
        assert weights([row("a")], Durations(tasks={"a": Took(B, [1])})) == {}
        assert weights([], Durations()) == {}

    def test_the_longest_that_can_be_known_is_not_too_long(self):
        own = Durations(tasks={"a": Took(A, [1e11])})
        rows = [row("a"), row("b", *(f"n{n}" for n in range(1000)))]
        assert weights(rows, own) == {"a": 1e11, "b": 1e11}


def test_what_is_kept_is_found_again(tmp_path):
    known = Durations()
    known.add("r1", [row("t")], {"t": 2.0})
    keep(known, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["durations.json"]
    assert earlier(f"{tmp_path}/no-proofs", str(tmp_path)) == known


def test_proofs_that_are_no_folder_say_nothing(tmp_path):
    (tmp_path / "proofs").write_text("")
    assert earlier(f"{tmp_path}/proofs", f"{tmp_path}/proofs/.locks") == Durations()


def test_nowhere_to_keep_it_is_no_error(tmp_path):
    keep(Durations(), f"{tmp_path}/missing")


@pytest.fixture
def runs(project: Project) -> Project:
    """Two runs of a task that goes well, one that fails and one whose failure is tolerated."""
    project.task("good", "true", parallel_safe=True)
    project.task("bad", "exit 1", parallel_safe=True)
    project.task("warned", "exit 1", parallel_safe=True, allow_failure=True)
    for run in ("r1", "r2"):
        assert project.zf("run-phase", "A", "--run-id", run).code == 1
    return project


def kept(project: Project) -> Path:
    return project.root / "proofs/.locks/durations.json"


def known_of(project: Project) -> Durations:
    proofs = f"{project.root}/proofs"
    return earlier(proofs, f"{proofs}/.locks")


def test_a_run_leaves_what_its_journal_says(runs):
    left = Durations.load(str(kept(runs)))
    assert left.runs == ["r2", "r1"]
    assert sorted(left.tasks) == ["good", "warned"]
    assert len(left.tasks["good"].seconds) == 2
    kept(runs).unlink()
    assert known_of(runs) == left


@pytest.mark.parametrize("harm", ["", "{", "[]", '{"schema": "zf/durations/v9"}'])
def test_a_kept_file_that_is_none_is_made_again(runs, harm):
    left = Durations.load(str(kept(runs)))
    kept(runs).write_text(harm)
    assert known_of(runs) == left


def test_a_run_that_the_kept_file_does_not_know_is_read(runs):
    """Another zf ended at the same moment, or the run was brought here."""
    before = kept(runs).read_bytes()
    assert runs.zf("run-phase", "A", "--run-id", "r3").code == 1
    kept(runs).write_bytes(before)
    known = known_of(runs)
    assert known.runs == ["r3", "r2", "r1"]
    assert len(known.tasks["good"].seconds) == 3


def test_runs_that_cannot_be_read_are_passed_over(runs):
    kept(runs).unlink()
    proofs = runs.root / "proofs"
    (proofs / "r1/plan.json").write_text("{}")
    shutil.copytree(proofs / "r2", proofs / "unsealed")
    (proofs / "unsealed/MANIFEST.sha256").unlink()
    shutil.copytree(proofs / "r2", proofs / "large")
    with (proofs / "large/events.jsonl").open("r+b") as journal:
        journal.truncate(9 * 1024 * 1024)
    assert known_of(runs).runs == ["r2"]
