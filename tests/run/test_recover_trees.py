"""What recovery makes of the tree a dead worker left, wherever it was when it died."""

import os
import shutil
import subprocess

import pytest

from zf.events import AttemptEnded, AttemptStarted, Cause, RunResumed, Status, TaskNotRun
from zf.model import Project, Step, Task
from zf.proof.abandoned import drop_unnamed
from zf.proof.journal import Line
from zf.proof.read import status_json
from zf.proof.tree.attempts import ASIDE_ORDER
from zf.proof.tree.records import Place, write_not_run
from zf.proof.tree.store import TaskTree
from zf.redact.redactor import Redactor
from zf.run.recover import moments, outcome
from zf.work.outcome import Outcome

TASK = Task("t", "A", (Step("one", "true"),))
PLACE = Place("r", "harbour", "alice", "/home/alice/x")
REDACTOR = Redactor((TASK,), {}, Project())


def recovered(run_dir, attempt: int, before: str = "") -> AttemptEnded:
    return outcome("r", str(run_dir), TASK, AttemptStarted("t", attempt, 0), REDACTOR, before)


def tree_of(run_dir, attempt: int, *, decided: bool = True, metrics: bool = False) -> str:
    """A worker's tree, with or without its outcome; the digest of its list."""
    tree = TaskTree.create(str(run_dir), "t", attempt)
    tree.write("20-logs/step-0.log", b"said\n")
    if metrics:
        tree.write("30-metrics.txt", b"m 1\n")
        tree.write("30-outputs.json", b"{}\n")
        tree.write("30-cache.json", b"{}\n")
    digest = Outcome(TASK, attempt).write_status(tree, "r").task_sha256 if decided else ""
    tree.close()
    return digest


def check_lists(run_dir) -> None:
    """Every file of the task is in one of its lists, and is what that says."""
    task = run_dir / "t"
    listed = set()
    for name in ("task.sha256", "attempts.sha256"):
        path = task / "40-checksums" / name
        if path.exists() and path.stat().st_size:
            subprocess.run(["sha256sum", "-c", "--strict", "--quiet", path], cwd=task, check=True)
            listed |= {line[66:] for line in path.read_text().splitlines()}
    there = {str(p.relative_to(task)) for p in task.rglob("*") if p.is_file()}
    assert there - listed == {"40-checksums/task.sha256"}


def test_an_outcome_that_the_journal_does_not_name_is_none(tmp_path):
    tree_of(tmp_path, 1)
    ended = recovered(tmp_path, 1)
    assert (ended.status, ended.cause, ended.attempt) == (Status.LOST, Cause.RUNNER, 1)
    assert status_json(str(tmp_path), "t")["status"] == "lost"
    check_lists(tmp_path)


@pytest.mark.parametrize("begun", [False, True])
def test_without_one_the_attempt_is_lost(tmp_path, begun):
    if begun:
        tree_of(tmp_path, 1, decided=False)
    ended = recovered(tmp_path, 1)
    assert (ended.status, ended.cause) == (Status.LOST, Cause.RUNNER)
    assert status_json(str(tmp_path), "t")["status"] == "lost"
    check_lists(tmp_path)
    # Killed before the journal named that: once more.
    assert recovered(tmp_path, 1).status == Status.LOST
    check_lists(tmp_path)


@pytest.mark.parametrize("moved", range(len(ASIDE_ORDER) + 1))
def test_killed_while_the_tree_of_the_attempt_before_was_moved_away(tmp_path, moved):
    before = tree_of(tmp_path, 1, metrics=True)
    aside = tmp_path / "t" / "attempts" / "1"
    aside.mkdir(parents=True)
    for name in ASIDE_ORDER[:moved]:
        (tmp_path / "t" / name).rename(aside / name)
    ended = recovered(tmp_path, 2, before)
    assert (ended.status, ended.attempt) == (Status.LOST, 2)
    assert status_json(str(tmp_path), "t/attempts/1")["status"] == "success"
    check_lists(tmp_path)


@pytest.mark.parametrize("size", [None, 0, 30])
def test_killed_while_the_list_of_earlier_attempts_was_written(tmp_path, size):
    tree_of(tmp_path, 1)
    tree_of(tmp_path, 2, decided=False)
    path = tmp_path / "t" / "40-checksums" / "attempts.sha256"
    if size is None:
        path.unlink()
    else:
        os.truncate(path, size)
    assert recovered(tmp_path, 2).attempt == 2
    check_lists(tmp_path)


def not_run(folder, status, cause):
    write_not_run(str(folder), PLACE, TASK, TaskNotRun("t", status, cause, "", {}, "", ""))


def test_a_tree_that_was_never_announced_gives_way(tmp_path):
    not_run(tmp_path, Status.CANCELLED, Cause.INTERRUPT)
    drop_unnamed(str(tmp_path), {"t"}, [])
    drop_unnamed(str(tmp_path), {"t"}, [])
    not_run(tmp_path, Status.BLOCKED, Cause.NEED)
    assert status_json(str(tmp_path), "t")["status"] == "blocked"
    check_lists(tmp_path)
    shutil.rmtree(tmp_path / "t")


def test_time_in_which_nobody_ran_the_run_counts_for_nothing():
    started = AttemptStarted("t", 1, 0)
    lines = [
        Line(0, "", 100.0, started),
        Line(1, "", 103.0, started),
        Line(2, "", 9_000.0, RunResumed(0)),
        Line(3, "", 9_001.0, started),
        Line(4, "", 2.0, RunResumed(0)),  # after a reboot
        Line(5, "", 2.5, started),
    ]
    assert moments(lines, 50.0) == [45.5, 48.5, 48.5, 49.5, 49.5, 50.0]
