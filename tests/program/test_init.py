"""`zf init` makes a project of a folder, and `zf new` adds tasks to one: asked first, never over what
is there, and nothing that would not load.
"""

import json
import os
import pty
import subprocess

import pytest
import yaml

from tests.support.program import ZF, Project
from tests.support.tools import program

PACKAGE = {"scripts": {"test": "node --version"}}
TEXT = """\
# `zf run` runs all of this, `zf run test` one task with what it needs.
defaults: {timeout_sec: 1800}
tasks:
  test: npm test
"""


@pytest.fixture
def package(project):
    """A project of which zf knows nothing yet, with a package manager that does as it is told."""
    (project.root / "package.json").write_text(json.dumps(PACKAGE))
    programs = project.root.parent / "bin"
    programs.mkdir()
    (programs / "npm").write_text('#!/bin/sh\n[ "$1" = --version ] || echo npm $*\n')
    (programs / "npm").chmod(0o755)
    project.env["PATH"] = f"{programs}:{project.env['PATH']}"
    return project


def test_what_it_writes_runs_and_a_second_time_nothing_changes(package):
    done = package.zf("init", "--yes")
    assert done.code == 0
    assert done.out == TEXT
    assert "looked at package.json" in done.err
    assert (package.root / "zf.yaml").read_text() == TEXT
    assert package.zf("run", "--run-id", "r1").code == 0
    assert package.log("r1", "test") == b"npm test\n"
    before = (package.root / "zf.yaml").stat()
    again = package.zf("init", "--yes")
    assert (again.code, again.out) == (0, "")
    assert "zf.yaml is there already: nothing in it was changed" in again.err
    assert (package.root / "zf.yaml").stat() == before


def test_without_a_terminal_it_shows_and_writes_nothing(package):
    done = package.zf("init")
    assert done.code == 1
    assert done.out == TEXT
    assert "hint: zf init --yes" in done.err
    assert sorted(os.listdir(package.root)) == ["package.json", "tasks"]


def test_the_way_to_take_the_ci_over_is_told_and_works(package):
    workflows = package.root / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "ci.yml").write_text(
        "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"
    )
    done = package.zf("init")
    command = "zf import github .github/workflows/ci.yml"
    assert f"or, to take the CI over: {command}\n" in done.err
    assert package.zf(*command.split()[1:]).code == 0
    assert (package.root / "zf.yaml").exists()


def on_a_terminal(project: Project, answer: str) -> tuple[int, str]:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*ZF, "init"], cwd=project.root, env=project.env, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    said = ""
    while "[Y/n]" not in said:
        said += os.read(parent, 4096).decode()
    os.write(parent, answer.encode())
    while True:
        try:
            more = os.read(parent, 4096).decode()
        except OSError:
            break
        if not more:
            break
        said += more
    os.close(parent)
    return process.wait(), said


@pytest.mark.parametrize(
    ("answer", "code"),
    [("\n", 0), ("y\n", 0), ("n\n", 1), ("what\n", 1), ("\x04", 1)],
)
def test_it_asks_once(package, answer, code):
    assert on_a_terminal(package, answer)[0] == code
    assert (package.root / "zf.yaml").exists() == (code == 0)


@pytest.mark.parametrize(
    "there",
    ["zf.yaml", "zf.yml", "tasks/x/task.yaml", "tasks/ci.yaml", ".zenflow/tasks/x/task.yaml"],
)
def test_a_project_that_is_one_is_left_as_it_is(package, there):
    path = package.root / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("tasks: {a: 'true'}\n")
    done = package.zf("init", "--yes")
    assert (done.code, done.out) == (0, "")
    assert "there already" in done.err
    assert path.read_text() == "tasks: {a: 'true'}\n"
    assert there == "zf.yaml" or not (package.root / "zf.yaml").exists()


def test_a_folder_is_named(package):
    done = package.zf("init", "project", "--yes", cwd=package.root.parent)
    assert done.code == 0
    assert "next: zf -C project run" in done.err
    assert package.zf("-C", "project", "run", cwd=package.root.parent).code == 0
    assert package.zf("init", "nowhere").code == 2


def test_the_workflow_that_tests_is_the_one_to_take_over(package):
    folder = package.root / ".github" / "workflows"
    folder.mkdir(parents=True)
    for name in ("audit.yml", "ci-release.yml", "main.yml", "tests.yaml"):
        (folder / name).write_text("on: push\njobs: {}\n")
    assert "zf import github .github/workflows/main.yml\n" in package.zf("init", "--yes").err


def test_the_job_for_github(package, tmp_path):
    assert package.zf("init", "--yes", "--ci", "github").code == 0
    path = package.root / ".github" / "workflows" / "zf.yml"
    sound("github-workflows", path)
    zizmor = [program("zizmor"), "--offline", "--quiet", str(path)]
    done = subprocess.run(zizmor, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    # And once more: nothing changes.
    before = path.read_text()
    again = package.zf("init", "--yes", "--ci", "github")
    assert (again.code, again.out) == (0, "")
    assert path.read_text() == before


def test_the_job_for_gitlab(package):
    assert package.zf("init", "--yes", "--ci", "gitlab").code == 0
    path = package.root / ".gitlab-ci.yml"
    sound("gitlab-ci", path)
    again = package.zf("init", "--yes", "--ci", "gitlab")
    assert (again.code, again.out) == (0, "")
    path.write_text("build: {script: make}\n")
    shown = package.zf("init", "--yes", "--ci", "gitlab")
    assert "add this job to it" in shown.err
    assert [*yaml.safe_load(shown.out)] == ["zf"]
    assert path.read_text() == "build: {script: make}\n"


def sound(schema: str, path) -> None:
    check = [program("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- zf new --------------------------------------------------------------------------------------

FILES = {
    "block": (
        "# head\ntasks:\n  a: echo hi  # say\n\n# tail\nmax_jobs: 2\n",
        "# head\ntasks:\n  a: echo hi  # say\n  b: make\n\n# tail\nmax_jobs: 2\n",
    ),
    "apart": (
        "tasks:\n    a: 'true'\n\n    # two\n    c:\n        run: |\n            # in\n\n",
        "tasks:\n    a: 'true'\n\n    # two\n    c:\n        run: |\n            # in\n\n    b: make\n\n",
    ),
    "no end of line": ("tasks:\n  a: 'true'", "tasks:\n  a: 'true'\n  b: make"),
    "flow": ("tasks: {a: 'é'} # x\n", "tasks: {a: 'é', b: make} # x\n"),
    "lines of DOS": ("tasks:\r\n  a: 'true'\r\n", "tasks:\r\n  a: 'true'\r\n  b: make\r\n"),
    "kept end": (
        "tasks:\n  a: |+\n    true\n\n\n",
        "tasks:\n  b: make\n  a: |+\n    true\n\n\n",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_task_is_put_into_a_file_that_stays_as_it_is(project, case):
    before, after = FILES[case]
    path = project.root / "zf.yaml"
    path.write_bytes(before.encode())
    path.chmod(0o640)
    done = project.zf("new", "b", "--run", "make")
    assert done.code == 0, done.err
    assert path.read_bytes().decode() == after
    assert path.stat().st_mode & 0o777 == 0o640
    lines = after.splitlines()
    number = next(n for n, line in enumerate(lines, start=1) if "b: make" in line)
    assert done.out == f"zf.yaml:{number}\n\n  b: make\n\n  next: zf run b\n"


def test_nothing_is_written_where_a_link_leads_out_of_the_project(package, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (package.root / ".github").symlink_to(outside)
    done = package.zf("init", "--yes", "--ci", "github")
    assert done.code == 2
    assert ".github/workflows/zf.yml would lie outside of the project" in done.err
    assert os.listdir(outside) == []
    assert not (package.root / "zf.yaml").exists()


def test_a_file_behind_a_link_is_changed_where_it_is(project):
    shared = project.root / "shared"
    shared.mkdir()
    (shared / "zf.yaml").write_text("tasks:\n  a: 'true'\n")
    (project.root / "zf.yaml").symlink_to("shared/zf.yaml")
    assert project.zf("new", "b", "--run", "make").code == 0
    assert (project.root / "zf.yaml").is_symlink()
    assert (shared / "zf.yaml").read_text() == "tasks:\n  a: 'true'\n  b: make\n"
    assert os.listdir(shared) == ["zf.yaml"]


def test_a_task_goes_where_the_others_are(project):
    project.task("a", "true")
    project.task("z", "true", phase="B", needs=["a"])
    assert project.zf("new", "b", "--run", "echo 1", "--run", "echo 2", "--needs", "z").code == 0
    text = (project.root / "tasks" / "b" / "task.yaml").read_text()
    assert text == "id: b\nphase: B\nneeds: [z]\ncommands:\n  - echo 1\n  - echo 2\n"
    assert project.zf("run", "b").code == 0
    undecided = project.zf("new", "c", "--run", "true")
    assert undecided.code == 2
    assert "hint: --phase, one of A, B" in undecided.err


def test_a_task_gets_a_file_of_tasks_where_that_is_the_way(project):
    (project.root / "tasks" / "ci.yaml").write_text(
        "templates: {t: {run: make}}\ntasks: {a: 'true', c: 'true'}\n"
    )
    assert project.zf("new", "b", "--use", "t", "--needs", "a,c").code == 0
    text = (project.root / "tasks" / "b.yaml").read_text()
    assert text == "tasks:\n  b: {use: [t], needs: [a, c]}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a"], "the task 'a' is there already, in zf.yaml"),
        (["m"], "the task 'm' is there already, in zf.yaml"),
        ([".b"], "is not a valid name"),
        (["../b"], "is not a valid name"),
        (["b", "--needs", "aa"], "unknown task 'aa'"),
        (["b", "--use", "t"], "template"),
        (["b", "--run", " "], "empty"),
        (["b", "--phase", "a b"], "not a valid name"),
    ],
)
def test_what_would_not_load_is_refused_and_nothing_written(project, words, told):
    before = "tasks: {a: 'true', m: {run: 'true', matrix: {x: [1]}}}\n"
    (project.root / "zf.yaml").write_text(before)
    done = project.zf("new", *words)
    assert done.code == 2
    assert told in done.err
    assert (project.root / "zf.yaml").read_text() == before
    assert sorted(os.listdir(project.root)) == ["tasks", "zf.yaml"]


def test_a_task_without_a_script_fails_until_it_has_one(project):
    (project.root / "zf.yaml").write_text("tasks: {a: 'true'}\n")
    assert project.zf("new", "b").code == 0
    done = project.zf("run", "b")
    assert done.code == 1
    assert "b does nothing yet" in done.out
