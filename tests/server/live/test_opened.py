"""Runs in memory: one fold for all who look, which grows with the journal."""

import json
from pathlib import Path

import pytest

from tests.support.proof_bundles import OK, Run
from zf.errors import ZfError
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries, Wanted
from zf.server.pages.ahead import Ahead


def a_run(proofs: Path, name: str) -> Run:
    return Run(proofs, name).plan(first=(), second=("first",))


def test_a_run_that_goes_on_is_folded_on(tmp_path):
    run, opened = a_run(tmp_path, "r1"), OpenRuns(str(tmp_path))
    with opened.open("r1") as before:
        facts, lines = before.facts, list(before.lines)
        assert (before.seq + 1, facts.counts["success"]) == (len(lines), 0)
    run.attempt("first", OK)
    with opened.open("r1") as now:
        assert now.facts is facts
        assert facts.counts["success"] == 1
        assert [line.seq for line in now.lines] == [*range(now.seq + 1)]
        assert [*now.lines][: len(lines)] == lines


def test_what_was_made_lasts_until_the_next_line(tmp_path):
    run, opened = a_run(tmp_path, "r1"), OpenRuns(str(tmp_path))
    with opened.open("r1") as found:
        assert found.once("it", lambda: "old") == "old"
    with opened.open("r1") as found:
        assert found.once("it", lambda: "new") == "old"
    run.attempt("first", OK)
    with opened.open("r1") as found:
        assert found.once("it", lambda: "new") == "new"


def test_lists_take_the_place_of_nothing_that_was_looked_at(tmp_path):
    opened = OpenRuns(str(tmp_path))
    runs = Summaries(str(tmp_path), opened)
    for number in range(40):
        a_run(tmp_path, f"r{number}").attempt("first", OK)
    with opened.open("r7") as looked_at:
        pass
    assert len(runs.listed(Wanted()).rows) == 40
    with opened.open("r7") as again:
        assert again is looked_at


def test_a_row_of_a_run_without_a_zf_is_made_once(tmp_path, monkeypatch):
    """Each list read all runs that never ended, from their first lines on."""
    run = a_run(tmp_path, "r1")
    runs = Summaries(str(tmp_path), OpenRuns(str(tmp_path)))
    assert runs.of("r1").result == "unfinished"
    with monkeypatch.context() as patched:
        patched.setattr("zf.server.live.summaries._read", None)
        assert runs.of("r1").result == "unfinished"
    run.attempt("first", OK)
    assert dict(runs.of("r1").counts)["success"] == 1


def test_a_run_that_cannot_be_read_says_so_each_time(tmp_path):
    run, opened = a_run(tmp_path, "r1"), OpenRuns(str(tmp_path))
    plan = run.path / "plan.json"
    whole = plan.read_text()
    plan.write_text(json.dumps({"tasks": []}))
    for _ in range(2):
        with pytest.raises(ZfError, match="it lacks schema"), opened.open("r1"):
            pass
    plan.write_text(whole)
    with opened.open("r1") as found:
        assert [*found.facts.tasks] == ["first", "second"]


def test_the_newest_runs_are_drawn_before_anybody_looks(tmp_path):
    opened = OpenRuns(str(tmp_path))
    runs = Summaries(str(tmp_path), opened)
    run, ahead = a_run(tmp_path, "r1"), Ahead(runs, opened)
    ahead.make()
    for name in ("first", "second"):
        run.attempt(name, OK)
    run.end(0)
    (run.path / "MANIFEST.sha256").write_text("")
    ahead.make()
    with opened.open("r1") as found:
        made = {name: found.once(name, list) for name in ("causes", "timeline", "graph")}
    assert all(made.values()), made


def test_a_run_that_cannot_be_drawn_is_no_reason_to_draw_no_other(tmp_path):
    for name in ("good", "bad"):
        run = a_run(tmp_path, name)
        run.attempt("first", OK)
        run.end(1)
        (run.path / "MANIFEST.sha256").write_text("")
    (tmp_path / "bad/plan.json").write_text("[]")
    opened = OpenRuns(str(tmp_path))
    Ahead(Summaries(str(tmp_path), opened), opened).make()
    with opened.open("good") as found:
        assert found.once("graph", list)
