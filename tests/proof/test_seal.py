"""Sealing: canonical bytes, whole files, and a manifest every checksum tool accepts."""

import errno
import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import proof_bundles
from zf.audit.verify import verify
from zf.errors import ZfError
from zf.events import Status
from zf.proof.canonical import canonical
from zf.proof.files import write_json, write_pieces
from zf.proof.journal import JournalDamagedError
from zf.proof.seal import close_killed, seal

TASK_FILES = {
    "00-meta/task.json": b"{}\n",
    "20-logs/step-0.log": b"hello\n",
    "30-artifacts/a name.txt": b"",
    "99-summary/status.json": b"{}\n",
}


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def make_run(folder: Path, tasks=("t1", "t1-b", "t1.c")) -> Path:
    run = folder / "r1"
    for name in ("run.json", "plan.json", "events.jsonl", "blocked.json"):
        write_pieces(str(run / name), [name.encode()]) if run.exists() else run.mkdir()
        (run / name).write_bytes(name.encode())
    for task in tasks:
        for name, data in TASK_FILES.items():
            path = run / task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (run / task / "40-checksums").mkdir()
        lines = [f"{digest(data)}  {name}\n" for name, data in sorted(TASK_FILES.items())]
        (run / task / "40-checksums" / "task.sha256").write_text("".join(lines))
    return run


def files_of(run: Path) -> list[str]:
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "é\n"]}, b'{"a":[true,null,"\\u00e9\\n"],"b":1}\n'),
        ({"status": Status.BLOCKED}, b'{"status":"blocked"}\n'),
        ({"x": 0.1, "y": -0.0, "z": 10**20}, b'{"x":0.1,"y":-0.0,"z":100000000000000000000}\n'),
    ],
)
def test_canonical_bytes(value, expected):
    assert canonical(value) == expected
    assert canonical(json.loads(expected)) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        canonical({"value": value})


def test_json_is_written_whole_and_its_digest_returned(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    assert write_json(str(path), {"a": 1}) == digest(b'{"a":1}\n')
    assert path.read_bytes() == b'{"a":1}\n'
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")

    def pieces():
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_pieces(str(path), pieces())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_the_manifest_lists_every_file_but_itself_and_attest_in_byte_order(tmp_path):
    run = make_run(tmp_path)
    (run / "attest").mkdir()
    (run / "attest" / "statement.json").write_text("{}")
    expected = [name for name in files_of(run) if not name.startswith("attest/")]
    assert seal(str(run)) == digest((run / "MANIFEST.sha256").read_bytes())
    listed = [line[66:] for line in (run / "MANIFEST.sha256").read_text().splitlines()]
    assert listed == sorted(expected, key=os.fsencode)


@pytest.mark.parametrize(
    "tool",
    [
        ["sha256sum", "-c", "--strict"],
        ["busybox", "sha256sum", "-c"],
        ["shasum", "-a", "256", "-c"],
    ],
)
def test_the_manifest_passes_standard_tools(tmp_path, tool):
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    run = make_run(tmp_path)
    seal(str(run))
    check = [*tool, "MANIFEST.sha256"]
    subprocess.run(check, cwd=run, check=True, capture_output=True)
    (run / "t1" / "20-logs" / "step-0.log").write_text("changed")
    assert subprocess.run(check, cwd=run, check=False, capture_output=True).returncode != 0


def test_sealing_twice_gives_the_same_bytes(tmp_path):
    run = make_run(tmp_path)
    assert seal(str(run)) == seal(str(run))


def test_a_task_without_its_list_is_hashed_here(tmp_path):
    run = make_run(tmp_path)
    before = seal(str(run)), (run / "MANIFEST.sha256").read_text()
    (run / "t1-b" / "40-checksums" / "task.sha256").unlink()
    seal(str(run))
    lines = before[1].splitlines(keepends=True)
    assert (run / "MANIFEST.sha256").read_text() == "".join(
        line for line in lines if "t1-b/40-checksums" not in line
    )


def test_a_foreign_name_is_refused_by_name(tmp_path):
    run = make_run(tmp_path)
    (run / "evil\nname").write_text("")
    with pytest.raises(ZfError, match="'evil\\\\nname' has a name"):
        seal(str(run))
    assert not (run / "MANIFEST.sha256").exists()


def test_links_and_fifos_are_not_followed(tmp_path):
    run = make_run(tmp_path)
    manifest = seal(str(run))
    (run / "link").symlink_to("/etc/passwd")
    (run / "t9").mkdir()
    (run / "t9" / "link").symlink_to("/etc/passwd")
    os.mkfifo(run / "t9" / "fifo")
    assert seal(str(run)) == manifest
    (run / "t1" / "40-checksums" / "task.sha256").unlink()
    os.mkfifo(run / "t1" / "40-checksums" / "task.sha256")
    with pytest.raises(OSError, match="not a regular file"):
        seal(str(run))


# A run whose runner was killed


def test_a_killed_run_is_closed_as_it_is(tmp_path):
    made = proof_bundles.killed(tmp_path)
    journal = made.path / "events.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"seq":5,"torn')
    (made.path / ".blocked.json.99.tmp").write_text("half")
    manifest = close_killed(str(made.path))
    assert journal.read_bytes() == whole
    assert not (made.path / ".blocked.json.99.tmp").exists()
    listed = (made.path / "MANIFEST.sha256").read_bytes()
    assert manifest == digest(listed)
    assert b"  running/20-logs/step-0.log\n" in listed
    assert verify(str(made.path)).exit_code == 3
    with pytest.raises(ZfError, match="is sealed already") as raised:
        close_killed(str(made.path))
    assert raised.value.exit_code == 5


def test_a_damaged_journal_is_kept_as_evidence(tmp_path):
    made = proof_bundles.killed(tmp_path)
    journal = made.path / "events.jsonl"
    damaged = journal.read_bytes().replace(b"phase_started", b"phase_parted")
    journal.write_bytes(damaged)
    with pytest.raises(JournalDamagedError, match="line 2"):
        close_killed(str(made.path))
    assert journal.read_bytes() == damaged
    assert not (made.path / "MANIFEST.sha256").exists()


def test_what_has_no_journal_cannot_be_closed(tmp_path):
    with pytest.raises(ZfError, match="has no journal"):
        close_killed(str(tmp_path))


def test_a_list_that_is_none_is_made_again_from_the_files(tmp_path):
    run = make_run(tmp_path)
    seal(str(run))
    before = (run / "MANIFEST.sha256").read_text()
    (run / "t1" / "40-checksums" / "task.sha256").write_text("nonsense\n")
    seal(str(run))
    after = (run / "MANIFEST.sha256").read_text()
    assert after.replace(digest(b"nonsense\n"), "") != before
    assert len(after.splitlines()) == len(before.splitlines())


def test_what_cannot_be_read_is_not_sealed(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    (run / "t1" / "40-checksums" / "task.sha256").unlink()
    real = os.readv

    def fails(fd, buffers):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("zf.proof.bundle.os.readv", fails)
    with pytest.raises(ZfError, match="input/output error"):
        seal(str(run))
    monkeypatch.setattr("zf.proof.bundle.os.readv", real)
    seal(str(run))
