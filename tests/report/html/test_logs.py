"""Which logs are in a page, and how they come out of it again."""

import base64
import json
import random
import re
import zlib
from pathlib import Path

import pytest

from tests.support.proof_bundles import FAILED, Ending, Run
from zf.audit.verify import verify
from zf.events import Cause, Status
from zf.report.formats.recorded import RecordedRun
from zf.report.html import page


def noise(size: int, seed: int = 0) -> bytes:
    """What does not compress well."""
    return base64.b85encode(random.Random(seed).randbytes(size * 4 // 5))[:size]


def bytes_of(run: Run, **how) -> bytes:
    return b"".join(page.render(recorded(run), **how))


def recorded(run: Run) -> RecordedRun:
    path = str(run.path)
    return RecordedRun(path, verify=lambda: verify(path).as_json())


def logs_in(made: bytes) -> dict[tuple[str, int, str], bytes]:
    """Every log of a page, as its script unpacks them."""
    index = json.loads(re.search(rb'id="index">(.*?)</script>', made)[1])
    packs = {
        int(number): zlib.decompress(base64.b64decode(packed))
        for number, packed in re.findall(rb'id="pack-(\d+)">([^<]*)<', made)
    }
    return {
        (task, attempt, command): packs[pack][first : first + size]
        for task, rows in index["logs"].items()
        for attempt, command, pack, first, size in rows
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A success with a large log and one with a small one, a flaky task, and a failure."""
    made = Run(tmp_path, "r1").plan(large=(), small=(), flaky=(), bad=(), silent=())
    made.attempt("large", Ending(Status.SUCCESS, log=noise(3_000_000)))
    made.attempt("small", Ending(Status.SUCCESS, log=b"small\n"))
    made.attempt("flaky", FAILED)
    made.attempt("flaky", Ending(Status.SUCCESS, log=b"better\n"), attempt=2)
    made.attempt("bad", Ending(Status.FAILURE, Cause.EXIT, 1, log=noise(600_000, 1)))
    made.attempt("silent", Ending(Status.SUCCESS, log=b""))
    return made.end(1)


def test_every_log_is_there_byte_for_byte(run):
    assert logs_in(bytes_of(run)) == {
        ("large", 1, "step-0"): noise(3_000_000),
        ("small", 1, "step-0"): b"small\n",
        ("flaky", 1, "step-0"): b"hello\n",
        ("flaky", 2, "step-0"): b"better\n",
        ("bad", 1, "step-0"): noise(600_000, 1),
    }


def test_the_same_run_gives_the_same_bytes(run):
    assert bytes_of(run) == bytes_of(run)


def test_what_is_large_and_succeeded_is_left_out_first_and_that_is_said(run):
    made = bytes_of(run, max_bytes=1_500_000)
    assert len(made) <= 1_500_000
    assert {task for task, _, _ in logs_in(made)} == {"small", "flaky", "bad"}
    text = made.decode()
    assert "1 log left out of this page" in text
    [row] = re.findall(r'<tr><th scope="row"><a href="#task-large">.*', text)
    digest = json.loads((run.path / "large/10-commands/step-0.json").read_text())["log_sha256"]
    assert "2.9 MiB" in row
    assert digest in row


def test_even_the_log_of_a_failure_is_left_out_before_the_page_grows_too_large(run):
    made = bytes_of(run, max_bytes=400_000)
    assert len(made) <= 400_000
    assert {task for task, _, _ in logs_in(made)} == {"small", "flaky"}
    assert "2 logs left out of this page" in made.decode()


def test_logs_that_are_links_are_not_followed(run, tmp_path):
    (tmp_path / "secret").write_text("not of this run")
    log = run.path / "small/20-logs/step-0.log"
    log.unlink()
    log.symlink_to(tmp_path / "secret")
    made = bytes_of(run)
    assert ("small", 1, "step-0") not in logs_in(made)
    assert b"does not verify" in made
