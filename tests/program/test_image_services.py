"""Services that are images, with a real Podman: ready on the ports that zf gives them, their digests
in the proof, and gone however their task, or zf itself, ends.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.independent_verifier import verify as independent

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="containers take Linux"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server"),
    pytest.mark.xdist_group("containers"),
]
NAME = "localhost/zf-redis:1"
COMMAND = ["/bin/sh", "-c", "env; exec redis-server --protected-mode no --save ''"]
CACHE = {"name": "cache", "image": NAME, "pull": "never", "ports": [6379]}
PATIENCE_S = 60


@pytest.fixture(scope="module")
def redis(engine):
    """The image of the service."""
    if engine.why_not:
        return
    root = engine.folder / "redis"
    engines.small(root)
    program = Path(shutil.which("redis-server")).resolve()
    shutil.copy(program, root / "bin/redis-server")
    for library in engines._libraries(program):
        place = root / library[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    subprocess.run(["tar", "-C", root, "-cf", f"{root}.tar", "."], check=True)
    says = ["ENV PATH=/usr/bin:/bin", f"CMD {json.dumps(COMMAND)}"]
    engine.run("import", *(w for one in says for w in ("--change", one)), f"{root}.tar", NAME)


@pytest.fixture
def place(boxes, redis):
    yield boxes
    boxes.end_all()
    assert not (boxes.root / "proofs/.locks/containers").exists()


def await_file(process, path):
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def descendants(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from descendants(child)
        yield int(child)


def test_it_is_ready_on_its_port_and_its_digest_is_in_the_proof(place, engine):
    spec = {**CACHE, "env": {"GREETING": "hello ${TASK_ID}", "HOME": "/tmp"}}
    look = "redis-cli -p $SVC_CACHE_6379_PORT eval \"return 'it is ' .. KEYS[1]\" 1 there"
    place.task("t", f"redis-cli -p $SVC_CACHE_PORT ping; {look}", services=[spec])
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err + done.out
    lines = place.log("r", "t").decode().splitlines()
    assert lines == ["PONG", "it is there"]
    digest = engine.run("image", "inspect", "--format", "{{.Digest}}", NAME)
    started, ended = [e for e in place.events("r") if e["type"].startswith("service_")]
    assert (started["image"], started["digest"]) == (NAME, digest)
    assert (ended["cause"], ended["exit_code"], ended["signal"]) == ("stopped", 0, None)
    said = place.status("r", "t")["services"]["cache"]
    assert (said["image"], said["digest"]) == (NAME, digest)
    run = json.loads((place.root / "proofs/r/run.json").read_text())
    assert run["images"][NAME]["digest"] == digest
    log = (place.root / "proofs/r/t/20-logs/service-cache.log").read_text()
    assert {"GREETING=hello t", "HOME=/tmp"} <= set(log.splitlines())
    assert "TASK_ID=" not in log
    assert "Ready to accept connections" in log
    assert "ready to exit" in log
    assert place.zf("verify", "r").code == 0
    assert independent(place.root / "proofs/r") == (True, True)


def test_each_instance_of_a_matrix_has_the_image_of_its_value(place, engine):
    for number in (1, 2):
        engine.run("tag", NAME, f"localhost/zf-cache:{number}")
    spec = {**CACHE, "image": "localhost/zf-cache:${MATRIX_V}"}
    place.task("t", "redis-cli -p $SVC_CACHE_PORT ping", services=[spec], matrix={"v": [1, 2]})
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err + done.out
    for number in (1, 2):
        service = place.status("r", f"t@v={number}")["services"]["cache"]
        assert service["image"] == f"localhost/zf-cache:{number}"


def test_one_that_dies_ends_the_step_under_way(place):
    place.task("t", "redis-cli -p $SVC_CACHE_PORT shutdown nosave; sleep 300", services=[CACHE])
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    status = place.status("r", "t")
    assert status["cause"] == "service"
    assert "service 'cache' died: it exited with code 0" in done.out


def test_one_that_does_not_begin_fails_its_task(place):
    nothing = {**CACHE, "image": engines.SMALL, "ready_timeout_sec": 50}
    place.task("t", "true", services=[nothing])
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    assert place.status("r", "t")["cause"] == "service"
    assert place.status("r", "t")["services"]["cache"]["cause"] == "died"


def test_the_tasks_of_a_phase_share_it_and_an_interrupt_ends_it(place):
    (place.root / "zf.yaml").write_text(json.dumps({"phases": {"A": {"services": [CACHE]}}}))
    place.task("a", "redis-cli -p $SVC_CACHE_PORT set key kept")
    place.task(
        "b", "redis-cli -p $SVC_CACHE_PORT get key > got.1; mv got.1 got; sleep 300", needs=["a"]
    )
    process = place.popen("run-phase", "A", "--run-id", "r")
    await_file(process, place.root / "got")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert (place.root / "got").read_text() == "kept\n"
    started, ended = [e for e in place.events("r") if e["type"].startswith("service_")]
    assert started["digest"].startswith("sha256:")
    assert (ended["cause"], ended["exit_code"]) == ("stopped", 0)


def test_nothing_is_left_of_a_zf_that_was_killed_and_a_resumed_run_has_its_image(place, engine):
    place.task("t", "test ! -e wait || { touch begun; sleep 300; }", services=[CACHE])
    (place.root / "wait").touch()
    process = place.popen("run-phase", "A", "--run-id", "r", start_new_session=True)
    await_file(process, place.root / "begun")
    ours = [pid for pid in descendants(process.pid) if b"run-phase" in _command(pid)]
    for pid in (*ours, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert engine.containers() != []
    assert place.zf("list").code == 0
    assert engine.containers() == []
    (place.root / "wait").unlink()
    had = json.loads((place.root / "proofs/r/run.json").read_text())["images"][NAME]["digest"]
    old = engine.run("image", "inspect", "--format", "{{.Id}}", NAME)
    try:
        engine.run("tag", engines.SMALL, NAME)
        done = place.zf("resume", "r")
        assert done.code == 0, done.err + done.out
        assert place.status("r", "t")["services"]["cache"]["digest"] == had
    finally:
        engine.run("tag", old, NAME)


def _command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize(
    ("task", "code", "told"),
    [
        ({"services": [{**CACHE, "image": "x"}]}, "ZF704", "image 'x' is not here"),
        ({"services": [CACHE], "sandbox": True}, "ZF713", "a sandbox without network"),
        ({"services": [{**CACHE, "image": "-v"}]}, "ZF707", "no name of an image"),
    ],
)
def test_what_cannot_be_meant_or_had_is_told_with_its_place(place, task, code, told):
    place.task("t", "true", **task)
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 2
    assert f"error[{code}]" in done.err
    assert told in done.err
    assert "tasks/t/task.yaml:" in done.err
    assert not (place.root / "proofs/r").exists()
