"""The verbs around a run: validate, list, plan, schema, status, explain, logs, and misuse."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import proof_schemas
from tests.support.program import ZF
from zf.cli import main


def small_flow(project):
    project.task("10-a", "true", title="The first")
    project.task("20-b", "exit 3", needs=["10-a"], parallel_safe=True)
    project.task("30-c", "true", needs=["20-b"], phase="B")


def test_version_needs_no_project(tmp_path):
    done = subprocess.run([*ZF, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "zf 0.1.0\n")


def test_no_arguments_show_the_help(project):
    done = project.zf()
    assert "run-phase" in done.out + done.err


def test_validate_says_what_is_there(project):
    small_flow(project)
    done = project.zf("validate")
    assert (done.code, done.out, done.err) == (0, "3 tasks in 2 phases: valid\n", "")
    done = project.zf("validate", "--json")
    assert json.loads(done.out) == {"valid": True, "tasks": 3, "phases": 2, "problems": []}


def test_validate_reports_all_problems_of_all_files_together(project):
    project.file("a", "id: a\nphase: A\nneeds: [b]\ncommands: [{name: x, run: 'true'}]\n")
    project.file("c", "id: c\nphase: A\ntimeout_sec: '300'\ncommands: []\n")
    done = project.zf("validate")
    assert done.code == 2
    assert done.out == ""
    assert "tasks/a/task.yaml:3:9: error[" in done.err
    assert "tasks/c/task.yaml:3:14: error[" in done.err
    assert done.err.endswith("3 errors in 2 files\n")
    found = json.loads(project.zf("validate", "--json").out)
    assert found["valid"] is False
    assert [problem["file"] for problem in found["problems"]] == [
        "tasks/a/task.yaml",
        "tasks/c/task.yaml",
        "tasks/c/task.yaml",
    ]


@pytest.mark.parametrize("verb", [("run-phase", "A"), ("run-task", "a"), ("plan", "A"), ("list",)])
def test_invalid_task_files_stop_every_verb_before_anything_is_written(project, verb):
    project.file("a", "id: b\nphase: A\ncommands: [{name: x, run: 'true'}]\n")
    done = project.zf(*verb)
    assert done.code == 2
    assert "tasks/a/task.yaml:1:5: error[" in done.err
    assert not (project.root / "proofs").exists()


def test_list(project):
    small_flow(project)
    done = project.zf("list")
    assert done.out == "A\n  10-a  The first\n  20-b\nB\n  30-c\n"
    rows = json.loads(project.zf("list", "--json").out)
    assert [row["id"] for row in rows] == ["10-a", "20-b", "30-c"]


def test_plan_and_dry_run_show_the_same_and_run_nothing(project):
    small_flow(project)
    plan = project.zf("plan", "A", "B")
    dry = project.zf("run-phase", "A", "B", "--dry-run")
    assert plan.code == dry.code == 0
    assert plan.out == dry.out == project.zf("plan").out
    assert json.loads(project.zf("plan", "A", "B", "--json").out)["schema"] == "zf/plan/v2"
    assert project.zf("plan", "A", "--format", "mermaid").out.startswith("flowchart")
    assert project.zf("plan", "A", "--format", "dot").out.startswith("digraph")
    assert not (project.root / "proofs").exists()


@pytest.mark.parametrize("name", ["ZF_PHASE_TIMEOUT_SEC", "PHASE_TIMEOUT_SEC"])
def test_plan_shows_what_the_same_environment_would_run(project, name):
    small_flow(project)
    (project.root / "zf.yaml").write_text("phases: {A: {timeout_sec: 70}}\n")
    env = {name: "45"}
    plan = project.zf("plan", "A", "B", env=env)
    assert plan.out == project.zf("run-phase", "A", "B", "--dry-run", env=env).out
    assert "45" in plan.out
    found = json.loads(project.zf("plan", "A", "--json", env=env).out)
    assert [phase["timeout_s"] for phase in found["phases"]] == [45]
    assert project.zf("plan", "A", env={name: "soon"}).code == 2


def test_validate_finds_a_resource_that_only_a_run_would_miss(project):
    project.task("a", "true", resources={"db": 2, "cpu": 1})
    done = project.zf("validate")
    assert done.code == project.zf("run-phase", "A").code == 2
    assert "error[ZF107]: task 'a' asks for 2 'db', of which there is 0" in done.err
    assert project.zf("validate", "--resource", "db=2").code == 0
    (project.root / "zf.yaml").write_text("resources: {db: 2}\n")
    assert project.zf("validate").code == 0
    # What this machine has too little of, the one that runs the task may have.
    project.task("a", "true", resources={"cpu": 100_000})
    done = project.zf("validate")
    assert (done.code, "warning[ZF107]" in done.err) == (0, True)
    assert json.loads(project.zf("validate", "--json").out)["valid"] is True


def test_validate_warns_of_a_workdir_that_nothing_could_make(project):
    project.task("a", "true", workdir="nowhere")
    project.task("b", "true", workdir="nowhere", needs=["a"])
    (project.root / "here").mkdir()
    project.task("c", "true", workdir="here")
    done = project.zf("validate")
    assert done.code == 0
    assert done.err.count("ZF232") == 1
    assert "warning[ZF232]: workdir 'nowhere' of task 'a'" in done.err


def test_the_folder_of_proofs_is_ignored_by_git_when_zf_makes_it(project):
    small_flow(project)
    subprocess.run(["git", "init", "-q"], cwd=project.root, env=project.env, check=True)
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    seen = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=project.root,
        env=project.env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "tasks/" in seen
    assert "proofs" not in seen
    # A folder that is there is the user's: nothing is put into it.
    shutil.rmtree(project.proof("r1").parent)
    project.proof("r1").parent.mkdir()
    assert project.zf("run-task", "10-a").code == 0
    assert not (project.proof("r1").parent / ".gitignore").exists()


def test_a_need_outside_the_run_is_refused_with_the_remedy(project):
    small_flow(project)
    done = project.zf("run-phase", "B")
    assert done.code == 2
    assert "20-b" in done.err
    assert "hint: zf run B (" in done.err
    assert not (project.root / "proofs").exists()


def test_unknown_names_are_answered_with_a_near_one(project):
    small_flow(project)
    done = project.zf("run-task", "10-b")
    assert done.code == 2
    assert "did you mean" in done.err
    assert project.zf("run-phase", "Z").code == 2
    assert project.zf("run-phase").code == 2
    assert project.zf("no-such-verb").code == 2
    assert project.zf("run-phase", "A", "--no-such-option").code == 2


def test_outside_a_project(tmp_path):
    done = subprocess.run([*ZF, "list"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "tasks/" in done.stderr


def test_the_directory_option_stands_before_or_after_the_verb(project, tmp_path):
    small_flow(project)
    root = str(project.root)
    assert project.zf("-C", root, "list", cwd=tmp_path).out.startswith("A\n")
    assert project.zf("list", "-C", root, cwd=tmp_path).out.startswith("A\n")
    bad = project.zf("list", "-C", f"{root}/nowhere")
    assert bad.code == 2
    assert "nowhere: No such file or directory" in bad.err


def test_a_subfolder_finds_the_project(project):
    small_flow(project)
    (project.root / "deep" / "down").mkdir(parents=True)
    assert project.zf("list", cwd=project.root / "deep" / "down").out.startswith("A\n")


def test_schema_is_what_is_committed(project):
    for which in ("task", "project"):
        committed = f"{os.path.dirname(__file__)}/../../docs/reference/schemas/{which}.schema.json"
        with open(committed) as file:
            assert json.loads(project.zf("schema", which).out) == json.load(file)


def test_status_lists_runs_newest_first_and_the_tasks_of_one(project):
    small_flow(project)
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    assert project.zf("run-task", "10-a", "--run-id", "r2").code == 0
    rows = json.loads(project.zf("status", "--json").out)
    assert [row["run_id"] for row in rows] == ["r2", "r1"]
    assert [row["result"] for row in rows] == ["passed", "failed"]
    assert rows[1]["counts"]["failure"] == 1
    lines = project.zf("status").out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "r2", "r1"]
    one = json.loads(project.zf("status", "r1", "--json").out)
    assert one["tasks"] == {"10-a": "success", "20-b": "failure"}
    assert "20-b" in project.zf("status", "latest").out + project.zf("status", "r1").out
    assert project.zf("status", "r3").code == 2


def test_logs_and_explain_of_what_is_not_there(project):
    small_flow(project)
    project.zf("run-phase", "A", "--run-id", "r1")
    assert project.zf("logs", "r1", "nope").code == 2
    assert project.zf("logs", "r1", "10-a", "--step", "9").code == 2
    assert project.zf("explain", "r1", "nope").code == 2
    assert project.zf("explain", "r1", "20-b").out.startswith("20-b: failure\n")
    assert json.loads(project.zf("explain", "r1", "--json").out)["schema"] == "zf/blocked/v2"


def test_json_result(project):
    small_flow(project)
    project.task("30-c", "true", "true", needs=["20-b"])
    done = project.zf("run-phase", "A", "--run-id", "r1", "--json", "--progress", "json")
    result = json.loads(done.out)
    proof_schemas.check(result, "result")
    assert (result["result"], result["exit_code"]) == ("failed", 1)
    proof = str(project.proof("r1"))
    assert result["proof"] == proof
    tasks = result["tasks"]
    assert {name: task["status"] for name, task in tasks.items()} == {
        "10-a": "success",
        "20-b": "failure",
        "30-c": "blocked",
    }
    status = project.status("r1", "20-b")
    assert tasks["20-b"] == {
        "status": "failure",
        "cause": "exit",
        "duration_s": status["duration_s"],
        "attempt": 1,
        "log": f"{proof}/20-b/20-logs/step-{status['step']}.log",
        "proof": f"{proof}/20-b",
    }
    assert tasks["10-a"]["cause"] is None
    assert (tasks["30-c"]["attempt"], tasks["30-c"]["log"]) == (0, None)
    assert tasks["30-c"]["cause"] == "need"
    for task in tasks.values():
        assert os.path.isdir(task["proof"])
        assert task["log"] is None or os.path.isfile(task["log"])
    told = [json.loads(line) for line in done.err.splitlines()]
    assert told[0]["type"] == "run_started"
    assert told[-1]["type"] == "run_ended"


def test_the_log_of_a_success_is_that_of_its_last_step(project):
    project.task("a", "echo one", "echo two")
    result = json.loads(project.zf("run-task", "a", "--json").out)
    with open(result["tasks"]["a"]["log"]) as log:
        assert log.read() == "two\n"


def test_quiet_prints_failures_and_one_line(project):
    small_flow(project)
    project.task("20-b", "echo no; exit 3", needs=["10-a"])
    project.task("30-c", "true", needs=["20-b"])
    done = project.zf("run-phase", "A", "--run-id", "r1", "-q")
    assert done.err == ""
    head, *body, blank, last = done.out.splitlines()
    assert re.fullmatch(r". 20-b failed after .*, holds up 1 task", head)
    assert body[0] == "    | no"
    assert blank == ""
    assert re.fullmatch(r"FAIL r1: 3 tasks: 1 success, 1 failure, 1 blocked in .*s", last)
    done = project.zf("run-task", "10-a", "--run-id", "r2", "-q")
    assert (done.err, done.out.count("\n")) == ("", 1)
    assert done.out.startswith("PASS r2: 1 task: 1 success in ")


def test_output_modes(project):
    project.task("a", "echo one; echo two")
    assert "one" not in project.zf("run-phase", "A", "--output", "quiet").err
    assert "a | one\na | two\n" in project.zf("run-phase", "A", "--output", "prefix").err
    assert "  | one\n  | two\n" in project.zf("run-phase", "A", "--output", "group").err


def test_a_failed_tasks_last_lines_are_shown(project):
    project.task("a", "echo the reason; exit 1")
    done = project.zf("run-phase", "A")
    assert "| the reason" not in done.err
    assert done.out.count("| the reason") == 1
    # Without a summary it is told at once.
    assert "| the reason" in project.zf("run-phase", "A", "--json").err


def test_a_run_with_nothing_but_tolerated_failures_passes_and_shows_them(project):
    project.task("a", "echo advice; exit 42", allow_failure={"exit_codes": [42]})
    project.task("b", "true", needs=["a"])
    # Never starts: the journal, too, says that this is tolerated.
    project.task("c", "true", start_after=5, deadline_sec=0.01, allow_timeout=True)
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert done.code == 0
    assert "✕ warned    a  " in done.err
    for text in (done.out, project.zf("explain", "r1").out):
        assert "\n✕ a failed after " in "\n" + text
        assert "tolerated (warned): step 'step 1' exited with code 42\n  proof: " in text
        assert "c timed out, tolerated (warned): " in text
        assert (
            "\nPASS r1: 3 tasks: 1 success, 1 failure (1 warned), 1 timeout (1 warned) in " in text
        )
    assert project.zf("explain", "r1", "a").out.startswith("a: failure (warned)\n")
    [row] = json.loads(project.zf("status", "--json").out)
    assert (row["result"], row["warned"], row["flaky"]) == ("passed", ["a", "c"], [])
    assert "1 failure (1 warned), 1 timeout (1 warned)" in project.zf("status").out
    assert "\na     warned " in project.zf("status", "r1").out
    ends = {e["task"]: e["warned"] for e in project.events("r1") if "warned" in e}
    assert ends == {"a": True, "b": False, "c": True}
    assert project.status("r1", "c")["conclusion"] == "warned"
    verified = project.zf("verify", "r1")
    assert verified.code == 0
    # Where the machine has no shield, no task is shielded; `c` never is, as it never starts.
    ended = r"3 of 3 planned tasks ended \(2 warned\)( \(2 shielded\))?; closed, sealed"
    assert re.search(ended, verified.out)


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("quiet", ["✕ failure   a", "↻ retry     a  attempt 2 at once", "↻ success   a"]),
        ("prefix", ["a | try 1", "✕ failure   a", "↻ retry     a", "a | try 2", "↻ success   a"]),
        ("group", ["log of a (failure", "  | try 1", "log of a (success", "  | try 2"]),
    ],
)
def test_each_attempt_is_told_with_its_own_output_though_the_next_one_runs(project, output, lines):
    project.task("a", "echo try $ATTEMPT; test $ATTEMPT = 2", max_retries=1)
    done = project.zf("run-phase", "A", "--output", output, "--run-id", "r1")
    assert done.code == 0
    at = -1
    for line in lines:
        at = done.err.index(f"\n{line}", at + 1)
    assert done.err.count("try 1") == (output != "quiet")
    assert "PASS r1: 1 task: 1 success (1 flaky) in " in done.out
    told = project.zf("explain", "r1", "a").out
    assert told.startswith("a: success (flaky)\n")
    assert "  tried:    attempt 1: failure after " in told
    assert "; attempt 2 scheduled at once\n" in told
    assert (project.status("r1", "a")["flaky"], project.status("r1", "a")["attempt"]) == (True, 2)
    [row] = json.loads(project.zf("status", "--json").out)
    assert row["flaky"] == ["a"]
    verified = project.zf("verify", "r1")
    ended = r"1 of 1 planned tasks ended \(1 flaky\)( \(1 shielded\))?; closed, sealed"
    assert re.search(ended, verified.out)


def test_a_condition_is_told_with_its_values_whatever_it_came_to(project):
    project.task("a", "true", condition="${WANTED} == 'yes'", env={"WANTED": "yes"})
    project.task("b", "true", condition="${WANTED} == 'yes'", env={"WANTED": "no"})
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    for name, answer, value in (("a", "true", "yes"), ("b", "false", "no")):
        told = project.zf("explain", "r1", name).out
        asked = f"condition is {answer}: ${{WANTED}} == 'yes' (${{WANTED}} = '{value}')"
        assert f"  asked:    {asked}\n" in told


def test_an_optional_need_outside_the_run_is_dropped_unless_a_run_it_builds_on_had_it(project):
    project.task("x", "exit $CODE", env={"CODE": "1"})
    project.task("y", "true", phase="B", needs=[{"task": "x", "optional": True}])
    assert project.zf("run-phase", "B", "--run-id", "alone").code == 0
    assert "  needs:    x (absent)\n" in project.zf("explain", "alone", "y").out
    assert project.zf("run-phase", "A", "--run-id", "bad").code == 1
    refused = project.zf("run-phase", "B", "--upstream", "bad")
    assert refused.code == 2
    assert "error[ZF104]: 'y' needs 'x' of phase 'A', which is not in this run" in refused.err
    project.task("x", "exit $CODE", env={"CODE": "1"}, allow_failure=True)
    assert project.zf("run-phase", "A", "--run-id", "good").code == 0
    assert project.zf("run-phase", "B", "--upstream", "good", "--run-id", "on").code == 0
    assert "  needs:    x (success in run good)\n" in project.zf("explain", "on", "y").out
    assert project.zf("rerun", "alone", "--only", "y").code == 0


def test_upstream_latest_is_the_newest_run_of_this_commit_that_planned_the_task(project):
    def git(*words):
        about = ["-c", "user.name=n", "-c", "user.email=e", "-C", project.root]
        subprocess.run(["git", *about, *words], check=True, env=project.env, capture_output=True)

    def build_on_latest():
        return project.zf("run-phase", "B", "--upstream", "latest")

    project.task("x", "[ ! -e broken ]")
    project.task("y", "true", phase="B", needs=["x"])
    project.task("z", "true", phase="C")
    assert "error[ZF106]: --upstream latest needs a git commit" in build_on_latest().err
    git("init")
    git("add", "tasks")
    git("commit", "--message", "first")
    assert build_on_latest().code == 2  # no run at all
    assert project.zf("run-phase", "A", "--run-id", "good").code == 0
    assert project.zf("run-phase", "C", "--run-id", "of-others").code == 0
    done = build_on_latest()
    assert done.code == 0, done.err
    # An old success does not hide a new failure.
    (project.root / "broken").touch()
    assert project.zf("run-phase", "A", "--run-id", "bad").code == 1
    assert "error[ZF104]: 'y' needs 'x'" in build_on_latest().err
    (project.root / "broken").unlink()
    assert project.zf("run-phase", "A", "--run-id", "better").code == 0
    assert build_on_latest().code == 0
    git("commit", "--allow-empty", "--message", "second")
    assert "error[ZF104]: 'y' needs 'x'" in build_on_latest().err


def test_an_upstream_whose_proof_was_changed_is_not_built_on(project):
    project.task("x", "echo one")
    project.task("y", "true", phase="B", needs=["x"])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    project.proof("r1", "x", "20-logs", "step-0.log").write_text("two\n")
    refused = project.zf("run-phase", "B", "--upstream", "r1", "--run-id", "r2")
    assert (refused.code, "error[ZF140]" in refused.err) == (1, True)
    assert not project.proof("r2").exists()


def test_completion_offers_live_names(project):
    small_flow(project)
    env = {"COMP_WORDS": "zf run-task 1", "COMP_CWORD": "2", "_ZF_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "zf")],
        cwd=project.root,
        env={**project.env, **env},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["10-a"]


def test_a_bug_of_zf_leaves_its_traceback_in_a_named_file(project, monkeypatch, capsys, tmp_path):
    def broken(*_args, **_keys):
        raise RuntimeError("a bug\x1b[31m")

    monkeypatch.setattr("zf.cli.verbs.tasks.open_project", broken)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert main.run(["list"]) == 70
    err = capsys.readouterr().err
    assert "internal error: RuntimeError: a bug\\x1b[31m" in err
    [crash] = tmp_path.glob("zf-crash-*.txt")
    assert str(crash) in err
    assert "Traceback" in crash.read_text()
