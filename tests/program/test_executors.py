"""Tasks on executors: the same proof from elsewhere, and what becomes of a run when that fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
import yaml

from tests.support import sshd
from tests.support.far import AGENT, LIAR, RELAY, left, of_type, parent, pids, said, verified
from tests.support.places import tree
from tests.support.program import heard
from tests.support.waiting import eventually, printed
from zf.work.walls.sandbox import why_not as why_no_sandbox


@pytest.fixture
def far(project):
    """A project with an executor called `far`, whose command the test may choose."""

    def declare(*start, more=None, **keys):
        executors = {"far": {"start": [*(start or AGENT)], **keys}, **(more or {})}
        (project.root / "zf.yaml").write_text(yaml.safe_dump({"executors": executors}))

    declare()
    project.declare = declare
    return project


def run(project, name="r", code=0, *words):
    done = project.zf("run-phase", "A", "--run-id", name, *words)
    assert done.code == code, done.err + done.out
    return done


# The same proof


def test_a_proof_from_elsewhere_differs_only_where_it_says_where(far):
    far.task("one", "echo 1 > $ARTIFACTS_DIR/one; echo v=7 >> $ZF_OUTPUT", outputs=["v"])
    far.task(
        "two",
        "echo $V; cat $NEEDS_DIR/one/one; echo out > made; test $(pwd) = $ZENFLOW_ROOT",
        "echo to stderr >&2; false",
        needs=["one"],
        env={"V": {"from": "one.v"}},
        cleanup=[{"run": "echo clean"}],
        artifacts=["made"],
        allow_failure=True,
    )
    run(far, "here")
    (far.root / "made").unlink()
    run(far, "far", 0, "--executor", "far")
    for task in ("one", "two"):
        assert tree(far, "far", task) == tree(far, "here", task)
        assert far.status("far", task)["executor"] == "far"
        assert "executor" not in far.status("here", task)
    assert not (far.root / "made").exists()
    for name in ("here", "far"):
        verified(far, name)
    assert [(e["task"], e["executor"]) for e in of_type(far, "attempt_placed", "far")] == [
        ("one", "far"),
        ("two", "far"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
def test_a_sandbox_stands_on_an_executor_as_here(far):
    if reason := why_no_sandbox(shutil.which("bwrap")):
        pytest.skip(f"no sandbox here: {reason}")
    script = (
        "touch /var/outside 2>&- || echo stopped; touch ~/.outside 2>&- || echo stopped\n"
        "touch inside && echo may; echo 1 > $ARTIFACTS_DIR/one"
    )
    far.task("t", script, sandbox=True)
    far.task("u", "cat $NEEDS_DIR/t/one", sandbox=True, needs=["t"])
    for name, words in (("here", ()), ("far", ("--executor", "far"))):
        run(far, name, 0, *words)
        assert far.log(name, "t") == b"stopped\nstopped\nmay\n"
        assert far.status(name, "u")["isolation"] == "sandbox"
        verified(far, name)
    for task in ("t", "u"):
        assert tree(far, "far", task) == tree(far, "here", task)


def test_handlers_run_on_this_machine_whatever_the_run_says(far):
    text = (far.root / "zf.yaml").read_text()
    handler = '{when: always, id: h, run: grep -o zf/run-facts/v1 "$ZF_RUN_FACTS"}'
    (far.root / "zf.yaml").write_text(f"{text}on_end: [{handler}]\n")
    far.task("t", "true")
    run(far, "r", 0, "--executor", "far")
    assert far.status("r", "h")["status"] == "success"
    assert [e["task"] for e in of_type(far, "attempt_placed")] == ["t"]
    verified(far)


def test_every_attempt_begins_with_the_project_as_it_was(far):
    (far.root / "data").write_text("as it was\n")
    for name in ("a", "b"):
        far.task(name, "cat data; ls; echo changed > data; rm -f zf.yaml", executor="far")
    run(far)
    assert far.log("r", "a") == far.log("r", "b") == b"as it was\ndata\ntasks\nzf.yaml\n"
    assert (far.root / "data").read_text() == "as it was\n"


def test_with_git_what_is_ignored_stays_and_what_is_new_goes(far):
    root = far.root
    os.system(f"git -C {root} init -q && echo proofs/ > {root}/.gitignore")
    (root / "old").write_text("old\n")
    os.system(
        f"cd {root} && git add -A && git -c user.name=t -c user.email=t@example.com commit -qm t"
    )
    (root / "old").write_text("new\n")
    (root / "added").write_text("")
    (root / ".gitignore").write_text("proofs/\nsecret\n")
    (root / "secret").write_text("")
    far.task("t", "ls -A; cat old", executor="far")
    run(far)
    assert far.log("r", "t") == b".gitignore\nadded\nold\ntasks\nzf.yaml\nnew\n"


def test_a_second_attempt_has_the_first_in_its_proof(far):
    far.task("t", "echo $ATTEMPT; test $ATTEMPT = 3", executor="far", max_retries=2)
    run(far)
    assert far.status("r", "t")["flaky"] is True
    for attempt in (1, 2):
        log = far.proof("r", "t", "attempts", str(attempt), "20-logs", "step-0.log")
        assert log.read_text() == f"{attempt}\n"
    verified(far)


def test_secrets_and_variables_that_files_name_go_with_the_run_and_no_others(far):
    far.env |= {"API_TOKEN": "s3cr3t-value-1", "NAMED": "yes", "OTHER": "no"}
    far.task("t", "env; echo $API_TOKEN", executor="far", pass_env=["API_TOKEN", "NAMED"])
    far.declare("env", "-u", "API_TOKEN", "-u", "NAMED", "-u", "OTHER", *AGENT)
    run(far)
    log = far.log("r", "t")
    assert b"NAMED=yes\n" in log
    assert b"OTHER" not in log
    assert b"s3cr3t-value-1" not in log
    assert far.status("r", "t")["redactions"] != {}
    verified(far)


def test_instances_that_join_the_plan_run_elsewhere_too(far):
    far.task("plan", 'echo \'list=["a","b"]\' >> $ZF_OUTPUT', outputs=["list"], executor="far")
    far.task("t", "echo $MATRIX_ITEM", needs=["plan"], executor="far", matrix={"from": "plan.list"})
    run(far)
    assert far.log("r", "t@item=b") == b"b\n"
    verified(far)


def test_output_can_be_read_while_it_comes(far):
    far.task(
        "t", "echo first; until test -e ../../../../../go; do sleep 0.05; done", executor="far"
    )
    far.task(
        "t", f"echo first; until test -e {far.root.parent}/go; do sleep 0.05; done", executor="far"
    )
    process = far.popen("run-phase", "A", "--run-id", "r")
    log = far.proof("r", "t", "20-logs", "step-0.log")
    eventually(lambda: printed(log) == b"first\n")
    (far.root.parent / "go").touch()
    process.communicate()
    assert process.returncode == 0


# Where a task runs


def test_labels_choose_and_slots_limit(far):
    far.declare(
        slots=1,
        labels=["linux"],
        more={"big": {"start": AGENT, "slots": 2, "labels": ["linux", "gpu"]}},
    )
    for number in range(4):
        far.task(f"t{number}", "true", parallel_safe=True, labels=["linux"])
    far.task("gpu", "true", parallel_safe=True, labels=["gpu", "linux"])
    far.task("here", "true", parallel_safe=True)
    run(far)
    placed = {e["task"]: e["executor"] for e in of_type(far, "attempt_placed")}
    assert placed["gpu"] == "big"
    assert {"far", "big"} == {placed[f"t{n}"] for n in range(4)}
    assert "here" not in placed


def test_a_task_says_that_it_runs_here_whatever_the_run_says(far):
    far.task("t", "true", executor="local")
    run(far, "r", 0, "--executor", "far")
    assert of_type(far, "attempt_placed") == []


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [
        ({"executor": "fer"}, "ZF770", "'fer' is no executor of zf.yaml"),
        ({"labels": ["gpu"]}, "ZF771", "no executor of zf.yaml has the labels: gpu"),
        ({"executor": "far", "labels": ["gpu"]}, "ZF771", "'far' does not have all of these"),
        ({"executor": "far", "leave_running": True}, "ZF776", "cannot run on an executor"),
    ],
)
def test_a_task_without_a_place_is_a_problem_of_its_file(far, keys, code, told):
    far.task("t", "true", **keys)
    done = far.zf("validate")
    assert done.code == 2
    assert f"error[{code}]" in done.err + done.out
    assert told in done.err + done.out
    assert not far.proof("r").exists()


@pytest.mark.parametrize("keys", [{"executor": "far"}, {"labels": ["gpu"]}])
def test_services_of_a_phase_are_not_beside_a_task_elsewhere(far, keys):
    far.declare(labels=["gpu"])
    with (far.root / "zf.yaml").open("a") as file:
        file.write("phases: {A: {services: [{name: db, run: sleep 9}]}}\n")
    far.task("t", "true", **keys)
    for words in (["validate"], ["run-phase", "A", "--run-id", "r"]):
        done = far.zf(*words)
        assert done.code == 2
        assert "tasks/t/task.yaml:" in done.err + done.out
        assert "error[ZF716]: the task runs elsewhere" in done.err + done.out
    # Where it is the run that says so, it is the run that is refused.
    far.task("t", "true")
    assert far.zf("validate").code == 0
    done = far.zf("run-phase", "A", "--run-id", "r", "--executor", "far")
    assert (done.code, "ZF716" in done.err) == (2, True)
    assert not far.proof("r").exists()


@pytest.mark.parametrize(
    ("start", "words", "code"),
    [
        (AGENT, ["--executor", "fr"], "ZF774"),
        (["no-such-command", "zf", "agent"], ["--executor", "far"], "ZF775"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(far, start, words, code):
    far.declare(*start)
    far.task("t", "true")
    done = far.zf("run-phase", "A", "--run-id", "r", *words)
    assert done.code == 2
    assert code in done.err
    assert not far.proof("r").exists()


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"far": {"start": ["srun", "-c{cpu}"]}}, "ZF772"),
        ({"local": {"start": ["ssh"]}}, "ZF773"),
        ({"far": {}}, "ZF221"),
        ({"far": {"start": []}}, "ZF2"),
        ({"far": {"start": ["x"], "slots": 0}}, "ZF2"),
        ({"far": {"start": ["x"], "lable": []}}, "ZF2"),
    ],
)
def test_bad_executors_are_problems_of_zf_yaml(far, entry, code):
    (far.root / "zf.yaml").write_text(yaml.safe_dump({"executors": entry}))
    far.task("t", "true")
    done = far.zf("validate")
    assert done.code == 2
    assert f"error[{code}" in done.out + done.err


# When it goes wrong


def test_what_comes_before_an_agent_speaks_is_passed_over(far):
    far.declare(*RELAY, "--noise", "Last login: today\n", "--", *AGENT)
    far.task("t", "true", executor="far")
    run(far)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (
            [
                "--say",
                "ssh: connect to host x port 22: Connection refused\n",
                "--exit",
                "255",
                "--cut",
                "1",
            ],
            "unreachable",
        ),
        (
            ["--cut", "1000", "--say", "srun: error: vm: task 0: Killed DUE TO TIME LIMIT\n"],
            "walltime",
        ),
        (["--cut", "1000", "--say", "slurmstepd: error: Detected 1 oom_kill event\n"], "oom"),
        (["--cut", "1000", "--say", "The node was low on resource; pod Evicted\n"], "evicted"),
        (["--cut", "1000", "--say", "srun: error: Node failure on vm\n"], "node"),
        (["--cut", "1000"], "worker"),
        (["--flip", "900"], "worker"),
        (["--twice", "900"], "worker"),
    ],
)
def test_without_an_end_from_its_agent_an_attempt_is_lost_and_the_command_names_the_cause(
    far, fault, cause
):
    far.declare(*RELAY, *fault, "--", *AGENT)
    far.task("t", "true", executor="far")
    far.env["MARK"] = far.mark
    run(far, "r", 1)
    status = far.status("r", "t")
    assert (status["status"], status["cause"]) == ("lost", cause)
    assert len(of_type(far, "attempt_ended")) == 1
    verified(far)
    assert left(far) == []


def test_a_preempted_attempt_spends_no_retry_and_retry_on_takes_causes(far):
    told = "slurmstepd: error: *** STEP 1.0 CANCELLED DUE TO PREEMPTION ***"
    once = f"if test -e {far.root.parent}/once; then exec {' '.join(AGENT)}; fi;"
    once += f" touch {far.root.parent}/once; echo '{told}' >&2; exit 1"
    far.declare("sh", "-c", once)
    far.task("t", "echo $ATTEMPT", executor="far")
    run(far)
    assert far.log("r", "t") == b"2\n"
    assert far.json("r", "t", "attempts", "1", "99-summary", "status.json")["cause"] == "preempted"
    verified(far)


def test_retry_on_takes_the_cause_of_a_loss(far):
    far.declare(*RELAY, "--cut", "1000", "--say", "node failure", "--", *AGENT)
    far.task("t", "true", executor="far", max_retries=1, retry_on=["node"])
    far.task("u", "true", executor="far", max_retries=1, retry_on=["oom"])
    run(far, "r", 1)
    assert far.status("r", "t")["attempt"] == 2
    assert far.status("r", "u")["attempt"] == 1


def test_an_agent_of_another_version_is_told_from_one_of_ours(far):
    speak = "import sys; sys.path.insert(0, '.'); import zf; zf.__version__ = '0.0.1'; "
    speak += "from zf.work.agent import agent; import os; sys.exit(agent.serve(os.environ))"
    far.declare(sys.executable, "-c", speak)
    far.task("t", "true", executor="far")
    run(far, "r", 1)
    status = far.status("r", "t")
    assert (status["status"], status["cause"]) == ("lost", "worker")
    assert "zf 0.0.1" in status["detail"]
    assert "same version" in status["detail"]


@pytest.mark.parametrize(("ahead_s", "kinds"), [(0, set()), (-3600, {"offset"})])
def test_the_clock_of_an_agent_that_is_far_from_ours_is_a_doubt(far, ahead_s, kinds):
    speak = f"import time; real = time.time; time.time = lambda: real() + {ahead_s}; "
    speak += "from zf.work.agent import agent; import os, sys; sys.exit(agent.serve(os.environ))"
    far.declare(sys.executable, "-c", speak)
    far.task("t", "true", executor="far")
    run(far)
    told = json.loads(far.zf("verify", "r", "--json").out)
    found = {one["kind"] for one in told["findings"] if one["verdict"] == "TIMED"}
    assert kinds <= found
    assert told["verdicts"]["TIMED"]["state"] == ("doubtful" if kinds else "passed")
    assert "those of agents and of the runner within" in told["verdicts"]["TIMED"]["summary"]


WAITS = "echo up; trap 'echo bye; exit 1' TERM; sleep 600 & wait"


def agent_pid(project, attempts=1):
    """The agent's process, once so many attempts of the run `r` have begun, the last in its step."""
    log = project.proof("r", "t", "20-logs", "step-0.log")
    until = time.monotonic() + 60
    while not (
        b"up\n" in printed(log)
        and len(of_type(project, "attempt_placed")) == attempts
        and (found := [pid for pid in pids(project.mark) if parent(pid) not in pids(project.mark)])
    ):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found[0]


@pytest.fixture
def waiting(far):
    far.env["MARK"] = far.mark
    far.declare(lease_sec=2)
    far.task("t", WAITS, executor="far")
    return far


def test_kill_9_of_the_agent_loses_the_attempt_and_leaves_nothing(waiting):
    process = waiting.popen("run-phase", "A", "--run-id", "r", env={"MARK": waiting.mark})
    os.kill(agent_pid(waiting), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert waiting.status("r", "t")["status"] == "lost"
    assert len(of_type(waiting, "attempt_ended")) == 1
    verified(waiting)
    assert left(waiting) == []


def test_what_an_agent_of_this_machine_leaves_is_no_zombie_while_the_run_goes_on(waiting):
    """Its worker, which ends what that runs, is the runner's child by then."""
    go = waiting.root.parent / "go"
    waiting.task("t", WAITS, executor="far", parallel_safe=True)
    waiting.task("here", f"until test -e {go}; do sleep 0.02; done", parallel_safe=True)
    process = waiting.popen("run-phase", "A", "--run-id", "r", "--keep-going", "-j2")
    os.kill(agent_pid(waiting), signal.SIGKILL)
    eventually(lambda: pids(waiting.mark) == [])

    def zombies():
        children = said(Path(f"/proc/{process.pid}/task/{process.pid}/children")).split()
        return [pid for pid in children if b") Z " in said(Path(f"/proc/{int(pid)}/stat"))]

    eventually(lambda: zombies() == [], seconds=20)
    assert process.poll() is None
    go.touch()
    process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("where", "what", "before"),
    [
        ("folders.Folders", "use_checkout", "local"),
        ("agent", "unpack", "local"),
        ("folders.Folders", "renew", "far"),
    ],
    ids=["of the checkout", "of a need", "of a copy that a task has changed"],
)
def test_an_agent_that_is_long_in_making_something_ready_is_waited_for(far, where, what, before):
    """Longer than its lease, in which it says nothing and hears nothing."""
    wait = far.root.parent / "wait"
    slow = (
        "import os, sys, time; from zf.work.agent import agent, folders\n"
        f"make = {where}.{what}\n"
        "def late(*words, **more):\n"
        f"    while os.path.exists({str(wait)!r}): time.sleep(0.02)\n"
        "    return make(*words, **more)\n"
        f"{where}.{what} = late\n"
        "sys.exit(agent.serve(os.environ))"
    )
    far.declare(sys.executable, "-c", slow, lease_sec=1)
    far.task("n", f"touch {wait}; echo 1 | tee made > $ARTIFACTS_DIR/one", executor=before)
    far.task("t", "cat $NEEDS_DIR/n/one", executor="far", needs=["n"])
    process = far.popen("run-phase", "A", "--run-id", "r")

    def heard_s():
        runs = json.loads(far.zf("workers", "--json").out)["runs"]
        return [one["heard_s"] or 0 for run in runs for one in run["agents"]]

    eventually(lambda: process.poll() is not None or max(heard_s(), default=0) > 2)
    wait.unlink()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert far.log("r", "t") == b"1\n"
    verified(far)


@pytest.mark.parametrize("tasks", [40, pytest.param(2000, marks=pytest.mark.campaign)])
def test_whatever_agents_die_every_task_is_run_or_called_lost(far, tasks):
    """Of four agents, one in ten attempts has its own die at some moment, by `kill -9`."""
    far.env["MARK"] = far.mark
    far.declare(slots=4, lease_sec=30)
    for number in range(tasks):
        far.task(f"t{number}", f"echo {number}; sleep 0.01", executor="far", parallel_safe=True)
    random, killed = Random(tasks), 0
    # Nobody reads what 2 000 tasks tell, and a pipe that is full holds the run up.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with far.popen("run-phase", "A", "--run-id", "r", "-j", "4", **quiet) as running:
        while running.poll() is None:
            placed = said(far.proof("r", "events.jsonl")).count(b'"attempt_placed"')
            if killed < placed // 10:
                mine = pids(far.mark)
                agents = [pid for pid in mine if parent(pid) not in mine]
                with suppress(ProcessLookupError, IndexError):  # none is there between two
                    os.kill(random.choice(agents), signal.SIGKILL)
                    killed += 1
            time.sleep(0.05 * random.random())  # until another moment
    ended = of_type(far, "attempt_ended")
    assert sorted(e["task"] for e in ended) == sorted(f"t{n}" for n in range(tasks))
    came = Counter((e["status"], far.status("r", e["task"])["status"]) for e in ended)
    print(f"{killed} agents killed, {came}")
    assert set(came) <= {("success", "success"), ("lost", "lost")}
    lost = came["lost", "lost"]
    assert lost <= killed  # one that died between two attempts took none with it
    assert running.returncode == bool(lost)
    verified(far)
    assert left(far) == []


def test_a_stopped_agent_is_lost_when_its_lease_is_over_and_leaves_nothing(waiting):
    process = waiting.popen("run-phase", "A", "--run-id", "r")
    os.kill(agent_pid(waiting), signal.SIGSTOP)
    process.communicate(timeout=60)
    assert process.returncode == 1
    status = waiting.status("r", "t")
    assert (status["status"], status["cause"]) == ("lost", "unreachable")
    assert "not heard for 2 s" in status["detail"]
    verified(waiting)
    assert left(waiting) == []


def test_when_the_runner_is_killed_nothing_is_left_anywhere_and_the_run_goes_on_later(waiting):
    process = waiting.popen("run-phase", "A", "--run-id", "r")
    agent_pid(waiting)
    process.kill()
    process.communicate()
    assert left(waiting) == []
    done = waiting.popen("resume", "r")
    os.kill(agent_pid(waiting, attempts=2), signal.SIGKILL)
    done.communicate(timeout=60)
    causes = [e["cause"] for e in of_type(waiting, "attempt_ended")]
    assert causes == ["runner", "worker"]
    verified(waiting)
    assert left(waiting) == []


def test_a_cancelled_task_is_ended_there_and_its_proof_says_so(waiting):
    process = waiting.popen("run-phase", "A", "--run-id", "r")
    agent_pid(waiting)
    assert waiting.zf("cancel", "r", "t").code == 0
    process.communicate(timeout=60)
    status = waiting.status("r", "t")
    assert (status["status"], status["cause"]) == ("cancelled", "cancel")
    assert waiting.log("r", "t") == b"up\nbye\n"
    verified(waiting)
    assert left(waiting) == []


def test_a_link_that_goes_silent_loses_the_attempt_and_what_came_late_does_not_count(waiting):
    waiting.declare(*RELAY, "--stall", "1200", "--", *AGENT, lease_sec=1)
    waiting.task("t", "true", executor="far")
    run(waiting, "r", 1)
    assert waiting.status("r", "t")["cause"] == "unreachable"
    verified(waiting)
    assert left(waiting) == []


# zf workers


def test_workers_shows_executors_and_agents_and_drains(waiting):
    waiting.task("u", "true", executor="far", needs=["t"])
    done = waiting.zf("workers")
    assert done.out.startswith("EXECUTOR  SLOTS  LABELS  COMMAND\nfar       1 ")
    assert waiting.zf("workers", "drain", "far").code == 1
    process = waiting.popen("run-phase", "A", "--run-id", "r", "--progress", "json")
    agent_pid(waiting)
    until = time.monotonic() + 30
    while [
        (agent["executor"], agent["task"], agent["state"])
        for run in json.loads(waiting.zf("workers", "--json").out)["runs"]
        for agent in run["agents"]
    ] != [("far", "t", "running")]:
        assert time.monotonic() < until
    assert "running  t " in waiting.zf("workers").out
    assert waiting.zf("workers", "drain", "fra").code == 2
    assert waiting.zf("workers", "drain", "far").code == 0
    heard(process, "executor_drained", executor="far")
    assert "drained: far" in waiting.zf("workers").out
    assert waiting.zf("cancel", "r", "t").code == 0
    process.communicate(timeout=60)


def test_what_could_only_run_on_a_drained_executor_ends(far):
    far.env["MARK"] = far.mark
    far.task(
        "t", f"echo up; until test -e {far.root.parent}/go; do sleep 0.05; done", executor="far"
    )
    far.task("u", "true", executor="far", needs=["t"])
    process = far.popen("run-phase", "A", "--run-id", "r", "--progress", "json")
    agent_pid(far)
    assert far.zf("workers", "drain", "far").code == 0
    heard(process, "executor_drained")
    (far.root.parent / "go").touch()
    process.communicate(timeout=60)
    assert far.status("r", "t")["status"] == "success"
    status = far.status("r", "u")
    assert (status["status"], status["cause"]) == ("timeout", "queue_timeout")
    verified(far)


# An agent that lies


def test_the_same_result_twice_changes_nothing(far):
    far.declare(*LIAR, "again", "zf", "agent")
    far.task("t", "echo t", executor="far")
    far.task("u", "echo u", executor="far", needs=["t"])
    run(far)
    assert of_type(far, "result_quarantined") == []
    assert not (far.root / "proofs/.quarantine").exists()
    verified(far)


def test_another_result_for_the_same_attempt_is_an_alarm_and_does_not_count(far):
    far.declare(*LIAR, "other", "zf", "agent")
    far.task("t", "echo t", executor="far")
    far.task("u", "echo u", executor="far", needs=["t"])
    done = run(far, "r", 0, "-v")
    # That of the last task may come before the run is over, or not.
    late, *_ = of_type(far, "result_quarantined")
    assert (late["task"], late["executor"], late["differs"]) == ("t", "far", True)
    assert "it is in the quarantine" in done.err
    kept = (far.root / "proofs/.quarantine/r").iterdir()
    assert late["sha256"] in [sha256(one.read_bytes()).hexdigest() for one in kept]
    assert far.log("r", "t") == b"t\n"
    verified(far)
    assert far.zf("status", "r").code == 0


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("changed", "is not what it was when its task ended"),
        ("strange", "another attempt"),
        ("greedy", ""),
    ],
)
def test_what_an_agent_makes_up_does_not_count(far, mode, told):
    far.declare(*LIAR, mode, "zf", "agent")
    far.task("t", "echo t", executor="far")
    run(far, "r", 1)
    status = far.status("r", "t")
    assert (status["status"], status["cause"]) == ("lost", "worker")
    assert told in status["detail"]
    verified(far)


# ssh


def test_ssh_reaches_an_agent(far):
    """A real sshd of this user, with keys made for it."""
    if reason := sshd.why_not():
        pytest.skip(reason)
    folder = far.root.parent
    server = sshd.Sshd(folder / "sshd")
    try:
        far.declare(*server.start("env", f"XDG_CACHE_HOME={folder}/far", *AGENT))
        far.task("t", "echo $SSH_CONNECTION; echo out > $ARTIFACTS_DIR/x", executor="far")
        far.task("u", "cat $NEEDS_DIR/t/x", executor="far", needs=["t"])
        run(far)
        assert far.log("r", "u") == b"out\n"
        assert far.status("r", "t")["executor"] == "far"
        verified(far)
    finally:
        server.close()
    run(far, "gone", 1)
    assert far.status("gone", "t")["cause"] == "unreachable"
