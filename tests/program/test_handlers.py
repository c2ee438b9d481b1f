"""Handlers, in whole runs: which run for which end, that none runs twice, and what they are told."""

import json
import os
import random
import signal

import pytest

from tests.support import anew, independent_verifier
from zf.audit.account import Account
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

ENDS = ("success", "failure", "timeout", "interrupted", "always")


def handlers(name, **more):
    """One for each end, which says so in the file that is the oracle."""
    return [
        {"when": when, "id": f"{name}-{when}", "run": f"echo {name}-{when} >> oracle", **more}
        for when in ENDS
    ]


def declare(project, **more):
    said = {"on_end": handlers("run"), "phases": {"A": {"on_end": handlers("A")}}} | more
    (project.root / "zf.yaml").write_text(json.dumps(said))


def ran(project):
    path = project.root / "oracle"
    return path.read_text().split() if path.exists() else []


def is_sound(project, run="r"):
    assert verify(str(project.proof(run))).exit_code == VERIFIED
    assert independent_verifier.verify(project.proof(run)) == (True, True)


@pytest.mark.parametrize(
    ("script", "options", "end", "code"),
    [
        ("true", (), "success", 0),
        ("false", (), "failure", 1),
        ("sleep 60", ("--phase-timeout", "1"), "timeout", 124),
    ],
)
def test_each_end_has_its_handlers(project, script, options, end, code):
    declare(project)
    project.task("t", script)
    done = project.zf("run-phase", "A", "--run-id", "r", *options)
    assert done.code == code, done.err
    assert ran(project) == [f"A-{end}", "A-always", f"run-{end}", "run-always"]
    statuses = {name: project.status("r", name)["status"] for name in ("A-always", "run-always")}
    assert set(statuses.values()) == {"success"}
    skipped = project.status("r", "run-interrupted")
    assert (skipped["status"], skipped["cause"]) == ("skipped", "on_end")
    is_sound(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_has_them_too_and_does_not_end_them(project, number):
    declare(project)
    project.task("t", "sleep 60")
    project.task("later", "true", phase="B")
    process = project.popen("run", "-v", "--run-id", "r", "--grace", "1")
    assert any("start     t" in line for line in process.stderr)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    wanted = ["A-interrupted", "A-always", "run-interrupted", "run-always"]
    assert ran(project) == wanted
    is_sound(project)


@pytest.mark.parametrize(("signals", "status"), [(1, "success"), (2, "cancelled")])
def test_the_first_interrupt_leaves_a_handler_that_runs_and_the_second_ends_it(
    project, signals, status
):
    os.mkfifo(project.root / "gate")
    said = {"when": "always", "id": "h", "run": "read line < gate"}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("t", "true")
    process = project.popen("run-phase", "A", "-v", "--run-id", "r", "--grace", "1")
    assert any("start     h" in line for line in process.stderr)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        assert any("interrupted:" in line for line in process.stderr)
    if signals == 1:
        (project.root / "gate").write_text("go\n")
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert project.status("r", "h")["status"] == status


def test_a_phase_that_had_no_turn_has_those_for_always(project):
    of = {name: {"on_end": handlers(name)} for name in ("A", "B")}
    declare(project, phases=of)
    project.task("t", "false")
    project.task("later", "true", phase="B")
    assert project.zf("run", "--run-id", "r").code == 1
    assert ran(project) == ["A-failure", "A-always", "B-always", "run-failure", "run-always"]
    is_sound(project)


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 1)])
def test_they_change_the_result_only_where_they_are_required(project, required, code):
    said = {"when": "always", "id": "h", "run": "exit 3", "required": required}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("t", "true")
    done = project.zf("run", "--run-id", "r")
    assert done.code == code
    status = project.status("r", "h")
    assert status["status"] == "failure"
    assert status["conclusion"] == ("failure" if required else "warned")
    is_sound(project)


def test_what_a_handler_is_told(project):
    said = {"when": "failure", "id": "h", "run": 'cp "$ZF_RUN_FACTS" facts.json'}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("good", "true")
    project.task("bad", "exit 7")
    assert project.zf("run", "--run-id", "r").code == 1
    facts = json.loads((project.root / "facts.json").read_text())
    assert (facts["schema"], facts["run"], facts["handler"]) == ("zf/run-facts/v1", "r", "h")
    assert (facts["phase"], facts["result"]) == (None, "failure")
    assert facts["counts"] == {"success": 1, "failure": 1}
    (cause,) = facts["causes"]
    assert (cause["task"], cause["cause"], cause["exit_code"]) == ("bad", "exit", 7)


def test_a_single_task_has_the_handlers_of_the_run_and_of_its_phase(project):
    declare(project)
    project.task("t", "true")
    assert project.zf("run-task", "t", "--run-id", "r").code == 0
    assert ran(project) == ["A-success", "A-always", "run-success", "run-always"]


def killed(project, wanted):
    """A run whose runner was killed when it had said that this task starts."""
    process = project.popen("run-phase", "A", "-v", "--run-id", "r", "--grace", "1")
    assert any(f"start     {wanted}" in line for line in process.stderr)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("close", ["resume", "seal"])
def test_what_closes_a_killed_run_does_those_it_owes(project, close):
    declare(project)
    os.mkfifo(project.root / "gate")
    project.task("t", "[ $ATTEMPT = 2 ] || read line < gate")
    killed(project, "t")
    assert project.zf(close, "r").code == 0
    end = "success" if close == "resume" else "interrupted"
    assert ran(project) == [f"A-{end}", "A-always", f"run-{end}", "run-always"]
    assert independent_verifier.verify(project.proof("r"))[0]


@pytest.mark.parametrize("repeatable", [False, True])
def test_one_that_began_is_reported_and_not_repeated_unless_it_may_be(project, repeatable):
    script = "echo h >> oracle; [ $ATTEMPT = 2 ] || sleep 60"
    said = {"when": "always", "id": "h", "run": script, "repeatable": repeatable}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("t", "true")
    process = project.popen("run-phase", "A", "-v", "--run-id", "r", "--grace", "1")
    assert any("start     h" in line for line in process.stderr)
    while not ran(project):
        pass
    process.kill()
    process.communicate()
    assert project.zf("resume", "r").code == 0
    assert ran(project) == ["h"] * (2 if repeatable else 1)
    status = project.status("r", "h")
    assert status["status"] == ("success" if repeatable else "lost")
    ended = [e for e in project.events("r") if e["type"] == "handler_ended"]
    assert [e["status"] for e in ended] == [status["status"]]
    is_sound(project)


def one_round(project, seed):
    """A run with a monitor and handlers, killed at a line of its journal, then resumed."""
    rng = random.Random(seed)
    declare(project)
    probe = "echo p >> probes; test $(wc -l < probes) -ge 4"
    project.task("m", probe, repeat={"interval_sec": 0.02, "limit": 50}, parallel_safe=True)
    project.task("t", "true", parallel_safe=True)
    process = project.popen("run-phase", "A", "--progress", "json", "--run-id", "r", "--grace", "1")
    for _, _ in zip(range(rng.randrange(1, 40)), process.stderr, strict=False):
        pass
    process.kill()
    process.communicate()
    if project.proof("r", "MANIFEST.sha256").exists():
        return
    done = project.zf("resume", "r")
    assert done.code == 0, done.err
    found = ran(project)
    assert len(found) == len(set(found)), found  # each 0 or 1 times
    events = project.events("r")
    lost = {e["task"] for e in events if e["type"] == "handler_ended" and e["status"] == "lost"}
    assert {*found} | lost >= {"A-success", "A-always", "run-success", "run-always"}
    probes = [(e["attempt"], e["number"]) for e in events if e["type"] == "probe"]
    assert len(probes) == len(set(probes))
    is_sound(project)


@pytest.mark.parametrize("seed", range(4))
def test_a_runner_killed_anywhere(project, seed):
    one_round(project, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 600))
def test_campaign_of_runners_killed_anywhere(project, seed):
    one_round(project, seed)


def test_claims_out_of_order_are_contradictions(project):
    declare(project)
    project.task("t", "true")
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    lines = project.proof("r", "events.jsonl").read_text().splitlines()

    def problems(*lines):
        account = Account()
        for line in lines:
            account.feed(json.loads(line))
        return account.problems

    assert problems(*lines) == []
    first = next(line for line in lines if '"handler_claimed"' in line)
    (twice,) = problems(*lines[:-1], first)
    assert "claimed that was before" in twice
    kept = [line for line in lines if line != first]
    assert any("another end than it had" in one for one in problems(*kept))


@pytest.mark.parametrize("forged", ["dropped", "moved"])
def test_a_journal_made_anew_without_the_claim_is_found(project, forged):
    said = {"when": "always", "id": "h", "run": "true"}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("t", "true")
    assert project.zf("run", "--run-id", "r").code == 0
    events = project.events("r")
    if forged == "dropped":
        events = [e for e in events if not e["type"].startswith("handler_")]
    else:  # as if the task were the handler
        at = [e["type"] for e in events].index("attempt_started")
        claim = next(e for e in events if e["type"] == "handler_claimed") | {"task": "t"}
        clocks = {key: events[at][key] for key in ("wall", "mono")}
        events.insert(at, claim | clocks)
    anew.with_journal(project.proof("r"), events)
    found = verify(str(project.proof("r")))
    assert found.exit_code == 1
    assert [one.kind for one in found.findings] == ["mismatch"], found.render()
    assert not all(independent_verifier.verify(project.proof("r")))


def test_tasks_need_name_no_phase_because_there_are_handlers(project):
    handler = "{when: always, id: h, run: echo h >> oracle}"
    (project.root / "zf.yaml").write_text(f"on_end: [{handler}]\ntasks: {{t: 'true'}}\n")
    done = project.zf("run", "--run-id", "r")
    assert done.code == 0, done.err
    assert ran(project) == ["h"]


def test_what_cannot_be_meant(project):
    project.task("t", "true", phase="on_end")
    for said, message in (
        ([{"run": "true"}], "'when'"),
        ([{"when": "always", "run": "true", "needs": ["t"]}], "needs"),
        ([{"when": "sometimes", "run": "true"}], "when"),
        ([{"when": "always", "run": "true"}], "phase 'on_end' is that of the run's own handlers"),
    ):
        (project.root / "zf.yaml").write_text(json.dumps({"on_end": said}))
        done = project.zf("validate")
        assert done.code == 2, said
        assert message in done.err + done.out


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_run_again_of_a_failed_run_has_its_handlers_and_they_are_no_part_of_it(
    project, sealed
):
    ends = ("failure", "success", "interrupted")
    said = [{"when": end, "id": end, "run": f"echo {end} >> oracle; exit 3"} for end in ends]
    said[0]["required"] = True
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": said}))
    project.task("t", "test -e mended || { [ -p gate ] && read line < gate; }")
    if sealed:
        os.mkfifo(project.root / "gate")
        killed(project, "t")
        assert project.zf("seal", "r").code == 0
        (project.root / "gate").unlink()
    else:
        assert "Next: zf rerun r --failed" in project.zf("run-phase", "A", "--run-id", "r").out
    (project.root / "mended").touch()
    again = project.zf("rerun", "r", "--failed", "--run-id", "s")
    assert again.code == 0, again.err
    assert ran(project) == ["interrupted" if sealed else "failure", "success"]


def test_where_only_a_handler_failed_that_is_said_and_what_is_advised_works(project):
    said = {"when": "always", "id": "h", "run": "exit 3", "required": True}
    (project.root / "zf.yaml").write_text(json.dumps({"on_end": [said]}))
    project.task("t", "true")
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert "Next: zf explain r h" in done.out
    assert "exited with code 3" in project.zf("explain", "r", "h").out
    again = project.zf("rerun", "r", "--failed")
    assert again.code == 2
    assert "of run r only handlers failed: h" in again.err
    assert project.zf("rerun", "r", "--from", "t", "--run-id", "s").code == 1
