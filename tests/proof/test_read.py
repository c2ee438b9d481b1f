"""Reading runs: newest first, nothing followed, nothing unbounded."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from zf.errors import ZfError
from zf.events import RunStarted
from zf.proof import read
from zf.proof.files import write_json
from zf.proof.journal import Journal

AT = "2026-11-21T06:30:44.123456Z"


@pytest.fixture
def proofs(tmp_path) -> Path:
    folder = tmp_path / "proofs"
    for number, run in enumerate(("20-old", "10-new", "30-middle")):
        (folder / run).mkdir(parents=True)
        write_json(str(folder / run / "run.json"), {"run_id": run})
        began = {"20-old": 100, "30-middle": 200, "10-new": 300}[run]
        os.utime(folder / run / "run.json", (began, began))
        journal = Journal.create(str(folder / run / "events.jsonl"))
        journal.append(RunStarted(run, ("A",), number, "a" * 64, "n", None, None, None), AT, 1.0)
        journal.commit()
        journal.close()
    (folder / ".locks").mkdir()
    (folder / "not-a-run").mkdir()
    (folder / ".gitkeep").write_text("")
    (folder / "link").symlink_to(folder / "20-old")
    return folder


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "r1" / "t1" / "20-logs" / "step-0.log"
    path.parent.mkdir(parents=True)
    return path


def test_runs_are_listed_newest_first(proofs):
    assert read.list_runs(str(proofs)) == ["10-new", "30-middle", "20-old"]
    assert read.list_runs(str(proofs / "absent")) == []


def test_a_run_is_found_by_name_or_as_the_latest(proofs):
    assert read.find_run(str(proofs), "20-old") == f"{proofs}/20-old"
    assert read.find_run(str(proofs), "latest") == f"{proofs}/10-new"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("20-odl", "did you mean '20-old'?"),
        ("zzz", "the newest is '10-new'"),
        ("..", "the newest is '10-new'"),
        ("link", "the newest is '10-new'"),
    ],
)
def test_an_unknown_run_is_answered_with_a_near_one(proofs, asked, hint):
    with pytest.raises(ZfError, match="unknown run") as raised:
        read.find_run(str(proofs), asked)
    assert raised.value.problems[0].hint == hint
    assert raised.value.exit_code == 2


def test_no_runs_at_all(tmp_path):
    with pytest.raises(ZfError, match="no runs in"):
        read.find_run(str(tmp_path), "latest")
    assert read.newest_head(str(tmp_path)) is None


def test_the_newest_head_is_the_hash_of_its_last_line(proofs):
    def head(run):
        return sha256((proofs / run / "events.jsonl").read_bytes().splitlines()[-1]).hexdigest()

    assert read.newest_head(str(proofs)) == ("10-new", head("10-new"))
    assert read.newest_head(str(proofs), but="10-new") == ("30-middle", head("30-middle"))
    (proofs / "10-new" / "events.jsonl").write_text("")
    assert read.newest_head(str(proofs)) is None


def test_the_files_of_a_run(proofs):
    run = proofs / "10-new"
    plan = {"schema": "zf/plan/v2", "phases": [], "needs": "checked", "upstream": {}, "tasks": []}
    write_json(str(run / "plan.json"), plan)
    (run / "t1" / "99-summary").mkdir(parents=True)
    write_json(str(run / "t1" / "99-summary" / "status.json"), {"status": "success"})
    assert read.run_json(str(run)) == {"run_id": "10-new"}
    assert read.plan_json(str(run)) == plan
    assert read.status_json(str(run), "t1") == {"status": "success"}
    assert read.journal(str(run)).events[0].run == "10-new"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a":1,"a":2}', "a key occurs twice"),
        (b"[]", "not a JSON object"),
        (b"{", "Expecting"),
        (b"\xff", "codec"),
        (b'{"a":"' + b"x" * 3000 + b'"}', "larger than 2000 bytes"),
    ],
)
def test_bad_json_is_refused(tmp_path, monkeypatch, data, said):
    monkeypatch.setattr(read, "MAX_JSON_BYTES", 2000)
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(ZfError, match=said):
        read.run_json(str(tmp_path))


def test_nothing_is_followed_and_nothing_outside_opened(tmp_path):
    (tmp_path / "outside.json").write_text("{}")
    run = tmp_path / "run"
    (run / "real").mkdir(parents=True)
    (run / "real" / "f.json").write_text("{}")
    (run / "file-link.json").symlink_to(tmp_path / "outside.json")
    (run / "folder-link").symlink_to(run / "real")
    os.mkfifo(run / "fifo")
    assert read.read_json(str(run), "real/f.json") == {}
    for path in (
        "file-link.json",
        "folder-link/f.json",
        "fifo",
        "real",
        "../outside.json",
        "real/../real/f.json",
        "/etc/hostname",
        "./real/f.json",
        "real//f.json",
        "",
        "absent/deep/f.json",
        "real/f.json/x",
    ):
        with pytest.raises(ZfError):
            read.read_json(str(run), path)


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("{}")
    before = len(os.listdir("/dev/fd"))
    for path in ("a/b/c", "a/b/absent", "a/absent/c", "a/b"):
        try:
            read.read_json(str(tmp_path), path)
        except ZfError:
            continue
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(
    ("data", "lines", "expected"),
    [
        (b"", 3, []),
        (b"one", 3, ["one"]),
        (b"one\n", 3, ["one"]),
        (b"one\ntwo\nthree\nfour\n", 3, ["two", "three", "four"]),
        (b"one\n\n\n", 2, ["", ""]),
        (b"\n", 2, [""]),
        (b"bad \xff\n", 1, ["bad \ufffd"]),
    ],
)
def test_the_tail_of_a_log(log, data, lines, expected):
    log.write_bytes(data)
    assert read.log_tail(str(log.parents[2]), "t1", 0, lines=lines) == expected


def test_the_tail_of_a_long_log_is_read_from_its_end(log):
    with log.open("wb") as stream:
        stream.truncate(10**12)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nfirst " + b"x" * 40_000 + b"\nlast\n")
    tail = read.log_tail(str(log.parents[2]), "t1", 0, lines=3)
    assert tail[1] == "first " + "x" * 40_000
    assert tail[2] == "last"
    assert sum(map(len, tail)) < 100_000


def test_a_log_that_is_not_there_has_no_tail(tmp_path):
    assert read.log_tail(str(tmp_path), "t1", 0) == []


def test_a_log_comes_in_pieces(log):
    log.write_bytes(b"x" * 2_000_000 + b"end")
    pieces = list(read.log_pieces(str(log.parents[2]), "t1", 0))
    assert b"".join(pieces) == b"x" * 2_000_000 + b"end"
    assert len(pieces) == 2


def test_a_plan_of_another_form_is_refused_whatever_reads_it(tmp_path):
    folder = tmp_path / "r"
    folder.mkdir()
    row = {"id": {"a": {}}}
    (folder / "plan.json").write_text(json.dumps({"schema": "zf/plan/v2", "tasks": [row]}))
    with pytest.raises(ZfError, match=r"plan\.json: "):
        read.plan_json(str(folder))
