"""What should happen, with real processes and a real clock: throttle, deadlines, resources, resume."""

import os
import re

import pytest

from tests.support.program import Project


def kinds(project: Project, run: str, kind: str) -> list[dict]:
    return [event for event in project.events(run) if event["type"] == kind]


def test_a_busy_machine_holds_starts_back_and_the_run_still_finishes(project):
    """The tasks are the load themselves: each burns a processor until that has been noticed."""
    (project.root / "zf.yaml").write_text("throttle: {cpu_percent: 0.1}\n")
    burn = "until grep -q throttle_entered proofs/r1/events.jsonl; do :; done; sleep 0.1"
    for n in range(4):
        project.task(f"t{n}", burn, parallel_safe=True)
    done = project.zf("run-phase", "A", "-j", "2", "--poll-interval", "0.1", "--run-id", "r1")
    assert done.code == 0, done
    entered, left = kinds(project, "r1", "throttle_entered"), kinds(project, "r1", "throttle_left")
    assert len(entered) == len(left) > 0
    assert "throttle: CPU at " in done.err
    assert "\nthrottled: " in done.out
    assert "\nthrottled: " in project.zf("explain", "r1").out
    assert sum(event["held_s"] for event in left) > 0


def test_a_machine_that_is_never_free_does_one_task_at_a_time(project):
    (project.root / "zf.yaml").write_text("throttle: {min_free_mem: 1000000000}\n")
    project.task("a", "until [ -e go ]; do sleep 0.01; done", parallel_safe=True, priority=1)
    for name in "bcd":
        project.task(name, "touch go", parallel_safe=True, needs=["first"])
    # By the end of this task the load has been looked at.
    project.task("first", "sleep 0.5", parallel_safe=True)
    project.task("z", "touch go", parallel_safe=True, start_after=0.8)
    done = project.zf("run-phase", "A", "-j", "4", "--poll-interval", "0.1", "--phase-timeout", "2")
    # `a` waits for what may only start beside it: nothing may, so the phase's time runs out.
    assert done.code == 124
    assert "throttle: " in done.err
    (project.root / "go").touch()
    again = project.zf("run-phase", "A", "-j", "4", "--poll-interval", "0.1", "--run-id", "r2")
    assert again.code == 0
    under_way = 0
    for event in project.events("r2"):
        started = event["type"] == "attempt_started"
        under_way += started - (event["type"] == "attempt_ended")
        assert not (started and under_way > 1 and event["task"] in {"b", "c", "d"})


def test_the_deadline_of_a_run_ends_what_runs_and_says_so(project):
    project.task("a", "sleep 60", parallel_safe=True)
    project.task("b", "true", phase="B")
    done = project.zf("run-phase", "A", "B", "--deadline", "0.5", "--run-id", "r1")
    assert done.code == 124
    assert "run r1: past its deadline of 0.5s: ending what runs\n" in done.err
    assert done.out.count("\nERROR: Run deadline (0.5s) exceeded\n") == 1
    assert (project.status("r1", "a")["status"], project.status("r1", "b")["cause"]) == (
        "timeout",
        "deadline",
    )
    assert project.json("r1", "blocked.json")["run_timeout"] == {"deadline_s": 0.5}
    assert project.zf("verify", "r1").code == 0


def test_a_resource_named_on_the_command_line_is_taken_by_one_at_a_time(project):
    busy = "mkdir busy && sleep 0.05 && rmdir busy"  # mkdir fails if another one is at it
    for n in range(4):
        project.task(f"t{n}", busy, parallel_safe=True, resources={"db": 1})
    assert project.zf("run-phase", "A", "--resource", "db=1", "-j", "4").code == 0
    refused = project.zf("run-phase", "A", "--resource", "db=0")
    assert refused.code == 2
    assert "'db'" in refused.err
    assert "tasks/t0/task.yaml:" in refused.err


def test_a_need_that_must_only_be_done_may_have_failed(project):
    project.task("a", "exit 1")
    project.task("b", "true", needs=[{"task": "a", "require": "done"}])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    assert [project.status("r1", name)["status"] for name in "ab"] == ["failure", "success"]


def test_a_resumed_run_keeps_its_decisions_counts_its_attempts_and_waits_on(project):
    project.task(
        "a",
        "test $ATTEMPT = 3",
        max_retries=2,
        retry_delay_sec=2,
        condition="${WANTED} == 'yes'",
        pass_env=["WANTED"],
    )
    project.task("b", "true", condition="${WANTED} == 'no'", pass_env=["WANTED"], needs=["a"])
    wanted = {"WANTED": "yes"}
    process = project.popen("run-phase", "A", "--run-id", "r1", env=wanted)
    assert any(line.startswith("↻ retry     a  attempt 2 in ") for line in process.stderr)
    process.kill()
    process.communicate()
    [scheduled] = kinds(project, "r1", "retry_scheduled")
    # Asked now, the condition of `a` would say no.
    done = project.zf("resume", "r1", env={"WANTED": "no"})
    assert done.code == 0, done
    begun = kinds(project, "r1", "attempt_started")
    assert [e["attempt"] for e in begun if e["task"] == "a"] == [1, 2, 3]
    again = kinds(project, "r1", "retry_scheduled")
    assert again[0] == scheduled
    assert [event["attempt"] for event in again] == [2, 3]
    assert 3.6 <= again[1]["delay_s"] <= 4
    asked = {e["task"]: e["operands"] for e in kinds(project, "r1", "condition_evaluated")}
    assert asked["a"] == {"${WANTED}": "yes"}
    assert len(kinds(project, "r1", "condition_evaluated")) == 2
    status = project.status("r1", "a")
    assert (status["attempt"], status["flaky"]) == (3, True)
    for attempt in ("1", "2"):
        earlier = project.json("r1", "a", "attempts", attempt, "99-summary", "status.json")
        assert (earlier["attempt"], earlier["status"]) == (int(attempt), "failure")
    listed = project.proof("r1", "MANIFEST.sha256").read_text()
    own = project.proof("r1", "a", "40-checksums", "attempts.sha256").read_text()
    for attempt in (1, 2):
        folder = project.proof("r1", "a", "attempts", str(attempt))
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) > 5
        for path in files:
            assert f"  {os.path.relpath(path, project.proof('r1'))}\n" in listed
            assert f"  {os.path.relpath(path, project.proof('r1', 'a'))}\n" in own
    assert project.zf("verify", "r1").code == 0


class TestATimeoutAboveItsPhases:
    """ZF217 is about what is about to run, and the limit that will hold there."""

    @pytest.fixture
    def flow(self, project):
        (project.root / "zf.yaml").write_text(
            "phases: {A: {timeout_sec: 60}, B: {timeout_sec: 9}}\n"
        )
        project.task("a", ":", timeout_sec=50)
        project.task("b", ":", timeout_sec=50, phase="B")
        project.task("c", ":", timeout_sec=70, needs=["a"])
        return project

    @pytest.mark.parametrize(
        ("words", "limits"),
        [
            (["run-phase", "A"], {"c": 60}),
            (["run-phase", "B"], {"b": 9}),
            (["run-phase", "A", "B"], {"b": 9, "c": 60}),
            (["run-phase", "A", "B", "--phase-timeout", "90"], {}),
            (["run-phase", "A", "--phase-timeout", "40"], {"a": 40, "c": 40}),
            (["run-task", "a"], {}),
            (["run-task", "a", "--phase-timeout", "40"], {"a": 40}),
            (["run-task", "c", "--with-needs", "--phase-timeout", "40"], {"a": 40, "c": 40}),
            (["plan", "B"], {"b": 9}),
            (["validate"], {"b": 9, "c": 60}),
        ],
        ids=" ".join,
    )
    def test_it_is_told_of_what_runs(self, flow, words, limits):
        done = flow.zf(*words)
        assert done.code == 0, done.err
        told = re.findall(
            r"tasks/(\w+)/task.yaml:\d+:\d+: warning\[ZF217\]: .* \((\d+) s\)", done.out + done.err
        )
        assert {name: int(limit) for name, limit in told} == limits

    def test_a_variable_counts_as_well(self, flow):
        flow.env["PHASE_TIMEOUT_SEC"] = "40"
        assert flow.zf("validate").err.count("(40 s)") == 3
