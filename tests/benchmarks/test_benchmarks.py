"""The harness of the benchmarks: graphs, their check, what it prints, and the floor it compiles."""

import importlib
import json
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest
from benchmarks.bench import Row

from benchmarks import __main__ as command
from benchmarks import measure, report, runners, shapes, single, stages

SHAPES = [
    shapes.wide(30),
    shapes.layers(4, 5),
    shapes.chain(12),
    shapes.skewed(60, hub=40),
]
IDS = [shape.name for shape in SHAPES]
HERE = Path(__file__).parents[2]
DIAMOND = shapes.Shape("diamond", {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_task_stands_after_what_it_needs(shape):
    assert shapes.violation(shape, list(shape.needs)) is None


@pytest.mark.parametrize(
    ("order", "wrong"),
    [
        ("a b c d", None),
        ("a c b d", None),
        ("a b c", "3 of 4 tasks ran"),
        ("a b c d d", "1 tasks ran more than once"),
        ("a b d c", "d ran before c, which it needs"),
        ("a b c e", "3 of 4 tasks ran"),
        ("", "0 of 4 tasks ran"),
    ],
)
def test_what_ran_wrongly_is_found(order, wrong):
    assert shapes.violation(DIAMOND, order.split()) == wrong


def test_the_shapes_are_what_their_names_say():
    wide, layers, chain, skewed = SHAPES
    assert set(map(len, wide.needs.values())) == {0}
    assert sorted(map(len, layers.needs.values())) == [0] * 5 + [2] * 15
    assert sorted(map(len, chain.needs.values())) == [0] + [1] * 11
    assert sum("t00000" in needs for needs in skewed.needs.values()) == 40
    assert skewed == shapes.skewed(60, hub=40)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return runners.installed(runners.compile_floor(str(tmp_path_factory.mktemp("floor"))))[0]


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_every_installed_runner_runs_every_shape_rightly(shape, here, tmp_path):
    for runner in here:
        folder = tmp_path / runner.name
        folder.mkdir()
        runner.write(shape, str(folder))
        done = subprocess.run(runner.run_command(2), cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, (runner.name, done.stdout, done.stderr)
        order = (folder / "order").read_text().split()
        assert shapes.violation(shape, order) is None, runner.name


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler, as the floor does")
def test_the_floor_writes_the_nine_files_of_a_proof(here, tmp_path):
    floor, zf = (next(r for r in here if r.name == n) for n in (runners.FLOOR, runners.ZF))
    trees = []
    for runner in (floor, zf):
        folder = tmp_path / runner.name
        folder.mkdir()
        runner.write(shapes.wide(1), str(folder))
        subprocess.run(runner.run_command(1), cwd=folder, capture_output=True, check=True)
        task = next((folder / "proofs").rglob("t00000"))
        trees.append({str(p.relative_to(task)) for p in task.rglob("*") if p.is_file()})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 9


def test_without_a_compiler_the_floor_is_left_out_and_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert runners.compile_floor(str(tmp_path)) is None
    there, missing = runners.installed(None)
    assert [runner.name for runner in there if runner.name != runners.ZF_SHIELDED] == [runners.ZF]
    assert missing[0] == "C floor: left out, there is no C compiler"
    assert "make: left out, `make` is not installed" in missing


ROWS = [
    Row(
        work="wide-30: wall / C floor with proof",
        value=1.25,
        unit="x",
        target=1.3,
        must=2.0,
        limit="go-task",
        detail="0.1 s / 0.08 s",
        samples={"zf": [0.1]},
        peers={"C floor": 0.08, "zf": 0.1, "go-task": 0.16},
    ),
    Row("memory <&>", 64.2, "MB", 60, 100, "one task: 40 MB"),
    Row("slow", 700.4, "ms", 5, 25, ""),
    Row("no limit", 2.0, "x", 1.3, None, "", limit="go-task"),
]


def test_the_table_says_which_limits_are_kept():
    lines = report.table(ROWS).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [line[1:5] for line in cells[2:]] == [
        ["**1.25 x**", "1.3 x", "go-task: 2 x", "target met"],
        ["**64.2 MB**", "60 MB", "100 MB", "met"],
        ["**700 ms**", "5 ms", "25 ms", "MISSED"],
        ["**2 x**", "1.3 x", "go-task: none", "above target"],
    ]
    assert "0.160 s (2.00)" in report.peers_table(ROWS)
    assert json.loads(report.as_json(ROWS, {"date": "d"}))["rows"][0]["samples"] == {"zf": [0.1]}


def test_the_chart_is_an_image_with_a_bar_for_each_runner():
    image = ET.fromstring(report.chart(ROWS))
    bars = [e for e in image.iter() if e.tag.endswith("rect")]
    widths = {bar.get("class"): float(bar.get("width")) for bar in bars}
    assert widths["zf"] / widths["floor"] == pytest.approx(1.25, abs=0.01)
    assert widths["peer"] / widths["floor"] == pytest.approx(2, abs=0.01)


def test_only_what_is_between_the_markers_is_replaced():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.between_markers(page, "new\n")
    assert once == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.between_markers(once, "new\n") == once
    with pytest.raises(ValueError, match="no <!-- measured: begin -->"):
        report.between_markers("nothing", "new\n")


def test_every_stage_names_a_module_that_is_there():
    for name in stages.STAGES:
        importlib.import_module(name)


def test_a_stopwatch_takes_each_function_by_itself():
    watch = stages.Stopwatch()
    inner = watch.wrap("inner", lambda: sum(range(20_000)))
    outer = watch.wrap("outer", lambda: [inner() for _ in range(20)])
    outer()
    assert watch.calls == {"inner": 20, "outer": 1}
    assert watch.self_ns["inner"] > 10 * watch.self_ns["outer"] > 0


def test_a_process_killed_while_it_writes_its_counts_leaves_none(tmp_path):
    killed_midway = """
import json, os, signal, sys
from benchmarks import stages

def half(counts, file):
    file.write(json.dumps(counts)[:20])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

json.dump = half
stages.main(sys.argv[1], ["validate"])
"""
    done = subprocess.run([sys.executable, "-c", killed_midway, tmp_path], cwd=HERE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir())
    assert stages.reports(str(tmp_path)) == []


def test_a_process_that_has_just_ended_has_no_name():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended, here = psutil.Process(child.pid), psutil.Process()
    child.communicate()
    assert single._count_named(here.name(), [ended, here]) == 1


def test_a_row_that_fails_costs_no_other(monkeypatch, capsys):
    def fails(bench):
        raise measure.FailedError("it fell over")

    monkeypatch.setattr(command, "ROWS", {"start": command.ROWS["start"], "bad": fails})
    assert command.main(["--quick", "--rounds", "1"]) == 1
    printed = capsys.readouterr()
    assert "`zf --version`" in printed.out
    assert "it fell over" in printed.err
