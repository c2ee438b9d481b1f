"""What the reports of a task come to in its proof and its event."""

import os
import subprocess
import sys

import pytest

from tests.support.attempts import Attempts, all_listed, checksums_hold, drive, task
from zf.work.results.reports import matches

FAILED = '<testcase classname="c" name="no"><failure message="{}"/></testcase>'
REPORT = f'<testsuite><testcase name="yes"/>{FAILED.format("11")}</testsuite>'


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


def junit(*globs):
    return {"junit": [*globs]}


@pytest.mark.parametrize(
    ("path", "glob", "same"),
    [
        ("a.xml", "a.xml", True),
        ("a.xml", "./*.xml", True),
        ("x/a.xml", "*.xml", False),
        ("x/a.xml", "x", True),
        ("x/y/a.xml", "x/**", True),
        ("x/y/a.xml", "**/a.xml", True),
        ("a.xml", "**/a.xml", True),
        ("x/y/a.xml", "x/**/y/*.xml", True),
        ("x/y/a.xml", "**/z/**", False),
        ("x", "x/a.xml", False),
        (".a.xml", "*.xml", True),
    ],
)
def test_globs_name_what_those_of_artifacts_do(path, glob, same):
    parts = [part for part in glob.split("/") if part not in {"", "."}]
    assert matches(path.split("/"), parts) is same


def test_reports_of_the_project_and_of_the_artifacts_folder_are_read(attempts):
    result = attempts.run(
        f"mkdir out; echo '{REPORT}' | tee out/a.xml out/ä.xml > $ARTIFACTS_DIR/b.xml; echo x > out/c",
        "exit 3",
        reports=junit("out/*.xml", "b.xml", "**/*.xml", "gone.xml"),
    )
    assert result.outcome() == ("failure", 3, "exit")
    assert result.artifacts == ["b.xml", "out/%C3%A4.xml", "out/a.xml"]
    case = {"name": "no", "outcome": "failed", "classname": "c", "message": "11", "file": ""}
    case |= {"line": None, "time_s": None}
    counts = {"total": 6, "failed": 3, "errors": 0, "skipped": 0}
    assert result.status["tests"] == {**counts, "cases": [case] * 3}
    assert result.ended.tests == {**counts, "names": ["c.no"] * 3}
    assert result.status["unmatched"] == ["gone.xml"]
    assert result.status["notes"] == []
    checksums_hold(result.tree)
    all_listed(result.tree)


def test_what_cannot_be_read_is_a_note_and_no_failure(attempts):
    result = attempts.run(
        f"echo '{REPORT}' > good.xml; echo '<a' > bad.xml; ln -s good.xml link.xml; mkfifo f.xml",
        reports=junit("*.xml"),
    )
    assert result.outcome() == ("success", 0, "")
    said = "is not well-formed XML: unclosed token, line 1, column 1"
    assert result.status["notes"] == [f"junit report bad.xml {said}"]
    assert {one["path"] for one in result.status["refused"]} == {"link.xml", "f.xml"}
    assert result.status["tests"]["total"] == 2


def test_without_a_readable_report_nothing_is_said_of_tests(attempts):
    result = attempts.run("echo x > a.xml", reports=junit("a.xml"))
    assert "tests" not in result.status
    assert result.ended.tests == {}


def test_many_that_cannot_be_read_are_a_few_notes(attempts):
    result = attempts.run("for n in {1..40}; do echo x > $n.xml; done", reports=junit("*.xml"))
    assert len(result.status["notes"]) == 11
    assert result.status["notes"][-1] == "and 30 more junit reports that cannot be read"


def test_a_secret_that_only_xml_has_hidden_is_hidden_all_the_same(tmp_path):
    """In the file it is escaped, so that the artifact itself does not hold it."""
    environ = {"PATH": os.environ["PATH"], "API_TOKEN": "hunter2&hunter2"}
    report = f"<testsuite>{FAILED.format('hunter2&#38;hunter2')}</testsuite>"
    result = Attempts(tmp_path, environ=environ).run(
        f"echo '{report}' > a.xml", pass_env=("API_TOKEN",), reports=junit("a.xml")
    )
    assert result.status["tests"]["cases"][0]["message"] == "***"


def test_the_names_in_the_event_are_few(attempts):
    many = f"<testsuite>{FAILED.format('x') * 300}</testsuite>"
    result = attempts.run(f"echo '{many}' > a.xml", reports=junit("a.xml"))
    assert result.ended.tests["failed"] == 300
    assert len(result.ended.tests["names"]) == 10
    assert len(result.status["tests"]["cases"]) == 100


def test_a_worker_imports_nothing_for_them():
    code = "import sys, zf.work.worker; print([n for n in sys.modules if 'results.rep' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_attempt_has_its_own(attempts):
    """A retry is not blamed for what the attempt before it left."""
    one = task(
        f"[ $ATTEMPT = 2 ] || echo '{REPORT}' > $ARTIFACTS_DIR/a.xml", reports=junit("a.xml")
    )
    pool = attempts.pool(one)
    try:
        first, second = (drive(pool, [one], 1, attempt=n)["t"] for n in (1, 2))
    finally:
        pool.close()
    assert (first.tests["failed"], second.tests) == (1, {})
