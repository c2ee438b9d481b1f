"""One run at a time has a `concurrency` group, and whoever dies lets go of it."""

import json
import os
import socket

import pytest

from zf.errors import ZfError
from zf.run.host import leases
from zf.run.host.leases import Leases, folder


@pytest.fixture
def runs(tmp_path):
    """Makes the leases of runs, which all look in one folder."""
    made = []
    path = folder({"ZF_LEASES_DIR": str(tmp_path / "leases")})

    def make(run, began=""):
        about = {"run": run, "run_dir": f"/p/{run}", "started_at": began}
        made.append(Leases(path, about))
        return made[-1]

    yield make
    for one in made:
        one.close()


def owner(run):
    return f"run {run} (task t, pid {os.getpid()})"


class TestTaking:
    def test_the_second_is_told_who_the_first_is(self, runs):
        first, second = runs("r1"), runs("r2")
        assert first.take("t", "db", 0) is None
        assert second.take("t", "db", 0) == owner("r1")
        first.release("t")
        assert second.take("t", "db", 0) is None

    def test_groups_do_not_keep_each_other_waiting(self, runs):
        one = runs("r1")
        assert [one.take(group, group, 0) for group in ("db", "DB", "d", "d.b")] == [None] * 4

    def test_a_run_has_a_group_once_too(self, runs):
        one = runs("r1")
        one.take("t", "db", 0)
        assert one.take("u", "db", 0) == owner("r1")

    def test_whoever_was_refused_comes_next(self, runs):
        busy, patient = runs("r1"), runs("r2")
        busy.take("t", "db", 0)
        patient.take("t", "db", 0)
        busy.release("t")
        assert busy.take("t", "db", 0.1) == f"{owner('r2')}, next in line"
        assert patient.take("t", "db", 0.25) is None
        assert busy.take("t", "db", 0.35) == owner("r2")

    def test_but_not_if_it_does_not_ask_again(self, runs):
        busy, patient = runs("r1"), runs("r2")
        busy.take("t", "db", 0)
        patient.take("t", "db", 0)
        busy.release("t")
        patient.expire(0.4)
        assert busy.take("t", "db", 0.4) is not None
        patient.expire(0.5)
        assert busy.take("t", "db", 0.5) is None

    def test_of_many_that_wait_each_gets_it_in_the_end(self, runs):
        """Everybody asks again at once, the last holder first."""
        all_runs = [runs(f"r{n}") for n in range(5)]
        had = []
        for n in range(40):
            now = n * 0.25
            for one in all_runs:
                one.expire(now)
            got = [one for one in all_runs if one.take("t", "db", now) is None]
            assert len(got) <= 1
            for one in got:
                one.release("t")
                had.append(one)
        assert set(had) == set(all_runs)

    def test_a_file_that_was_tidied_away_meanwhile_does_not_count(
        self, runs, monkeypatch, tmp_path
    ):
        first, second = runs("r1"), runs("r2")
        [removed] = [True]

        def tidy(fd, about):
            nonlocal removed
            for path in (tmp_path / "leases").iterdir() if removed else ():
                path.unlink()
            removed = False
            return real(fd, about)

        real = leases.try_lock
        monkeypatch.setattr(leases, "try_lock", tidy)
        assert first.take("t", "db", 0) is None
        assert second.take("t", "db", 0) == owner("r1")

    def test_what_cannot_be_opened_is_not_taken(self, runs, tmp_path):
        one = runs("r1")
        (tmp_path / "leases").rmdir()
        told = "an unknown owner: its lease file cannot be opened (No such file or directory)"
        assert one.take("t", "db", 0) == told

    def test_nor_is_what_cannot_be_written_to_and_nobody_is_kept_from_it(self, runs, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        first, second = runs("r1"), runs("r2")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            assert first.take("t", "db", 0).endswith("(No space left on device)")
        assert second.take("t", "db", 0) is None


OLD, NEW = "2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"


class TestNewer:
    def test_the_newest_that_wants_the_group_keeps_older_ones_from_it(self, runs):
        old, new = runs("r1", OLD), runs("r2", NEW)
        assert old.newer("t", "db", wants=True) == ""
        assert new.newer("t", "db") == ""
        # One that only waits its turn keeps none from it.
        assert old.newer("t", "db") == ""
        assert new.newer("t", "db", wants=True) == ""
        assert old.newer("t", "db") == "run r2"
        assert old.newer("t", "db", wants=True) == "run r2"
        assert new.newer("t", "db") == ""
        assert old.newer("t", "other", wants=True) == ""

    def test_tasks_of_one_run_do_not_supersede_each_other(self, runs):
        one = runs("r1", OLD)
        assert one.newer("t", "db", wants=True) == ""
        assert one.take("t", "db", 0, wants=True) is None
        assert one.newer("u", "db", wants=True) == ""
        assert one.take("u", "db", 0, wants=True) == owner("r1")

    def claimed(self, tmp_path, **changes):
        [path] = (tmp_path / "leases").glob("*.newest")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def test_one_that_died_before_it_had_the_group_counts_no_more(self, runs, tmp_path):
        gone = os.fork()
        if gone == 0:
            os._exit(0)
        os.waitpid(gone, 0)
        old, new = runs("r1", OLD), runs("r2", NEW)
        new.newer("t", "db", wants=True)
        self.claimed(tmp_path, pid=gone)
        assert old.newer("t", "db") == ""
        # One that had it does: what it did is not to be undone by an older one.
        new.take("t", "db", 0, wants=True)
        self.claimed(tmp_path, pid=gone)
        assert old.newer("t", "db") == "run r2"

    def test_a_time_that_is_still_to_come_counts_for_nothing(self, runs, tmp_path):
        old, new = runs("r1", OLD), runs("r2", NEW)
        new.newer("t", "db", wants=True)
        self.claimed(tmp_path, started_at="9999-01-01T00:00:00.000000Z", had=True)
        assert old.newer("t", "db", wants=True) == ""
        assert json.loads(next((tmp_path / "leases").glob("*.newest")).read_text())["run"] == "r1"

    @pytest.mark.parametrize(
        "content", ["", "junk", "[]", '{"run": 1}', '{"started_at": 1, "pid": "x"}']
    )
    def test_contents_that_say_nothing_keep_none_from_it(self, runs, tmp_path, content):
        old, new = runs("r1", OLD), runs("r2", NEW)
        new.take("t", "db", 0, wants=True)
        for path in (tmp_path / "leases").iterdir():
            path.write_text(content)
        assert old.newer("t", "db") == ""
        assert "told to end" not in new.take("u", "db", 0, wants=True)

    def test_an_owner_that_takes_no_orders_is_waited_for(self, runs):
        old, new = runs("r1", OLD), runs("r2", NEW)
        old.take("t", "db", 0)
        assert new.take("t", "db", 0, wants=True) == owner("r1")

    def test_an_older_owner_is_told_to_end_once(self, runs, monkeypatch):
        orders = []
        monkeypatch.setattr(leases, "order", lambda *words: orders.append(words))
        old, new, newest = runs("r1", OLD), runs("r2", NEW), runs("r3", f"{NEW}z")
        old.take("t", "db", 0)
        for _ in range(3):
            assert new.take("u", "db", 0, wants=True).startswith(owner("r1"))
        assert orders == [("/p", "r1", "supersede t r2")]
        assert newest.take("t", "db", 0) is not None
        assert len(orders) == 1


class TestWhoHasIt:
    @pytest.mark.parametrize(
        "content", ["", "junk", "[]", '{"run": 1}', '{"run": "a", "pid": "x"}']
    )
    def test_contents_that_say_nothing_are_no_reason_to_fail(self, runs, tmp_path, content):
        first, second = runs("r1"), runs("r2")
        first.take("t", "db", 0)
        for path in (tmp_path / "leases").iterdir():
            path.write_text(content)
        assert second.take("t", "db", 0) in {"another run", f"{owner('r2')}, next in line"}

    def test_a_dead_runner_is_told_from_a_living_one(self, runs, tmp_path):
        first, second = runs("r1"), runs("r2")
        first.take("t", "db", 0)
        gone = os.fork()
        if gone == 0:
            os._exit(0)
        os.waitpid(gone, 0)
        [path] = (tmp_path / "leases").glob("*.lease")
        path.write_text(json.dumps({"run": "r1\n", "task": "t", "pid": gone}))
        told = f"the workers of run r1\\n (task t, pid {gone}, which is dead)"
        assert second.take("t", "db", 0) == told


class TestWhoHoldsIt:
    def test_a_child_holds_nothing_by_having_been_forked(self, runs):
        first, second = runs("r1"), runs("r2")
        first.take("t", "db", 0)
        second.take("t", "db", 0)
        child, ours = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            child.send(b"x")
            child.recv(1)
            os._exit(0)
        child.close()
        ours.recv(1)
        # As if the runner died: its descriptors go, without a word to the lock.
        for fd in (*first._held.values(), *(fd for fd, _ in second._turns.values())):
            os.close(fd)
        first._held.clear()
        second._turns.clear()
        assert runs("r3").take("t", "db", 0) is None
        ours.close()
        os.waitpid(pid, 0)

    def test_who_was_handed_the_descriptor_holds_it_until_it_is_released(self, runs):
        first, second = runs("r1"), runs("r2")
        first.take("t", "db", 0)
        ours, theirs = socket.socketpair()
        socket.send_fds(ours, [b"x"], [first.fd("t")])
        _, [handed], _, _ = socket.recv_fds(theirs, 1, 1)
        os.close(first._held.pop("t"))
        assert second.take("t", "db", 0) == owner("r1")
        os.close(handed)
        assert second.take("t", "db", 0) is None
        socket.send_fds(ours, [b"x"], [second.fd("t")])
        _, [handed], _, _ = socket.recv_fds(theirs, 1, 1)
        second.release("t")
        assert runs("r3").take("t", "db", 0) is None
        os.close(handed)
        ours.close()
        theirs.close()


class TestTheFolder:
    def refusal(self, path):
        with pytest.raises(ZfError) as caught:
            folder({"ZF_LEASES_DIR": str(path)})
        assert caught.value.exit_code == 2
        assert str(path) in str(caught.value)
        return str(caught.value).rpartition(": ")[2]

    def test_it_is_made_for_this_user_alone(self, tmp_path):
        path = folder({"ZF_LEASES_DIR": str(tmp_path / "leases")})
        assert os.stat(path).st_mode & 0o777 == 0o700
        assert folder({"ZF_LEASES_DIR": path}) == path

    def test_without_a_wish_it_is_the_users_own_in_tmp_whatever_the_session(self, tmp_path):
        plain = folder({})
        assert plain == f"/tmp/zf-{os.geteuid()}"
        environ = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
        assert folder(environ) == plain

    def test_a_link_is_refused(self, tmp_path):
        (tmp_path / "real").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to("real")
        assert self.refusal(tmp_path / "link") == "Not a directory"

    def test_one_that_others_may_enter_is_refused(self, tmp_path):
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o755)
        told = "others can write there, or it belongs to another user"
        assert self.refusal(tmp_path / "open") == told

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_somebody_elses_is_refused(self, tmp_path):
        (tmp_path / "theirs").mkdir(mode=0o700)
        os.chown(tmp_path / "theirs", 12345, 12345)
        told = "others can write there, or it belongs to another user"
        assert self.refusal(tmp_path / "theirs") == told

    def test_a_file_that_is_a_link_is_not_followed(self, runs, tmp_path):
        one = runs("r1")
        one.take("t", "db", 0)
        one.release("t")
        [path] = (tmp_path / "leases").glob("*.lease")
        path.unlink()
        path.symlink_to(tmp_path / "precious")
        assert "cannot be opened" in one.take("t", "db", 0)
        assert not (tmp_path / "precious").exists()
