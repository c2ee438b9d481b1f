"""Handing a run over: the same bytes every time, readable by the tools of others."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support import proof_bundles
from tests.support.forged_seal import seal
from tests.support.proof_bundles import BEGAN, Ending, Run
from zf.audit.exporting.export import export
from zf.audit.signing.attest import attest
from zf.audit.verify import verify
from zf.errors import ZfError
from zf.events import Status

LONG = "x" * 100 + "/" + "y" * 200 + "/" + "z" * 120


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return proof_bundles.full(tmp_path_factory.mktemp("proofs")).path


@pytest.fixture
def odd(tmp_path) -> Path:
    """A run with names that are hard on archives."""
    made = Run(tmp_path / "proofs", "odd").plan(one=())
    artifacts = ((LONG, b"deep\n"), ("a%0Ab", b"percent\n"), ("-dash", b""), ("sp ace", b"\0\xff"))
    made.attempt("one", Ending(Status.SUCCESS, artifacts=artifacts))
    return made.end().path


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_tar_archive_holds_the_run_and_verifies_when_unpacked(run, tmp_path):
    done = export(str(run), str(tmp_path / "x.tar"))
    assert done.digest == hashlib.sha256((tmp_path / "x.tar").read_bytes()).hexdigest()
    subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, check=True)
    assert files_of(tmp_path / "r1") == files_of(run)
    assert (done.files, done.size) == (67, sum(map(len, files_of(run).values())))
    assert verify(str(tmp_path / "r1"), now=BEGAN).exit_code == 0


@pytest.mark.parametrize("kind", ["tar", "bagit", "ro-crate"])
def test_the_same_run_gives_the_same_bytes(run, tmp_path, kind):
    copy = tmp_path / "another-name"
    shutil.copytree(run, copy, copy_function=shutil.copy)
    for path in copy.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    # Folders without files are lost by many tools on the way.
    for path in sorted(copy.rglob("*"), reverse=True):
        if path.is_dir() and not os.listdir(path):
            path.rmdir()
    one = export(str(run), str(tmp_path / "one.tar"), kind=kind)
    two = export(str(copy), str(tmp_path / "two.tar"), kind=kind)
    assert one.digest == two.digest
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_an_archive_has_only_plain_files_of_nobody(odd, tmp_path):
    attest(str(odd), [])
    export(str(odd), str(tmp_path / "x.tar"))
    with tarfile.open(tmp_path / "x.tar") as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == sorted(m.name for m in members)
        assert {(m.uid, m.gid, m.uname, m.gname, m.mode, m.isreg()) for m in members} == {
            (0, 0, "", "", 0o644, True)
        }
        assert len({m.mtime for m in members}) == 1
        assert f"odd/one/30-artifacts/{LONG}" in archive.getnames()
        assert "odd/attest/statement.json" in archive.getnames()
    subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, check=True)
    assert files_of(tmp_path / "odd") == files_of(odd)


@pytest.mark.parametrize("which", ["run", "odd"])
def test_a_bag_is_valid_in_full_for_the_reference_tool_and_for_sha256sum(which, request, tmp_path):
    folder = request.getfixturevalue(which)
    done = export(str(folder), str(tmp_path / "bag"), kind="bagit")
    assert done.digest is None
    checked = subprocess.run(
        [sys.executable, "-m", "bagit", "--validate", str(tmp_path / "bag")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    for name in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(
            ["sha256sum", "-c", "--strict", "--quiet", name], cwd=tmp_path / "bag", check=True
        )
    if which == "run":
        assert verify(str(tmp_path / "bag/data/r1"), now=BEGAN).exit_code == 0
    else:
        assert list(files_of(tmp_path / "bag/data")) == ["odd.tar"]
        subprocess.run(["tar", "-xf", "bag/data/odd.tar"], cwd=tmp_path, check=True)
        assert files_of(tmp_path / "odd") == files_of(odd_path := folder), odd_path
    info = (tmp_path / "bag/bag-info.txt").read_text()
    assert re.search(r"^Bagging-Date: 2026-11-21$", info, re.MULTILINE)
    assert re.search(
        rf"^External-Identifier: {'r1' if which == 'run' else 'odd'}$", info, re.MULTILINE
    )


def test_a_changed_bag_is_not_valid(run, tmp_path):
    export(str(run), str(tmp_path / "bag"), kind="bagit")
    (tmp_path / "bag/data/r1/run.json").write_text("{}")
    checked = subprocess.run(
        [sys.executable, "-m", "bagit", "--validate", str(tmp_path / "bag")],
        capture_output=True,
        check=False,
    )
    assert checked.returncode != 0


def test_a_crate_is_a_process_run_crate(run, tmp_path):
    export(str(run), str(tmp_path / "crate"), kind="ro-crate")
    assert verify(str(tmp_path / "crate/r1"), now=BEGAN).exit_code == 0
    crate = json.loads((tmp_path / "crate/ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    root = entities["./"]
    profile = entities[root["conformsTo"]["@id"]]
    assert profile["@id"] == "https://w3id.org/ro/wfrun/process/0.5"
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    actions = [entities[ref["@id"]] for ref in root["mentions"]]
    assert [action["@id"] for action in actions] == ["#bad", "#flaky", "#good", "#slow"]
    for action in actions:
        assert action["@type"] == "CreateAction"
        refs = [*action["instrument"], *action["object"], *action["result"]]
        for ref in [*refs, action["agent"]]:
            assert ref["@id"] in entities
    bad, _, good, slow = actions
    assert good["actionStatus"] == {"@id": "http://schema.org/CompletedActionStatus"}
    assert "error" not in good
    assert bad["actionStatus"] == {"@id": "http://schema.org/FailedActionStatus"}
    assert (bad["error"], slow["error"]) == ("failure: exit", "timeout: timeout")
    assert {"@id": "r1/good/30-artifacts/report/a%20b.txt"} in good["result"]
    # Every part is there, and every file of the run is somebody's part.
    parts, todo = set(), ["./"]
    while todo:
        for ref in entities[todo.pop()].get("hasPart", []):
            parts.add(ref["@id"])
            todo.append(ref["@id"])
    described = {unquote(part) for part in parts if not part.endswith("/")}
    assert described == {f"r1/{name}" for name in files_of(run)}
    for name in described:
        data = (tmp_path / "crate" / name).read_bytes()
        entity = next(e for i, e in entities.items() if unquote(i) == name)
        assert entity["sha256"] == hashlib.sha256(data).hexdigest()
        assert entity["contentSize"] == str(len(data))


def test_an_export_never_replaces_anything(run, tmp_path):
    (tmp_path / "x.tar").write_text("mine")
    for kind in ("tar", "bagit"):
        with pytest.raises(ZfError, match=r"x\.tar exists"):
            export(str(run), str(tmp_path / "x.tar"), kind=kind)
    assert (tmp_path / "x.tar").read_text() == "mine"


@pytest.mark.parametrize("kind", ["tar", "bagit", "ro-crate"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda p: p.write_bytes(b"HELLO\n"),
        lambda p: p.write_bytes(b"hell"),
        lambda p: p.write_bytes(b"hello\nmore"),
        lambda p: p.unlink(),
        lambda p: (p.unlink(), p.symlink_to("/etc/hostname")),
        lambda p: (p.parents[2] / "README").write_text("All is well."),
        lambda p: (p.parents[1] / "more").write_text("All is well."),
    ],
    ids=["edited", "cut", "longer", "deleted", "linked", "added at the top", "added"],
)
def test_nothing_changed_is_handed_over(run, tmp_path, kind, harm):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    harm(copy / "good/20-logs/step-0.log")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ZfError, match="does not verify, so nothing was exported: ") as refused:
        export(str(copy), str(tmp_path / "out"), kind=kind)
    assert refused.value.exit_code == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_a_file_that_grows_while_it_is_read_is_noticed(run, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    real = os.fstat

    def shorter(fd):
        found = real(fd)
        return os.stat_result((*found[:6], max(0, found.st_size - 1), *found[7:]))

    monkeypatch.setattr("zf.audit.exporting.export.os.fstat", shorter)
    with pytest.raises(ZfError, match="is not as it was sealed"):
        export(str(copy), str(tmp_path / "out"))


def test_only_a_sealed_run_is_handed_over(tmp_path):
    made = proof_bundles.killed(tmp_path)
    with pytest.raises(ZfError, match="not a sealed run"):
        export(str(made.path), str(tmp_path / "x.tar"))
    seal(str(made.path))
    export(str(made.path), str(tmp_path / "x.tar"))


def test_a_run_without_sense_makes_no_crate(tmp_path):
    made = proof_bundles.small(tmp_path)
    (made.path / "plan.json").write_text('{"tasks":[{}]}\n')
    seal(str(made.path))
    with pytest.raises(ZfError, match="does not verify"):
        export(str(made.path), str(tmp_path / "crate"), kind="ro-crate")


def test_a_run_without_events_is_none(tmp_path):
    made = proof_bundles.small(tmp_path)
    (made.path / "events.jsonl").write_text("")
    seal(str(made.path))
    with pytest.raises(ZfError, match="does not verify"):
        export(str(made.path), str(tmp_path / "x.tar"))
