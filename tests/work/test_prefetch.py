"""The next attempt, made ready while one runs: it is the same as any, and a wrong guess is nothing."""

import os
import re
import signal
from contextlib import closing

import pytest

from tests.support.attempts import Attempts, all_listed, checksums_hold, settle, task, wait_for_one
from zf.events import Cause, Status
from zf.proof.tree.store import TaskTree
from zf.work.outcome import Outcome


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


def aside(attempts):
    """The trees that were made before their time: the id and the files of each."""
    found = []
    # Beside these lies what steps tell their worker.
    for place in sorted((attempts.root.parent / "aside").glob("*[0-9]")):
        [task_id] = re.findall(r"export TASK_ID='(.*)'", (place / "00-meta/env.sh").read_text())
        found.append((task_id, sorted(path.name for path in place.iterdir())))
    return found


@pytest.fixture
def first(attempts):
    """A task that waits, once it runs, for a line in `go`."""
    os.mkfifo(attempts.root / "up")
    os.mkfifo(attempts.root / "go")
    return task("echo up > up; read < go", name="first")


def under_way(attempts, pool, then):
    """Start the first task; return when its worker has made the other one ready, or cannot."""
    pool.start("first", 1, 0, None, then)
    assert (attempts.root / "up").read_text() == "up\n"
    settle(pool, pool._running["first"])


def go_on(attempts, pool):
    (attempts.root / "go").write_text("go\n")
    return wait_for_one(pool)


class TestARightGuess:
    def test_the_tree_takes_its_place_when_the_order_comes(self, attempts, first):
        second = task("echo $ARTIFACTS_DIR; pwd", name="second", timeout_s=60)
        with closing(attempts.pool(first, second)) as pool:
            under_way(attempts, pool, "second")
            assert [one for one, _ in aside(attempts)] == ["second"]
            assert not (attempts.run_dir / "second").exists()
            ended = go_on(attempts, pool)
            pool.start("second", 1, 0)
            result = attempts.result(wait_for_one(pool))
            assert aside(attempts) == []
        assert result.outcome() == ("success", 0, "")
        assert result.log().decode() == f"{attempts.run_dir}/second/30-artifacts\n{attempts.root}\n"
        # Its time begins with the order, not with the guess.
        assert result.ended.started_at >= ended.completed_at
        checksums_hold(result.tree)
        all_listed(result.tree)

    def test_it_is_the_same_as_without(self, attempts, first, tmp_path):
        def files(result):
            told = {}
            for path in sorted(result.tree.rglob("*")):
                if path.is_file() and path.name in {"task.json", "env.sh", "step-0.sh"}:
                    data = re.sub(rb'"started_at": ".*"', b"", path.read_bytes())
                    told[str(path.relative_to(result.tree))] = data
            return told, sorted(result.status)

        second = task("echo hello", name="second", env={"API_TOKEN": "s3cr3t-s3cr3t"})
        with closing(attempts.pool(first, second)) as pool:
            under_way(attempts, pool, "second")
            go_on(attempts, pool)
            pool.start("second", 1, 0)
            ahead = files(attempts.result(wait_for_one(pool)))
        os.rename(attempts.run_dir / "second", attempts.run_dir / "gone")
        assert files(attempts.run_all([second])[0]) == ahead
        assert b"s3cr3t" not in b"".join(ahead[0].values())


class TestAWrongGuess:
    def test_another_order_comes(self, attempts, first):
        others = [task("echo $TASK_ID", name=name) for name in ("second", "third")]
        with closing(attempts.pool(first, *others)) as pool:
            under_way(attempts, pool, "second")
            go_on(attempts, pool)
            results = []
            for name in ("third", "second"):
                pool.start(name, 1, 0)
                results.append(attempts.result(wait_for_one(pool)))
                assert aside(attempts) == []
        assert [one.log() for one in results] == [b"third\n", b"second\n"]
        for one in results:
            checksums_hold(one.tree)
            all_listed(one.tree)

    @pytest.mark.parametrize("left", [True, False], ids=["a tree", "no tree"])
    def test_another_attempt_of_it_comes(self, attempts, first, left):
        """The one before was lost, and had or had not come to make its tree."""
        second = task("echo $ATTEMPT", name="second")
        if left:
            TaskTree.create(str(attempts.run_dir), "second", 1).close()
            lost = Outcome(second, 1)
            lost.fail(Cause.WORKER, "its worker died", status=Status.LOST)
            lost.write_abandoned_status(str(attempts.run_dir), "r1", attempts.shared.redactor)
        with closing(attempts.pool(first, second)) as pool:
            under_way(attempts, pool, "second")
            go_on(attempts, pool)
            pool.start("second", 2, 0)
            result = attempts.result(wait_for_one(pool))
        assert result.log() == b"2\n"
        assert (result.tree / "attempts/1/99-summary/status.json").is_file() == left
        assert aside(attempts) == []

    def test_a_tree_is_there_already(self, attempts, first):
        """Of an attempt that was lost before it was told of."""
        second = task("echo hello", name="second")
        with closing(attempts.pool(first, second)) as pool:
            under_way(attempts, pool, "second")
            TaskTree.create(str(attempts.run_dir), "second", 1).close()
            go_on(attempts, pool)
            pool.start("second", 1, 0)
            result = attempts.result(wait_for_one(pool))
        assert result.outcome() == ("success", 0, "")
        checksums_hold(result.tree)
        all_listed(result.tree)
        assert aside(attempts) == []

    def test_no_order_comes(self, attempts, first):
        with closing(attempts.pool(first, task(":", name="second"))) as pool:
            under_way(attempts, pool, "second")
            go_on(attempts, pool)
        assert aside(attempts) == []
        assert not (attempts.run_dir / "second").exists()

    def test_the_worker_is_killed(self, attempts, first):
        with closing(attempts.pool(first, task("echo hello", name="second"))) as pool:
            under_way(attempts, pool, "second")
            os.kill(pool._running["first"].pid, signal.SIGKILL)
            assert wait_for_one(pool).status == "lost"
            assert not (attempts.run_dir / "second").exists()
            pool.start("second", 1, 0)
            result = attempts.result(wait_for_one(pool))
        assert result.log() == b"hello\n"


def test_a_task_that_cannot_be_made_ready_ahead_still_runs(attempts, first):
    (attempts.root.parent / "aside").write_text("in the way")
    with closing(attempts.pool(first, task("echo hello", name="second"))) as pool:
        under_way(attempts, pool, "second")
        assert go_on(attempts, pool).status == "success"
        pool.start("second", 1, 0)
        result = attempts.result(wait_for_one(pool))
    assert result.log() == b"hello\n"
