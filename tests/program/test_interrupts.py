"""Ctrl-C at any moment, terminals that vanish, readers that go away, a runner that is stopped."""

import os
import pty
import random
import select
import signal

import pytest

from tests.support.killed_runs import Busy, check_whole, follow_until
from tests.support.program import ZF, Finished
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify


def one_interrupt(folder, seed):
    """Ctrl-C once to three times, as a terminal sends it: to the whole foreground group."""
    rng = random.Random(seed)
    project = Busy(folder / f"p{seed}", f"{folder.name}-{seed}")
    process = project.start("run-phase", "A", "-j", "4", "--run-id", "r1")
    lines = rng.choice([0, 0, 1, 2, rng.randrange(90)])
    told = follow_until(process, lines, rng)
    if lines == 0:
        # Somewhere in the start of Python, the reading of task files, the making of the run.
        select.select([], [], [], rng.random() * 0.6)
    slow = project.root / "slow"
    slow.touch()
    for _ in range(rng.choice([1, 1, 2, 3])):
        try:
            os.killpg(process.pid, signal.SIGINT)
        except ProcessLookupError:
            break
        select.select([], [], [], rng.random() * 0.05)
    _, err = process.communicate()
    done = Finished(process.returncode, "", err)
    if project.proof("r1").exists():
        assert "Traceback" not in err
        assert process.returncode in {130, 0}, done
        told += err.splitlines(keepends=True)
        check_whole(project, "r1", told, done)
    else:
        # Python may have gone its own way, before zf had its first say.
        assert process.returncode != 0, done
        assert project.left() == []
        assert not list((project.root / "proofs").glob("*"))


@pytest.mark.parametrize("seed", range(10))
def test_ctrl_c_at_a_random_moment(tmp_path, seed):
    one_interrupt(tmp_path, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3000, 3500))
def test_campaign_of_ctrl_c(tmp_path, seed):
    one_interrupt(tmp_path, seed)


def test_three_times_ctrl_c_is_twice_and_nothing_leaks(tmp_path):
    """The first asks, the second kills, the third comes while that goes on, or just after."""
    project = Busy(tmp_path / "project", tmp_path.name)
    os.mkfifo(project.root / "told")
    keys = {"parallel_safe": True, "priority": 9}
    os.mkfifo(project.root / "up")
    deaf = "trap 'echo > told' TERM; (trap '' TERM; setsid -f sleep 300; sleep 300) & echo > up"
    project.task("deaf", f"{deaf}; while :; do wait || :; done", **keys)
    process = project.start("run-phase", "A", "--run-id", "r1", "--grace", "300")
    (project.root / "up").read_text()
    os.killpg(process.pid, signal.SIGINT)
    (project.root / "told").read_text()
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    told = err.splitlines(keepends=True)
    assert project.status("r1", "deaf")["signal"] == signal.SIGKILL
    check_whole(project, "r1", told, Finished(130, "", err))


def waiting(project, **keys):
    """A run whose only task waits for its fifo."""
    os.mkfifo(project.root / "gate")
    project.task("a", "trap 'echo told; exit 1' TERM; echo up; read line < gate; echo two", **keys)


def check_sealed(project, run="r1"):
    assert verify(str(project.proof(run))).exit_code == VERIFIED


def test_hang_up_ends_the_run_and_seals_it(project):
    waiting(project)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    assert any("start" in line for line in process.stderr)
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 143
    assert project.status("r1", "a")["status"] == "cancelled"
    check_sealed(project)


def test_term_for_the_whole_group_is_an_interrupt(project):
    """`timeout 60 zf run`, and CI systems that end a job, send it to zf's workers, too."""
    waiting(project)
    process = project.popen("run-phase", "A", "--run-id", "r1", start_new_session=True)
    with (project.root / "gate").open("w"):  # waits until the task has it open, too
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143
    status = project.status("r1", "a")
    assert (status["status"], status["detail"]) == ("cancelled", "cancelled in step 'step 1'")
    check_sealed(project)


def test_hang_up_under_nohup_changes_nothing(project):
    waiting(project)
    process = project.popen(
        "run-phase",
        "A",
        "-v",
        "--run-id",
        "r1",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert any("start" in line for line in process.stderr)
    process.send_signal(signal.SIGHUP)
    (project.root / "gate").write_text("go\n")
    process.communicate()
    assert process.returncode == 0
    check_sealed(project)


def on_a_terminal(project, *words) -> tuple[int, int]:
    """Zf as the leader of a session on a terminal of its own; its pid and our end of the line."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.execve(ZF[0], [*ZF, *words], project.env)
    return pid, terminal


def read_until(terminal: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 4096)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("progress", ["live", "plain"])
def test_a_terminal_that_vanishes_ends_the_run_and_seals_it(project, progress):
    waiting(project)
    pid, terminal = on_a_terminal(
        project, "run-phase", "A", "-v", "--run-id", "r1", "--progress", progress
    )
    read_until(terminal, "▸".encode() if progress == "live" else b"start")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 143
    check_sealed(project)


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("words", [(), ("--json",), ("--output", "prefix", "--progress", "json")])
def test_a_reader_that_goes_away_does_not_end_the_run(project, closed, words):
    waiting(project)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1", *words)
    assert any("start" in line for line in process.stderr)
    for stream in ("stdout", "stderr"):
        if closed in {stream, "both"}:
            getattr(process, stream).close()
    (project.root / "gate").write_text("go\n")
    process.wait()
    process.stdout.close()
    process.stderr.close()
    assert project.status("r1", "a")["status"] == "success"
    assert project.events("r1")[-1]["exit_code"] == 0
    check_sealed(project)
