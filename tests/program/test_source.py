"""The commit a run is of, its branch, and whether its files changed meanwhile: real runs in git."""

import os
import select
import shutil
import signal
import subprocess
import sys

import pytest

from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.run.host.lock import is_run, order


def git(project, *words):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
        cwd=project.root,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def repo(project):
    (project.root / ".gitignore").write_text("/proofs/\n/built\n")
    (project.root / "a.txt").write_text("one\n")
    git(project, "init", "-q", "-b", "main")
    return project


def commit(project):
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "all")


@pytest.mark.parametrize(
    ("script", "changed"),
    [
        ("touch built", False),
        ("echo two > a.txt", True),
        ("touch new", True),
        ("git -c user.name=a -c user.email=a@e commit -q --allow-empty -m x", True),
        ("echo two > a.txt; git update-index --assume-unchanged a.txt", True),
        ("echo two > a.txt; touch -d @0 a.txt; echo one > a.txt", False),
        ("mv .git .gone", None),
    ],
)
def test_a_tree_that_changes_during_the_run_is_told(repo, script, changed):
    repo.task("t", script)
    commit(repo)
    assert repo.zf("run-phase", "A", "--run-id", "r").code == 0
    assert repo.json("r", "run.json")["source"]["dirty"] is False
    assert repo.events("r")[-1]["source_changed"] is changed
    found = repo.zf("verify", "r", "--unchanged-tree", "--clean-tree")
    assert found.code == (0 if changed is False else 4)
    assert ("the work tree" in found.out) is (changed is not False)


def test_a_resumed_run_tells_it_too(repo):
    repo.task("t", "if [ ! -e built ]; then touch built; kill -9 $(ps -o ppid= -p $PPID) $PPID; fi")
    commit(repo)
    repo.zf("run-phase", "A", "--run-id", "r")
    (repo.root / "a.txt").write_text("two\n")
    repo.zf("resume", "r")
    assert repo.events("r")[-1]["type"] == "run_ended"
    assert repo.events("r")[-1]["source_changed"] is True


def test_a_condition_on_the_branch_holds_on_a_detached_checkout(repo):
    """A deploy was skipped, with exit code 0, as the branch was empty on every CI system."""
    repo.task("deploy", "true", condition="run.branch == 'main' && run.event == 'push'")
    commit(repo)
    git(repo, "checkout", "-q", "--detach")
    said = {
        "GITLAB_CI": "true",
        "CI_COMMIT_BRANCH": "main",
        "CI_PIPELINE_SOURCE": "push",
        "CI_JOB_URL": "https://gitlab.example/1",
    }
    repo.zf("run-phase", "A", "--run-id", "r", env=said)
    assert repo.status("r", "deploy")["status"] == "success"
    about = repo.json("r", "run.json")
    assert about["source"]["branch"] == "main"
    assert about["source"]["from"] == {"commit": "git", "branch": "CI_COMMIT_BRANCH", "tag": None}
    assert about["ci"]["url"] == "https://gitlab.example/1"
    repo.zf("run-phase", "A", "--run-id", "r2", env=said | {"CI_MERGE_REQUEST_IID": "3"})
    assert repo.status("r2", "deploy")["status"] == "skipped"


def test_a_commit_that_only_a_variable_names_is_not_taken_as_proven(project):
    project.task("t", "true")
    said = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": "1" * 40}
    project.zf("run-phase", "A", "--run-id", "r", env=said)
    assert project.json("r", "run.json")["source"]["commit"] == "1" * 40
    found = project.zf("verify", "r", "--commit", "1" * 40)
    assert found.code == 4
    assert "was named by 'GITHUB_SHA', and git could not confirm it" in found.out


# A look that is waited for takes for ever here, not the usual 30 s.
PATIENT = """
import zf.proof.source.git as git
assert git.GIT_TIMEOUT_S
git.GIT_TIMEOUT_S = 1e6
from zf.__main__ import main
main()
"""


@pytest.fixture
def hanging(repo, monkeypatch):
    """The repository with a git that hangs once there is a file `hang`, and tells of it: the
    environment for that.
    """
    (repo.root / ".gitignore").write_text("/proofs/\n/hang\n/asked\n/gate\n")
    real, folder = shutil.which("git"), repo.root.parent / "bin"
    folder.mkdir()
    script = f"""#!/bin/sh
        if [ -e {repo.root}/hang ]; then echo asked >> {repo.root}/asked; exec sleep 300; fi
        exec {real} "$@"
    """
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    monkeypatch.setattr("tests.support.program.ZF", (sys.executable, "-c", PATIENT))
    return {"PATH": f"{folder}:{repo.env['PATH']}"}


def begun(repo, env, *words):
    # What hangs must not hold a pipe that is read to its end here.
    none = subprocess.DEVNULL
    return repo.popen(*words, env=env, stdout=none, stderr=none, start_new_session=True)


def until(holds):
    while not holds():
        select.select([], [], [], 0.01)


def ended(process):
    try:
        return process.wait(timeout=100)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError("it waits for git") from None


def interrupt(project, process, how):
    if how == "cancel":
        order(str(project.root / "proofs"), "r1", "cancel")  # as `zf cancel` does
    else:
        process.send_signal(how)


ENDS = pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), ("cancel", 143)]
)


@ENDS
def test_a_run_that_waits_for_git_to_begin_hears_that_it_is_to_end(repo, hanging, how, code):
    repo.task("t", "sleep 300")
    commit(repo)
    (repo.root / "hang").touch()
    process = begun(repo, hanging, "run-phase", "A", "--run-id", "r1")
    until((repo.root / "asked").exists)
    until(lambda: is_run(str(repo.root / "proofs"), "r1"))
    interrupt(repo, process, how)
    assert ended(process) == code
    assert repo.status("r1", "t")["status"] == "cancelled"
    source = repo.json("r1", "run.json")["source"]
    assert source["dirty"] is None
    assert "was not waited for, as the run was to end" in source["note"]
    assert verify(str(repo.proof("r1"))).exit_code == VERIFIED


@ENDS
def test_a_run_that_waits_for_git_at_its_end_hears_that_it_is_to_end(repo, hanging, how, code):
    repo.task("t", "touch hang")
    commit(repo)
    process = begun(repo, hanging, "run-phase", "A", "--run-id", "r1")
    until((repo.root / "asked").exists)
    interrupt(repo, process, how)
    assert ended(process) == 0, code
    assert repo.status("r1", "t")["status"] == "success"
    assert repo.events("r1")[-1]["source_changed"] is None
    assert verify(str(repo.proof("r1"))).exit_code == VERIFIED


@ENDS
@pytest.mark.parametrize("verb", ["run-phase", "resume"])
def test_after_an_interrupt_git_is_not_asked_again(repo, hanging, verb, how, code):
    os.mkfifo(repo.root / "gate")
    repo.task("t", "touch hang; read line < gate")
    commit(repo)
    process = begun(repo, hanging, "run-phase", "A", "--run-id", "r1")
    until((repo.root / "hang").exists)
    if verb == "resume":
        process.kill()
        process.wait()
        (repo.root / "hang").unlink()
        process = begun(repo, hanging, "resume", "r1")
        until((repo.root / "hang").exists)
    interrupt(repo, process, how)
    assert ended(process) == code
    assert not (repo.root / "asked").exists()
    assert repo.events("r1")[-1]["source_changed"] is None
    assert verify(str(repo.proof("r1"))).exit_code == VERIFIED


def test_an_order_about_one_task_leaves_the_look_at_the_tree_alone(repo, hanging):
    repo.task("t", "sleep 300")
    commit(repo)
    (repo.root / "hang").touch()
    process = begun(repo, hanging, "run-phase", "A", "--run-id", "r1")
    until((repo.root / "asked").exists)
    until(lambda: is_run(str(repo.root / "proofs"), "r1"))
    (orders,) = (repo.root / "proofs" / ".locks").glob("*.orders")
    with orders.open("w") as stream:
        stream.write("cancel t\n")
    until(lambda: not _unread(orders))
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 143
    told = [e for e in repo.events("r1") if e["type"] == "cancel_requested"]
    assert [event["task"] for event in told] == ["t"]


def _unread(fifo):
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(fd)
