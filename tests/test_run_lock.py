"""One owner per run id."""

import os

import pytest

from zf.errors import ZfError
from zf.run.lock import acquire


def test_the_second_is_told_who_the_first_is(tmp_path):
    held = acquire(str(tmp_path), "r1")
    with pytest.raises(ZfError) as caught:
        acquire(str(tmp_path), "r1")
    owner = f"pid {os.getpid()} on {os.uname().nodename}"
    assert str(caught.value) == f"run id 'r1' is in use by {owner}"
    assert caught.value.exit_code == 5
    os.close(held)


def test_ids_that_differ_in_case_only_are_one(tmp_path):
    held = acquire(str(tmp_path), "Run")
    with pytest.raises(ZfError):
        acquire(str(tmp_path), "rUN")
    os.close(held)


def test_runs_do_not_block_each_other_and_a_freed_id_can_be_taken(tmp_path):
    first = acquire(str(tmp_path), "a")
    other = acquire(str(tmp_path), "b")
    os.close(first)
    again = acquire(str(tmp_path), "a")
    os.close(other)
    os.close(again)


def test_a_child_that_inherited_the_lock_holds_it(tmp_path):
    held = acquire(str(tmp_path), "a")
    release_r, release_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(release_w)
        os.read(release_r, 1)
        os._exit(0)
    os.close(release_r)
    os.close(held)
    with pytest.raises(ZfError):
        acquire(str(tmp_path), "a")
    os.close(release_w)
    os.waitpid(pid, 0)
    os.close(acquire(str(tmp_path), "a"))
