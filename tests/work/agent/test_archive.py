"""Archives of trees: the same bytes for the same files, and nothing written elsewhere."""

import io
import os
import shutil
import tarfile
from contextlib import suppress

import pytest

from zf.work.agent.archive import UnpackError, files_below, pack, unpack


def packed(folder, **keys) -> bytes:
    return b"".join(pack(str(folder), files_below(str(folder), **keys)))


def test_the_same_files_make_the_same_archive_and_come_out_again(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name
        (folder / "sub/deep").mkdir(parents=True)
        (folder / "sub/file").write_bytes(b"x" * 700_000)
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "link").symlink_to("sub/file")
        (folder / "ümlaut").write_text("")
        os.utime(folder / "sub/file", (len(name), ord(name)))
    assert packed(tmp_path / "a") == packed(tmp_path / "b")
    unpack(io.BytesIO(packed(tmp_path / "a")), str(tmp_path / "c"), links=True)
    assert packed(tmp_path / "c") == packed(tmp_path / "a")
    assert os.access(tmp_path / "c/run.sh", os.X_OK)


def test_what_is_left_out_is_left_out_with_all_that_is_in_it(tmp_path):
    (tmp_path / "x/proofs/r").mkdir(parents=True)
    (tmp_path / "x/keep").write_text("")
    assert files_below(str(tmp_path / "x"), but=["proofs"]) == ["keep"]


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:") as made:
        for name, kind, leads_to in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, leads_to
            info.size = 3 if kind == tarfile.REGTYPE else 0
            made.addfile(info, io.BytesIO(b"abc") if info.size else None)
    data.seek(0)
    return data


@pytest.mark.parametrize(
    "members",
    [
        [("../x", tarfile.REGTYPE, "")],
        [("/x", tarfile.REGTYPE, "")],
        [("a/../../x", tarfile.REGTYPE, "")],
        [("dev", tarfile.CHRTYPE, "")],
        [("fifo", tarfile.FIFOTYPE, "")],
        [("hard", tarfile.LNKTYPE, "x")],
        [("link", tarfile.SYMTYPE, "inside")],
        [("link", tarfile.SYMTYPE, "/etc"), ("link/x", tarfile.REGTYPE, "")],
    ],
)
def test_nothing_of_a_result_leads_out_or_is_no_file(tmp_path, members):
    with pytest.raises((UnpackError, OSError)):
        unpack(archive(*members), str(tmp_path / "in/target"), links=False)
    assert [*tmp_path.rglob("x")] == [*(tmp_path / "in/target").rglob("x")]


def test_an_archive_cut_at_any_byte_is_refused_or_lacks_what_its_list_names(tmp_path):
    """From the first byte of the first header to the last one of the last file."""
    (tmp_path / "a").mkdir()
    for name in ("one", "two"):
        (tmp_path / "a" / name).write_text(name)
    whole = packed(tmp_path / "a")
    target = tmp_path / "cut"
    for at in range(len(whole.rstrip(b"\0"))):
        with suppress(UnpackError, OSError):
            unpack(io.BytesIO(whole[:at]), str(target), links=False)
            assert files_below(str(target)) != ["one", "two"], at
        shutil.rmtree(target, ignore_errors=True)
