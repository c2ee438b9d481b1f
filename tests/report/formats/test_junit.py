"""A run as JUnit XML: what each task becomes, and what programs that read such files say of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import junitparser
import pytest
from hypothesis import given

from tests.support.program import Project
from tests.support.report_samples import failed, plan, started
from tests.support.report_strategies import hostile_runs
from tests.support.tools import from_npm, program
from zf.errors import printable
from zf.events import RetryScheduled
from zf.lean.records import replace
from zf.report.facts import build
from zf.report.formats import junit
from zf.report.formats.recorded import LogFile, RecordedRun
from zf.work.results import junit as reports

SCHEMA = Path(__file__).resolve().parents[2] / "support" / "junit.xsd"
# What tasks print to be taken for something else, and what no XML can hold.
HOSTILE = r"""
printf '</system-out></testcase>]]>&amp;<![CDATA[\n'
printf '\0\001\010\033[2J\033[31mred\033[0m\r\n\302\205\302\233\177\n'
printf '\355\240\200 \357\277\276 \357\277\277 \377\376 \342\200\256evil\n'
printf '"\047\tCafé \360\237\232\242 FAILED\n'
head -c 1000000 /dev/zero | tr '\0' '<'; echo
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project with a finished run `r` in which everything happens that can."""
    here = Project(tmp_path_factory.mktemp("junit") / "project")
    here.task("10-ok", "true")
    here.task("11-fails", "true", f"{HOSTILE}\nexit 3", title="<Fails> & \x85")
    here.task("12-slow", "echo waiting; sleep 60", timeout_sec=0.5)
    here.task("13-lost", "kill -9 $PPID; sleep 60")
    here.task("14-warned", "echo meant; exit 42", allow_failure={"exit_codes": [42]})
    here.task("15-flaky", 'echo "try $ATTEMPT"; exit $((ATTEMPT < 3))', max_retries=2)
    here.task("16-again", 'echo "try $ATTEMPT"; exit "$ATTEMPT"', max_retries=2)
    retry = {"max_retries": 1, "timeout_sec": 0.7, "retry_on": ["timeout"]}
    here.task("17-slow-once", "[ $ATTEMPT -gt 1 ] || sleep 60", **retry)
    here.task("18-skipped", "true", condition="'a' == 'b'")
    here.task("19-blocked", "true", needs=["11-fails"])
    report = '<testsuite><testcase name="no"><failure/></testcase></testsuite>'
    here.task("20-tests", f"echo '{report}' > t.xml; exit 1", reports={"junit": ["t.xml"]})
    here.task("30-late", "true", phase="B")
    done = here.zf("run-phase", "A", "B", "--run-id", "r", "--junit", "out/r.xml")
    assert done.code == 1, done.err
    assert done.err.endswith("wrote out/r.xml\n")
    return here


@pytest.fixture(scope="module")
def written(project) -> Path:
    return project.root / "out" / "r.xml"


@pytest.fixture(scope="module")
def suites(written):
    return ET.parse(written).getroot()


@pytest.fixture(scope="module")
def cases(suites):
    return {case.get("name"): case for case in suites.iter("testcase")}


def recorded(at, run="r", **keys):
    return RecordedRun(str(at.root / "proofs" / run), **keys)


def drawn(run, **keys) -> bytes:
    return b"".join(junit.render(run, **keys))


def kinds(case) -> list[str]:
    return [one.tag for one in case if one.tag not in {"properties", "system-out"}]


def test_each_end_has_its_element(cases):
    assert {name: kinds(case) for name, case in cases.items()} == {
        "10-ok": [],
        "11-fails": ["failure"],
        "12-slow": ["error"],
        "13-lost": ["error"],
        "14-warned": [],
        "15-flaky": ["flakyFailure", "flakyFailure"],
        "16-again": ["failure", "rerunFailure", "rerunFailure"],
        "17-slow-once": ["flakyError"],
        "18-skipped": ["skipped"],
        "19-blocked": ["skipped"],
        "20-tests": ["failure"],
        "30-late": ["skipped"],
    }


def test_suites_are_phases_and_count_their_cases(suites):
    counts = {"tests": "11", "failures": "3", "errors": "2", "skipped": "2", "flakes": "2"}
    a, b = suites
    assert {name: a.get(name) for name in counts} == counts
    assert (a.get("name"), b.get("name"), b.get("skipped")) == ("A", "B", "1")
    whole = {"name": "r", "tests": "12", "failures": "3", "errors": "2", "skipped": "3"}
    assert {name: suites.get(name) for name in whole} == whole
    said = {one.get("name"): one.get("value") for one in a.find("properties")}
    assert (said["zf.run"], said["zf.result"], len(said["zf.head"])) == ("r", "failed", 64)
    assert "zf.left_out" in said  # a log of 1 MB


def test_a_case_says_where_it_stands_and_how_long_it_took(project, cases):
    case = cases["11-fails"]
    assert case.get("classname") == "A"
    file, line = case.get("file"), int(case.get("line"))
    step = (project.root / file).read_text().splitlines()[line - 1]
    assert "step 2" in "".join((project.root / file).read_text().splitlines()[line - 1 : line + 9])
    assert step.startswith("- ")
    assert float(cases["12-slow"].get("time")) >= 0.5
    assert case.get("timestamp").endswith("Z")
    inside = ET.fromstring(drawn(recorded(project, project="sub/harbour")))
    assert inside.find(".//testcase").get("file") == "sub/harbour/tasks/10-ok/task.yaml"


def test_the_text_says_what_the_attributes_do(cases):
    """GitLab shows nothing else."""
    timeout = cases["12-slow"].find("error")
    assert timeout.attrib == {
        "message": "step 'step 1' ran past timeout_sec (0.5s)",
        "type": "timeout",
    }
    assert timeout.text.splitlines() == [
        "step 'step 1' ran past timeout_sec (0.5s)",
        "tasks/12-slow/task.yaml:2",
        "",
        "waiting",
    ]
    blocked = cases["19-blocked"].find("skipped")
    assert blocked.text == "blocked: dependency '11-fails' has status: failure"
    assert blocked.get("message") == blocked.text
    assert "1 of 1 test failed: no" in cases["20-tests"].find("failure").text.splitlines()
    assert cases["30-late"].find("skipped").text == "cancelled: phase 'A' failed"


def test_each_attempt_has_its_own_log(cases):
    tries = [
        (one.get("message"), one.find("stackTrace").text.splitlines()[-1])
        for one in cases["15-flaky"]
    ]
    said = "failure: step 'step 1' exited with code 1"
    assert tries == [(f"attempt 1: {said}", "try 1"), (f"attempt 2: {said}", "try 2")]
    again = cases["16-again"]
    assert again.find("failure").text.endswith("try 3")
    shown = [one.find("stackTrace").text.splitlines()[-1] for one in again.iter("rerunFailure")]
    assert shown == ["try 1", "try 2"]


def test_what_is_tolerated_passes_and_says_so(cases):
    said = {one.get("name"): one.get("value") for one in cases["14-warned"].find("properties")}
    assert said == {
        "zf.conclusion": "warned",
        "zf.outcome": "failure",
        "zf.detail": "step 'step 1' exited with code 42",
    }
    assert cases["14-warned"].find("system-out").text == "meant\n"
    assert cases["20-tests"].find("properties")[0].get("value") == "1 test: 1 failed"


def test_what_tasks_print_stays_text(cases):
    out = cases["11-fails"].find("system-out").text
    lines = out.splitlines()
    assert lines[0].startswith("[of 1000")  # its beginning is left out
    assert len(lines) == 2
    assert out.count("<") > 50_000
    assert max(map(len, cases["11-fails"].find("failure").text.splitlines())) <= 400


def test_controls_and_what_is_no_character_are_written_out(tmp_path):
    here = Project(tmp_path / "project")
    here.task("a", HOSTILE.replace("head -c 1000000", "head -c 10") + "exit 1")
    here.zf("run-task", "a", "--run-id", "r", "--junit", "r.xml")
    (case,) = ET.parse(here.root / "r.xml").getroot().iter("testcase")
    lines = case.find("system-out").text.split("\n")
    assert lines == [
        "</system-out></testcase>]]>&amp;<![CDATA[",
        "\\x00\\x01\\x08\\x1b[2Jred",
        "\\x85\\x9b\\x7f",
        "\ufffd\ufffd\ufffd \\ufffe \\uffff \ufffd\ufffd \\u202eevil",
        "\"'      Café \N{SHIP} FAILED",
        "<<<<<<<<<<",
        "",
    ]


def test_the_same_run_gives_the_same_bytes(project, written):
    run = recorded(project)
    assert drawn(run) == drawn(recorded(project)) == written.read_bytes()


def test_a_run_that_is_no_success_is_never_shown_as_one(tmp_path):
    here = Project(tmp_path / "project")
    here.task("a", "touch $ZENFLOW_ROOT/proofs/r/planted")
    done = here.zf(
        "run-phase", "A", "--run-id", "r", "--junit", "r.xml", env={"ZF_SHIELD": "never"}
    )
    assert done.code != 0
    root = ET.parse(here.root / "r.xml").getroot()
    assert root.get("errors") == "1"
    (case,) = [case for case in root.iter("testcase") if case.find("error") is not None]
    assert case.find("error").get("message") == "TAMPERED WHILE RUNNING r"
    assert "planted" in case.find("error").text


def test_a_run_that_was_killed(tmp_path):
    here = Project(tmp_path / "project")
    here.task("a", "true")
    here.task("c", "true", needs=["b"])
    # The runner is the parent of the worker, which is that of the step.
    here.task("b", "kill -9 $(ps -o ppid= -p $PPID); sleep 60", needs=["a"])
    assert here.zf("run-phase", "A", "--run-id", "r").code < 0
    assert here.zf("report", "r", "--junit", "r.xml").code == 0
    found = {case.get("name"): case for case in ET.parse(here.root / "r.xml").iter("testcase")}
    assert found["b"].find("error").get("type") == "unfinished"
    assert found["c"].find("skipped").text == "it has not started"
    assert found["run"].find("error").text == "UNFINISHED r: its record ends before the run did"
    alive = ET.fromstring(drawn(recorded(here, alive=True)))
    assert alive.get("errors") == "0"
    assert [one.text for one in alive.iter("skipped")] == ["it is running", "it has not started"]


def facts_alone(facts, tails, **keys) -> SimpleNamespace:
    """A run of which there are facts and the ends of logs, and no folder."""
    values = {"id": facts.run, "facts": facts, "alive": False, "project": "", "sealed": False}
    values["log_tail"] = lambda task, _step, **_: tails.get(task, [])
    values["log_path"] = lambda *_: "log"
    values["logs"] = lambda task, _: [LogFile("step-0", len("".join(tails.get(task, []))))]
    return SimpleNamespace(**values | keys)


@given(hostile_runs())
def test_whatever_a_record_says_is_valid_xml_and_nothing_else(run):
    content, events, tails = run
    facts = build(content, events)
    root = ET.fromstring(drawn(facts_alone(facts, tails)))
    cases = [case for case in root.iter("testcase") if case.get("classname") != "zf"]
    assert len(cases) == 4
    assert {case.get("name") for case in cases} == {printable(name) for name in facts.tasks}
    tags = {element.tag for element in root.iter()}
    assert tags <= {"testsuites", "testsuite", "testcase", "properties", "property", *ENDS}


ENDS = (
    *("failure", "error", "skipped", "system-out", "stackTrace"),
    *("rerunFailure", "rerunError", "flakyFailure", "flakyError"),
)


@pytest.mark.parametrize("seconds", [None, float("nan"), -5, 3, 1e-9])
def test_a_time_is_a_number_whatever_the_record_says(seconds):
    event = replace(failed("a"), duration_s=seconds, started_at="\x1byesterday")
    root = ET.fromstring(drawn(facts_alone(build(plan({"a": ""}), [event]), {})))
    case = root.find(".//testcase[@name='a']")
    assert case.get("time") == ("3.000" if seconds == 3 else "0.000")
    assert case.get("timestamp") is None


def test_of_many_attempts_the_last_have_their_logs():
    events = []
    for attempt in range(1, 31):
        events += [started("a", attempt), failed("a", attempt=attempt)]
        events += [RetryScheduled("a", attempt + 1, 0)] if attempt < 30 else []
    run = facts_alone(build(plan({"a": ""}), events), {"a": ["why"]})
    reruns = [*ET.fromstring(drawn(run)).iter("rerunFailure")]
    assert len(reruns) == 29
    assert ["why" in one.find("stackTrace").text for one in reruns] == [False] * 24 + [True] * 5


# What there is room for


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A run with 40 failures that printed 10 KB each, and as many tasks that succeeded."""
    here = Project(tmp_path_factory.mktemp("large") / "project")
    for number in range(40):
        here.task(f"f{number}", "yes 'a & b' | head -n 2000; exit 1", parallel_safe=True)
        here.task(f"s{number}", "true", parallel_safe=True)
    assert here.zf("run-phase", "A", "--run-id", "r", timeout_s=300).code == 1
    return here


@pytest.mark.parametrize("most", [29_000_000, 300_000, 100_000, 50_000, 20_000, 14_000])
def test_a_file_keeps_its_limit_and_says_what_is_missing(large, tmp_path, most):
    data = drawn(recorded(large), max_bytes=most)
    assert len(data) <= most
    root = ET.fromstring(data)
    assert (root.get("tests"), root.get("failures")) == ("80", "40")
    left_out = root.find(".//property[@name='zf.left_out']")
    found = [*root.iter("testcase")]
    failed = [case for case in found if case.find("failure") is not None]
    if most > 1_000_000:
        assert left_out is None
        assert all(len(case.find("system-out").text) == 12_000 for case in failed)
        return
    if len(found) < 80:
        assert f"{80 - len(found)} cases of 80" in left_out.get("value")
        assert len(failed) == min(40, len(found))  # the failures have gone in first
    assert left_out is None or "logs" in left_out.get("value") or len(found) < 80
    for case in failed:
        if (out := case.find("system-out")) is not None:
            assert out.text.endswith("& b\n")


# Judges


def test_the_schema(written):
    xmllint = program("xmllint")
    command = [xmllint, "--noout", "--nonet", "--schema", SCHEMA, written]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, f"{written} validates\n")


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("<skipped ", "<skiped "),
        (' time="0.', ' time="x0.'),
        ("<stackTrace>", "<stackTrace><b/>"),
        (' classname="A"', ""),
        ("<error ", "<rerunError "),
    ],
)
def test_the_schema_finds_faults(written, tmp_path, what, instead):
    xmllint = program("xmllint")
    text = written.read_text()
    assert what in text
    (tmp_path / "bad.xml").write_text(text.replace(what, instead, 1))
    command = [xmllint, "--noout", "--nonet", "--schema", SCHEMA, tmp_path / "bad.xml"]
    assert subprocess.run(command, capture_output=True).returncode > 0


def test_junitparser_reads_it_and_writes_the_same_cases(written):
    read = junitparser.JUnitXml.fromfile(str(written))
    assert (read.tests, read.failures, read.errors, read.skipped) == (12, 3, 2, 3)
    read.update_statistics()
    again = junitparser.JUnitXml.fromstring(read.tostring())
    assert (again.tests, again.failures, again.errors, again.skipped) == (12, 3, 2, 3)
    named = [(case.name, case.classname, case.time) for suite in again for case in suite]
    assert named == [(case.name, case.classname, case.time) for suite in read for case in suite]


def test_allure_reads_it(written, tmp_path):
    allure = from_npm(".bin/allure")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "junit.xml").write_bytes(written.read_bytes())
    command = [allure, "generate", "results", "--output", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    counts = {key: told["stats"].get(key, 0) for key in ("total", "passed", "failed", "broken")}
    assert counts == {"total": 12, "passed": 4, "failed": 3, "broken": 2}
    assert told["stats"]["skipped"] == 3


def test_xunit_viewer_reads_it(written, tmp_path):
    viewer = from_npm(".bin/xunit-viewer")
    command = [viewer, "--results", written, "--output", tmp_path / "out.html", "--console"]
    env = {**os.environ, "FORCE_COLOR": "0"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=env)
    counts = re.search(r"(?m)^\d+ \w+(, \d+ \w+)+$", done.stdout)[0].split(", ")
    flaky = ("1 flakyFailure", "1 flakyError")
    assert sorted(counts) == sorted(("2 passed", "3 failure", "2 error", "3 skipped", *flaky))
    assert (tmp_path / "out.html").stat().st_size > 100_000


def test_zf_reads_its_own(written):
    """A run of zf within a task is reported like any other tests."""
    with written.open("rb") as stream:
        counts = reports.read(stream, str)
    assert (counts.total, counts.failed, counts.errors, counts.skipped) == (12, 3, 2, 3)
    assert counts.cases[0].file == "tasks/11-fails/task.yaml"
