"""The pool: workers per slot, their deaths, the runner's own, and what all of it leaves: nothing."""

import contextlib
import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.attempts import (
    Attempts,
    all_listed,
    checksums_hold,
    drive,
    processes,
    task,
    wait_for_one,
)
from zf.events import Cause
from zf.model import Step
from zf.proof.tree.store import TaskTree
from zf.work import pool as pool_module
from zf.work.outcome import Outcome
from zf.work.supervise import leftovers
from zf.work.supervise.cgroup import Cgroup, own_folder
from zf.work.supervise.watchdog import Patience

QUICK = Patience(tick_s=0.05, dead_ticks=3, finish_grace_s=0.5, ceiling_slack_s=1000)


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


def begin(pool, attempts, name="t"):
    """Start a task that says `up` into a fifo once it is, and wait for that."""
    fifo = attempts.root / f"up-{name}"
    os.mkfifo(fifo)
    pool.start(name, 1, 0)
    assert fifo.read_text() == "up\n"
    return pool._running[name].pid


def cgroups_of(attempts):
    """The cgroups that are left of the workers of a run."""
    folder = own_folder()
    mark = leftovers.cgroup_name(str(attempts.run_dir), 0).removesuffix("0")
    return [name for name in os.listdir(folder) if name.startswith(mark)] if folder else []


def test_the_list_that_is_told_is_the_one_in_the_tree(attempts, monkeypatch):
    """Also of an attempt whose outcome could be claimed only the second time."""
    claim, failed = TaskTree._claim, []

    def fail_once(self, data):
        if self.path.endswith("/second") and not failed:
            failed.append(True)
            raise OSError(errno.ENOSPC, "No space left on device")
        claim(self, data)

    monkeypatch.setattr(TaskTree, "_claim", fail_once)
    tasks = [task("echo x", name=name) for name in ("first", "second", "third")]
    with contextlib.closing(attempts.pool(*tasks)) as pool:
        ended = drive(pool, tasks, 1)
    assert ended["second"].cause == "storage"
    for name in ("first", "third"):
        listed = (attempts.run_dir / name / "40-checksums/task.sha256").read_text()
        assert pool.known.lists[name] == listed
    assert "second" not in pool.known.lists


def test_what_may_be_worth_a_remark_is_known_and_no_more(attempts):
    """What the summary reads again; `remarks` of it says nothing of all others."""
    tasks = [
        task("echo x", name="plain"),
        task("echo x", name="unmatched", artifacts=("*.xml",)),
        task("ln -s /etc $ARTIFACTS_DIR/link", name="refused"),
        task("kill -9 $PPID; sleep 9", name="lost"),
    ]
    with contextlib.closing(attempts.pool(*tasks)) as pool:
        drive(pool, tasks, 1)
    assert set(pool.known.odd) == {"unmatched", "refused", "lost"}
    for one in tasks:
        status = json.loads((attempts.run_dir / one.id / "99-summary/status.json").read_text())
        said = any(status[key] for key in ("survivors", "refused", "unmatched", "notes"))
        assert said <= (one.id in pool.known.odd)


class TestSlots:
    def test_a_worker_is_forked_when_its_slot_is_first_used_and_then_again_and_again(
        self, attempts
    ):
        tasks = [task("echo $PPID", name=f"t{n}") for n in range(6)]
        with contextlib.closing(attempts.pool(*tasks)) as pool:
            assert pool._handles == {}
            drive(pool, tasks, 2)
            workers = {handle.pid for handle in pool._handles.values()}
        seen = {int(attempts.result_of(one.id).log()) for one in tasks}
        assert seen <= workers
        assert len(workers) == 2

    def test_workers_that_were_made_before_the_first_order_take_it(self, attempts):
        tasks = [task("echo $PPID", name=f"t{n}") for n in range(6)]
        with contextlib.closing(attempts.pool(*tasks, first=2)) as pool:
            made = {handle.pid for handle in pool._handles.values()}
            drive(pool, tasks, 2)
            assert {handle.pid for handle in pool._handles.values()} == made
        pool.close()  # for nothing
        assert len(made) == 2
        assert {int(attempts.result_of(one.id).log()) for one in tasks} <= made
        assert cgroups_of(attempts) == []

    def test_where_a_first_worker_cannot_be_made_those_before_it_end(self, attempts, monkeypatch):
        made = []
        fork = os.fork

        def refused():
            if made:
                raise BlockingIOError
            made.append(fork())
            return made[0]

        before = os.listdir("/dev/fd")
        monkeypatch.setattr(os, "fork", refused)
        with pytest.raises(BlockingIOError):
            attempts.pool(task(":"), first=2)
        assert os.listdir("/dev/fd") == before
        with pytest.raises(ChildProcessError):
            os.waitpid(made[0], os.WNOHANG)
        assert cgroups_of(attempts) == []

    @pytest.mark.skipif(own_folder() is None, reason="no cgroup v2 here")
    def test_an_idle_worker_whose_runner_was_killed_leaves_no_cgroup(self, attempts):
        told, tell = os.pipe()
        runner = os.fork()
        if runner == 0:
            with contextlib.suppress(BaseException):
                pool = attempts.pool(task(":"))
                drive(pool, [task(":")], 1)
                os.write(tell, b"%d" % pool._handles[0].pid)
                signal.pause()
            os._exit(1)
        worker = int(os.read(told, 20))
        os.kill(runner, signal.SIGKILL)
        os.waitpid(runner, 0)
        leftovers.await_end(worker, time.monotonic() + 30)
        for fd in (told, tell):
            os.close(fd)
        assert cgroups_of(attempts) == []

    def test_tasks_run_side_by_side(self, attempts):
        """Each waits for the other: one after the other they would never end."""
        os.mkfifo(attempts.root / "a")
        os.mkfifo(attempts.root / "b")
        results = attempts.run_all(
            [
                task("echo x > a; read < b", name="one"),
                task("read < a; echo x > b", name="two"),
            ]
        )
        assert [result.outcome() for result in results] == [("success", 0, "")] * 2

    def test_many_slots_cost_one_descriptor_each(self, attempts):
        before = len(os.listdir("/proc/self/fd"))
        tasks = [task("read < go", name=f"t{n}") for n in range(40)]
        os.mkfifo(attempts.root / "go")
        pool = attempts.pool(*tasks)
        own = len(os.listdir("/proc/self/fd"))
        try:
            for slot, one in enumerate(tasks):
                pool.start(one.id, 1, slot)
            assert len(os.listdir("/proc/self/fd")) == own + 40
            fifo = os.open(attempts.root / "go", os.O_RDWR)
            os.write(fifo, b"\n" * 40)
            ended = []
            while len(ended) < 40:
                ended += pool.wait(30, None)
            os.close(fifo)
        finally:
            pool.close()
        assert {event.status.value for event in ended} == {"success"}
        assert len(os.listdir("/proc/self/fd")) == before

    def test_wait_comes_back_when_the_time_is_up(self, attempts):
        with contextlib.closing(attempts.pool(task(":"))) as pool:
            assert pool.wait(0.01, None) == []

    def test_wait_comes_back_when_it_is_woken(self, attempts):
        pool = attempts.pool(task("sleep 300"))
        first, second = socket.socketpair(), socket.socketpair()
        try:
            first[1].send(b"x")
            assert pool.wait(None, first[0].fileno()) == []
            second[1].send(b"x")
            assert pool.wait(None, second[0].fileno()) == []
            assert pool.wait(0.01, None) == []
        finally:
            pool.close()
            for one in (*first, *second):
                one.close()

    def test_when_no_process_can_be_forked_the_attempt_is_lost(self, attempts, monkeypatch):
        def refuse():
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(os, "fork", refuse)
        one = task(":")
        with contextlib.closing(attempts.pool(one)) as pool:
            pool.start("t", 1, 0)
            (ended,) = pool.wait(30, None)
        assert (ended.status, ended.cause) == ("lost", "worker")
        detail = "its worker died: no worker could be started: Resource temporarily unavailable"
        assert detail.endswith(ended.detail.removeprefix("its worker died: "))
        assert attempts.result(ended).status["status"] == "lost"

    def test_a_worker_that_dies_before_it_takes_up_a_second_attempt(self, attempts):
        """The tree is still that of the first, whose outcome must not be told again."""
        one = task(":")
        with contextlib.closing(attempts.pool(one)) as pool:
            first = drive(pool, [one], 1)["t"]
            assert first.status == "success"
            pool.known.take(first)
            (handle,) = pool._handles.values()
            os.kill(handle.pid, signal.SIGSTOP)
            pool.start("t", 2, 0)
            os.kill(handle.pid, signal.SIGKILL)
            (ended,) = pool.wait(30, None)
        assert (ended.status, ended.attempt) == ("lost", 2)
        assert (
            attempts.result(ended).json("attempts/1/99-summary/status.json")["status"] == "success"
        )
        all_listed(attempts.result(ended).tree)

    def test_an_outcome_that_no_worker_told_of_is_none(self, attempts):
        """Whoever wrote it: the worker just before it died, or anything else of this user."""
        one = task("echo up > up-t; sleep 300")
        with contextlib.closing(attempts.pool(one)) as pool:
            begin(pool, attempts)
            handle = pool._handles[0]
            os.kill(handle.pid, signal.SIGSTOP)
            with contextlib.closing(TaskTree.reopen(str(attempts.run_dir), "t")) as tree:
                Outcome(one, 1).write_status(tree, "r1")
                os.close(tree.create_file(f"99-summary/.status.json.{handle.pid}"))
            os.kill(handle.pid, signal.SIGKILL)
            (ended,) = pool.wait(30, None)
        assert (ended.status, ended.cause) == ("lost", "worker")
        assert attempts.result(ended).status["status"] == "lost"
        all_listed(attempts.result(ended).tree)


class TestADeadWorker:
    SCRIPT = (
        "env -i setsid -f bash -c 'exec -a {mark}-clear sleep 300'\n"
        "setsid -f bash -c 'exec -a {mark}-own sleep 300'\n"
        "(exec -a {mark}-child sleep 300) &\n"
        "until [ $(grep -al {mark}- /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -ge 4 ]; do :; done\n"
        "echo up > up-t; sleep 300"
    )

    @pytest.mark.parametrize("cgroups", [False, True])
    def test_its_attempt_is_lost_and_nothing_of_it_lives(self, attempts, monkeypatch, cgroups):
        if not cgroups:
            monkeypatch.setattr(Cgroup, "enter", lambda name: None)
        mark = f"dead-{os.getpid()}-{cgroups}"
        one, after = task(self.SCRIPT.format(mark=mark)), task("echo after", name="after")
        with contextlib.closing(attempts.pool(one, after)) as pool:
            worker = begin(pool, attempts)
            assert len(processes(f"{mark}-")) >= 3
            os.kill(worker, signal.SIGKILL)
            ended = wait_for_one(pool)
            assert processes(f"{mark}-") == []
            again = drive(pool, [after], 1)["after"]
        result = attempts.result(ended)
        assert result.outcome() == ("lost", None, "worker")
        assert result.ended.detail == "its worker died: it ended with signal 9"
        assert result.status["status"] == "lost"
        assert result.ended.started_at <= result.ended.completed_at
        checksums_hold(result.tree)
        all_listed(result.tree)
        assert again.status == "success"

    def test_what_it_left_in_the_artifacts_is_made_safe_too(self, attempts):
        one = task(
            "echo x > $ARTIFACTS_DIR/$'a\\nb'; ln -s / $ARTIFACTS_DIR/l; echo up > up-t; sleep 300"
        )
        with contextlib.closing(attempts.pool(one)) as pool:
            os.kill(begin(pool, attempts), signal.SIGKILL)
            result = attempts.result(wait_for_one(pool))
        assert result.artifacts == ["a%0Ab"]
        assert result.status["refused"] == [{"path": "l", "reason": "is a symbolic link"}]
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_the_runner_s_own_children_are_left_alone(self, attempts):
        before = subprocess.Popen(["setsid", "sleep", "300"])
        one = task("echo up > up-t; sleep 300")
        pool = attempts.pool(one)
        during = subprocess.Popen(["sleep", "300"])
        try:
            os.kill(begin(pool, attempts), signal.SIGKILL)
            wait_for_one(pool)
            assert before.poll() is None
            assert during.poll() is None
        finally:
            pool.close()
            for process in (before, during):
                process.kill()
                process.wait()

    def test_one_that_dies_idle_is_replaced(self, attempts):
        tasks = [task(":", name="a"), task(":", name="b")]
        with contextlib.closing(attempts.pool(*tasks)) as pool:
            drive(pool, tasks[:1], 1)
            (handle,) = pool._handles.values()
            os.kill(handle.pid, signal.SIGKILL)
            leftovers.await_end(handle.pid, time.monotonic() + 30)
            first = drive(pool, tasks[1:], 1)["b"]
            # It died before it was asked, or was seen to be dead and replaced.
            assert (first.status, first.cause) in {("success", ""), ("lost", "worker")}
        assert cgroups_of(attempts) == []

    def test_term_means_nothing_to_one_that_runs_nothing(self, attempts):
        """It may be on its way to the whole group, and an attempt on its way to this worker."""
        tasks = [task(":", name="a"), task(":", name="b")]
        with contextlib.closing(attempts.pool(*tasks)) as pool:
            drive(pool, tasks[:1], 1)
            (before,) = pool._handles.values()
            os.kill(before.pid, signal.SIGTERM)
            assert drive(pool, tasks[1:], 1)["b"].status == "success"
            (after,) = pool._handles.values()
            assert after.pid == before.pid

    def test_term_ends_what_it_runs(self, attempts):
        mark = f"term-{os.getpid()}"
        one = task(f"setsid -f bash -c 'exec -a {mark} sleep 300'; echo up > up-t; sleep 300")
        with contextlib.closing(attempts.pool(one)) as pool:
            os.kill(begin(pool, attempts), signal.SIGTERM)
            ended = wait_for_one(pool)
        assert (ended.status, ended.cause) == ("lost", "worker")
        assert ended.detail == "the worker was told to end by SIGTERM"
        assert processes(mark) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
    def test_ctrl_c_is_for_the_runner_to_judge(self, attempts, number):
        one = task("echo up > up-t; sleep 0.1; echo done")
        with contextlib.closing(attempts.pool(one)) as pool:
            os.kill(begin(pool, attempts), number)
            assert wait_for_one(pool).status == "success"


class TestWatchdog:
    def test_a_worker_that_was_stopped_is_given_up(self, attempts):
        mark = f"stopped-{os.getpid()}"
        one = task(f"setsid -f bash -c 'exec -a {mark} sleep 300'; echo up > up-t; sleep 300")
        with contextlib.closing(attempts.pool(one, patience=QUICK)) as pool:
            os.kill(begin(pool, attempts), signal.SIGSTOP)
            ended = wait_for_one(pool)
        assert (ended.status, ended.cause) == ("lost", "worker")
        expected = "its worker died: it left 3 questions unanswered and did nothing"
        assert ended.detail == expected
        assert processes(mark) == []
        checksums_hold(attempts.result(ended).tree)

    def test_one_that_spins_is_given_up(self, attempts, monkeypatch):
        monkeypatch.setattr("zf.work.artifacts.collect", spin)
        with contextlib.closing(attempts.pool(task(":"), patience=QUICK)) as pool:
            pool.start("t", 1, 0)
            ended = wait_for_one(pool)
        assert (ended.status, ended.cause) == ("lost", "worker")
        assert "s, though it was busy" in ended.detail

    def test_one_far_older_than_its_task_allows_is_given_up(self, attempts, monkeypatch):
        monkeypatch.setattr(pool_module, "allowed_s", lambda task, grace_s: 0.0)
        patience = Patience(tick_s=0.05, dead_ticks=1000, finish_grace_s=1000, ceiling_slack_s=0.5)
        with contextlib.closing(attempts.pool(task("sleep 300"), patience=patience)) as pool:
            pool.start("t", 1, 0)
            ended = wait_for_one(pool)
        assert (ended.status, ended.cause) == ("lost", "worker")
        assert "its attempt was still going on after" in ended.detail

    def test_one_that_answers_is_left_alone(self, attempts):
        # Asked some thirty times; a busy machine may take its time to answer.
        patience = Patience(tick_s=0.05, dead_ticks=20, finish_grace_s=5, ceiling_slack_s=1000)
        with contextlib.closing(attempts.pool(task("sleep 1.5"), patience=patience)) as pool:
            pool.start("t", 1, 0)
            assert wait_for_one(pool).status == "success"

    def test_closing_kills_one_that_does_not_end(self, attempts, monkeypatch):
        monkeypatch.setattr("zf.work.pool._EXIT_S", 0.0)
        monkeypatch.setattr("zf.work.pool.KILL_LIMIT_S", 0.1)
        one = task(":")
        pool = attempts.pool(one)
        drive(pool, [one], 1)
        (handle,) = pool._handles.values()
        os.kill(handle.pid, signal.SIGSTOP)
        pool.close()
        assert not Path(f"/proc/{handle.pid}").exists()


def spin(*_, **__):
    while True:
        pass


RUNNER = """
import json, os, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from tests.support.attempts import Attempts, task
from zf.model import Step
attempts = Attempts.__new__(Attempts)
attempts.__init__(Path({folder!r}), grace_s=1.0)
one = task({script!r}, cleanup=(Step("c", "echo cleaned"),))
pool = attempts.pool(one)
pool.start("t", 1, 0)
print(pool._running["t"].pid, flush=True)
pool.wait(None, None)
"""


def test_when_the_runner_is_killed_workers_end_their_trees_and_tell_it(tmp_path):
    mark = f"runner-{os.getpid()}"
    script = (
        "[ -p up ] || mkfifo up || [ -p up ]; "
        f"env -i setsid -f bash -c 'exec -a {mark} sleep 300'; echo up > up; sleep 300"
    )
    project = tmp_path / "project"
    code = RUNNER.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path), script=script)
    runner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    with runner, runner.stdout:
        worker = os.pidfd_open(int(runner.stdout.readline()))
        fifo = project / "up"
        # Whoever comes first makes what the other opens.
        with contextlib.suppress(FileExistsError):
            os.mkfifo(fifo)
        fifo.read_text()
        runner.kill()
    assert leftovers._await([worker], time.monotonic() + 30)
    assert processes(mark) == []
    tree = project / "proofs/r1/t"
    status = json.loads((tree / "99-summary/status.json").read_bytes())
    assert (status["status"], status["cause"]) == ("lost", "runner")
    assert status["detail"] == "the runner died"
    assert (tree / "20-logs/cleanup-0.log").read_bytes() == b"cleaned\n"
    checksums_hold(tree)
    all_listed(tree)


def test_closing_while_something_runs_ends_it(attempts):
    mark = f"close-{os.getpid()}"
    one = task(f"setsid -f bash -c 'exec -a {mark} sleep 300'; echo up > up-t; sleep 300")
    pool = attempts.pool(one)
    begin(pool, attempts)
    pool.close()
    assert processes(mark) == []
    assert attempts.result_of("t").status["cause"] == "runner"


def test_what_could_not_be_killed_is_named_and_its_worker_takes_no_more(attempts, monkeypatch):
    """A process that no signal of ours reaches, as a root's is for everybody else."""
    mark = f"deaf-{os.getpid()}"
    real_kill, real_killpg = os.kill, os.killpg
    monkeypatch.setattr("zf.work.supervise.supervisor.KILL_LIMIT_S", 0.3)
    monkeypatch.setattr(Cgroup, "enter", lambda name: None)

    def spare(pid, number):
        if mark.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            real_kill(pid, number)

    monkeypatch.setattr(os, "kill", spare)
    one = task(
        f"setsid -f bash -c 'exec -a {mark} sleep 300'; sleep 0.3", cleanup=(Step("c", ":"),)
    )
    after = task(":", name="after")
    pool = attempts.pool(one, after)
    try:
        result = attempts.result(drive(pool, [one], 1)["t"])
        (left,) = processes(mark)
        again = drive(pool, [after], 1)["after"]
    finally:
        monkeypatch.setattr(os, "kill", real_kill)
        real_kill(left, signal.SIGKILL)
        pool.close()
    assert real_killpg
    assert result.outcome() == ("failure", 0, "survivors")
    assert "1 process that cannot be killed" in result.ended.detail
    assert [one["pid"] for one in result.status["survivors"]] == [left]
    assert result.json("10-commands/cleanup-0.json")["status"] == "not_run"
    assert again.status == "success"


def test_standard_descriptors_that_were_closed_do_not_get_mixed_up(tmp_path):
    code = textwrap.dedent(f"""
        import os, sys
        sys.path[:0] = [{str(Path(__file__).parents[2])!r}]
        from pathlib import Path
        from tests.support.attempts import Attempts
        os.close(0), os.close(1), os.close(2)
        result = Attempts(Path({str(tmp_path)!r})).run("echo out; echo err >&2; readlink /proc/$$/fd/0")
        os._exit(0 if result.log() == b"out\\nerr\\n/dev/null\\n" else 1)
    """)
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_interrupt_during_the_fork_is_not_told_twice(attempts, monkeypatch):
    """The child has the runner's wake-up pipe for a moment: a signal must not be written there."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(read, False)
    real = os.fork

    def fork_with_a_signal():
        pid = real()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGINT)
            signal.raise_signal(signal.SIGHUP)
        return pid

    monkeypatch.setattr(os, "fork", fork_with_a_signal)
    old = signal.signal(signal.SIGINT, lambda *_: None)
    old_hup = signal.signal(signal.SIGHUP, lambda *_: None)
    old_fd = signal.set_wakeup_fd(write)
    try:
        result = attempts.run("echo hi")
        with pytest.raises(BlockingIOError):
            os.read(read, 10)
    finally:
        signal.set_wakeup_fd(old_fd)
        signal.signal(signal.SIGINT, old)
        signal.signal(signal.SIGHUP, old_hup)
        os.close(read)
        os.close(write)
    assert result.outcome() == ("success", 0, "")


def test_kill_for_an_unknown_task_does_nothing(attempts):
    pool = attempts.pool(task(":"))
    pool.kill("nobody", Cause.INTERRUPT, force=True)
    pool.close()
    assert gc.isenabled()
