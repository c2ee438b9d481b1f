"""Artifacts where something goes on outside of the task: a server that is left running and loses
its worker, and a folder that root mounts over the one the files are in.
"""

import os
import subprocess
import time

import pytest

SHIELDS = ["never", "auto"]


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until


@pytest.mark.parametrize("shield", SHIELDS)
def test_artifacts_of_a_task_left_running_outlive_its_worker(project, shield):
    """The server's worker is killed while a later task runs: what the task left stays as it was
    listed, what the server writes later is no part of it, and the proof is whole.
    """
    project.task(
        "server",
        "echo before > $ARTIFACTS_DIR/log\n"
        f"(while [ ! -e {project.root}/end ]; do echo more >> $ARTIFACTS_DIR/log; sleep 0.01; done)"
        " & echo $PPID > worker",
        leave_running=True,
        workdir=".",
    )
    project.task(
        "later",
        "kill -9 $(cat worker) && touch killed",
        needs=["server"],
        workdir=".",
    )
    done = project.zf("run-phase", "A", "--run-id", "r", "--shield", shield)
    (project.root / "end").touch()
    assert project.status("r", "server")["status"] == "success", done
    assert (project.root / "killed").exists()
    log = project.proof("r", "server", "30-artifacts", "log").read_text()
    assert log.splitlines()[0] == "before"
    found = project.zf("verify", "r")
    assert found.code == 0, found
    assert project.proof("r", "server", "30-artifacts", "log").read_text() == log


@pytest.mark.parametrize("shield", SHIELDS)
def test_a_folder_mounted_over_the_artifacts_is_never_a_success(project, shield):
    """The worker goes on in the folder below, which it holds open: the task kept what it wrote. But
    a proof with another folder in its place is not what zf wrote, and the run says which files.
    """
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    project.task(
        "t",
        "echo kept > $ARTIFACTS_DIR/x; touch ready; while [ ! -e go ]; do sleep 0.01; done",
        workdir=".",
    )
    place = project.proof("r", "t", "30-artifacts")
    process = project.popen("run-phase", "A", "--run-id", "r", "--shield", shield)
    try:
        wait_for(project.root / "ready")
        done = subprocess.run(["mount", "-t", "tmpfs", "none", place], check=False)
        if done.returncode:
            pytest.skip("only root may mount here")
        (place / "planted").write_text("x")
        (project.root / "go").touch()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        found = project.zf("verify", "r")
    finally:
        (project.root / "go").touch()
        process.communicate(timeout=60)
        subprocess.run(["umount", "-l", place], check=False, stderr=subprocess.DEVNULL)
    assert "TAMPERED WHILE RUNNING: t/30-artifacts/planted: was put there" in said
    assert "TAMPERED WHILE RUNNING: t/30-artifacts/x: is not there any more" in said
    assert found.code != 0
    assert "t/30-artifacts/planted" in found.out
