"""What is sent to a route that changes something means one thing, or is refused."""

import json
import socket

import pytest

pytestmark = pytest.mark.xdist_group("served")

RUNS = "/api/v1/runs"


@pytest.mark.parametrize("path", [RUNS, "/api/v1/queue"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"phases": ["E"], "phases": ["F"]}',
        b'{"phases": ["E"], "inputs": {"word": NaN}}',
        b'{"phases": ["E"], "inputs": {"word": 1e999}}',
        b'{"phases": ["\\ud800"]}',
        b'{"phases": ["E"], "inputs": {"\\ud800": "x"}}',
        '{"phases": ["E"]}'.encode("utf-16"),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"phases": ["E"], "inputs": {"level": ' + b"9" * 5000 + b"}}",
    ],
    ids=lambda body: body[:30].decode("latin-1") if isinstance(body, bytes) else None,
)
def test_a_body_that_could_mean_two_things_or_none_starts_nothing(shared, path, body):
    headers = {"Content-Type": "application/json"}
    before = len(shared.get("/runs?limit=500").json["runs"])
    answer = shared.call("POST", path, data=body, headers=headers)
    assert (answer.status, answer.json["code"]) == (422, "ZF805"), answer
    assert len(shared.get("/runs?limit=500").json["runs"]) == before


@pytest.mark.parametrize("wrong", [{"priority": True}, {"priority": "5"}, {"limit": 1.5}])
def test_a_number_of_an_item_is_a_number(shared, wrong):
    answer = shared.post("/queue", {"phases": ["E"], **wrong})
    assert (answer.status, answer.json["code"]) == (422, "ZF805"), answer


def test_a_body_in_pieces_is_one(shared):
    """Whatever a client cuts it into, a mebibyte is the most."""

    def sent(*pieces):
        with socket.create_connection(("127.0.0.1", shared.port)) as connection:
            head = (
                f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\n"
                f"Authorization: Bearer {shared.token()}\r\nConnection: close\r\n"
                "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            connection.sendall(head.encode())
            for piece in (*pieces, b""):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            return connection.makefile("rb").read()

    body = json.dumps({"phases": ["none"]}).encode()
    assert b"unknown phase" in sent(body[:7], body[7:])
    too_large = sent(*[b" " * 262_144] * 4, b" ")
    assert too_large.startswith(b"HTTP/1.1 413 ")
