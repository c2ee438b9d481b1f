"""Attempts by real workers: what a step is given, how its end is judged, what the tree says of it."""

import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.attempts import (
    Attempts,
    all_listed,
    checksums_hold,
    drive,
    processes,
    settle,
    task,
    wait_for_one,
)
from zf.events import Cause
from zf.model import Project, Step
from zf.work import attempt as attempt_module
from zf.work import worker as worker_module
from zf.work.supervise import processes as processes_module
from zf.work.supervise.processes import SubreaperTree


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


def private_kb(pid: int) -> int:
    """The memory of a process that no file backs, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(dict(line.split(":", 1) for line in status.splitlines())["RssAnon"].split()[0])


class TestASteps:
    def test_success(self, attempts):
        result = attempts.run("echo out; echo err >&2", ":")
        assert result.outcome() == ("success", 0, "")
        assert result.log() == b"out\nerr\n"
        assert result.ended.step is None
        assert result.ended.detail == ""
        assert result.ended.started_at < result.ended.completed_at
        listed = (result.tree / "40-checksums/task.sha256").read_bytes()
        assert result.ended.task_sha256 == hashlib.sha256(listed).hexdigest()
        all_listed(result.tree)
        checksums_hold(result.tree)

    def test_the_first_that_fails_ends_the_task(self, attempts):
        result = attempts.run(":", "echo two; false | true; echo never", "echo three")
        assert result.outcome() == ("failure", 1, "exit")
        assert (result.ended.step, result.ended.detail) == (1, "step-1 exited with code 1")
        steps = [result.json(f"10-commands/step-{n}.json") for n in (0, 1, 2)]
        assert [step["status"] for step in steps] == ["success", "failure", "not_run"]
        assert result.json("10-commands/commands.json") == [
            {"name": step["name"], "run": run}
            for step, run in zip(
                steps, (":", "echo two; false | true; echo never", "echo three"), strict=True
            )
        ]
        assert steps[2]["log"] is None
        assert not (result.tree / "20-logs/step-2.log").exists()
        assert (result.tree / "10-commands/step-2.sh").read_bytes() == b"echo three"
        checksums_hold(result.tree)

    def test_its_record_says_what_it_did(self, attempts):
        result = attempts.run("printf abc")
        record = result.json("10-commands/step-0.json")
        script = result.tree / "10-commands/step-0.sh"
        digest = hashlib.sha256(b"abc").hexdigest()
        assert record["argv"] == ["bash", "--noprofile", "--norc", "-eo", "pipefail", "/dev/fd/3"]
        assert record["script_sha256"] == hashlib.sha256(script.read_bytes()).hexdigest()
        assert (record["log"], record["log_bytes"]) == ("20-logs/step-0.log", 3)
        assert (record["log_sha256"], record["output_sha256"]) == (digest, digest)
        assert (record["exit_code"], record["signal"], record["output_bytes"]) == (0, None, 3)
        assert record["started_at"] <= record["completed_at"]

    @pytest.mark.parametrize(
        ("name", "number"), [("KILL", 9), ("SEGV", 11), ("TERM", 15), ("RTMIN+1", 35)]
    )
    def test_one_ended_by_a_signal(self, attempts, name, number):
        result = attempts.run(f"kill -{name} $$")
        assert result.outcome() == ("failure", 128 + number, "signal")
        assert result.ended.signal == number
        word = f"SIG{name}" if "+" not in name else "signal 35"
        assert result.ended.detail == f"step-0 was ended by {word}"

    def test_it_starts_with_nothing_of_ours(self, attempts):
        read, write = os.pipe()
        os.set_inheritable(write, True)
        try:
            result = attempts.run(
                # No pipeline: bash has its ends open while `ls` looks.
                "readlink /proc/$$/fd/0; ls /proc/$$/fd",
                "grep -E 'Sig(Blk|Ign)' /proc/self/status",
                "[ $(ps -o sid= -p $$) = $$ ] && [ $(ps -o pgid= -p $$) = $$ ] && echo session",
                "shopt login_shell || set -o | grep -E 'errexit|pipefail'; ulimit -Sn",
            )
        finally:
            os.close(read)
            os.close(write)
        assert result.outcome() == ("success", 0, "")
        # 3 is its script, sealed; bash itself reads it on 255.
        assert result.log(0) == b"/dev/null\n0\n1\n2\n255\n3\n"
        blocked, ignored = (int(line.split()[1], 16) for line in result.log(1).splitlines())
        # glibc's posix_spawn leaves the two signals of its own threads ignored; nobody else's.
        assert (blocked, ignored & ~(1 << 31 | 1 << 32)) == (0, 0)
        assert result.log(2) == b"session\n"
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert result.log(3).split() == [
            *b"login_shell off errexit on pipefail on".split(),
            b"%d" % limit,
        ]

    def test_scripts_and_names_are_data(self, attempts):
        nasty = "cat <<'EOF'\n$(touch pwned) `id` \\ 'q' \"d\"\nEOF\nprintf 'a\\0b\\xff\\x1b[2J'"
        steps = (Step("$(touch pwned)\n\x1b[31m'\"", nasty, 1), Step("b", "exit 5", 2))
        result = attempts.run(steps=steps)
        assert result.log() == b"$(touch pwned) `id` \\ 'q' \"d\"\na\0b\xff\x1b[2J"
        assert (result.tree / "10-commands/step-0.sh").read_text() == nasty
        assert result.json("10-commands/step-0.json")["name"] == steps[0].name
        assert not list(attempts.root.rglob("pwned"))

    def test_a_name_with_control_characters_is_shown_safely(self, attempts):
        result = attempts.run(steps=(Step("a\nb\x1b[2J", "exit 5", 1),))
        assert result.ended.detail == "step 'a\\nb\\x1b[2J' exited with code 5"

    def test_any_bytes_come_out_as_they_went_in(self, attempts):
        data = os.urandom(300_000)
        (attempts.root / "data").write_bytes(data)
        result = attempts.run("head -c 1000 data; sleep 0.05; tail -c +1001 data")
        assert result.log() == data

    def test_what_zf_sets(self, attempts):
        result = attempts.run(
            "env -0", "env -0", env={"COLOUR": "blue"}, phase="E", workdir=".", name="40-seed"
        )
        env = dict(item.split("=", 1) for item in result.log().decode().split("\0") if item)
        expected = {
            "RUN_ID": "r1",
            "TASK_ID": "40-seed",
            "PHASE": "E",
            "TASK_DIR": f"{attempts.root}/tasks/40-seed",
            "ZENFLOW_ROOT": str(attempts.root),
            "PROOF_DIR": str(result.tree),
            "ARTIFACTS_DIR": f"{result.tree}/30-artifacts",
            "ATTEMPT": "1",
            "STEP_INDEX": "0",
            "COMPOSE_PROJECT_NAME": "zf-r1-40-seed",
            "COLOUR": "blue",
        }
        assert {name: env[name] for name in expected} == expected
        assert b"STEP_INDEX=1" in result.log(1)
        shell = (result.tree / "00-meta/env.sh").read_text()
        assert "export COLOUR='blue'\n" in shell
        assert "ZF_COOKIE='" not in shell


class TestWorkdir:
    def test_steps_run_there(self, attempts):
        (attempts.root / "a/b").mkdir(parents=True)
        assert attempts.run("pwd", workdir="a/b").log() == f"{attempts.root}/a/b\n".encode()

    def test_a_link_inside_the_project_is_fine(self, attempts):
        (attempts.root / "a").mkdir()
        os.symlink("a", attempts.root / "link")
        assert attempts.run(":", workdir="link").outcome() == ("success", 0, "")

    def test_the_root_may_be_reached_through_a_link(self, tmp_path):
        attempts = Attempts(tmp_path)
        os.symlink(attempts.root, tmp_path / "link")
        shared = attempts.shared
        attempts.shared = replace(
            shared, place=replace(shared.place, root=str(tmp_path / "link")), grace_s=1.0
        )
        result = attempts.run("pwd -P; echo $ZENFLOW_ROOT")
        assert result.log() == f"{attempts.root}\n{tmp_path}/link\n".encode()

    @pytest.mark.parametrize(
        ("workdir", "problem"),
        [
            ("gone", "workdir 'gone': No such file or directory"),
            ("file", "workdir 'file': Not a directory"),
            ("out", "workdir 'out' leads out of the project"),
            ("beside", "workdir 'beside' leads out of the project"),
        ],
    )
    def test_one_that_cannot_be_used(self, attempts, tmp_path, workdir, problem):
        (attempts.root / "file").touch()
        (tmp_path / "project-beside").mkdir()
        os.symlink("/", attempts.root / "out")
        os.symlink(tmp_path / "project-beside", attempts.root / "beside")
        result = attempts.run(":", workdir=workdir)
        assert result.outcome() == ("failure", None, "workdir")
        assert result.ended.detail == problem
        assert result.json("10-commands/step-0.json")["status"] == "failure"
        checksums_hold(result.tree)

    def test_one_that_a_step_removes(self, attempts):
        (attempts.root / "w").mkdir()
        result = attempts.run("rmdir ../w", ":", workdir="w")
        assert result.outcome() == ("failure", None, "workdir")
        assert result.ended.step == 1


class TestSpawn:
    def test_no_bash(self, attempts):
        result = attempts.run(":", env={"PATH": "/nowhere"})
        assert result.outcome() == ("failure", 127, "spawn")
        assert result.ended.detail == "bash is not on the PATH of the step"

    def test_an_environment_too_large(self, attempts):
        result = attempts.run(":", env={"BIG": "x" * 3_000_000})
        assert result.outcome() == ("failure", 126, "spawn")
        assert result.ended.detail == "bash could not be started: Argument list too long"

    def test_bash_is_looked_for_on_the_path_of_the_step(self, attempts):
        (attempts.root / "bin").mkdir()
        (attempts.root / "bin/bash").write_text("#!/bin/sh\necho mine\n")
        (attempts.root / "bin/bash").chmod(0o755)
        assert attempts.run(":", env={"PATH": f"{attempts.root}/bin:/bin"}).log() == b"mine\n"


class TestOutput:
    def test_a_step_that_closes_its_output_is_waited_for(self, attempts):
        result = attempts.run("exec >&- 2>&-; sleep 0.3; touch done")
        assert result.outcome() == ("success", 0, "")
        assert (attempts.root / "done").exists()

    def test_what_a_substitution_still_writes_is_waited_for(self, attempts):
        result = attempts.run("exec > >(sleep 0.1; cat; echo tail); echo body")
        assert result.outcome() == ("success", 0, "")
        assert result.log() == b"body\ntail\n"

    def test_a_child_that_holds_the_pipe_holds_up_nothing(self, attempts):
        result = attempts.run("sleep 300 & echo bye")
        assert result.outcome() == ("failure", 0, "survivors")
        assert result.ended.detail == "step-0 left 1 process behind"
        (survivor,) = result.status["survivors"]
        assert survivor["command"] == "sleep 300"
        assert not Path(f"/proc/{survivor['pid']}").exists()
        assert result.log() == b"bye\n"

    def test_a_failure_stays_what_it_was_though_something_was_left(self, attempts):
        result = attempts.run("sleep 300 & exit 4")
        assert result.outcome() == ("failure", 4, "exit")
        assert len(result.status["survivors"]) == 1
        assert result.status["notes"] == ["step-0 left 1 process behind"]

    def test_children_that_are_dead_already_are_no_survivors(self, attempts):
        result = attempts.run("true & true & sleep 0.1")
        assert result.outcome() == ("success", 0, "")
        assert result.status["survivors"] == []

    def test_a_stranger_with_the_pipe_holds_up_nothing(self, attempts, tmp_path):
        """Passed through a socket to a process that is no descendant of the worker's."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        held = []

        def hold():
            connection, _ = listener.accept()
            with connection:
                held.extend(socket.recv_fds(connection, 10, 1)[1])

        thread = threading.Thread(target=hold)
        thread.start()
        give = (
            "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "socket.send_fds(s, [b'x'], [1])\ns.recv(1)"
        )
        (attempts.root / "give.py").write_text(give)
        # From another process, as this one has a thread now.
        result = attempts.run(f"echo before; {sys.executable} give.py {tmp_path}/s; echo after")
        thread.join()
        listener.close()
        assert result.outcome() == ("success", 0, "")
        assert result.log() == b"before\nafter\n"
        os.close(held[0])

    def test_a_lot_of_it_takes_little_memory(self, attempts):
        bench_task = task("head -c 200000000 /dev/zero", max_log_bytes=1 << 30)
        inherited_kb = private_kb(os.getpid())  # the worker is forked from this process
        with closing(attempts.pool(bench_task)) as pool:
            ended = drive(pool, [bench_task], 1)["t"]
            (handle,) = pool._handles.values()
            grown_kb = private_kb(handle.pid) - inherited_kb
        result = attempts.result(ended)
        assert result.outcome() == ("success", 0, "")
        assert (result.tree / "20-logs/step-0.log").stat().st_size == 200_000_000
        assert grown_kb < 50_000
        checksums_hold(result.tree)

    def test_more_than_max_log_bytes_is_counted_and_hashed_but_not_kept(self, attempts):
        result = attempts.run("seq 1 100000", max_log_bytes=1000)
        everything = "".join(f"{n}\n" for n in range(1, 100_001)).encode()
        record = result.json("10-commands/step-0.json")
        marker = b"\n[zf: max_log_bytes (1000) reached, the rest is not kept]\n"
        assert result.log() == everything[:1000] + marker
        assert record["output_bytes"] == len(everything)
        assert record["output_sha256"] == hashlib.sha256(everything).hexdigest()
        assert record["log_bytes"] == len(result.log())
        assert record["log_sha256"] == hashlib.sha256(result.log()).hexdigest()
        assert result.status["notes"] == ["the log of step-0 was cut at max_log_bytes"]
        checksums_hold(result.tree)


class TestTime:
    def test_the_limit_is_over_all_steps(self, attempts):
        result = attempts.run("sleep 1", "sleep 1.5", timeout_s=2)
        assert result.outcome() == ("timeout", 124, "timeout")
        assert result.ended.signal == 15
        # The second, unless the machine is very busy; for each alone the time is enough.
        step = result.ended.step
        assert result.ended.detail == f"timeout_sec (2 s) ran out in step-{step}"
        told = (result.tree / "99-summary/.timeout_killed").read_text()
        assert told == result.ended.detail + "\n"
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_exit_0_in_the_grace_period_is_still_a_timeout(self, attempts):
        result = attempts.run("trap 'echo saved; exit 0' TERM; sleep 300 & wait", timeout_s=1.5)
        assert result.outcome() == ("timeout", 124, "timeout")
        assert result.log() == b"saved\n"
        assert result.json("10-commands/step-0.json")["exit_code"] == 0

    def test_one_deaf_to_term_is_killed(self, attempts):
        result = attempts.run("trap '' TERM; echo up; sleep 300", timeout_s=1.5)
        assert result.outcome() == ("timeout", 124, "timeout")
        assert result.ended.signal == 9

    def test_silence_is_a_timeout_and_output_breaks_it(self, attempts):
        script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done; sleep 300"
        result = attempts.run(script, silence_timeout_s=1.5)
        assert result.outcome() == ("timeout", 124, "silence")
        assert result.log() == b"1\n2\n3\n4\n5\n6\n"
        expected = "no output for silence_timeout_sec (1.5 s) from step-0"
        assert result.ended.detail == expected

    def test_a_talker_still_meets_its_deadline(self, attempts):
        result = attempts.run("while :; do echo x; done", silence_timeout_s=0.3, timeout_s=0.5)
        assert result.outcome() == ("timeout", 124, "timeout")


class TestOrders:
    def ordered(self, attempts, script, *orders, **fields):
        """Start a task, give the orders once it says `up`, and see how it ends."""
        os.mkfifo(attempts.root / "up")
        one = task(f"{script}", **fields)
        with closing(attempts.pool(one)) as pool:
            pool.start("t", 1, 0)
            assert (attempts.root / "up").read_text() == "up\n"
            for cause, force in orders:
                pool.kill("t", cause, force=force)
            ended = wait_for_one(pool)
            pool.kill("t", Cause.INTERRUPT, force=True)
        return attempts.result(ended)

    def test_an_interrupt_cancels(self, attempts):
        result = self.ordered(attempts, "echo up > up; sleep 300", (Cause.INTERRUPT, False))
        assert result.outcome() == ("cancelled", None, "interrupt")
        assert result.ended.detail == "cancelled in step-0"
        assert result.json("10-commands/step-0.json")["status"] == "cancelled"

    def test_the_phase_timeout_is_a_timeout(self, attempts):
        result = self.ordered(attempts, "echo up > up; sleep 300", (Cause.PHASE_TIMEOUT, False))
        assert result.outcome() == ("timeout", 124, "phase_timeout")
        assert (result.tree / "99-summary/.timeout_killed").exists()

    def test_a_second_interrupt_leaves_no_grace(self, tmp_path):
        attempts = Attempts(tmp_path, grace_s=100)
        result = self.ordered(
            attempts,
            "trap '' TERM; echo up > up; sleep 300",
            (Cause.INTERRUPT, False),
            (Cause.INTERRUPT, True),
        )
        assert result.outcome() == ("cancelled", None, "interrupt")
        assert result.ended.signal == 9
        assert result.ended.duration_s < 60

    def test_the_first_cause_stays(self, tmp_path):
        result = self.ordered(
            Attempts(tmp_path, grace_s=100),
            "trap '' TERM; echo up > up; sleep 300",
            (Cause.PHASE_TIMEOUT, False),
            (Cause.INTERRUPT, False),
            (Cause.INTERRUPT, True),
        )
        assert result.outcome() == ("timeout", 124, "phase_timeout")

    def test_force_while_what_was_left_settles(self, tmp_path):
        attempts = Attempts(tmp_path, grace_s=100)
        result = self.ordered(
            attempts,
            "(trap '' TERM; sleep 300) & echo up > up; exit 0",
            (Cause.INTERRUPT, True),
        )
        assert result.ended.duration_s < 60
        assert result.outcome() in {
            ("failure", 0, "survivors"),
            ("cancelled", None, "interrupt"),
        }

    def test_an_order_before_the_first_step(self, attempts):
        one = task("sleep 300")
        with closing(attempts.pool(one)) as pool:
            pool.start("t", 1, 0)
            pool.kill("t", Cause.INTERRUPT, force=False)
            ended = wait_for_one(pool)
        assert ended.status == "cancelled"

    def test_an_order_for_a_task_that_is_over_does_nothing(self, attempts):
        result = self.ordered(attempts, "echo up > up; sleep 0.2", (Cause.TIMEOUT, False))
        assert result.ended.status in {"success", "timeout"}
        assert attempts.run_all([task(":", name="next")])[0].outcome() == ("success", 0, "")


class TestCleanup:
    def commands(self, *scripts):
        return tuple(Step(f"clean {n}", script, 10 + n) for n, script in enumerate(scripts, 1))

    def test_it_runs_after_success(self, attempts):
        result = attempts.run("echo step", cleanup=self.commands("echo clean $STEP_INDEX", "pwd"))
        assert result.outcome() == ("success", 0, "")
        assert result.log(0, "cleanup") == b"clean 0\n"
        record = result.json("10-commands/cleanup-0.json")
        assert (record["status"], record["name"], record["line"]) == ("success", "clean 1", 11)
        assert result.json("10-commands/commands.json") == [{"name": "step-0", "run": "echo step"}]
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_it_runs_after_failure_and_every_command_of_it(self, attempts):
        result = attempts.run("exit 3", cleanup=self.commands("exit 4", "echo still"))
        assert result.outcome() == ("failure", 3, "exit")
        assert result.log(1, "cleanup") == b"still\n"
        assert result.status["notes"] == ["cleanup 'clean 1' exited with code 4"]

    def test_it_runs_after_a_timeout_in_time_of_its_own(self, attempts):
        result = attempts.run(
            "sleep 300", timeout_s=0.3, cleanup=self.commands("sleep 0.5; echo done")
        )
        assert result.outcome() == ("timeout", 124, "timeout")
        assert result.log(0, "cleanup") == b"done\n"

    def test_it_runs_after_a_cancel(self, attempts):
        result = TestOrders().ordered(
            attempts,
            "echo up > up; sleep 300",
            (Cause.INTERRUPT, False),
            cleanup=self.commands("sleep 0.1; echo done"),
        )
        assert result.outcome() == ("cancelled", None, "interrupt")
        assert result.log(0, "cleanup") == b"done\n"

    def test_force_leaves_no_time_for_it(self, attempts):
        result = TestOrders().ordered(
            attempts,
            "echo up > up; sleep 300",
            (Cause.INTERRUPT, True),
            cleanup=self.commands("echo done"),
        )
        assert result.json("10-commands/cleanup-0.json")["status"] == "not_run"

    def test_force_ends_it(self, tmp_path):
        attempts = Attempts(tmp_path, grace_s=100)
        result = TestOrders().ordered(
            attempts,
            ":",
            (Cause.INTERRUPT, False),
            (Cause.INTERRUPT, True),
            cleanup=self.commands("trap '' TERM; echo up > up; sleep 300", ":"),
        )
        records = [result.json(f"10-commands/cleanup-{n}.json") for n in (0, 1)]
        assert [record["status"] for record in records] == ["cancelled", "not_run"]

    @pytest.mark.parametrize(
        ("script", "limit_s", "problem", "code"),
        [
            ("exit 4", 60, "exited with code 4", 4),
            ("kill -9 $$", 60, "was ended by SIGKILL", None),
            ("sleep 300", 0.4, "did not end in cleanup_timeout_sec (0.4 s)", None),
        ],
    )
    def test_its_failure_fails_a_task_that_had_succeeded(
        self, attempts, script, limit_s, problem, code
    ):
        result = attempts.run(":", cleanup=self.commands(script), cleanup_timeout_s=limit_s)
        assert result.outcome() == ("failure", code, "cleanup")
        assert result.ended.detail == f"cleanup 'clean 1' {problem}"
        assert result.ended.step is None

    def test_its_time_is_for_all_of_it(self, attempts):
        result = attempts.run(
            ":", cleanup=self.commands("sleep 1", "sleep 1.5"), cleanup_timeout_s=2
        )
        records = [result.json(f"10-commands/cleanup-{n}.json") for n in (0, 1)]
        assert "timeout" in [record["status"] for record in records]

    def test_what_it_leaves_is_ended_too(self, attempts):
        result = attempts.run(":", cleanup=self.commands("setsid -f sleep 300"))
        assert result.outcome() == ("failure", 0, "survivors")
        assert "cleanup 'clean 1'" in result.ended.detail

    def test_where_it_cannot_run_that_is_told(self, attempts):
        (attempts.root / "w").mkdir()
        result = attempts.run("rmdir ../w", workdir="w", cleanup=self.commands(":"))
        assert result.outcome() == ("failure", None, "cleanup")
        assert result.ended.detail == "cleanup 'clean 1': workdir 'w': No such file or directory"


class TestLeaveRunning:
    def test_what_is_left_stays_until_the_run_ends(self, attempts):
        mark = f"left-{os.getpid()}"
        left = task(
            f"setsid -f bash -c 'exec -a {mark} sleep 300'",
            f"(exec -a {mark}-2 sleep 300) & echo second",
            name="left",
            leave_running=True,
            cleanup=(Step("c", "echo clean"),),
        )
        after = task("echo after", name="after")
        with closing(attempts.pool(left, after)) as pool:
            first = drive(pool, [left], 1)["left"]
            alive = processes(mark)
            second = drive(pool, [after], 1)["after"]
            still = processes(mark)
        result = attempts.result(first)
        assert result.outcome() == ("success", 0, "")
        assert len(alive) == 2
        assert still == alive
        assert sorted(one["pid"] for one in result.status["survivors"]) == sorted(alive)
        assert second.status == "success"
        assert processes(mark) == []

    def test_a_timeout_ends_it_all_the_same(self, attempts):
        mark = f"left-{os.getpid()}-t"
        result = attempts.run(
            f"setsid -f bash -c 'exec -a {mark} sleep 300'",
            "sleep 300",
            leave_running=True,
            timeout_s=2,
        )
        assert result.outcome() == ("timeout", 124, "timeout")
        assert processes(mark) == []

    def test_it_can_go_on_writing(self, attempts):
        """Nobody keeps what it says, but its pipe is neither broken nor full."""
        os.mkfifo(attempts.root / "said")
        talker = "(trap '' TERM; head -c 1000000 /dev/zero; echo all > said; sleep 300) & exit 0"
        one = task(talker, leave_running=True)
        with closing(attempts.pool(one)) as pool:
            drive(pool, [one], 1)
            assert (attempts.root / "said").read_text() == "all\n"


class TestSecrets:
    @pytest.fixture
    def attempts(self, tmp_path):
        environ = {
            "PATH": os.environ["PATH"],
            "API_TOKEN": "hunter2hunter2",
            "OTHER": "xyzzy-plugh",
        }
        return Attempts(tmp_path, environ=environ, project=Project(secrets=("OTH*",)))

    def test_nothing_of_the_tree_holds_one(self, attempts):
        secret = "hunter2hunter2"
        steps = (
            Step(f"print {secret}", f"echo {secret} $API_TOKEN; echo xyzzy-plugh; exit 3", 1),
            Step("later", "echo later", 2),
        )
        result = attempts.run(
            steps=steps,
            title=f"about {secret}",
            pass_env=("API_*",),
            env={"COPY": f"a-{secret}"},
            cleanup=(Step("c", f"echo {secret}"),),
            artifacts=(f"{secret}*",),
        )
        assert result.outcome() == ("failure", 3, "exit")
        assert result.log() == b"*** ***\n***\n"
        assert result.ended.detail == "step 'print ***' exited with code 3"
        grep = subprocess.run(
            ["grep", "-rlE", "hunter2hunter2|xyzzy-plugh", attempts.run_dir], capture_output=True
        )
        assert grep.stdout == b""
        assert result.status["redactions"]
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_the_real_script_runs(self, attempts):
        """What the proof shows has the secret taken out, but that is not what is run."""
        secret = "hunter2hunter2"
        result = attempts.run(f"[ {secret} = $API_TOKEN ]; echo $0", pass_env=("API_TOKEN",))
        assert result.outcome() == ("success", 0, "")
        assert (
            result.tree / "10-commands/step-0.sh"
        ).read_text() == "[ *** = $API_TOKEN ]; echo $0"
        assert result.log() == b"/dev/fd/3\n"

    def test_a_mask_asked_for_by_the_output(self, attempts):
        result = attempts.run("echo ::add-mask::correct-horse", "echo correct-horse; exit 1")
        assert b"correct-horse" not in result.log(0) + result.log(1)

    def test_survivors_are_named_without_them(self, attempts):
        result = attempts.run(
            "bash -c 'exec -a say-hunter2hunter2 sleep 300' & sleep 0.2", pass_env=("API_TOKEN",)
        )
        (survivor,) = result.status["survivors"]
        assert survivor["command"] == "say-*** 300"

    def test_an_artifact_with_one_fails_the_task_unless_allowed(self, attempts):
        script = "echo $API_TOKEN | tee $ARTIFACTS_DIR/a > $ARTIFACTS_DIR/b"
        result = attempts.run(script, pass_env=("API_TOKEN",), allow_secrets_in=("b",))
        assert result.outcome() == ("failure", None, "artifacts")
        assert result.ended.detail == "artifact a contains a secret"
        assert result.artifacts == ["b"]
        said = "contains a secret (secret:API_TOKEN in line 1): allow_secrets_in permits it"
        assert result.status["notes"] == [f"artifact b {said}"]

    def test_short_values_do_not_cost_a_task(self, tmp_path):
        environ = {"PATH": os.environ["PATH"], "DB_PASSWORD": "test"}
        script = "echo this is a test | tee $ARTIFACTS_DIR/a"
        result = Attempts(tmp_path, environ=environ).run(script, pass_env=("DB_PASSWORD",))
        assert result.outcome() == ("success", 0, "")
        assert result.artifacts == ["a"]
        assert result.log() == b"this is a ***\n"
        assert any("DB_PASSWORD" in note for note in result.status["notes"])


class TestArtifacts:
    def test_left_and_named(self, attempts):
        result = attempts.run(
            "echo own > $ARTIFACTS_DIR/own.txt; mkdir out; echo x > out/x.xml; ln -s /etc out/etc",
            "exit 3",
            artifacts=("out/*", "gone/*"),
        )
        assert result.outcome() == ("failure", 3, "exit")
        assert result.artifacts == ["out/x.xml", "own.txt"]
        status = result.status
        assert status["artifacts"] == 2
        assert status["refused"] == [{"path": "out/etc", "reason": "is a symbolic link"}]
        assert (status["unmatched"], status["notes"]) == (["gone/*"], [])
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_a_task_that_meddles_with_its_proof(self, attempts):
        result = attempts.run(
            "cd $PROOF_DIR; echo x > 99-summary/status.json; mkdir 20-logs/deep; touch 00-meta/x"
        )
        assert result.outcome() == ("failure", None, "artifacts")
        reason = "was written into zf's own part of the proof"
        told = "a step wrote 00-meta/x into $PROOF_DIR (and 2 more); write to $ARTIFACTS_DIR"
        assert result.ended.detail == told
        assert {one["path"] for one in result.status["refused"]} == {
            "00-meta/x",
            "20-logs/deep",
            "99-summary/status.json",
        }
        assert {one["reason"] for one in result.status["refused"]} == {reason}
        all_listed(result.tree)
        checksums_hold(result.tree)

    @pytest.mark.parametrize(
        "anew",
        [
            'rm -rf "$ARTIFACTS_DIR"; mkdir "$ARTIFACTS_DIR"',
            'rm -rf "$ARTIFACTS_DIR"; mkdir -p "$ARTIFACTS_DIR/deep"; chmod 755 "$ARTIFACTS_DIR"',
            'mkdir out2; echo old > out2/old; rmdir "$ARTIFACTS_DIR"; mv out2 "$ARTIFACTS_DIR"',
            'mv "$ARTIFACTS_DIR" gone; cp -r gone "$ARTIFACTS_DIR"',
        ],
    )
    def test_an_artifacts_folder_made_anew_is_taken_as_it_is(self, attempts, anew):
        """What generators do that empty their output folder first."""
        result = attempts.run(
            anew,
            "mkdir -p $ARTIFACTS_DIR/deep; echo x > $ARTIFACTS_DIR/deep/x; echo y > y",
            'echo z > "$ARTIFACTS_DIR/z z"',
            artifacts=("y",),
        )
        assert result.outcome() == ("success", 0, "")
        assert {"deep/x", "y", "z z"} <= set(result.artifacts)
        assert result.status["refused"] == []
        checksums_hold(result.tree)
        all_listed(result.tree)

    @pytest.mark.parametrize(
        ("script", "outcome"),
        [
            ("mkdir out; echo x > out/x", ("success", 0, "")),
            ("true", ("failure", None, "artifacts")),
            ("mkdir out; ln -s /etc/passwd out/x", ("failure", None, "artifacts")),
            ("exit 3", ("failure", 3, "exit")),
        ],
    )
    def test_a_required_pattern_that_keeps_nothing_fails_the_task(self, attempts, script, outcome):
        patterns = ("out/*", "out/x", "maybe/*")
        result = attempts.run(script, artifacts=patterns, required_artifacts=patterns[:2])
        assert result.outcome() == outcome
        assert "maybe/*" in result.status["unmatched"]
        if outcome[2] == "artifacts":
            detail = "no file was kept for the required artifact 'out/*', 'out/x'"
            assert result.ended.detail == detail

    def test_an_artifacts_folder_that_is_gone_is_empty(self, attempts):
        result = attempts.run("rmdir $ARTIFACTS_DIR", artifacts=())
        assert result.outcome() == ("success", 0, "")
        assert result.artifacts == []
        assert (result.tree / "30-artifacts").is_dir()

    @pytest.mark.parametrize(
        ("put", "named"),
        [
            ("rmdir $ARTIFACTS_DIR; ln -s /etc $ARTIFACTS_DIR", "30-artifacts"),
            ("rmdir $ARTIFACTS_DIR; echo x > $ARTIFACTS_DIR", "30-artifacts"),
            ("rmdir $ARTIFACTS_DIR; mkfifo $ARTIFACTS_DIR", "30-artifacts"),
            ("echo x > $PROOF_DIR/notes.txt", "notes.txt"),
            ("mkdir -p $PROOF_DIR/deep/er; echo x > $PROOF_DIR/deep/er/x", "deep"),
            ("ln -s /etc $PROOF_DIR/attempts", "attempts"),
            ("mkdir -p $PROOF_DIR/attempts/1/20-logs; touch $PROOF_DIR/attempts/1/x", "attempts"),
            ("rm $PROOF_DIR/10-commands/step-0.sh", "10-commands/step-0.sh"),
        ],
    )
    def test_what_lies_in_a_tree_in_the_wrong_place_is_refused_named_and_fails(
        self, attempts, put, named
    ):
        result = attempts.run(put, "true")
        assert result.outcome() == ("failure", None, "artifacts")
        in_a_place_of_zf = ("in $PROOF_DIR, ", "a step wrote ")
        assert result.ended.detail.startswith(tuple(f"{way}{named} " for way in in_a_place_of_zf))
        assert [one["path"] for one in result.status["refused"]] == [named]
        assert not any(path.is_symlink() for path in result.tree.rglob("*"))
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_the_folder_of_another_account_is_not_taken(self, attempts):
        if os.getuid() != 0:
            pytest.skip("needs root, to give a folder away")
        result = attempts.run(
            "rmdir $ARTIFACTS_DIR; mkdir $ARTIFACTS_DIR; touch $ARTIFACTS_DIR/x;"
            "chown 12345 $ARTIFACTS_DIR"
        )
        assert result.outcome() == ("failure", None, "artifacts")
        assert "is the folder of another account (12345)" in result.ended.detail
        assert result.artifacts == []

    def test_a_mounted_folder_is_neither_taken_nor_emptied(self, attempts):
        done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if done.returncode or os.getuid() != 0:
            pytest.skip("needs root, to mount a folder")
        (attempts.root / "strange").mkdir()
        (attempts.root / "strange" / "x").touch()
        result = attempts.run("mount --bind strange $ARTIFACTS_DIR || exit 77")
        if result.ended.exit_code == 77:
            pytest.skip("mounting is not allowed here")
        subprocess.run(["umount", str(result.tree / "30-artifacts")], check=False)
        # It lies over the task's own folder, which is what the proof holds.
        assert result.artifacts == []
        assert result.json("99-summary/status.json")["artifacts"] == 0
        assert (attempts.root / "strange" / "x").exists()

    @pytest.mark.parametrize("folder", ["10-commands", "20-logs", "00-meta", "."])
    def test_one_that_moves_zf_s_own_folders_fails_and_its_tree_is_whole(self, attempts, folder):
        result = attempts.run(
            f"mv $PROOF_DIR/{folder} moved || mv $PROOF_DIR moved; mkdir -p $PROOF_DIR/{folder}"
        )
        assert (result.ended.status, result.ended.cause) == ("failure", "storage")
        assert result.status["status"] == "failure"
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_files_planted_for_a_retry_are_no_part_of_it(self, attempts):
        planting = """
            if [ $ATTEMPT = 1 ]; then exit 1; fi
            mkdir -p $PROOF_DIR/attempts/1/20-logs/deep $PROOF_DIR/attempts/7
            touch $PROOF_DIR/attempts/1/20-logs/forged.log $PROOF_DIR/attempts/7/x
            ln -s /etc $PROOF_DIR/attempts/1/10-commands/etc
        """
        one = task(planting)
        with closing(attempts.pool(one)) as pool:
            drive(pool, [one], 1)
            (attempts.run_dir / "t" / "20-logs" / "before").touch()
            result = attempts.result(drive(pool, [one], 1, attempt=2)["t"])
        assert result.outcome() == ("failure", None, "artifacts")
        assert {one["path"] for one in result.status["refused"]} == {
            "attempts/1/20-logs/before",
            "attempts/1/20-logs/deep",
            "attempts/1/20-logs/forged.log",
            "attempts/1/10-commands/etc",
            "attempts/7",
        }
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_what_is_left_running_writes_no_more_into_the_proof(self, attempts):
        for name in ("go", "done"):
            os.mkfifo(attempts.root / name)
        one = task(
            "mkdir $ARTIFACTS_DIR/d; echo before > $ARTIFACTS_DIR/d/log;"
            "(cat go; cd $ARTIFACTS_DIR; echo after >> d/log; echo new > new; echo x > $OLDPWD/done) &",
            leave_running=True,
        )
        with closing(attempts.pool(one)) as pool:
            result = attempts.result(drive(pool, [one], 1)["t"])
            (attempts.root / "go").write_text("on")
            assert (attempts.root / "done").read_text() == "x\n"
        assert result.outcome() == ("success", 0, "")
        assert result.artifacts == ["d/log"]
        assert (result.tree / "30-artifacts" / "d" / "log").read_text() == "before\n"
        checksums_hold(result.tree)
        all_listed(result.tree)

    @pytest.mark.parametrize(
        "script",
        [
            "touch $PROOF_DIR/10-commands/step-1.sh",
            "rm -r $PROOF_DIR/10-commands",
            "rm -rf $PROOF_DIR",
        ],
    )
    def test_one_that_stands_in_the_way_of_its_proof_fails(self, attempts, script):
        result = attempts.run(script, ":")
        assert (result.ended.status, result.ended.cause) == ("failure", "storage")
        assert result.ended.detail.startswith("the proof could not be written: ")
        assert result.status["status"] == "failure"
        checksums_hold(result.tree)


class TestWithout:
    """What other systems lack."""

    def check(self, attempts):
        outcomes = [
            result.outcome()
            for result in attempts.run_all(
                [
                    task("echo hi; sleep 0.1", name="a"),
                    task("exit 3", name="b"),
                    task("sleep 300 & sleep 300", name="c", timeout_s=0.5),
                    task("trap '' TERM; sleep 300 & wait", name="d", timeout_s=0.5),
                    task("sleep 300 & exit 0", name="e"),
                    task("sleep 0.3 & exit 0", name="f"),
                    task("sleep 0.3; echo late >&2", name="g", silence_timeout_s=20),
                ]
            )
        ]
        assert outcomes == [
            ("success", 0, ""),
            ("failure", 3, "exit"),
            ("timeout", 124, "timeout"),
            ("timeout", 124, "timeout"),
            ("failure", 0, "survivors"),
            ("success", 0, ""),
            ("success", 0, ""),
        ]

    def test_pidfds(self, attempts, monkeypatch):
        def refuse(pid, flags=0):
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refuse)
        self.check(attempts)

    def test_lists_of_children(self, attempts, monkeypatch):
        init = SubreaperTree.__init__

        def without(self, cgroup=None):
            init(self, cgroup)
            os.close(self._fd)
            self._fd = None

        monkeypatch.setattr(SubreaperTree, "__init__", without)
        monkeypatch.setattr(processes_module, "children", children_by_scan)
        self.check(attempts)

    def test_a_subreaper(self, attempts, monkeypatch):
        monkeypatch.setattr(worker_module, "become_subreaper", lambda: False)
        self.check(attempts)
        assert attempts.result_of("a").status["containment"] == "process-group"

    def test_a_subreaper_what_is_left_running_ends_with_the_run(self, attempts, monkeypatch):
        monkeypatch.setattr(worker_module, "become_subreaper", lambda: False)
        mark = f"left-{os.getpid()}-g"
        one = task(f"(exec -a {mark} sleep 300) & sleep 0.3", leave_running=True)
        with closing(attempts.pool(one)) as pool:
            ended = drive(pool, [one], 1)["t"]
            assert len(processes(mark)) == 1
        assert ended.status == "success"
        assert processes(mark) == []


def children_by_scan(pid):
    return list(processes_module._children_by_scan(pid))


class TestTrouble:
    def test_an_error_of_ours_is_an_outcome(self, attempts, monkeypatch, capfd):
        def fail(*_, **__):
            raise RuntimeError("boom\n\x1b[2J")

        monkeypatch.setattr("zf.work.artifacts.collect", fail)
        result = attempts.run("echo hi")
        assert (result.ended.status, result.ended.cause) == ("lost", "worker")
        expected = "internal error of the worker: RuntimeError('boom\\n\\x1b[2J')"
        assert result.ended.detail == expected
        assert result.status["status"] == "lost"
        assert result.log() == b"hi\n"
        checksums_hold(result.tree)
        all_listed(result.tree)
        assert "RuntimeError" in capfd.readouterr().err

    def test_an_error_while_something_runs_ends_it(self, attempts, monkeypatch, capfd):
        mark = f"error-{os.getpid()}"
        monkeypatch.setattr(attempt_module.Capture, "pump", lambda self: 1 // 0)
        result = attempts.run(f"setsid -f bash -c 'exec -a {mark} sleep 300'; echo hi; sleep 300")
        assert (result.ended.status, result.ended.cause) == ("lost", "worker")
        assert processes(mark) == []
        capfd.readouterr()

    def test_a_proof_that_cannot_be_written_at_all(self, attempts):
        attempts.run_dir.rmdir()
        with closing(attempts.pool(task(":"))) as pool:
            ended = drive(pool, [task(":")], 1)["t"]
        assert (ended.status, ended.cause, ended.task_sha256) == ("failure", "storage", "")
        assert ended.detail.startswith("the proof could not be written: No such file or directory")

    def test_a_log_that_cannot_be_written_ends_the_step(self, attempts, monkeypatch):
        monkeypatch.setattr(
            attempt_module.TaskTree,
            "create_file",
            lambda self, path: os.open("/dev/full", os.O_WRONLY),
        )
        monkeypatch.setattr(os, "ftruncate", lambda fd, size: None)
        result = attempts.run("echo hi; sleep 300")
        assert (result.ended.status, result.ended.cause) == ("failure", "storage")
        assert result.ended.detail == "the log could not be written: No space left on device"

    def test_few_descriptors_are_an_outcome_too(self, attempts):
        """Every limit in turn: no false success, nothing left, no hang."""
        mark = f"fds-{os.getpid()}"
        seen = set()
        taken = {int(name) for name in os.listdir("/proc/self/fd")}
        free = [fd for fd in range(1000) if fd not in taken]
        for limit in free[1:25]:
            one = task(f"(exec -a {mark} sleep 0.01)", name=f"t{limit}")
            pool = attempts.pool(one)
            pool._file_limits = (limit, pool._file_limits[1])
            try:
                ended = drive(pool, [one], 1)[one.id]
            finally:
                pool.close()
            seen.add((ended.status.value, ended.cause.value))
            if ended.status == "success":
                assert attempts.result(ended).status["status"] == "success"
                all_listed(attempts.run_dir / one.id)
            assert processes(mark) == []
        assert ("success", "") in seen
        assert seen - {("success", "")} <= {
            ("failure", "storage"),
            ("failure", "spawn"),
            ("lost", "worker"),
        }
        assert len(seen) > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
class TestFullDisk:
    """No space, at every write in turn."""

    def small(self, folder, options):
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)

    @pytest.mark.parametrize("what", ["nr_inodes", "size"])
    def test_never_a_false_success(self, tmp_path, what):
        seen = set()
        script = "echo hi; head -c 9000 /dev/zero; touch $ARTIFACTS_DIR/a; exit 0"
        for amount in range(2, 26):
            attempts = Attempts.__new__(Attempts)
            folder = tmp_path / f"{what}-{amount}"
            folder.mkdir()
            attempts.__init__(folder)
            options = f"nr_inodes={amount}" if what == "nr_inodes" else f"size={amount * 4}k"
            self.small(attempts.run_dir, options)
            try:
                with closing(attempts.pool(task(script))) as pool:
                    ended = drive(pool, [task(script)], 1)["t"]
                seen.add((ended.status.value, ended.cause.value))
                result = attempts.result(ended)
                decided = (result.tree / "99-summary/status.json").exists()
                if ended.status == "success":
                    checksums_hold(result.tree)
                    all_listed(result.tree)
                    assert result.artifacts == ["a"]
                elif ended.cause == "storage":
                    assert "No space left on device" in ended.detail
                if decided:
                    assert result.status["status"] == ended.status
                    checksums_hold(result.tree)
                else:
                    assert ended.task_sha256 == ""
            finally:
                subprocess.run(["umount", attempts.run_dir], check=True)
        assert ("success", "") in seen
        assert ("failure", "storage") in seen
        assert seen <= {("success", ""), ("failure", "storage"), ("failure", "exit")}


def test_a_worker_keeps_nothing_of_what_it_has_run(attempts):
    tasks = [task("sleep 0.01 & wait", name=f"t{n}", timeout_s=30) for n in range(60)]
    tasks += [task("sleep 300", name=f"x{n}", timeout_s=0.02) for n in range(5)]
    with closing(attempts.pool(*tasks)) as pool:
        drive(pool, tasks[:10], 1)
        (handle,) = pool._handles.values()
        settle(pool, handle)
        before = sorted(os.listdir(f"/proc/{handle.pid}/fd"))
        drive(pool, tasks[10:], 1)
        settle(pool, handle)
        assert sorted(os.listdir(f"/proc/{handle.pid}/fd")) == before
        assert processes_module.children(handle.pid) == []


def test_the_same_events_come_back_as_json(attempts):
    result = attempts.run("exit 3")
    status = result.status
    for name in ("status", "exit_code", "signal", "cause", "detail", "step", "duration_s"):
        assert json.loads(json.dumps(getattr(result.ended, name))) == status[name]
