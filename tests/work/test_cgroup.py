"""Getting the kernel ready for changes of cgroup."""

from pathlib import Path

import pytest

from zf.work.supervise import cgroup


def test_what_gets_the_kernel_ready_stays_where_it_is():
    before = Path("/proc/self/cgroup").read_text()
    cgroup.get_ready()
    assert Path("/proc/self/cgroup").read_text() == before


def test_it_writes_its_own_number_into_its_own_cgroup(monkeypatch, tmp_path):
    (tmp_path / "cgroup.procs").touch()
    monkeypatch.setattr(cgroup, "own_folder", lambda: str(tmp_path))
    cgroup.get_ready()
    assert (tmp_path / "cgroup.procs").read_text() == "0"


@pytest.mark.parametrize("folder", [None, "/nowhere"])
def test_where_there_is_no_cgroup_nothing_is_asked(monkeypatch, folder):
    monkeypatch.setattr(cgroup, "own_folder", lambda: folder)
    cgroup.get_ready()


def test_where_it_cannot_be_found_out_nothing_is_asked(monkeypatch):
    def own_folder():
        raise OSError

    monkeypatch.setattr(cgroup, "own_folder", own_folder)
    cgroup.get_ready()
