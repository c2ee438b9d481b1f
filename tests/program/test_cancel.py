"""`zf cancel` and `zf status` from another terminal, and two zf on one run id."""

import os
import select
import sys

import pytest

from tests.support.program import heard
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.cli import main


def started(project, *words):
    """A run with one task that runs until its fifo is written to; zf has said that it started."""
    os.mkfifo(project.root / "gate")
    project.task("10-runs", "read line < gate", parallel_safe=True)
    project.task("20-after", "true", needs=["10-runs"])
    project.task("30-other", "true")
    process = project.popen("run-phase", "A", "--run-id", "r1", "-v", *words)
    for line in process.stderr:
        if "start" in line and "10-runs" in line:
            return process
    raise AssertionError(process.communicate())


def open_gate(project):
    (project.root / "gate").write_text("go\n")


def statuses(project):
    return {
        name: project.status("r1", name)["status"] for name in os.listdir(project.root / "tasks")
    }


def test_a_run_under_way_is_said_to_be_running_and_a_killed_one_unfinished(project):
    process = started(project)
    assert project.zf("status").out.splitlines()[1].split()[:2] == ["r1", "running"]
    assert '"result": "running"' in project.zf("status", "r1", "--json").out
    process.kill()
    process.communicate()
    assert project.zf("status").out.splitlines()[1].split()[:2] == ["r1", "unfinished"]


def test_cancel_ends_a_run_like_sigterm(project):
    process = started(project)
    done = project.zf("cancel", "r1")
    assert (done.code, done.out, done.err) == (0, "", "asked r1 to cancel everything\n")
    process.communicate()
    assert process.returncode == 143
    assert set(statuses(project).values()) == {"cancelled"}
    assert project.status("r1", "10-runs")["cause"] == "interrupt"
    told = [event for event in project.events("r1") if event["type"] == "cancel_requested"]
    assert [event["task"] for event in told] == [None]
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_cancel_of_a_running_task_blocks_its_dependents_and_no_others(project):
    process = started(project)
    assert project.zf("cancel", "latest", "10-runs").code == 0
    process.communicate()
    assert process.returncode == 1
    expected = {"10-runs": "cancelled", "20-after": "blocked", "30-other": "success"}
    assert statuses(project) == expected
    assert project.status("r1", "10-runs")["cause"] == "cancel"
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_cancel_of_a_waiting_task_is_said_before_it_would_start(project):
    process = started(project, "--progress", "json")
    assert project.zf("cancel", "r1", "30-other").code == 0
    # Only when the order was obeyed may the others go on.
    heard(process, "cancel_requested")
    open_gate(project)
    process.communicate()
    expected = {"10-runs": "success", "20-after": "success", "30-other": "cancelled"}
    assert statuses(project) == expected
    assert project.status("r1", "30-other")["cause"] == "cancel"


def test_cancel_of_what_is_not_there(project):
    process = started(project)
    assert project.zf("cancel", "r1", "nobody").code == 2
    open_gate(project)
    process.communicate()
    done = project.zf("cancel", "r1")
    assert done.code == 1
    assert "error[ZF144]: no zf is running 'r1'" in done.err
    assert project.zf("cancel", "r2").code == 2


def test_a_run_that_is_alive_is_not_resumed(project):
    process = started(project)
    done = project.zf("resume", "r1")
    assert done.code == 5
    assert f"run id 'r1' is in use by pid {process.pid} on {os.uname().nodename}" in done.err
    open_gate(project)
    process.communicate()
    assert process.returncode == 0


def test_runs_do_not_block_each_other(project):
    process = started(project)
    assert project.zf("run-task", "30-other", "--run-id", "r2").code == 0
    open_gate(project)
    process.communicate()
    assert process.returncode == 0


def forked(arguments, folder, barrier, errors) -> int:
    """Zf in a child of ours, all imported and waiting for the barrier: the closest race there is."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.read(barrier, 1)
        code = main.run(arguments)
        sys.stderr.flush()
    finally:
        os._exit(code)


def race(project, run, verb=("run-phase", "A")) -> None:
    """Two zf on one run id: the one that loses ends first, naming the one that has won."""
    barrier, go = os.pipe()
    logs = [project.root / f"{run}.{n}.err" for n in range(2)]
    pids = [forked([*verb, "--run-id", run], project.root, barrier, log) for log in logs]
    fds = [os.pidfd_open(pid) for pid in pids]
    os.write(go, b"12")
    loser = fds.index(select.select(fds, [], [])[0][0])
    _, status = os.waitpid(pids[loser], 0)
    said = logs[loser].read_text()
    assert os.waitstatus_to_exitcode(status) == 5, said
    owner = f"pid {pids[1 - loser]} on {os.uname().nodename}"
    assert f"error[ZF120]: run id '{run}' is in use by {owner}\n" in said
    open_gate(project)
    _, status = os.waitpid(pids[1 - loser], 0)
    assert os.waitstatus_to_exitcode(status) == 0, logs[1 - loser].read_text()
    for fd in (*fds, barrier, go):
        os.close(fd)
    assert verify(str(project.proof(run))).exit_code == VERIFIED


def racing(project, monkeypatch):
    os.mkfifo(project.root / "gate")
    project.task("a", "read line < gate")
    for name in ("RUN_ID", "ZF_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_of_two_on_one_run_id_one_runs_it_and_the_other_says_who(project, monkeypatch):
    racing(project, monkeypatch)
    for number in range(10):
        race(project, f"r{number}")


@pytest.mark.campaign
def test_campaign_of_races(project, monkeypatch):
    racing(project, monkeypatch)
    for number in range(1000):
        race(project, f"r{number}")
