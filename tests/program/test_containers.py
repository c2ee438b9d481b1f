"""Tasks in containers, with a real Podman: what their steps see and can do, how they end, and that
nothing of them is left. As root, and as a user who is not.

The images are made here of local folders; where this machine lets nobody have a container, the
tests say what it lacks.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.attacks import AGAINST_FILES, INHERITED, attack, told
from tests.support.attempts import processes
from tests.support.engines import HOST, SMALL
from tests.support.examples import copied, ends_as_expected
from tests.support.places import tree
from tests.support.zoo import ENDS, IN_A_CONTAINER, ZOO_TIMEOUT_S, inhabitants, living

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="containers take Linux"),
    pytest.mark.xdist_group("containers"),
]
ALONE = {"image": SMALL, "pull": "never", "network": False}


# With root's Podman always; with that of a user who is not root as a campaign, and in part below.
@pytest.fixture(params=["root", pytest.param("rootless", marks=pytest.mark.campaign)])
def engine(request):
    return request.getfixturevalue("rootful" if request.param == "root" else "rootless")


@pytest.fixture
def place(boxes):
    return boxes


def boxed(place):
    """A container with the programs of this machine."""
    return {"image": HOST, "volumes": place.engine.programs, "pull": "never", "network": False}


def on_network(place):
    """A container with a network, where it can have one: without root that takes slirp4netns."""
    return ALONE if place.prefix and not shutil.which("slirp4netns") else SMALL


def python_of(place):
    """A Python that is in there."""
    own = Path(sys.executable).resolve()
    shown = [one.split(":")[0] for one in place.engine.programs]
    return str(own) if any(own.is_relative_to(one) for one in shown) else "/usr/bin/python3"


def test_the_steps_of_a_task_share_a_container(place):
    place.task(
        "boxed",
        "echo $PWD $TASK_ID; id -u; echo kept > $ARTIFACTS_DIR/kept; echo more > /tmp/more",
        "cat /tmp/more; echo made > made.txt; test ! -e /bin/wc",
        container=ALONE,
        cleanup=["echo cleaned; cat /tmp/more"],
    )
    place.task(
        "next", "cat made.txt $NEEDS_DIR/boxed/kept", needs=["boxed"], container=on_network(place)
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err + finished.out
    assert place.log("r", "boxed", 0).decode() == f"{place.root} boxed\n0\n"
    assert place.log("r", "boxed", 1).decode() == "more\n"
    assert place.log("r", "next", 0).decode() == "made\nkept\n"
    cleaned = place.root / "proofs/r/boxed/20-logs/cleanup-0.log"
    assert cleaned.read_text() == "cleaned\nmore\n"
    assert (place.root / "proofs/r/boxed/30-artifacts/kept").read_text() == "kept\n"
    assert place.zf("verify", "r").code == 0


def test_the_example_ends_as_it_says(place, engine):
    if on_network(place) != SMALL:
        pytest.skip("one of its tasks has a network, which takes slirp4netns without root")
    expected = copied("container", place)
    engine.run("tag", SMALL, f"docker.io/library/{expected['image']}")
    ends_as_expected(place, expected)


def test_a_container_stands_on_an_executor_as_here(place):
    if place.prefix:
        pytest.skip("the Python of the tests may lie where its user cannot run it")
    agent = f"{{start: [{sys.executable}, -m, zf, agent]}}"
    (place.root / "zf.yaml").write_text(f"executors: {{far: {agent}}}\n")
    script = "echo $TASK_ID; test ! -e /bin/wc; echo 1 > $ARTIFACTS_DIR/one"
    place.task("t", script, container=ALONE)
    for name, words in (("here", ()), ("far", ("--executor", "far"))):
        finished = place.zf("run-phase", "A", "--run-id", name, *words)
        assert finished.code == 0, finished.err + finished.out
        assert place.status(name, "t")["isolation"] == "container"
        assert place.zf("verify", name).code == 0
    assert place.status("far", "t")["executor"] == "far"
    assert tree(place, "far", "t") == tree(place, "here", "t")


def test_the_proof_says_which_image_it_was(place, engine):
    place.task("boxed", "true", container=ALONE)
    assert place.zf("run-phase", "A", "--run-id", "r").code == 0
    digest = engine.run("image", "inspect", "--format", "{{.Digest}}", SMALL)
    image = engine.run("image", "inspect", "--format", "{{.Id}}", SMALL)
    status = place.status("r", "boxed")
    assert status["isolation"] == "container"
    assert status["container"] == {
        "engine": "podman",
        "image": SMALL,
        "digest": digest,
        "id": f"sha256:{image}",
    }
    run = json.loads((place.root / "proofs/r/run.json").read_text())
    assert run["images"] == {SMALL: {"digest": digest, "id": f"sha256:{image}"}}
    task = json.loads((place.root / "proofs/r/boxed/00-meta/task.json").read_text())
    assert task["container"]["digest"] == digest
    assert f"1 in containers: {SMALL} {digest}" in place.zf("verify", "r").out
    for wall, code in (("container", 0), ("sandbox", 4)):
        (place.root / "policy.yaml").write_text(f"isolation: {wall}\n")
        assert place.zf("verify", "r", "--policy", "policy.yaml").code == code
    (place.root / "policy.yaml").write_text("isolation: cupboard\n")
    assert (
        "neither 'sandbox' nor 'container'"
        in place.zf("verify", "r", "--policy", "policy.yaml").err
    )


@pytest.mark.parametrize("shield", ["never", "auto"])
def test_nothing_of_the_proof_can_be_written(place, shield):
    # What is not there is removed with -f.
    lines = {name: line.replace("rm -f", "rm") for name, (line, _) in AGAINST_FILES.items()}
    finished = attack(place, lines, "--shield", shield, container=boxed(place))
    assert finished.code == 0, finished.err + finished.out
    assert told(place) == dict.fromkeys(lines, "stopped")
    assert place.status("r", "attack")["isolation"] == "container"
    assert place.zf("verify", "r").code == 0


# What each tries; all of it is stopped.
ESCAPES = {
    "read its own log": "cat $PROOF_DIR/20-logs/step-0.log",
    "read another task's log": "cat $PROOF_DIR/../other/20-logs/step-0.log",
    "read the journal": "cat $PROOF_DIR/../events.jsonl",
    "change its own script": "echo exit 0 > $0",
    "see other scripts": "ls $(dirname $0)/.. | grep -v attack.1",
    "write to .git": "touch .git/forged",
    "move the tasks": "mv tasks elsewhere",
    "write to a task file": "echo >> tasks/attack/task.yaml",
    "add a task": "mkdir tasks/forged",
    "see a process of zf": "grep -qas [r]un-phase /proc/[0-9]*/cmdline",
    "signal all": "kill -KILL 1 && ! kill -0 1",
    "an abstract socket": "{python} -c 'import socket, sys;"
    ' s = socket.socket(socket.AF_UNIX); s.connect("\\0zf-test-" + sys.argv[1])\' $PORT',
    "the loopback of the machine": "exec 9<>/dev/tcp/127.0.0.1/$PORT",
    "a daemon's socket": "test -S /run/docker.sock -o -S /var/run/docker.sock -o -d /run/podman",
    "the root of the first process": "ls /proc/1/root$ZENFLOW_ROOT/proofs/r/events.jsonl",
    "an inherited descriptor": INHERITED,
    "unmount what covers it": "umount $ZENFLOW_ROOT/proofs",
    "mount over it": "mount -t tmpfs none /mnt",
    "a user namespace in which to unmount": "unshare --user --map-root-user --mount"
    " umount $ZENFLOW_ROOT/proofs",
    "load a module": "modprobe dummy",
    "a setting of the kernel": "cat /proc/sys/vm/overcommit_memory > /proc/sys/vm/overcommit_memory",
    "a namespace of an outside process": "nsenter --target 1 --mount ls $ZENFLOW_ROOT/proofs/r/events.jsonl",
    "read elsewhere": "ls {outside}",
}


def test_there_is_no_way_out(place):
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        abstract.bind(f"\0zf-test-{port}")
        abstract.listen()
        subprocess.run(["git", "init", "-q", place.root], check=True)
        python = python_of(place)
        outside = tempfile.mkdtemp(prefix="zf-outside-")
        lines = {
            name: f"( {line.replace('{python}', python).replace('{outside}', outside)}; )"
            for name, line in ESCAPES.items()
        }
        try:
            finished = attack(place, lines, container=boxed(place), env={"PORT": str(port)})
        finally:
            os.rmdir(outside)
    assert finished.code == 0, finished.err + finished.out
    assert told(place) == dict.fromkeys(lines, "stopped")
    assert place.zf("verify", "r").code == 0


def test_without_root_the_wall_is_the_same(without_root):
    place = without_root
    names = ["its own outcome", "another task's tree", "the journal", "the lock", "the fifo"]
    lines = {name: AGAINST_FILES[name][0].replace("rm -f", "rm") for name in names}
    ways = ["change its own script", "write to a task file", "see a process of zf", "mount over it"]
    lines |= {name: f"( {ESCAPES[name]}; )" for name in ways}
    place.task("untidy", f"(exec -a {place.mark} sleep 300) & echo left", container=ALONE)
    finished = attack(place, lines, "--keep-going", container=boxed(place))
    assert told(place) == dict.fromkeys(lines, "stopped"), finished.out
    assert place.status("r", "attack")["container"]["engine"] == "podman"
    assert place.status("r", "untidy")["cause"] == "survivors"
    assert processes(place.mark) == []
    assert place.zf("verify", "r").code == 0


@pytest.mark.parametrize("kind", ENDS)
def test_nothing_survives_without_root(without_root, request, kind):
    place = without_root
    names = inhabitants(kind) if request.config.getoption("campaign") else IN_A_CONTAINER
    marks = {f"t{number}": f"{place.mark}-{number}." for number in range(len(names))}
    for (task, mark), name in zip(marks.items(), names, strict=True):
        script = living(name, kind, mark, python_of(place))
        timeout = {"timeout_sec": ZOO_TIMEOUT_S} if kind == "timeout" else {}
        place.task(task, script, container=boxed(place), parallel_safe=True, **timeout)
    place.zf("run-phase", "A", "--run-id", "r", "-j", "2", "--grace", "0.2", timeout_s=600)
    assert processes(place.mark) == []
    found = {}
    for task, name in zip(marks, names, strict=True):
        status = place.status("r", task)
        found[name] = status["status"], status["exit_code"], status["cause"]
        if name != "stopped leader":
            assert place.log("r", task, 0).splitlines()[0] == b"seen", name
    assert found == dict.fromkeys(names, ENDS[kind])
    assert place.zf("verify", "r").code == 0


def test_what_is_put_where_nothing_was_fails_the_task(place):
    place.task("sly", "mkdir .git; touch .git/config", container=ALONE)
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 1
    assert ".git was put into the project, and is read-only in a container" in finished.out


@pytest.mark.parametrize("shell", [None, "sh"])
def test_a_step_ends_as_it_would_outside(place, shell):
    more = {} if shell is None else {"shell": shell}
    boxed = {"container": ALONE, **more}
    place.task("code", "exit 7", **boxed)
    place.task("skip", "exit 77", skip_exit_codes=[77], **boxed)
    place.task("killed", "kill -KILL $$", **boxed)
    place.task("gone", "true", container=ALONE, shell=["fish"])
    place.zf("run-phase", "A", "--run-id", "r")
    told = {name: place.status("r", name) for name in ("code", "skip", "killed", "gone")}
    assert {name: (one["status"], one["exit_code"]) for name, one in told.items()} == {
        "code": ("failure", 7),
        "skip": ("skipped", 77),
        "killed": ("failure", 137),
        "gone": ("failure", 127),
    }


def test_term_the_grace_and_kill_reach_what_is_inside(place):
    polite = "trap 'echo ending; exit 3' TERM; echo begun; while :; do sleep 0.1; done"
    place.task("polite", polite, timeout_sec=8, container=ALONE)
    place.task("deaf", "trap '' TERM; (sleep 300 & sleep 300)", timeout_sec=8, container=ALONE)
    finished = place.zf("run-phase", "A", "--run-id", "r", "--grace", "2")
    assert finished.code == 1
    # bash may tell of the sleep that was ended, too.
    said = place.log("r", "polite", 0).decode().splitlines()
    assert (said[0], "ending" in said) == ("begun", True)
    for name in ("polite", "deaf"):
        assert place.status("r", name)["status"] == "timeout"
        assert place.status("r", name)["cause"] == "timeout"


def test_what_a_step_leaves_behind_fails_its_task(place):
    place.task("untidy", "sleep 312 & echo left", container=ALONE)
    place.zf("run-phase", "A", "--run-id", "r")
    status = place.status("r", "untidy")
    assert (status["status"], status["cause"]) == ("failure", "survivors")
    assert [one["command"] for one in status["survivors"]] == ["sleep 312"]


def test_a_secret_is_in_no_command_line_and_the_machines_places_stay_outside(place):
    seen = place.root / "seen"
    look = (
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' > seen.inside; echo $API_TOKEN $HOME $PATH $LANG"
    )
    place.task(
        "boxed", f"touch begun; {look}; sleep 2", pass_env=["API_TOKEN"], container=boxed(place)
    )
    env = {"API_TOKEN": "correct-horse-battery", "HOME": "/none/of/theirs", "LANG": "C.UTF-8"}
    if place.prefix:
        env["HOME"] = place.engine.env["HOME"]  # without root, its Podman asks for it
    process = place.popen("run-phase", "A", "--run-id", "r", env=env)
    await_file(process, place.root / "begun")
    seen = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            seen += path.read_bytes()
    process.communicate()
    assert process.returncode == 0
    assert b"correct-horse" not in seen + (place.root / "seen.inside").read_bytes()
    assert b"--env\0API_TOKEN\0" in seen
    assert place.log("r", "boxed", 0).decode() == "*** /root /usr/bin:/bin C.UTF-8\n"
    env_sh = (place.root / "proofs/r/boxed/00-meta/env.sh").read_text()
    assert "HOME=" not in env_sh
    assert "correct-horse" not in env_sh


def test_what_is_handed_on_comes_out(place):
    place.task(
        "boxed",
        'echo version=7 >> "$ZF_OUTPUT"; echo size 12 >> "$ZF_METRICS"',
        outputs=["version"],
        container={**ALONE, "user": "1000:1000"},
    )
    place.task(
        "next",
        "echo $GOT",
        needs=["boxed"],
        env={"GOT": {"from": "boxed.version"}},
        container={"image": SMALL, "env": {"GREETING": "hello"}, "network": False},
    )
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err + finished.out
    assert place.log("r", "next", 0).decode() == "7\n"
    assert (place.root / "proofs/r/boxed/30-metrics.txt").read_text().splitlines()[1] == "size 12"


def test_nothing_is_left_of_a_zf_that_was_killed(place, engine):
    place.task("boxed", "touch begun; sleep 300", container=ALONE)
    process = place.popen("run-phase", "A", "--run-id", "r", start_new_session=True)
    await_file(process, place.root / "begun")
    for pid in (*workers(process.pid), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert engine.containers() != []
    assert place.zf("list").code == 0
    assert engine.containers() == []


def await_file(process, path):
    """Wait until a step has made a file; what zf says is the message if it ends before."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def workers(pid):
    return map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_an_interrupt_ends_what_is_inside(place):
    place.task("boxed", "touch begun; sleep 300", container=ALONE)
    process = place.popen("run-phase", "A", "--run-id", "r")
    await_file(process, place.root / "begun")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert place.status("r", "boxed")["status"] == "cancelled"


def test_a_run_that_goes_on_has_the_image_that_it_had(place, engine):
    name = "localhost/zf-moving:1"
    engine.run("tag", SMALL, name)
    boxed = {"image": name, "pull": "never", "network": False}
    place.task("first", "true", container=boxed)
    slow = "touch begun; test ! -e wait || sleep 300"
    place.task("slow", slow, needs=["first"], container=boxed)
    place.task("last", "test -e /bin/ls -a ! -L /bin", needs=["slow"], container=boxed)
    (place.root / "wait").touch()
    process = place.popen("run-phase", "A", "--run-id", "r")
    await_file(process, place.root / "begun")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (place.root / "wait").unlink()
    then = json.loads((place.root / "proofs/r/run.json").read_text())["images"][name]
    try:
        engine.run("tag", HOST, name)
        finished = place.zf("resume", "r")
        assert finished.code == 0, finished.err + finished.out
        assert place.status("r", "last")["container"]["id"] == then["id"]
        again = place.zf("rerun", "r", "--from", "last", "--run-id", "r2")
        assert again.code == 0, again.err + again.out
        assert place.status("r2", "last")["container"]["id"] == then["id"]
        anew = place.zf("run-task", "first", "--run-id", "r3")
        assert "r3" in anew.out
        assert json.loads((place.root / "proofs/r3/run.json").read_text())["images"][name] != then
    finally:
        engine.run("untag", name, name)


@pytest.mark.parametrize(
    ("task", "code", "told"),
    [
        ({"container": {"image": "x", "pull": "never"}}, "ZF704", "image 'x' is not here"),
        ({"container": SMALL, "sandbox": True}, "ZF700", "a sandbox or a container"),
        ({"container": SMALL, "leave_running": True}, "ZF701", "keeps nothing"),
        ({"container": {"image": SMALL, "volumes": ["data"]}}, "ZF702", "no SOURCE:TARGET"),
        ({"container": {"image": SMALL, "volumes": [".:/x"]}}, "ZF702", "would show the proofs"),
        ({"container": {"image": "-v"}}, "ZF707", "no name of an image"),
        ({"container": {"image": SMALL, "memory": "lots"}}, "ZF707", "no amount of memory"),
        ({"container": SMALL, "memory_mb": 100}, "ZF709", "holds nothing in a container"),
    ],
)
def test_what_cannot_be_meant_or_had_is_told_with_its_place(place, task, code, told):
    place.task("boxed", "true", **task)
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 2
    assert f"error[{code}]" in finished.err
    assert told in finished.err
    assert "tasks/boxed/task.yaml:" in finished.err
    assert not (place.root / "proofs/r").exists()


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("auto", "neither podman nor docker is on the PATH"),
        ("docker --debug", "docker is no program that is here"),
    ],
)
def test_without_an_engine_no_run_begins(place, tmp_path, setting, why):
    if place.prefix:
        pytest.skip("its user is become with programs that are not there either")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "git"):
        (programs / name).symlink_to(shutil.which(name))
    place.task("boxed", "true", container=SMALL)
    env = {"PATH": str(programs), "ZF_CONTAINER_ENGINE": setting}
    finished = place.zf("run-phase", "A", "--run-id", "r", env=env)
    assert finished.code == 2
    assert (
        f"error[ZF703]: boxed must run in a container, which cannot be had: {why}" in finished.err
    )
    assert not (place.root / "proofs/r").exists()
    bad = place.zf("run-phase", "A", env={"ZF_CONTAINER_ENGINE": "lxc"})
    assert (bad.code, "podman, docker" in bad.err) == (2, True)


def test_an_image_is_part_of_the_key(place, engine):
    name = "localhost/zf-keyed:1"
    engine.run("tag", SMALL, name)
    (place.root / "in").write_text("1")
    boxed = {"image": name, "pull": "never", "network": False}
    place.task(
        "build", "cat in > out", sources=["in"], generates=["out"], cache=True, container=boxed
    )
    try:
        assert place.zf("run-phase", "A", "--run-id", "r1", "--cached").code == 0
        assert place.zf("run-phase", "A", "--run-id", "r2", "--cached").code == 0
        assert place.status("r2", "build")["cached_from"]["run"] == "r1"
        engine.run("tag", HOST, name)
        finished = place.zf("run", "build", "--dry-run", "--cached", "--why")
        assert "container" in finished.out
    finally:
        engine.run("untag", name, name)


def test_what_is_not_of_the_project_is_the_images_own_and_gone_with_the_task(place):
    """And what `tasks/` and `proofs/` lie in cannot be moved away."""
    (place.root / ".zenflow").mkdir()
    places = "/forged /root/forged /tmp/forged /run/forged /var/forged"
    place.task(
        "first", f"mkdir -p /var; touch {places}; ! mv .zenflow away", container=boxed(place)
    )
    place.task("next", f"! ls {places}", needs=["first"], container=boxed(place))
    (place.root / "tasks").rename(place.root / ".zenflow/tasks")
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err + finished.out
    said = (place.root / ".zenflow/proofs/r/next/20-logs/step-0.log").read_text()
    assert [f"'{path}'" in said for path in places.split()] == [True] * 5
    assert not Path("/forged").exists()


def test_a_step_that_ends_all_that_is_in_there_ends_itself_alone(place):
    place.task("all", "kill -TERM 1; kill -KILL -1", cleanup=["echo cleaned"], container=ALONE)
    place.task("next", "echo here", container=ALONE)
    assert place.zf("run-phase", "A", "--run-id", "r").code == 1
    assert place.status("r", "all")["status"] == "failure"
    cleaned = place.root / "proofs/r/all/20-logs/cleanup-0.log"
    assert cleaned.read_text() == "cleaned\n"
    assert place.log("r", "next", 0) == b"here\n"


def test_what_a_task_asks_for_is_open_and_no_more_memory_than_it_says(place):
    """The loopback of this machine, a folder outside, what listens there; the rows that say so."""
    outside = place.root.parent / "outside"
    outside.mkdir()
    at = str(outside / "daemon")
    memory = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    lines = {
        "loopback": "exec 9<>/dev/tcp/127.0.0.1/$PORT",
        "outside": f"touch {outside}/forged",
        "a daemon": f"{python_of(place)} -c 'import socket;"
        f' socket.socket(socket.AF_UNIX).connect("{at}")\'',
        "memory": f'test "$(cat {memory} || cat /sys/fs/cgroup/memory.max)" = 67108864',
    }
    said = {**boxed(place), "network": "host", "memory": "64m"}
    said["volumes"] = [*said["volumes"], f"{outside}:{outside}"]
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as daemon:
        server.bind(("127.0.0.1", 0))
        server.listen()
        daemon.bind(at)
        daemon.listen()
        port = server.getsockname()[1]
        finished = attack(place, lines, container=said, env={"PORT": str(port)})
    if "cgroup" in finished.out:
        pytest.skip(f"no limit of memory here: {finished.out}")
    wanted = dict.fromkeys(lines, "done")
    if place.prefix:  # whose engine says that it ignores limits, where cgroups are of version 1
        del wanted["memory"]
    assert told(place).items() >= wanted.items(), finished.out
    assert (outside / "forged").exists()
