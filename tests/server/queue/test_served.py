"""The queue as `zf serve` keeps it: real servers, real runs, and what is left when either dies."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.program import Project
from tests.support.served import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("queue")
PROJECT = """\
inputs: {word: {default: hello}, secret: {secret: true}}
phases: {P: {protected: true}}
tasks:
  good: {phase: E, run: "echo $INPUT_WORD >> ran"}
  bad: {phase: F, run: "exit 3"}
  waits: {phase: W, run: "echo begun >> begun; until [ -e go ]; do sleep 0.05; done; echo > went"}
  kept: {phase: P, run: "true"}
"""
DEADLINE_S = 60.0


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "project")
    (made.root / "zf.yaml").write_text(PROJECT)
    yield made
    (made.root / "go").touch()
    made.end_all()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server that is asked for nothing that runs."""
    made = Project(tmp_path_factory.mktemp("idle") / "project")
    (made.root / "zf.yaml").write_text(PROJECT)
    with Server(made) as server:
        yield server
    made.end_all()


def over(server: Server, item: str) -> dict:
    """The row of an item, once that is over."""
    return eventually(
        lambda: server.get(f"/queue/{item}").json,
        of=lambda row: row.get("state") not in {"queued", "claimed"},
    )


def enqueued(server: Server, **asked) -> str:
    answer = server.post("/queue", asked)
    assert answer.status == 202, answer
    return answer.json["item"]


def lines(project: Project) -> list[dict]:
    text = (project.root / ".zenflow/server/queue.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def terminal(project: Project) -> dict[str, list[str]]:
    """The terminal lines of each item."""
    words = ("done", "expired", "superseded", "cancelled", "rejected", "lost")
    found: dict[str, list[str]] = {}
    for line in lines(project):
        if line["type"] in {f"item_{word}" for word in words}:
            found.setdefault(line["item"], []).append(line["type"])
    return found


def killed(project: Project, run: str) -> None:
    """Kill the runner of a run, and its workers with it."""
    lock = project.root / "proofs/.locks" / f"{run}.lock"
    pid = int(re.match(r"pid (\d+)", lock.read_text())[1])
    group = os.getpgid(pid)
    os.killpg(group, signal.SIGKILL)


def test_items_are_started_as_ordinary_runs_and_say_where_they_come_from(project):
    with Server(project) as server:
        item = enqueued(server, phases=["E"], inputs={"word": "you"}, priority=3)
        row = over(server, item)
        assert (row["state"], row["why"]) == ("done", "passed")
        assert (project.root / "ran").read_text() == "you\n"
        about = json.loads((project.root / "proofs" / row["run"] / "run.json").read_text())
        assert about["trigger"]["item"] == item
        assert about["trigger"]["by"] == "operator"
        assert about["trigger"]["via"] == "api"
        failed = over(server, enqueued(server, tasks=["bad"]))
        assert (failed["state"], failed["why"]) == ("done", "failed")
        listed = server.get("/queue").json
        assert [one["item"] for one in listed["items"]] == [failed["item"], item]
        assert listed["counts"]["done"] == 2
        assert listed["kept"]["reaper"]["runs"] >= 1


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"phases": ["G"]}, "ZF834"),
        ({"tasks": ["god"]}, "ZF834"),
        ({"phases": ["E"], "inputs": {"wrd": "a"}}, "ZF270"),
        ({"phases": ["E"], "inputs": {"secret": "a"}}, "ZF839"),
        ({"phases": ["P"], "on_newer": "cancel_running"}, "ZF839"),
        ({}, "ZF839"),
        ({"phases": ["E"], "command": "rm"}, "ZF805"),
        ({"phases": ["E"], "scope": "for_sec", "key": "k"}, "ZF839"),
    ],
)
def test_what_cannot_be_run_is_refused(idle, asked, code):
    answer = idle.post("/queue", asked)
    assert (answer.status, answer.json["code"]) == (422, code), answer


def test_verbs_and_the_server_have_one_queue(project):
    queued = project.zf("enqueue", "E", "--json")
    item = json.loads(queued.out)["item"]
    assert "nothing keeps the queue" in queued.err
    with Server(project) as server:
        over(server, item)
        done = project.zf("enqueue", "E", "-i", "word=again", "--key", "k")
        assert done.out.startswith("queued: ")
        assert "nothing keeps" not in done.err
        over(server, done.out.split()[1])
        assert (project.root / "ran").read_text() == "hello\nagain\n"
        second = project.zf("serve", "--port", "0")
        assert second.code == 5
        assert f"in use by pid {server.process.pid} on" in second.err
    listed = project.zf("queue", "--json")
    assert [row["state"] for row in json.loads(listed.out)["items"]] == ["done", "done"]


def test_a_double_is_rejected_and_a_newer_one_ends_the_older_run(project):
    with Server(project) as server:
        first = enqueued(server, phases=["W"], key="k", group="g")
        eventually((project.root / "begun").exists)
        double = server.post("/queue", {"phases": ["W"], "key": "k"}).json
        assert (double["state"], "the double of" in double["why"]) == ("rejected", True)
        newer = enqueued(server, phases=["E"], group="g", on_newer="cancel_running")
        assert over(server, first)["state"] == "superseded"
        assert over(server, newer)["state"] == "done"
        assert not (project.root / "went").exists()
    assert all(len(ends) == 1 for ends in terminal(project).values())


def test_an_item_is_cancelled_where_it_waits_and_where_it_runs(project):
    with Server(project) as server:
        runs = enqueued(server, phases=["W"])
        waits = enqueued(server, phases=["E"])
        eventually((project.root / "begun").exists)
        assert server.post(f"/queue/{waits}/cancel").json["state"] == "cancelled"
        assert project.zf("queue", "cancel", runs).code == 0
        row = over(server, runs)
        assert (row["state"], row["end_asked_by"]) == ("cancelled", row["why"])
        assert server.call("DELETE", f"/api/v1/queue/{runs}").status == 409
        assert project.zf("queue", "cancel", runs).code == 1
        assert server.post("/queue/nothing/cancel").status == 404


def test_what_is_paused_waits_and_goes_on_once_it_is_not(project):
    assert project.zf("pause", "all").code == 0
    with Server(project) as server:
        item = enqueued(server, phases=["E"])
        seen = server.get("/queue").json["kept"]["queue"]["runs"]
        eventually(lambda: server.get("/queue").json["kept"]["queue"]["runs"] > seen + 1)
        assert server.get(f"/queue/{item}").json["state"] == "queued"
        assert server.post("/switches", {"switch": "all", "paused": False}).status == 403
        named = {"switch": "all", "paused": False}
        answer = server.post("/switches", named, role="admin")
        assert [one["paused"] for one in answer.json["switches"]] == [False] * 6
        assert over(server, item)["state"] == "done"
    assert project.zf("pause", "everything").code == 2


def test_a_dead_run_is_resumed_once_and_then_lost(project):
    with Server(project) as server:
        item = enqueued(server, phases=["W"])
        row = server.get(f"/queue/{item}").json
        eventually((project.root / "begun").exists)
        (project.root / "begun").unlink()
        killed(project, row["run"])
        eventually((project.root / "begun").exists)  # resumed
        assert server.get(f"/queue/{item}").json["resumes"] == 1
        killed(project, row["run"])
        row = over(server, item)
        assert row["state"] == "lost"
    assert terminal(project)[item] == ["item_lost"]


def test_a_run_outlives_the_server_and_is_closed_from_its_proof(project):
    server = Server(project)
    server.start()
    item = enqueued(server, phases=["W"])
    eventually((project.root / "begun").exists)
    server.kill()
    (project.root / "go").touch()
    run = project.root / "proofs" / f"queue-{item}"
    eventually((run / "MANIFEST.sha256").exists)
    with server as again:
        row = over(again, item)
        assert (row["state"], row["why"], row["resumes"]) == ("done", "passed", 0)
    assert terminal(project)[item] == ["item_done"]


def test_metrics_are_numbers_that_prometheus_reads(project):
    with Server(project) as server:
        over(server, enqueued(server, phases=["E"]))
        answer = server.call("GET", "/metrics", role="viewer")
        assert answer.status == 200
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }
        assert found["zf_runs_total", "passed"] == 1
        assert found["zf_queue_ended_total", "done"] == 1
        assert found["zf_queue_queued_total", "api"] == 1
        assert found["zf_queue_items", "queued"] == 0
        assert found[("zf_queue_ready",)] == 1
        assert found["zf_switch_off", "reaper"] == 0
        assert server.call("GET", "/metrics", role=None).status == 401
    with server:  # counters are made of what is on the disk
        again = server.call("GET", "/metrics", role="viewer").body.decode()
        assert 'zf_queue_ended_total{end="done"} 1.0' in again
    assert (project.root / ".zenflow/server/queue.lock").read_text() == ""
