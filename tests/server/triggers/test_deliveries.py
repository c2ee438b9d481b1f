"""Deliveries to the webhooks of a real server, and sources of truth that it asks."""

from __future__ import annotations

import hmac
import json
import subprocess
from hashlib import sha256

import pytest

from tests.support.program import Project
from tests.support.served import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("deliveries")
SECRET = "open sesame"
ZF = """\
inputs: {commit: {default: ""}, key: {default: ""}}
tasks:
  good: {phase: E, run: "echo $INPUT_COMMIT$INPUT_KEY >> ran; ls -l proofs/$RUN_ID/trigger-payload || :"}
webhooks:
  push:
    verify: github
    secret_env: HOOK
    if: payload.ref == 'refs/heads/main' && header.x-github-event == 'push'
    phases: [E]
    inputs: {commit: {from: payload.head.id}}
  any: {verify: bearer, secret_env: HOOK, phases: [E]}
  bare: {verify: gitlab, secret_env: NOT_SET, phases: [E]}
reconcile:
  keys: {every_min: 0.001, command: "cat keys", phases: [E], input: key}
"""
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("hooks") / "project")
    (project.root / "zf.yaml").write_text(ZF)
    (project.root / "keys").touch()
    project.env["HOOK"] = SECRET
    with Server(project) as made:
        eventually(lambda: made.get("/ready").status == 200)
        yield made
    project.end_all()


def push(server: Server, delivery: str, payload: object, **headers: str):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signature = hmac.new(SECRET.encode(), body, sha256).hexdigest()
    sent = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature}",
        **headers,
    }
    return server.call("POST", "/hooks/push", role=None, data=body, headers=sent)


def main(commit: str) -> dict:
    return {"ref": "refs/heads/main", "head": {"id": commit}}


def done(server: Server, item: str) -> dict:
    return eventually(
        lambda: (row := server.get(f"/queue/{item}").json)["state"] == "done" and row,
    )


def test_a_delivery_is_an_item_whose_run_says_where_it_comes_from(server):
    answer = push(server, "first", main("abc123"))
    assert answer.status == 202, answer
    row = done(server, answer.json["item"])
    assert row["inputs"] == {"commit": "abc123"}
    proof = server.project.root / "proofs" / row["run"]
    about = json.loads((proof / "run.json").read_text())["trigger"]
    body = json.dumps(main("abc123")).encode()
    assert about | {"address": "", "item": ""} == {
        "via": "webhook",
        "address": "",
        "name": "push",
        "delivery": "first",
        "payload_sha256": sha256(body).hexdigest(),
        "item": "",
    }
    assert (proof / "trigger-payload").read_bytes() == body
    listed = subprocess.run(
        ["sha256sum", "-c", "--strict", "MANIFEST.sha256"],
        cwd=proof,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "trigger-payload: OK" in listed.stdout
    verified = server.project.zf("verify", row["run"])
    assert verified.code == 0, verified
    # The task could read it.
    assert b"proofs/" in server.project.log(row["run"], "good")
    (proof / "trigger-payload").chmod(0o644)
    (proof / "trigger-payload").write_bytes(body.replace(b"abc", b"xyz"))
    changed = server.project.zf("verify", row["run"])
    assert (changed.code != 0, "trigger-payload" in changed.out + changed.err) == (True, True)


def test_a_delivery_that_comes_again_starts_nothing_and_another_with_its_body_does(server):
    first = push(server, "one", main("same"))
    again = push(server, "one", main("other"))
    assert again.status == 202
    assert (again.json["item"], again.json["why"]) == (
        first.json["item"],
        "it was delivered before",
    )
    other = push(server, "two", main("same"))
    assert other.json["item"] not in {first.json["item"], None}


@pytest.mark.parametrize(
    ("payload", "headers", "why"),
    [
        ({"ref": "refs/heads/other", "head": {"id": "a"}}, {}, "condition is false"),
        ({"head": {"id": "a"}}, {}, "cannot be evaluated"),
        (main("a") | {"ref": 5}, {}, "cannot be evaluated"),
        ({"ref": "refs/heads/main"}, {}, "it has no payload.head.id"),
        (b"no json", {}, "cannot be evaluated"),
        (main("a"), {"X-GitHub-Event": "ping"}, "a ping"),
    ],
)
def test_what_a_condition_does_not_take_is_a_line_and_no_item(server, payload, headers, why):
    delivery = f"ignored-{why}-{payload!r}"[:150].replace("\n", "")
    answer = push(server, delivery, payload, **headers)
    assert (answer.status, answer.json["item"]) == (202, None), answer
    assert why in answer.json["why"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/hooks/push", {"X-Hub-Signature-256": "sha256=" + 64 * "0"}, 401),
        ("/hooks/push", {"X-GitHub-Delivery": "d"}, 401),
        ("/hooks/any", {"Authorization": "Bearer wrong"}, 401),
        ("/hooks/any", {"Authorization": f"Bearer {SECRET}"}, 400),
        ("/hooks/any", {"Authorization": f"Bearer {SECRET}", "Idempotency-Key": "k"}, 202),
        ("/hooks/bare", {"X-Gitlab-Token": "", "Idempotency-Key": "k"}, 503),
        ("/hooks/none", {}, 404),
    ],
)
def test_what_is_not_genuine_is_refused(server, path, headers, status):
    sent = {"Content-Type": "text/plain", **headers}
    answer = server.call("POST", path, role=None, data=b"{}", headers=sent)
    assert answer.status == status, answer


def test_a_condition_sees_no_secret_of_the_delivery(server):
    listed = server.get("/webhooks").json["webhooks"]
    assert [one["has_secret"] for one in listed] == [True, True, False]
    assert SECRET not in json.dumps(listed)
    text = (server.project.root / ".zenflow/server/queue.jsonl").read_text()
    assert SECRET not in text


def test_what_a_source_of_truth_names_runs_once(server):
    (server.project.root / "keys").write_text("k1\nk2\nk1\n")
    found = eventually(
        lambda: (
            len(rows := [r for r in server.get("/queue").json["items"] if r["key"]]) == 2 and rows
        )
    )
    for row in found:
        assert done(server, row["item"])["source"]["name"] == "keys"
    asked = server.get("/reconcile").json["reconcile"][0]
    assert (asked["keys"], asked["error"]) == (2, None)
    text = (server.project.root / "ran").read_text()
    assert [text.count(f"{key}\n") for key in ("k1", "k2")] == [1, 1]
    (server.project.root / "keys").unlink()
    eventually(
        lambda: "exit code 1" in (server.get("/reconcile").json["reconcile"][0]["error"] or "")
    )


@pytest.mark.parametrize(
    "commit", ["a\0b", "\ud800", "x" * 400_000], ids=["NUL", "half a pair", "too long"]
)
def test_a_delivery_of_what_no_run_would_take_starts_nothing_and_stops_nothing(server, commit):
    answer = push(server, f"unfit {commit[:3]!r}", main(commit))
    assert answer.status == 202, answer
    assert answer.json["state"] == "ignored"
    assert "commit" in answer.json["why"] or "payload" in answer.json["why"]
    after = push(server, f"after {commit[:3]!r}", main("fit"))
    done(server, after.json["item"])
