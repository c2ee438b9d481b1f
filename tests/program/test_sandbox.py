"""What a step in a sandbox can see and do, with real ones: as root and as another user.

Each attack is one line of a real step; conventions/SECURITY.md has the table.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.attacks import (
    AGAINST_FILES,
    AS_NOBODY,
    INHERITED,
    Place,
    attack,
    of_nobody,
    told,
)
from tests.support.program import heard
from zf.work.walls.namespace import has_capability
from zf.work.walls.sandbox import why_not

_WHY_NOT = why_not(shutil.which("bwrap"))
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=f"no sandbox here: {_WHY_NOT}")


def _can_as_nobody():
    """Whether a user who is not root can have one, which takes a user namespace."""
    if not has_capability() or shutil.which("setpriv") is None:
        return False
    words = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "true"]
    return subprocess.run([*AS_NOBODY, *words], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["root", "nobody"])
def place(request, tmp_path):
    """A project of whoever runs the tests; and of a user who is not root."""
    if request.param == "root":
        yield Place(tmp_path / "project")
        return
    if not _can_as_nobody():
        pytest.skip("no user namespace without root")
    with of_nobody() as place:
        yield place


@pytest.fixture
def project(tmp_path):
    return Place(tmp_path / "project")


@pytest.mark.parametrize("shield", ["never", "auto"])
def test_nothing_of_the_proof_can_be_written(place, shield):
    # What is not there is removed with -f.
    lines = {name: line.replace("rm -f", "rm") for name, (line, _) in AGAINST_FILES.items()}
    finished = attack(place, lines, "--shield", shield, sandbox=True)
    assert finished.code == 0, finished.err
    assert told(place) == dict.fromkeys(lines, "stopped")
    assert place.status("r", "attack")["isolation"] == "sandbox"
    assert place.zf("verify", "r").code == 0


# What each tries; all of it is stopped.
ESCAPES = {
    "read its own log": "cat $PROOF_DIR/20-logs/step-0.log",
    "read another task's log": "cat $PROOF_DIR/../other/20-logs/step-0.log",
    "read the journal": "cat $PROOF_DIR/../events.jsonl",
    "write to .git": "touch .git/forged",
    "write to a task file": "echo >> tasks/attack/task.yaml",
    "add a task": "mkdir tasks/forged",
    "write to the system": "touch /usr/forged",
    "see a process of zf": "grep -qas [r]un-phase /proc/[0-9]*/cmdline",
    "signal its parent": "kill -TERM $PPID && ! kill -0 $PPID",
    "reach the network": "exec 9<>/dev/tcp/$HOST/$PORT",
    "an abstract socket": "{ls} -c 'import socket, sys;"
    ' s = socket.socket(socket.AF_UNIX); s.connect("\\0zf-test-" + sys.argv[1])\' $PORT',
    "a daemon's socket": "test -S /run/docker.sock -o -S /var/run/docker.sock",
    "its parent's root": "cat /proc/$PPID/root/etc/passwd && test ! -e /proc/1/root/.zf-none"
    " && cat /proc/1/root$ZENFLOW_ROOT/proofs/r/events.jsonl",
    "an inherited descriptor": INHERITED,
    "unmount what covers it": "umount $ZENFLOW_ROOT/proofs",
    "mount over it": "mount -t tmpfs none /mnt",
    "a user namespace in which to unmount": "unshare --user --map-root-user --mount"
    " umount $ZENFLOW_ROOT/proofs",
    "make a device": "mknod /tmp/disk b 8 0",
    "load a module": "modprobe dummy",
    "a setting of the kernel": "cat /proc/sys/vm/overcommit_memory > /proc/sys/vm/overcommit_memory",
    "a link that leads out": "ln -s /etc/passwd x; echo >> x",
    "a namespace of an outside process": "nsenter --target 1 --mount ls $ZENFLOW_ROOT/proofs/r",
}


def test_there_is_no_way_out(place):
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        abstract.bind(f"\0zf-test-{port}")
        abstract.listen()
        subprocess.run(["git", "init", "-q", place.root], check=True)
        python = str(Path(sys.executable).resolve())
        lines = {
            name: f"( {line.replace('{ls}', python)}; )".replace("; ; )", "; )")
            for name, line in ESCAPES.items()
        }
        env = {"HOST": "127.0.0.1", "PORT": str(port)}
        finished = attack(place, lines, sandbox=True, env=env)
    assert finished.code == 0, finished.err
    assert told(place) == dict.fromkeys(lines, "stopped")
    assert place.zf("verify", "r").code == 0


def test_without_it_they_are_ways_out(project):
    """The test of the test: an attack that can never succeed would say nothing."""
    names = ["read its own log", "read the journal", "write to a task file", "add a task"]
    names += ["see a process of zf", "a link that leads out"]
    lines = {name: ESCAPES[name].replace("/etc/passwd", "../passwd") for name in names}
    attack(project, lines, "--shield", "never")
    assert told(project) == dict.fromkeys(lines, "done")


def test_the_project_can_be_written_and_what_it_made_is_collected(place):
    place.task("make", "echo built > out.txt; echo kept > $ARTIFACTS_DIR/kept", sandbox=True)
    place.task(
        "use",
        "cat out.txt $NEEDS_DIR/make/kept; ! touch $NEEDS_DIR/make/more 2> /dev/null",
        needs=["make"],
        sandbox=True,
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert place.log("r", "use") == b"built\nkept\n"
    assert place.proof("r", "make", "30-artifacts", "kept").read_text() == "kept\n"


def test_outputs_metrics_and_scripts_as_files_go_through(place):
    place.task(
        "make",
        'echo version=1.2 >> "$ZF_OUTPUT"; echo \'{"name": "n_total", "value": 3}\' >> "$ZF_METRICS"',
        sandbox=True,
        outputs=["version"],
    )
    place.task(
        "use",
        'import os; print(os.environ["V"])',
        needs=["make"],
        sandbox=True,
        env={"V": {"from": "make.version"}},
        shell=["/usr/bin/env", "python3"],
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert place.log("r", "use") == b"1.2\n"
    assert place.status("r", "make")["metrics"][0]["name"] == "n_total"


def test_artifacts_can_be_wiped_and_made_anew_under_the_shield(project):
    if not has_capability():
        pytest.skip("no shield without root")
    script = 'rm -rf "$ARTIFACTS_DIR"; mkdir "$ARTIFACTS_DIR"; echo new > "$ARTIFACTS_DIR/f"'
    project.task("make", script, sandbox=True)
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert project.proof("r", "make", "30-artifacts", "f").read_text() == "new\n"


def test_only_what_write_names_can_be_written(place):
    (place.root / "notes.txt").write_text("as they were\n")
    script = """
echo a > build/a; mkdir deep/er; echo b > deep/er/b; echo more >> notes.txt
! touch other 2> /dev/null; ! touch tasks/other 2> /dev/null
"""
    place.task("make", script, sandbox={"write": ["build/", "deep/**", "*.txt"]})
    place.hand_over()
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert (place.root / "build/a").read_text() == "a\n"
    assert (place.root / "deep/er/b").read_text() == "b\n"
    assert (place.root / "notes.txt").read_text() == "as they were\nmore\n"
    assert not (place.root / "other").exists()


def test_a_link_in_write_that_leads_out_of_the_project_is_refused(project, tmp_path):
    (tmp_path / "outside").mkdir()
    (project.root / "build").symlink_to(tmp_path / "outside")
    project.task("make", "touch build/x", sandbox={"write": ["build"]})
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 1
    assert "'build' of `write` leads out of the project" in finished.err
    assert os.listdir(tmp_path / "outside") == []


# What `read` does not cover up, as it makes the project anew, and where links lead.
@pytest.mark.parametrize(
    ("write", "lines"),
    [
        (".git", ["touch .git/forged"]),
        (".git/hooks", ["touch .git/hooks/forged"]),
        ("tasks", ["mkdir tasks/forged"]),
        ("to-git", ["touch to-git/forged", "touch .git/forged"]),
        (
            "to-proofs",
            ["touch to-proofs/forged", "touch to-proofs/r/forged", "cat to-proofs/r/plan.json"],
        ),
        ("to-keys", ["cat to-keys/private"]),
    ],
)
@pytest.mark.parametrize("read", [{}, {"read": ["src/**"]}])
def test_write_opens_nothing_that_is_closed(place, write, lines, read):
    subprocess.run(["git", "init", "-q", place.root], check=True)
    for name in ("src", "keys"):
        (place.root / name).mkdir()
    (place.root / "src/a").touch()
    (place.root / "keys/private").write_text("a key\n")
    for link, where in (("to-git", ".git"), ("to-proofs", "proofs"), ("to-keys", "keys")):
        (place.root / link).symlink_to(where)
    place.hand_over()
    wall = {"write": [write], "hide": ["keys"], **read}
    finished = attack(place, {line: line for line in lines}, sandbox=wall)
    assert finished.code == 0, finished.err
    assert told(place) == dict.fromkeys(lines, "stopped")


def test_a_folder_behind_a_link_can_be_written_under_its_name(place):
    (place.root / "build").mkdir()
    (place.root / "out").symlink_to("build")
    (place.root / "a").write_text("a\n")
    place.task("make", "cp a out/b", sandbox={"read": ["a"], "write": ["out"]})
    place.hand_over()
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert (place.root / "build/b").read_text() == "a\n"


def test_a_link_that_read_names_shows_nothing_that_it_does_not(place):
    for name in ("src/a", "other/b"):
        (place.root / name).parent.mkdir()
        (place.root / name).write_text(f"{name}\n")
    for link, where in (("a", "src/a"), ("b", "other/b"), ("folder", "other"), ("p", "proofs")):
        (place.root / link).symlink_to(where)
    script = "cat a; ! cat b || exit 1; ! ls folder/ || exit 1; ! ls p/r/plan.json"
    place.task("make", script, sandbox={"read": ["src/a", "a", "b", "folder", "p"]})
    place.hand_over()
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err


def test_read_beside_a_project_that_can_be_written_is_refused(project):
    project.task("make", "true", sandbox={"read": ["a"], "write": ["."]})
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 1
    assert "`write` is all of the project, so `read` keeps nothing from it" in finished.err


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("mkdir -p .git/hooks", ".git"),
        ("mkdir -p .zenflow/tasks", ".zenflow/tasks"),
        ("rm zf.yaml; touch zf.yaml", "zf.yaml"),
    ],
)
def test_what_a_step_puts_where_nothing_could_be_mounted_fails_it(place, line, path):
    (place.root / "settings.yaml").touch()
    (place.root / "zf.yaml").unlink(missing_ok=True)
    (place.root / "zf.yaml").symlink_to("settings.yaml")
    place.task("make", line, sandbox=True)
    place.hand_over()
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 1
    assert f"{path} was put into the project, and is read-only in a sandbox" in finished.err


@pytest.mark.parametrize("wall", [True, {"write": ["."]}, {"write": [".zenflow"]}])
def test_the_folder_around_tasks_and_proofs_cannot_be_moved_away(place, wall):
    (place.root / "zf.yaml").unlink(missing_ok=True)
    place.task("make", "! mv .zenflow x", sandbox=wall)
    (place.root / ".zenflow").mkdir()
    (place.root / "tasks").rename(place.root / ".zenflow/tasks")
    place.hand_over()
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert not (place.root / "x").exists()


def test_only_what_read_names_is_there(place):
    for name in ("src/a.py", "src/b.txt", "src/deep/c.py", "data/d", "secret"):
        path = place.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    place.task(
        "make",
        "find . -type f -not -path './proofs/*' | sort; ! touch src/new 2> /dev/null; ! touch new 2> /dev/null",
        sandbox={"read": ["src/**", "!src/b.txt", "data"]},
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert place.log("r", "make") == b"./data/d\n./src/a.py\n./src/deep/c.py\n"


def test_a_file_that_read_does_not_name_fails_the_step_with_its_path(place):
    (place.root / "a").write_text("a\n")
    (place.root / "config").mkdir()
    (place.root / "config/limits.ini").write_text("b\n")
    place.task("make", "cat a; cat config/limits.ini", sandbox={"read": ["a"]})
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 1
    assert "config/limits.ini: No such file or directory" in finished.out
    assert "config/limits.ini is in the project, but not in `read` of its sandbox" in finished.out


def test_what_is_hidden_is_empty(place):
    home = Path(place.env["HOME"])
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh/id").write_text("private\n")
    (place.root / ".env").write_text("TOKEN=x\n")
    (place.root / "keys").mkdir()
    (place.root / "keys/a").write_text("a\n")
    place.task(
        "make",
        "ls -A ~/.ssh keys; cat .env; ! touch keys/new 2> /dev/null",
        sandbox={"hide": ["~/.ssh", ".env", "keys", "not/there"]},
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert place.log("r", "make").split() == [f"{home}/.ssh:".encode(), b"keys:"]


def test_the_network_is_there_when_asked_for_and_loopback_always(project):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        line = f"exec 9<>/dev/tcp/127.0.0.1/{port}"
        project.task("with", line, sandbox={"network": True})
        project.task("without", f"! ( {line} ) 2> /dev/null", sandbox=True)
        python = str(Path(sys.executable).resolve())
        code = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
        code += " socket.create_connection(s.getsockname())"
        project.task("own", f'{python} -c "{code}"', sandbox=True)
        assert project.zf("run-phase", "A", "--run-id", "r").code == 0


@pytest.mark.parametrize("sandbox", [False, True])
def test_a_step_ends_as_it_would_without_it(place, sandbox):
    """Exit codes, time to clean up after TERM, and what is left behind."""
    place.task("code", "exit 7", sandbox=sandbox, allow_failure=True)
    trap = "trap 'echo cleaned up; exit 3' TERM; echo ready; while :; do sleep 300 & wait; done"
    place.task("term", trap, sandbox=sandbox, timeout_sec=2, allow_timeout=True)
    sleep = "sleep 300 & until grep -q ^sleep /proc/$!/cmdline; do :; done"
    place.task("left", f"{sleep}; disown; exit 0", sandbox=sandbox, allow_failure=True)
    place.task("kept", sleep, sandbox=sandbox, leave_running=True)
    finished = place.zf("run-phase", "A", "--run-id", "r", "-j", "4")
    assert finished.code == 0, finished.err
    assert place.status("r", "code")["exit_code"] == 7
    assert place.log("r", "term") == b"ready\ncleaned up\n"
    step = place.json("r", "term", "10-commands", "step-0.json")
    assert (step["status"], step["exit_code"], step["signal"]) == ("timeout", 3, None)
    assert place.status("r", "left")["cause"] == "survivors"
    assert [one["command"] for one in place.status("r", "left")["survivors"]] == ["sleep 300"]
    assert [one["command"] for one in place.status("r", "kept")["survivors"]] == ["sleep 300"]


def failing_bwrap(project, tmp_path, times):
    """One that gives up so often, as it does when a mount is gone that was there before."""
    told = "bwrap: Can't bind mount /oldroot/ on /newroot/: Unable to apply mount flags"
    program = tmp_path / "bin/bwrap"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/bash
if [[ " $* " == *" --chdir "* ]] && (( $(cat {tmp_path}/count 2> /dev/null || echo 0) < {times} )); then
  echo $(( $(cat {tmp_path}/count 2> /dev/null || echo 0) + 1 )) > {tmp_path}/count
  echo "{told}" >&2
  exit 1
fi
exec {shutil.which("bwrap")} "$@"
""")
    program.chmod(0o755)
    project.env["PATH"] = f"{program.parent}:{project.env['PATH']}"
    return told


@pytest.mark.parametrize("more", [{}, {"memory_mb": 500}, {"shell": ["/usr/bin/env", "bash"]}])
def test_a_sandbox_that_could_not_be_made_is_made_again(project, tmp_path, more):
    """Mounts come and go on any machine; one that goes in the wrong moment is no step's failure."""
    told = failing_bwrap(project, tmp_path, 2)
    project.task("t", "echo begun", sandbox=True, **more)
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    assert project.log("r", "t").decode() == f"{told}\n{told}\nbegun\n"
    (note,) = project.status("r", "t")["notes"]
    assert note == "a sandbox could not be made, which the log says, and was made again"
    assert project.zf("verify", "r").code == 0


def test_one_that_can_never_be_made_is_no_end_of_the_step(project, tmp_path):
    told = failing_bwrap(project, tmp_path, 100)
    project.task("t", "echo begun", sandbox=True)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.status("r", "t")
    assert (status["cause"], status["exit_code"]) == ("spawn", 126)
    assert "its sandbox could not be made, which its log says" in status["detail"]
    assert project.log("r", "t").decode() == f"{told}\n" * 3


def test_a_step_that_begins_and_fails_is_not_begun_again(project):
    project.task("t", "echo begun; exit 1", sandbox=True)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    assert (project.status("r", "t")["cause"], project.log("r", "t")) == ("exit", b"begun\n")


def test_nothing_is_left_of_it_when_zf_is_killed(project):
    mark = f"zf-sandboxed-{os.getpid()}"
    project.task("make", f"echo begun; exec -a {mark} sleep 300", sandbox=True)
    process = project.popen("run-phase", "A", "--run-id", "r", "--progress", "json")
    heard(process, "attempt_started")
    _until(lambda: _pids_of(mark))
    process.kill()
    process.communicate()
    _until(lambda: not _pids_of(mark))
    assert project.zf("seal", "r").code == 0


def _pids_of(mark):
    found = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True, check=False)
    return [pid for pid in found.stdout.split() if int(pid) != os.getpid()]


def _until(true, limit_s=60):
    end = os.times().elapsed + limit_s
    while not true():
        assert os.times().elapsed < end
        signal.sigtimedwait([], 0.05)


@pytest.fixture
def without_bwrap(project, tmp_path):
    """A PATH with everything but bubblewrap."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if program.name != "bwrap" and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    project.env["PATH"] = str(tools)
    return project


def test_where_it_cannot_be_had_nothing_runs(without_bwrap):
    project = without_bwrap
    project.task("a", "touch ran", sandbox=True)
    project.task("b", "touch ran", sandbox={"network": True})
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 2
    assert "ZF127" in finished.err
    assert "a and 1 more must run in a sandbox, which cannot be had: it takes" in finished.err
    assert not (project.root / "ran").exists()
    assert not (project.root / "proofs/r").exists()


def test_where_a_task_may_do_without_the_proof_says_so(without_bwrap):
    project = without_bwrap
    project.task("a", "true", sandbox={"if_available": True})
    finished = project.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    isolation = project.status("r", "a")["isolation"]
    assert isolation == "none: it takes bubblewrap, and no `bwrap` is on the PATH"
    told = project.zf("explain", "r", "a").out
    assert f"it ran without its sandbox: {isolation}" in told
    policy = project.root / "policy.yaml"
    policy.write_text("isolation: sandbox\n")
    told = project.zf("verify", "r", "--policy", str(policy))
    assert told.code == 4
    assert "ran without the sandbox: 'none: it takes bubblewrap" in told.out


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("sandbox", 4),
        ("{a: sandbox}", 0),
        ("{A: sandbox}", 4),
        ("{B: sandbox}", 0),
        ("{b: sandbox}", 4),
    ],
)
def test_a_policy_demands_it(project, rule, code):
    project.task("a", "true", sandbox=True)
    project.task("b", "true")
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    (project.root / "policy.yaml").write_text(f"isolation: {rule}\n")
    told = project.zf("verify", "r", "--policy", "policy.yaml")
    assert told.code == code, told.out
    assert "2 of 2 planned tasks ended (1 sandboxed)" in told.out or "sandboxed" in told.out


def test_with_read_a_cache_key_is_complete(project):
    (project.root / "a").write_text("a\n")
    (project.root / "b").write_text("b\n")
    task = {"sandbox": {"read": ["a"], "write": ["out"]}, "cache": True, "generates": ["out"]}
    project.task("make", "cp a out/a; cat b || true", **task)
    words = ("run-phase", "A", "--cached")
    assert project.zf(*words, "--run-id", "r1").code == 0
    (project.root / "b").write_text("changed, which the step cannot see\n")
    assert "cached" in project.zf(*words, "--run-id", "r2").err
    assert json.loads(project.proof("r2", "make", "99-summary", "status.json").read_text())[
        "cached_from"
    ]
    (project.root / "a").write_text("changed\n")
    assert project.zf(*words, "--run-id", "r3").code == 0
    assert "cached_from" not in project.status("r3", "make")
