"""Agents on another host, which a real ssh reaches over a link of its own: what breaks, where and
when, and that each attempt has one end all the same.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import yaml

from tests.support import network, sshd
from tests.support.far import AGENT, LIAR, RELAY, left, of_type, parent, pids, said, verified
from tests.support.ports import free_port
from tests.support.waiting import eventually, printed

pytestmark = pytest.mark.xdist_group("network")

LEASE_S = 2
OLD = "import sys, os, zf; zf.__version__ = '0.0.1'; from zf.work.agent import agent; "
OLD = [*AGENT[:1], "-c", f"{OLD}sys.exit(agent.serve(os.environ))", "zf", "agent"]


@pytest.fixture(scope="module")
def host():
    if reason := network.why_not() or sshd.why_not():
        pytest.skip(f"no other host here: {reason}")
    host = network.Host()
    yield host
    host.close()


@pytest.fixture
def far(project, host, tmp_path):
    """A project whose executor `far` is on that host. Nothing of it is left after the test."""
    server = sshd.Sshd(tmp_path / "sshd", host.address, host.within)
    project.server, project.host = server, host
    project.cache = tmp_path / "far"

    def declare(*agent, lease_sec=LEASE_S):
        words = ("env", f"XDG_CACHE_HOME={project.cache}", f"MARK={project.mark}", *agent)
        entry = {"start": server.start(*map(shlex.quote, words)), "lease_sec": lease_sec}
        (project.root / "zf.yaml").write_text(yaml.safe_dump({"executors": {"far": entry}}))

    project.declare = declare
    declare(*AGENT)
    yield project
    host.join()
    server.close()


class Round:
    """One run of two tasks, of which one goes on until `go` is there."""

    def __init__(self, project, name, random, **placed):
        self.project, self.name, self.random = project, name, random
        self.go = project.root.parent / f"{name}.go"
        project.declare(*AGENT)
        waits = f"echo up; until test -e {self.go}; do sleep 0.02; done"
        for task in ("t", "u"):
            script = waits if task == "t" else "echo said"
            project.task(task, script, parallel_safe=True, **placed)

    def start(self, *words):
        """Begin, and wait for the step, and then for a moment longer."""
        self.running = self.project.popen(
            *("run-phase", "A", "--run-id", self.name, "--keep-going", "--grace", "0.5", *words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        log = self.project.proof(self.name, "t", "20-logs", "step-0.log")
        eventually(lambda: b"up\n" in printed(log))
        time.sleep(0.2 * self.random.random())  # any moment is as good

    def agent(self):
        """The agent itself: its workers are below it."""
        mine = pids(self.project.mark)
        return next(pid for pid in mine if parent(pid) not in mine)

    def finish(self):
        assert self.running.wait(60) in {0, 1}

    def ends(self):
        """How each task came to its end; that each attempt has one, and that nothing is left."""
        events = self.project.events(self.name)
        begun, ended = (
            Counter((e["task"], e["attempt"]) for e in events if e["type"] == kind)
            for kind in ("attempt_started", "attempt_ended")
        )
        assert begun == ended
        assert set(ended.values()) == {1}
        verified(self.project, self.name)
        assert left(self.project) == []
        return {
            task: (status["status"], status.get("cause", ""))
            for task in ("t", "u")
            for status in (self.project.status(self.name, task),)
        }


WELL = ("success", "")


def agent_dies(one):
    one.start()
    os.kill(one.agent(), signal.SIGKILL)
    one.go.touch()
    one.finish()
    # ssh says no more of it than of a connection that failed.
    assert one.ends() == {"t": ("lost", "unreachable"), "u": WELL}


def client_dies(one):
    one.start()
    for child in (
        Path(f"/proc/{one.running.pid}/task/{one.running.pid}/children").read_text().split()
    ):
        if said(Path(f"/proc/{child}/cmdline")).startswith(b"ssh\0"):
            os.kill(int(child), signal.SIGKILL)
    one.finish()
    one.go.touch()
    assert one.ends() == {"t": ("lost", "worker"), "u": WELL}


def runner_dies(one):
    one.start()
    one.running.kill()
    one.running.wait()
    assert left(one.project) == []
    one.go.touch()
    assert one.project.zf("resume", one.name).code == 0
    assert one.ends() == {"t": WELL, "u": WELL}


def link_is_cut_for_good(one):
    one.start()
    one.project.host.cut()
    one.finish()
    ends = one.ends()  # nothing is left there, too, where nobody could say that it is to end
    one.project.host.join()
    assert ends["t"] == ("lost", "unreachable")
    assert ends["u"] in {WELL, ("lost", "unreachable")}


def link_is_cut_for_a_while(one, seconds=LEASE_S):
    """For half a lease: what was printed meanwhile and what came of it arrive later. (TCP sends it
    once more when it has waited twice as long as before.)
    """
    one.project.declare(*AGENT, lease_sec=seconds * 4)
    one.start()
    one.project.host.cut()
    one.go.touch()
    unheard(one, seconds + 1)  # it was heard shortly before
    one.project.host.join()
    one.finish()
    assert one.ends() == {"t": WELL, "u": WELL}


def unheard(one, seconds):
    """Wait until the agent that has `t` was not heard for so long."""

    def heard_s():
        runs = json.loads(one.project.zf("workers", "--json").out)["runs"]
        agents = [agent for run in runs for agent in run["agents"]]
        return next((agent["heard_s"] for agent in agents if agent["task"] == "t"), None) or 0

    eventually(lambda: heard_s() >= seconds, seconds=seconds + 60)


def agent_is_stopped(one):
    one.start()
    os.kill(one.agent(), signal.SIGSTOP)
    one.finish()
    one.go.touch()
    assert one.ends()["t"] == ("lost", "unreachable")


def disk_is_full(one):
    """One that holds what an agent has at first, and a little more."""
    cache = one.project.cache
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    size = one.random.choice(("16k", "200k", "400k"))
    there = one.project.server.start
    mount = there("mount", "-t", "tmpfs", "-o", f"size={size}", "zf-test", str(cache))
    subprocess.run(mount, check=True)
    try:
        script = "head -c 2000000 /dev/zero > $ARTIFACTS_DIR/big"
        one.project.task("t", script, executor="far", parallel_safe=True)
        done = one.project.zf("run-phase", "A", "--run-id", one.name, "--keep-going")
        assert done.code == 1
        ends = one.ends()
    finally:
        eventually(lambda: subprocess.run(there("umount", str(cache))).returncode == 0)
    assert ends["t"] in {("lost", "node"), ("failure", "storage"), ("failure", "exit_code")}, ends


def result_is_cut(one):
    """Somewhere on the way: a number of bytes of all that is said, which may be more than there are."""
    one.go.touch()
    at = one.random.randrange(1, 25_000)
    one.project.declare(*RELAY, "--cut", str(at), "--", *AGENT)
    assert one.project.zf("run-phase", "A", "--run-id", one.name, "--keep-going").code in {0, 1}
    assert set(one.ends().values()) <= {WELL, ("lost", "worker"), ("lost", "unreachable")}


def result_comes_twice(one):
    one.go.touch()
    one.project.declare(*LIAR, "again", "zf", "agent")
    assert one.project.zf("run-phase", "A", "--run-id", one.name).code == 0
    assert of_type(one.project, "result_quarantined", one.name) == []
    assert one.ends() == {"t": WELL, "u": WELL}


def version_is_another(one):
    one.project.declare(*OLD)
    assert one.project.zf("run-phase", "A", "--run-id", one.name, "--keep-going").code == 1
    assert one.ends() == dict.fromkeys("tu", ("lost", "worker"))


def host_key_is_another(one):
    one.project.server.change_key()
    try:
        assert one.project.zf("run-phase", "A", "--run-id", one.name, "--keep-going").code == 1
    finally:
        one.project.server.forget_key()
    assert one.ends() == dict.fromkeys("tu", ("lost", "unreachable"))


FAULTS = [
    agent_dies,
    client_dies,
    runner_dies,
    link_is_cut_for_good,
    link_is_cut_for_a_while,
    agent_is_stopped,
    disk_is_full,
    result_is_cut,
    result_comes_twice,
    version_is_another,
    host_key_is_another,
]


@pytest.mark.parametrize(
    "fault", [link_is_cut_for_good, link_is_cut_for_a_while, agent_is_stopped, disk_is_full]
)
def test_each_attempt_has_one_end_and_nothing_is_left(far, fault):
    fault(Round(far, "r", Random(1), executor="far"))


@pytest.mark.campaign
def test_a_link_that_is_down_for_30_s_loses_nothing_that_has_a_lease_of_two_minutes(far):
    link_is_cut_for_a_while(Round(far, "r", Random(1), executor="far"), seconds=30)


@pytest.mark.campaign
def test_200_rounds_of_all_that_can_happen(far):
    random = Random(200)
    for number in range(200):
        fault = FAULTS[number % len(FAULTS)]
        try:
            fault(Round(far, f"r{number}", random, executor="far"))
        except BaseException:
            print(f"round {number}: {fault.__name__}")
            raise
        shutil.rmtree(far.proof(f"r{number}"))
    print(f"{number + 1} rounds")


# A pool of Dask workers


@pytest.fixture
def pool(far):
    """The same project with a scheduler here and a Dask worker on that host."""
    far.env |= {"MARK": far.mark, "TMPDIR": str(far.root.parent)}
    env, port = {**os.environ, **far.env}, free_port()
    far.address = f"dask://{far.host.gate}:{port}"
    where = ("--no-dashboard", "--host")
    scheduler = ("scheduler", "--port", str(port), *where, far.host.gate)
    words = ("worker", f"tcp://{far.host.gate}:{port}", "--no-nanny", "--nthreads", "2")
    words += ("--local-directory", str(far.root.parent), *where, far.host.address)
    started = []
    for within, told in (((), scheduler), (far.host.within, words)):
        dask = [*within, sys.executable, "-m", "dask", *told]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(dask, env=env, text=True, **quiet))
        for line in started[-1].stderr:
            if "Registered to" in line or "Scheduler at" in line:
                break
    yield far
    for one in started:
        one.kill()
        one.communicate()
    assert left(far) == []


@pytest.mark.campaign
@pytest.mark.parametrize("seconds", [30, 0], ids=["for 30 s", "for good"])
def test_a_link_to_a_dask_worker_that_is_cut_leaves_one_end_of_each_attempt(pool, seconds):
    """Dask closes a connection when nothing it sent has been acknowledged for 30 s."""
    one = Round(pool, "r", Random(1))
    one.start("--executor", pool.address)
    pool.host.cut()
    one.go.touch()
    if seconds:
        unheard(one, seconds + 1)
        pool.host.join()
    assert one.running.wait(180) in {0, 1}
    eventually(lambda: pids(pool.mark) == [])
    events = pool.events("r")
    ended = Counter(e["task"] for e in events if e["type"] == "attempt_ended")
    assert ended == {"t": 1, "u": 1}
    verified(pool)
    came = {task: pool.status("r", task)["status"] for task in "tu"}
    print(came)
    assert came["t"] == "lost" if not seconds else came["t"] in {"success", "lost"}
