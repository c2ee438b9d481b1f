"""What is taken away of a run: logs, artifacts, its page, its archive, and the check of its proof."""

import hashlib
import json
import re
import urllib.parse

import pytest

from tests.support.served import parsed

pytestmark = pytest.mark.xdist_group("served")

LOG = "/runs/badly/tasks/broken/logs/step-0"
WHOLE = b"line 1\nline 2\nline 3\nthe reason\n"


def test_a_log_is_read_by_its_bytes(shared):
    whole = shared.get(LOG)
    assert whole.body == WHOLE
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert whole.headers["Content-Disposition"].startswith("attachment")
    for asked, part, told in (
        ("bytes=0-5", WHOLE[:6], f"bytes 0-5/{len(WHOLE)}"),
        ("bytes=7-", WHOLE[7:], f"bytes 7-{len(WHOLE) - 1}/{len(WHOLE)}"),
        ("bytes=-11", WHOLE[-11:], f"bytes {len(WHOLE) - 11}-{len(WHOLE) - 1}/{len(WHOLE)}"),
        ("bytes=0-999", WHOLE, f"bytes 0-{len(WHOLE) - 1}/{len(WHOLE)}"),
    ):
        found = shared.get(LOG, headers={"Range": asked})
        assert (found.status, found.body) == (206, part), asked
        assert found.headers["Content-Range"] == told
    assert shared.get(LOG, headers={"Range": "bytes=999-"}).status == 416
    assert shared.get(LOG, headers={"Range": "lines=1-2"}).status == 200
    for none in ("step-9", "../../run.json", "..%2f..%2frun.json", "events.jsonl", "step-0.log"):
        assert shared.get(f"/runs/badly/tasks/broken/logs/{none}").status == 404, none


def test_an_attempt_that_is_not_there_has_no_log(shared):
    for path in (LOG, f"{LOG}/lines", f"{LOG}/search?text=line"):
        with_attempt = f"{path}{'&' if '?' in path else '?'}attempt="
        assert shared.get(f"{with_attempt}1").status == 200
        assert shared.get(f"{with_attempt}7").status == 404, path
    for path in ("/runs/badly/tasks/broken", "/runs/badly/tasks/broken/logs/step-0"):
        assert shared.call("GET", f"{path}?attempt=1").status == 200
        assert shared.call("GET", f"{path}?attempt=7").status == 404, path


def test_a_log_is_read_by_its_lines_and_searched(shared):
    window = shared.get(f"{LOG}/lines?first=2&count=2").json
    assert [line["text"] for line in window["lines"]] == ["line 2", "line 3"]
    assert (window["first"], window["total"], window["size"]) == (2, 4, len(WHOLE))
    tail = shared.get(f"{LOG}/lines?tail=1").json
    assert [line["text"] for line in tail["lines"]] == ["the reason"]
    assert tail["first"] == 4
    found = shared.get(f"{LOG}/search?text=LINE&limit=2").json
    assert found["lines"] == [1, 2]
    rest = shared.get(f"{LOG}/search?text=LINE&cursor={found['next']}").json
    assert rest == {"lines": [3], "next": None}
    assert shared.get(f"{LOG}/search?text=").status == 422
    assert shared.get(f"{LOG}/search?text=a&cursor=x").status == 422


def test_an_artifact_is_saved_and_never_shown(shared):
    found = shared.get("/runs/well/tasks/after/artifacts/done.txt")
    assert found.body == b"done\n"
    assert found.headers["Content-Type"] == "application/octet-stream"
    assert found.headers["Content-Disposition"].startswith('attachment; filename="done.txt"')
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    for none in ("../../run.json", "%2e%2e/99-summary/status.json", "none", "/etc/passwd", ""):
        answer = shared.get(f"/runs/well/tasks/after/artifacts/{none}")
        assert answer.status == 404, (none, answer)


def test_nothing_outside_of_a_run_can_be_read(shared):
    for path in ("..", "%2e%2e", "..%2f..", ".locks", "%00", urllib.parse.quote("a/../..")):
        for rest in ("", "/events", "/export.tar", "/tasks/good", "/tasks/../logs/step-0"):
            answer = shared.get(f"/runs/{path}{rest}")
            assert answer.status in {404, 405}, (path, rest, answer)


def test_the_page_of_a_run_says_itself_which_scripts_it_has(shared):
    page = shared.get("/runs/badly/report.html")
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "'sha256-" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"the reason" in page.body
    assert str(shared.project.root).encode() not in page.body


def test_the_archive_is_that_of_the_command_line(shared, tmp_path):
    archive = shared.get("/runs/well/export.tar")
    assert archive.headers["Content-Type"] == "application/x-tar"
    shared.project.zf("export", "well", "-o", str(tmp_path / "own.tar"))
    own = (tmp_path / "own.tar").read_bytes()
    assert hashlib.sha256(archive.body).digest() == hashlib.sha256(own).digest()
    made = shared.project.root / ".zenflow/server"
    assert not [*made.glob("export-*")]


def test_the_check_of_a_proof_has_five_verdicts(shared):
    answer = shared.get("/runs/badly/verify")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = [*parsed(line + b"\n" for line in answer.body.split(b"\n"))]
    assert [one["event"] for one in events] == ["begun", *["verdict"] * 5, "end"]
    verdicts = [json.loads(one["data"]) for one in events[1:6]]
    names = ["INTACT", "COMPLETE", "AUTHENTIC", "EXPECTED", "TIMED"]
    assert [one["verdict"] for one in verdicts] == names
    assert verdicts[0]["state"] == "passed"
    assert json.loads(events[-1]["data"])["run_id"] == "badly"
    lines = shared.get("/runs/badly/verify", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["verdict"] for line in lines.body.splitlines()] == names


def test_definitions_are_resolved_with_the_lines_that_say_so(shared):
    found = shared.get("/definitions").json
    assert [phase["name"] for phase in found["phases"]] == ["E", "F", "W"]
    assert {one["name"]: one["type"] for one in found["inputs"]} == {
        "word": "string",
        "level": "int",
    }
    after = next(task for task in found["tasks"] if task["id"] == "after")
    assert after["needs"] == ["good"]
    assert after["file"] == "zf.yaml"
    one = shared.get("/definitions/after").json["instances"][0]
    assert any(re.fullmatch(r"zf\.yaml:\d+", part["place"] or "") for part in one["parts"])
    assert shared.get("/definitions/none").json["code"] == "ZF103"
    plan = shared.get("/plan?task=after").json
    assert [task["id"] for task in plan["tasks"]] == ["good", "after"]
    assert shared.get("/plan?phase=E&format=mermaid").body.startswith(b"flowchart")
    picture = shared.get("/plan?phase=E&format=svg")
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert picture.body.startswith(b"<svg")
    assert b"xmlns" in picture.body


def test_the_audit_says_who_did_what(shared):
    run = shared.run(phases=["E"])
    shared.ended(run)
    lines = shared.get("/audit?who=operator&limit=5", role="admin").json["lines"]
    assert any(line["path"] == "/api/v1/runs" and line["status"] == 202 for line in lines)
    assert {line["who"] for line in lines} == {"operator"}
    assert shared.get("/tokens", role="admin").json["tokens"][0]["name"]
