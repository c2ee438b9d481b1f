"""Standard streams that are closed, full, or read by nobody: the run goes on, the exit code tells."""

import os
import subprocess

import pytest

from tests.support.program import ZF
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.cli import main
from zf.cli.display.live import Live
from zf.cli.display.progress import Watcher
from zf.report.live import Board
from zf.settings import RunOptions

STREAMS = ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"]
PROGRESS = ["", "--progress json --json", "--output prefix", "--output group"]


def shell(project, line):
    """A line of shell with `zf` in it; the exit code and the outputs."""
    line = line.replace("zf ", " ".join(ZF) + " ", 1)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def two(project):
    """A task that fails and says so at length, and one that succeeds."""
    project.task("a", "seq 1000; echo no; exit 3", parallel_safe=True)
    project.task("b", "seq 1000; echo yes", parallel_safe=True)
    return project


def check_sealed(project):
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED
    assert project.events("r1")[-1]["exit_code"] == 1


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("progress", PROGRESS)
def test_a_run_with_streams_that_are_of_no_use(two, streams, progress):
    code, _, err = shell(two, f"zf run-phase A --run-id r1 {progress} {streams}")
    assert (code, "Traceback" in err) == (1, False)
    check_sealed(two)


@pytest.mark.parametrize("pipe", ["2>&1 | head -1", "2>&1 | true", "2>&1 >/dev/null | head -1"])
@pytest.mark.parametrize("progress", PROGRESS)
def test_a_run_whose_reader_leaves(two, pipe, progress):
    code, _, _ = shell(two, f"zf run-phase A --run-id r1 {progress} {pipe}")
    assert code == 1
    check_sealed(two)


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("words", ["list", "--help", "--version"])
def test_other_verbs(project, streams, words):
    project.task("a", "true")
    code, out, err = shell(project, f"zf {words} {streams}")
    if streams == ">/dev/full":
        said = "error[ZF190]: No space left on device: stdout\n  hint: see that there is room for it, and permission\n"
        assert (code, err) == (2, said)
    elif ">&-" in streams.replace("2>&-", ""):
        assert code == 2
        assert ("Bad file descriptor: stdout" in err) == ("2>&-" not in streams)
    else:
        assert (code, err, bool(out)) == (0, "", True)


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("words", ["run-phase B"])
def test_the_exit_code_of_a_mistake(project, streams, words):
    project.task("a", "true")
    assert shell(project, f"zf {words} {streams}")[0] == 2


def test_a_character_the_terminal_has_no_bytes_for(project):
    project.task("a", "true", title="Über")
    done = project.zf("list", env={"PYTHONIOENCODING": "ascii"})
    assert (done.code, "\\xdcber" in done.out) == (0, True)


# A bug in the display. There is none to be had from outside, so one is put in.

BROKEN = """
import sys
from zf.report import {module}
def broken(*_, **__):
    raise RuntimeError("no picture today")
{module}.{function} = broken
from zf.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("module", "function"), [("terminal", "plain_line"), ("explain", "run"), ("runs", "row")]
)
def test_a_bug_in_the_display_costs_no_outcome(two, tmp_path, module, function):
    program = tmp_path / "broken.py"
    program.write_text(BROKEN.format(module=module, function=function))
    words = ["run-phase", "A", "--run-id", "r1", *(["--json"] if module == "runs" else [])]
    done = subprocess.run(
        [ZF[0], program, *words],
        cwd=two.root,
        env={**two.env, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert (
        "zf: the run is complete, showing it was not: internal error: RuntimeError" in done.stderr
    )
    (trace,) = tmp_path.glob("zf-crash-*.txt")
    assert str(trace) in done.stderr
    assert "no picture today" in trace.read_text()
    check_sealed(two)
    if module == "terminal":
        assert "proof: proofs/r1" in done.stdout


def test_a_board_that_breaks_falls_silent(capsys, monkeypatch):
    """Once, not once a frame."""
    drawn = []

    def broken(self, *_, **__):
        drawn.append(self)
        raise RuntimeError

    monkeypatch.setattr(Board, "frame", broken)
    watcher = Watcher(RunOptions(typed={"progress": "plain"}), "proofs")
    watcher._live = Live(
        watcher._lines, "proofs", watcher._style, most=None, whole=False, logs=True
    )
    for moment in range(3):
        watcher.watch(None, None, float(moment))
    assert len(drawn) == 1
    assert capsys.readouterr() == ("", "")


def test_where_no_file_can_be_written_the_traceback_is_told(monkeypatch, capsys):
    """The disk may be full when zf finds out that it has a bug."""

    def broken(*_args, **_keys):
        raise RuntimeError("a bug")

    monkeypatch.setattr("zf.cli.verbs.tasks.open_project", broken)
    monkeypatch.setattr("tempfile.tempdir", os.devnull)
    assert main.run(["list"]) == 70
    err = capsys.readouterr().err
    assert "zf: internal error: RuntimeError: a bug\n" in err
    assert "The traceback is:\n" in err
    assert "Traceback" in err
