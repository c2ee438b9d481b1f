"""`zf logs`: one task byte for byte, or all by lines; of runs that are over, killed or go on."""

import os
import random
import signal
import subprocess

import pytest

from tests.support.killed_runs import kill
from tests.support.program import heard
from tests.support.readers import start


@pytest.fixture
def over(project):
    """A run with a success, a failure with a cleanup, one tried twice and one that never ran."""
    project.task("10-a", r"printf 'one\ntwo\033[31m\n'", "printf three", parallel_safe=True)
    cleanup = [{"name": "sweep", "run": "echo swept"}]
    project.task("20-b", "echo no; exit 3", parallel_safe=True, cleanup=cleanup)
    again = "[ -e tried ] && echo good || { touch tried; echo bad; exit 1; }"
    project.task("30-c", again, parallel_safe=True, max_retries=1)
    project.task("40-d", "true", needs=["20-b"])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    return project


def test_one_task_is_printed_byte_for_byte(over):
    assert over.zf("logs", "r1", "10-a").out == "one\ntwo\x1b[31m\nthree"
    assert over.zf("logs", "latest", "20-b").out == "no\nswept\n"
    assert over.zf("logs", "r1", "10-a", "--step", "1").out == "three"


def test_all_tasks_are_printed_line_by_line_and_the_run_is_the_newest(over):
    expected = "10-a | one\n10-a | two\n10-a | three\n20-b | no\n20-b | swept\n30-c | good\n"
    assert over.zf("logs").out == expected
    assert over.zf("logs", "r1", "--follow").out == expected


def test_earlier_attempts_are_asked_for(over):
    assert over.zf("logs", "r1", "30-c").out == "good\n"
    assert over.zf("logs", "r1", "30-c", "--attempt", "1").out == "bad\n"
    assert over.zf("logs", "r1", "30-c", "--attempt", "1", "--follow").out == "bad\n"
    assert over.zf("logs", "--attempt", "2").out == "30-c | good\n"
    for words in (["30-c"], []):
        done = over.zf("logs", "r1", *words, "--attempt", "3")
        assert (done.code, done.out, "ZF132" in done.err) == (2, "", True)


def test_only_what_failed(over):
    assert over.zf("logs", "--failed").out == "20-b | no\n20-b | swept\n"
    assert over.zf("logs", "r1", "20-b", "--failed").out == "no\nswept\n"
    done = over.zf("logs", "r1", "10-a", "--failed")
    assert (done.code, done.out, done.err) == (0, "", "10-a is success in run r1\n")
    assert over.zf("run-task", "10-a", "--run-id", "r2").code == 0
    assert over.zf("logs", "--failed").err == "no task has failed in run r2\n"


def test_what_is_not_there(over):
    done = over.zf("logs", "r1", "40-d")
    assert (done.code, "ZF131" in done.err, "it is blocked" in done.err) == (2, True, True)
    assert over.zf("logs", "r1", "40-d", "--follow").code == 2
    assert "ZF130" in over.zf("logs", "r1", "nope").err
    done = over.zf("logs", "10-a")
    assert (done.code, "zf logs latest 10-a" in done.err) == (2, True)


def test_a_foreign_proof_needs_no_project(over, tmp_path):
    moved = tmp_path / "moved"
    os.rename(over.proof("r1"), moved)
    assert over.zf("logs", str(moved), "30-c", "--attempt", "1", cwd=tmp_path).out == "bad\n"


@pytest.fixture
def gate(project):
    """A fifo at which a task waits, told line by line when to go on."""
    path = project.root / "gate"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    yield lambda: os.write(fd, b"\n")
    os.close(fd)


def test_a_task_is_followed_over_its_retries_until_it_ends(project, gate):
    step = 'echo "try $ATTEMPT"; read x <gate; echo "end $ATTEMPT"; [ "$ATTEMPT" = 2 ]'
    project.task("a", step, max_retries=2, parallel_safe=True)
    project.task("z", "sleep 1000", parallel_safe=True)
    run = project.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(run, "attempt_started", task="a")
    logs = project.popen("logs", "r1", "a", "--follow")
    assert logs.stdout.readline() == "try 1\n"
    gate()
    assert [logs.stdout.readline() for _ in range(2)] == ["end 1\n", "try 2\n"]
    gate()
    # The run goes on; the task has ended.
    assert logs.communicate(timeout=60) == ("end 2\n", "attempt 2\n")
    assert logs.returncode == 0
    run.send_signal(signal.SIGTERM)
    run.communicate()


def test_a_run_is_followed_until_it_ends_also_what_starts_later(project, gate):
    project.task("a", "echo one; read x <gate; echo two")
    project.task("b", "echo three", needs=["a"])
    run = project.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(run, "attempt_started")
    logs = project.popen("logs", "-f")
    assert logs.stdout.readline() == "a | one\n"
    gate()
    assert logs.communicate(timeout=60) == ("a | two\nb | three\n", "")
    assert logs.returncode == 0
    run.communicate()


def test_of_a_run_that_is_followed_only_what_fails(project, gate):
    project.task("a", "echo one; read x <gate; exit 1", parallel_safe=True)
    project.task("b", "echo two", parallel_safe=True)
    run = project.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(run, "attempt_ended", task="b")
    logs = project.popen("logs", "r1", "--follow", "--failed")
    gate()
    assert logs.communicate(timeout=60) == ("a | one\n", "")
    run.communicate()


def test_a_run_that_is_killed_is_followed_no_further(project, gate):
    project.task("a", "echo one; read x <gate")
    run = project.popen(
        "run-phase", "A", "--run-id", "r1", "--progress", "json", start_new_session=True
    )
    heard(run, "attempt_started")
    logs = project.popen("logs", "r1", "--follow")
    assert logs.stdout.readline() == "a | one\n"
    kill(run, workers=True, rng=random.Random(0))
    out, err = logs.communicate(timeout=60)
    assert (logs.returncode, out) == (0, "")
    assert err == "r1 never ended: its zf was killed, and nothing runs it any more\n"
    assert project.zf("logs", "r1", "a").out == "one\n"


def test_following_ends_when_its_reader_has_gone(project, gate):
    """Though nothing more is printed that could tell it."""
    project.task("a", "echo one; read x <gate")
    run = project.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(run, "attempt_started")
    ours, theirs = os.pipe()
    logs = start(project, ["logs", "r1", "a", "--follow"], theirs, subprocess.DEVNULL)
    os.close(theirs)
    assert os.read(ours, 100) == b"one\n"
    os.close(ours)
    assert logs.wait(timeout=60) == 141
    gate()
    run.communicate()
