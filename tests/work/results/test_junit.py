"""JUnit XML as test runners write it, and as no test runner should."""

import io
import tracemalloc
from contextlib import suppress

import hypothesis.strategies as st
import pytest
from hypothesis import given
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from zf.work.results import junit
from zf.work.results.junit import Case, Counts, UnreadableError


def read(text, hide=str):
    data = text if isinstance(text, bytes) else text.encode()
    return junit.read(io.BytesIO(data), hide)


def counted(counts):
    return counts.total, counts.failed, counts.errors, counts.skipped


PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite
name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.054" hostname="h">
<testcase classname="tests.test_a.TestBerths" name="test_all[3-4]" time="0.001">
<failure message="AssertionError: assert 3 == 4&#10;  where 3">def test_all</failure></testcase>
<testcase classname="tests.test_a" name="test_db" time="0.0"><error message="failed on setup">x
</error></testcase>
<testcase classname="tests.test_a" name="test_no" time="0"><skipped type="pytest.skip"
message="no db">x</skipped></testcase>
<testcase classname="tests.test_a" name="test_ok" time="0.002" /></testsuite></testsuites>"""
SUREFIRE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0.2" name="BerthTest"
 time="1,234.5" tests="3" errors="0" skipped="0" failures="1"><properties><property name="a"
 value="b"/></properties>
<testcase name="all" classname="BerthTest" time="1,234.5"><failure type="AssertionError"><![CDATA[
java.lang.AssertionError: expected <12> but was <11>
  at BerthTest.all(BerthTest.java:7)]]></failure><rerunFailure type="AssertionError"><stackTrace>x
</stackTrace></rerunFailure><system-out>out</system-out></testcase>
<testcase name="sometimes" classname="BerthTest" time="0.1"><flakyFailure type="x"><stackTrace>y
</stackTrace></flakyFailure></testcase>
<testcase name="fine" classname="BerthTest" time="0.1"/></testsuite>"""
GOOGLE = """<testsuites tests="3" failures="1" disabled="1" name="AllTests"><testsuite name="M">
<testcase name="A" status="run" result="completed" classname="M" file="m.cc" line="12">
<failure message="m.cc:14&#x0A;Value" type=""><![CDATA[m.cc:14]]></failure>
<failure message="m.cc:15" type=""/></testcase>
<testcase name="DISABLED_B" status="notrun" result="suppressed" classname="M"/>
<testcase name="C" status="run" result="skipped" classname="M"><skipped message="why"/></testcase>
</testsuite></testsuites>"""
CTEST = """<testsuite name="(empty)" tests="2"><testcase name="one" classname="one" time="0.1"
 status="fail"><failure message=""/><system-out>out</system-out></testcase><testcase name="two"
 classname="two" status="disabled"/></testsuite>"""
JEST = """<testsuites name="jest tests"><testsuite name="harbour"><testcase classname="harbour all"
 name="harbour all" time="0.01"><failure>Error: expected 12
 at x.js:3</failure></testcase></testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("text", "counts", "first"),
    [
        (
            PYTEST,
            (4, 1, 1, 1),
            Case(
                "test_all[3-4]",
                "failed",
                "tests.test_a.TestBerths",
                "AssertionError: assert 3 == 4\\n  where 3",
                time_s=0.001,
            ),
        ),
        (
            SUREFIRE,
            (3, 1, 0, 0),
            Case(
                "all",
                "failed",
                "BerthTest",
                "java.lang.AssertionError: expected <12> but was <11>\\n"
                "  at BerthTest.all(BerthTest.java:7)",
                time_s=1234.5,
            ),
        ),
        (GOOGLE, (3, 1, 0, 2), Case("A", "failed", "M", "m.cc:14\\nValue", "m.cc", 12)),
        (CTEST, (2, 1, 0, 1), Case("one", "failed", "one", "", time_s=0.1)),
        (
            JEST,
            (1, 1, 0, 0),
            Case(
                "harbour all",
                "failed",
                "harbour all",
                "Error: expected 12\\n at x.js:3",
                time_s=0.01,
            ),
        ),
        ("<testsuites/>", (0, 0, 0, 0), None),
        ('<a:testsuite xmlns:a="u"><a:testcase name="x"/></a:testsuite>', (1, 0, 0, 0), None),
    ],
    ids=["pytest", "surefire", "googletest", "ctest", "jest", "empty", "namespace"],
)
def test_what_test_runners_write(text, counts, first):
    found = read(text)
    assert counted(found) == counts
    assert found.cases[:1] == ([first] if first else [])


BILLION = """<!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><testsuites>&b;</testsuites>"""
OUTSIDE = """<!DOCTYPE z [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites>&a;</testsuites>"""
PARAMETER = """<!DOCTYPE z [<!ENTITY % a SYSTEM "http://x/"> %a;]><testsuites/>"""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "is not well-formed XML: no element found, line 1, column 1"),
        ("<testsuite>", "is not well-formed XML: no element found, line 1, column 12"),
        ("<testsuite>\n<a></b></testsuite>", "mismatched tag, line 2, column 6"),
        ("<html/>", "is not a JUnit report: its root is <html>"),
        (BILLION, "declares an entity (a), which is not read"),
        (OUTSIDE, "declares an entity (a), which is not read"),
        (PARAMETER, "declares an entity (a), which is not read"),
        ("<testsuite>&nbsp;</testsuite>", "undefined entity"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuites/>', "unknown encoding"),
        (b"<testsuite>\xff</testsuite>", "not well-formed (invalid token), line 1, column 12"),
        ("<testsuite>" * 65, "is nested deeper than 64 elements"),
        (b"\0" * 100, "is not well-formed XML"),
    ],
    ids=str,
)
def test_what_cannot_be_read_says_why(data, why):
    with pytest.raises(UnreadableError) as error:
        read(data)
    assert why in str(error.value)


def test_a_document_type_alone_is_harmless():
    assert read('<!DOCTYPE testsuites SYSTEM "junit.dtd"><testsuites/>') == Counts()


def test_a_file_is_read_as_far_as_the_limit(monkeypatch):
    monkeypatch.setattr(junit, "MAX_BYTES", 2 * 1024 * 1024)
    with pytest.raises(UnreadableError, match=r"is larger than 2 MiB"):
        read("<testsuite>" + " " * (2 * 1024 * 1024))


def test_memory_does_not_grow_with_the_file():
    case = '<testcase name="a"><failure message="m"/><system-out>' + "x" * 900 + "</system-out>"
    pieces = [b"<testsuite>", (case + "</testcase>").encode() * 20_000, b"</testsuite>"]
    stream = io.BytesIO(b"".join(pieces))
    tracemalloc.start()
    try:
        found = junit.read(stream, str)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.failed, len(found.cases)) == (20_000, junit.MAX_CASES)
    assert peak < 8 * 1024 * 1024  # the file is 20 MB, a piece 1 MB


def test_texts_are_cut_when_no_secret_is_in_them_any_more():
    secret = "hunter2" * 40
    text = f'<testsuite><testcase name="{"n" * 200}{secret}" file="\x9b31m"><failure>'
    found = read(
        f"{text}{'x' * 400}{secret}</failure></testcase></testsuite>",
        lambda text: text.replace(secret, "***"),
    )
    (case,) = found.cases
    assert case.name == f"{'n' * 200}***"
    assert case.message == f"{'x' * 400}***"
    assert case.file == "\\x9b31m"
    long = read(f'<testsuite><testcase name="{"n" * 900}"><error/></testcase></testsuite>')
    assert len(long.cases[0].name) == 300


@pytest.mark.parametrize(
    ("said", "line", "time_s"),
    [
        ('line="12" time="0.5"', 12, 0.5),
        ('line="-1" time="-1"', None, None),
        ('line="1e3" time="nan"', None, None),
        ('line="٣" time="inf"', None, None),
        (f'line="{"9" * 5000}" time="{"9" * 5000}"', None, None),
        ('line="" time="1,234"', None, 1234.0),
    ],
)
def test_numbers_that_are_none(said, line, time_s):
    (case,) = read(f"<testsuite><testcase {said}><failure/></testcase></testsuite>").cases
    assert (case.line, case.time_s) == (line, time_s)


def test_the_first_failures_of_several_files_are_kept():
    counts = Counts()
    one = read("<testsuite>" + "<testcase><error/></testcase>" * 70 + "</testsuite>")
    counts.add(one)
    counts.add(one)
    assert counted(counts) == (140, 0, 140, 0)
    assert len(counts.cases) == 100


results = st.sampled_from([None, Failure("no"), Error("bad"), Skipped("why")])
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=20)


@given(st.lists(st.lists(st.tuples(names, results), max_size=5), max_size=4))
def test_what_junitparser_writes_is_counted_as_it_counts(suites):
    xml = JUnitXml()
    for cases in suites:
        suite = TestSuite("s")
        for name, result in cases:
            case = TestCase(name)
            if result is not None:
                case.result = [result]
            suite.add_testcase(case)
        xml.add_testsuite(suite)
    xml.update_statistics()
    stream = io.BytesIO()
    xml.write(stream)
    assert counted(read(stream.getvalue())) == (xml.tests, xml.failures, xml.errors, xml.skipped)


@given(st.binary(max_size=200) | st.text(alphabet='<>/="! testcasufilre&;', max_size=80))
def test_nothing_but_a_reason_comes_of_any_bytes(data):
    with suppress(UnreadableError):
        found = read(data)
        assert found.total >= found.failed + found.errors + found.skipped
