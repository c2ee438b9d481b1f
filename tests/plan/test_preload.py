"""A project loaded in a second process is the same project, and that process leaves nothing."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.plan_files import good, write
from zf.plan import load, places, preload

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/tasks"))
EVERYTHING = """\
id: x
title: All there is
phase: A
needs: [y, {task: z, optional: true, require: done}]
condition: ${CI} == 'true'
parallel_safe: true
timeout_sec: 12.5
silence_timeout_sec: 3
queue_timeout_sec: 4
deadline_sec: 5
start_after: 6
allow_failure: {exit_codes: [3, 4]}
allow_timeout: true
max_retries: 2
retry_delay_sec: 0.5
retry_max_delay_sec: 9
retry_on: [failure]
resources: {cpu: 2, database: 1}
priority: -3
concurrency: db
workdir: src
env: {A: "1", B: "\\u00e9\\U0001F600"}
pass_env: [AWS_*]
secrets: [TOKEN]
allow_secrets_in: [a.txt]
commands:
  - {name: one, run: "true"}
  - run: |
      echo two
cleanup: [{run: "rm -f x"}]
cleanup_timeout_sec: 7
leave_running: true
max_log_bytes: 1000
artifacts: [out/*.xml]
"""
PROJECT = """\
pass_env: [HOME]
secrets: [KEY]
max_jobs: 3
grace_sec: 1.5
sign: true
resources: {database: 1}
throttle: {cpu_percent: 90, min_free_mem: 100}
phases: {A: {title: First, timeout_sec: 60}}
"""


def loaded_ahead(root, home=None):
    with preload.loading(str(root), str(home or root), default_phase_timeout_s=3600) as result:
        return result()


def loaded_here(root, home=None):
    return load.load(str(root), str(home or root), default_phase_timeout_s=3600)


@pytest.fixture
def no_more_children():
    """Zombies are children too."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.parametrize("tasks", EXAMPLES, ids=lambda tasks: tasks.parent.name)
def test_the_examples_are_the_same(tasks):
    root, home = places.find_root(str(tasks.parent))
    assert loaded_ahead(root, home) == loaded_here(root, home)


def test_every_key_comes_over(tmp_path):
    write(tmp_path, {"x": EVERYTHING, "y": good("y"), "zf.yaml": PROJECT})
    found = loaded_ahead(tmp_path)
    assert found == loaded_here(tmp_path)
    flow = found.flow
    assert flow is not None
    mine, other = flow.tasks["x"], loaded_here(tmp_path).flow.tasks["x"]
    # Of the same types too: 1 and 1.0 and True are equal, and written differently.
    assert [repr(getattr(mine, name)) for name in mine.__struct_fields__] == [
        repr(getattr(other, name)) for name in other.__struct_fields__
    ]
    assert flow.tasks["x"].needs[0].line == 4
    assert flow.project.phases["A"].timeout_s == 60


@pytest.mark.parametrize(
    "files",
    [
        {"x": "id: [x"},
        {"x": good("x", "y"), "y": good("y", "x")},
        {"x": good("x").replace("id: x", "id: x\ncolour: red"), "tasks/loose.yaml": "id: l\n"},
        {"x": good("x"), "tasks/loose.yaml": "id: l\n"},
    ],
    ids=["no yaml", "circle", "unknown key", "warning"],
)
def test_problems_come_over(tmp_path, files):
    write(tmp_path, files)
    found = loaded_ahead(tmp_path)
    assert found.problems
    assert found == loaded_here(tmp_path)


def test_a_large_project_is_more_than_a_pipe_holds(tmp_path):
    write(tmp_path, {f"t{n}": good(f"t{n}") for n in range(1500)})
    found = loaded_ahead(tmp_path)
    assert len(found.flow.tasks) == 1500
    assert found == loaded_here(tmp_path)


def test_without_a_second_process_there_is_no_result(tmp_path, monkeypatch):
    def refused():
        raise BlockingIOError

    write(tmp_path, {"x": good("x")})
    monkeypatch.setattr(os, "fork", refused)
    assert loaded_ahead(tmp_path) is None


@pytest.mark.usefixtures("no_more_children")
@pytest.mark.parametrize("sent", [0, 10])
def test_when_it_dies_there_is_no_result(tmp_path, monkeypatch, sent):
    """Before it wrote anything, or in the middle."""
    write(tmp_path, {"x": good("x")})
    whole = preload._packed
    monkeypatch.setattr(preload, "_packed", lambda loaded: whole(loaded)[:sent])
    assert loaded_ahead(tmp_path) is None


@pytest.mark.usefixtures("no_more_children")
def test_it_is_gone_when_the_caller_goes_on_without_it(tmp_path, monkeypatch):
    write(tmp_path, {"x": good("x")})
    held, holding = os.pipe()
    monkeypatch.setattr(preload, "_packed", lambda loaded: os.read(held, 1))
    with (
        pytest.raises(KeyboardInterrupt),
        preload.loading(str(tmp_path), str(tmp_path), default_phase_timeout_s=60),
    ):
        raise KeyboardInterrupt
    for fd in (held, holding):
        os.close(fd)


def test_it_ends_when_the_caller_is_killed_before_it_reads(tmp_path):
    write(tmp_path, {"x": good("x")})
    program = (
        "import os; from zf.plan import preload\n"
        "preload._packed = lambda loaded: b'x' * 1_000_000\n"
        f"with preload.loading({str(tmp_path)!r}, {str(tmp_path)!r}, default_phase_timeout_s=60):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    # It has this pipe, too, and so that is at its end only when both are gone.
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == -9


def test_a_run_whose_loader_dies_loads_for_itself(tmp_path):
    write(tmp_path, {"x": good("x").replace("make", "echo hello")})
    program = (
        "import sys; from zf.plan import preload; from zf.cli import quick;"
        "preload._packed = lambda loaded: b'';"
        "sys.exit(quick.run(['run-phase', 'A', '--run-id', 'r']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "proofs/r/x/20-logs/step-0.log").read_text() == "hello\n"


def test_the_runner_itself_imports_no_parser(tmp_path):
    """Or all this is for nothing."""
    write(tmp_path, {"x": good("x").replace("make", "echo hello")})
    program = (
        "import sys; from zf.cli import quick;"
        "code = quick.run(['run-phase', 'A']);"
        "parsers = {'yaml', 'pydantic_core', 'zf.plan.load', 'zf.plan.schema'};"
        "print(sorted(parsers & sys.modules.keys()));"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"
