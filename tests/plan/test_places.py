"""Which folder is the project: the nearest that is one, or plainly means to be one."""

import json
import os
from pathlib import Path

import pytest

from zf.errors import ZfError
from zf.plan.load import load
from zf.plan.places import find_root

GOOD = "id: {}\nphase: A\ncommands:\n  - run: ':'\n"


def write(path: Path, task: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(GOOD.format(task))


@pytest.fixture
def inner(tmp_path):
    """A folder in a project that has a good task."""
    write(tmp_path / "tasks/x/task.yaml")
    inner = tmp_path / "inner"
    inner.mkdir()
    return inner


def problems(root: Path) -> list[str]:
    found = load(*find_root(str(root)), default_phase_timeout_s=3600)
    return [f"{p.severity} {p.code} {p.file}" for p in found.problems]


def test_a_folder_that_claims_nothing_is_passed(inner):
    for name in ("tasks/notes/readme.md", "tasks/main.yml", "src/tasks/x/task.yaml"):
        write(inner / name)
    assert find_root(str(inner))[0] == str(inner.parent)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tasks/a/task.yml", "error ZF219 tasks/a/task.yml"),
        ("tasks/a/Task.yaml", "error ZF219 tasks/a/Task.yaml"),
        ("tasks/a/b/task.yaml", "error ZF219 tasks/a/b/task.yaml"),
        ("tasks/a/b/c/task.yaml", "error ZF219 tasks/a/b/c/task.yaml"),
        ("tasks/task.yaml", "error ZF219 tasks/task.yaml"),
    ],
)
def test_misplaced_task_files_are_a_project_that_is_wrong(inner, name, problem):
    write(inner / name)
    assert find_root(str(inner)) == (str(inner), str(inner))
    assert problems(inner) == [problem]


def test_a_task_file_that_is_too_deep_is_told_beside_good_ones_too(inner):
    write(inner / "tasks/x/task.yaml")
    write(inner / "tasks/group/y/task.yaml", "y")
    found = load(*find_root(str(inner)), default_phase_timeout_s=3600)
    [problem] = found.problems
    assert (problem.file, problem.severity) == ("tasks/group/y/task.yaml", "error")
    assert problem.hint == "move the folder tasks/group/y to tasks/y"


@pytest.mark.parametrize("below", ["y", "fixtures/y", "a/b/c/y"])
def test_a_task_file_in_the_folder_of_a_task_is_told(inner, below):
    write(inner / "tasks/x/task.yaml")
    write(inner / f"tasks/x/{below}/task.yaml", "y")
    found = load(*find_root(str(inner)), default_phase_timeout_s=3600)
    [problem] = found.problems
    assert problem.render() == (
        f"tasks/x/{below}/task.yaml: error[ZF219]: this file is not read: a task file is"
        f" tasks/<id>/task.yaml, no deeper\n  hint: move the folder tasks/x/{below} to tasks/y"
    )


@pytest.mark.parametrize(
    "name",
    [
        "fixtures/p/zf.yaml fixtures/p/tasks/y/task.yaml",
        ".cache/y/task.yaml",
        "y/task.yml",
        "a.yaml",
    ],
)
def test_what_else_lies_in_a_task_s_own_folder_is_its_own(inner, name):
    write(inner / "tasks/x/task.yaml")
    for one in name.split():
        write(inner / "tasks/x" / one, "y")
    assert problems(inner) == []


def refused(folder: Path) -> tuple[str, str, str]:
    with pytest.raises(ZfError) as error:
        find_root(str(folder))
    [problem] = error.value.problems
    return problem.code, problem.message, problem.hint


def test_a_project_file_without_tasks_ends_the_search(inner):
    (inner / "zf.yaml").write_text("max_jobs: 2\n")
    (inner / "below").mkdir()
    code, message, hint = refused(inner / "below")
    assert code == "ZF108"
    assert message == f"{inner}/zf.yaml is the file of a project that has no tasks"
    assert hint.startswith("write `tasks:` in it, or tasks/<id>/task.yaml beside it")


@pytest.mark.parametrize("start", ["", "\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_project_file_may_be_json_with_its_tasks_anywhere(inner, start, indent):
    said = {"max_jobs": 2, "phases": {"main": {"title": "{"}}, "tasks": {"x": "true"}}
    (inner / "zf.yaml").write_text(start + json.dumps(said, indent=indent))
    assert find_root(str(inner)) == (str(inner), str(inner))
    assert problems(inner) == []


def test_braces_further_down_say_nothing_of_tasks(inner):
    """Such as lists of Ansible's, whose folder of the same name is no project."""
    (inner / "tasks").mkdir()
    (inner / "tasks/main.yaml").write_text("- name: x\n  loop: [{name: y, tasks: z}]\n")
    assert find_root(str(inner))[0] == str(inner.parent)


def test_tasks_that_are_a_link_to_nothing_end_the_search(inner):
    (inner / "tasks").symlink_to("gone")
    assert refused(inner)[1] == f"{inner}/tasks is a symbolic link to nothing"


@pytest.mark.parametrize("name", ["tasks", ".zenflow/tasks"])
def test_tasks_that_cannot_be_read_end_the_search(inner, name, monkeypatch):
    (inner / name).mkdir(parents=True)
    real = os.listdir

    def listdir(path):
        if str(path) == f"{inner}/{name}":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    if os.getuid() == 0:  # who may read everything
        monkeypatch.setattr(os, "listdir", listdir)
    else:
        (inner / name).chmod(0)
    code, message, hint = refused(inner)
    assert (code, message) == ("ZF108", f"{inner}/{name} cannot be read: Permission denied")
    assert hint.startswith("mend its permissions")


def test_a_folder_zenflow_beside_tasks_has_the_proofs(inner):
    write(inner / "tasks/x/task.yaml")
    assert find_root(str(inner)) == (str(inner), str(inner))
    (inner / ".zenflow").mkdir()
    assert find_root(str(inner)) == (str(inner), f"{inner}/.zenflow")
    found = load(*find_root(str(inner)), default_phase_timeout_s=3600)
    assert found.flow.tasks["x"].file == "tasks/x/task.yaml"
    assert found.flow.proofs == f"{inner}/.zenflow/proofs"


def test_what_lies_in_zenflow_belongs_to_the_project_around_it(inner):
    write(inner / ".zenflow/tasks/x/task.yaml")
    write(inner / ".zenflow/old/tasks/y/task.yaml", "y")
    for below in (".zenflow", ".zenflow/tasks/x", ".zenflow/old", ".zenflow/old/tasks/y"):
        assert find_root(str(inner / below)) == (str(inner), f"{inner}/.zenflow")
    assert problems(inner) == ["warning ZF219 .zenflow/old/tasks"]


def test_tasks_nested_in_zenflow_alone_end_the_search(inner):
    write(inner / ".zenflow/old/tasks/y/task.yaml", "y")
    code, message, _ = refused(inner)
    assert code == "ZF108"
    assert message == (
        f"{inner}/.zenflow/old/tasks is no place for tasks: nothing reads them there"
    )
