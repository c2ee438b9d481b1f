"""One owner per run id."""

import os
import subprocess
import sys
import tempfile

import pytest

from zf.errors import ZfError
from zf.run.host import lock
from zf.run.host.lock import acquire, folder, orders_path


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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_live_run_of_another_user_is_running_and_takes_no_orders():
    """What a user may not write to is there all the same."""
    with tempfile.TemporaryDirectory() as proofs:
        os.chmod(proofs, 0o755)
        os.mkdir(folder(proofs))
        fifo = orders_path(proofs, "r")
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        script = f"""
import os
from zf.run.host import lock
os.setgid(65534)
os.setuid(65534)
print(lock.is_run({proofs!r}, "r"))
try:
    lock.order({proofs!r}, "r", "cancel")
except PermissionError as error:
    print(error.strerror)
"""
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        os.close(reader)
        assert told.stdout == b"True\nPermission denied\n"


def test_only_a_new_run_is_told_to_take_another_id(tmp_path):
    fd = lock.acquire(str(tmp_path), "r")
    try:
        with pytest.raises(ZfError) as refused:
            lock.acquire(str(tmp_path), "r")
        assert refused.value.problems[0].hint == "wait for it to end, or end it with: zf cancel r"
        with pytest.raises(ZfError) as refused:
            lock.acquire(str(tmp_path), "r", "choose another")
        assert refused.value.problems[0].hint == "wait for it to end, or choose another"
    finally:
        lock.release(fd)
