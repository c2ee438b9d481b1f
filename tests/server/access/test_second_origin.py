"""A page of someone else, in the browser of a person who is logged in: all that it tries is refused,
and recorded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.browser import browser
from tests.support.program import Project
from tests.support.served import Server

pytestmark = pytest.mark.xdist_group("origin")

PROJECT = "tasks: {good: {phase: E, run: 'echo ran >> ran'}}\n"
STRANGE = "evil.example"
ASKED = '{"phases": ["E"]}'
# What a page of another origin can try, each by another way of its browser.
FETCH = """
const done = arguments[arguments.length - 1], [address, how] = arguments;
fetch(address, how).then((answer) => done(answer.type), () => done('failed'));
"""
FORM = """
const form = Object.assign(document.createElement('form'), {
  method: 'POST', action: arguments[0], enctype: 'text/plain'});
const field = Object.assign(document.createElement('input'), {
  name: '{"phases": ["E"], "inputs": {}, "x": "', value: '"}'});
form.append(field); document.body.append(form); form.submit();
"""
IFRAME = """
const done = arguments[arguments.length - 1];
const frame = Object.assign(document.createElement('iframe'), {src: arguments[0]});
frame.onload = () => { let seen;
  try { seen = frame.contentDocument ? 'read' : 'nothing'; } catch { seen = 'nothing'; }
  done(seen); };
document.body.append(frame);
"""


class Page(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another</title><body>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def another_origin() -> Iterator[int]:
    """A server of such pages; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        try:
            yield pages.server_address[1]
        finally:
            pages.shutdown()


def audited(server: Server) -> list[tuple[str, str, int, str]]:
    text = (server.project.root / ".zenflow/server/audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [(one["method"], one["path"], one["status"], one.get("code", "")) for one in lines]


def test_nothing_that_another_origin_tries_does_anything(tmp_path):
    project = Project(tmp_path / "project")
    (project.root / "zf.yaml").write_text(PROJECT)
    rules = f"--host-resolver-rules=MAP {STRANGE} 127.0.0.1"
    with (
        Server(project, "ui", "--no-open") as server,
        another_origin() as other,
        browser(rules) as window,
    ):
        base = f"http://127.0.0.1:{server.port}"
        window.driver.get(server.said.split()[-1])
        window.wait("return location.pathname === '/' && document.querySelector('main')")
        before = audited(server)
        # The other port of this machine is the same site: the cookie comes along.
        for page in (f"http://127.0.0.1:{other}/", f"http://{STRANGE}:{other}/"):
            for kind in ("application/json", "text/plain"):
                for mode in ("cors", "no-cors"):
                    window.driver.get(page)
                    how = {"method": "POST", "body": ASKED, "mode": mode, "credentials": "include"}
                    how["headers"] = {"Content-Type": kind}
                    seen = window.driver.execute_async_script(FETCH, f"{base}/api/v1/runs", how)
                    assert seen == "failed", (page, how)
            window.driver.get(page)
            window.js(FORM, f"{base}/api/v1/runs")
            window.wait("return document.body?.innerText.includes('ZF812')")
            window.driver.get(page)
            assert window.driver.execute_async_script(IFRAME, f"{base}/runs") == "nothing"
            assert any("frame" in line for line in window.said()), "it is not shown in a frame"
        # Its name stands for this machine from now on: it is of the same origin, by its browser.
        window.driver.get(f"http://{STRANGE}:{server.port}/runs")
        assert "ZF810" in window.js("return document.body.innerText")
        how = {"method": "POST", "body": ASKED, "headers": {"Content-Type": "application/json"}}
        seen = window.driver.execute_async_script(FETCH, "/api/v1/runs", how)
        assert seen == "basic", "the answer is read, and is a refusal"
        refused = audited(server)[len(before) :]
        assert server.get("/runs").json["runs"] == []
    project.end_all()
    assert not (project.root / "ran").exists()
    assert {status for _, _, status, _ in refused} == {403}
    # From each page: what goes without asking first, and the form; and what rebinding tries.
    by_code = [code for method, _, _, code in refused if method == "POST"]
    assert by_code.count("ZF812") >= 2 * 4
    # The frames, of which the second page's brings no cookie.
    assert refused.count(("GET", "/runs", 403, "ZF812")) == 2
    assert ("GET", "/runs", 403, "ZF810") in refused
    assert ("POST", "/api/v1/runs", 403, "ZF810") in refused
