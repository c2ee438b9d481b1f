"""Files are removed however they lie there, and nothing outside with them."""

import os
import subprocess
from pathlib import Path

import pytest

from zf.proof import files


def deep(folder, levels=300):
    """A folder of folders, each with a file, deeper than a path can be written at once."""
    folder.mkdir()
    here = os.open(folder, files.FOLDER)
    for _ in range(levels):
        os.mkdir("x" * 20, dir_fd=here)
        os.close(os.open("file", files.NEW, dir_fd=here))
        below = os.open("x" * 20, files.FOLDER, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_folder_goes_with_all_that_is_in_it(tmp_path):
    there = tmp_path / "there"
    deep(there)
    shut = there / "shut"
    shut.mkdir()
    (shut / "file").touch()
    shut.chmod(0)
    (there / "out").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    files.remove_tree(str(there))
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["file"]


@pytest.mark.parametrize("where", ["mounted", "a/mounted", "a/b c/\\/mounted"])
def test_what_is_mounted_in_a_folder_is_not_removed_with_it(tmp_path, where):
    kept, mounted = tmp_path / "kept", tmp_path / "there" / where
    kept.mkdir()
    (kept / "file").touch()
    mounted.mkdir(parents=True)
    if subprocess.run(["mount", "--bind", kept, mounted], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    top = os.open(tmp_path, files.FOLDER)
    try:
        with pytest.raises(OSError, match=r"mounted|busy"):
            files.remove(top, "there")
        assert os.listdir(kept) == ["file"]
        files.remove_tree(f"{tmp_path}/there")
        assert os.listdir(kept) == ["file"]
    finally:
        os.close(top)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            at = line.split()[1].encode().decode("unicode_escape")
            if at.startswith(f"{tmp_path}/"):
                subprocess.run(["umount", at], check=True)


def test_a_link_in_the_place_of_a_folder_goes_without_what_it_leads_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    files.remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["file"]


def test_what_is_not_there_is_no_error(tmp_path, monkeypatch):
    files.remove_tree(str(tmp_path / "nothing"))
    files.remove_tree(str(tmp_path / "no" / "folder"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    files.remove_tree("here")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["../out", "a/../../out", "", ".", "a//b", "/etc/hostname"])
def test_no_path_leads_out_of_an_open_folder(tmp_path, path):
    (tmp_path / "out").touch()
    inside = tmp_path / "in"
    (inside / "a").mkdir(parents=True)
    (inside / "a" / "b").touch()
    with files.opened(str(inside)) as folder, pytest.raises(OSError, match=r"not a path|not a reg"):
        files.open_inside(folder, path)


def test_nothing_is_opened_through_a_link_and_no_fifo_is_waited_for(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    with files.opened(str(tmp_path)) as folder:
        os.close(files.open_inside(folder, "file"))
        for path in ("link", "folder/file", "fifo"):
            with pytest.raises(OSError):
                files.open_inside(folder, path)
            assert files.digest_of(folder, path.partition("/")[0]) is None
