"""A display that takes nothing (a full pipe, Ctrl-S on a terminal) and the clocks of the run behind it.

All times are the journal's own: both ends of every comparison were read from the same clock.
"""

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
import tty
from contextlib import closing, contextmanager, suppress

import pytest

from tests.support.readers import Pipe, start
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

# How late anything may be; on a display that is read it is some milliseconds.
LATE_S = 1.0
SHOWS = [
    ["--progress", "json"],
    ["--progress", "plain"],
    ["--output", "prefix"],
    ["--output", "group"],
    ["--progress", "live"],
]


@contextmanager
def a_full_pipe():
    with closing(Pipe(full=True)) as pipe:
        yield pipe.write_fd


@contextmanager
def a_stopped_terminal():
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    termios.tcflow(theirs, termios.TCOOFF)
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


DISPLAYS = {"pipe": a_full_pipe, "terminal": a_stopped_terminal}


@pytest.fixture(params=DISPLAYS)
def stopped(request):
    """A display that takes nothing."""
    with DISPLAYS[request.param]() as fd:
        yield fd


@pytest.fixture
def begin(project, stopped):
    """Start zf on it; whatever is left is killed after the test."""
    made = []
    project.env["TERM"] = "xterm"

    def go(*words):
        process = start(project, ["run-phase", "A", "--run-id", "r1", *words], stopped, stopped)
        made.append(process)
        return process

    yield go
    for process in made:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(project, kind):
    """Wait until the journal says so; the line."""
    while True:
        with suppress(FileNotFoundError):
            found = [e for e in project.events("r1") if e["type"] == kind]
            if found:
                return found[0]
        select.select([], [], [], 0.02)


def check_sealed(project):
    """The seal comes just after the end."""
    while not project.proof("r1", "MANIFEST.sha256").exists():
        select.select([], [], [], 0.02)
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def moments(project, kind):
    return {e.get("task"): e["mono"] for e in project.events("r1") if e["type"] == kind}


@pytest.mark.parametrize("show", SHOWS, ids=" ".join)
def test_phase_and_task_time_out_and_what_is_ready_starts(project, begin, show):
    """Tasks that print much, so that there is always something to show."""
    project.task("a", "seq 200000", parallel_safe=True)
    project.task("b", "seq 200000", needs=["a"], parallel_safe=True)
    project.task("c", "seq 300000; exec sleep 100", timeout_sec=1, parallel_safe=True)
    project.task("d", "seq 3000000; exec sleep 100", parallel_safe=True)
    begin("--phase-timeout", "3", "--grace", "0", *show)
    ended = until(project, "run_ended")
    assert ended["exit_code"] == 124
    starts, ends = moments(project, "attempt_started"), moments(project, "attempt_ended")
    assert starts["b"] - ends["a"] < LATE_S
    assert abs(ends["c"] - starts["c"] - 1) < LATE_S
    began = moments(project, "phase_started")[None]
    assert abs(moments(project, "phase_timed_out")[None] - began - 3) < LATE_S
    assert ends["d"] - began < 3 + 2 * LATE_S
    check_sealed(project)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("show", SHOWS, ids=" ".join)
def test_ctrl_c_and_term_are_heard(project, begin, show, number, code):
    for name in "abc":
        project.task(name, "seq 20000; exec sleep 100", parallel_safe=True)
    process = begin(*show)
    until(project, "attempt_started")
    sent = time.monotonic()
    process.send_signal(number)
    heard = until(project, "interrupted")["mono"]
    assert heard - sent < LATE_S
    # The run is over and its reader is not waited for: it was told to end.
    assert process.wait() == code
    assert until(project, "run_ended")["mono"] - sent < 2 * LATE_S
    check_sealed(project)


def test_warnings_about_task_files_hold_up_no_start(project, begin):
    """They come before the run."""
    for number in range(100):
        project.task(f"t{number}", "true", timeout_sec=9000, parallel_safe=True, title="x" * 500)
    begin()
    until(project, "run_ended")


def test_lines_that_found_no_room_are_counted(project):
    """1 MiB is kept; what is more is dropped, and the reader is told where and how much."""
    failing = "f" * 120
    project.task(failing, "exit 1")
    for number in range(3000):
        text = f"id: b{number}\nphase: A\nneeds: [{failing}]\ncommands:\n- run: 'true'\n"
        project.file(f"b{number}", text)
    with closing(Pipe(full=True)) as pipe:
        words = ["run-phase", "A", "--run-id", "r1", "--progress", "json"]
        process = start(project, words, subprocess.DEVNULL, pipe.write_fd)
        until(project, "run_ended")
        lines = pipe.read_slowly(process).splitlines()
    assert process.returncode == 1
    told = [json.loads(line) for line in lines]
    dropped = [line["lines"] for line in told if line["type"] == "lines_dropped"]
    assert dropped
    assert len(told) - len(dropped) + sum(dropped) == len(project.events("r1"))


def test_output_of_tasks_is_late_but_whole(project):
    """It waits in the logs of the run, so none of it need be dropped."""
    project.task("a", "seq 300000", parallel_safe=True)
    project.task("b", "seq 300000", parallel_safe=True, needs=["a"])
    with closing(Pipe(full=True)) as pipe:
        words = ["run-phase", "A", "--run-id", "r1", "--output", "prefix"]
        process = start(project, words, subprocess.DEVNULL, pipe.write_fd)
        until(project, "run_ended")
        said = pipe.read_slowly(process).decode().splitlines()
    for task in "ab":
        assert [line for line in said if line.startswith(f"{task} | ")] == [
            f"{task} | {number}" for number in range(1, 300001)
        ]


@pytest.mark.parametrize("signals", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_gives_up_does_not_wait_for_the_display(project, begin, signals):
    """Its words go to stderr, too, where nobody takes them."""
    project.task("a", "kill -KILL $PPID; exec sleep 100")
    begin("--progress", "json")
    assert until(project, "attempt_ended")["status"] == "lost"
    until(project, "run_ended")
