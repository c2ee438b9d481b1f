"""Services of tasks: real servers, ready in time, their logs in the proof, and gone however the task,
or zf itself, ends.
"""

import glob
import itertools
import json
import os
import pwd
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.independent_verifier import verify as independent
from tests.support.program import heard, survivors
from tests.support.waiting import eventually

REDIS = 'exec redis-server --port $SVC_CACHE_PORT --save "" --dir "$ARTIFACTS_DIR"'
PING = 'test "$(redis-cli -p $SVC_CACHE_PORT ping)" = PONG'
CACHE = {"name": "cache", "run": REDIS, "ready": PING, "ports": ["redis"]}
# What a test needs no server for: it says that it was started, and that it was told to end.
# The shell itself makes the file: another program may be held up by a slow disk once it is there,
# and a shell hears of TERM only when that has ended.
_GOES_ON = 'echo started; : > "ready.$ATTEMPT"; while :; do sleep 0.1; done'
PLAIN = f"trap 'echo told to end; exit 0' TERM; {_GOES_ON}"
DEAF = f"trap '' TERM; {_GOES_ON}"
READY = 'test -e "ready.$ATTEMPT"'
with_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
_POSTGRES = [*glob.glob("/usr/lib/postgresql/*/bin"), ""][0]
PATIENCE_S = 60


def marked(project, **spec):
    """A project whose services can be told from all else that runs."""
    project.env["MARK"] = project.mark
    return {"services": [{"ready": READY, **spec}], "pass_env": ["MARK"]}


def log(project, run, task, service):
    return project.proof(run, task, "20-logs", f"service-{service}.log").read_text()


def ended(project, run, **wanted):
    """The only end of a service with these fields."""
    found = [e for e in project.events(run) if e["type"] == "service_ended"]
    (one,) = [e for e in found if wanted.items() <= e.items()]
    return one


def check_whole(project, run):
    """The proof holds by zf's word and by that of a verifier that shares nothing with it."""
    done = project.zf("verify", run)
    assert done.code == 0, done.out
    assert independent(project.proof(run)) == (True, True)


def await_gone(project):
    left = f"MARK={project.mark}"
    eventually(lambda: survivors(left), of=lambda found: not found, seconds=PATIENCE_S)


@with_redis
def test_a_task_finds_its_service_ready_and_it_is_gone_after(project):
    steps = (
        'redis-cli -p $SVC_CACHE_PORT set key "$URL"',
        "redis-cli -p $SVC_CACHE_REDIS_PORT get key",
    )
    keys = marked(project, **CACHE)
    project.task("t", *steps, env={"URL": "redis://localhost:${SVC_CACHE_PORT}/0"}, **keys)
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err
    assert survivors(f"MARK={project.mark}") == []
    one = ended(project, "r", name="cache", task="t", cause="stopped", exit_code=0, attempt=1)
    port = one["ports"]["redis"]
    assert f"redis://localhost:{port}/0" in project.log("r", "t", 1).decode()
    assert "Ready to accept connections" in log(project, "r", "t", "cache")
    said = project.status("r", "t")["services"]["cache"]
    assert said["ports"] == {"redis": port}
    assert said["ready_s"] == one["ready_s"] > 0
    check_whole(project, "r")


@pytest.mark.skipif(not _POSTGRES, reason="no PostgreSQL")
def test_postgresql_runs_as_a_service(project):
    """It refuses to be root's, and has processes of its own."""
    with database(project) as spec:
        query = "psql -h localhost -U zf -p $SVC_DB_PORT -Atc 'select 6 * 7' postgres"
        project.task("t", query, **marked(project, **spec))
        done = project.zf("run-phase", "A", "--run-id", "r")
        assert done.code == 0, done.err
        assert survivors(f"MARK={project.mark}") == []
    assert project.log("r", "t") == b"42\n"
    assert "database system is shut down" in log(project, "r", "t", "db")
    check_whole(project, "r")


@contextmanager
def database(project):
    """PostgreSQL, with a folder of its own for each attempt, as whoever it lets itself be."""
    with tempfile.TemporaryDirectory() as top:
        data, become = f"{top}/data.$ATTEMPT", ""
        if os.geteuid() == 0:
            become = f"setpriv --reuid={_as()} --regid={_as()} --clear-groups "
            os.chown(top, _as(), _as())
        project.env["PATH"] += f":{_POSTGRES}"
        run = (
            f"{become}initdb --no-sync --auth=trust --username=zf {data}\n"
            f"exec {become}postgres -D {data} -k {top} -p $SVC_DB_PORT -c fsync=off"
        )
        ready = "pg_isready --host localhost --port $SVC_DB_PORT"
        yield {"name": "db", "run": run, "ready": ready, "ports": [5432]}


@contextmanager
def cache(_project):
    yield {**CACHE, "run": CACHE_OF_PHASE["run"]}


def _as():
    return pwd.getpwnam("postgres").pw_uid


SERVERS = {
    "PostgreSQL": (database, "ready to accept connections", bool(_POSTGRES)),
    "Redis": (cache, "Ready to accept connections", shutil.which("redis-server") is not None),
}
# What the step does the first time, what ends it, and with which code.
SERVER_ENDS = {
    "success": ("true", None, 0),
    "failure": ("exit 3", None, 1),
    "timeout": ("sleep 300", None, 1),
    "ctrl-c": ("sleep 300", signal.SIGINT, 130),
    "the runner": ("sleep 300", signal.SIGKILL, -9),
    "all of zf": ("sleep 300", signal.SIGKILL, -9),
}
_IN_THE_SUITE = {("PostgreSQL", "all of zf"), ("Redis", "timeout")}
_EACH = [
    pytest.param(*one, marks=() if one in _IN_THE_SUITE else pytest.mark.campaign)
    for one in itertools.product(SERVERS, SERVER_ENDS)
]


@pytest.mark.parametrize(("server", "how"), _EACH)
def test_a_real_server_is_gone_however_it_ends(project, server, how):
    """Ready before the step, in the proof with its log, and none of its processes is left."""
    made, ready, is_there = SERVERS[server]
    if not is_there:
        pytest.skip(f"no {server}")
    script, number, code = SERVER_ENDS[how]
    with made(project) as spec:
        keys = marked(project, **spec)
        keys |= {"timeout_sec": 2} if how == "timeout" else {}
        project.task("t", f'test "$ATTEMPT" = 2 || {{ touch up; {script}; }}', **keys)
        process = project.popen("run-phase", "A", "--run-id", "r", start_new_session=True)
        eventually((project.root / "up").exists, seconds=PATIENCE_S)
        if number is not None:
            assert survivors(f"MARK={project.mark}")
            for pid in _all_of_zf(process.pid) if how == "all of zf" else [process.pid]:
                os.kill(pid, number)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code
        if how == "all of zf":
            assert survivors(f"MARK={project.mark}")
        if number == signal.SIGKILL:
            if how == "the runner":
                await_gone(project)
            done = project.zf("resume", "r")
            assert done.code == 0, done.err
        assert survivors(f"MARK={project.mark}") == []
    assert ready in log(project, "r", "t", spec["name"])
    check_whole(project, "r")


ENDS = {
    "failure": ("exit 3", {}, "exit"),
    "timeout": ("sleep 60", {"timeout_sec": 1}, "timeout"),
    "what it left": ("sleep 60 & disown", {}, "survivors"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_service_ends_with_its_task(project, how):
    script, more, cause = ENDS[how]
    project.task("t", script, **marked(project, name="plain", run=PLAIN), **more)
    assert project.zf("run-phase", "A", "--run-id", "r").code in {1, 124}
    assert project.status("r", "t")["cause"] == cause
    assert survivors(f"MARK={project.mark}") == []
    text = log(project, "r", "t", "plain")
    assert text.startswith("started\n")
    assert text.endswith("told to end\n")
    assert ended(project, "r", cause="stopped")["exit_code"] == 0
    check_whole(project, "r")


def test_a_service_that_does_not_listen_is_killed(project):
    project.task("t", "true", **marked(project, name="deaf", run=DEAF))
    done = project.zf("run-phase", "A", "--run-id", "r", "--grace", "0.2")
    assert done.code == 0, done.err
    assert ended(project, "r", cause="stopped")["signal"] == signal.SIGKILL
    assert survivors(f"MARK={project.mark}") == []


def test_it_ends_with_ctrl_c(project):
    project.task("t", "sleep 60", **marked(project, name="plain", run=PLAIN))
    process = project.popen("run-phase", "A", "--run-id", "r", "--progress", "json")
    heard(process, "service_started")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert survivors(f"MARK={project.mark}") == []
    assert ended(project, "r")["cause"] == "stopped"
    check_whole(project, "r")


@pytest.mark.parametrize("whom", ["the runner", "all of zf"])
def test_it_is_gone_after_zf_was_killed(project, whom):
    """By itself when its worker lives on; else with the next command."""
    run = PLAIN if whom == "the runner" else DEAF
    project.task("t", 'test "$ATTEMPT" = 2 || sleep 60', **marked(project, name="plain", run=run))
    process = project.popen(
        "run-phase", "A", "--run-id", "r", "--grace", "0.5", start_new_session=True
    )
    eventually((project.root / "ready.1").exists, seconds=PATIENCE_S)
    if whom == "all of zf":
        for pid in _all_of_zf(process.pid):
            os.kill(pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=PATIENCE_S)
    if whom == "all of zf":
        assert survivors(f"MARK={project.mark}")
        done = project.zf("resume", "r")
        assert done.code == 0, done.err
        check_whole(project, "r")
    await_gone(project)


def _all_of_zf(runner):
    """The runner, its workers and what holds services: all that runs this Python, stopped first."""
    found, name = [runner], _program(runner)
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
        for thread in Path(f"/proc/{pid}/task").iterdir():
            below = (thread / "children").read_text().split()
            found += [int(one) for one in below if _program(one) == name]
    return found


def _program(pid):
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")


FAILURES = {
    "dies": ({"run": "echo cannot bind >&2; exit 3"}, "died", "it exited with code 3", 3),
    "is not ready": (
        {"run": "echo starting; sleep 60", "ready": "false", "ready_timeout_sec": 0.5},
        "not_ready",
        "`false` did not succeed in 0.5 s",
        None,
    ),
    "does not listen": (
        {"run": "echo starting; sleep 60", "ports": ["http"], "ready_timeout_sec": 0.5},
        "not_ready",
        "nothing listened on its ports in 0.5 s",
        None,
    ),
}


@pytest.mark.parametrize("how", FAILURES)
def test_one_that_fails_fails_the_task(project, how):
    spec, cause, why, code = FAILURES[how]
    more = {"ready": "false"} if how == "dies" else {}
    project.task(
        "t", "echo never", cleanup=["echo cleaned"], services=[{"name": "bad", **spec, **more}]
    )
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    status = project.status("r", "t")
    assert (status["cause"], status["step"]) == ("service", None)
    assert f"{why}; its log (20-logs/service-bad.log) begins: " in status["detail"]
    assert status["detail"] in done.out
    assert status["services"]["bad"]["cause"] == cause
    assert ended(project, "r", cause=cause)["exit_code"] == code
    assert project.json("r", "t", "10-commands", "step-0.json")["status"] == "not_run"
    assert project.json("r", "t", "10-commands", "cleanup-0.json")["status"] == "success"
    check_whole(project, "r")


def test_one_that_dies_ends_the_step_under_way(project):
    go = project.root / "go"
    spec = {
        "name": "bad",
        "run": f"until test -e {go}; do sleep 0.05; done; echo oh no; kill -9 $$",
    }
    project.task("t", f"touch {go}; sleep 60", services=[spec])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.status("r", "t")
    assert (status["cause"], status["step"]) == ("service", 0)
    assert (
        "it was ended by SIGKILL; its log (20-logs/service-bad.log) begins: oh no"
        in status["detail"]
    )
    check_whole(project, "r")


def test_a_secret_is_in_no_log_of_a_service(project):
    project.env["API_TOKEN"] = "hunter2-hunter2"
    spec = {"name": "s", "run": f'echo "token $API_TOKEN"; {PLAIN}', "ready": READY}
    project.task("t", "true", pass_env=["API_TOKEN"], services=[spec])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert "token ***" in log(project, "r", "t", "s")
    assert project.status("r", "t")["redactions"] == {"secret:API_TOKEN": 1}


def test_a_retry_has_services_and_logs_of_its_own(project):
    project.task("t", 'test "$ATTEMPT" = 2', max_retries=1, **marked(project, name="s", run=PLAIN))
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    first = project.proof("r", "t", "attempts", "1", "20-logs", "service-s.log").read_text()
    assert first == log(project, "r", "t", "s")
    assert [e["attempt"] for e in project.events("r") if e["type"] == "service_ended"] == [1, 2]
    check_whole(project, "r")


@with_redis
def test_tasks_side_by_side_have_ports_of_their_own(project):
    spec = {"name": "cache", "run": REDIS, "ports": ["redis", "other"], "ready": PING}
    for name in "ab":
        project.task(name, "redis-cli -p $SVC_CACHE_PORT ping", services=[spec], parallel_safe=True)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    ports = [
        number
        for e in project.events("r")
        if e["type"] == "service_started"
        for number in e["ports"].values()
    ]
    assert len(set(ports)) == 4


@with_redis
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap")
def test_in_a_sandbox_it_is_on_the_network_of_the_steps_and_on_no_other(project):
    """The runner, on the network of the system, finds nothing on that port."""
    outside = project.root / "outside"
    spec = {**CACHE, "run": REDIS.replace("$ARTIFACTS_DIR", "/tmp")}
    project.task(
        "t",
        "redis-cli -p $SVC_CACHE_PORT ping; echo $SVC_CACHE_PORT > port; sleep 0.2",
        "! (echo > /dev/tcp/1.1.1.1/53) 2>/dev/null",
        sandbox={"write": ["port"]},
        services=[spec],
    )
    outside.touch()
    (project.root / "port").touch()
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, (done.err, project.log("r", "t"))
    assert project.status("r", "t")["isolation"] == "sandbox"
    assert b"PONG" in project.log("r", "t")
    assert ended(project, "r")["cause"] == "stopped"
    check_whole(project, "r")


def test_a_shell_says_that_it_has_none(project):
    project.task("t", "true", services=[CACHE], memory_mb=100)
    done = project.zf("shell", "t", "-c", "echo ${SVC_CACHE_PORT:-none}")
    assert done.out == "none\n"
    assert "note: services are not started here (cache), and the variables of their" in done.err
    assert "note: the limits of the task are not held here" in done.err


def test_services_that_cannot_be_meant_are_told_with_their_place(project):
    project.file(
        "t",
        "id: t\nphase: A\nenv: {SVC_B_PORT: '1'}\nservices:\n"
        "  - {name: a}\n"
        "  - {name: b, run: x, image: y}\n"
        "  - {name: c-d, run: x, ports: [p, P]}\n"
        "  - {name: c.d, run: x, ports: [p]}\n"
        "  - {name: b, run: x, ports: [1]}\n"
        "  - {name: e, image: 'nginx:${V}', ports: [http]}\n"
        "  - {name: f, run: x, env: {A: b}}\n"
        "commands: ['true']\n",
    )
    done = project.zf("validate")
    assert done.code == 2
    told = [line for line in (done.out + done.err).splitlines() if ": error[" in line]
    assert told == [
        "tasks/t/task.yaml:3:7: error[ZF712]: 'SVC_B_PORT' is the port of service 'b', which zf sets",
        "tasks/t/task.yaml:5:5: error[ZF710]: service 'a' says neither `run` nor `image`",
        "tasks/t/task.yaml:6:23: error[ZF710]: service 'b' has both `run` and `image`",
        (
            "tasks/t/task.yaml:7:32: error[ZF711]: two ports of service 'c-d' are told as"
            " $SVC_C_D_P_PORT"
        ),
        "tasks/t/task.yaml:8:12: error[ZF711]: service 'c.d' has that of 'c-d' in variables",
        "tasks/t/task.yaml:9:12: error[ZF711]: service 'b' has the name of another",
        (
            "tasks/t/task.yaml:10:22: error[ZF713]: the image of service 'e' has a variable, which"
            " is not known before"
        ),
        (
            "tasks/t/task.yaml:10:44: error[ZF713]: port 'http' of service 'e' is no number, and"
            " that is an image"
        ),
        (
            "tasks/t/task.yaml:11:23: error[ZF713]: service 'f' is a script, which has the variables"
            " of the task"
        ),
    ]


# Of phases


def phased(project, *, tasks=(), **spec):
    """A phase A with this service, and tasks in it by their scripts."""
    project.env["MARK"] = project.mark
    said = {"pass_env": ["MARK"], "phases": {"A": {"services": [{"ready": "true", **spec}]}}}
    (project.root / "zf.yaml").write_text(json.dumps(said))
    for name, script in tasks:
        project.task(name, script, parallel_safe=True)


_ALL = "echo started; while :; do sleep 0.1; done"
BESIDE = f"trap 'echo told to end; exit 0' TERM; {_ALL}"


@with_redis
def test_the_tasks_of_a_phase_share_its_services(project):
    phased(project, tasks=[("a", "redis-cli -p $SVC_CACHE_PORT set key 1")], **CACHE_OF_PHASE)
    project.task("b", "redis-cli -p $X get key", needs=["a"], env={"X": "${SVC_CACHE_REDIS_PORT}"})
    project.task("later", 'test -z "${SVC_CACHE_PORT:-}"', phase="B")
    done = project.zf("run-phase", "A", "B", "--run-id", "r")
    assert done.code == 0, done.err
    assert project.log("r", "b") == b"1\n"
    one = ended(project, "r", name="cache", task=None, phase="A", cause="stopped", exit_code=0)
    assert one["log"] == "service@A@cache.log"
    assert "Ready to accept connections" in project.proof("r", one["log"]).read_text()
    kinds = [e["type"] for e in project.events("r")]
    assert kinds.count("service_started") == 1
    assert kinds.index("service_ended") < kinds.index("phase_ended")
    assert survivors(f"MARK={project.mark}") == []
    check_whole(project, "r")


CACHE_OF_PHASE = {**CACHE, "run": 'exec redis-server --port $SVC_CACHE_PORT --save ""'}


def test_a_service_of_a_phase_that_is_not_ready_fails_its_tasks(project):
    spec = {"name": "s", "run": "echo no; sleep 60", "ready": "false", "ready_timeout_sec": 0.5}
    phased(project, tasks=[("a", "touch ran"), ("b", "touch ran")], **spec)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    for name in "ab":
        status = project.status("r", name)
        assert (status["cause"], status["step"]) == ("service", None)
        assert "its log (service@A@s.log) begins: no" in status["detail"]
    assert not (project.root / "ran").exists()
    assert ended(project, "r")["cause"] == "not_ready"
    assert survivors(f"MARK={project.mark}") == []
    check_whole(project, "r")


def test_one_that_dies_ends_what_runs_of_its_phase(project):
    run = "until test -e go; do sleep 0.05; done; echo oh no; exit 3"
    phased(project, tasks=[("a", "touch go; sleep 60"), ("b", "sleep 60")], name="s", run=run)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    assert {project.status("r", name)["cause"] for name in "ab"} == {"service"}
    assert ended(project, "r", cause="died")["exit_code"] == 3
    check_whole(project, "r")


@pytest.mark.parametrize("how", ["ctrl-c", "the runner", "all of zf"])
def test_a_service_of_a_phase_is_gone_however_zf_ends(project, how):
    spec = {"name": "s", "run": BESIDE if how == "ctrl-c" else f"trap '' TERM; {_ALL}"}
    phased(project, tasks=[("a", 'touch up; test "$ATTEMPT" = 2 || sleep 60')], **spec)
    words = "run-phase", "A", "--run-id", "r", "--grace", "0.5"
    process = project.popen(*words, start_new_session=True)
    eventually((project.root / "up").exists, seconds=PATIENCE_S)
    if how == "ctrl-c":
        process.send_signal(signal.SIGINT)
    else:
        for pid in _all_of_zf(process.pid) if how == "all of zf" else [process.pid]:
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    if how == "all of zf":
        assert survivors(f"MARK={project.mark}")
        done = project.zf("resume", "r")
        assert done.code == 0, done.err
    await_gone(project)
    if how != "the runner":
        check_whole(project, "r")
