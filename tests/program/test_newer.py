"""`concurrency: {group, on_newer: cancel_running}`: a newer run ends what an older one has."""

import os

import pytest

from tests.support.program import Project

HOLDER = """
trap 'echo "$RUN_ID" >> told; exit 1' TERM
echo "$RUN_ID" >> began
[ ! -p begun-$RUN_ID ] || echo > begun-$RUN_ID
read line < gate-$RUN_ID & wait
"""
GROUP = {"group": "deploy", "on_newer": "cancel_running"}
RUNS = ("r1", "r2", "r3")


@pytest.fixture
def deploys(project):
    """A task that holds its group until a gate is opened, and one that does not need it."""
    for run in RUNS:
        os.mkfifo(project.root / f"gate-{run}")
    os.mkfifo(project.root / "begun-r1")
    project.task("10-deploy", HOLDER, concurrency=GROUP, max_retries=3, parallel_safe=True)
    project.task("20-notify", "true", needs=["10-deploy"], parallel_safe=True)
    project.task("30-beside", "true", parallel_safe=True)
    begun = []

    def begin(run, *words):
        begun.append(project.popen("run", *words, "-v", "--run-id", run))
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def said(process, *words):
    for line in process.stderr:
        if all(word in line for word in words):
            return line
    raise AssertionError(process.communicate())


def has_begun(project: Project, run: str) -> None:
    """Wait until the step of its task runs: that it was started says less."""
    (project.root / f"begun-{run}").read_text()


def open_gate(project: Project, run: str) -> None:
    (project.root / f"gate-{run}").write_text("go\n")


def ends(project: Project, run: str) -> dict[str, tuple[str, str]]:
    found = {}
    for task in ("10-deploy", "20-notify", "30-beside"):
        status = project.status(run, task)
        found[task] = status["status"], status["cause"]
    return found


def lines(project: Project, file: str) -> list[str]:
    path = project.root / file
    return path.read_text().split() if path.exists() else []


def test_the_newer_run_ends_the_task_of_the_older_one(project, deploys):
    first = deploys("r1")
    has_begun(project, "r1")
    second = deploys("r2")
    told = said(second, "waiting", "10-deploy")
    assert f"held by run r1 (task 10-deploy, pid {first.pid}), which was told to end" in told
    assert "10-deploy, by run r2, which is newer" in said(first, "cancel requested")
    said(second, "start", "10-deploy")
    open_gate(project, "r2")
    assert (first.wait(30), second.wait(30)) == (1, 0)
    # Tried no more, though it had retries; what does not need it ran.
    assert ends(project, "r1") == {
        "10-deploy": ("cancelled", "superseded"),
        "20-notify": ("blocked", "need"),
        "30-beside": ("success", ""),
    }
    assert lines(project, "told") == ["r1"]
    assert lines(project, "began") == ["r1", "r2"]
    detail = project.status("r1", "10-deploy")["detail"]
    assert detail.startswith("run r2, which is newer, wants 'deploy', in step")
    [asked] = [e for e in project.events("r1") if e["type"] == "cancel_requested"]
    assert (asked["task"], asked["by"]) == ("10-deploy", "run r2")
    explained = project.zf("explain", "r1", "10-deploy").out
    assert "run r2, which is newer, wants 'deploy'" in explained
    for run in ("r1", "r2"):
        done = project.zf("verify", run)
        assert done.code == 0, done.out


def test_an_older_run_that_waits_does_not_get_the_group_after_the_newer_one(project, deploys):
    """Or an old version would be put over the new one."""
    project.task("10-deploy", HOLDER, concurrency="deploy", parallel_safe=True)
    first = deploys("r1")
    has_begun(project, "r1")
    second = deploys("r2")
    assert "told to end" not in said(second, "waiting", "10-deploy")
    project.task("10-deploy", HOLDER, concurrency=GROUP, parallel_safe=True)
    third = deploys("r3")
    said(third, "start", "10-deploy")
    assert second.wait(30) == first.wait(30) == 1
    assert ends(project, "r2")["10-deploy"] == ("cancelled", "superseded")
    assert project.status("r2", "10-deploy")["detail"] == ("run r3, which is newer, wants 'deploy'")
    open_gate(project, "r3")
    assert third.wait(30) == 0
    assert lines(project, "began") == ["r1", "r3"]


@pytest.mark.parametrize("cancels", [True, False])
def test_an_older_run_that_asks_later_ends_nothing_of_a_newer_one(project, deploys, cancels):
    project.task("05-before", "read line < gate-r3", phase="S")
    project.task("10-slow", "true", concurrency=GROUP, needs=["05-before"], phase="S")
    project.task("10-deploy", HOLDER, concurrency=GROUP if cancels else "deploy")
    older = deploys("r1", "10-slow")
    said(older, "start", "05-before")
    newer = deploys("r2")
    said(newer, "start", "10-deploy")
    open_gate(project, "r3")
    if cancels:
        # Then the group is the newer one's for good.
        assert older.wait(30) == 1
        assert project.status("r1", "10-slow")["cause"] == "superseded"
    else:
        told = said(older, "waiting", "10-slow")
        assert told.rstrip().endswith(f"held by run r2 (task 10-deploy, pid {newer.pid})")
    open_gate(project, "r2")
    said(newer, "success", "10-deploy")
    assert older.wait(30) == (1 if cancels else 0)
    assert lines(project, "told") == []


def test_a_run_that_was_killed_keeps_no_other_from_the_group(project, deploys):
    first = deploys("r1")
    has_begun(project, "r1")
    first.kill()
    second = deploys("r2")
    said(second, "start", "10-deploy")
    open_gate(project, "r2")
    assert second.wait(30) == 0
    # The killed one is older: taken up again, it does not do its task over the newer.
    done = project.zf("resume", "r1")
    assert done.code == 1
    assert lines(project, "began") == ["r1", "r2"]
    assert ends(project, "r1")["10-deploy"] == ("lost", "runner")  # as its attempt was
    assert project.zf("verify", "r1").code == 0
