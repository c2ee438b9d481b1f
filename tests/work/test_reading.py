"""When a step's output is read: what comes now and then at once, a trickle a little later."""

import math
import os
import select
import subprocess
import sys
from types import SimpleNamespace

import pytest

from zf.work import capture
from zf.work.capture import Buffer, Capture
from zf.work.supervise import reading
from zf.work.supervise.reading import REST_S, Reading


class Step:
    """A pipe that is written into, a log that it is read into, the poll that says when, and the
    time, which stands still.
    """

    def __init__(self):
        self.now = 1000.0

    def open(self, log):
        theirs, self._end = os.pipe()
        os.set_blocking(theirs, False)
        self.pipe = theirs
        self.poll = select.poll()
        self.log = log
        self._log = os.open(self.log, os.O_WRONLY | os.O_CREAT)
        self.capture = Capture(self._log, Buffer())
        self.now += 60.0
        self.reading = Reading(theirs, self.capture, self.poll)

    def write(self, data):
        os.write(self._end, data)

    def prints(self, data):
        """Print, and have it read; whether the pipe is waited for after that."""
        self.write(data)
        self.reading.pump()
        return self.reading.again_at == math.inf

    def end(self):
        os.close(self._end)
        self._end = -1

    def is_told(self):
        return [fd for fd, _ in self.poll.poll(0)] == [self.pipe]

    def close(self):
        if self.reading.pipe >= 0:
            self.reading.close()
        os.close(self._log)
        if self._end >= 0:
            os.close(self._end)


@pytest.fixture
def step(tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: step.now)
    monkeypatch.setattr(capture, "time", clock)
    monkeypatch.setattr(reading, "time", clock)
    step = Step()
    step.open(tmp_path / "log")
    yield step
    step.close()


def test_a_line_now_and_then_is_read_at_once(step):
    for _ in range(3):
        assert step.prints(b"a line\n")
        step.now += 2.5 * REST_S


def test_a_trickle_gathers_for_a_moment_and_nothing_is_lost(step):
    assert step.prints(b"1")
    assert not step.prints(b"2")
    assert step.reading.again_at == step.now + REST_S
    step.write(b"3")
    assert not step.is_told()
    step.write(b"4")
    step.now += 0.9 * REST_S
    step.reading.look_again()
    assert not step.is_told()
    step.now += 0.2 * REST_S
    step.reading.look_again()
    assert step.is_told()
    step.reading.pump()
    assert step.log.read_bytes() == b"1234"


def test_a_trickle_goes_on_gathering(step):
    step.prints(b"1")
    assert not step.prints(b"2")
    for _ in range(3):
        step.now += 1.5 * REST_S  # a little after its moment
        step.reading.look_again()
        assert not step.prints(b".")


def test_a_step_that_writes_much_is_not_made_to_wait(step):
    step.prints(b"1")
    assert step.prints(b"x" * 4096)
    assert step.prints(b"x" * 30_000)
    # Short lines at speed: a pipeful, and the little that was written while that was read.
    for _ in range(9):
        assert step.prints(b"x" * 1000)
        assert step.prints(b"x" * 60_000)
        step.now += 0.1
    step.now += 1.0
    assert step.prints(b"1")
    assert not step.prints(b"2")


def test_what_has_gathered_is_there_to_be_looked_at_when_it_is_time(step):
    assert not step.reading.look_again()
    step.prints(b"1")
    assert not step.prints(b"2")
    assert not step.reading.look_again()
    step.now += REST_S
    assert step.reading.look_again()
    assert not step.reading.look_again()


def test_what_a_person_is_shown_does_not_gather(step):
    step.capture.came = lambda _: None
    step.prints(b"1")
    assert step.prints(b"2")


def test_what_has_gathered_is_taken_when_the_step_is_over(step):
    step.prints(b"1")
    assert not step.prints(b"2")
    step.write(b"3")
    step.reading.drain()
    assert step.reading.is_open  # something may hold the pipe
    step.write(b"4")
    step.end()
    step.reading.drain()
    assert not step.reading.is_open
    assert step.log.read_bytes() == b"1234"
    assert step.poll.poll(0) == []
    step.reading.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(step.pipe)


def test_the_pipe_of_what_stays_is_waited_for_by_another(step):
    step.prints(b"1")
    assert not step.prints(b"2")
    step.reading.hand_over()
    step.write(b"3")
    assert step.is_told()
    assert not step.reading.is_open
    assert step.reading.pipe == -1
    assert step.log.read_bytes() == b"12"
    os.close(step.pipe)


def test_it_can_be_closed_while_it_gathers(step):
    step.prints(b"1")
    assert not step.prints(b"2")
    step.reading.close()
    assert step.poll.poll(0) == []
    assert step.reading.again_at == math.inf


# An order comes at the very moment at which the pipe is to be looked at again, and nothing is there.
ORDERED = """
import os, socket, subprocess, sys, time
from zf.work.capture import Buffer, Capture
from zf.work.control import RunnerOrders
from zf.work.supervise.processes import GroupTree
from zf.work.supervise.supervisor import Supervisor, Terms

ours, theirs = socket.socketpair()
life, runner_lives = os.pipe()
output, end = os.pipe()
os.set_blocking(output, False)
supervisor = Supervisor(RunnerOrders(theirs, life), 0.0, GroupTree())

def meanwhile():
    supervisor._reading.again_at = 0.0
    os.close(runner_lives)

step = subprocess.Popen(["sleep", "1000"], start_new_session=True)
capture = Capture(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), Buffer())
ended = supervisor.run(step.pid, output, capture, Terms(time.monotonic() + 1000.0), meanwhile)
print(ended.stop.cause)
"""


def test_an_order_is_taken_also_when_the_pipe_is_looked_at_again(tmp_path):
    command = [sys.executable, "-c", ORDERED, str(tmp_path / "log")]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    assert done.stdout == b"runner\n"
