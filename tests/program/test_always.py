"""`condition: always()` means always, in real runs: after a failure, an interrupt, a time limit."""

import os
import signal

import pytest

from tests.support.program import survivors


@pytest.fixture
def flow(project):
    """A failing phase, and a phase after it that only tells."""
    project.task("test", "exit 3")
    project.task("deploy", "touch deployed", phase="B")
    project.task(
        "notify", 'echo "test came to 3" > notified', phase="Z", condition="always()",
        needs=[{"task": "test", "require": "done"}],
    )  # fmt: skip
    return project


def test_notify_after_a_failure_in_an_earlier_phase(flow):
    done = flow.zf("run-phase", "A", "B", "Z", "--run-id", "r1")
    assert done.code == 1
    assert (flow.root / "notified").read_text() == "test came to 3\n"
    assert not (flow.root / "deployed").exists()
    ends = {name: flow.status("r1", name)["status"] for name in ("test", "deploy", "notify")}
    assert ends == {"test": "failure", "deploy": "cancelled", "notify": "success"}
    assert flow.zf("verify", "r1").code == 0
    [ended] = [e for e in flow.events("r1") if e["type"] == "run_ended"]
    assert ended["exit_code"] == 1


def interrupted(project, *signals):
    """Run A and Z with a task that waits in A, which is sent the signals one by one."""
    process = project.popen("run-phase", "A", "Z", "--run-id", "r1", env={"MARK": project.mark})
    for number, name in zip(signals, ("up", "up-again"), strict=False):
        with (project.root / name).open("rb") as up:
            up.read(1)
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


@pytest.fixture
def waiting(project):
    os.mkfifo(project.root / "up")
    os.mkfifo(project.root / "up-again")
    project.task("wait", "echo > up; sleep 300")
    project.task("tidy", "touch tidied", condition="always()", needs=["wait"])
    project.task("last", "touch told", phase="Z", condition="always()")
    return project


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_an_interrupt(waiting, number, code):
    done, told = interrupted(waiting, number)
    assert done == code, told
    assert (waiting.root / "tidied").exists()
    assert (waiting.root / "told").exists()
    assert waiting.status("r1", "wait")["status"] == "cancelled"
    assert not survivors(waiting.mark)


def test_a_second_interrupt_ends_that_too(waiting):
    waiting.task("last", "echo > up-again; sleep 300; touch told", phase="Z", condition="always()")
    done, told = interrupted(waiting, signal.SIGINT, signal.SIGINT)
    assert done == 130, told
    assert (waiting.root / "tidied").exists()
    assert not (waiting.root / "told").exists()
    assert waiting.status("r1", "last")["status"] == "cancelled"
    assert waiting.zf("verify", "r1").code == 0


def test_after_the_phase_timeout(project):
    project.task("slow", "sleep 300")
    project.task("tidy", "touch tidied", condition="always()", needs=["slow"])
    done = project.zf("run-phase", "A", "--run-id", "r1", "--phase-timeout", "1")
    assert done.code == 124
    assert "ERROR: Phase timeout (1s) exceeded" in done.out + done.err
    assert (project.root / "tidied").exists()


def test_a_run_that_was_killed_in_between_goes_on_with_it(flow):
    flow.task(
        "notify", "test -e again || { touch again; read pid < pid; kill -9 $pid; sleep 300; }; touch told",
        phase="Z", condition="always()",
    )  # fmt: skip
    os.mkfifo(flow.root / "pid")
    process = flow.popen("run-phase", "A", "Z", "--run-id", "r1")
    (flow.root / "pid").write_text(f"{process.pid}\n")
    process.communicate(timeout=60)
    assert process.returncode == -9
    done = flow.zf("resume", "r1")
    assert done.code == 1, done.err
    assert (flow.root / "told").exists()
    assert flow.status("r1", "notify")["status"] == "success"


def test_success_written_out_is_blocked_in_a_later_phase_and_in_the_deadlock_report(project):
    project.task("test", "exit 3")
    project.task("deploy", ":", phase="B", condition="success()", needs=["test"])
    done = project.zf("run-phase", "A", "B", "--run-id", "r1")
    assert done.code == 1
    assert project.status("r1", "deploy")["status"] == "blocked"
    assert "ERROR: Deadlock detected - 1 tasks still pending:" in done.out + done.err
    assert "dependency 'test' has status: failure" in done.out + done.err


def test_a_condition_sees_what_zf_was_started_with_though_the_steps_do_not(project):
    project.task("a", 'test -z "${BRANCH-}"', condition="${BRANCH} == 'main'")
    assert project.zf("run-phase", "A", "--run-id", "r1", env={"BRANCH": "main"}).code == 0
    assert project.status("r1", "a")["status"] == "success"
