"""What becomes of requests where the server itself is in trouble: its files, its disk, its end."""

import json
import resource
import socket
import time

import pytest

from tests.support.served import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("troubles")

FILE = "tasks: {good: {phase: E, run: 'true'}}\n"


@pytest.fixture
def server(project):
    (project.root / "zf.yaml").write_text(FILE)
    with Server(project) as made:
        yield made
    project.end_all()


def test_tokens_that_cannot_be_read_let_nothing_in(server):
    server.token()
    tokens = server.project.root / ".zenflow/server/tokens.json"
    good = tokens.read_bytes()
    tokens.write_bytes(b"{")
    answer = server.get("/runs")
    assert (answer.status, answer.json["code"]) == (503, "ZF804"), answer
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert server.get("/health", role=None).status == 200
    tokens.write_bytes(good)
    assert server.get("/runs").status == 200
    server.stop()
    assert "Traceback" not in server.said


def test_an_audit_that_cannot_be_written_changes_no_answer(server):
    server.token()
    audit = server.project.root / ".zenflow/server/audit.jsonl"
    audit.unlink(missing_ok=True)
    audit.mkdir()
    wrong = {"Authorization": "Bearer x"}
    assert server.get("/runs", role=None, headers=wrong).status == 401
    answer = server.post("/runs", {"phases": ["E"]})
    assert answer.status == 202, answer
    audit.rmdir()
    server.ended(answer.json["run"])
    server.stop()
    assert "the audit cannot be written" in server.said
    assert "Traceback" not in server.said


def test_what_the_disk_refuses_starts_nothing_and_is_said(server):
    keys = server.project.root / ".zenflow/server/keys"
    keys.rmdir()
    keys.touch()
    answer = server.post("/runs", {"phases": ["E"]}, headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.json["code"]) == (503, "ZF818"), answer
    assert str(server.project.root) not in answer.body.decode()
    assert server.get("/runs").json["runs"] == []


def test_bodies_that_do_not_come_hold_up_no_end(server):
    """Anything may begin to send one, without any token; what looks on reads no log."""
    run = json.dumps({"phases": ["E"]}).encode()
    head = f"Host: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    token = f"Authorization: Bearer {server.token()}\r\n"
    opened = []
    for path, who in (("/hooks/none", ""), ("/api/v1/runs", token), ("/session", "")) * 20:
        one = socket.create_connection(("127.0.0.1", server.port))
        sent = f"POST {path} HTTP/1.1\r\n{head}{who}Content-Length: {len(run)}\r\n\r\n"
        one.sendall(sent.encode() + run[:3])
        opened.append(one)
    assert server.get("/health", role=None).status == 200
    begun = time.monotonic()
    assert server.stop() == 0
    # Generous for a machine under load; without an end of theirs it is for ever.
    assert time.monotonic() - begun < 30
    assert "Traceback" not in server.said
    for one in opened:
        one.close()


def test_a_stream_with_a_body_that_is_too_large_ends_without_a_trace(server):
    run = server.run(phases=["E"])
    server.ended(run)
    with socket.create_connection(("127.0.0.1", server.port), 10) as one:
        head = (
            f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Connection: close\r\n"
            f"Authorization: Bearer {server.token()}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            one.sendall(head.encode() + piece * 20 + b"0\r\n\r\n")
            while one.recv(65536):
                pass
        except OSError:
            pass
    assert server.get("/health", role=None).status == 200
    server.stop()
    assert "Traceback" not in server.said


def test_a_queue_that_cannot_be_written_is_not_ready_until_it_can(server):
    first = server.post("/queue", {"phases": ["E"]}).json["item"]
    eventually(lambda: server.get(f"/queue/{first}").json["state"] == "done")
    # As a full disk does: no file may grow.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    answer = server.post("/queue", {"phases": ["E"]})
    assert (answer.status, answer.json["code"]) == (503, "ZF818"), answer
    assert server.post("/queue", {"phases": ["E"]}).json["code"] == "ZF845"
    answer = server.get("/ready", role=None)
    assert (answer.status, answer.json["waits_for"]) == (503, ["queue"])
    assert server.get("/queue").status == 200
    # The disk has room again.
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, no_limit)
    eventually(lambda: server.get("/ready", role=None).status == 200)
    last = server.post("/queue", {"phases": ["E"]}).json["item"]
    eventually(lambda: server.get(f"/queue/{last}").json["state"] == "done")
    listed = [one["item"] for one in server.get("/queue").json["items"]]
    assert listed == [last, first], "what was refused was not taken"
    server.stop()
    with server:  # and the file is a whole one
        again = [one["item"] for one in server.get("/queue").json["items"]]
    assert again == listed
