"""The file a project keeps of how long its tasks take."""

from __future__ import annotations

import pytest

from zf.proof.durations.form import Durations, Took
from zf.proof.durations.project import for_project, of_project, table

A, B = "a" * 64, "b" * 64
ROWS = [{"id": name, "script_sha256": A} for name in ("t", "u")]


def known(**seconds: float) -> Durations:
    return Durations(tasks={name: Took(A, [s]) for name, s in seconds.items()})


@pytest.mark.parametrize(
    ("now", "before", "written", "changed"),
    [
        pytest.param(known(t=2), None, known(t=2), 1, id="the first file"),
        pytest.param(known(t=10.9), known(t=10), known(t=10), 0, id="less than a tenth"),
        pytest.param(known(t=11.1), known(t=10), known(t=11.1), 1, id="more than a tenth"),
        pytest.param(known(), known(t=10), known(t=10), 0, id="no run here says otherwise"),
        pytest.param(known(t=1), known(t=1, gone=5), known(t=1), 1, id="a task that is gone"),
        pytest.param(known(t=0), known(t=0), known(t=0), 0, id="nothing is nothing"),
        pytest.param(known(), None, known(), 0, id="nothing known"),
    ],
)
def test_what_is_written_and_how_much_of_it_is_new(now, before, written, changed):
    assert for_project(ROWS, now, before) == (written, changed)


def test_of_another_script_nothing_is_kept():
    before = Durations(tasks={"t": Took(B, [9])})
    assert for_project(ROWS, known(u=1), before) == (known(u=1), 2)


def test_the_median_of_the_runs_is_written():
    runs = Durations(tasks={"t": Took(A, [1, 2, 9])}, runs=["r3", "r2", "r1"])
    assert for_project(ROWS, runs, None)[0] == known(t=2)


def test_the_table_says_where_each_is_from():
    assert list(table([*ROWS, {"id": "v", "script_sha256": A}], known(t=1), known(t=5, u=2))) == [
        {"task": "t", "expected_s": 1, "seconds": [1], "from": "runs"},
        {"task": "u", "expected_s": 2, "seconds": [2], "from": "file"},
        {"task": "v", "expected_s": None, "seconds": [], "from": None},
    ]


def test_no_file_is_no_problem(tmp_path):
    assert of_project(str(tmp_path), str(tmp_path)) == (None, None)


@pytest.mark.parametrize(
    ("text", "line"), [("{\nno", 2), (None, None)], ids=["malformed", "a link to nothing"]
)
def test_a_file_of_no_use_is_a_warning_with_its_place(tmp_path, text, line):
    home = tmp_path / ".zenflow"
    home.mkdir()
    path = home / "durations.json"
    if text is None:
        path.symlink_to("nothing")
    else:
        path.write_text(text)
    found, problem = of_project(str(tmp_path), str(home))
    assert found is None
    assert problem is not None
    assert (problem.code, problem.severity) == ("ZF109", "warning")
    assert (problem.file, problem.line) == (".zenflow/durations.json", line)
    assert problem.hint is not None
    assert "zf durations --write" in problem.hint
