"""The task's tree: written once, listed whole, decided once, however often it is begun again."""

import json
import os
import shutil
import subprocess
from hashlib import sha256

import pytest

from tests.support.attempts import all_listed, checksums_hold, task
from zf.events import Cause, Status, TaskNotRun
from zf.model import Need, Step
from zf.proof import checksums, files, layout
from zf.proof.known import Known
from zf.proof.seal import seal_known
from zf.proof.tree import attempts, records
from zf.proof.tree.store import TaskTree

STATUS = {"task_id": "t", "status": "success", "attempt": 1}
PLACE = records.Place("r1", "harbour", "alice", "/home/alice/x")


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "r1"
    path.mkdir()
    return path


def test_a_decided_tree_is_listed_whole_and_coreutils_agree(run_dir):
    tree = TaskTree.create(str(run_dir), "t")
    tree.write(layout.TASK, b"{}\n")
    fd = tree.create_file("20-logs/step-0.log")
    os.write(fd, b"log")
    os.close(fd)
    tree.wrote("20-logs/step-0.log", sha256(b"log").hexdigest())
    tree.write("30-artifacts/b.txt", b"b")
    tree.write("30-artifacts/a.txt", b"a")
    digest = tree.write_status(STATUS)
    tree.close()

    folder = run_dir / "t"
    listed = (folder / "40-checksums/task.sha256").read_bytes()
    assert digest == sha256(listed).hexdigest()
    assert list(checksums.parse(listed)) == sorted(checksums.parse(listed))
    assert list(checksums.parse((folder / "40-checksums/artifacts.sha256").read_bytes())) == [
        "a.txt",
        "b.txt",
    ]
    all_listed(folder)
    checksums_hold(folder)
    assert sorted(os.listdir(folder)) == list(layout.FOLDERS)
    assert os.listdir(folder / "99-summary") == ["status.json"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
def test_what_lies_in_the_outcome_s_place_gives_way(run_dir, kind):
    tree = TaskTree.create(str(run_dir), "t")
    place = run_dir / "t/99-summary/status.json"
    plant(place, kind)
    digest = tree.write_status(STATUS)
    tree.close()
    assert json.loads(place.read_bytes()) == STATUS
    assert os.listdir(run_dir / "t/99-summary") == ["status.json"]
    listed = (run_dir / "t/40-checksums/task.sha256").read_bytes()
    assert digest == sha256(listed).hexdigest()


def plant(place, kind):
    """Something of somebody else's."""
    match kind:
        case "file":
            place.write_bytes(b"[" * 100_000)
        case "folder":
            (place / "deep").mkdir(parents=True)
        case "link":
            place.symlink_to("/etc/passwd")
        case "fifo":
            os.mkfifo(place)
        case "unreadable":
            place.write_bytes(b"{}")
            place.chmod(0)


def test_a_file_is_written_once(run_dir):
    tree = TaskTree.create(str(run_dir), "t")
    tree.write(layout.ENV, b"")
    with pytest.raises(FileExistsError):
        tree.write(layout.ENV, b"other")
    tree.close()


def test_a_step_that_swaps_folders_for_links_moves_nothing_of_ours(run_dir, tmp_path):
    tree = TaskTree.create(str(run_dir), "t")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(run_dir / "t/20-logs", run_dir / "t/moved")
    os.symlink(elsewhere, run_dir / "t/20-logs")
    os.close(tree.create_file("20-logs/step-1.log"))
    tree.close()
    assert os.listdir(elsewhere) == []
    with pytest.raises(NotADirectoryError):
        TaskTree(str(run_dir), "t", layout.FOLDERS)


def test_what_others_put_between_zf_s_own_files_is_swept_out(run_dir):
    tree = TaskTree.create(str(run_dir), "t")
    tree.write(layout.TASK, b"{}")
    deep = run_dir / "t/20-logs/a/b/c"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    os.symlink("/etc/passwd", run_dir / "t/99-summary/status.json")
    (run_dir / "t/00-meta/-rf").touch()
    assert sorted(tree.sweep()) == ["00-meta/-rf", "20-logs/a", "99-summary/status.json"]
    tree.write_status(STATUS)
    tree.close()
    all_listed(run_dir / "t")


def test_a_very_deep_folder_is_removed(run_dir):
    tree = TaskTree.create(str(run_dir), "t")
    here = tree.folder(layout.LOGS)
    opened = []
    for depth in range(3000):
        os.mkdir("d", dir_fd=here)
        if depth % 3 == 0:
            os.mkdir("e", dir_fd=here)
            os.symlink("d", "link", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        if opened:
            os.close(opened.pop())
        opened.append(below)
        here = below
    os.close(here)
    assert len(tree.sweep()) == 3
    assert os.listdir(run_dir / "t/20-logs") == []
    tree.close()


class TestAttempts:
    def attempt(self, run_dir, number, *, decide=True, more=()):
        tree = TaskTree.create(str(run_dir), "t", number)
        for path, data in dict(more).items():
            tree.write(path, data)
        tree.write(layout.TASK, b"%d" % number)
        tree.write("30-artifacts/a.txt", b"a%d" % number)
        digest = tree.write_status({**STATUS, "attempt": number}) if decide else None
        tree.close()
        return digest

    def test_earlier_ones_are_kept_whole_and_covered(self, run_dir):
        digests = [self.attempt(run_dir, number) for number in (1, 2, 3)]
        folder = run_dir / "t"
        assert sorted(os.listdir(folder / "attempts")) == ["1", "2"]
        assert (folder / "00-meta/task.json").read_bytes() == b"3"
        for number, tree in ((1, folder / "attempts/1"), (2, folder / "attempts/2"), (3, folder)):
            listed = (tree / "40-checksums/task.sha256").read_bytes()
            assert sha256(listed).hexdigest() == digests[number - 1]
            assert (tree / "00-meta/task.json").read_bytes() == b"%d" % number
            checksums_hold(tree)
            all_listed(tree)
        subprocess.run(
            ["sha256sum", "-c", "--strict", "--quiet", "40-checksums/attempts.sha256"],
            cwd=folder,
            check=True,
        )
        listed = checksums.parse((folder / "40-checksums/attempts.sha256").read_bytes())
        files = [p for p in (folder / "attempts").rglob("*") if p.is_file()]
        assert sorted(listed) == sorted(str(p.relative_to(folder)) for p in files)
        known = Known()
        for number, ended_with in enumerate(digests, start=1):
            known.ended("t", number, ended_with)
        assert seal_known(str(run_dir), known).differences == ()
        subprocess.run(
            ["sha256sum", "-c", "--strict", "--quiet", "MANIFEST.sha256"], cwd=run_dir, check=True
        )

    def test_one_that_was_never_decided_is_kept_and_hashed(self, run_dir):
        self.attempt(run_dir, 1, decide=False)
        self.attempt(run_dir, 2)
        listed = checksums.parse((run_dir / "t/40-checksums/attempts.sha256").read_bytes())
        assert listed == {
            "attempts/1/00-meta/task.json": sha256(b"1").hexdigest(),
            "attempts/1/30-artifacts/a.txt": sha256(b"a1").hexdigest(),
        }

    @pytest.mark.parametrize("moved", range(len(attempts.ASIDE_ORDER) + 1))
    def test_setting_aside_goes_on_where_it_was_killed(self, run_dir, moved):
        self.attempt(run_dir, 1, more=dict.fromkeys(layout.LOOSE, b"{}\n"))
        folder = run_dir / "t"
        (folder / "attempts/1").mkdir(parents=True)
        for name in attempts.ASIDE_ORDER[:moved]:
            os.rename(folder / name, folder / "attempts/1" / name)
        self.attempt(run_dir, 2)
        assert sorted(os.listdir(folder / "attempts/1")) == sorted(attempts.ASIDE_ORDER)
        checksums_hold(folder / "attempts/1")

    def test_a_tree_begun_before_its_start_was_on_record_is_not_lost_either(self, run_dir):
        self.attempt(run_dir, 1)
        self.attempt(run_dir, 2, decide=False)
        self.attempt(run_dir, 2)
        assert sorted(os.listdir(run_dir / "t/attempts")) == ["1", "1.1"]

    def test_one_that_was_not_run_makes_way_for_its_first_attempt(self, run_dir):
        needs = {"x": Status.FAILURE}
        event = TaskNotRun("t", Status.BLOCKED, Cause.NEED, "", needs, "now", "")
        records.write_not_run(str(run_dir), PLACE, task(), event)
        self.attempt(run_dir, 1)
        blocked = run_dir / "t/attempts/0/99-summary/status.json"
        assert json.loads(blocked.read_bytes())["status"] == "blocked"
        assert "attempts.sha256" in os.listdir(run_dir / "t/40-checksums")


class TestReopen:
    def test_what_a_dead_worker_wrote_is_kept_and_the_rest_removed(self, run_dir):
        tree = TaskTree.create(str(run_dir), "t")
        tree.write(layout.TASK, b"{}\n")
        tree.write("10-commands/step-0.sh", b":\n")
        tree.close()
        folder = run_dir / "t"
        (folder / "20-logs/step-0.log").write_bytes(b"half")
        (folder / "40-checksums/artifacts.sha256").write_bytes(b"half")
        (folder / "99-summary/.status.json.123").write_bytes(b"half")
        (folder / "20-logs/step-0.sh").write_bytes(b"not ours")
        os.rmdir(folder / "30-artifacts")

        again = TaskTree.reopen(str(run_dir), "t")
        again.write_status({**STATUS, "status": "lost"})
        again.close()
        listed = checksums.parse((folder / "40-checksums/task.sha256").read_bytes())
        assert sorted(listed) == [
            "00-meta/task.json",
            "10-commands/step-0.sh",
            "20-logs/step-0.log",
            "40-checksums/artifacts.sha256",
            "99-summary/status.json",
        ]
        checksums_hold(folder)
        all_listed(folder)

    def test_a_worker_that_never_got_so_far_leaves_a_tree_that_can_be_decided(self, run_dir):
        tree = TaskTree.reopen(str(run_dir), "t")
        tree.write_status({**STATUS, "status": "lost"})
        tree.close()
        all_listed(run_dir / "t")

    @pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo", "unreadable"])
    @pytest.mark.parametrize(
        "path",
        [
            *("99-summary/status.json", "40-checksums/task.sha256", "20-logs/step-0.log"),
            *("00-meta", "99-summary", "attempts", "attempts/1", ""),
        ],
    )
    def test_whatever_lies_there_it_can_be_decided(self, run_dir, path, kind):
        tree = TaskTree.create(str(run_dir), "t")
        tree.write(layout.TASK, b"{}\n")
        tree.close()
        place = run_dir / "t" / path
        if place.is_dir():
            shutil.rmtree(place)
        place.parent.mkdir(exist_ok=True)
        plant(place, kind)
        again = TaskTree.reopen(str(run_dir), "t")
        again.write_status({**STATUS, "status": "lost"})
        again.close()
        assert json.loads((run_dir / "t/99-summary/status.json").read_bytes())["status"] == "lost"
        checksums_hold(run_dir / "t")

    def test_an_earlier_attempt_whose_list_is_none_is_hashed(self, run_dir):
        folder = run_dir / "t/attempts/1"
        (folder / "40-checksums").mkdir(parents=True)
        (folder / "40-checksums/task.sha256").write_bytes(b"no list\n")
        (folder / "a\nb").touch()
        again = TaskTree.reopen(str(run_dir), "t")
        again.write_status({**STATUS, "status": "lost"})
        again.close()
        listed = checksums.parse((run_dir / "t/40-checksums/attempts.sha256").read_bytes())
        assert list(listed) == ["attempts/1/40-checksums/task.sha256"]


def test_a_task_that_was_not_run_has_a_tree_too(run_dir):
    blocked = task(":", title="T", needs=(Need("x"),), env={"A": "1"}, cleanup=(Step("c", ":"),))
    event = TaskNotRun(
        task="t",
        status=Status.BLOCKED,
        cause=Cause.NEED,
        detail="dependency 'x' has status: timeout",
        needs={"x": Status.TIMEOUT},
        at="2026-11-21T06:30:44.000000Z",
        task_sha256="",
    )
    digest = records.write_not_run(str(run_dir), PLACE, blocked, event)
    folder = run_dir / "t"
    listed = (folder / "40-checksums/task.sha256").read_bytes()
    assert digest == sha256(listed).hexdigest()
    assert sorted(os.listdir(folder)) == ["00-meta", "40-checksums", "99-summary"]
    checksums_hold(folder)
    all_listed(folder)
    status = json.loads((folder / "99-summary/status.json").read_bytes())
    assert status == {
        "schema": "zf/status/v2",
        "task_id": "t",
        "run_id": "r1",
        "phase": "A",
        "title": "T",
        "status": "blocked",
        "conclusion": "blocked",
        "flaky": False,
        "exit_code": None,
        "signal": None,
        "attempt": 0,
        "cause": "need",
        "detail": "dependency 'x' has status: timeout",
        "step": None,
        "started_at": "2026-11-21T06:30:44.000000Z",
        "completed_at": "2026-11-21T06:30:44.000000Z",
        "duration_s": 0.0,
        "timeout_sec": 60,
        "needs": {"x": "timeout"},
    }
    recorded = json.loads((folder / "00-meta/task.json").read_bytes())
    assert recorded["commands"] == [{"name": "step-0", "run": ":", "line": 1}]
    told = {
        "run_id": "r1",
        "started_at": "2026-11-21T06:30:44.000000Z",
        "hostname": "harbour",
        "user": "alice",
        "pwd": "/home/alice/x",
    }
    assert {name: recorded[name] for name in told} == told
    assert recorded["needs"] == [{"task": "x", "optional": False, "require": "success"}]


def test_short_writes_are_made_up_for(monkeypatch, tmp_path):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    fd = os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    files.write_all(fd, b"0123456789")
    os.close(fd)
    assert (tmp_path / "f").read_bytes() == b"0123456789"
