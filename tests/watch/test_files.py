"""What is found to have changed, on real files; with git, which ignores some, and without."""

import os
import random
import subprocess

import pytest

from zf.errors import ZfError
from zf.watch.files import Files

ENV = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.fixture(params=[True, False], ids=["git", "no git"])
def has_git(request):
    return request.param


@pytest.fixture
def root(has_git, tmp_path):
    root = tmp_path / "p"
    for name in ("src/a", "src/b/c", "node_modules/x/y", "proofs/r1/run.json", "ignored/z"):
        put(root, name)
    put(root, ".gitignore", "node_modules/\nproofs/\nignored\n")
    put(root, "src/__pycache__/a.pyc")
    if has_git:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True, env=ENV)
    return root


def put(root, name, text="1\n"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    # As if it was there for long: what is new may be written again in the same moment.
    os.utime(path, ns=(10**18, 10**18))


def files(root, *named):
    return Files(
        str(root), str(root / "proofs"), {**ENV, "GIT_CEILING_DIRECTORIES": str(root.parent)}, named
    )


def known(found):
    return set(found._looks)


def look(found, root, *names):
    return found.look([f"{root}/{name}" for name in names])


def test_what_is_followed(root, has_git):
    found = files(root)
    ignored = set() if has_git else {"ignored/z"}
    assert known(found) == {".gitignore", "src/a", "src/b/c"} | ignored
    assert {folder.removeprefix(str(root)) for folder in found.folders} == {
        "",
        "/src",
        "/src/b",
        *(("/ignored",) if ignored else ()),
    }


def test_what_sources_name_counts_though_git_ignores_it(root):
    assert "ignored/z" in known(files(root, "ignored/z"))
    assert "ignored/z" in known(files(root, "ignored"))


SCRATCH = (".a.swp", ".a.swo", ".a.swx", "4913", "#a#", ".#a", "a~", ".a.kate-swp", "a___jb_tmp___")


def test_what_editors_write_beside_a_file_is_none_of_the_project(root):
    found = files(root)
    for name in SCRATCH:
        put(root, f"src/{name}")
        assert look(found, root, f"src/{name}") == (set(), False), name
    assert found.look_at_all() == set()
    assert known(files(root, "src")) == known(found)
    # As an editor saves: the old file aside, the new one in its place.
    (root / "src/a").replace(root / "src/a~")
    put(root, "src/a", "22\n")
    assert look(found, root, "src/a~", "src/a") == ({"src/a"}, False)


def test_what_only_looks_like_an_editors_file_counts(root):
    found = files(root, "src/b/4913")
    for name in ("src/49130", "src/a.swp.txt", "src/.swift", "src/#a", "src/b/4913"):
        put(root, name)
        assert look(found, root, name) == ({name}, False), name
    put(root, "src/old~/code")
    assert look(found, root, "src/old~") == (set(), True)
    assert found.look_at_all() == {"src/old~/code"}


def test_changes_are_told_once(root):
    found = files(root)
    assert look(found, root, "src/a") == (set(), False)
    put(root, "src/a", "22\n")
    assert look(found, root, "src/a") == ({"src/a"}, False)
    assert look(found, root, "src/a") == (set(), False)
    (root / "src/a").unlink()
    assert look(found, root, "src/a") == ({"src/a"}, False)
    put(root, "src/new")
    assert look(found, root, "src/new", "src/never-was") == ({"src/new"}, False)


def test_what_was_written_just_now_may_be_written_again_and_look_the_same(root):
    found = files(root)
    (root / "src/a").write_text("2\n")
    assert look(found, root, "src/a") == ({"src/a"}, False)
    assert look(found, root, "src/a") == ({"src/a"}, False)


def test_new_folders_are_looked_into(root):
    found = files(root)
    put(root, "src/new/deep/f")
    assert look(found, root, "src/new")[1]
    assert found.look_at_all() == {"src/new/deep/f"}
    assert f"{root}/src/new/deep" in found.folders
    (root / "src/empty").mkdir()
    assert look(found, root, "src/empty")[1]


def test_a_folder_that_was_made_anew_is_another_one(root):
    found = files(root)
    before = dict(found.folders)
    (root / "src/b").rename(root / "elsewhere")
    put(root, "src/b/c")
    assert look(found, root, "src/b")[1]
    found.look_at_all()
    assert found.folders != before


def test_ignored_names_and_proofs_are_passed_over(root, has_git):
    found = files(root)
    put(root, "node_modules/new")
    put(root, "proofs/r2/x")
    put(root, "src/__pycache__/b.pyc")
    told = look(
        found, root, "node_modules/new", "proofs/r2", "proofs/r2/x", "src/__pycache__/b.pyc"
    )
    if has_git:
        assert told == (set(), False)
    else:
        assert told[0] <= {"node_modules/new"}


def test_another_gitignore_is_another_look(root):
    found = files(root)
    put(root, ".gitignore", "node_modules/\nproofs/\n")
    assert look(found, root, ".gitignore")[1]


def test_links_to_files_stand_for_these_and_links_to_folders_are_told(root, tmp_path):
    put(tmp_path, "outside/f")
    (root / "src/link").symlink_to(tmp_path / "outside/f")
    (root / "src/folder").symlink_to(tmp_path / "outside")
    found = files(root)
    assert f"{tmp_path}/outside" in found.folders
    assert found.links == ["src/folder"]
    put(tmp_path, "outside/f", "22\n")
    assert found.look([f"{tmp_path}/outside/f", f"{tmp_path}/outside/other"]) == (
        {"src/link"},
        False,
    )


def test_a_repository_inside_this_one_is_asked_itself(root):
    for name in ("sub/f", "sub/out"):
        put(root, name)
    put(root, "sub/.gitignore", "out\n")
    subprocess.run(["git", "init", "-q"], cwd=root / "sub", check=True, env=ENV)
    found = files(root)
    assert "sub/f" in known(found)
    assert "sub/out" not in known(found)


def test_a_project_that_is_gone_is_told(root):
    found = files(root)
    root.rename(root.parent / "away")
    with pytest.raises(ZfError, match="gone, or was replaced"):
        found.look([str(root)])
    root.mkdir()
    with pytest.raises(ZfError, match="gone, or was replaced"):
        found.look_at_all()


@pytest.mark.parametrize("seed", range(3))
def test_events_and_a_look_at_all_come_to_the_same(root, seed):
    """Whatever happens: what hints lead to is what a second look at everything knows."""
    rng, found = random.Random(seed), files(root)
    for number in range(12):
        name = rng.choice(["src/a", "src/b/c", "src/n", "src/b/m", "src/d/e", "ignored/z"])
        path = root / name
        if rng.random() < 0.4 and path.exists():
            path.unlink()
        else:
            put(root, name, "x" * number)
        told, grown = look(
            found,
            root,
            name,
            *(() if path.parent.exists() else (str(path.parent),)),
            os.path.dirname(name),
        )
        if grown:
            told |= found.look_at_all()
        assert found.look_at_all() <= told, (seed, number, name)
