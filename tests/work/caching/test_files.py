"""The files a task reads, and those it leaves: which they are, and what of them counts."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.work.caching import files
from zf.work.caching.files import UnusableError


@pytest.fixture
def root(tmp_path):
    """A project without git."""
    root = tmp_path / "project"
    (root / "src/deep").mkdir(parents=True)
    (root / "proofs/r1/t").mkdir(parents=True)
    for path in ("src/a.py", "src/b.md", "src/deep/c.py", "src/.hidden.py", "top.py"):
        (root / path).write_text(path)
    (root / "proofs/r1/t/x.py").write_text("")
    return root


def look(root, *patterns, generates=(), why_stop=str):
    return files.sources(
        str(root),
        patterns,
        generates,
        proofs=f"{root}/proofs",
        environ=os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)},
        why_stop=why_stop,
    )


def left(root, *patterns, content=False, whole=True):
    return files.generated(
        str(root),
        patterns,
        content=content,
        proofs=f"{root}/proofs",
        why_stop=str,
        whole=whole,
    )


def git(root, *words):
    named = ["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *named, *words], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["src/*.py"], {"src/a.py", "src/.hidden.py"}),
        (["src"], {"src/a.py", "src/b.md", "src/deep/c.py", "src/.hidden.py"}),
        (["./src/", "!src/deep"], {"src/a.py", "src/b.md", "src/.hidden.py"}),
        (["**/*.py"], {"src/a.py", "src/deep/c.py", "src/.hidden.py", "top.py"}),
        (["*.py"], {"top.py"}),
        (["src/**", "!**/*.md", "src/b.md"], {*["src/a.py", "src/b.md", "src/deep/c.py"]}
         | {"src/.hidden.py"}),
        (["src/[ab].*"], {"src/a.py", "src/b.md"}),
        (["nothing"], set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_git", [False, True])
def test_globs_mean_what_those_of_artifacts_mean(root, patterns, wanted, with_git):
    if with_git:
        git(root, "init", "-q")
    assert set(look(root, *patterns)) == wanted


def test_what_counts_of_a_file_is_what_git_keeps_of_it(root):
    before = look(root, "src/**")
    (root / "src/a.py").chmod(0o640)
    os.utime(root / "src/a.py", (1, 1))
    assert look(root, "src/**") == before
    (root / "src/a.py").chmod(0o750)
    assert look(root, "src/**") != before


def test_of_a_link_both_where_it_leads_and_what_is_there_count(root):
    (root / "src/link").symlink_to("../top.py")
    before = look(root, "src/link")
    (root / "top.py").write_text("other")
    after = look(root, "src/link")
    assert before != after
    (root / "again.py").write_text("other")
    (root / "src/link").unlink()
    (root / "src/link").symlink_to("../again.py")
    assert look(root, "src/link") != after
    (root / "src/link").unlink()
    (root / "src/link").symlink_to("nowhere")
    assert look(root, "src/link")["src/link"].startswith("120000 ")


def test_links_to_folders_are_not_followed(root):
    (root / "src/loop").symlink_to(".")
    (root / "src/out").symlink_to("/etc")
    assert {"src/loop", "src/out"} < set(look(root, "src/**"))
    assert not [path for path in look(root, "src/**") if path.startswith(("src/loop/", "src/out/"))]


def test_names_that_are_no_utf8_are_told_apart(root):
    for name in (b"src/\xff.py", b"src/\xfe.py"):
        with open(os.fsencode(root) + b"/" + name, "w"):
            pass
    assert {"bytes:7372632fff2e7079", "bytes:7372632ffe2e7079"} < set(look(root, "src/*.py"))


def test_proofs_and_gits_own_folder_are_no_sources(root):
    git(root, "init", "-q")
    assert not [path for path in look(root, "**") if path.startswith((".git/", "proofs/"))]


def test_what_git_tracks_counts_though_it_is_ignored_and_what_is_gone_does_not(root):
    git(root, "init", "-q")
    git(root, "add", "src")
    (root / ".gitignore").write_text("*.py\n")
    (root / "src/new.py").write_text("")
    assert {"src/a.py", "src/deep/c.py"} <= set(look(root, "src/**"))
    assert "src/new.py" not in look(root, "src/**")
    (root / "src/a.py").unlink()
    assert "src/a.py" not in look(root, "src/**")


def test_a_pattern_in_an_ignored_folder_means_what_it_says(root):
    """A file that is named and passed over would be a change that goes unnoticed."""
    git(root, "init", "-q")
    (root / ".gitignore").write_text("gen/\nsecret.txt\n")
    (root / "gen/api").mkdir(parents=True)
    (root / "gen/api/client.json").write_text("{}")
    (root / "secret.txt").write_text("1")
    assert set(look(root, "**")) & {"gen/api/client.json", "secret.txt"} == set()
    assert set(look(root, "gen/**", "secret.txt")) == {"gen/api/client.json", "secret.txt"}


def test_a_repository_in_the_project_counts_with_its_files(root):
    (root / "src/inner").mkdir()
    git(root / "src/inner", "init", "-q")
    (root / "src/inner/x.py").write_text("1")
    git(root, "init", "-q")
    before = look(root, "src/inner/**")
    assert set(before) == {"src/inner/x.py"}
    git(root / "src/inner", "add", ".")
    git(root / "src/inner", "commit", "-qm", "x")
    git(root, "add", "src")
    (root / "src/inner/x.py").write_text("2")
    assert look(root, "src/inner/**").keys() == before.keys()
    assert look(root, "src/inner/**") != before


def test_what_the_task_generates_is_no_source_unless_it_is_named(root):
    assert "src/a.py" not in look(root, "src/**", generates=("src/a.py",))
    assert "src/a.py" in look(root, "src/**", "src/a.py", generates=("src/a.py",))


@pytest.mark.parametrize("with_git", [False, True])
def test_a_path_is_found_as_it_would_be_among_patterns(root, with_git):
    """What is no more than the path of a file is looked for without git and without patterns."""
    if with_git:
        git(root, "init", "-q")
        git(root, "add", "top.py")
        (root / ".gitignore").write_text("ignored.py\n")
    (root / "link").symlink_to("top.py")
    (root / "nowhere").symlink_to("gone")
    (root / "other").symlink_to("src")
    for name in ("ignored.py", " a", "b ", "c\\d", "e\\ f", "e f", "#g", "é"):
        (root / name).write_text(name)
    os.mkfifo(root / "pipe")
    paths = ["top.py", "src/deep/c.py", "link", "nowhere", "other", "other/a.py", "src", "gone"]
    paths += [
        "ignored.py",
        " a",
        "b ",
        "c\\d",
        "#e",
        "é",
        "pipe",
        "./top.py",
        "src//a.py",
        "src/../top.py",
    ]
    paths += [".git/HEAD", "proofs/r1/t/x.py", "proofs"]
    for path in paths:
        assert look(root, path) == look(root, path, "no/such*"), path


def test_a_look_can_be_ended(root):
    with pytest.raises(UnusableError, match="its sources were looked at long enough"):
        look(root, "src/**", why_stop=lambda: "were looked at long enough")


def test_generated_files_are_told_by_what_is_in_them(root):
    before = left(root, "src/*.py")
    assert set(before.files) == {"src/a.py", "src/.hidden.py"}
    os.utime(root / "src/a.py", (1, 1))
    assert left(root, "src/*.py") == before
    (root / "src/a.py").write_text("x")
    assert left(root, "src/*.py") != before


def test_a_folder_that_is_named_is_told_by_its_list(root):
    before = left(root, "src")
    assert set(before.folders["src"]) == {"a.py", "b.md", "deep", "deep/c.py", ".hidden.py"}
    os.utime(root / "src/a.py", (1, 1))
    assert left(root, "src") != before
    content = left(root, "src", content=True)
    os.utime(root / "src/a.py", (2, 2))
    assert left(root, "src", content=True) == content
    (root / "src/a.py").write_text("SRC/A.PY")
    assert left(root, "src", content=True) != content


@pytest.mark.parametrize(
    "change",
    [
        lambda src: (src / "new").write_text(""),
        lambda src: (src / "new").mkdir(),
        lambda src: (src / "a.py").unlink(),
        lambda src: (src / "a.py").chmod(0o600),
        lambda src: (src / "a.py").write_text("longer than it was"),
        lambda src: (src / "a.py").rename(src / "z.py"),
        lambda src: (src / "link").unlink() or (src / "link").symlink_to("b.md"),
    ],
)
def test_every_change_of_a_list_counts(root, change):
    (root / "src/link").symlink_to("a.py")
    before = left(root, "src")
    change(root / "src")
    assert left(root, "src") != before


def test_what_python_keeps_of_imports_is_no_part_of_a_folder(root):
    before = left(root, "src")
    (root / "src/deep/__pycache__").mkdir()
    (root / "src/deep/__pycache__/c.cpython-311.pyc").write_text("")
    assert left(root, "src") == before


def test_parts_of_a_folder_can_be_left_out(root):
    before = left(root, "src", "!src/deep")
    (root / "src/deep/c.py").write_text("x")
    assert left(root, "src", "!src/deep") == before


@pytest.mark.parametrize("pattern", ["nothing", "src/*.c", "nowhere/**"])
def test_what_is_not_there_was_not_generated(root, pattern):
    with pytest.raises(UnusableError, match="nothing is there of"):
        left(root, "src/*.py", pattern)
    assert left(root, pattern, whole=False).files == {}


names = st.sampled_from(["a", "b.py", "c d", "e.md", "_"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=3), max_size=6)


def plant(root, tree):
    """The files of the tree that can lie beside each other."""
    for path, data in tree.items():
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:  # a folder, or below a file
            continue


@st.composite
def edits(draw):
    return draw(paths), draw(st.binary(max_size=3))


def test_a_file_counts_just_if_a_pattern_names_it(tmp_path_factory, request):
    many = 10_000 if request.config.getoption("--campaign") else 40

    @settings(max_examples=many)
    @given(trees, edits(), st.sampled_from([("a",), ("**/*.py",), ("a/**", "!**/*.md"), ("*",)]))
    def check(tree, edit, patterns):
        root = tmp_path_factory.mktemp("tree")
        (root / "proofs").mkdir()
        plant(root, tree)
        before, told = look(root, *patterns), snapshot(root)
        plant(root, dict([edit]))
        changed = {p for p, data in snapshot(root).items() if told.get(p) != data}
        seen = {path for path in changed if path in look(root, *patterns)}
        assert (look(root, *patterns) != before) == bool(seen)
        assert set(look(root, *patterns)) == {p for p in snapshot(root) if named(p, patterns)}

    check()


def snapshot(root):
    found = root.rglob("*")
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.is_file()}


def named(path, patterns):
    """What the four sets of patterns above name, said in another way."""
    match patterns:
        case ("a",):
            return path.split("/")[0] == "a"
        case ("**/*.py",):
            return any(part.endswith(".py") for part in path.split("/"))
        case ("*",):
            return True
    parts = path.split("/")
    return parts[0] == "a" and len(parts) > 1 and not any(p.endswith(".md") for p in parts)


def test_what_using_a_folder_changes_is_passed_over_below_a_wildcard_too(root):
    used = root / "venvs/3.12/__pycache__"
    used.mkdir(parents=True)
    (used / "c.cpython-312.pyc").write_text("")
    (root / "venvs/3.12/python").write_text("")
    here = {"content": False, "proofs": f"{root}/proofs", "why_stop": lambda: ""}
    assert {*files.generated(str(root), ("venvs/*",), **here).files} == {"venvs/3.12/python"}
    named = files.generated(str(root), ("venvs/*/__pycache__",), **here)
    assert {*named.files} == {"venvs/3.12/__pycache__/c.cpython-312.pyc"}
