"""Steps in whole runs: what is asked for before anything runs, what a run tells of its steps, what
its proof holds of them, and a forged record of one.
"""

import json
import os
import subprocess

import pytest

from tests.support import independent_verifier
from tests.support.program import heard

WHOLE = """\
id: t
phase: A
env: {PORT: 8080, URL: "http://localhost:${PORT}"}
commands:
  - name: Advice
    run: exit 3
    continue_on_error: true
  - name: Only elsewhere
    if: run.id == 'another' || ${MISSING:-} == 'x'
    run: echo never
  - name: Count
    shell: [python3, -c]
    env: {LIMIT: 10, TOKEN: hush-hush-2}
    workdir: tasks
    timeout_sec: 60
    run: |
      import os
      print(os.getcwd().rpartition("/")[2], os.environ["LIMIT"], os.environ["URL"])
  - name: After a failure
    if: failure()
    run: echo never
"""


@pytest.fixture
def whole(project):
    project.file("t", WHOLE)
    return project


def test_what_is_not_set_stops_the_run_before_anything_runs(project):
    project.task("a", "touch ran", required_env=["SLACK_HOOK", "SET"], phase="A")
    project.task("b", "touch ran", env={"URL": "${APP_URL}"}, pass_env=["APP_*"], phase="A")
    project.task("other", "true", required_env=["NOBODY_SETS_THIS"], phase="B")
    (project.root / "zf.yaml").write_text("required_env: [DEPLOY_ENV]\n")
    env = {"SET": "x", "DEPLOY_ENV": ""}
    done = project.zf("run-phase", "A", "--run-id", "r", env=env)
    assert done.code == 2
    assert [line for line in done.err.splitlines() if "error[" in line] == [
        "zf.yaml:1:16: error[ZF265]: the project requires DEPLOY_ENV, which is empty",
        "tasks/a/task.yaml:7:3: error[ZF265]: task 'a' requires SLACK_HOOK, which is not set",
        "tasks/b/task.yaml:5:8: error[ZF264]: 'URL' has no value: ${APP_URL} is not set",
    ]
    assert not (project.root / "ran").exists()
    assert not project.proof("r").exists()
    env |= {"SLACK_HOOK": "x", "DEPLOY_ENV": "x", "APP_URL": "x"}
    assert project.zf("run-phase", "A", "--run-id", "r", env=env).code == 0


def test_what_a_run_tells_of_its_steps(whole):
    done = whole.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err
    told = (
        "step 'Advice' exited with code 3, which is tolerated; step 'Only elsewhere' was skipped:"
        " condition is false: run.id == 'another' || ${MISSING:-} == 'x'"
        " (run.id = 'r', ${MISSING:-} = '')"
    )
    assert told in done.err
    assert told in whole.zf("explain", "r", "t").out
    assert whole.status("r", "t")["detail"] == told
    assert whole.log("r", "t", 2) == b"tasks 10 http://localhost:8080\n"
    everything = b"".join(p.read_bytes() for p in whole.proof("r").rglob("*") if p.is_file())
    assert b"hush-hush-2" not in everything
    commands = whole.json("r", "t", "10-commands", "commands.json")
    assert commands[0] == {"name": "Advice", "run": "exit 3", "continue_on_error": True}
    assert commands[2]["env"] == {"LIMIT": "10", "TOKEN": "***"}
    assert commands[3]["if"] == "failure()"
    assert whole.json("r", "t", "10-commands", "step-2.json")["env"]["LIMIT"] == "10"


def test_a_skipped_task_skips_what_needs_it_and_the_run_is_well(project):
    project.task("probe", "exit 77", skip_exit_codes=[77])
    project.task("dependent", "echo never", needs=["probe"])
    project.task("anyway", "echo on", needs=[{"task": "probe", "require": "done"}])
    done = project.zf("run-phase", "A", "--run-id", "r", "--junit", "junit.xml")
    assert done.code == 0, done.err
    ends = {name: project.status("r", name)["status"] for name in ("probe", "dependent", "anyway")}
    assert ends == {"probe": "skipped", "dependent": "skipped", "anyway": "success"}
    assert project.status("r", "dependent")["needs"] == {"probe": "skipped"}
    assert (
        "step 'step 1' exited with code 77: nothing to do"
        in project.zf("explain", "r", "probe").out
    )
    assert (project.root / "junit.xml").read_text().count("<skipped") == 2
    assert project.zf("verify", "r").code == 0
    assert "nothing to run again" in project.zf("rerun", "r", "--failed", "--run-id", "r2").err


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("step-0", {"tolerated": False}),
        ("step-0", {"status": "success", "exit_code": 0}),
        ("step-1", {"asked": {"value": True, "operands": {}, "error": ""}}),
        ("step-1", {"status": "not_run"}),
        ("step-2", {"env": {"LIMIT": "11", "TOKEN": "***"}}),
        ("step-2", {"argv": ["bash", "-c", "{0}"]}),
        ("step-2", {"workdir": "."}),
        ("step-3", {"if": "success()"}),
    ],
)
def test_a_forged_record_of_a_step_is_found(whole, file, change):
    assert whole.zf("run-phase", "A", "--run-id", "r").code == 0
    assert whole.zf("verify", "r").code == 0
    assert independent_verifier.verify(str(whole.proof("r")))[0]
    path = whole.proof("r", "t", "10-commands", f"{file}.json")
    path.chmod(0o644)
    record = json.loads(path.read_bytes())
    assert set(change) <= set(record)
    path.write_text(json.dumps(record | change))
    assert whole.zf("verify", "r").code == 1
    assert not independent_verifier.verify(str(whole.proof("r")))[0]


def test_a_run_that_is_resumed_answers_conditions_of_steps_as_before(whole):
    whole.task("first", "until test -e go; do sleep 0.05; done")
    whole.file("t", WHOLE.replace("phase: A\n", "phase: A\nneeds: [first]\n", 1))
    process = whole.popen("run-phase", "A", "--run-id", "r", "--progress", "json")
    heard(process, "attempt_started", task="first")
    process.kill()
    process.communicate()
    (whole.root / "go").touch()
    assert whole.zf("resume", "r").code == 0
    asked = whole.json("r", "t", "10-commands", "step-1.json")["asked"]
    assert asked["operands"] == {"run.id": "r", "${MISSING:-}": ""}


def test_a_replayed_task_runs_its_steps_as_they_ran(whole, project):
    def git(*words):
        who = {
            f"GIT_{role}_{key}": "a"
            for role in ("AUTHOR", "COMMITTER")
            for key in ("NAME", "EMAIL")
        }
        subprocess.run(["git", *words], cwd=project.root, env={**os.environ, **who}, check=True)

    (project.root / ".gitignore").write_text("proofs/\n")
    text = WHOLE.replace("TOKEN: hush-hush-2", 'OF: "${PASSED}"').replace(
        "phase: A\n", "phase: A\npass_env: [PASSED]\n", 1
    )
    project.file("t", text.replace("${MISSING:-} == 'x'", "${MISSING:-} != ''"))
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    assert project.zf("run-phase", "A", "--run-id", "r", env={"PASSED": "p"}).code == 0
    done = project.zf("replay", "r", "t", "--json", env={"PASSED": "p", "MISSING": "now there"})
    assert done.code == 0, done.err
    again = json.loads(done.out)
    assert again["same"], done.out


def test_what_comes_after_a_skipped_step_is_told_like_any_other(project):
    project.file(
        "t",
        "id: t\nphase: A\ncommands:\n"
        '  - {name: never, run: echo never, if: "false"}\n'
        "  - {name: two, run: echo two}\n"
        '  - {name: never, run: echo never, if: "false"}\n'
        "  - {name: four, run: echo four}\n"
        "  - {name: never, run: echo never, if: failure()}\n"
        "cleanup:\n"
        '  - {run: echo never, if: "false"}\n'
        "  - {run: echo clean}\n",
    )
    done = project.zf("run-phase", "A", "--run-id", "r", "--json", "--trace", "trace.json")
    assert done.code == 0, done.err
    assert project.zf("logs", "r", "t").out == "two\nfour\nclean\n"
    log = json.loads(done.out)["tasks"]["t"]["log"]
    assert log.endswith("/t/20-logs/step-3.log")
    trace = (project.root / "trace.json").read_text()
    assert [name in trace for name in ('"two"', '"four"', '"never"')] == [True, True, False]
