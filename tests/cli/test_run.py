"""Which task a path means, where zf says its proof is, and what is done beside the loading."""

import subprocess
import sys


def test_a_path_leaves_the_user_where_they_are(project):
    project.task("40-x", "true")
    (project.root / "sub").mkdir()
    done = project.zf("run-task", "../tasks/40-x", "--run-id", "r", cwd=project.root / "sub")
    assert (done.code, done.out.splitlines()[-3]) == (0, "proof: ../proofs/r")


def test_a_path_into_another_project_runs_there(project, tmp_path):
    inner = project.root / "inner" / "tasks" / "40-x"
    inner.mkdir(parents=True)
    inner.joinpath("task.yaml").write_text("{id: 40-x, phase: A, commands: [{run: echo inner}]}\n")
    project.task("40-x", "echo outer")
    done = project.zf("run-task", str(inner), "--run-id", "r")
    assert (done.code, "inner" in done.err) == (0, True)
    outer = str(project.root / "tasks" / "40-x")
    done = project.zf("run-task", outer, "--run-id", "r", cwd=inner)
    assert (done.code, "outer" in done.err) == (0, True)


def test_a_file_elsewhere_is_not_taken_for_the_task_of_that_name(project):
    project.task("40-x", "touch ran")
    draft = project.root / "drafts" / "40-x"
    draft.mkdir(parents=True)
    draft.joinpath("task.yaml").write_text("id: 40-x\n")
    done = project.zf("run-task", "drafts/40-x/task.yaml")
    root = project.root
    assert done.code == 2
    assert done.err == (
        f"error[ZF100]: drafts/40-x/task.yaml is not a task file of the project {root}\n"
        f"  hint: its task files are {root}/tasks/<id>/task.yaml, {root}/tasks/NAME.yaml and zf.yaml\n"
    )
    assert not (root / "ran").exists()


def test_another_file_of_the_task_is_not_its_task_file(project):
    project.task("40-x", "true").with_name("notes.yaml").write_text("")
    assert "is not a task file" in project.zf("run-task", "tasks/40-x/notes.yaml").err


def test_what_a_run_takes_is_imported_while_the_project_is_loaded():
    """Afterwards it would be half of the time before the first task."""
    code = (
        "import sys; from zf.cli import begin; begin._get_ready(); before = set(sys.modules)\n"
        "from zf.run import launch, request; print(sorted(set(sys.modules) - before))"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert told == "[]\n"
