"""Tasks by Slurm: its words for what a task takes, the same proof, and why an attempt was lost."""

import shlex
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.support import sshd
from tests.support.far import AGENT, verified
from tests.support.places import tree
from tests.support.program import survivors
from tests.support.slurm import Slurm, why_not
from tests.support.waiting import eventually, printed

pytestmark = pytest.mark.xdist_group("slurm")

SRUN = ["srun", "--job-name={task}", "--ntasks=1", "-c{cpus}", "--mem={memory_mb}", "--unbuffered"]
WAITS = "echo up; sleep 600"


@pytest.fixture(scope="module")
def slurm():
    if reason := why_not():
        pytest.skip(f"no Slurm here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="zf-slurm-", dir="/tmp"))
    cluster = Slurm(folder)
    try:
        cluster.open()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder)


@pytest.fixture
def far(project, slurm):
    """A project whose executor is Slurm, of which nothing is left after the test."""
    executors = {"slurm": {"start": [*SRUN, *AGENT], "slots": 2}}
    settings = {"executors": executors, "resources": {"cpu": 3}}
    (project.root / "zf.yaml").write_text(yaml.safe_dump(settings))
    # Slurm sets TMPDIR for steps that have none.
    project.env |= slurm.env | {"MARK": project.mark, "TMPDIR": "/tmp"}
    yield project
    eventually(lambda: not survivors(f"{project.root.parent}/"), seconds=20)
    eventually(lambda: not slurm.say("squeue", "-h"), seconds=20)


def test_a_task_has_what_it_asks_of_slurm_and_the_proof_of_any_other_place(far, slurm):
    far.task(
        "t",
        "echo 1 > $ARTIFACTS_DIR/one; echo to stderr >&2",
        resources={"cpu": 3, "mem_mb": 300},
    )
    far.task("u", "cat $NEEDS_DIR/t/one", needs=["t"])
    for name, words in (("here", ()), ("far", ("--executor", "slurm"))):
        done = far.zf("run-phase", "A", "--run-id", name, *words)
        assert done.code == 0, done.err + done.out
        verified(far, name)
    for task in ("t", "u"):
        assert tree(far, "far", task) == tree(far, "here", task)
    assert far.status("far", "t")["executor"] == "slurm"
    told = slurm.told(slurm.say("squeue", "-h", "-t", "all", "-n", "t", "-o", "%i").strip())
    assert (told["JobState"], told["NumCPUs"]) == ("COMPLETED", "3")
    assert told["MinMemoryNode"] == "300M"


def test_a_proof_is_the_same_from_here_over_ssh_by_slurm_and_by_dask(far, slurm):
    if reason := sshd.why_not():
        pytest.skip(reason)
    server = sshd.Sshd(far.root.parent / "sshd")
    try:
        # A machine whose own variables are those of this one.
        variables = (shlex.quote(f"{name}={value}") for name, value in far.env.items())
        start = server.start("env", "-i", *variables, *AGENT)
        settings = yaml.safe_load((far.root / "zf.yaml").read_text())
        settings["executors"]["ssh"] = {"start": start}
        (far.root / "zf.yaml").write_text(yaml.safe_dump(settings))
        far.task("t", "echo 1 > $ARTIFACTS_DIR/one; echo v=7 >> $ZF_OUTPUT", outputs=["v"])
        value, step = {"V": {"from": "t.v"}}, "echo $V; cat $NEEDS_DIR/t/one; echo no >&2; false"
        far.task("u", step, needs=["t"], env=value, allow_failure=True, cleanup=["echo clean"])
        for place in ("local", "ssh", "slurm", "dask"):
            where = {"local": (), "dask": ("--executor", "dask://local", "-j1")}
            done = far.zf(
                *("run-phase", "A", "--run-id", place),
                *where.get(place, ("--executor", place)),
            )
            assert done.code == 0, done.err + done.out
            assert far.status(place, "u").get("executor", "local") == place
            verified(far, place)
    finally:
        server.close()
    for place in ("ssh", "slurm", "dask"):
        for task in ("t", "u"):
            assert tree(far, place, task) == tree(far, "local", task), place


def push_out(slurm, job):
    slurm.say("srun", "--partition=high", "--exclusive", "true")


def end_of_time(slurm, job):
    slurm.say("scontrol", "update", f"JobId={job}", "EndTime=now")


def node_down(slurm, job):
    slurm.say("scontrol", "update", f"NodeName={slurm.host}", "State=DOWN", "Reason=test")


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        pytest.param(lambda slurm, job: slurm.say("scancel", job), "evicted", id="scancel"),
        pytest.param(push_out, "preempted", id="preemption"),
        pytest.param(end_of_time, "walltime", id="walltime"),
        pytest.param(node_down, "node", id="node"),
    ],
)
def test_a_job_that_slurm_ends_is_lost_for_the_reason_that_slurm_has(far, slurm, end, cause):
    """Its first attempt ends so, and its second is well, for which preemption takes no retry."""
    once = far.root.parent / "once"
    far.task(
        "t",
        f"if test -e {once}; then exit 0; fi; touch {once}; {WAITS}",
        executor="slurm",
        retry_on=[cause],
        max_retries=0 if cause == "preempted" else 1,
    )
    with far.popen("run-phase", "A", "--run-id", "r") as running:
        job = slurm.job("t")
        eventually(once.exists)
        end(slurm, job)
        if cause == "node":
            slurm.say("scontrol", "update", f"NodeName={slurm.host}", "State=RESUME")
        out, err = running.communicate(timeout=120)
    first = far.json("r", "t", "attempts", "1", "99-summary", "status.json")
    assert (first["status"], first["cause"]) == ("lost", cause), first
    assert (running.returncode, far.status("r", "t")["status"]) == (0, "success"), out + err
    ended = [e for e in far.events("r") if e["type"] == "attempt_ended"]
    assert [(e["attempt"], e["status"]) for e in ended] == [(1, "lost"), (2, "success")]
    verified(far, "r")


def test_when_the_runner_is_killed_its_job_ends(far, slurm):
    far.task("t", WAITS, executor="slurm")
    with far.popen("run-phase", "A", "--run-id", "r") as running:
        log = far.proof("r", "t", "20-logs", "step-0.log")
        eventually(lambda: printed(log) == b"up\n")
        assert slurm.job("t")
        running.send_signal(signal.SIGKILL)
        running.wait()
