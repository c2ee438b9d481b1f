"""Tasks in containers, with a real Podman: what their steps see and can do, how they end, and that
nothing of them is left. As root, and as a user who is not.

The images are made here of local folders; where this machine lets nobody have a container, the
tests say what it lacks.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.attacks import AGAINST_FILES, Place, attack, told
from tests.support.engines import HOST, PROGRAMS, SMALL, Engine
from tests.support.program import survivors

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="containers take Linux"),
    pytest.mark.xdist_group("containers"),
]
BOXED = {"image": HOST, "volumes": PROGRAMS, "pull": "never", "network": False}
ALONE = {"image": SMALL, "pull": "never", "network": False}


@pytest.fixture(scope="module")
def engine():
    folder = Path(tempfile.mkdtemp(prefix="zf-engine-", dir="/var/tmp"))
    found = Engine(folder)
    yield found
    found.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(engine, tmp_path):
    if engine.why_not:
        pytest.skip(f"no container here: {engine.why_not}")
    place = Place(tmp_path / "project")
    place.env |= engine.env
    yield place
    place.end_all()
    assert engine.containers() == []
    assert survivors(place.mark) == []


def test_the_steps_of_a_task_share_a_container(place):
    place.task(
        "boxed",
        "echo $PWD $TASK_ID; id -u; echo kept > $ARTIFACTS_DIR/kept; echo more > /tmp/more",
        "cat /tmp/more; echo made > made.txt; test ! -e /bin/wc",
        container=ALONE,
        cleanup=["echo cleaned; cat /tmp/more"],
    )
    place.task("next", "cat made.txt $NEEDS_DIR/boxed/kept", needs=["boxed"], container=SMALL)
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err + finished.out
    assert place.log("r", "boxed", 0).decode() == f"{place.root} boxed\n0\n"
    assert place.log("r", "boxed", 1).decode() == "more\n"
    assert place.log("r", "next", 0).decode() == "made\nkept\n"
    cleaned = place.root / "proofs/r/boxed/20-logs/cleanup-0.log"
    assert cleaned.read_text() == "cleaned\nmore\n"
    assert (place.root / "proofs/r/boxed/30-artifacts/kept").read_text() == "kept\n"
    assert place.zf("verify", "r").code == 0


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
    finished = attack(place, lines, "--shield", shield, container=BOXED)
    assert finished.code == 0, finished.err + finished.out
    assert told(place) == dict.fromkeys(lines, "stopped")
    assert place.status("r", "attack")["isolation"] == "container"
    assert place.zf("verify", "r").code == 0
