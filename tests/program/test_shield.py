"""What a step can do to the proof while it runs: with the shield and without, as root and not.

Each attack is one line of a real step. `CHECK` tells apart what was stopped from what was not; what
is not stopped is in conventions/SECURITY.md, with what finds it.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.attacks import (
    AGAINST_FILES,
    AS_NOBODY,
    FOUND,
    TOLD,
    Place,
    attack,
    of_nobody,
    told,
)
from zf.work.walls.namespace import has_capability
from zf.work.walls.shield import Grounds, why_not

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shield is Linux's")

IS_ROOT = sys.platform == "linux" and has_capability()
AS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="needs root with CAP_SYS_ADMIN")


def _landlock_abi():
    return ctypes.CDLL(None).syscall(444, None, 0, 1) if sys.platform == "linux" else -1


HAS_LANDLOCK = _landlock_abi() >= 6


def _can_as_nobody():
    """Whether a user who is not root can have a shield, which takes a user namespace."""
    if shutil.which("setpriv") is None or not IS_ROOT:
        return False
    words = ["unshare", "--user", "--mount", "true"]
    return subprocess.run([*AS_NOBODY, *words], capture_output=True, check=False).returncode == 0


TO_NOBODY = pytest.mark.skipif(not _can_as_nobody(), reason="no user namespace without root")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "project")


@pytest.fixture
def nobodys():
    """A project of a user who is not root, where that user can get at it."""
    with of_nobody() as place:
        yield place


class TestFiles:
    """The rows of the table that are about files."""

    @pytest.mark.parametrize(
        ("mode", "whose"),
        [
            pytest.param("auto", "place", marks=AS_ROOT),
            pytest.param("always", "place", marks=AS_ROOT),
            pytest.param("always", "nobodys", marks=TO_NOBODY),
        ],
    )
    def test_with_the_shield_nothing_of_the_proof_can_be_written(self, request, mode, whose):
        place = request.getfixturevalue(whose)
        lines = {name: line for name, (line, _) in AGAINST_FILES.items()}
        finished = attack(place, lines, "--shield", mode)
        assert finished.code == 0, finished.err
        assert place.shield().startswith("mount")
        assert told(place) == dict.fromkeys(lines, "stopped")
        assert place.zf("verify", "r").code == 0

    @pytest.mark.parametrize("name", AGAINST_FILES)
    def test_without_it_it_can_and_what_comes_of_it_is_as_told(self, place, name):
        line, outcome = AGAINST_FILES[name]
        finished = attack(place, {name: line}, "--shield", "never")
        if name in {"the run's folder", "the proofs folder"}:
            assert finished.code != 0  # there is nothing to verify where the run was
            assert "Traceback" not in finished.err
            return
        assert told(place) == {name: "done"}
        if outcome == FOUND:
            failed = "failure   attack" in finished.err
            assert (finished.code, failed or "TAMPERED WHILE RUNNING" in finished.err) == (1, True)
            assert (place.zf("verify", "r").code == 0) == failed or failed
        elif outcome == TOLD:
            assert (finished.code, "TAMPERED WHILE RUNNING" in finished.err) == (1, True)
            assert "r.lock: is not the lock that this run began with" in finished.err
            assert place.zf("verify", "r").code == 0
            assert place.zf("verify", "r", "--passed").code == 1
        else:
            assert finished.code == 0, finished.err
            assert place.zf("verify", "r").code == 0


# Each with where it is open: for root without Landlock, and for others without a user namespace.
# ps puts blanks before a short number, which `$((...))` takes away.
PROCESSES = {
    "the worker killed": ("kill -0 $PPID", {"root", "nobody"}),
    "the runner killed": ("kill -0 $(ps -o ppid= -p $PPID)", {"root", "nobody"}),
    "the worker traced": ("(exec 9< /proc/$PPID/mem)", {"root"}),
    "the worker's descriptors": ("ls /proc/$PPID/fd/ && ls /proc/$PPID/fd/0", {"root"}),
    "the runner's files": ("cat /proc/$(($(ps -o ppid= -p $PPID)))/root/etc/passwd", {"root"}),
    "another step traced": ("(exec 9< /proc/$(cat ../pid)/mem)", {"root", "nobody"}),
    "another step's log": ("echo forged > /proc/$(cat ../pid)/fd/1", {"root", "nobody"}),
}


def _has_yama():
    """Whether the system lets a process trace only what it has started itself (not root)."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip() != "0"
    return False


class TestProcesses:
    """The rows of the table that are about processes."""

    @pytest.mark.parametrize(
        ("mode", "whose"),
        [
            pytest.param("never", "place", marks=AS_ROOT),
            pytest.param("auto", "place", marks=AS_ROOT),
            pytest.param("always", "place", marks=AS_ROOT),
            pytest.param("never", "nobodys", marks=TO_NOBODY),
            pytest.param("always", "nobodys", marks=TO_NOBODY),
        ],
    )
    def test_what_a_step_can_do_to_processes_is_as_told(self, request, mode, whose):
        if mode == "always" and not HAS_LANDLOCK:
            pytest.skip("needs Linux 6.12")
        place = request.getfixturevalue(whose)
        who = "root" if whose == "place" else "nobody"
        place.task(
            "victim",
            "echo $$ > ../pid.new; mv ../pid.new ../pid; until [ -e ../go ]; do sleep 0.02; done",
            workdir="tasks",
            parallel_safe=True,
        )
        lines = ["until [ -e ../pid ]; do sleep 0.02; done"]
        for name, (line, _) in PROCESSES.items():
            lines.append(f"if {{ {line}; }} > /dev/null 2>&1; then x=done; else x=stopped; fi")
            lines.append(f'echo "{name}: $x"')
        # Its own output goes elsewhere than what it forges.
        lines = [line.replace("forged > /proc", "forged >> /proc") for line in lines]
        script = "\n".join([*lines, "touch ../go"])
        place.task("attack", script, workdir="tasks", parallel_safe=True)
        finished = place.zf("run-phase", "A", "--run-id", "r", "-j", "2", "--shield", mode)
        assert finished.code == 0, finished.err
        expected = {
            name: "done" if mode != "always" and who in open_to else "stopped"
            for name, (_, open_to) in PROCESSES.items()
        }
        if who == "nobody" and _has_yama():
            expected["another step traced"] = "stopped"
        assert told(place) == expected
        # What is put into a log that way is in the proof like all that the step printed.
        is_open = expected["another step's log"] == "done"
        assert place.log("r", "victim", 0) == (b"forged\n" if is_open else b"")
        assert place.zf("verify", "r").code == 0

    @AS_ROOT
    def test_what_is_left_running_can_be_ended_by_a_later_task(self, place):
        place.task("server", "sleep 300 & echo $! > ../pid", leave_running=True, workdir="tasks")
        place.task("stop", "kill $(cat ../pid)", needs=["server"], workdir="tasks")
        assert place.zf("run-phase", "A", "--run-id", "r", "--shield", "always").code == 0
        assert place.shield("stop") == "mount"

    @pytest.mark.parametrize("mode", [pytest.param("auto", marks=AS_ROOT), "never"])
    def test_a_killed_worker_is_never_a_success(self, place, mode):
        place.task("a", "kill -9 $PPID; exit 0")
        assert place.zf("run-task", "a", "--run-id", "r", "--shield", mode).code != 0
        assert place.status("r", "a")["status"] == "lost"


@AS_ROOT
class TestWhatGoesOnWorking:
    def test_artifacts_wiped_and_made_anew(self, place):
        place.task(
            "a", 'rm -rf "$ARTIFACTS_DIR"; mkdir "$ARTIFACTS_DIR"; echo x > $ARTIFACTS_DIR/x'
        )
        assert place.zf("run-task", "a", "--run-id", "r").code == 0
        assert place.proof("r", "a", "30-artifacts", "x").read_text() == "x\n"
        assert place.zf("verify", "r").code == 0

    def test_artifacts_of_several_tasks_of_one_worker(self, place):
        for n in range(6):
            place.task(f"t{n}", f"echo {n} > $ARTIFACTS_DIR/{n}" if n % 2 else ":")
        assert place.zf("run-phase", "A", "--run-id", "r", "-j", "1").code == 0
        found = {p.name: p.read_text() for p in place.proof("r").rglob("30-artifacts/*")}
        assert found == {"1": "1\n", "3": "3\n", "5": "5\n"}
        assert place.zf("verify", "r").code == 0

    @pytest.mark.parametrize("to", ["/tmp", "$ARTIFACTS_DIR"])
    def test_a_link_put_in_the_way_of_the_next_task_of_the_worker_goes(self, place, to):
        """What a step reads below $PROOF_DIR is its own record, whatever ran there before it."""
        place.task("a", f"rm $PROOF_DIR/00-meta; ln -s {to} $PROOF_DIR/00-meta")
        place.task("b", "cat $PROOF_DIR/00-meta/task.json")
        assert place.zf("run-phase", "A", "--run-id", "r", "-j", "1").code == 1
        assert "a step wrote 00-meta into $PROOF_DIR" in place.status("r", "a")["detail"]
        assert b'"id": "b"' in place.log("r", "b", 0)
        assert place.zf("verify", "r").code in {0, 1}
        assert "TAMPERED" not in place.zf("verify", "r").out

    @pytest.mark.parametrize("over", ["$ARTIFACTS_DIR", "$PROOF_DIR", "$PROOF_DIR/new"])
    def test_a_mount_made_by_a_step_is_not_in_the_way_of_the_next_task(self, place, over):
        mount = f"mkdir -p {over}; mount -t tmpfs x {over}; echo a > {over}/of-a"
        place.task("a", mount, priority=1)
        for name in "bc":
            see = 'find "$PROOF_DIR/" -name of-a'
            place.task(name, f"{see}; ls -A $ARTIFACTS_DIR; echo x > $ARTIFACTS_DIR/{name}")
        assert place.zf("run-phase", "A", "--run-id", "r", "-j", "1").code == 1
        status = place.status("r", "a")
        assert (status["status"], status["cause"]) == ("failure", "storage")
        assert "has mounted something" in status["detail"]
        for name in "bc":
            assert place.status("r", name)["status"] == "success"
            assert place.log("r", name, 0) == b""
            kept = place.proof("r", name, "30-artifacts").iterdir()
            assert [path.name for path in kept] == [name]
        assert "TAMPERED" not in place.zf("verify", "r").out
        beside = sorted(p.name for p in (place.root / "proofs/.locks").iterdir())
        assert beside == ["durations.json", "r.lock"]

    def test_its_own_tree_is_read(self, place):
        place.task(
            "a", "echo one", ". $PROOF_DIR/00-meta/env.sh; cat $PROOF_DIR/20-logs/step-0.log"
        )
        assert place.zf("run-task", "a", "--run-id", "r").code == 0
        assert place.log("r", "a", 1) == b"one\n"

    @pytest.mark.parametrize("mode", ["auto", "never"])
    def test_a_step_calls_zf(self, place, mode):
        """A new run beside this one, in the same proofs folder, with a shield of its own or none."""
        place.task("inner", "echo inner > $ARTIFACTS_DIR/x", phase="B")
        place.task("next", "cat $NEEDS_DIR/inner/x", phase="B", needs=["inner"])
        zf = f"{sys.executable} -m zf"
        place.task(
            "outer",
            f"unset RUN_ID; {zf} run-phase B --run-id in --shield {mode} && {zf} verify in"
            f" && {zf} status $TASK_RUN",
            env={"TASK_RUN": "r"},
        )
        finished = place.zf("run-task", "outer", "--run-id", "r")
        assert finished.code == 0, finished.out + finished.err
        assert place.shield("outer") == "mount"
        assert place.shield("inner", "in") == ("mount" if mode == "auto" else "none: switched off")
        assert place.proof("in", "inner", "30-artifacts", "x").read_text() == "inner\n"
        assert place.log("in", "next", 0) == b"inner\n"
        for run in ("r", "in"):
            assert place.zf("verify", run).code == 0
        assert {p.name for p in (place.root / "proofs").iterdir()} == {
            ".gitignore",
            ".locks",
            "in",
            "r",
        }

    def test_a_killed_worker_of_a_run_in_a_step_leaves_its_artifacts(self, place):
        place.task("inner", "echo kept > $ARTIFACTS_DIR/x; kill -9 $PPID; sleep 60", phase="B")
        zf = f"{sys.executable} -m zf"
        place.task("outer", f"unset RUN_ID; {zf} run-phase B --run-id in || :")
        assert place.zf("run-task", "outer", "--run-id", "r").code == 0
        assert place.status("in", "inner")["status"] == "lost"
        assert place.proof("in", "inner", "30-artifacts", "x").read_text() == "kept\n"

    def test_finished_proofs_are_read_and_another_live_run_is_not_written(self, place):
        place.task("first", ":")
        assert place.zf("run-task", "first", "--run-id", "done").code == 0
        place.task(
            "hold", "touch ../started; until [ -e ../go ]; do sleep 0.05; done", workdir="tasks"
        )
        live = place.popen("run-task", "hold", "--run-id", "live")
        try:
            while not (place.root / "started").exists():
                assert live.poll() is None
            line = "touch $PROOF_DIR/../../live/forged"
            look = "test -s $PROOF_DIR/../../done/MANIFEST.sha256"
            place.task(
                "a", f"{look}; if {line}; then echo done; else echo stopped; fi 2> /dev/null"
            )
            assert place.zf("run-task", "a", "--run-id", "r").code == 0
            assert place.log("r", "a", 0) == b"stopped\n"
        finally:
            (place.root / "go").touch()
            live.communicate()
        assert place.zf("verify", "live").code == 0

    def test_what_is_outside_sees_the_same_artifacts(self, place):
        """A container engine, say, to which the path is given."""
        place.task(
            "a",
            "echo in > $ARTIFACTS_DIR/in; touch ../asked; until [ -e ../go ]; do sleep 0.05; done\n"
            "cat $ARTIFACTS_DIR/out",
            workdir="tasks",
        )
        running = place.popen("run-task", "a", "--run-id", "r")
        while not (place.root / "asked").exists():
            assert running.poll() is None
        artifacts = place.proof("r", "a", "30-artifacts")
        assert (artifacts / "in").read_text() == "in\n"
        (artifacts / "out").write_text("out\n")
        (place.root / "go").touch()
        running.communicate()
        assert place.log("r", "a", 0) == b"out\n"
        assert not artifacts.is_symlink()
        assert place.zf("verify", "r").code == 0

    def test_a_killed_worker_leaves_its_artifacts(self, place):
        place.task("a", "echo kept > $ARTIFACTS_DIR/x; kill -9 $PPID; sleep 60")
        place.zf("run-task", "a", "--run-id", "r")
        assert place.status("r", "a")["status"] == "lost"
        assert place.proof("r", "a", "30-artifacts", "x").read_text() == "kept\n"
        assert place.zf("verify", "r").code == 0

    def test_nothing_is_left_beside_the_run(self, place):
        place.task("a", "touch $ARTIFACTS_DIR/x")
        place.zf("run-task", "a", "--run-id", "r")
        beside = sorted(p.name for p in (place.root / "proofs/.locks").iterdir())
        assert beside == ["durations.json", "r.lock"]
        mounts = Path("/proc/self/mountinfo").read_text()
        assert str(place.root) not in mounts


@pytest.mark.parametrize("mode", [pytest.param("auto", marks=AS_ROOT), "never"])
def test_a_step_can_cancel_its_own_run_only_without_the_shield(place, mode):
    place.task("a", f"{sys.executable} -m zf cancel r || echo code $?; sleep 1")
    finished = place.zf("run-task", "a", "--run-id", "r", "--shield", mode)
    if mode == "never":
        assert place.status("r", "a")["status"] == "cancelled"
    else:
        assert finished.code == 0
        assert b"cannot be cancelled from here" in place.log("r", "a", 0)


class TestTheSetting:
    def test_always_where_it_cannot_be_had_is_an_error_before_the_run(self, place):
        place.task("a", ":")
        if IS_ROOT:
            place.prefix = ("setpriv", "--bounding-set=-sys_admin")
        elif not why_not(Grounds("always", "", "", "", (), list)):
            pytest.skip("here it can be had")
        finished = place.zf("run-task", "a", "--run-id", "r", "--shield", "always")
        assert finished.code == 2
        assert "ZF125" in finished.err
        assert not place.proof("r").exists()

    @AS_ROOT
    def test_auto_where_it_cannot_be_had_says_why_in_the_proof(self, place):
        place.task("attack", ":")
        place.prefix = ("setpriv", "--bounding-set=-sys_admin")
        assert place.zf("run-task", "attack", "--run-id", "r").code == 0
        assert place.shield().startswith("none: root is without CAP_SYS_ADMIN")

    @TO_NOBODY
    def test_auto_without_root_leaves_sudo_working(self, nobodys):
        nobodys.task("attack", "readlink /proc/self/ns/user")
        assert nobodys.zf("run-task", "attack", "--run-id", "r").code == 0
        assert nobodys.shield().startswith("none: without root")
        assert nobodys.log("r", "attack", 0).strip() == os.readlink("/proc/self/ns/user").encode()

    @pytest.mark.parametrize(
        ("words", "env", "file", "said"),
        [
            (["--shield", "never"], {"ZF_SHIELD": "always"}, "always", ("never", "--shield")),
            ([], {"ZF_SHIELD": "never"}, "always", ("never", "ZF_SHIELD")),
            ([], {}, "never", ("never", "zf.yaml")),
            ([], {}, None, ("auto", "default")),
        ],
    )
    def test_flag_then_variable_then_project(self, place, words, env, file, said):
        place.task("a", ":")
        if file:
            (place.root / "zf.yaml").write_text(f"shield: {file}\n")
        assert place.zf("run-task", "a", "--run-id", "r", *words, env=env).code == 0
        setting = place.json("r", "run.json")["settings"]["shield"]
        assert (setting["value"], setting["source"]) == said

    def test_a_bad_one_is_refused(self, place):
        place.task("a", ":")
        finished = place.zf("run-task", "a", "--shield", "maybe")
        assert (finished.code, "auto, always or never" in finished.err) == (2, True)

    @pytest.mark.parametrize("mode", [pytest.param("auto", marks=AS_ROOT), "never"])
    def test_a_policy_can_require_it_and_verify_shows_it(self, place, mode):
        place.task("a", ":")
        place.zf("run-task", "a", "--run-id", "r", "--shield", mode)
        policy = place.root / "policy.yaml"
        policy.write_text("shield: required\n")
        verified = place.zf("verify", "r", "--policy", str(policy))
        assert verified.code == (0 if mode == "auto" else 4)
        assert ("(1 shielded)" in verified.out) == (mode == "auto")
