"""Events of a run as a client sees them: each once, in order, and the end always."""

import json
import os
import signal
from contextlib import suppress

import pytest

from tests.support.program import Project
from tests.support.served import Server

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
