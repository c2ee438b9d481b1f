"""What a page says of a run, by its text: the sections that depend on what the run has."""

import html
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.program import Project
from zf.audit.compare import compare
from zf.audit.verify import verify
from zf.report.formats.recorded import RecordedRun
from zf.report.html import comparison, page
from zf.report.html.costs import costs, number


def text_of(run: Path) -> str:
    """What is read of the page of a run."""
    recorded = RecordedRun(str(run), verify=lambda: verify(str(run)).as_json())
    made = b"".join(page.render(recorded)).decode()
    body = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", made.partition("<body>")[2])
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture
def run(project: Project) -> Path:
    metrics = (
        """echo '{"name": "llm_cost_usd_total", "value": 0.75, "labels": {"model": "m"}}' """
        """>> "$ZF_METRICS"; """
        """echo '{"name": "widgets_total", "value": 12345, "labels": {"kind": "<b>"}}' """
        """>> "$ZF_METRICS" """
    )
    project.task("10-a", metrics, title="The <first> \u202e task")
    project.task("20-b", metrics + "; exit 3", needs=["10-a"], allow_failure=True)
    junit = (
        '<testsuite><testcase classname="c" name="good"/><testcase classname="c" name="bad">'
        '<failure message="4 is not 5"/></testcase></testsuite>'
    )
    project.task(
        "30-c",
        f"echo '{junit}' > junit.xml; exit 1",
        reports={"junit": ["junit.xml"]},
        needs=["10-a"],
    )
    project.task("40-d", "true", needs=["30-c"])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 1
    return project.root / "proofs" / "r"


def test_everything_that_a_run_has_is_told(run):
    text = text_of(run)
    for told in (
        "Phase A failed: 30-c failed, and 1 task waited for it.",
        "30-c failed: step 'step 1' exited with code 1, holds up 1 task",
        "1 of 2 tests failed: ",
        "4 is not 5",
        "20-b failed, which is tolerated: step 'step 1' exited with code 3",
        "The <first> \\u202e task",
        "Language models: $1.50.",
        "widgets_total kind=<b> 24 690",
        "1 artifact",
        "junit.xml 30-c",
        "max_jobs 4 default",
        "Intact passed : ",
        "Authentic unsigned : ",
        "The page itself proves nothing",
        "zf verify r",
    ):
        assert told in text, (told, text)


def test_a_proof_that_does_not_verify_is_said_before_all_else(run):
    (run / "10-a" / "20-logs" / "step-0.log").write_text("changed\n")
    text = text_of(run)
    assert text.index("The proof of this run does not verify.") < text.index("What went wrong")
    assert "INTACT: 10-a/20-logs/step-0.log" in text


@pytest.mark.parametrize(("value", "told"), [(3, "3"), (12345.0, "12 345"), (0.12345, "0.1235")])
def test_numbers(value, told):
    assert number(value) == told


def test_a_retry_counts_among_what_a_run_cost(run):
    facts = RecordedRun(str(run)).facts
    used = {"cpu_user_s": 60.0, "cpu_system_s": 30.0, "peak_memory_bytes": 5_000_000}
    for task in facts.tasks.values():
        task.measures = {}
        task.metrics = ()
    assert costs(facts) is None
    facts.tasks["10-a"].measures = used
    facts.tasks["30-c"].measures = {**used, "cpu_user_s": 1.0, "peak_memory_bytes": 7_000_000}
    assert costs(facts).told == [
        (
            "2m01s of processor time in 2 attempts, the most (1m30s) in 10-a; the largest process had"
            " 6.7 MiB of memory, in 30-c."
        )
    ]


def test_what_was_asked_for_and_not_used_is_said(run):
    facts = RecordedRun(str(run)).facts
    task = facts.tasks["10-a"]
    task.resources, task.duration_s = {"cpu": 4}, 100.0
    task.measures = {"cpu_user_s": 50.0, "cpu_system_s": 10.0}
    assert "10-a: asked for 4 cpu, used 0.6." in costs(facts).told


def test_beside_the_run_that_was_run_again_in_part_nothing_is_gone(run, project):
    assert project.zf("rerun", "r", "--only", "10-a", "--run-id", "again").code == 0
    before, now = RecordedRun(str(run)), RecordedRun(str(run.parent / "again"))
    against = comparison.Against(before, compare(str(run), str(run.parent / "again")).as_json())
    made = b"".join(comparison.render(now, against)).decode()
    assert "no longer there" not in made
    assert "every task ended as before; 3 tasks were not run again" in made


def test_who_decided_what_is_told_of_tasks_that_had_to_be_approved(project):
    keys = {name: project.root.parent / name for name in ("ann", "eve")}
    for key in keys.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = keys["ann"].with_suffix(".pub").read_text()
    (project.root / "allowed_signers").write_text(f"ann {public}")
    project.task("deploy", "true", approval={"by": ["ann"]})
    assert project.zf("run", "--run-id", "r", "--on-approval", "exit").code == 6
    assert "Approvals" in text_of(project.proof("r"))
    assert "deploy waiting for approval by ann" in text_of(project.proof("r"))

    def answer(verb, key, comment):
        words = ("--key", str(keys[key]), "--as", "ann", "--comment", comment)
        project.zf(verb, "r", "deploy", *words)

    answer("approve", "eve", "let me")
    answer("reject", "ann", "not <today>")
    assert project.zf("resume", "r").code == 1
    text = text_of(project.proof("r"))
    told = text[text.index("Approvals Task Decision By When Key") :]
    assert re.search(
        r"deploy did not count .*for ann: Could not verify signature\. ann 20\S+ \S+ UTC", told
    )
    assert re.search(r"deploy rejected not <today> ann 20\S+ \S+ UTC SHA256:\S{43}", told)
    assert "let me" not in text  # nobody vouches for what that one wrote
