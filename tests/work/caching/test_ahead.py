"""What a task has left, seen before it is its turn: for that task, and not for long."""

import time

import pytest

from tests.support.simulated import task
from zf.work.caching import ahead
from zf.work.caching.ahead import Ahead
from zf.work.caching.files import Generated
from zf.work.caching.lookup import Lookup


@pytest.fixture
def built(tmp_path):
    """A project in which a task has left a folder."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "file").write_text("made\n")
    return tmp_path


def seen(root, **keys):
    return Ahead.look(task("build", generates=("out",), **keys), str(root), f"{root}/proofs")


def test_what_is_there_is_seen(built):
    [found] = seen(built).of("build")
    assert found.folders["out"].keys() == {"deep", "deep/file"}


def test_it_is_of_one_task(built):
    assert not [*seen(built).of("another")]


def test_it_is_of_no_use_later(built):
    found = seen(built)
    late = Ahead("build", found.moment - ahead._FRESH_S, found.generated)
    assert not [*late.of("build")]


def test_what_would_have_to_be_read_is_left_to_its_turn(built):
    assert seen(built, generates_check="content") is None


def test_what_takes_long_is_left_to_its_turn(built, monkeypatch):
    monkeypatch.setattr(ahead, "_MOST_S", -1.0)
    assert seen(built) is None


def test_it_is_used_once():
    generated = Generated()
    lookup = Lookup("proofs", ahead=Ahead("build", time.monotonic(), generated))
    assert lookup.seen_ahead("build") == [generated]
    assert lookup.seen_ahead("build") == []


def test_what_is_taken_away_after_it_was_seen_in_an_earlier_run_is_missed(project):
    """A task that comes first by the order of the plan is looked at while its worker gets ready."""
    (project.root / "in.txt").write_text("what it is made of\n")
    project.task(
        "build",
        "mkdir -p out; echo made >out/file",
        generates=["out"],
        cache=True,
        sources=["in.txt"],
    )
    project.task("use", "cat out/file", needs=["build"])
    assert project.zf("run", "--run-id", "r1").code == 0
    assert project.zf("run", "--cached", "--run-id", "r2").code == 0
    assert project.status("r2", "build")["cached_from"]["run"] == "r1"
    (project.root / "out" / "file").unlink()
    assert project.zf("run", "--cached", "--run-id", "r3").code == 0
    assert not project.status("r3", "build").get("cached_from")
