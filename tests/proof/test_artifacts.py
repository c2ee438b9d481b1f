"""Artifacts are hostile input: what gets in has a safe name and true bytes, nothing else is read."""

import json
import os
import socket
import subprocess
import sys
import threading
from hashlib import sha256

import pytest

from tests.support.attempts import all_listed, checksums_hold
from zf.proof import checksums, layout
from zf.proof.tree import artifacts
from zf.proof.tree.artifacts import collect
from zf.proof.tree.store import TaskTree
from zf.proof.tree.walk import MAX_NAME, stored_name

STATUS = {"task_id": "t", "status": "success"}


class Scene:
    """A project, and the tree of a task in it."""

    def __init__(self, folder):
        self.root = folder / "project"
        self.proofs = self.root / "proofs"
        (self.proofs / "r1").mkdir(parents=True)
        self.tree = TaskTree.create(str(self.proofs / "r1"), "t")
        self.path = self.proofs / "r1/t"
        self.own = self.path / "30-artifacts"

    def write(self, path, data=b"x"):
        target = os.fsencode(self.root) + b"/" + os.fsencode(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as stream:
            stream.write(data)

    def collect(self, *patterns, **options):
        found = collect(self.tree, str(self.root), patterns, proofs=str(self.proofs), **options)
        assert self.tree.sweep() == []
        self.tree.write_status(STATUS)
        self.tree.close()
        checksums_hold(self.path)
        all_listed(self.path)
        listed = checksums.parse((self.path / "40-checksums/artifacts.sha256").read_bytes())
        assert len(listed) == found.count
        assert all(checksums.is_safe_path(path) for path in listed)
        self.listed = listed
        return found

    @property
    def stored(self):
        return sorted(self.listed)

    @property
    def renamed(self):
        return json.loads((self.path / "40-checksums/artifacts.json").read_bytes())["renamed"]


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def refusals(found):
    return {one["path"]: one["reason"] for one in found.refused}


class TestWhatTheTaskLeft:
    def test_files_and_folders_are_listed_where_they_are(self, scene):
        (scene.own / "deep/er").mkdir(parents=True)
        (scene.own / "deep/er/a.xml").write_bytes(b"a")
        (scene.own / "b.txt").write_bytes(b"b")
        (scene.own / "empty").mkdir()
        found = scene.collect()
        assert scene.listed == {
            "b.txt": sha256(b"b").hexdigest(),
            "deep/er/a.xml": sha256(b"a").hexdigest(),
        }
        assert (found.refused, found.notes, found.renamed) == ([], [], [])
        # An empty folder cannot be listed, so it would be surplus.
        assert not (scene.own / "empty").exists()
        assert not (scene.path / "40-checksums/artifacts.json").exists()

    def test_odd_things_are_taken_out_and_told(self, scene):
        os.symlink("/etc/passwd", scene.own / "link")
        os.symlink("/etc", scene.own / "folder-link")
        os.mkfifo(scene.own / "fifo")
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.getcwd()
            os.chdir(scene.own)
            sock.bind("socket")
            os.chdir(here)
        found = scene.collect()
        assert refusals(found) == {
            "fifo": "is a fifo",
            "folder-link": "is a symbolic link",
            "link": "is a symbolic link",
            "socket": "is a socket",
        }
        assert os.listdir(scene.own) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
    def test_devices_are_not_opened(self, scene):
        os.mknod(scene.own / "zero", 0o20644, os.makedev(1, 5))
        assert refusals(scene.collect()) == {"zero": "is a device"}

    @pytest.mark.parametrize(
        "name",
        [
            b"a b.txt",
            b" lead",
            b"trail ",
            b"-rf",
            b"-",
            b"~home",
            b"new\nline",
            b"tab\there",
            b"back\\slash",
            b"quote'\"$(touch x)`",
            b"\xff\xfe not UTF-8",
            "ümlaut".encode(),
            b"per%20cent",
            b"\x1b[2Jscreen",
            b"x" * 250,
            "é".encode() * 125,
            b"long" * 60 + b".tar.gz",
            b"*?[a]",
            b"...",
            b"#hash",
            b"CON",
        ],
    )
    def test_odd_names_become_names_every_tool_reads(self, scene, name):
        with open(os.fsencode(scene.own) + b"/" + name, "wb") as stream:
            stream.write(name)
        found = scene.collect()
        assert found.count == 1
        assert scene.stored == [stored_name(os.fsdecode(name))]
        assert scene.listed[scene.stored[0]] == sha256(name).hexdigest()
        if scene.stored[0] != os.fsdecode(name):
            (renamed,) = scene.renamed
            assert renamed["stored"] == scene.stored[0]
            assert renamed.get("original", "").encode() == name or "original_base64" in renamed

    def test_names_that_differ_by_case_or_form_stay_apart(self, scene):
        names = ["Report.xml", "report.xml", "REPORT.xml", "é", "e\u0301", "É", "dir/a", "DIR/a"]
        for name in names:
            path = scene.own / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        found = scene.collect()
        assert found.count == len(names)
        folded = [path.casefold() for path in scene.stored]
        assert len(set(folded)) == len(names)
        digests = {sha256(name.encode()).hexdigest() for name in names}
        assert set(scene.listed.values()) == digests
        originals = {one["original"]: one["stored"] for one in scene.renamed}
        assert originals["report.xml"] == "report.xml~3"

    def test_a_name_made_safe_never_lands_on_another_file(self, scene):
        for name in ("a\nb", "a%0Ab", "a%0Ab~2", "A~2", "a", "A"):
            (scene.own / name).write_text(name)
        scene.collect()
        digests = {sha256((scene.own / path).read_bytes()).hexdigest() for path in scene.stored}
        assert len(digests) == 6
        assert set(scene.listed.values()) == digests

    def test_a_file_with_a_second_link_is_copied(self, scene):
        scene.write("mine", b"before")
        os.link(scene.root / "mine", scene.own / "linked")
        scene.collect()
        (scene.root / "mine").write_bytes(b"after!")
        assert (scene.own / "linked").read_bytes() == b"before"

    def test_permissions_do_not_hide_anything(self, scene):
        (scene.own / "shut").mkdir()
        (scene.own / "shut/file").write_bytes(b"x")
        (scene.own / "shut/file").chmod(0)
        (scene.own / "shut").chmod(0)
        assert scene.collect().count == 1

    def test_too_deep_is_refused_and_gone(self, scene):
        deep = scene.own.joinpath(*["d"] * 40)
        deep.mkdir(parents=True)
        (deep / "file").touch()
        found = scene.collect()
        assert found.count == 0
        assert list(refusals(found).values()) == ["is nested deeper than 32 folders"]
        assert os.listdir(scene.own) == []

    def test_more_than_the_limits_is_refused(self, scene, monkeypatch):
        monkeypatch.setattr(artifacts, "MAX_FILES", 2)
        monkeypatch.setattr(artifacts, "MAX_BYTES", 10)
        for name, size in (("a", 1), ("b", 20), ("c", 1), ("d", 1)):
            (scene.own / name).write_bytes(b"x" * size)
        found = scene.collect()
        assert found.count == len(scene.stored)
        assert set(refusals(found)) | set(scene.stored) == {"a", "b", "c", "d"}
        assert "b" in refusals(found)


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("a.xml", ["a.xml"]),
            ("*.xml", [".hidden.xml", "a.xml"]),
            ("report/*.xml", ["report/b.xml"]),
            ("report/**", ["report/b.xml", "report/c.txt", "report/deep/er/d.xml"]),
            ("report", ["report/b.xml", "report/c.txt", "report/deep/er/d.xml"]),
            ("report/", ["report/b.xml", "report/c.txt", "report/deep/er/d.xml"]),
            ("./report/deep", ["report/deep/er/d.xml"]),
            ("**/*.xml", [".hidden.xml", "a.xml", "report/b.xml", "report/deep/er/d.xml"]),
            ("report/**/er/*", ["report/deep/er/d.xml"]),
            ("**/deep/**/*.xml", ["report/deep/er/d.xml"]),
            ("re[p-q]ort/?.txt", ["report/c.txt"]),
            ("A.XML", []),
            ("re*t", ["report/b.xml", "report/c.txt", "report/deep/er/d.xml"]),
        ],
    )
    def test_they_match_as_in_other_tools(self, scene, pattern, expected):
        for path in (
            "a.xml",
            ".hidden.xml",
            "report/b.xml",
            "report/c.txt",
            "report/deep/er/d.xml",
        ):
            scene.write(path, path.encode())
        found = scene.collect(pattern)
        assert scene.stored == expected
        assert found.refused == []
        if not expected:
            assert found.unmatched == [pattern]

    @pytest.mark.parametrize("pattern", ["/etc/passwd", "../secret", "a/../../b", "", ".", "a/.."])
    def test_none_leads_out_of_the_project(self, scene, pattern):
        assert refusals(scene.collect(pattern)) == {pattern: "is not a path inside the project"}

    def test_a_file_named_by_two_patterns_is_kept_once(self, scene):
        scene.write("a.xml")
        found = scene.collect("*.xml", "a.*", "**/a.xml")
        assert (found.count, found.notes) == (1, [])

    def test_links_are_told_of_and_not_followed(self, scene, tmp_path):
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/file").write_bytes(b"secret")
        os.symlink(tmp_path / "secret", scene.root / "out")
        os.symlink("/etc/passwd", scene.root / "link.xml")
        scene.write("in/file.xml")
        os.symlink("in", scene.root / "inside")
        found = scene.collect("out/file", "*.xml", "inside/*.xml", "out")
        assert scene.stored == []
        assert refusals(found) == {
            "out": "is a symbolic link",
            "link.xml": "is a symbolic link",
            "inside": "is a symbolic link",
        }

    def test_wildcards_pass_links_and_odd_files_by_in_silence_on_their_way_down(self, scene):
        scene.write("a/f.xml")
        os.symlink("/etc", scene.root / "etc")
        os.mkfifo(scene.root / "fifo")
        found = scene.collect("**/*.xml")
        assert (scene.stored, found.refused) == (["a/f.xml"], [])

    def test_many_stars_cost_no_more_than_a_few(self, scene):
        scene.write("a/" * 25 + "f")
        found = scene.collect("**/a/" * 8 + "f", "**/" * 20 + "f", "**/**", "a/**/*")
        assert (found.count, found.refused, found.notes) == (1, [], [])

    def test_a_fifo_is_not_opened(self, scene):
        os.mkfifo(scene.root / "pipe.xml")
        assert refusals(scene.collect("*.xml")) == {"pipe.xml": "is a fifo"}

    def test_the_proofs_are_never_part_of_a_proof(self, scene):
        scene.write("a.json")
        scene.write("proofs/r0/run.json")
        found = scene.collect("**/*.json", "proofs", "**")
        assert scene.stored == ["a.json"]
        assert found.refused == []
        assert found.unmatched == ["proofs"]

    def test_what_is_there_already_is_not_written_over(self, scene):
        scene.write("report/a.xml", b"copied")
        (scene.own / "report").mkdir()
        (scene.own / "report/a.xml").write_bytes(b"own")
        (scene.own / "Report").write_bytes(b"a file called like the folder")
        scene.collect("report")
        contents = {path: (scene.own / path).read_bytes() for path in scene.stored}
        assert sorted(contents.values()) == [b"a file called like the folder", b"copied", b"own"]

    def test_odd_names_on_the_way_are_made_safe_too(self, scene):
        scene.write(b"d \xff/new\nline", b"1")
        scene.write(b"d \xff/other", b"2")
        scene.collect("d*/*")
        assert scene.stored == ["d %FF/new%0Aline", "d %FF/other"]
        assert {one["stored"] for one in scene.renamed} == set(scene.stored)
        assert all("original_base64" in one for one in scene.renamed)

    def test_unreadable_files_and_folders_are_told_of(self, scene, monkeypatch):
        scene.write("shut.xml")
        scene.write("shut/a")
        real = os.open

        def refuse(path, *args, **kwargs):
            if path in {"shut.xml", "shut"}:
                raise PermissionError(13, "Permission denied")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        found = collect(scene.tree, str(scene.root), ("*.xml", "shut"), proofs=str(scene.proofs))
        assert set(refusals(found).values()) == {"cannot be read: Permission denied"}

    def test_one_replaced_while_it_is_looked_at_is_not_read(self, scene, monkeypatch):
        scene.write("a.xml")
        real = os.open

        def swap(path, *args, **kwargs):
            if path == "a.xml":
                os.unlink(scene.root / "a.xml")
                os.mkfifo(scene.root / "a.xml")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", swap)
        found = collect(scene.tree, str(scene.root), ("a.xml",), proofs=str(scene.proofs))
        assert refusals(found) == {"a.xml": "was replaced while it was looked at"}

    def test_limits_hold_for_copies(self, scene, monkeypatch):
        monkeypatch.setattr(artifacts, "MAX_BYTES", 10)
        scene.write("a", b"x" * 20)
        scene.write("deep/" * 40 + "f")
        found = scene.collect("a", "deep")
        assert scene.stored == []
        assert set(refusals(found).values()) == {
            "is beyond the limit of 0 GiB of artifacts a task",
            "is nested deeper than 32 folders",
        }


class FakeSecrets:
    """Finds one word, in contents and names, and lets one file through."""

    def search(self, path, data):
        found = b"hunter2" in b"".join(data)
        return ["secret:PW"] if found and path != "allowed" else []

    def text(self, text):
        return text.replace("hunter2", "***")


class TestSecrets:
    def test_a_file_with_one_is_not_kept(self, scene):
        (scene.own / "own").write_bytes(b"it is hunter2")
        (scene.own / "allowed").write_bytes(b"it is hunter2")
        scene.write("copied", b"hunter2!")
        (scene.own / "hunter2").write_bytes(b"")
        scene.write("linked", b"hunter2?")
        os.link(scene.root / "linked", scene.own / "linked")
        scene.write("clean", b"nothing")
        found = scene.collect("copied", "clean", secrets=FakeSecrets())
        assert scene.stored == ["allowed", "clean"]
        assert found.leaks == ["***", "linked", "own", "copied"]
        assert refusals(found) == {
            "***": "contains a secret (in its name)",
            "linked": "contains a secret (secret:PW)",
            "own": "contains a secret (secret:PW)",
            "copied": "contains a secret (secret:PW)",
        }
        grep = subprocess.run(["grep", "-rl", "hunter2", scene.path], capture_output=True)
        assert grep.stdout.decode().split() == [str(scene.own / "allowed")]


class TestLargeFiles:
    """Hashed in a thread, from a size on."""

    @pytest.fixture(autouse=True)
    def _large_from(self, monkeypatch):
        monkeypatch.setattr(artifacts, "_LARGE_BYTES", 3000)
        monkeypatch.setattr(artifacts, "_BLOCK_BYTES", 1000)

    @pytest.mark.parametrize("size", [2999, 3000, 3001, 50_000])
    def test_every_block_is_hashed_once_and_in_order(self, scene, size):
        data = os.urandom(size)
        (scene.own / "own").write_bytes(data)
        scene.write("copied", data)
        scene.collect("copied", secrets=FakeSecrets())
        assert set(scene.listed.values()) == {sha256(data).hexdigest()}
        assert (scene.own / "copied").read_bytes() == data

    def test_what_stops_it_leaves_no_thread(self, scene, monkeypatch):
        before = sys.getswitchinterval(), threading.active_count()
        scene.write("told", bytes(9000) + b"hunter2")
        monkeypatch.setattr(artifacts, "MAX_BYTES", 30_000)
        scene.write("vast", bytes(40_000))
        found = scene.collect("told", "vast", secrets=FakeSecrets())
        assert len(refusals(found)) == 2
        assert (sys.getswitchinterval(), threading.active_count()) == before


def test_stored_names_are_safe_and_keep_names_apart():
    names = [bytes((byte,)) for byte in range(1, 256) if byte not in b"/."]
    names += [b"a" + name for name in names] + [name + b"a" for name in names]
    names += [b"x" * size for size in range(200, 256)] + [b"\xff" * size for size in range(60, 256)]
    stored = [stored_name(os.fsdecode(name)) for name in names]
    assert all(checksums.is_safe_name(name) for name in stored)
    assert all(len(name) <= MAX_NAME for name in stored)
    assert len(set(stored)) == len(set(names))


def test_a_long_name_keeps_its_ending():
    assert stored_name("é" * 100 + ".xml").endswith(".xml")
    assert len(stored_name("x" * 250 + ".a-very-long-ending-indeed")) == MAX_NAME


def test_collect_costs_nothing_to_speak_of_when_there_is_nothing(scene):
    assert collect(scene.tree, "/nowhere", (), proofs="/nowhere").count == 0
    assert layout.ARTIFACTS == "30-artifacts"
