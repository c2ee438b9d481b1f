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
from zf.proof.known import Known
from zf.proof.seal import close_killed, seal_known

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


def known_of(run: Path, *, but: tuple[str, ...] = ()) -> Known:
    """What the runner of such a run knows, `but` for tasks that had not ended."""
    known = Known(tops={p.name: digest(p.read_bytes()) for p in run.iterdir() if p.is_file()})
    for listed in run.glob("*/40-checksums/task.sha256"):
        task = listed.relative_to(run).parts[0]
        if task not in but:
            known.ended(task, 1, digest(listed.read_bytes()))
    return known


def files_of(run: Path) -> list[str]:
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())


def manifest_of(run: Path) -> dict[str, str]:
    lines = (run / "MANIFEST.sha256").read_text().splitlines()
    return {line[66:]: line[:64] for line in lines}


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


def test_the_manifest_lists_every_file_but_itself_in_byte_order(tmp_path):
    run = make_run(tmp_path)
    expected = files_of(run)
    sealed = seal_known(str(run), known_of(run))
    assert sealed.differences == ()
    assert sealed.manifest_sha256 == digest((run / "MANIFEST.sha256").read_bytes())
    assert list(manifest_of(run)) == sorted(expected, key=os.fsencode)


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
    seal_known(str(run), known_of(run))
    check = [*tool, "MANIFEST.sha256"]
    subprocess.run(check, cwd=run, check=True, capture_output=True)
    (run / "t1" / "20-logs" / "step-0.log").write_text("changed")
    assert subprocess.run(check, cwd=run, check=False, capture_output=True).returncode != 0


def test_the_order_in_which_tasks_ended_changes_no_byte(tmp_path):
    run = make_run(tmp_path)
    known = known_of(run)
    first = seal_known(str(run), known).manifest_sha256
    (run / "MANIFEST.sha256").unlink()
    known.trees = dict(reversed(known.trees.items()))
    assert seal_known(str(run), known).manifest_sha256 == first


def test_a_task_that_had_not_ended_is_hashed_here(tmp_path):
    run = make_run(tmp_path)
    known = known_of(run, but=("t1-b",))
    (run / "t1-b" / "40-checksums" / "task.sha256").unlink()
    expected = files_of(run)
    assert seal_known(str(run), known, loose={"t1-b", "t9"}).differences == ()
    assert sorted(manifest_of(run)) == expected
    assert manifest_of(run)["t1-b/20-logs/step-0.log"] == digest(b"hello\n")


def test_a_foreign_name_is_refused_by_name(tmp_path):
    run = make_run(tmp_path)
    (run / "t1" / "evil\nname").write_text("")
    with pytest.raises(ZfError, match="'t1/evil\\\\nname' has a name"):
        seal_known(str(run), known_of(run, but=("t1",)), loose={"t1"})
    assert not (run / "MANIFEST.sha256").exists()


def test_links_and_fifos_are_not_followed(tmp_path):
    run = make_run(tmp_path)
    known = known_of(run, but=("t1",))
    expected = files_of(run)
    (run / "link").symlink_to("/etc/passwd")
    (run / "t1" / "link").symlink_to("/etc/passwd")
    os.mkfifo(run / "t1" / "fifo")
    assert seal_known(str(run), known, loose={"t1"}).differences == ("link: was put there",)
    assert sorted(manifest_of(run)) == expected


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (Path.unlink, "cannot be read: no such file or directory"),
        (lambda path: path.write_text("nonsense\n"), "is not the list that the task ended with"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be read: not a regular file"),
    ],
    ids=["gone", "another", "a fifo"],
)
def test_a_list_that_is_another_is_told_and_the_manifest_keeps_the_one_that_was(
    tmp_path, harm, why
):
    run = make_run(tmp_path)
    known, before = known_of(run), files_of(run)
    name = "t1/40-checksums/task.sha256"
    harm(run / name)
    assert seal_known(str(run), known).differences == (f"{name}: {why}",)
    assert sorted(manifest_of(run)) == before
    assert manifest_of(run)[name] == known.trees["t1"].hex()


def test_what_cannot_be_read_is_not_sealed(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    known = known_of(run, but=("t1",))

    def fails(fd, buffers):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("zf.proof.bundle.os.readv", fails)
        with pytest.raises(ZfError, match="input/output error"):
            seal_known(str(run), known, loose={"t1"})
    seal_known(str(run), known, loose={"t1"})


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
