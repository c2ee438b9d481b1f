"""The Kubernetes recipe of the how-to page, word for word, with a stand-in for kubectl that relays,
delays, cuts and lies: validated, not run on a cluster.
"""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.far import left, of_type, verified

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/how-to/run-on-other-machines.md"


def recipe():
    """The block of the page that has kubectl in it."""
    blocks = re.findall(r"```yaml project\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return yaml.safe_load(next(block for block in blocks if "kubectl" in block))


@pytest.fixture
def pods(project):
    """A project with that recipe, on a machine that has such a kubectl; the image has zf."""
    folder = project.root.parent / "bin"
    (folder / "pods").mkdir(parents=True)
    for name, words in (("kubectl", TESTS / "support/kubectl.py"), ("zf", "-m zf")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        script.chmod(0o755)
    project.env |= {"PATH": f"{folder}:{os.environ['PATH']}", "KUBECTL_PODS": f"{folder}/pods"}
    project.executors = recipe()
    (project.root / "zf.yaml").write_text(yaml.safe_dump(project.executors))
    project.task("t", "echo 1 > $ARTIFACTS_DIR/one; echo said", executor="pods")
    yield project
    assert left(project) == []
    assert [*(folder / "pods").iterdir()] == []


def run(project, fault=""):
    done = project.zf("run-phase", "A", "--run-id", "r", env={"KUBECTL_FAULT": fault})
    (end,) = of_type(project, "attempt_ended")
    verified(project)
    assert done.code == (end["status"] != "success"), done.err + done.out
    return end["status"], end["cause"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("", id="relays"),
        pytest.param("--late 1", id="attaches late"),
        pytest.param("--delay 0.1", id="delays", marks=pytest.mark.campaign),
        pytest.param("--noise 'all is well\n'", id="prints before", marks=pytest.mark.campaign),
        pytest.param("--exit 1 --say 'error: Evicted'", id="lies about the end"),
    ],
)
def test_what_an_agent_says_decides(pods, fault):
    assert run(pods, fault) == ("success", "")
    assert pods.log("r", "t") == b"said\n"
    assert pods.status("r", "t")["executor"] == "pods"


def test_what_it_prints_at_last_changes_nothing(pods):
    pods.executors["executors"]["pods"]["start"].remove("--quiet")
    (pods.root / "zf.yaml").write_text(yaml.safe_dump(pods.executors))
    assert run(pods) == ("success", "")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("--cut 3000 --exit 0", "worker"),
        ("--cut 3000 --exit 1 --say 'error: pod zf-t was Evicted: low on memory'", "evicted"),
        ("--flip 3000", "worker"),
        *(
            pytest.param(*more, marks=pytest.mark.campaign)
            for more in (
                ("--cut 1 --exit 1 --say 'Unable to connect to the server'", "unreachable"),
                ("--cut 3000 --exit 137 --say 'pod zf-t terminated (OOMKilled)'", "oom"),
                ("--cut 3000 --exit 1 --say 'http2: connection reset by peer'", "unreachable"),
                ("--twice 3000", "worker"),
            )
        ),
    ],
)
def test_without_it_the_attempt_is_lost_whatever_kubectl_says(pods, fault, cause):
    assert run(pods, fault) == ("lost", cause)


def test_a_name_that_no_pod_can_have_is_told(pods):
    pods.task("Upper", "true", executor="pods")
    done = pods.zf("run-phase", "A", "--run-id", "r", "--keep-going")
    assert done.code == 1
    assert pods.status("r", "t")["status"] == "success"
    status = pods.status("r", "Upper")
    assert (status["status"], status["cause"]) == ("lost", "unreachable")
    assert 'The Pod "zf-Upper" is invalid' in status["detail"]
