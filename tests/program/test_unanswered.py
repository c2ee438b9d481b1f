"""A worker that does not answer for what its task did: it reads a huge artifact, or was stopped."""

import os
import select
import signal

import pytest

from tests.support.attempts import Attempts
from tests.support.program import Project
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.work import artifacts

# Below the limit of 16 GiB; takes no room, and far longer to read than anything here may take.
BIG = "truncate -s 15G $ARTIFACTS_DIR/big"
RUN = ("run-phase", "A", "--run-id", "r1")
UNSHIELDED = "shield: never\n"


def gone(pid: int, limit_s: float = 60) -> bool:
    """Wait for the end of a process that is not ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], limit_s)[0])
    finally:
        os.close(fd)


def reaped(pid: int) -> None:
    """Wait until a step is not even a zombie: no supervisor listens to the runner from then on."""
    assert gone(pid)
    while os.path.exists(f"/proc/{pid}"):
        os.sched_yield()


def told(project: Project) -> list[int]:
    return [int(word) for word in (project.root / "told").read_text().split()]


def collects(project: Project, before: str = "", **keys):
    """Start a run that is collecting what will take long, and return it with its worker's pid."""
    os.mkfifo(project.root / "told")
    project.task("a", f"{BIG}; {before} echo $$ $PPID > told", **keys)
    process = project.popen(*RUN)
    step, worker = told(project)
    reaped(step)
    return process, worker


def between(project: Project, first: str, then: str) -> float:
    """Seconds between two events, as the journal has them."""
    at = {line["type"]: line["mono"] for line in project.events("r1")}
    return at[then] - at[first]


@pytest.mark.parametrize("how", ["left", "kept", "named"])
def test_a_file_that_claims_more_than_the_limit_is_not_read(project, how):
    where = "huge" if how == "named" else "$ARTIFACTS_DIR/huge"
    keys = {"named": {"artifacts": ["huge"]}, "left": {"leave_running": True}}.get(how, {})
    # Where the file system has no room for such a number, another one that is beyond the limit.
    script = f"truncate -s 8T {where} || truncate -s 15T {where} || truncate -s 1T {where}"
    project.task("a", f"{script}; echo x > $ARTIFACTS_DIR/small", timeout_sec=2, **keys)
    done = project.zf(*RUN)
    status = project.status("r1", "a")
    assert (done.code, status["status"], status["artifacts"]) == (0, "success", 1)
    assert status["refused"] == [
        {"path": "huge", "reason": "is beyond the limit of 16 GiB of artifacts a task"}
    ]
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


@pytest.mark.parametrize("how", ["interrupt", "phase timeout", "cancel"])
def test_an_order_to_end_ends_collecting_too(project, how):
    (project.root / "zf.yaml").write_text(
        "phases:\n  A: {title: A, timeout_sec: 3}\n" * (how == "phase timeout")
    )
    process, _ = collects(project)
    if how == "interrupt":
        process.send_signal(signal.SIGINT)
    elif how == "cancel":
        assert project.zf("cancel", "r1", "a").code == 0
    process.communicate(timeout=60)
    assert process.returncode == {"interrupt": 130, "phase timeout": 124, "cancel": 1}[how]
    status = project.status("r1", "a")
    assert status["status"] == ("timeout" if how == "phase timeout" else "cancelled")
    assert status["detail"].endswith(" in collecting the artifacts")
    assert status["artifacts"] == 0
    assert [one["path"] for one in status["refused"]] == ["big"]
    assert "collecting the artifacts was stopped" in status["refused"][0]["reason"]
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_a_second_interrupt_ends_collecting_after_the_first(project):
    os.mkfifo(project.root / "up")
    os.mkfifo(project.root / "told")
    end = f"{BIG}; echo $$ $PPID > told; exit 1"
    project.task("a", f"trap '{end}' TERM; echo > up; while :; do sleep 0.05; done")
    process = project.popen(*RUN)
    (project.root / "up").read_text()
    process.send_signal(signal.SIGINT)
    reaped(told(project)[0])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    status = project.status("r1", "a")
    assert (status["status"], status["artifacts"]) == ("cancelled", 0)
    assert [one["path"] for one in status["refused"]] == ["big"]
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_collecting_has_a_time_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "LEAST_S", 0.1)
    done = Attempts(tmp_path).run(BIG, timeout_s=1)
    assert done.outcome() == ("timeout", 124, "timeout")
    assert done.status["detail"] == "collecting the artifacts did not end in 1 s"
    assert done.artifacts == []


def test_a_worker_whose_runner_was_killed_does_not_go_on_collecting(project):
    process, worker = collects(project)
    process.kill()
    process.communicate()
    assert gone(worker)
    assert not project.proof("r1", "a", "99-summary", "status.json").exists()


class TestStopped:
    """Steps that stop their worker; where there is Landlock only an unshielded one can."""

    @pytest.fixture(autouse=True)
    def unshielded(self, project):
        (project.root / "zf.yaml").write_text(UNSHIELDED)

    def test_a_stopped_worker_is_woken_when_the_time_is_over(self, project):
        project.task("a", "kill -STOP $PPID; sleep 9004", timeout_sec=1)
        assert project.zf(*RUN, "--grace", "0").code == 1
        assert project.status("r1", "a")["status"] == "timeout"
        assert between(project, "attempt_started", "attempt_ended") < 20

    def test_a_stopped_worker_is_woken_when_its_end_is_ordered(self, project):
        os.mkfifo(project.root / "up")
        project.task("a", "kill -STOP $PPID; echo > up; sleep 9005", timeout_sec=300)
        process = project.popen(*RUN, "--grace", "0")
        (project.root / "up").read_text()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
        assert process.returncode == 130
        assert project.status("r1", "a")["status"] == "cancelled"
        assert between(project, "interrupted", "attempt_ended") < 20

    def test_a_worker_that_is_stopped_again_and_again_is_killed(self, project):
        project.task("a", "trap '' TERM; while kill -STOP $PPID; do :; done", timeout_sec=1)
        assert project.zf(*RUN, "--grace", "300").code == 1
        status = project.status("r1", "a")
        assert (status["status"], status["cause"]) == ("lost", "worker")
        assert "it was stopped again" in status["detail"]
        assert between(project, "attempt_started", "attempt_ended") < 20

    def test_a_stopped_worker_notices_that_its_runner_was_killed(self, project):
        os.mkfifo(project.root / "told")
        both = "r=$(ps -o ppid= -p $PPID); setsid sleep 9003 & echo $! $PPID > told"
        project.task("a", f"{both}; kill -STOP $PPID; kill -9 $r; sleep 9006", timeout_sec=300)
        process = project.popen(*RUN)
        sleeper, worker = told(project)
        process.communicate()
        try:
            assert gone(worker, 30)
            assert gone(sleeper, 30)
        finally:
            for pid in (worker, sleeper):
                if not gone(pid, 0):
                    os.kill(pid, signal.SIGKILL)
