"""What CI systems are told of a run: the files they read, judged by what reads them."""

import json
import os
import re
import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.ci_logs import GitHubJob, read_outputs
from tests.support.tools import program
from zf.cli.display.ci import _assigned
from zf.report.formats import openmetrics
from zf.report.formats.github import render
from zf.report.formats.recorded import RecordedRun

HOSTILE = "</details><script>alert(1)</script> | ``` ````` @team #12 [x](y) \u202eevil \x1b[31m"


@pytest.fixture
def job(project):
    """A project in a job of GitHub's, in a folder of its repository."""
    files = project.root.parent
    project.env |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(project.root.parent),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_RUN_ID": "7",
        "GITHUB_STEP_SUMMARY": str(files / "summary.md"),
        "GITHUB_OUTPUT": str(files / "output"),
    }
    (files / "summary.md").touch()
    (files / "output").touch()
    project.files = files
    return project


@pytest.fixture
def failing(job):
    (job.root / "hostile.txt").write_text(HOSTILE + "\nlast line\n")
    job.task("10-good", "true")
    job.task("20-bad", "true", "cat hostile.txt; exit 3", needs=["10-good"])
    job.task("30-held", "true", needs=["20-bad"])
    job.task("40-held", "true", needs=["30-held"])
    job.task("50-tolerated", "exit 4", allow_failure=True)
    flaky = "test -e tried && exit 0; touch tried; exit 1"
    job.task("60-flaky", flaky, max_retries=1)
    return job


def summary(job) -> str:
    return (job.files / "summary.md").read_text()


def test_the_outputs_of_the_step(failing):
    failing.zf("run-phase", "A", "--run-id", "r", "--report", "page.html")
    head = json.loads(failing.zf("verify", "r", "--json").out)["result"]["head"]
    assert read_outputs((failing.files / "output").read_text()) == {
        "run": "r",
        "result": "failed",
        "exit-code": "1",
        "head": head,
        "proof": str(failing.root / "proofs" / "r"),
        "report": str(failing.root / "page.html"),
        "failed": '["20-bad"]',
    }


def test_outputs_are_added_to_what_is_there(job):
    job.task("10-a", "true")
    (job.files / "output").write_text("mine=1\n")
    job.zf("run-phase", "A", "--run-id", "r")
    found = read_outputs((job.files / "output").read_text())
    assert (found["mine"], found["result"], found["failed"]) == ("1", "passed", "[]")


def test_a_value_with_line_ends_comes_back_whole():

    values = {"a": "one\ntwo\nb=3", "b": "x<<y\nEOF\n", "c": ""}
    assert read_outputs(_assigned(values).decode()) == values


def test_one_annotation_for_each_cause_and_none_for_what_it_held_up(failing):
    done = failing.zf("run-phase", "A", "--run-id", "r")
    found = GitHubJob().take(done.err).named("error", "warning", "notice")
    place = {"file": "project/tasks/20-bad/task.yaml"}
    lines = (failing.root / "tasks/20-bad/task.yaml").read_text().splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "step 2" in text or "cat hostile" in text)
    [error, warning, notice] = found
    assert error.name == "error"
    assert error.properties["file"] == place["file"]
    assert abs(int(error.properties["line"]) - line) <= 1
    assert error.properties["title"].startswith("20-bad failed after ")
    assert error.message.splitlines()[:2] == [
        "step 'step 2' exited with code 3 [ZF501]",
        "holds up 2 tasks",
    ]
    assert error.message.splitlines()[-1] == "| last line"
    assert warning.name == "warning"
    assert warning.properties["title"].startswith("50-tolerated failed")
    assert notice.name == "notice"
    assert "60-flaky" in notice.properties["title"]


def test_no_more_annotations_than_github_keeps(job):
    for number in range(14):
        job.task(f"t{number}", f"exit {number + 1}")
    done = job.zf("run-phase", "A", "--run-id", "r")
    errors = GitHubJob().take(done.err).named("error")
    assert len(errors) == 10
    assert errors[-1].properties == {"title": "and 5 more"}
    told = {error.properties["title"].split()[0] for error in errors[:-1]}
    assert len(told) == 9
    rest = re.findall(r"t\d+", errors[-1].message)
    assert sorted([*told, *rest]) == sorted(f"t{number}" for number in range(14))


def test_the_summary_says_what_happened(failing):
    failing.zf("run-phase", "A", "--run-id", "r")
    text = summary(failing)
    assert text.startswith("### ✕ FAIL: zf run r\n\n6 tasks: 2 success (1 flaky), ")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split()[2] for row in rows[1:]] == ["20-bad", "50-tolerated", "60-flaky"]
    assert "| 2 tasks |" in rows[1]
    head = json.loads(failing.zf("verify", "r", "--json").out)["result"]["head"]
    assert f"zf verify r.tar --head {head}" in text
    assert text.count("```mermaid") == 1
    named = {name: node for node, name in re.findall(r'(t\d)\["\S ([\w-]+)"\]', text)}
    assert f'{named["20-bad"]}["✕ 20-bad"]:::bad' in text
    assert f"  {named['10-good']} --> {named['20-bad']}\n" in text


def test_the_summary_is_the_same_as_the_report_writes_later(failing):
    failing.zf("run-phase", "A", "--run-id", "r")
    failing.zf("report", "r", "--markdown", "again.md")
    assert (failing.root / "again.md").read_text() == summary(failing)


def test_what_a_task_printed_cannot_leave_its_block(failing):
    failing.zf("run-phase", "A", "--run-id", "r")
    before, fence, rest = summary(failing).partition("``````text\n")
    assert fence
    log, end, after = rest.partition("\n``````\n")
    assert end
    assert log.splitlines() == [
        "</details><script>alert(1)</script> | ``` ````` @team #12 [x](y) \\u202eevil ",
        "last line",
    ]
    assert "script" not in before + after


def test_names_are_text_whatever_they_hold(job):
    path = job.task("10-a", "exit 1")
    name = "a | b <img src=x> **c** `d` [e](f) @g"
    path.write_text(path.read_text().replace("step 1", f"'{name}'"))
    job.zf("run-phase", "A", "--run-id", "r")
    [row] = [line for line in summary(job).splitlines() if line.startswith("| ✕")]
    assert row.count("|") == 5
    assert re.sub(r"&#(\d+);", lambda code: chr(int(code[1])), row).count(name) == 1
    assert not set("<`*@") & set(row.replace("<code>", "").replace("</code>", ""))


def test_a_place_is_a_link_into_the_commit(failing):
    def git(*words):
        subprocess.run(["git", *words], cwd=failing.root, check=True, capture_output=True)

    git("init", "-q")
    git("add", "tasks")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    failing.zf("run-phase", "A", "--run-id", "r")
    commit = json.loads((failing.root / "proofs/r/run.json").read_text())["source"]["commit"]
    link = f"https://github.com/owner/name/blob/{commit}/project/tasks/20-bad/task.yaml#L"
    assert link in summary(failing)


@pytest.mark.parametrize("others", [0, 300_000, 890_000, 899_990, 900_000, 2_000_000])
def test_the_file_stays_below_what_github_shows(failing, others):
    """Content over 1 MiB vanishes without a word (actions/runner, 4337)."""
    (failing.files / "summary.md").write_text("x" * (others - 1) + "\n" * bool(others))
    done = failing.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 1
    text = summary(failing)
    assert len(text.encode()) <= max(900_000, others)
    if others <= 890_000:
        assert "### ✕ FAIL" in text
    else:
        assert len(text) == others
        assert "error[ZF662]: GITHUB_STEP_SUMMARY has no room for a summary" in done.err


def test_what_matters_least_is_left_out_first(failing):

    failing.zf("run-phase", "A", "--run-id", "r")
    run = RecordedRun(str(failing.root / "proofs/r"))
    whole = b"".join(render(run))
    seen = []
    for room in range(len(whole), 0, -7):
        text = b"".join(render(run, room=room))
        assert len(text) <= room
        seen.append(
            tuple(
                word in text
                for word in (b"### ", b"head <code>", b"| what |", b"Log of", b"mermaid")
            )
        )
    assert seen[0] == (True,) * 5
    assert seen[-1] == (False,) * 5
    # A part never comes back that was left out with more room, and the order is the one above.
    assert seen == sorted(seen, reverse=True)


def test_a_big_graph_is_not_drawn(job):
    for number in range(51):
        job.task(f"t{number}", "true")
    job.zf("run-phase", "A", "--run-id", "r", "-j2")
    assert "mermaid" not in summary(job)
    shutil.rmtree(job.root / "tasks" / "t50")
    (job.files / "summary.md").write_text("")
    job.zf("run-phase", "A", "--run-id", "s", "-j2")
    assert summary(job).count(":::good") == 50


@pytest.mark.parametrize("kind", ["folder", "fifo", "missing"])
def test_a_file_that_cannot_be_written_changes_nothing_of_the_run(job, kind):
    job.task("10-a", "true")
    path = job.files / "summary.md"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        job.env["GITHUB_STEP_SUMMARY"] = str(job.files / "not" / "there")
    done = job.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0
    assert "error[ZF662]: " in done.err
    assert read_outputs((job.files / "output").read_text())["result"] == "passed"


def test_a_run_that_was_interrupted_is_told_as_that(job):
    job.task("10-slow", f"kill -TERM $(cat {job.files}/pid); exec sleep 300")
    with open(job.files / "log", "w") as log:
        process = job.popen("run-phase", "A", "--run-id", "r", stderr=log)
        (job.files / "pid").write_text(str(process.pid))
        process.communicate(timeout=60)
    assert process.returncode == 143
    [error] = GitHubJob().take((job.files / "log").read_text()).named("error", "warning")
    assert error.properties == {"title": "INTERRUPTED r"}
    assert error.message == "it was interrupted [ZF505]"
    assert summary(job).startswith("### ✕ INTERRUPTED: zf run r\n")
    outputs = read_outputs((job.files / "output").read_text())
    assert (outputs["result"], outputs["exit-code"]) == ("interrupted", "143")


def test_outside_of_github_nothing_is_written(failing):
    failing.zf("run-phase", "A", "--run-id", "r", "--ci", "none")
    assert summary(failing) == ""
    assert (failing.files / "output").read_text() == ""


# --- Files for GitLab ----------------------------------------------------------------------------


@pytest.fixture
def gitlab(failing):
    """The same project in a job of GitLab's."""
    for name in [name for name in failing.env if name.startswith("GITHUB_")]:
        del failing.env[name]
    failing.env |= {
        "GITLAB_CI": "true",
        "CI_PROJECT_DIR": str(failing.root.parent),
        "CI_JOB_URL": "https://gitlab.example.org/group/name/-/jobs/12",
    }
    return failing


def written(job, option, name, *more) -> str:
    job.zf("report", "r", option, name, *more)
    return (job.root / name).read_text()


def test_code_quality_has_the_causes(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r", "--codequality", "cq.json")
    rows = json.loads((gitlab.root / "cq.json").read_text())
    assert [(row["severity"], row["check_name"]) for row in rows] == [
        ("major", "ZF501"),
        ("minor", "ZF501"),
        ("info", "ZF501"),
    ]
    for row in rows:
        # Each of these GitLab demands.
        assert set(row) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert (gitlab.root.parent / row["location"]["path"]).is_file()
        assert row["location"]["lines"]["begin"] >= 1
    assert len({row["fingerprint"] for row in rows}) == 3


def test_a_fingerprint_stays_though_lines_and_times_change(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r")
    before = json.loads(written(gitlab, "--codequality", "cq.json"))
    path = gitlab.root / "tasks/20-bad/task.yaml"
    path.write_text("# one line more\n" + path.read_text().replace("exit 3", "sleep 0.1; exit 3"))
    gitlab.zf("run-phase", "A", "--run-id", "s")
    gitlab.zf("report", "s", "--codequality", "again.json")
    after = json.loads((gitlab.root / "again.json").read_text())
    assert before[0]["fingerprint"] == after[0]["fingerprint"]
    assert before[0]["location"] != after[0]["location"]


def test_the_job_links_to_the_page(gitlab):
    files = ("--report", "out put/page.html", "--gitlab-annotations", "links.json")
    gitlab.zf("run-phase", "A", "--run-id", "r", *files)
    [link] = json.loads((gitlab.root / "links.json").read_text())["zf"]
    assert link["external_link"] == {
        "label": "zf: FAIL, 1 failed",
        "url": "https://gitlab.example.org/group/name/-/jobs/12/artifacts/file"
        "/project/out%20put/page.html",
    }
    again = written(gitlab, "--gitlab-annotations", "again.json", "-o", "out put/page.html")
    assert json.loads(again) == {"zf": [link]}


def test_without_a_page_there_is_no_link(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r")
    assert json.loads(written(gitlab, "--gitlab-annotations", "links.json")) == {"zf": []}


def test_variables_for_later_jobs(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r")
    text = written(gitlab, "--dotenv", "zf.env")
    values = dict(line.split("=", 1) for line in text.splitlines())
    assert values == {
        "ZF_RUN": "r",
        "ZF_RESULT": "failed",
        "ZF_EXIT_CODE": "1",
        "ZF_HEAD": json.loads(gitlab.zf("verify", "r", "--json").out)["result"]["head"],
        "ZF_FAILED_COUNT": "1",
        "ZF_FAILED": "20-bad",
    }
    assert re.fullmatch(r"(?:[A-Z_]+=[A-Za-z0-9_.,-]*\n)+", text)


def test_variables_stay_within_what_gitlab_takes(gitlab):
    for number in range(150):
        gitlab.task(f"t{number}-{'x' * 60}", "exit 1")
    gitlab.zf("run-phase", "A", "--run-id", "r", "-j2", "--dotenv", "zf.env")
    text = (gitlab.root / "zf.env").read_text()
    assert len(text.encode()) < 5 * 1024
    assert "ZF_FAILED_COUNT=151\n" in text


def test_promtool_takes_the_metrics(gitlab):
    told = ('llm_tokens_total{model="a"} 5', "zf_tasks 7", "zf_run_success_total 9", "depth 3")
    gitlab.task("70-measured", *(f"echo '{line}' >> $ZF_METRICS" for line in told))
    gitlab.task("71-measured", f"echo '{told[0]}' >> $ZF_METRICS")
    gitlab.zf("run-phase", "A", "--run-id", "r", "--openmetrics", "m.txt")
    text = (gitlab.root / "m.txt").read_text()
    assert 'zf_tasks{status="blocked"} 2\n' in text
    assert "zf_run_success 0\n" in text
    assert 'llm_tokens_total{model="a"} 10\n' in text
    assert "depth 3\n" in text
    # What is zf's own to say it says alone.
    assert "zf_run_success_total" not in text
    assert "zf_tasks 7" not in text
    assert text.endswith("# EOF\n")
    assert {one.name for one in text_string_to_metric_families(text)} >= {"llm_tokens", "zf_tasks"}
    # OpenMetrics describes a counter under its name without `_total`, which promtool does not know.
    told = promtool(
        text.replace("# TYPE llm_tokens ", "# TYPE llm_tokens_total ").replace(
            "# HELP llm_tokens ", "# HELP llm_tokens_total "
        )
    )
    assert told == (0, "")


def promtool(text: str) -> tuple[int, str]:
    """What it says of metrics; the test is skipped without it."""
    words = [program("promtool"), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_promtool_would_say_what_is_wrong():
    assert promtool("# TYPE a gauge\na{b=1} 2\n")[0] == 1
    assert promtool("a 1\n")[0] == 3


def test_what_a_task_used_is_in_the_metrics(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r")
    run = RecordedRun(str(gitlab.root / "proofs/r"))
    used = {"cpu_user_s": 1.5, "cpu_system_s": 0.25, "peak_memory_bytes": 4096, "source": "wait4"}
    run.facts.tasks["20-bad"].measures = used
    text = b"".join(openmetrics.render(run)).decode()
    assert 'zf_task_cpu_seconds{phase="A",task="20-bad"} 1.75\n' in text
    assert 'zf_task_peak_memory_bytes{phase="A",task="20-bad"} 4096\n' in text


def test_every_file_is_the_same_each_time(gitlab):
    gitlab.zf("run-phase", "A", "--run-id", "r")
    for option in ("--markdown", "--codequality", "--openmetrics", "--dotenv"):
        assert written(gitlab, option, "one") == written(gitlab, option, "two")
