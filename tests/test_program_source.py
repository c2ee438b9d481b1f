"""The commit a run is of, its branch, and whether its files changed meanwhile: real runs in git."""

import subprocess

import pytest


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
