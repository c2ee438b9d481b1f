"""A task that waits is approved through the server, by a token whose role allows it."""

import json
import os
import signal
import time

import pytest

from tests.support.served import Server
from tests.support.waiting import eventually

FILE = """
tasks:
  deploy: {phase: E, approval: {by: [approver]}, run: "echo deployed"}
"""


def waits(server, run):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = [one for one in server.get("/approvals").json["approvals"] if one["run"] == run]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(server.get(f"/runs/{run}"))


@pytest.mark.parametrize(("verb", "state"), [("approve", "success"), ("reject", "blocked")])
def test_a_task_that_waits_is_answered(project, verb, state):
    (project.root / "zf.yaml").write_text(FILE)
    made = project.zf("token", "create", "approver", "--role", "approver")
    with Server(project, approver=made.out.strip()) as server:
        run = server.run(phases=["E"])
        asked = waits(server, run)
        assert asked["task"] == "deploy"
        assert len(asked["sha256"]) == 64
        path = f"/runs/{run}/tasks/deploy/{verb}"
        assert server.post(path, {}).status == 403
        answer = server.post(path, {"comment": "seen"}, role="approver")
        assert answer.status == 200, answer
        found = server.ended(run)
        assert found["tasks"][0]["status"] == state
        lines = project.proof(run, "events.jsonl").read_text()
        [said] = [
            line
            for line in map(json.loads, lines.splitlines())
            if line["type"] in {"approval_given", "approval_refused"}
        ]
        assert said["approver"] == "approver"
        assert project.zf("verify", run).code == 0
    project.end_all()


def test_an_item_of_the_queue_goes_on_once_its_run_is_approved(project):
    """Of a run that was left to be resumed while no server ran."""
    (project.root / "zf.yaml").write_text(FILE)
    tokens = {
        role: project.zf("token", "create", role, "--role", role).out.strip()
        for role in ("operator", "approver")
    }
    item = json.loads(project.zf("enqueue", "E", "--json").out)["item"]
    with Server(project, **tokens) as server:
        run = f"queue-{item}"
        waits(server, run)
        server.kill()
    lock = project.root / "proofs/.locks" / f"{run}.lock"
    os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
    left = project.zf("resume", run, "--on-approval", "exit")
    assert left.code == 6, left
    with Server(project, **tokens) as server:
        waits(server, run)
        answer = server.post(f"/runs/{run}/tasks/deploy/approve", {}, role="approver")
        assert (answer.status, answer.json["state"]) == (200, "kept"), answer
        row = eventually(
            lambda: server.get(f"/queue/{item}").json, of=lambda row: row["state"] != "claimed"
        )
        assert (row["state"], row["why"]) == ("done", "passed"), row
    project.end_all()
