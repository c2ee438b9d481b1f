"""Runs that are killed, and finished by `zf resume`."""

import os
import random
import shutil
import signal
from datetime import datetime

import pytest

from tests.support.killed_runs import Busy, check_whole, follow_until, kill
from tests.support.program import heard
from zf.audit.conclusion import INCOMPLETE, VERIFIED
from zf.audit.verify import verify


def one_round(folder, seed, *, workers, kills_of_resume=0):
    """Run, kill, perhaps kill the recovery too, resume; then look."""
    rng = random.Random(seed)
    project = Busy(folder / f"p{seed}", f"{folder.name}-{seed}")
    process = project.start("run-phase", "A", "-j", "4", "--run-id", "r1")
    told = follow_until(process, rng.randrange(90), rng)
    # From here on a task that nobody ends goes on for a minute.
    slow = project.root / "slow"
    slow.touch()
    told += kill(process, workers=workers, rng=rng)
    slow.unlink()
    if not project.proof("r1").exists():
        # Killed before the run had a name: there is nothing to resume, and the id is free.
        assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
        return
    sealed = project.proof("r1", "MANIFEST.sha256").exists()
    if not sealed:
        assert verify(str(project.proof("r1"))).exit_code == INCOMPLETE
    for _ in range(kills_of_resume):
        again = project.start("resume", "r1")
        told += follow_until(again, rng.randrange(20), rng)
        told += kill(again, workers=workers, rng=rng)
    sealed = project.proof("r1", "MANIFEST.sha256").exists()
    done = project.zf("resume", "r1")
    assert done.code == (5 if sealed else 0), done
    check_whole(project, "r1", told, done)


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_runner(tmp_path, seed):
    one_round(tmp_path, seed, workers=False)


@pytest.mark.parametrize("seed", range(3))
def test_runner_and_workers_killed_together(tmp_path, seed):
    one_round(tmp_path, seed, workers=True)


@pytest.mark.parametrize("seed", range(3))
def test_recovery_killed(tmp_path, seed):
    one_round(tmp_path, seed, workers=seed % 2 == 1, kills_of_resume=3)


def killed(project):
    """A run of three tasks whose runner was killed while the second was under way."""
    os.mkfifo(project.root / "gate")
    project.task("10-a", "echo a")
    project.task("20-b", "[ $ATTEMPT = 2 ] || read line < gate", needs=["10-a"])
    project.task("30-c", "echo c", needs=["20-b"])
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1", "--grace", "1")
    assert any("start     20-b" in line for line in process.stderr)
    process.kill()
    process.communicate()


def attempts(project):
    return {name: project.status("r1", name)["attempt"] for name in ("10-a", "20-b", "30-c")}


def test_what_was_finished_is_kept_and_what_was_under_way_is_lost_and_run_again(project):
    killed(project)
    done = project.zf("resume", "r1")
    assert done.code == 0
    assert attempts(project) == {"10-a": 1, "20-b": 2, "30-c": 1}
    lost = project.json("r1", "20-b", "attempts", "1", "99-summary", "status.json")
    assert (lost["status"], lost["cause"]) == ("lost", "runner")
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_what_is_not_known_of_a_lost_attempt_is_not_told_and_no_end_is_told_twice(project):
    killed(project)
    done = project.zf("resume", "r1")
    assert "! lost      20-b  the runner died while it ran" in done.err
    told = [*done.err.splitlines(), *done.out.splitlines()]
    assert len(told) == len(set(told))
    assert "20-b succeeded only on attempt 2 (flaky)" in done.out
    assert "attempt 1: lost: the runner died" in done.out + project.zf("explain", "r1", "20-b").out


def test_a_sealed_run_is_not_resumed(project):
    killed(project)
    assert project.zf("resume", "r1").code == 0
    before = project.proof("r1", "events.jsonl").read_bytes()
    done = project.zf("resume", "r1")
    assert (done.code, project.proof("r1", "events.jsonl").read_bytes()) == (5, before)
    assert "error[ZF142]: run 'r1' is sealed: it never changes" in done.err


def test_that_a_run_is_sealed_is_told_first(project):
    """Not that its task files have changed since, which is usual by then and no reason."""
    killed(project)
    assert project.zf("resume", "r1").code == 0
    project.task("30-c", "echo something else", needs=["20-b"])
    done = project.zf("resume", "r1")
    assert done.code == 5
    assert "error[ZF142]: run 'r1' is sealed: it never changes" in done.err
    assert "zf rerun r1 --failed" in done.err


def test_a_copy_of_a_run_under_another_name_is_no_run_to_resume(project):
    """Its lock would be that of the run it is a copy of."""
    killed(project)
    shutil.copytree(project.proof("r1"), project.proof("r2"))
    done = project.zf("resume", "r2")
    assert done.code == 2
    assert "is a copy of run 'r1'" in done.err
    assert not project.proof("r1", "MANIFEST.sha256").exists()
    assert not project.proof("r2", "MANIFEST.sha256").exists()
    assert project.zf("resume", "r1").code == 0


def test_changed_task_files_are_refused(project):
    killed(project)
    project.task("30-c", "echo something else", needs=["20-b"])
    done = project.zf("resume", "r1")
    assert done.code == 2
    assert (
        "error[ZF143]: the task files, or zf's reading of them, have changed since this run began: '30-c'"
        in done.err
    )
    assert not project.proof("r1", "MANIFEST.sha256").exists()
    # What is advised works.
    project.task("20-b", "true", needs=["10-a"])
    assert "zf seal r1, then zf rerun r1 --failed" in done.err
    assert project.zf("seal", "r1").code == 0
    assert project.zf("rerun", "r1", "--failed", "--run-id", "r2").code == 0
    assert project.status("r2", "30-c")["status"] == "success"


def test_a_torn_journal_is_taken_up_before_the_tear(project):
    killed(project)
    with project.proof("r1", "events.jsonl").open("ab") as journal:
        journal.write(b'{"seq":99,"prev":"')
    assert project.zf("resume", "r1").code == 0
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


@pytest.mark.parametrize("path", ["events.jsonl", "10-a/20-logs/step-0.log", "run.json"])
def test_a_damaged_proof_is_refused_and_left_as_it_is(project, path):
    killed(project)
    damaged = project.proof("r1", *path.split("/"))
    data = bytearray(damaged.read_bytes())
    data[0] ^= 1
    damaged.write_bytes(data)
    journal = project.proof("r1", "events.jsonl").read_bytes()
    done = project.zf("resume", "r1")
    assert done.code in {1, 2}
    assert "error[ZF" in done.err
    assert damaged.read_bytes() == data
    assert project.proof("r1", "events.jsonl").read_bytes() == journal
    assert not project.proof("r1", "MANIFEST.sha256").exists()


def test_a_run_that_lacks_only_its_seal_is_sealed_with_what_it_came_to(project):
    project.task("a", "exit 3")
    project.task("b", "true", needs=["a"])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    journal = project.proof("r1", "events.jsonl").read_bytes()
    project.proof("r1", "MANIFEST.sha256").unlink()
    project.proof("r1", ".MANIFEST.sha256.77.tmp").write_bytes(b"half")
    assert verify(str(project.proof("r1"))).exit_code == INCOMPLETE
    assert project.zf("resume", "r1").code == 1
    assert project.proof("r1", "events.jsonl").read_bytes() == journal
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_what_was_left_by_a_runner_killed_before_its_run_had_a_name(project):
    project.task("a", "true")
    left = project.proof(".r1.new")
    left.mkdir(parents=True)
    (left / "run.json").write_bytes(b"{")
    assert project.zf("status").out == "no runs yet\n"
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    assert not left.exists()


def test_a_run_that_was_interrupted_and_then_killed_is_closed_as_interrupted(project):
    os.mkfifo(project.root / "gate")
    project.task("a", "trap '' TERM; read line < gate")
    project.task("b", "true", needs=["a"])
    words = ("--run-id", "r1", "--grace", "2", "--progress", "json")
    process = project.popen("run-phase", "A", *words)
    heard(process, "attempt_started")
    process.send_signal(signal.SIGINT)
    heard(process, "interrupted")
    process.kill()
    process.communicate()
    assert project.zf("resume", "r1").code == 130
    assert project.status("r1", "b")["status"] == "cancelled"
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_durations_after_a_resume_are_the_run_s_and_not_the_machine_s(project):
    killed(project)
    assert project.zf("resume", "r1").code == 0
    events = project.events("r1")
    began, ended = (datetime.fromisoformat(events[n]["wall"]) for n in (0, -1))
    whole_s = (ended - began).total_seconds()
    phase, run = (e for e in events if e["type"] in {"phase_ended", "run_ended"})
    assert 0 < phase["duration_s"] <= run["duration_s"] <= whole_s


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1000, 1500))
def test_campaign_of_killed_runners(tmp_path, seed):
    one_round(tmp_path, seed, workers=False)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(2000, 2500))
def test_campaign_of_killed_workers_and_recoveries(tmp_path, seed):
    one_round(tmp_path, seed, workers=seed % 4 != 0, kills_of_resume=seed % 3)
