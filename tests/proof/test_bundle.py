"""A folder nobody vouches for: opened by name inside what is held open, and nothing outside."""

import errno
import os

import pytest

from zf.proof.bundle import Bundle


@pytest.fixture
def folder(tmp_path):
    for name in ("run.json", "t/20-logs/a", "t/20-logs/b", "t/b", "t-1/20-logs/a"):
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").write_text("not of the run")
    (tmp_path / "run/link").symlink_to(tmp_path / "outside")
    (tmp_path / "run/t/away").symlink_to(tmp_path)
    return tmp_path / "run"


def test_files_in_any_order_are_themselves(folder):
    names = ("t/20-logs/a", "t/b", "t-1/20-logs/a", "run.json", "t/20-logs/b", "t/20-logs/a")
    before = os.listdir("/dev/fd")
    with Bundle(str(folder)) as bundle:
        for name in names:
            assert bundle.read(name, 99) == name.encode()
        assert bundle.inventory("t").files.keys() == {"t/20-logs/a", "t/20-logs/b", "t/b"}
    assert os.listdir("/dev/fd") == before


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/run.json", errno.EINVAL),
        ("/t/b", errno.EINVAL),
        ("t//b", errno.EINVAL),
        ("t/../run.json", errno.EINVAL),
        ("./run.json", errno.EINVAL),
        ("..", errno.EINVAL),
        ("", errno.EINVAL),
        ("t/", errno.EINVAL),
        ("t", errno.EINVAL),
        ("link", errno.ELOOP),
        ("t/away/outside", errno.ENOTDIR),
        ("run.json/x", errno.ENOTDIR),
        ("t/gone/x", errno.ENOENT),
    ],
)
@pytest.mark.parametrize("before", ["run.json", "t/b", "t/20-logs/a"])
def test_no_path_leads_out(folder, before, path, number):
    with Bundle(str(folder)) as bundle:
        bundle.read(before, 99)
        with pytest.raises(OSError, match=rf"^\[Errno {number}\] "):
            bundle.open(path)
        assert bundle.read("t/20-logs/b", 99) == b"t/20-logs/b"


def test_what_cannot_be_read_is_told_once(folder):
    with Bundle(str(folder)) as bundle:
        told = list(bundle.hash(["t/gone", "t/b", "link"]))
        assert [path for path, _ in told] == ["link", "t/gone"]
        assert list(bundle.hash(["t/gone", "t/b", "link"])) == []
        assert bundle.digests.keys() == {"t/b"}


def test_a_file_beyond_the_limit_is_refused_by_its_size(folder, monkeypatch):
    """Whether it holds anything: a sparse file of any size takes no room."""
    os.truncate(folder / "run.json", 8 << 30)

    def read(*_):
        raise AssertionError("it was read")

    with Bundle(str(folder)) as bundle:
        monkeypatch.setattr(os, "readv", read)
        with pytest.raises(OSError, match="larger than 99 bytes"):
            bundle.read("run.json", 99)
        assert list(bundle.hash(["run.json"])) == []
