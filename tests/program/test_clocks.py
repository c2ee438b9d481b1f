"""Time that passes while zf is stopped, clocks that are set, machines that sleep: moved by hand.

faults.c moves the clocks of zf and its workers; nothing here waits for time to pass.
"""

import os
import select
import signal

import pytest

from tests.support.faults import Clock, always
from tests.support.killed_runs import children
from tests.support.waiting import eventually
from zf.audit.conclusion import VERIFIED
from zf.audit.findings import State
from zf.audit.verify import verify

HOUR = 3600.0


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


def at_the_gate(project, clock, *words, env=()):
    """A run whose task `a` waits at its gate, and whose task `b` needs it."""
    os.mkfifo(project.root / "gate")
    os.mkfifo(project.root / "up")
    project.task("a", "echo up > up; read line < gate; echo done", timeout_sec=HOUR / 2)
    project.task("b", "true", needs=["a"])
    words = ("run-phase", "A", "--run-id", "r1", *words)
    process = project.popen(*words, env={**clock.env, **dict(env)})
    assert (project.root / "up").read_text() == "up\n"
    return process


def open_gate(project):
    (project.root / "gate").write_text("go\n")


def stop(pid):
    """Stop a process, and be sure that it is."""
    os.kill(pid, signal.SIGSTOP)
    state = ""
    while state != "T":
        with open(f"/proc/{pid}/stat") as stat:
            state = stat.read().rpartition(")")[2].split()[0]


def check_sealed(project):
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_what_finished_while_the_runner_was_stopped_keeps_its_outcome(project, clock, tmp_path):
    """The deadline of the phase passes meanwhile: it strikes what comes after."""
    os.mkfifo(tmp_path / "calls")
    calls = os.open(tmp_path / "calls", os.O_RDWR)
    # Strikes nobody; its log tells when the worker has claimed its outcome.
    nothing = always("workers", "kill", "renameat", first=10**6).env(tmp_path / "calls")
    process = at_the_gate(project, clock, "--phase-timeout", str(HOUR), env=nothing)
    stop(process.pid)
    open_gate(project)
    told = b""
    while b" renameat status.json\n" not in told:
        told += os.read(calls, 4096)
    os.close(calls)
    clock.go_on(2 * HOUR)
    process.send_signal(signal.SIGCONT)
    process.communicate()
    assert process.returncode == 124
    assert project.status("r1", "a")["status"] == "success"
    assert project.status("r1", "b")["status"] in {"cancelled", "timeout"}
    check_sealed(project)


def test_a_step_that_was_done_in_time_is_done_however_late_its_worker_looks(project, clock):
    process = at_the_gate(project, clock, "--phase-timeout", str(9 * HOUR))
    (worker,) = children(process.pid)
    stop(worker)
    (leader,) = children(worker)
    end = os.pidfd_open(leader)
    open_gate(project)
    assert select.select([end], [], [])[0]
    clock.go_on(HOUR)
    os.kill(worker, signal.SIGCONT)
    process.communicate()
    os.close(end)
    assert process.returncode == 0
    assert project.status("r1", "a")["status"] == "success"


def test_a_step_that_was_not_done_in_time_is_ended_as_soon_as_its_worker_looks(project, clock):
    process = at_the_gate(project, clock, "--phase-timeout", str(9 * HOUR))
    (worker,) = children(process.pid)
    stop(worker)
    clock.go_on(HOUR)
    os.kill(worker, signal.SIGCONT)
    process.communicate()
    assert process.returncode == 1
    assert project.status("r1", "a")["status"] == "timeout"


def test_a_step_that_prints_is_not_silent_however_late_its_worker_reads(project, clock):
    os.mkfifo(project.root / "up")
    script = "echo up > up; until [ -e done ]; do echo x; done"
    project.task("a", script, timeout_sec=99 * HOUR, silence_timeout_sec=HOUR / 2)
    words = ("run-phase", "A", "--run-id", "r1", "--phase-timeout", str(99 * HOUR))
    process = project.popen(*words, env=clock.env)
    assert (project.root / "up").read_text() == "up\n"
    (worker,) = children(process.pid)
    log = project.proof("r1", "a", "20-logs", "step-0.log")
    for _ in range(5):
        stop(worker)
        read = log.stat().st_size
        clock.go_on(HOUR)
        os.kill(worker, signal.SIGCONT)
        eventually(lambda: log.stat().st_size, lambda size, read=read: size > read)
    (project.root / "done").touch()
    process.communicate()
    assert process.returncode == 0
    check_sealed(project)


@pytest.mark.parametrize("seconds", [-400 * 24 * HOUR, -5.0, 5.0, 8 * HOUR])
def test_a_clock_that_is_set_changes_no_deadline_and_no_duration(project, clock, seconds):
    process = at_the_gate(project, clock)
    clock.step(seconds)
    open_gate(project)
    process.communicate()
    assert process.returncode == 0
    status = project.status("r1", "a")
    assert status["status"] == "success"
    assert 0 <= status["duration_s"] < 60
    found = verify(str(project.proof("r1")))
    assert found.exit_code == VERIFIED
    # Told to whoever reads the proof, and no more than that: nobody lied.
    (timed,) = (verdict.state for verdict in found.verdicts if verdict.name == "TIMED")
    assert timed is State.DOUBTFUL
