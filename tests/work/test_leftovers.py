"""Processes of a dead run are found by marks of its own, and nobody else is touched."""

import os
import select
import subprocess

import pytest

from zf.work.supervise import leftovers
from zf.work.supervise.cgroup import Cgroup, own_folder


def sleeper(cookie=None, **env):
    marks = {leftovers.COOKIE: cookie} if cookie else {}
    return subprocess.Popen(["sleep", "300"], env={"PATH": os.environ["PATH"], **marks, **env})


def has_ended(process):
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], 0)[0])
    finally:
        os.close(pidfd)


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "proofs" / "r1"
    path.mkdir(parents=True)
    return str(path)


def end_all(processes):
    for process in processes:
        process.kill()
        process.wait()


def test_only_what_the_run_started_is_ended(run_dir):
    ours = [sleeper(leftovers.cookie(run_dir, task, 1)) for task in ("a", "b")]
    strangers = [
        sleeper(),
        sleeper(leftovers.cookie(f"{run_dir}0", "a", 1)),
        sleeper(f"x{leftovers.cookie(run_dir, 'a', 1)}"),
        # Somebody who sourced env.sh of the dead task to look into it.
        sleeper(PROOF_DIR=f"{run_dir}/a", RUN_ID="r1", TASK_ID="a"),
        # The words, but not as the variable.
        sleeper(NOTE=f"{leftovers.COOKIE}={leftovers.cookie(run_dir, 'a', 1)}"),
    ]
    try:
        assert leftovers.end(run_dir) == 2
        assert [process.wait(timeout=10) for process in ours] == [-9, -9]
        assert not any(has_ended(process) for process in strangers)
    finally:
        end_all([*ours, *strangers])


def test_one_attempt_leaves_the_others_alone(run_dir):
    first, second = (sleeper(leftovers.cookie(run_dir, "a", attempt)) for attempt in (1, 11))
    try:
        assert leftovers.end_attempt(run_dir, "a", 1) == 1
        assert first.wait(timeout=10) == -9
        assert not has_ended(second)
    finally:
        end_all([first, second])


def test_nothing_left_is_nothing_done(run_dir):
    assert leftovers.end(run_dir) == 0


def test_the_run_is_known_by_its_folder_however_it_is_called(run_dir, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "proofs")
    assert leftovers.cookie(f"{tmp_path}/link/r1", "a", 1) == leftovers.cookie(run_dir, "a", 1)


def test_a_child_that_was_forked_meanwhile_is_found_too(run_dir):
    env = {"PATH": os.environ["PATH"], leftovers.COOKIE: leftovers.cookie(run_dir, "a", 1)}
    parent = subprocess.Popen(
        ["bash", "-c", "sleep 300 & sleep 300 & echo up; wait"], env=env, stdout=subprocess.PIPE
    )
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"up\n"
        assert leftovers.end(run_dir) == 3
        assert parent.wait(timeout=10) == -9


def test_a_number_that_passed_to_a_stranger_is_not_signalled(run_dir, monkeypatch):
    """The list says ours, but by the time it is pinned somebody else has the number."""
    stranger = sleeper()
    listed = [[stranger.pid], []]
    monkeypatch.setattr(leftovers, "_bearing", lambda mark: listed.pop(0))
    try:
        assert leftovers.end(run_dir) == 0
        assert not has_ended(stranger)
    finally:
        end_all([stranger])


def test_one_that_is_gone_when_it_is_pinned_is_passed_over(run_dir, monkeypatch):
    gone = subprocess.Popen(["true"])
    gone.wait()
    listed = [[gone.pid], []]
    monkeypatch.setattr(leftovers, "_bearing", lambda mark: listed.pop(0))
    assert leftovers.end(run_dir) == 0


def can_make_cgroups():
    folder = own_folder()
    return folder is not None and os.access(folder, os.W_OK)


@pytest.mark.skipif(not can_make_cgroups(), reason="no writable cgroup v2 subtree here")
def test_what_cleared_its_environment_is_found_in_the_cgroup(run_dir):
    ready, write = os.pipe()
    worker = os.fork()
    if worker == 0:
        try:
            assert Cgroup.enter(leftovers.cgroup_name(run_dir, os.getpid()))
            daemon = subprocess.Popen(
                ["env", "-i", "setsid", "sleep", "300"], stdout=subprocess.DEVNULL
            )
            os.write(write, b"%d" % daemon.pid)
        finally:
            os._exit(0)
    os.close(write)
    daemon = int(os.read(ready, 20))
    os.close(ready)
    pidfd = os.pidfd_open(daemon)
    os.waitpid(worker, 0)
    assert leftovers.end(run_dir) == 1
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    assert leftovers.end(run_dir) == 0


@pytest.mark.skipif(not can_make_cgroups(), reason="no writable cgroup v2 subtree here")
def test_a_dead_workers_cgroup_goes_and_that_of_a_longer_number_stays(run_dir):
    names = (leftovers.cgroup_name(run_dir, number) for number in (12, 123))
    folders = [os.path.join(own_folder(), name) for name in names]
    try:
        for folder in folders:
            os.mkdir(folder)
        leftovers.end_worker(run_dir, 12)
        assert [os.path.exists(folder) for folder in folders] == [False, True]
    finally:
        os.rmdir(folders[1])
