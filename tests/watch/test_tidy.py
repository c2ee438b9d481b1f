"""Which cycles a watch lets go, with real processes for other watches."""

import os
import subprocess

import pytest

from zf.watch.tidy import old_cycles


def names(pid, count=3):
    return [f"20261127-1015{number:02}-{pid}-w{number}" for number in range(count, 0, -1)]


@pytest.fixture
def other():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_the_newest_stay_and_what_is_in_use_and_other_runs():
    own = names(os.getpid())
    _, old, oldest = own
    assert old_cycles(["20261127-101500", *own, "by-hand-w1"], 1, ()) == [old, oldest]
    assert old_cycles(own, 1, {oldest}) == [old]
    assert old_cycles(own, 3, ()) == []


def test_cycles_of_another_watch_are_its_own_until_it_is_gone(other):
    """They neither go nor count, for what they are built on only their watch knows."""
    own, theirs = names(os.getpid()), names(other.pid)
    assert old_cycles([*theirs, *own], 2, ()) == own[2:]
    other.kill()
    other.wait()
    assert old_cycles([*theirs, *own], 2, ()) == [theirs[2], *own]


def test_a_number_that_no_process_can_have_is_of_none():
    own, foreign = names(os.getpid(), 1), names("9" * 30, 1)
    assert old_cycles([*own, *foreign], 1, ()) == foreign
