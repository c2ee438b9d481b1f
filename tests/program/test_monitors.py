"""Tasks that are probed, in whole runs: what is recorded, kept and told, and what ends them."""

import json
import signal

import pytest

from tests.support import anew, independent_verifier
from zf.audit.account import Account
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

COUNT = """\
n=$(( $(cat n 2>/dev/null || echo 0) + 1 )); echo $n > n
echo "look $n"
"""


def monitor(project, name="m", script="", **repeat):
    keys = repeat.pop("keys", {})
    said = {"interval_sec": 0.05, "limit": 20} | repeat
    said = {key: value for key, value in said.items() if value is not None}
    project.task(name, COUNT + script, repeat=said, parallel_safe=True, **keys)


def probes(project, task="m"):
    return [e for e in project.events("r") if e["type"] == "probe" and e["task"] == task]


def told(project, task="m"):
    return [
        (e["attempt"], e["number"], e["exit_code"], e["line"], e["result"])
        for e in probes(project, task)
    ]


def logs(project, task="m"):
    return sorted(path.name for path in project.proof("r", task, "20-logs").iterdir())


def is_sound(project):
    assert verify(str(project.proof("r"))).exit_code == VERIFIED
    assert independent_verifier.verify(project.proof("r")) == (True, True)


def test_a_journal_made_anew_without_probes_is_found(project):
    monitor(project)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    events = [e for e in project.events("r") if e["type"] != "probe"]
    anew.with_journal(project.proof("r"), events)
    found = verify(str(project.proof("r")))
    assert found.exit_code == 1
    assert "succeeded without a probe" in found.render()
    assert not all(independent_verifier.verify(project.proof("r")))


def test_a_wait_ends_with_the_first_good_probe(project):
    monitor(project, script="test $n -ge 4")
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err
    assert told(project) == [
        (1, 1, 1, "look 1", "bad"),
        (1, 2, 1, "look 2", "bad"),
        (1, 3, 1, "look 3", "bad"),
        (1, 4, 0, "look 4", "good"),
    ]
    kept = [f"probe-{n}.step-0.log" for n in (1, 2, 3)]
    assert logs(project) == [*kept, "step-0.log"]
    assert project.proof("r", "m", "20-logs", "probe-2.step-0.log").read_bytes() == b"look 2\n"
    assert project.log("r", "m") == b"look 4\n"
    ends = [e for e in project.events("r") if e["type"] == "attempt_ended"]
    assert [(e["status"], e["cause"], e["exit_code"]) for e in ends] == [("success", "", 0)]
    is_sound(project)
    explained = project.zf("explain", "r", "m").out
    assert "3 bad, 1 good; the last, number 4, good: look 4" in explained
    # Only where the answer is another one is there a line.
    lines = [line.split() for line in done.err.splitlines() if line.strip().startswith("probe")]
    assert [line[:5] for line in lines] == [
        ["probe", "m", "probe", "1", "bad"],
        ["probe", "m", "probe", "4", "good"],
    ]


def test_logs_of_good_probes_between_the_first_and_the_last_are_not_kept(project):
    monitor(project, for_sec=1.5, limit=None)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    number = probes(project)[-1]["number"]
    assert number >= 3
    assert logs(project) == ["probe-1.step-0.log", "step-0.log"]
    assert project.log("r", "m") == b"look %d\n" % number
    is_sound(project)


@pytest.mark.parametrize(
    ("script", "repeat", "cause", "code", "count", "detail"),
    [
        ("exit 3", {"limit": 3}, "repeat_limit", 3, 3, "not good after 3 probes"),
        (
            "exit 75",
            {"inconclusive": [75], "inconclusive_limit": 2},
            "inconclusive",
            75,
            2,
            "2 probes were inconclusive in a row",
        ),
        (
            "test $n -lt 3",
            {"for_sec": 60, "fail_after": 2},
            "bad_probes",
            1,
            4,
            "2 probes were bad in a row",
        ),
        (
            "sleep 60",
            {"limit": 1, "probe_timeout_sec": 0.3},
            "repeat_limit",
            124,
            1,
            "probe_timeout_sec (0.3 s) ran out",
        ),
    ],
)
def test_what_a_monitor_fails_for(project, script, repeat, cause, code, count, detail):
    monitor(project, script=script, **repeat)
    project.task("back", "touch rolled-back", needs=["m"], condition="failure()")
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    status = project.status("r", "m")
    assert (status["status"], status["cause"], status["exit_code"]) == ("failure", cause, code)
    assert detail in status["detail"]
    assert len(probes(project)) == count
    # The reaction is a task.
    assert (project.root / "rolled-back").exists()
    is_sound(project)


def test_until_asks_of_what_the_probe_itself_hands_on(project):
    monitor(
        project,
        script='test $n -ge 2 && echo "state=up-$n" >> $ZF_OUTPUT; true',
        until="outputs.state == 'up-3' && run.id == 'r'",
        keys={"outputs": ["state"]},
    )
    project.task("next", 'test "$STATE" = up-3', needs=["m"], env={"STATE": {"from": "m.state"}})
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done.err
    # The first one wrote nothing: what cannot be answered is not good.
    assert [e["result"] for e in probes(project)] == ["bad", "bad", "good"]
    is_sound(project)


def test_why_a_condition_does_not_hold_is_told(project):
    monitor(
        project, script='echo "state=down" >> $ZF_OUTPUT', until="outputs.state == 'up'", limit=2
    )
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    detail = project.status("r", "m")["detail"]
    assert detail == (
        "not good after 2 probes; the last: condition is false: outputs.state == 'up'"
        " (outputs.state = 'down')"
    )


def test_a_secret_in_the_first_line_is_in_no_journal(project):
    project.task(
        "m",
        'echo "with $TOKEN"',
        repeat={"limit": 1},
        env={"TOKEN": "hush-hush-77"},
    )
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert [e["line"] for e in probes(project)] == ["with ***"]


def test_other_tasks_have_the_slot_between_probes(project):
    # One slot: the monitor waits for what the other task does, and that one for the slot.
    monitor(project, script="test -e done", keys={"priority": 5}, limit=1000)
    project.task("other", "touch done")
    done = project.zf("run-phase", "A", "-j", "1", "--run-id", "r")
    assert done.code == 0, done.err
    kinds = [(e["type"], e["task"]) for e in project.events("r") if "task" in e]
    assert kinds.index(("probe", "m")) < kinds.index(("attempt_started", "other"))
    assert kinds.index(("attempt_ended", "other")) < kinds.index(("attempt_ended", "m"))


def test_cleanup_and_outputs_come_once_at_the_end(project):
    monitor(
        project,
        script="test $n -ge 3",
        keys={"cleanup": [{"run": "echo cleaned >> cleaned"}], "artifacts": ["n"]},
    )
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert (project.root / "cleaned").read_text() == "cleaned\n"
    assert project.proof("r", "m", "30-artifacts", "n").read_text() == "3\n"


@pytest.mark.parametrize("when", ["resting", "probing"])
def test_an_interrupt_ends_it_and_leaves_nothing(project, when):
    script = "sleep 60" if when == "probing" else "false"
    monitor(project, script=script, interval_sec=0.05 if when == "probing" else 600)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r", "--grace", "1")
    wanted = "start     m" if when == "probing" else "probe     m"
    assert any(wanted in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    status = project.status("r", "m")
    assert (status["status"], status["cause"]) == ("cancelled", "interrupt")
    is_sound(project)


def test_zf_cancel_ends_one_that_rests(project):
    monitor(project, script="false", interval_sec=600)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r")
    assert any("probe     m" in line for line in process.stderr)
    assert project.zf("cancel", "r", "m").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert project.status("r", "m")["cause"] == "cancel"
    is_sound(project)


def test_the_time_of_the_whole(project):
    monitor(project, script="false", interval_sec=600, keys={"timeout_sec": 1})
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.status("r", "m")
    assert (status["status"], status["cause"]) == ("timeout", "timeout")
    assert "the wait for its next probe" in status["detail"]


def test_a_killed_run_is_resumed_and_no_probe_counts_twice(project):
    monitor(project, script="test -e up", interval_sec=0.2, limit=6)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r")
    assert any("probe     m" in line for line in process.stderr)
    process.kill()
    process.communicate()
    before = len(probes(project))
    done = project.zf("resume", "r")
    assert done.code == 1
    # Six in all, whatever the runner that died had of them.
    assert len(probes(project)) == 6
    assert len({(e["attempt"], e["number"]) for e in probes(project)}) == 6
    assert {e["attempt"] for e in probes(project)} == {1, 2}
    assert before < 6
    is_sound(project)


BAD = [
    ({"until": "success"}, "ZF750", "the `repeat` of task file has no limit"),
    ({"limit": 3, "inconclusive": [75]}, "ZF751", "`inconclusive` has no limit"),
    ({"limit": 3, "inconclusive_limit": 7}, "ZF751", "`inconclusive_limit` limits nothing"),
    ({"limit": 3, "until": "outputs.x = 1"}, "ZF231", "unexpected '='"),
    ({"limit": 3, "until": "failure()"}, "ZF231", "failure() says nothing here"),
    ({"limit": 0}, "ZF", "limit"),
    ({"limit": 3, "intervall_sec": 1}, "ZF", "interval_sec"),
]


@pytest.mark.parametrize(("said", "code", "message"), BAD)
def test_what_cannot_be_meant(project, said, code, message):
    project.task("m", "true", repeat=said)
    done = project.zf("validate")
    assert done.code == 2
    assert code in done.err + done.out
    assert message in done.err + done.out


@pytest.mark.parametrize("key", ["cache", "leave_running"])
def test_what_cannot_be_beside_it(project, key):
    project.task("m", "true", repeat={"limit": 3}, sources=["n"], **{key: True})
    done = project.zf("validate")
    assert done.code == 2
    assert f"`{key}` cannot be beside `repeat`" in done.err + done.out


def test_an_output_that_until_mistypes_is_found_before_anything_runs(project):
    project.task(
        "m", "true", repeat={"limit": 3, "until": "outputs.stat == 'x'"}, outputs=["state"]
    )
    done = project.zf("validate")
    assert done.code == 2
    assert "did you mean 'outputs.state'?" in done.err + done.out


def test_a_success_without_a_good_probe_and_probes_out_of_order_are_contradictions(project):
    monitor(project, script="test $n = 2")
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0

    def problems(old, new):
        account = Account()
        for line in project.proof("r", "events.jsonl").read_text().splitlines():
            account.feed(json.loads(line.replace(old, new)))
        return account.problems

    assert problems("", "") == []
    (one,) = problems('"result":"good"', '"result":"bad"')
    assert one.endswith("an attempt succeeds whose last probe was not good")
    (one,) = problems('"number":2', '"number":3')
    assert one.endswith("a probe is not the next of its attempt")
