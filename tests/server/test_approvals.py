"""A task that waits is approved through the server, by a token whose role allows it."""

import json
import time

import pytest

from tests.support.served import Server

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
