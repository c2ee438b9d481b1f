"""Events of a run as a client sees them: each once, in order, and the end always."""

import fcntl
import json
import os
import shutil
import signal
import socket
import time
from contextlib import contextmanager, suppress
from hashlib import sha256

import pytest

from tests.support.program import Project
from tests.support.served import Server, parsed

pytestmark = pytest.mark.xdist_group("events")

PROJECT = """\
tasks:
  quick: {phase: W, run: "true"}
  waits: {needs: [quick], phase: W, run: "until [ -e go ]; do sleep 0.05; done"}
  also: {phase: W, run: "true"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("events") / "project"
    project = Project(root)
    (root / "zf.yaml").write_text(PROJECT)
    with Server(project) as one:
        yield one
    project.end_all()


def journal(server, run):
    lines = (server.project.root / "proofs" / run / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_is_followed_to_its_end_and_told_again(server):
    run = server.run(tasks=["waits"])
    stream = server.events(run)
    seen = [next(stream)]
    while json.loads(seen[-1]["data"])["type"] != "attempt_started":
        seen.append(next(stream))
    server.project.root.joinpath("go").touch()
    seen += stream
    assert seen[-1]["event"] == "end"
    lines = [json.loads(one["data"]) for one in seen[:-1]]
    assert lines == journal(server, run)
    assert [int(one["id"]) for one in seen[:-1]] == [*range(len(lines))]
    # One that comes late gets the same; one that comes back, the rest; one that has it all, the end.
    assert [*server.events(run)] == seen
    assert [*server.events(run, **{"Last-Event-ID": "2"})] == seen[3:]
    assert [*server.events(run, **{"Last-Event-ID": str(len(lines) - 1)})] == seen[-1:]
    server.project.root.joinpath("go").unlink()


def test_the_stream_of_a_run_that_was_killed_ends(server):
    run = server.run(tasks=["waits"])
    stream = server.events(run)
    next(stream)
    lock = server.project.root / "proofs/.locks" / f"{run}.lock"
    os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
    last = [*stream][-1]
    assert last["event"] == "end"
    assert json.loads(last["data"])["dead"]


def test_what_is_no_event_is_refused(server):
    run = server.ended(server.run(tasks=["quick"]))["run"]
    answer = server.get(f"/runs/{run}/events", headers={"Last-Event-ID": "x"})
    assert answer.status == 422
    assert server.get("/runs/none/events").status == 404
    beyond = [*server.events(run, **{"Last-Event-ID": "99999"})]
    assert [one["event"] for one in beyond] == ["end"]


def test_the_server_may_be_killed_and_the_run_goes_on(server):
    run = server.run(tasks=["waits"])
    stream = server.events(run)
    seen = [next(stream), next(stream)]
    server.kill()
    with suppress(OSError):  # the connection is closed, or reset
        seen += stream
    server.project.root.joinpath("go").touch()
    server.start(server.port)
    last = seen[-1]["id"]
    seen += server.events(run, **{"Last-Event-ID": last})
    assert seen[-1]["event"] == "end"
    assert [json.loads(one["data"]) for one in seen[:-1]] == journal(server, run)
    assert server.ended(run)["result"] == "passed"
    server.project.root.joinpath("go").unlink()


def test_ctrl_c_ends_the_server_at_once_while_streams_are_open(server):
    run = server.run(tasks=["waits"])
    streams = [server.events(run) for _ in range(5)]
    for stream in streams:
        next(stream)
    assert server.stop() == 0
    for stream in streams:
        assert all(one.get("event") != "end" for one in stream)
    server.start(server.port)
    server.post(f"/runs/{run}/cancel")
    assert server.ended(run)["result"] == "interrupted"


def test_several_runs_are_followed_in_one_stream(server):
    runs = [server.ended(server.run(tasks=["quick"]))["run"] for _ in range(2)]
    query = "&".join(f"run={run}" for run in runs)

    def stream(**headers):
        answer = server.get(f"/events?{query}", headers=headers)
        return [*parsed(line + b"\n" for line in answer.body.split(b"\n"))]

    seen = stream()
    ends = [json.loads(one["data"])["run"] for one in seen if one.get("event") == "end"]
    assert sorted(ends) == sorted(runs)
    lines = [one for one in seen if "event" not in one]
    for run in runs:
        told = [json.loads(one["data"]) for one in lines]
        assert [line for line in told if line["run"] == run] == journal(server, run)
    half = len(lines) // 2
    rest = [one for one in stream(**{"Last-Event-ID": lines[half]["id"]}) if "event" not in one]
    assert rest == lines[half + 1 :]
    assert server.get("/events").status == 422


def test_a_client_that_reads_nothing_is_dropped_and_slows_nothing(server):
    run = "slow"
    folder = server.project.root / "proofs" / run
    shutil.copytree(server.project.root / "proofs" / a_run(server), folder)
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0])
    head = sha256(whole[0][:-1]).hexdigest()
    sleepers = [reader(server, run) for _ in range(3)]
    # A zf is at work on it, as far as the server can tell.
    with locked(server.project.root, run), path.open("ab") as file:
        stream = server.events(run)
        next(stream)
        before = json.loads(whole[0])
        for number in range(1, 500):
            event = {"task": "x" * 20_000, "type": "lease_taken", "concurrency": "g", "waited_s": 0}
            said = {"seq": number, "prev": head, "wall": before["wall"], "mono": 1.0, "run": run}
            line = json.dumps({**said, **event}).encode()
            head = sha256(line).hexdigest()
            file.write(line + b"\n")
            if number % 20 == 0:
                file.flush()
                # One that reads sees each of them, whatever the others do.
                seen = [int(next(stream)["id"]) for _ in range(20)]
                assert seen == [*range(number - 19, number + 1)]
        for sleeper in sleepers:
            assert is_gone(sleeper)
    last = [*stream][-1]
    assert last["event"] == "end"
    shutil.rmtree(folder)


def a_run(server):
    return server.ended(server.run(tasks=["quick"]))["run"]


def reader(server, run):
    """A client that asks for the events of a run and reads none, with little room for them."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect(("127.0.0.1", server.port))
    opened.sendall(
        f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token()}\r\n\r\n".encode()
    )
    opened.recv(16)
    return opened


def is_gone(sleeper):
    """Whether the connection ends, behind what the system held for it."""
    until = time.monotonic() + 60
    sleeper.settimeout(60)
    with sleeper, suppress(ConnectionResetError):
        while time.monotonic() < until:
            if not sleeper.recv(1 << 20):
                return True
        return False
    return True


@contextmanager
def locked(root, run):
    """The lock of a run, as its runner has it."""
    path = root / "proofs/.locks" / f"{run}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"pid {os.getpid()} on {os.uname().nodename}\n")
        file.flush()
        yield
