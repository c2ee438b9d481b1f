"""Tasks on a pool of Dask workers: real schedulers, workers and certificates, and their deaths."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support import independent_verifier
from tests.support.places import tree
from tests.support.ports import free_port
from tests.support.program import survivors
from tests.support.waiting import eventually
from zf.model import NOTHING

# Ends the Dask worker beside which this step's agent runs.
KILLS = (
    f"{sys.executable} -c 'import os, psutil, time\n"
    "above = psutil.Process().parents()\n"
    'os.kill(next(p.pid for p in above if "dask" in p.cmdline()), 9)\n'
    "time.sleep(60)'"
)


def of_type(project, kind, name="r"):
    return [e for e in project.events(name) if e["type"] == kind]


def verified(project, name="r"):
    done = project.zf("verify", name, "--json")
    assert json.loads(done.out)["verdicts"]["INTACT"]["state"] == "passed", done.out
    assert independent_verifier.verify(str(project.proof(name)))[0]


def left(project):
    """What runs of all that a test has started, once it has had the time to end."""
    until = time.monotonic() + 30
    while (found := survivors(f"{project.root.parent}/")) and time.monotonic() < until:
        time.sleep(0.05)
    return found


@pytest.fixture
def temporary(project):
    """A project whose bridges have their folders in one that the test can see."""
    folder = project.root.parent / "tmp"
    folder.mkdir()
    project.env["TMPDIR"] = str(folder)
    yield folder
    assert left(project) == []
    assert list(folder.glob("zf-dask-*")) == []


def test_a_pool_that_is_started_here_has_no_port_and_brings_the_same_proofs(project, temporary):
    for number in range(3):
        project.task(f"t{number}", "echo 1 > $ARTIFACTS_DIR/one; echo said", parallel_safe=True)
    project.task("need", "cat $NEEDS_DIR/t0/one", needs=["t0"], parallel_safe=True)
    listening = (
        f"{sys.executable} -c 'import os, psutil\n"
        "above = psutil.Process().parents()\n"
        'bridge = next(p for p in above if "zf.engines.dask.bridge" in p.cmdline())\n'
        'print(sorted(c.status for c in bridge.net_connections("inet")))\'\n'
    )
    project.task("ports", listening, parallel_safe=True)
    words = ("run-phase", "A", "--run-id", "r", "--executor", "dask://local", "-j2")
    done = project.zf(*words)
    assert done.code == 0, done.err + done.out
    assert project.log("r", "ports") == b"[]\n"
    assert {e["executor"] for e in of_type(project, "attempt_placed")} == {"dask"}
    assert project.log("r", "need") == b"1\n"
    verified(project)
    project.zf("run-phase", "A", "--run-id", "here", "--keep-going")
    for task in ("t0", "t1", "t2", "need"):
        assert tree(project, "r", task) == tree(project, "here", task)


# A pool that was there before, with TLS


def certificates(folder):
    """Variables that name a certificate to Dask, which is its own authority."""
    folder.mkdir()
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    named = ("-subj", f"/CN={folder.name}", "-keyout", key, "-out", cert)
    subprocess.run((*made, *named), check=True, capture_output=True)
    parts = {"CA_FILE": cert}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        parts |= {f"{role}__CERT": cert, f"{role}__KEY": key}
    env = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": value for name, value in parts.items()}
    return env | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}


@pytest.fixture
def secured(project, temporary):
    """A project with certificates; `begin` starts a scheduler with one worker, which has one place,
    with variables of their own. `address` is where it is.
    """
    port, started = free_port(), []
    project.env |= certificates(temporary / "tls")

    def start(more, *words):
        env = {**os.environ, **project.env, **more}
        started.append(
            subprocess.Popen(
                (sys.executable, "-m", "dask", *words),
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        for line in started[-1].stderr:
            if re.search(r"Registered to|Scheduler at", line):
                return started[-1]
        raise AssertionError("it ended")

    where = ("--protocol", "tls", "--host", "127.0.0.1", "--no-dashboard")
    alone = ("--nthreads", "2", "--resources", "zf=1", "--no-nanny")
    beside = ("--local-directory", str(temporary), *where)
    words = ("worker", f"tls://127.0.0.1:{port}", *alone, *beside)

    def begin(scheduler=NOTHING, worker=NOTHING):
        project.scheduler = start(scheduler, "scheduler", *where, "--port", str(port))
        project.worker = start(worker, *words)

    project.begin, project.another_worker = begin, lambda: start({}, *words)
    project.address = f"dask://127.0.0.1:{port}"
    yield project
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture
def pool(secured):
    """The same, begun."""
    secured.begin()
    return secured


def test_a_worker_that_is_killed_loses_its_attempt_once_and_the_proof_is_whole(pool):
    for number in range(3):
        pool.task(f"t{number}", "echo 1 > $ARTIFACTS_DIR/one; echo said", parallel_safe=True)
    pool.task("need", "cat $NEEDS_DIR/t0/one", needs=["t0"], parallel_safe=True)
    again = {"retry_on": ["node"], "max_retries": 1, "parallel_safe": True}
    pool.task("again", f"test $ATTEMPT = 2 || {KILLS}", needs=["t1"], **again)
    pool.another_worker()
    done = pool.zf("run-phase", "A", "--run-id", "r", "--executor", pool.address)
    assert done.code == 0, done.err + done.out
    ended = {(e["task"], e["attempt"]): e for e in of_type(pool, "attempt_ended")}
    assert len(ended) == len(of_type(pool, "attempt_ended")) == 6
    lost = ended.pop(("again", 1))
    assert (lost["status"], lost["cause"]) == ("lost", "node")
    assert "the Dask worker" in lost["detail"]
    assert {e["status"] for e in ended.values()} == {"success"}
    assert {e["executor"] for e in of_type(pool, "attempt_placed")} == {"dask"}
    assert pool.log("r", "need") == b"1\n"
    assert pool.status("r", "need")["executor"] == "dask"
    verified(pool)
    pool.zf("run-phase", "A", "--run-id", "here", "--keep-going")
    for task in ("t0", "t1", "t2", "need"):
        assert tree(pool, "r", task) == tree(pool, "here", task)


@pytest.fixture
def going(pool):
    """A run on the pool of which `first` has ended and `t` goes on; `process` is its zf."""
    pool.go = pool.root.parent / "go"
    pool.task("first", "true", parallel_safe=True)
    waits = f"echo begun; until test -e {pool.go}; do sleep 0.02; done"
    pool.task("t", waits, needs=["first"], parallel_safe=True)
    words = ("run-phase", "A", "--run-id", "r", "--executor", pool.address)
    pool.process = pool.popen(*words)
    log = pool.proof("r", "t", "20-logs", "step-0.log")
    eventually(lambda: log.exists() and log.read_text() == "begun\n")
    return pool


def bridge(project):
    """The process of a run that is Dask's client."""
    children = psutil.Process(project.process.pid).children()
    return next(one for one in children if "zf.engines.dask.bridge" in one.cmdline())


def agents(project):
    """The command lines of agents, and of what they run."""
    found = survivors(f"{project.root.parent}/")
    return [one for one in found if "zf agent" in one or "sleep" in one]


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(lambda project: project.scheduler, id="scheduler"),
        pytest.param(bridge, id="client"),
    ],
)
def test_when_a_part_of_dask_dies_what_it_had_is_lost_and_ended(going, which):
    which(going).send_signal(signal.SIGKILL)
    going.process.communicate(timeout=60)
    assert going.process.returncode == 1
    (first, t) = of_type(going, "attempt_ended")
    assert first["status"] == "success"
    assert (t["status"], t["cause"]) == ("lost", "unreachable")
    verified(going)


def test_when_the_runner_is_killed_its_agents_end_and_the_run_goes_on_later(going):
    going.process.kill()
    going.process.communicate()
    eventually(lambda: not agents(going))
    going.go.touch()
    assert going.zf("resume", "r").code == 0
    assert [(e["task"], e["status"]) for e in of_type(going, "attempt_ended")] == [
        ("first", "success"),
        ("t", "lost"),
        ("t", "success"),
    ]
    verified(going)


def test_an_attempt_whose_dask_task_another_cancels_before_it_begins_is_lost(pool):
    """It waits, as something else has the only place of the worker."""
    pool.task("t", "true")
    # Where the certificates are is known to those that are started with them.
    script = (
        "import sys, time\n"
        "from distributed import Client, Event, Future\n"
        f"client = Client('tls://{pool.address.removeprefix('dask://')}')\n"
        "go = Event('go')\n"
        "client.submit(go.wait, key='other', resources={'zf': 1})\n"
        "print('has the place', flush=True)\n"
        "while True:\n"
        "    keys = client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.tasks])\n"
        "    if mine := [key for key in keys if key.startswith('zf-')]:\n"
        "        break\n"
        "    time.sleep(0.05)\n"
        "client.cancel([Future(key, client) for key in mine], force=True)\n"
        "print('cancelled', flush=True)\n"
        "sys.stdin.read()\n"
        "go.set()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    env = {**os.environ, **pool.env}
    with subprocess.Popen((sys.executable, "-c", script), env=env, **pipes) as other:
        assert other.stdout.readline() == "has the place\n"
        done = pool.zf("run-phase", "A", "--run-id", "r", "--executor", pool.address)
        assert (done.code, other.stdout.readline()) == (1, "cancelled\n"), done.err
    (ended,) = of_type(pool, "attempt_ended")
    assert (ended["status"], ended["cause"]) == ("lost", "unreachable")
    assert "Dask did not begin the attempt: it was cancelled" in ended["detail"]
    verified(pool)


@pytest.mark.campaign
def test_what_a_worker_that_is_stopped_had_is_lost_and_ended_when_its_lease_is_over(going):
    going.worker.send_signal(signal.SIGSTOP)
    going.process.communicate(timeout=150)
    assert going.process.returncode == 1
    (_, t) = of_type(going, "attempt_ended")
    assert (t["status"], t["cause"]) == ("lost", "unreachable")
    eventually(lambda: not agents(going), seconds=90)
    verified(going)


# Certificates that are not of the pool


@pytest.mark.parametrize("has", ["those of another authority", "none"])
def test_who_has_not_the_certificates_of_a_pool_is_refused_by_it(pool, temporary, has):
    pool.task("t", "true")
    if has == "none":
        pool.env = {n: v for n, v in pool.env.items() if not n.startswith("DASK_")}
    else:
        pool.env |= certificates(temporary / "others")
    done = pool.zf("run-phase", "A", "--run-id", "r", "--executor", pool.address)
    assert (done.code, "ZF782" in done.err) == (2, True), done.err
    assert "Traceback" not in done.err
    assert not pool.proof("r").exists()


def test_a_worker_that_shows_a_certificate_of_another_authority_gets_nothing(secured, temporary):
    """The scheduler believes both authorities, and zf one: what it would send there is for those
    of that one alone.
    """
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    theirs = certificates(temporary / "others")
    both = temporary / "both"
    authorities = [Path(env[f"{tls}CA_FILE"]).read_text() for env in (secured.env, theirs)]
    both.write_text("".join(authorities))
    believes = {f"{tls}CA_FILE": str(both)}
    secured.begin(believes, {**theirs, **believes})
    secured.task("t", "true")
    done = secured.zf("run-phase", "A", "--run-id", "r", "--executor", secured.address)
    assert done.code == 1, done.err + done.out
    (ended,) = of_type(secured, "attempt_ended")
    assert (ended["status"], ended["cause"]) == ("lost", "unreachable")
    assert "TLS certificate does not match" in ended["detail"]
    assert of_type(secured, "attempt_placed") == []
    verified(secured)


# What is refused


def test_without_distributed_a_sentence_says_what_installs_it(project):
    project.task("t", "true")
    folder = project.root.parent / "no"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['distributed'] = None\n")
    words = ("run-phase", "A", "--executor", "dask://local")
    done = project.zf(*words, env={"PYTHONPATH": str(folder)})
    assert done.code == 2
    assert "takes the package distributed\n  hint: pip install distributed cryptography" in done.err
    assert not (project.root / "proofs").exists()


def test_what_names_no_pool_is_refused(project):
    project.task("t", "true")
    for wrong in ("dask://", "dask://somewhere", "dask://h:x"):
        done = project.zf("run-phase", "A", "--executor", wrong)
        assert (done.code, "ZF781" in done.err) == (2, True), done.err
    (project.root / "zf.yaml").write_text("executors: {dask: {start: [zf, agent]}}\n")
    done = project.zf("run-phase", "A", "--executor", "dask://local")
    assert (done.code, "ZF780" in done.err) == (2, True), done.err
