"""A trace of zf before a program that shows traces: speedscope, in a real browser."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.browser import browser as opened_browser
from tests.support.courses import layered, write
from tests.support.tools import from_npm
from zf.report.formats.recorded import RecordedRun
from zf.report.formats.trace import render


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as window:
        yield window


def shown(browser, folder: Path, trace: bytes) -> tuple[str, list[str]]:
    """What the program calls the first thread that it read, and what it complains of."""
    page = from_npm("speedscope/dist/release/index.html")
    loads = folder / "load.js"
    text = b64encode(trace).decode()
    loads.write_text(f"speedscope.loadFileFromBase64('run.json', {json.dumps(text)})")
    browser.open(page, f"#localProfilePath={loads}")
    told = browser.wait(
        "return /\\(pid|error|recognize/i.test(document.body.innerText) && document.body.innerText"
    )
    said = [line for line in browser.said() if "console-api" in line or "speedscope-" in line]
    usual = ("speedscope v", "WebGL", "Importing as Trace Event Format", "import: ")
    return told, [line for line in said if not any(word in line for word in usual)]


def test_it_is_read_as_a_trace_with_a_thread_for_all_that_there_is(browser, tmp_path):
    run = layered(60, failing=["unit-0030"])
    recorded = RecordedRun(str(write(run, tmp_path / "r1")))
    trace = b"".join(render(recorded))
    told, complaints = shown(browser, tmp_path, trace)
    assert complaints == []
    events = json.loads(trace)["traceEvents"]
    threads = {event["tid"] for event in events if event["ph"] == "X"}
    assert f"zf r1 (pid 1), phases (tid 1) (1/{len(threads)})" in " ".join(told.split())


def test_the_judge_sees_spans_that_are_not_in_each_other(browser, tmp_path):
    run = layered(60)
    trace = json.loads(b"".join(render(RecordedRun(str(write(run, tmp_path / "r1"))))))
    spans = [event for event in trace["traceEvents"] if event["cat"].startswith("attempt")]
    again = dict(spans[0], ts=spans[0]["ts"] + 1, name="half outside")
    trace["traceEvents"].append(again)
    _, complaints = shown(browser, tmp_path, json.dumps(trace).encode())
    assert complaints
