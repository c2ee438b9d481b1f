"""The list of runs: filtered, in parts, and remembered."""

import os
from pathlib import Path

import pytest

from tests.support.proof_bundles import FAILED, OK, Run
from zf.errors import ZfError
from zf.events import Cause, Status
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries, Wanted


def a_run(proofs: Path, name: str, began: int, *, ending=OK, commit="c0ffee01" * 5) -> Run:
    run = Run(proofs, name, commit).plan(first=(), second=("first",))
    run.attempt("first", ending)
    if ending is OK:
        run.attempt("second", OK)
    else:
        run.not_run("second", Status.BLOCKED, Cause.NEED, first=Status.FAILURE)
    run.end(0 if ending is OK else 1)
    os.utime(proofs / name / "run.json", (began, began))
    return run


@pytest.fixture
def runs(tmp_path) -> Summaries:
    a_run(tmp_path, "oldest", 1_000)
    a_run(tmp_path, "broken", 2_000, ending=FAILED)
    a_run(tmp_path, "newest", 3_000, commit="abcdef01" * 5)
    (tmp_path / ".locks").mkdir()
    return Summaries(str(tmp_path), OpenRuns(str(tmp_path)))


def listed(runs: Summaries, **wanted: str) -> list[str]:
    return [row.run for row in runs.listed(Wanted(**wanted)).rows]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["newest", "broken", "oldest"]),
        ({"result": "failed"}, ["broken"]),
        ({"phase": "A"}, ["newest", "broken", "oldest"]),
        ({"phase": "B"}, []),
        ({"branch": "main", "commit": "abcdef"}, ["newest"]),
        ({"since": "2026-11-21"}, ["newest", "broken", "oldest"]),
        ({"since": "2026-11-22"}, []),
        ({"text": "FIRST failure"}, ["broken"]),
        ({"text": "alice old"}, ["oldest"]),
    ],
    ids=str,
)
def test_only_what_is_wanted_is_listed(runs, wanted, found):
    assert listed(runs, **wanted) == found
    assert listed(runs, **wanted) == found, "the second time out of memory"


def test_a_list_comes_in_parts_which_new_runs_do_not_shift(runs, tmp_path):
    first = runs.listed(Wanted(), most=2)
    assert [row.run for row in first.rows] == ["newest", "broken"]
    a_run(tmp_path, "newer-still", 4_000)
    rest = runs.listed(Wanted(), first.next, most=2)
    assert ([row.run for row in rest.rows], rest.next) == (["oldest"], "")
    with pytest.raises(ValueError, match="nonsense"):
        runs.listed(Wanted(), "nonsense")


def test_a_row_says_what_a_list_shows(runs):
    row = runs.of("broken")
    assert (row.result, row.tasks, dict(row.counts)) == ("failed", 2, {"failure": 1, "blocked": 1})
    assert (row.causes, row.end_of("second")) == ((("first", "failure"),), "blocked")
    assert (row.branch, row.user, row.end_of("third")) == ("main", "alice", "")


def test_a_run_that_goes_on_is_read_again_and_one_that_is_over_is_not(tmp_path, monkeypatch):
    runs = Summaries(str(tmp_path), OpenRuns(str(tmp_path)))
    run = Run(tmp_path, "r1").plan(first=())
    assert runs.of("r1").result == "unfinished"
    run.attempt("first", OK)
    run.end(0)
    assert runs.of("r1").result == "passed"
    monkeypatch.setattr("zf.server.live.summaries._read", None)
    assert listed(runs) == ["r1"]


def test_a_run_that_is_removed_is_gone_and_one_without_its_run_json_comes_later(runs, tmp_path):
    (tmp_path / "coming").mkdir()
    assert listed(runs) == ["newest", "broken", "oldest"]
    (tmp_path / "coming" / "run.json").write_text("{}")
    assert listed(runs)[0] == "coming"
    assert runs.of("coming").result == "unreadable"
    assert str(tmp_path) not in runs.of("coming").told
    (tmp_path / "oldest").rename(tmp_path / ".oldest")
    assert listed(runs) == ["coming", "newest", "broken"]
    with pytest.raises(ZfError, match="unknown run 'oldest'"):
        runs.find("oldest")
    assert runs.find("newe") == "newest"


def test_how_each_task_ended_is_kept_of_a_large_run_too(tmp_path):
    """The page of the tasks says it: none of them would seem to have run."""
    run = Run(tmp_path, "large", "c0ffee01" * 5).plan(**{f"t{n}": () for n in range(5000)})
    run.attempt("t4999", OK)
    run.end(1)
    [row] = Summaries(str(tmp_path), OpenRuns(str(tmp_path))).listed(Wanted()).rows
    assert dict(zip(row.ids, row.ends, strict=True))["t4999"] != row.ends[0]
