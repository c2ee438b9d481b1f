"""What tasks measure of themselves, from `$ZF_METRICS` to the proof; and `zf usage`."""

import json
from pathlib import Path

import pytest

from tests.support.program import survivors

ROOT = Path(__file__).resolve().parents[2]
MODES = ("never", "auto")


@pytest.fixture(params=MODES)
def shielded(request, project):
    """A project whose runs are, or are not, shielded where that can be."""
    project.env["ZF_SHIELD"] = request.param
    return project


def metrics(project, task: str, run: str = "r") -> dict[str, float]:
    status = json.loads((project.root / f"proofs/{run}/{task}/99-summary/status.json").read_text())
    return {one["name"]: one["value"] for one in status.get("metrics", [])}


def events(project, run: str = "r") -> list[dict]:
    lines = (project.root / f"proofs/{run}/events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_what_a_task_measures_is_in_its_proof(shielded):
    shielded.task(
        "10-a",
        "echo 'built_bytes 12' >> \"$ZF_METRICS\"",
        'echo \'{"name": "seen_total", "value": 2}\' >> "$ZF_METRICS"',
        'cat "$ZF_METRICS"',
    )
    shielded.task("20-b", 'test ! -e "$ZF_METRICS"; echo \'seen_total 5\' >> "$ZF_METRICS"')
    assert shielded.zf("run-phase", "A", "--run-id", "r", "-j", "1").code == 0
    tree = shielded.root / "proofs/r/10-a"
    assert (tree / "30-metrics.txt").read_text() == (
        "# TYPE built_bytes gauge\nbuilt_bytes 12\n# TYPE seen counter\nseen_total 2\n# EOF\n"
    )
    assert metrics(shielded, "10-a") == {"built_bytes": 12, "seen_total": 2}
    assert metrics(shielded, "20-b") == {"seen_total": 5}
    ended = [one for one in events(shielded) if one["type"] == "attempt_ended"]
    assert [len(one["metrics"]) for one in ended] == [2, 1]
    assert "30-metrics.txt" in (tree / "40-checksums/task.sha256").read_text()
    assert shielded.zf("verify", "r").code == 0
    (tree / "30-metrics.txt").write_text("seen_total 3\n")
    assert shielded.zf("verify", "r").code == 1


def test_a_task_that_measures_nothing_has_no_file(shielded):
    shielded.task("10-a", "true")
    assert shielded.zf("run-phase", "A", "--run-id", "r").code == 0
    assert not (shielded.root / "proofs/r/10-a/30-metrics.txt").exists()
    assert metrics(shielded, "10-a") == {}


def test_a_retry_has_its_own_file_and_its_cost_counts(shielded):
    shielded.task(
        "10-a", 'echo \'cost_total 2\' >> "$ZF_METRICS"; test "$ATTEMPT" = 2', max_retries=1
    )
    assert shielded.zf("run-phase", "A", "--run-id", "r").code == 0
    assert metrics(shielded, "10-a") == {"cost_total": 2}
    earlier = shielded.root / "proofs/r/10-a/attempts/1"
    assert "cost_total 2" in (earlier / "30-metrics.txt").read_text()
    assert (
        "attempts/1/30-metrics.txt"
        in (shielded.root / "proofs/r/10-a/40-checksums/attempts.sha256").read_text()
    )
    assert shielded.zf("verify", "r").code == 0


@pytest.mark.parametrize("strict", [False, True])
def test_a_bad_line_is_quoted_and_fails_only_what_is_strict(shielded, strict):
    shielded.task("10-a", "printf 'fine 1\\nno sense\\n' >> \"$ZF_METRICS\"", metrics_strict=strict)
    done = shielded.zf("run-phase", "A", "--run-id", "r")
    status = json.loads((shielded.root / "proofs/r/10-a/99-summary/status.json").read_text())
    assert any("'no sense' (line 2)" in note for note in status["notes"])
    assert metrics(shielded, "10-a") == {"fine": 1}
    if strict:
        assert (done.code, status["status"], status["cause"]) == (1, "failure", "metrics")
        assert "1 line that cannot be read" in done.out + done.err
    else:
        assert (done.code, status["status"]) == (0, "success")
    assert shielded.zf("verify", "r").code == 0


@pytest.mark.parametrize(
    "planted",
    [
        'ln -s /etc/passwd "$ZF_METRICS"',
        'mkfifo "$ZF_METRICS"',
        'mkdir "$ZF_METRICS"',
        'head -c 300000 /dev/zero > "$ZF_METRICS"',
        'chmod 0 "$(dirname "$ZF_METRICS")"',
    ],
)
def test_whatever_is_put_in_its_place_hurts_nothing(shielded, planted):
    shielded.task("10-a", planted)
    shielded.task("20-b", "echo fine")
    assert shielded.zf("run-phase", "A", "--run-id", "r", "-j", "1").code == 0
    assert "root:" not in json.dumps(events(shielded))
    assert shielded.zf("verify", "r").code == 0


def test_a_secret_in_a_label_is_hidden(shielded):
    shielded.env["DEPLOY_TOKEN"] = "0123456789abcdef-secret"
    shielded.task(
        "10-a",
        'echo "calls_total{token=\\"$DEPLOY_TOKEN\\"} 1" >> "$ZF_METRICS"',
        pass_env=["DEPLOY_TOKEN"],
    )
    assert shielded.zf("run-phase", "A", "--run-id", "r").code == 0
    kept = (shielded.root / "proofs/r/10-a/30-metrics.txt").read_text()
    assert "calls_total" in kept
    for path in (shielded.root / "proofs/r").rglob("*"):
        if path.is_file():
            assert b"0123456789abcdef-secret" not in path.read_bytes(), path


def test_the_example_of_the_reference_is_what_is_printed(project):
    page = (ROOT / "docs/reference/metrics.md").read_text()
    shown = page.split("    $ zf usage claude answer.json\n")[1].split("\n\n")[0]
    usage = {"input_tokens": 3, "output_tokens": 4}
    answer = {"type": "message", "model": "m", "usage": usage}
    (project.root / "answer.json").write_text(json.dumps(answer))
    printed = project.zf("usage", "claude", "answer.json").out
    assert "".join(f"    {line}\n" for line in printed.splitlines()) == f"{shown}\n"


def test_usage_prints_lines_for_the_file(project):
    answer = {
        "type": "message",
        "model": "m",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    (project.root / "answer.json").write_text(json.dumps(answer))
    project.task("10-a", 'zf usage claude answer.json >> "$ZF_METRICS"')
    done = project.zf("usage", "claude", "answer.json")
    assert (done.code, done.err) == (0, "")
    assert 'llm_tokens_total{model="m",provider="anthropic",type="input"} 3' in done.out
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert metrics(project, "10-a")["llm_requests_total"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("claude", "absent.json"), "ZF670"),
        (("claude", "."), "ZF670"),
        (("codex", "empty"), "ZF672"),
        (("gemini", "empty"), "'claude', 'codex', 'openai'"),
    ],
)
def test_usage_refuses_what_it_cannot_read(project, words, told):
    (project.root / "empty").write_text("")
    done = project.zf("usage", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


# Forks a child that ignores TERM as it does itself, and spends on and on.
AGENT = """
trap '' TERM
(trap '' TERM; while :; do sleep 0.1; done) &
for n in $(seq 1 1000); do
  echo 'llm_cost_usd_total{model="m"} 0.5' >> "$ZF_METRICS"
  sleep 0.05
done
"""


def test_an_agent_beyond_its_budget_is_ended_and_its_cost_is_in_the_proof(shielded):
    (shielded.root / "zf.yaml").write_text("grace_sec: 0.2\n")
    shielded.task("10-a", AGENT, budget={"llm_cost_usd": 2}, max_retries=3)
    shielded.task("20-b", "true", needs=["10-a"])
    done = shielded.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    status = json.loads((shielded.root / "proofs/r/10-a/99-summary/status.json").read_text())
    assert (status["status"], status["cause"], status["attempt"]) == ("failure", "budget", 1)
    assert status["detail"].startswith("llm_cost_usd is ")
    assert "its budget 2" in status["detail"]
    assert metrics(shielded, "10-a")["llm_cost_usd_total"] > 2
    told = [one for one in events(shielded) if one["type"] == "budget_warned"]
    assert [one["over"] for one in told][-1] is True
    assert {(one["scope"], one["name"], one["budget"]) for one in told} == {("task", "10-a", 2)}
    assert "llm_cost_usd is" in done.err
    assert survivors(shielded.mark) == []
    assert shielded.zf("verify", "r").code == 0
    assert "budget" in shielded.zf("explain", "r").out


def test_what_is_only_known_at_the_end_fails_the_task_then(project):
    project.task("10-a", "echo 'cost_total 3' >> \"$ZF_METRICS\"", budget={"cost": 2})
    done = project.zf("run-phase", "A", "--run-id", "r")
    status = project.json("r", "10-a", "99-summary", "status.json")
    assert (done.code, status["cause"], status["exit_code"]) == (1, "budget", None)
    assert status["detail"] == "cost is 3, its budget 2"


@pytest.mark.parametrize("hide", ["echo 'cost_total 0.1' > \"$ZF_METRICS\"", 'rm "$ZF_METRICS"'])
def test_what_was_used_stays_used_whatever_becomes_of_the_file(project, hide):
    """The first step waits until the runner has been told of it: that is when it warns."""
    journal = "$ZENFLOW_ROOT/proofs/r/events.jsonl"
    project.task(
        "10-a",
        "echo 'cost_total 0.9' >> \"$ZF_METRICS\"\n"
        f"until grep -q budget_warned {journal}; do :; done\n{hide}",
        "echo 'cost_total 0.5' >> \"$ZF_METRICS\"",
        budget={"cost": 1},
    )
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.json("r", "10-a", "99-summary", "status.json")
    assert (status["status"], status["cause"]) == ("failure", "budget")


def test_attempts_add_up(project):
    project.task(
        "10-a",
        "echo 'cost_total 3' >> \"$ZF_METRICS\"; test $ATTEMPT = 2",
        budget={"cost": 5},
        max_retries=5,
        retry_delay_sec=0,
    )
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.json("r", "10-a", "99-summary", "status.json")
    assert (status["attempt"], status["cause"]) == (2, "budget")
    assert status["detail"] == "cost is 6, its budget 5"


def test_a_task_that_has_to_say_what_it_uses_fails_when_it_does_not(project):
    project.task("10-a", "true", budget={"cost": 2}, budget_required=True)
    project.task("20-b", "true", budget={"cost": 2})
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    status = project.json("r", "10-a", "99-summary", "status.json")
    assert status["detail"] == "it measured nothing of what its budget limits: cost"
    assert project.json("r", "20-b", "99-summary", "status.json")["status"] == "success"


def test_the_budget_of_a_phase_and_of_a_run_ends_all(project):
    (project.root / "zf.yaml").write_text("phases: {A: {budget: {cost: 5}}}\nbudget: {cost: 100}\n")
    spend = "echo 'cost_total 3' >> \"$ZF_METRICS\"; "
    project.task("10-a", spend + "sleep 60", parallel_safe=True)
    project.task("20-b", spend + "sleep 60", parallel_safe=True)
    project.task("30-c", "true", needs=["20-b"])
    project.task("40-d", "true", phase="B")
    done = project.zf("run-phase", "A", "B", "--run-id", "r")
    assert done.code == 1
    plan = project.json("r", "plan.json")
    assert (plan["budget"], plan["phases"][0]["budget"]) == ({"cost": 100}, {"cost": 5})
    for name in ("10-a", "20-b"):
        status = project.json("r", name, "99-summary", "status.json")
        assert (status["status"], status["cause"]) == ("failure", "budget")
        assert "(of phase A)" in status["detail"]
    assert project.json("r", "30-c", "99-summary", "status.json")["status"] == "blocked"
    assert project.json("r", "40-d", "99-summary", "status.json")["status"] == "cancelled"
    assert project.zf("verify", "r").code == 0


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("{cost: 0}", "greater than 0"),
        ("{cost: much}", "number"),
        ("{not a name: 1}", "not a name"),
        ("3", "mapping"),
    ],
)
def test_a_budget_that_is_none_is_refused(project, budget, told):
    project.file("10-a", f"id: 10-a\nphase: A\nbudget: {budget}\ncommands: [{{run: true}}]\n")
    done = project.zf("validate")
    assert done.code == 2
    assert told in done.err
    assert "task.yaml:3" in done.err
