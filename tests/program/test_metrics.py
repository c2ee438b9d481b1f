"""What tasks measure of themselves, from `$ZF_METRICS` to the proof; and `zf usage`."""

import json
from pathlib import Path

import pytest

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
    shown = page.split("    $ zf usage claude answer.json\n")[1]
    usage = {"input_tokens": 3, "output_tokens": 4}
    answer = {"type": "message", "model": "m", "usage": usage}
    (project.root / "answer.json").write_text(json.dumps(answer))
    printed = project.zf("usage", "claude", "answer.json").out
    assert "".join(f"    {line}\n" for line in printed.splitlines()) == shown


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
