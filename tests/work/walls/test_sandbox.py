"""Which mounts a sandbox is made of: as few as show what was named, and exactly that."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.work.walls.sandbox import CannotStandError, Rooms, Sandbox, command_line, whole, writable

NAMES = st.sampled_from(["a", "b", "c", "d.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ROOMS = Rooms("/p", "/p/proofs", "/p/src", written=["/p/proofs/r/t"], shown={"/p/proofs/n": "/x"})


def pairs(words):
    """Each option with its operands, in order."""
    found = []
    for word in [*words][1:]:
        if word.startswith("--"):
            found.append([word])
        else:
            found[-1].append(word)
    return found


def visible(root: Path, mounts):
    """The files that are seen through mounts."""
    found = set()
    for mount in mounts:
        place = root / mount
        files = place.rglob("*") if place.is_dir() else [place]
        found |= {str(one.relative_to(root)) for one in files if one.is_file()}
    return found


@given(st.sets(PATHS, max_size=12), st.randoms(use_true_random=False))
def test_the_mounts_show_exactly_the_files(tmp_path_factory, paths, rng):
    root = tmp_path_factory.mktemp("project")
    made = []
    for path in sorted(paths):
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch(exist_ok=False)
        except (FileExistsError, NotADirectoryError):
            continue  # a folder has the name, or a file that of a folder
        made.append(path)
    wanted = set(rng.sample(made, rng.randint(0, len(made))))
    mounts = whole(str(root), wanted)
    assert visible(root, mounts) == wanted
    # None lies in another, and a folder stands for its files where they are all of it.
    assert not [one for one in mounts for other in mounts if one.startswith(f"{other}/")]
    assert len(mounts) <= max(len(wanted), 0)
    for folder in {os.path.dirname(one) for one in wanted} - {""}:
        inside = visible(root, [folder])
        if inside <= wanted:
            assert any(folder == one or folder.startswith(f"{one}/") for one in mounts)


def test_proofs_are_covered_after_all_that_a_task_may_say():
    said = {"network": True, "write": ["proofs"], "hide": ["/nowhere"]}
    words = pairs(command_line(said, ROOMS, None))
    order = [tuple(one) for one in words]
    assert order.index(("--bind", "/p/proofs", "/p/proofs")) < order.index(("--tmpfs", "/p/proofs"))
    assert ("--ro-bind", "/x", "/p/proofs/n") in order
    assert order[-1] == ("--",)
    assert ("--unshare-net",) not in order


@pytest.mark.parametrize("network", [True, False])
def test_the_network_is_taken_away_unless_asked_for(network):
    words = list(command_line({"network": network}, ROOMS, None))
    assert ("--unshare-net" in words) is not network
    assert words[words.index("--cap-drop") + 1] == "ALL"


def test_with_read_nothing_of_the_project_can_be_written_but_what_is_named():
    order = pairs(command_line({"write": ["out"]}, ROOMS, ["src/a"]))
    assert ["--tmpfs", "/p"] in order
    assert ["--bind", "/p", "/p"] not in order
    assert ["--bind", "/p/out", "/p/out"] in order
    assert order.index(["--remount-ro", "/p"]) > order.index(["--remount-ro", "/p/proofs"])


@pytest.mark.parametrize("glob", ["out", "out/", "out/**", "out/deep"])
def test_a_folder_to_write_to_is_made(tmp_path, glob):
    [path] = writable(str(tmp_path), glob)
    assert (tmp_path / path).is_dir()


def test_wildcards_name_what_is_there(tmp_path):
    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).touch()
    assert writable(str(tmp_path), "*.txt") == ["a.txt", "b.txt"]
    assert writable(str(tmp_path), "none/*") == []


def test_what_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotStandError, match="'file/below' of `write`: Not a directory"):
        writable(str(tmp_path), "file/below")


@pytest.mark.parametrize("link", ["/", "..", "../.."])
def test_a_link_that_leads_out_is_refused(tmp_path, link):
    (tmp_path / "out").symlink_to(link)
    with pytest.raises(CannotStandError, match="leads out of the project"):
        writable(str(tmp_path), "out")


def test_what_a_failed_step_speaks_of_and_could_not_see(tmp_path):
    for name in ("a", "config/limits.ini", "src/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)
    rooms = Rooms(root, f"{root}/proofs", root)
    sandbox = Sandbox("bwrap", {"network": False, "write": ["out"]}, rooms, None, lambda: ["a"])
    sandbox.words(root)
    text = f"cat: a: no; ../config/limits.ini missing\n{root}/src/b:3: 'out/x' ../../etc/passwd"
    assert sandbox.unseen("src", text) == ["config/limits.ini", "src/b"]
    everything = Sandbox("bwrap", {"network": False}, rooms)
    everything.words(root)
    assert everything.unseen("src", text) == []
