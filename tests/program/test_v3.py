"""What users of the v3 shell runner relied on: its two scripts' scenarios, by their observable ends."""

import json
import os
import re

import pytest


def run_phase(project, *words, **env):
    return project.zf("run-phase", *words, env=env)


def test_a_timeout_blocks_the_dependents_with_the_two_lines_and_code_1(project):
    project.task("seed", "sleep 300", timeout_sec=0.5)
    project.task("e2e", ":", needs=["seed"])
    done = run_phase(project, "A", "--run-id", "r1")
    assert done.code == 1
    assert "ERROR: Deadlock detected - 1 tasks still pending:\n" in done.out + done.err
    assert "    -> dependency 'seed' has status: timeout\n" in done.out + done.err
    seed = project.status("r1", "seed")
    assert (seed["status"], seed["exit_code"]) == ("timeout", 124)
    assert project.status("r1", "e2e")["status"] == "blocked"
    assert project.proof("r1", "seed", "99-summary", ".timeout_killed").exists()


def test_the_phase_timeout_kills_and_says_so_and_exits_with_124(project):
    project.task("slow", "sleep 300 & sleep 300")
    done = run_phase(project, "A", PHASE_TIMEOUT_SEC="1")
    assert done.code == 124
    assert "ERROR: Phase timeout (1s) exceeded" in done.out + done.err


def test_the_phase_timeout_is_told_in_whole_seconds_as_it_was(project):
    project.task("slow", "sleep 300")
    done = run_phase(project, "A", "--phase-timeout", "5", "--grace", "0.2")
    assert "ERROR: Phase timeout (5s) exceeded" in done.out + done.err


def test_max_jobs_is_the_most_that_run_at_once(project):
    os.mkfifo(project.root / "gate")
    for n in range(4):
        project.task(f"t{n}", "mkdir -p live; : > live/$TASK_ID; ls live | wc -l >> seen; sleep 0.2; "
                     "rm live/$TASK_ID", parallel_safe=True)  # fmt: skip
    assert run_phase(project, "A", MAX_JOBS="2").code == 0
    assert max(map(int, (project.root / "seen").read_text().split())) == 2


@pytest.mark.parametrize(
    "named", ["one", "tasks/one", "tasks/one/task.yaml", "./tasks/one/task.yaml"]
)
def test_run_task_takes_an_id_or_a_path(project, named):
    project.task("one", "exit 7")
    assert project.zf("run-task", named, "--run-id", "r1").code == 7
    assert project.status("r1", "one")["status"] == "failure"


PRECEDENCE = {
    "max_jobs": ("MAX_JOBS", "ZENFLOW_MAX_JOBS", "--max-jobs", "3", "4", "5"),
    "phase_timeout_s": (
        *("PHASE_TIMEOUT_SEC", "ZENFLOW_PHASE_TIMEOUT_SEC", "--phase-timeout"),
        *("30", "40", "50"),
    ),
    "poll_interval_s": (
        *("POLL_INTERVAL_SEC", "ZENFLOW_POLL_INTERVAL_SEC", "--poll-interval"),
        *("0.3", "0.4", "0.5"),
    ),
    "run_id": ("RUN_ID", "ZENFLOW_RUN_ID", "--run-id", "plain", "long", "flag"),
}


@pytest.mark.parametrize("name", PRECEDENCE)
def test_a_flag_comes_before_the_long_variable_before_the_plain_one(project, name):
    plain, long, flag, first, second, third = PRECEDENCE[name]
    project.task("one", ":")

    def used(run, *words, **env):
        words = words if name == "run_id" else ("--run-id", run, *words)
        done = run_phase(project, "A", *words, **env)
        assert done.code == 0, done.err
        setting = project.json(run, "run.json")["settings"][name]
        return str(setting["value"]).removesuffix(".0"), setting["source"]

    assert used("plain", **{plain: first}) == (first, plain)
    assert used("long", **{plain: first, long: second}) == (second, long)
    assert used("flag", flag, third, **{plain: first, long: second}) == (third, flag)


def test_steps_know_their_compose_project(project):
    project.task("one", 'echo "$COMPOSE_PROJECT_NAME $STEP_INDEX"', 'echo "$STEP_INDEX"')
    assert run_phase(project, "A", "--run-id", "r1").code == 0
    assert project.log("r1", "one", 0) == b"zf-r1-one 0\n"
    assert project.log("r1", "one", 1) == b"1\n"


# Places


def test_the_proof_tree_is_where_it_was(project):
    (project.root / ".zenflow").mkdir()
    project.task("one", ":", "exit 3")
    assert run_phase(project, "A", "--run-id", "r1").code == 1
    tree = project.root / ".zenflow/proofs/r1/one"
    for name in (
        *("00-meta/task.json", "00-meta/env.sh", "10-commands/commands.json"),
        *("10-commands/step-0.sh", "10-commands/step-0.json", "10-commands/step-1.json"),
        *("20-logs/step-0.log", "20-logs/step-1.log", "40-checksums/artifacts.sha256"),
        "99-summary/status.json",
    ):
        assert (tree / name).is_file(), name
    assert (tree / "30-artifacts").is_dir()
    assert not (project.root / "proofs").exists()


def test_an_empty_folder_made_for_the_run_is_taken_over(project):
    project.task("one", ":")
    project.proof("r1").mkdir(parents=True)
    assert run_phase(project, "A", "--run-id", "r1").code == 0
    assert project.zf("verify", "r1").code == 0


@pytest.mark.parametrize("what", ["file in it", "folder in it", "link", "file", "other case"])
def test_anything_else_of_that_name_is_refused_and_left(project, what):
    project.task("one", ":")
    folder = project.proof("r1")
    folder.parent.mkdir()
    match what:
        case "file":
            folder.write_text("")
        case "link":
            (project.root / "elsewhere").mkdir()
            folder.symlink_to(project.root / "elsewhere")
        case "other case":
            project.proof("R1").mkdir()
        case _:
            folder.mkdir()
            (folder / "x").mkdir() if what == "folder in it" else (folder / "x").write_text("")
    before = sorted(str(path) for path in project.root.rglob("*"))
    done = run_phase(project, "A", "--run-id", "r1")
    assert done.code == 5
    assert "error[ZF122]: run id 'r1' is taken" in done.err
    after = sorted(str(p) for p in project.root.rglob("*") if "/proofs/." not in str(p))
    assert after == before


# Files that people cat and grep


def test_json_files_have_one_key_a_line(project):
    project.task("one", "echo 'a\"b'", "exit 3")
    run_phase(project, "A", "--run-id", "r1")
    run = project.proof("r1")
    for name in (
        *("one/99-summary/status.json", "one/00-meta/task.json", "run.json"),
        *("one/10-commands/step-0.json", "one/10-commands/step-1.json"),
    ):
        lines = (run / name).read_text().splitlines()
        value = json.loads((run / name).read_text())
        assert (lines[0], lines[-1]) == ("{", "}")
        assert [re.match(r'  "(\w+)": ', line)[1] for line in lines[1:-1]] == list(value)
    status = (run / "one/99-summary/status.json").read_text()
    assert '  "status": "failure",\n' in status
    assert '  "exit_code": 3,\n' in status


def test_what_the_json_files_say(project):
    project.task("one", "echo hello", "exit 3")
    run_phase(project, "A", "--run-id", "r1")
    task = project.json("r1", "one", "00-meta", "task.json")
    assert (task["run_id"], task["pwd"]) == ("r1", str(project.root))
    assert task["hostname"] == os.uname().nodename
    assert task["user"] == project.json("r1", "run.json")["user"]
    assert task["started_at"] == project.status("r1", "one")["started_at"]
    commands = project.proof("r1", "one", "10-commands", "commands.json").read_text()
    assert commands == (
        '[\n  {"name": "step 1", "run": "echo hello"},\n  {"name": "step 2", "run": "exit 3"}\n]\n'
    )
    step = project.json("r1", "one", "10-commands", "step-1.json")
    assert (step["step"], step["name"], step["exit_code"]) == (1, "step 2", 3)
    assert step["started_at"] <= step["completed_at"]


# Other projects


def test_the_proof_that_is_printed_is_where_the_user_s_shell_finds_it(project):
    other = project.root.parent / "other"
    (other / "tasks/far").mkdir(parents=True)
    (other / "tasks/far/task.yaml").write_text("id: far\nphase: A\ncommands:\n  - run: exit 3\n")
    project.task("one", ":")
    for words in (
        ["run-task", "../other/tasks/far/task.yaml"],
        ["-C", "../other", "run-task", "far"],
    ):
        done = project.zf(*words)
        found = re.findall(r"(?m)^proof: (\S+)$", done.out)
        assert found, done.out
        assert all((project.root / path / "run.json").is_file() for path in found), found
