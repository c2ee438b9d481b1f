"""Runs as programs see them: the list, one of them, and starting, ending and repeating them."""

import json
import os
import signal
import time
from hashlib import sha256

import pytest

from tests.support.served import Server

pytestmark = pytest.mark.xdist_group("served")


def test_it_answers_and_is_ready(shared):
    assert shared.get("/health", role=None).json["status"] == "ok"
    assert shared.get("/ready", role=None).json == {"ready": True, "waits_for": []}
    assert shared.get("/openapi.json", role="viewer").json["openapi"].startswith("3.1")


def test_the_list_is_newest_first_in_pages_and_filtered(shared):
    page = shared.get("/runs").json
    names = [row["run"] for row in page["runs"]]
    assert names.index("badly") < names.index("well")
    [row] = [row for row in page["runs"] if row["run"] == "badly"]
    assert row["result"] == "failed"
    assert row["sealed"]
    assert row["causes"] == [["broken", "failure"]]

    def found(query):
        return [row["run"] for row in shared.get(f"/runs?{query}").json["runs"]]

    assert "well" in found("result=passed")
    assert "badly" not in found("result=passed")
    assert found("phase=F&text=badly") == ["badly"]
    assert found("since=2999-01-01") == []
    assert found("branch=none") == [] == found("commit=abcdef")
    seen, cursor = [], ""
    while cursor is not None:
        page = shared.get(f"/runs?limit=1&cursor={cursor}").json
        seen += [row["run"] for row in page["runs"]]
        cursor = page["next"]
    assert seen == names or set(names) <= set(seen)
    assert shared.get("/runs?cursor=x").status == 422
    assert shared.get("/runs?since=yesterday").json["code"] == "ZF805"
    refused = shared.get("/runs?result=cancelled")
    assert (refused.status, "'interrupted'" in refused.json["detail"]) == (422, True)


def test_one_run_has_facts_and_causes(shared):
    found = shared.get("/runs/badly").json
    assert found["result"] == "failed"
    assert found["exit_code"] == 1
    assert {task["id"]: task["status"] for task in found["tasks"]} == {
        "broken": "failure",
        "held": "blocked",
    }
    [cause] = found["report"]["causes"]
    assert cause["task"] == "broken"
    assert cause["log_tail"][-1] == "the reason"
    assert found["next"] == ["zf rerun badly --failed"]
    one = shared.get("/runs/badly/tasks/broken").json
    assert one["logs"]["1"][0]["name"] == "step-0"
    assert shared.get("/runs/none").status == 404
    assert shared.get("/runs/badly/tasks/none").json["code"] == "ZF130"


def test_a_run_that_is_over_is_not_sent_again_to_who_has_it(shared):
    tag = shared.get("/runs/badly").headers["ETag"]
    known = shared.get("/runs/badly", headers={"If-None-Match": tag})
    assert (known.status, known.body) == (304, b"")
    assert shared.get("/runs/well", headers={"If-None-Match": tag}).json["result"] == "passed"
    short = shared.get("/runs/badly?tasks=false", headers={"If-None-Match": tag})
    assert (short.status, short.json["result"], "tasks" in short.json) == (200, "failed", False)


def test_a_run_is_started_with_inputs_and_says_who_asked(shared):
    answer = shared.post("/runs", {"phases": ["E"], "inputs": {"word": "hi there", "level": 3}})
    assert answer.status == 202
    run = answer.json["run"]
    assert answer.headers["Location"] == f"/api/v1/runs/{run}"
    found = shared.ended(run)
    assert found["result"] == "passed"
    assert found["inputs"] == {"word": "hi there", "level": "3"}
    asked = {"by": "operator", "via": "api", "address": "127.0.0.1"}
    assert found["trigger"] == asked
    proof = shared.project.root / "proofs" / run
    about = json.loads((proof / "run.json").read_text())
    assert about["trigger"] == asked
    assert answer.json["plan_sha256"] == sha256((proof / "plan.json").read_bytes()).hexdigest()
    assert "hi there 3" in (proof / "good/20-logs/step-0.log").read_text()
    assert shared.project.zf("verify", run).code == 0


def test_tasks_are_started_with_what_they_need(shared):
    found = shared.ended(shared.run(tasks=["after"]))
    assert [task["id"] for task in found["tasks"]] == ["good", "after"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "ZF827"),
        ({"phases": ["E"], "tasks": ["good"]}, "ZF827"),
        ({"phases": ["none"]}, "ZF102"),
        ({"tasks": ["none"]}, "ZF112"),
        ({"phases": ["E"], "inputs": {"none": 1}}, "ZF270"),
        ({"phases": ["E"], "inputs": {"level": "many"}}, "ZF271"),
        ({"phases": ["E"], "inputs": {"word": {"a": 1}}}, "ZF828"),
        ({"phases": ["E"], "yaml": "tasks: {}"}, "ZF805"),
        ({"phases": "E"}, "ZF805"),
        ({"phases": ["--help"]}, "ZF102"),
    ],
)
def test_what_cannot_be_started_is_refused_and_starts_nothing(shared, body, code):
    before = len(os.listdir(shared.project.root / "proofs"))
    answer = shared.post("/runs", body)
    assert answer.status in {404, 422}, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == code, answer
    assert len(os.listdir(shared.project.root / "proofs")) == before


def test_the_same_key_starts_one_run(shared):
    body, key = {"phases": ["E"]}, {"Idempotency-Key": "once"}
    first = shared.post("/runs", body, headers=key)
    again = shared.post("/runs", body, headers=key)
    assert first.json["run"] == again.json["run"]
    assert again.status == 202
    other = shared.post("/runs", {"phases": ["F"]}, headers=key)
    assert other.json["code"] == "ZF829"
    # Another caller's key is another key.
    admin = shared.post("/runs", body, headers=key, role="admin")
    assert admin.json["run"] != first.json["run"]


def test_a_plan_that_has_changed_is_refused(shared):
    seen = shared.get("/definitions").headers["ETag"]
    plan = shared.get("/plan?phase=E")
    assert plan.headers["ETag"] == f'"{plan.json["plan_sha256"]}"'
    told = shared.post("/runs", {"phases": ["E"]}).json["plan_sha256"]
    file = shared.project.root / "zf.yaml"
    before = file.read_text()
    try:
        for tag in (seen, plan.headers["ETag"], told, "*"):
            answer = shared.post("/runs", {"phases": ["E"]}, headers={"If-Match": tag})
            assert answer.status == 202, (tag, answer)
        file.write_text(before.replace("echo done", "echo changed"))
        for tag in (seen, plan.headers["ETag"], told):
            answer = shared.post("/runs", {"phases": ["E"]}, headers={"If-Match": tag})
            assert answer.status == 412, (tag, answer)
            assert answer.json["code"] == "ZF816"
    finally:
        file.write_text(before)
    known = shared.get("/definitions", headers={"If-None-Match": seen})
    assert (known.status, known.body) == (304, b"")


def test_a_run_and_a_task_are_cancelled_by_name(shared):
    run = shared.run(phases=["W"])
    answer = shared.post(f"/runs/{run}/tasks/waits/cancel")
    assert answer.status == 202, answer
    found = shared.ended(run)
    assert found["tasks"][0]["status"] == "cancelled"
    [said] = [e for e in events_of(shared, run) if e["type"] == "cancel_requested"]
    assert said["asked_by"] == {"by": "operator", "via": "api", "address": "127.0.0.1"}
    assert said["task"] == "waits"
    run = shared.run(phases=["W"])
    assert shared.post(f"/runs/{run}/cancel", {}).status == 202
    assert shared.ended(run)["result"] == "interrupted"
    [said] = [e for e in events_of(shared, run) if e["type"] == "cancel_requested"]
    assert said["task"] is None
    assert said["asked_by"]["by"] == "operator"
    assert shared.post(f"/runs/{run}/cancel").json["code"] == "ZF144"
    assert shared.project.zf("verify", run).code == 0


def events_of(server, run):
    lines = (server.project.root / "proofs" / run / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_failed_part_is_run_again(shared):
    answer = shared.post("/runs/badly/rerun", {"failed": True})
    assert answer.status == 202, answer
    found = shared.ended(answer.json["run"])
    assert found["rerun_of"] == "badly"
    for body in ({}, {"failed": True, "only": "x"}, {"downstream": True}, {"what": 1}):
        assert shared.post("/runs/badly/rerun", body).status == 422, body
    again = shared.post("/runs/badly/rerun", {"from": "broken", "downstream": True})
    assert [t["id"] for t in shared.ended(again.json["run"])["tasks"]] == ["broken", "held"]
    refused = shared.post("/runs/badly/rerun", {"only": "none("})
    assert refused.status == 409
    assert refused.json["code"] != "ZF826", refused


def test_a_run_whose_zf_was_killed_is_resumed_or_sealed(shared):
    go = shared.project.root / "go"
    for verb in ("resume", "seal"):
        run = shared.run(phases=["W"])
        lock = shared.project.root / "proofs/.locks" / f"{run}.lock"
        os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
        until = time.monotonic() + 60
        while shared.get(f"/runs/{run}").json["alive"] and time.monotonic() < until:
            time.sleep(0.05)
        go.touch()
        answer = shared.post(f"/runs/{run}/{verb}")
        assert answer.status in {200, 202}, answer
        if verb == "resume":
            assert shared.ended(run)["result"] == "passed"
            [said] = [e for e in events_of(shared, run) if e["type"] == "run_resumed"]
            assert said["asked_by"]["by"] == "operator"
        else:
            assert shared.get(f"/runs/{run}").json["sealed"]
        go.unlink()
        assert shared.post(f"/runs/{run}/{verb}").status == 409


def test_a_search_from_behind_the_end_of_a_log_finds_nothing(shared):
    path = "/runs/badly/tasks/broken/logs/step-0/search"
    found = shared.get(f"{path}?text=line&cursor=999999999999999.999999999999999")
    assert found.status == 200, found
    assert found.json == {"lines": [], "next": None}


def test_a_cancel_that_is_sent_again_is_the_same_one(project):
    """A second one ends at once what the first one has given time."""
    stays = "trap '' TERM; echo up; until [ -e go ]; do sleep 0.05; done"
    (project.root / "zf.yaml").write_text(f'tasks: {{stays: {{phase: E, run: "{stays}"}}}}\n')
    with Server(project) as server:
        run = server.run(phases=["E"])
        log = project.root / "proofs" / run / "stays/20-logs/step-0.log"
        until = time.monotonic() + 60
        while not (log.exists() and log.read_text()):
            assert time.monotonic() < until
            time.sleep(0.05)
        key = {"Idempotency-Key": "once"}
        first = server.post(f"/runs/{run}/cancel", headers=key)
        again = server.post(f"/runs/{run}/cancel", headers=key)
        assert (first.status, again.status) == (202, 202)
        assert again.headers["Idempotent-Replayed"] == "true"
        (project.root / "go").touch()
        server.ended(run)
        assert [e["type"] for e in events_of(server, run)].count("cancel_requested") == 1
    project.end_all()


@pytest.mark.parametrize("text", ["a\0b", "x" * 200_000], ids=["NUL", "long"])
def test_what_no_command_line_can_hold_is_refused(shared, text):
    for path, body in (
        ("/runs/badly/rerun", {"from": text}),
        ("/runs/badly/rerun", {"only": text}),
        ("/runs", {"phases": ["E"], "inputs": {"word": text}}),
    ):
        assert shared.post(path, body).status == 422, (path, [*body])
