"""`zf run-phase` and `zf run-task` as a user sees them: real files, real processes, real signals."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from tests.support.program import ZF, survivors

# A step that blocks until somebody ends it, without the risk of outliving a broken test for long.
FOREVER = "sleep 300"


def test_the_search_for_survivors_finds_one(project):
    """Nothing found means nothing left only if what is left would be found."""
    left = subprocess.Popen(["sleep", "300"], env={"MARK": project.mark, "PATH": os.defpath})
    try:
        assert survivors(project.mark) == ["sleep 300 "]
    finally:
        left.kill()
        left.wait()
    assert survivors(project.mark) == []


def test_a_phase_runs_in_dependency_order_and_leaves_a_proof_of_every_task(project):
    project.task("10-first", "echo one", "echo two >&2")
    project.task("20-second", "echo second", needs=["10-first"], parallel_safe=True)
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert done.code == 0, done.err
    assert project.log("r1", "10-first") == b"one\n"
    assert project.log("r1", "10-first", 1) == b"two\n"
    first, second = project.status("r1", "10-first"), project.status("r1", "20-second")
    assert first["status"] == second["status"] == "success"
    assert first["completed_at"] <= second["started_at"]
    assert {"task_id", "run_id", "status", "exit_code", "signal", "attempt", "cause"} <= set(first)
    kinds = [event["type"] for event in project.events("r1")]
    assert kinds == [
        "run_started",
        "phase_started",
        "attempt_started",
        "attempt_ended",
        "attempt_started",
        "attempt_ended",
        "phase_ended",
        "run_ended",
    ]
    check = subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", "MANIFEST.sha256"], cwd=project.proof("r1")
    )
    assert check.returncode == 0


def test_a_timeout_is_a_failure_that_blocks_dependents(project):
    # It answers TERM with exit 0, which must not turn a timeout into a success.
    project.task("seed", "trap 'exit 0' TERM; sleep 300 & wait", timeout_sec=1)
    project.task("admin", "touch ran", needs=["seed"])
    project.task("report", "true", needs=["admin"])
    project.task("other", "true")
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert done.code == 1
    seed = project.status("r1", "seed")
    assert (seed["status"], seed["exit_code"], seed["cause"]) == ("timeout", 124, "timeout")
    assert project.proof("r1", "seed", "99-summary", ".timeout_killed").exists()
    assert not (project.root / "ran").exists()
    assert project.status("r1", "admin")["status"] == "blocked"
    assert project.status("r1", "report")["status"] == "blocked"
    assert project.status("r1", "other")["status"] == "success"
    assert (
        "ERROR: Deadlock detected - 2 tasks still pending:\n"
        "  - admin (needs: seed)\n"
        "    -> dependency 'seed' has status: timeout\n"
        "  - report (needs: admin)\n"
        "    -> dependency 'admin' has status: blocked\n"
    ) in done.out
    again = project.zf("explain", "r1")
    # Where the journal ended, and who signed it, is what only the runner has to say.
    end = again.out[again.out.index("FAIL r1") :]
    assert f"\n{end}head: " in done.out
    first = {"task": "seed", "with": [], "frees": 2}
    assert project.json("r1", "blocked.json")["fix_first"] == first


def test_the_phase_timeout_ends_everything(project):
    project.task("slow", FOREVER, parallel_safe=True, env={"MARK": project.mark})
    project.task("next", "true", needs=["slow"])
    project.task("alone", "true")
    done = project.zf("run-phase", "A", "--run-id", "r1", "-j1", env={"PHASE_TIMEOUT_SEC": "1"})
    assert done.code == 124
    assert "ERROR: Phase timeout (1s) exceeded\n" in done.out
    slow = project.status("r1", "slow")
    assert (slow["status"], slow["cause"]) == ("timeout", "phase_timeout")
    assert project.status("r1", "next")["status"] == "blocked"
    assert project.status("r1", "alone")["status"] == "cancelled"
    assert survivors(project.mark) == []


@pytest.mark.parametrize(
    ("flags", "environ", "jobs"),
    [
        ((), {"MAX_JOBS": "3"}, 3),
        ((), {"MAX_JOBS": "1", "ZENFLOW_MAX_JOBS": "2"}, 2),
        (("-j", "3"), {"MAX_JOBS": "1", "ZENFLOW_MAX_JOBS": "2"}, 3),
    ],
    ids=["MAX_JOBS", "ZENFLOW_MAX_JOBS-wins", "flag-wins"],
)
def test_never_more_tasks_at_once_than_allowed_and_as_many_as_allowed(
    project, flags, environ, jobs
):
    # Each task says it is there, then waits until as many as allowed are: it would hang if fewer
    # ran at once. How many overlap is then read from the proofs' own times.
    waits = f'touch "$TASK_ID.up"; until [ "$(ls *.up | wc -l)" -ge {jobs} ]; do sleep 0.01; done'
    for n in range(6):
        project.task(f"t{n}", waits, parallel_safe=True, timeout_sec=60)
    done = project.zf("run-phase", "A", "--run-id", "r1", *flags, env=environ)
    assert done.code == 0, done.err
    assert most_at_once(project, "r1") == jobs


def intervals(project, run):
    """Start and end of every task that ran, by the runner's own clock."""
    started, spans = {}, {}
    for event in project.events(run):
        if event["type"] == "attempt_started":
            started[event["task"]] = event["seq"]
        elif event["type"] == "attempt_ended":
            spans[event["task"]] = (started[event["task"]], event["seq"])
    return spans


def most_at_once(project, run):
    spans = intervals(project, run).values()
    return max(sum(a <= at < b for a, b in spans) for at, _ in spans)


@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_bad_job_counts_are_refused_before_anything_is_written(project, value):
    project.task("a", "true")
    for done in (
        project.zf("run-phase", "A", f"--max-jobs={value}"),
        project.zf("run-phase", "A", env={"ZENFLOW_MAX_JOBS": value}),
    ):
        assert done.code == 2
        assert f"is '{value}', but must be a whole number from 1 to 10000" in done.err
    assert not (project.root / "proofs").exists()


def test_nothing_survives_a_timeout(project):
    mark = project.mark
    project.task("a", "sleep 300 & sleep 300 & wait", timeout_sec=1, env={"MARK": mark})
    project.task(
        "b", "setsid sleep 300 & wait", timeout_sec=1, env={"MARK": mark}, parallel_safe=True
    )
    project.task(
        "c",
        "(trap '' TERM; sleep 300) & disown; nohup setsid -f sleep 300; sleep 300",
        timeout_sec=1,
        env={"MARK": mark},
        parallel_safe=True,
    )
    done = project.zf("run-phase", "A", "--run-id", "r1", "--grace", "0.2")
    assert done.code == 1
    assert {project.status("r1", t)["status"] for t in "abc"} == {"timeout"}
    assert survivors(mark) == []


def test_a_step_may_close_its_output_and_go_on(project):
    project.task("a", "echo before; exec >&- 2>&-; sleep 0.3; touch went-on")
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    assert (project.root / "went-on").exists()
    assert project.log("r1", "a") == b"before\n"


def test_a_background_child_that_holds_the_pipe_does_not_hang_the_run(project):
    # The step ends only when its child has become `sleep`, so that its name is certain.
    became = 'until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done'
    project.task("a", f"sleep 300 & {became}; echo done", env={"MARK": project.mark})
    done = project.zf("run-phase", "A", "--run-id", "r1", timeout_s=60)
    # The step succeeded, but left a process behind: that is said, and it is gone.
    assert done.code == 1
    status = project.status("r1", "a")
    assert (status["status"], status["cause"]) == ("failure", "survivors")
    assert [entry["command"] for entry in status["survivors"]] == ["sleep 300"]
    assert project.log("r1", "a") == b"done\n"
    assert survivors(project.mark) == []


def test_a_gigabyte_of_output_is_kept_whole_in_little_memory(project):
    size = 1 << 30
    project.task("a", f"head -c {size} /dev/zero")
    # Started from a small process: a child's peak counts from the peak of the one that started it.
    measure = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:]).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    run = [*ZF, "run-phase", "A", "--run-id", "r1", "--output", "quiet"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", measure, *run],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 0
    peak_kb = int(done.stdout.split()[-1])
    assert peak_kb < 150_000  # of zf or its worker: far below the log
    assert project.proof("r1", "a", "20-logs", "step-0.log").stat().st_size == size
    step = project.json("r1", "a", "10-commands", "step-0.json")
    zeros = hashlib.sha256()
    for _ in range(1 << 10):
        zeros.update(bytes(1 << 20))
    assert (step["log_bytes"], step["log_sha256"]) == (size, zeros.hexdigest())
    project.proof("r1", "a", "20-logs", "step-0.log").unlink()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("true", 0),
        ("exit 1", 1),
        ("exit 42", 42),
        ("exit 123", 123),
        ("exit 124", 1),
        ("exit 200", 1),
        ("kill -9 $$", 1),
    ],
)
def test_run_task_exits_with_the_steps_own_code(project, script, code):
    project.task("x", script)
    assert project.zf("run-task", "x").code == code


def test_run_task_takes_an_id_or_a_path(project, tmp_path):
    path = project.task("40-x", "echo $TASK_ID; exit 7")
    for n, (word, cwd) in enumerate(
        [
            ("40-x", project.root),
            ("tasks/40-x/task.yaml", project.root),
            ("tasks/40-x", project.root),
            (str(path), tmp_path),
        ]
    ):
        done = project.zf("run-task", word, "--run-id", f"r{n}", cwd=cwd)
        assert done.code == 7, done.err
        assert project.log(f"r{n}", "40-x") == b"40-x\n"
        assert project.json(f"r{n}", "plan.json")["needs"] == "not_checked"


def test_run_task_runs_needs_only_when_told(project):
    project.task("base", "echo base >> order")
    project.task("top", "echo top >> order", needs=["base"], phase="B")
    assert project.zf("run-task", "top").code == 0
    assert (project.root / "order").read_text() == "top\n"
    assert project.zf("run-task", "top", "--with-needs").code == 0
    assert (project.root / "order").read_text() == "top\nbase\ntop\n"


def test_a_timed_out_task_exits_124(project):
    project.task("x", FOREVER, timeout_sec=1)
    assert project.zf("run-task", "x").code == 124


def test_phases_run_in_order_and_stop_after_the_first_that_fails(project):
    project.task("a", "true", phase="A")
    project.task("b", "exit 3", phase="B")
    project.task("c", "touch ran", phase="C")
    assert project.zf("run-phase", "A", "B", "C", "--run-id", "r1").code == 1
    assert not (project.root / "ran").exists()
    last = project.status("r1", "c")
    assert (last["status"], last["cause"]) == ("cancelled", "phase_failed")


def test_fail_fast_starts_nothing_more(project):
    project.task("a", "exit 1")
    project.task("b", "touch ran")
    assert project.zf("run-phase", "A", "--run-id", "r1", "--fail-fast").code == 1
    assert not (project.root / "ran").exists()
    assert project.status("r1", "b")["cause"] == "fail_fast"


def test_fail_fast_now_ends_what_runs_and_a_rerun_keeps_it(project):
    os.mkfifo(project.root / "ready")
    project.task("b", "read <ready; exit 1", parallel_safe=True)
    waits = f"trap 'echo told; exit 0' TERM; echo >ready; {FOREVER} & wait"
    project.task("a", waits, parallel_safe=True)
    assert project.zf("run-phase", "--fail-fast=now", "A", "--run-id", "r1").code == 1
    status = project.status("r1", "a")
    assert (status["status"], status["cause"]) == ("cancelled", "fail_fast")
    assert project.log("r1", "a") == b"told\n"
    why = "was ended: another task had failed (--fail-fast=now)"
    assert why in project.zf("explain", "r1", "a").out
    assert project.zf("verify", "r1").code == 0
    project.task("b", "exit 1", parallel_safe=True)
    for run, options in (("r2", ()), ("r3", ("--fail-fast",)), ("r4", ("--fail-fast=off",))):
        project.zf("rerun", "r1", "--only", "b", "--run-id", run, *options)
    kept = [
        project.json(run, "run.json")["limits"]["fail_fast"] for run in ("r1", "r2", "r3", "r4")
    ]
    assert kept == ["now", "now", True, False]


def test_fail_fast_takes_nothing_but_now(project):
    project.task("a", "true")
    done = project.zf("run-phase", "A", "--fail-fast=later")
    assert done.code == 2
    assert "--fail-fast" in done.err


def test_a_failing_step_ends_the_task(project):
    project.task("a", "true", "false; touch not-this", "touch nor-this")
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    rows = [project.json("r1", "a", "10-commands", f"step-{n}.json") for n in (0, 1, 2)]
    assert [row["status"] for row in rows] == ["success", "failure", "not_run"]
    assert project.status("r1", "a")["step"] == 1
    assert not (project.root / "not-this").exists()
    assert not (project.root / "nor-this").exists()


def test_a_taken_run_id_is_refused_and_nothing_changes(project):
    project.task("a", "true")
    project.zf("run-phase", "A", "--run-id", "r1")
    before = project.proof("r1", "MANIFEST.sha256").read_bytes()
    for same in ("r1", "R1"):
        done = project.zf("run-phase", "A", "--run-id", same)
        assert done.code == 5
        assert "ZF122" in done.err
    assert project.proof("r1", "MANIFEST.sha256").read_bytes() == before


@pytest.mark.parametrize("run_id", ["..", ".", "a/b", "", "-x", "é", "a" * 129, "a\nb"])
def test_a_bad_run_id_is_refused_before_anything_is_written(project, run_id):
    project.task("a", "true")
    done = project.zf("run-phase", "A", "--run-id", run_id)
    assert done.code == 2
    assert not (project.root / "proofs").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_an_interrupt_ends_everything_and_still_seals(project, number, code):
    mark = project.mark
    os.mkfifo(project.root / "up")
    project.task("a", "sleep 300 & echo up > up; wait", env={"MARK": mark})
    project.task("b", "true", needs=["a"])
    process = project.popen("run-phase", "A", "--run-id", "r1")
    (project.root / "up").read_text()  # blocks until the step is there
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert project.status("r1", "a")["status"] == "cancelled"
    assert project.proof("r1", "MANIFEST.sha256").exists()
    assert survivors(mark) == []


def test_a_second_interrupt_does_not_wait_for_the_grace(project):
    os.mkfifo(project.root / "up")
    os.mkfifo(project.root / "termed")
    # Says when TERM came, and ignores it.
    project.task("a", "trap 'echo > termed' TERM; echo up > up; while :; do sleep 300 & wait; done")
    process = project.popen("run-phase", "A", "--run-id", "r1", "--grace", "300")
    (project.root / "up").read_text()
    process.send_signal(signal.SIGINT)
    (project.root / "termed").read_text()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert project.proof("r1", "MANIFEST.sha256").exists()


HOSTILE = b"quote ' \" $(touch pwned) `touch pwned` EOF \x00 \xff\xfe \x1b]0;title\x07 \x1b[2J\r\n"


def test_output_is_data(project):
    (project.root / "hostile").write_bytes(HOSTILE)
    project.task("a", "cat hostile; exit 1")
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert project.log("r1", "a") == HOSTILE
    shown = done.out + done.err
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\x00" not in shown
    assert not (project.root / "pwned").exists()
    logs = subprocess.run(
        [*ZF, "logs", "r1", "a"], cwd=project.root, env=project.env, capture_output=True
    )
    assert logs.stdout == HOSTILE


def test_names_scripts_and_values_are_data(project):
    value = 'it\'s $(touch pwned) `touch pwned` "quoted" \\ \x1b[31m\nEOF\nline'
    script = "printf '%s' \"$VALUE\"; cat <<'EOF'\n$(touch pwned)\nEOF\n"
    project.file(
        "a",
        "id: a\nphase: A\n"
        f"title: {json.dumps(value)}\n"
        f"env: {{VALUE: {json.dumps(value)}}}\n"
        f"commands: [{{name: {json.dumps(value)}, run: {json.dumps(script)}}}]\n",
    )
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert done.code == 0, done.err
    assert project.log("r1", "a") == value.encode() + b"$(touch pwned)\n"
    assert project.proof("r1", "a", "10-commands", "step-0.sh").read_text() == script
    assert project.json("r1", "a", "10-commands", "step-0.json")["name"] == value
    sourced = subprocess.run(
        ["bash", "-c", '. ./env.sh && printf %s "$VALUE"'],
        cwd=project.proof("r1", "a", "00-meta"),
        capture_output=True,
        check=True,
    )
    assert sourced.stdout == value.encode()
    assert "\x1b" not in done.out + done.err
    assert not (project.root / "pwned").exists()


def test_odd_artifact_names_pass_the_standard_check(project):
    project.task(
        "a",
        "cd \"$ARTIFACTS_DIR\"; echo 1 > 'with space'; echo 2 > $'new\\nline'; echo 3 > 'back\\slash';"
        f" echo 4 > -dash; echo 5 > {'n' * 250}; mkdir -p sub/dir; echo 6 > sub/dir/plain.txt;"
        " echo 7 > $'\\xff'; echo 8 > '*'",
    )
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    artifacts = project.proof("r1", "a", "30-artifacts")
    for words in (["sha256sum", "-c", "--strict"], ["shasum", "-a", "256", "-c"]):
        check = subprocess.run(
            [*words, "../40-checksums/artifacts.sha256"], cwd=artifacts, capture_output=True
        )
        assert check.returncode == 0, check
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    assert sorted(path.read_text() for path in files) == [f"{n}\n" for n in range(1, 9)]


def test_exclusive_tasks_overlap_nothing(project):
    exclusive_is_alone(project, flows=5)


@pytest.mark.campaign
def test_exclusive_tasks_overlap_nothing_in_200_random_flows(project):
    exclusive_is_alone(project, flows=200)


def exclusive_is_alone(project, flows):
    for seed in range(flows):
        rng = random.Random(seed)
        alone = set()
        for n in range(12):
            safe = rng.random() < 0.7
            needs = rng.sample([f"{seed}-{m}" for m in range(n)], k=min(n, rng.randrange(3)))
            project.task(
                f"{seed}-{n}",
                f"sleep {rng.random() / 50}",
                phase=f"P{seed}",
                parallel_safe=safe,
                needs=needs,
            )
            if not safe:
                alone.add(f"{seed}-{n}")
        assert project.zf("run-phase", f"P{seed}", "--run-id", f"r{seed}", "-j4").code == 0
        times = {
            task: (status["started_at"], status["completed_at"])
            for task in (f"{seed}-{n}" for n in range(12))
            for status in [project.status(f"r{seed}", task)]
        }
        for task in alone:
            start, end = times[task]
            for other, (other_start, other_end) in times.items():
                assert other == task or other_end <= start or end <= other_start


def test_stdout_that_nobody_reads_ends_nothing(project):
    project.task("a", "touch ran")
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    process = subprocess.Popen(
        [*ZF, "run-phase", "A", "--run-id", "r1"],
        cwd=project.root,
        env=project.env,
        stdout=write_fd,
        stderr=write_fd,
    )
    os.close(write_fd)
    # As for any program whose result has no reader; the run is over, and sealed.
    assert process.wait(timeout=60) == 141
    assert (project.root / "ran").exists()
    assert project.proof("r1", "MANIFEST.sha256").exists()


def test_a_secret_on_the_command_line_or_in_a_name_stays_out_of_run_and_plan(project):
    secret = "hunter2-hunter2-hunter2"
    project.task("a", "true", title=f"uses {secret}")
    done = project.zf(
        "run-phase", "A", "--run-id", "r1", "--resource", f"{secret}=1", env={"MY_TOKEN": secret}
    )
    assert done.code == 0, done.err
    for name in ("run.json", "plan.json", "events.jsonl"):
        assert secret.encode() not in project.proof("r1", name).read_bytes()
    assert secret not in done.out + done.err
    plain = project.zf("run-phase", "A", "--run-id", "r2", env={"MY_TOKEN": "another-value-here"})
    assert plain.code == 0
    assert secret.encode() in project.proof("r2", "plan.json").read_bytes()
