"""run.json's account of where a run came from, against real git repositories."""

import hashlib
import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path

import pytest

import zf
from zf.proof.source import ci, worktree
from zf.proof.source import git as git_module
from zf.proof.source.early_look import Looking
from zf.proof.source.provenance import Source, collect, commit, user_name

QUIET = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=root, env=QUIET, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def source(root: str, **more) -> dict:
    return Source.look(root, **more).facts


def changed(before: Source) -> bool | None:
    with before.looking_again() as answer:
        return answer()


def describe(root: Path, **more) -> dict:
    return source(str(root), environ=QUIET, **more)


@pytest.fixture
def repo(tmp_path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one\n")
    (root / "sub").mkdir()
    (root / "sub" / "b.txt").write_text("two\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_a_clean_tree(repo):
    assert describe(repo) == {
        "commit": git(repo, "rev-parse", "HEAD"),
        "branch": "main",
        "tree": git(repo, "rev-parse", "HEAD^{tree}"),
        "dirty": False,
        "diff_sha256": None,
        "repo": None,
        "tag": None,
        "from": {"commit": "git", "branch": "git", "tag": None},
        "note": None,
    }


@pytest.mark.parametrize(
    "name", ["two\nlines\n", "sha1\n", os.fsdecode(b"caf\xe9"), "caf\x85\u2028", "\\n"]
)
@pytest.mark.parametrize("committed", [True, False])
def test_any_name_of_a_folder_is_read(repo, name, committed):
    root = repo.rename(repo.parent / name)
    if not committed:
        git(root, "update-ref", "-d", "HEAD")
    found = describe(root)
    assert (found["branch"], found["note"] is None) == ("main", committed)
    assert found["dirty"] is not committed
    assert (found["commit"] is not None) is committed
    (root / "a.txt").write_text("changed\n")
    assert describe(root)["dirty"] is True


def test_any_name_of_a_branch_and_a_tag_is_one(repo):
    git(repo, "checkout", "-q", "-b", "a\u2028b")
    git(repo, "tag", "v\x85\u2029")
    assert (describe(repo)["branch"], describe(repo)["tag"]) == ("a\u2028b", "v\x85\u2029")


def test_a_root_inside_the_work_tree_answers_for_the_whole_of_it(repo):
    (repo / "a.txt").write_text("changed\n")
    assert describe(repo / "sub")["dirty"] is True


def test_every_kind_of_change_has_its_own_digest(repo):
    seen = set()
    (repo / "a.txt").write_text("changed\n")
    seen.add(describe(repo)["diff_sha256"])
    (repo / "new.txt").write_text("")
    seen.add(describe(repo)["diff_sha256"])
    (repo / "a.txt").chmod(0o755)
    seen.add(describe(repo)["diff_sha256"])
    (repo / "sub" / "b.txt").unlink()
    seen.add(describe(repo)["diff_sha256"])
    assert len(seen) == 4
    assert None not in seen


def test_the_digest_does_not_depend_on_a_persons_git_configuration(repo):
    (repo / "a.txt").write_text("changed\n")
    before = describe(repo)
    for name, value in {
        "diff.noprefix": "true",
        "diff.algorithm": "patience",
        "diff.context": "9",
        "color.ui": "always",
        "status.showUntrackedFiles": "no",
        "core.pager": "false",
    }.items():
        git(repo, "config", name, value)
    assert describe(repo) == before


def test_configured_programs_are_not_run(repo, tmp_path):
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    (repo / ".git" / "info" / "attributes").write_text("*.txt diff=trap\n")
    for name in ("core.fsmonitor", "diff.external", "diff.trap.command", "diff.trap.textconv"):
        git(repo, "config", name, str(trap))
    (repo / "a.txt").write_text("changed\n")
    found = source(str(repo), environ=QUIET | {"GIT_EXTERNAL_DIFF": str(trap)})
    assert found["diff_sha256"] is not None
    assert not (tmp_path / "sprung").exists()


def test_proofs_do_not_make_the_tree_dirty(repo):
    (repo / "proofs[1]").mkdir()
    (repo / "proofs[1]" / "run.json").write_text("{}")
    assert describe(repo)["dirty"] is True
    assert describe(repo, exclude=["proofs[1]"])["dirty"] is False
    assert describe(repo / "sub", exclude=[f"{repo}/proofs[1]"])["dirty"] is False
    (repo / "other").write_text("")
    assert describe(repo, exclude=["proofs[1]"])["dirty"] is True


def test_nothing_in_the_repository_is_written(repo):
    (repo / "a.txt").write_text("one\n")
    os.utime(repo / "a.txt", (1, 1))
    before = (repo / ".git" / "index").stat().st_mtime_ns
    assert describe(repo)["dirty"] is False
    assert (repo / ".git" / "index").stat().st_mtime_ns == before


def test_a_repository_without_a_commit(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "new").write_text("")
    found = describe(tmp_path)
    assert (found["commit"], found["tree"], found["branch"], found["dirty"]) == (
        None,
        None,
        "main",
        True,
    )
    assert found["diff_sha256"] is not None


def test_a_detached_head_has_no_branch(repo):
    git(repo, "checkout", "-q", "--detach")
    assert describe(repo)["branch"] is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:secret@example.org/x.git", "https://example.org/x.git"),
        ("ssh://git@example.org:22/x.git", "ssh://example.org:22/x.git"),
        ("git@example.org:x.git", "git@example.org:x.git"),
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("https://user:secret@[broken/x", None),
    ],
)
def test_the_repository_is_named_without_a_password(repo, url, expected):
    git(repo, "config", "remote.origin.url", url)
    assert describe(repo)["repo"] == expected


def test_no_repository_and_no_git_are_said_not_raised(tmp_path):
    found = describe(tmp_path)
    assert found["commit"] is None
    assert found["note"] == "this is not a git work tree"
    (tmp_path / ".git").mkdir()
    assert describe(tmp_path)["note"].endswith("this is not a git work tree")
    found = source(str(tmp_path), environ={"PATH": "/nonexistent"})
    assert found["note"] == "git could not be started: No such file or directory"


def test_hook_variables_do_not_redirect_git(repo, tmp_path):
    environ = QUIET | {"GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/", "GIT_INDEX_FILE": "/none"}
    assert source(str(repo), environ=environ) == describe(repo)


def test_a_git_that_hangs_is_left_behind(tmp_path, monkeypatch):
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(git_module, "GIT_TIMEOUT_S", 0.2)
    (tmp_path / ".git").mkdir()
    found = source(str(tmp_path), environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert "no answer in 0.2 s" in found["note"]


def test_a_diff_that_hangs_leaves_the_tree_dirty_without_a_digest(repo, tmp_path, monkeypatch):
    (repo / "a.txt").write_text("changed\n")
    wrapped = tmp_path / "bin" / "git"
    wrapped.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    wrapped.write_text(
        f'#!/bin/sh\ncase "$*" in *--binary*) exec sleep 300;; esac\nexec {real.strip()} "$@"\n'
    )
    wrapped.chmod(0o755)
    monkeypatch.setattr(git_module, "GIT_TIMEOUT_S", 2.0)
    found = source(str(repo), environ=QUIET | {"PATH": f"{wrapped.parent}:{os.environ['PATH']}"})
    assert (found["dirty"], found["diff_sha256"]) == (True, None)


def test_run_json(repo):
    found = collect(
        ["zf", "run-phase", "A", "token=hunter2"],
        run_id="r1",
        settings={"max_jobs": {"value": 4, "source": "default"}},
        environ=QUIET,
        source=describe(repo),
        redact=lambda text: text.replace("hunter2", "***"),
    )
    assert found["schema"] == "zf/run/v2"
    assert found["zf_version"] == zf.__version__
    assert found["command"] == ["zf", "run-phase", "A", "token=***"]
    assert found["settings"] == {"max_jobs": {"value": 4, "source": "default"}}
    assert found["source"]["branch"] == "main"
    assert found["user"] == user_name()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["started_at"])
    assert json.loads(json.dumps(found)) == found


def test_no_text_of_the_source_or_the_ci_system_shows_a_secret(repo):
    git(repo, "checkout", "-q", "-b", "fix-hunter2")
    git(repo, "tag", "v-hunter2")
    git(repo, "config", "remote.origin.url", "https://example.org/hunter2.git")
    environ = QUIET | GITHUB | {"GITHUB_JOB": "job-hunter2", "GITHUB_SHA": "hunter2"}
    found = collect(
        ["zf"],
        run_id="r1",
        settings={},
        environ=environ,
        source=source(str(repo), environ=environ),
        redact=lambda text: text.replace("hunter2", "***"),
    )
    assert found["source"]["branch"] == "fix-***"
    assert "hunter2" not in json.dumps(found)


def test_an_account_without_a_name_is_its_number(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert user_name() == "4000000000"


def without_attributes(repo):
    """What hides a change in a file that git tracks, by what it is done with."""
    return {
        "assume-unchanged": lambda: git(repo, "update-index", "--assume-unchanged", "a.txt"),
        "skip-worktree": lambda: git(repo, "update-index", "--skip-worktree", "a.txt"),
        "staged": lambda: git(repo, "add", "a.txt"),
        "a filter": lambda: (
            git(repo, "config", "filter.lie.clean", "git show HEAD:a.txt #"),
            (repo / ".git" / "info" / "attributes").write_text("a.txt filter=lie\n"),
            git(repo, "add", "a.txt"),
        ),
        "another work tree": lambda: (
            git(repo, "worktree", "add", "-q", "--detach", str(repo.parent / "clean")),
            git(repo, "config", "core.worktree", str(repo.parent / "clean")),
        ),
        "trusting no change time": lambda: git(repo, "config", "core.trustctime", "false"),
        "a commit replaced": lambda: (
            git(repo, "commit", "-q", "-a", "-m", "other"),
            git(repo, "checkout", "-q", "--detach", "HEAD~1"),
            (repo / "a.txt").write_text("changed\n"),
            git(repo, "replace", "HEAD", "main"),
        ),
        "a graft in the environment": lambda: None,
    }


@pytest.mark.parametrize("how", without_attributes(Path()))
def test_no_setting_or_flag_hides_a_change_of_a_tracked_file(repo, how):
    (repo / "a.txt").write_text("changed\n")
    without_attributes(repo)[how]()
    environ = QUIET | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fileMode",
        "GIT_CONFIG_VALUE_0": "false",
    }
    found = source(str(repo), environ=environ)
    assert (found["dirty"], found["note"]) == (True, None)
    assert found["diff_sha256"] is not None


@pytest.mark.parametrize(
    ("attributes", "committed", "on_disk"),
    [
        ("* text=auto\n", b"one\ntwo\n", b"one\r\ntwo\r\n"),
        ("* eol=crlf\n", b"one\ntwo\n", b"one\ntwo\r\n"),
        ("* crlf\n", b"one\ntwo\n", b"one\r\ntwo\r\n"),
        ("* ident\n", b"# $Id$\n", b"# $Id: rm -rf / $\n"),
        ("*.txt text working-tree-encoding=UTF-16\n", b"a\n", b"\xfe\xff\0a\0\n"),
        ("[attr]mine text ident\n*.txt mine\n", b"$Id$\n", b"$Id: $\r\n"),
    ],
)
def test_no_attribute_of_the_commit_hides_a_change_of_a_file(repo, attributes, committed, on_disk):
    (repo / "a.txt").write_bytes(committed)
    git(repo, "add", "a.txt")
    (repo / ".gitattributes").write_text(attributes)
    git(repo, "add", ".gitattributes")
    git(repo, "commit", "-q", "-m", "attributes")
    first = Source.look(str(repo), environ=QUIET)
    assert first.facts["dirty"] is False
    (repo / "a.txt").write_bytes(on_disk)
    found = describe(repo)
    assert (found["dirty"], found["note"]) == (True, None)
    assert found["diff_sha256"] is not None
    assert changed(first) is True


@pytest.mark.parametrize(
    "attributes",
    [
        "*.txt text eol=crlf\n",
        "[attr]mine text ident\n*.txt mine\n",
        "*.txt text working-tree-encoding=UTF-16LE eol=crlf\n",
    ],
)
def test_a_file_that_is_what_a_checkout_writes_is_unchanged(repo, attributes):
    (repo / ".gitattributes").write_text(attributes)
    (repo / "a.txt").write_bytes(b"")
    (repo / "sub" / "c d.txt").write_bytes(b"")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "attributes")
    kept = git(repo, "config", "core.autocrlf", "false")
    for name in ("a.txt", "sub/c d.txt"):
        oid = subprocess.run(
            ["git", "hash-object", "-w", "--no-filters", "--stdin"],
            cwd=repo,
            input=b"$Id$\none\n",
            capture_output=True,
            check=True,
        ).stdout.decode()
        git(repo, "update-index", "--cacheinfo", f"100644,{oid.strip()},{name}")
    git(repo, "commit", "-q", "-m", "contents")
    git(repo, "checkout", "-q", "-f", "HEAD", "--", ".")
    written = (repo / "a.txt").read_bytes()
    assert (written != b"$Id$\none\n", kept) == (True, "")
    first = Source.look(str(repo), environ=QUIET)
    assert (first.facts["dirty"], first.facts["note"]) == (False, None)
    assert changed(first) is False
    # An attribute that the commit does not have changes nothing in that.
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("* -text\n")
    assert changed(first) is False
    (repo / "sub" / "c d.txt").write_bytes(written.replace(b"e", b"\xc3\xa9"))
    assert describe(repo)["dirty"] is True
    assert changed(first) is True


def test_a_look_leaves_nothing_behind(repo, tmp_path):
    (repo / ".gitattributes").write_text("* eol=crlf\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "attributes")
    (repo / "sub" / "b.txt").write_bytes(b"two\r\n")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    source(str(repo), environ=QUIET | {"TMPDIR": str(scratch)})
    assert list(scratch.iterdir()) == []


def test_a_replaced_commit_does_not_lend_its_tree(repo):
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    (repo / "a.txt").write_text("changed\n")
    git(repo, "commit", "-q", "-a", "-m", "other")
    git(repo, "checkout", "-q", "--detach", "HEAD~1")
    git(repo, "replace", "HEAD", "main")
    found = describe(repo)
    assert (found["commit"], found["tree"]) == (git(repo, "rev-parse", "HEAD"), tree)


def hides_new_files(repo):
    """What hides a file that git does not track."""
    ignoring = repo.parent / "ignoring"
    ignoring.write_text("new.txt\n")
    (repo.parent / ".config" / "git").mkdir(parents=True)
    return {
        "showUntrackedFiles": lambda: git(repo, "config", "status.showUntrackedFiles", "no"),
        "info/exclude": lambda: (repo / ".git" / "info" / "exclude").write_text("new.txt\n"),
        "excludesFile": lambda: git(repo, "config", "core.excludesFile", str(ignoring)),
        "personal": lambda: ignoring.rename(repo.parent / ".config" / "git" / "ignore"),
        "untracked .gitignore": lambda: (repo / ".gitignore").write_text("*\n"),
        "below": lambda: (repo / "sub" / ".gitignore").write_text("*\n"),
    }


@pytest.mark.parametrize(
    "how",
    [
        "showUntrackedFiles",
        "info/exclude",
        "excludesFile",
        "personal",
        "untracked .gitignore",
        "below",
    ],
)
def test_only_what_the_commit_itself_ignores_is_ignored(repo, how):
    assert describe(repo)["dirty"] is False
    (repo / "sub" / "new.txt").write_text("")
    hides_new_files(repo)[how]()
    found = source(str(repo), environ=QUIET | {"HOME": str(repo.parent)})
    assert found["dirty"] is True


def test_tracked_ignore_files_ignore_what_git_says_they_do(repo):
    rules = {
        ".gitignore": "*.o\n/build/\n# a comment\n!keep.o\ndoc/*.txt\n\\#odd\ntrailing   \n",
        "sub/.gitignore": "/top.log\n*.tmp\n!kept.tmp\ndeep/x\n",
        "a [b]/.gitignore": "gone\r\n",
    }
    for name, text in rules.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text, newline="")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "rules")
    for name in (
        "x.o",
        "keep.o",
        "sub/x.o",
        "build/x",
        "sub/build/x",
        "doc/x.txt",
        "sub/doc/x.txt",
        "#odd",
        "trailing",
        "sub/top.log",
        "sub/deeper/top.log",
        "sub/deeper/x.tmp",
        "sub/deeper/kept.tmp",
        "sub/deep/x",
        "sub/deeper/deep/x",
        "x.tmp",
        "a [b]/gone",
        "a [b]/c/gone",
        "a b/gone",
    ):
        (repo / name).parent.mkdir(exist_ok=True, parents=True)
        (repo / name).write_text("")
    listed = ("ls-files", "-o", "--directory", "--no-empty-directory", "-z")
    said = git(repo, *listed, "--exclude-standard")
    seen = worktree.look(str(repo), QUIET)
    assert [c[2:].decode() for c in seen.changes] == sorted(said.split("\0"))[1:]
    assert len(seen.changes) > 5


def test_nothing_hides_in_a_submodule(repo, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    (inner / "i.txt").write_text("i\n")
    git(inner, "add", ".")
    git(inner, "commit", "-q", "-m", "inner")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(inner), "mod")
    git(repo, "config", "-f", ".gitmodules", "submodule.mod.ignore", "all")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "with a submodule")
    git(repo, "config", "diff.ignoreSubmodules", "all")
    assert describe(repo)["dirty"] is False
    (repo / "mod" / "i.txt").write_text("changed\n")
    git(repo / "mod", "update-index", "--assume-unchanged", "i.txt")
    assert describe(repo)["dirty"] is True
    git(repo / "mod", "update-index", "--no-assume-unchanged", "i.txt")
    git(repo / "mod", "commit", "-q", "-a", "-m", "moved on")
    assert describe(repo)["dirty"] is True
    git(repo / "mod", "checkout", "-q", "HEAD~1")
    assert describe(repo)["dirty"] is False
    (repo / "mod" / ".git").unlink()
    assert describe(repo)["dirty"] is True


def test_a_file_in_the_place_of_its_lfs_pointer_is_compared_with_it(repo):
    data = b"large\n" * 1000
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(data).hexdigest()}\nsize {len(data)}\n"
    )
    (repo / "x.bin").write_text(pointer)
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "large")
    assert describe(repo)["dirty"] is False
    (repo / "x.bin").write_bytes(data)
    assert describe(repo)["dirty"] is False
    (repo / "x.bin").write_bytes(data[:-1] + b"X")
    assert describe(repo)["dirty"] is True


def test_a_refusal_of_git_is_told_as_what_it_is(repo, tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root, to give a repository to another account")
    for path in (repo, *repo.rglob("*")):
        os.chown(path, 12345, 12345)
    found = describe(repo)
    assert found["commit"] is None
    assert found["note"].startswith("git refused: detected dubious ownership in repository at")
    assert "safe.directory" in found["note"]
    allowed = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(repo),
    }
    assert source(str(repo), environ=QUIET | allowed)["dirty"] is False


def test_a_second_look_sees_what_changed_meanwhile(repo):
    (repo / "new.txt").write_text("")
    for change in (
        lambda: (repo / "a.txt").write_text("two\n"),
        lambda: (repo / "a.txt").write_text("six\n"),
        lambda: (repo / "newer.txt").write_text(""),
        (repo / "new.txt").unlink,
        lambda: (repo / "sub" / "b.txt").chmod(0o755),
        lambda: git(repo, "commit", "-q", "--allow-empty", "-m", "next"),
    ):
        first = Source.look(str(repo), environ=QUIET)
        assert changed(first) is False
        change()
        assert changed(first) is True
    (repo / ".git" / "HEAD").write_text("broken")
    assert changed(first) is None


def test_the_index_of_a_large_repository_is_kept_and_cannot_hide_a_change(
    repo, tmp_path, monkeypatch
):
    monkeypatch.setattr(worktree, "KEEP_INDEX_BYTES", 0)
    cache = tmp_path / "cache"

    def run() -> Source:
        """A look before the first step, and one after the last."""
        before = Source.look(str(repo), environ=QUIET, cache=str(cache))
        before.withdraw()
        assert not list(cache.glob("*"))  # out of reach for whatever runs in between
        assert changed(before) is False
        return before

    run()
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    times = (repo / "a.txt").stat()
    (repo / "a.txt").write_text("six\n")
    os.utime(repo / "a.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run().facts["dirty"]
    kept.write_bytes(b"not an index")
    assert run().facts["dirty"]
    # What a step puts there while its run goes on is written over.
    before = Source.look(str(repo), environ=QUIET, cache=str(cache))
    before.withdraw()
    kept.write_bytes(b"planted")
    assert changed(before) is False
    assert b"planted" not in kept.read_bytes()


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "17",
    "GITHUB_ACTOR": "alice",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_JOB": "build",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "o/r",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_COMMIT_BRANCH": "main",
    "CI_PIPELINE_SOURCE": "push",
    "CI_JOB_URL": "https://gitlab.example/o/r/-/jobs/9",
}


def test_a_ci_system_is_known_by_its_variable():
    assert ci.told(GITHUB).about == {
        "system": "GITHUB_ACTIONS",
        "run": "17",
        "url": "https://github.com/o/r/actions/runs/17",
        "actor": "alice",
        "event": "push",
        "attempt": "2",
        "job": "build",
        "request": None,
    }
    assert ci.told({"GITLAB_CI": "true"}).about == {
        "system": "GITLAB_CI",
        **dict.fromkeys(("run", "url", "actor", "event", "attempt", "job", "request")),
    }
    assert ci.told({"CI": "true"}) is None


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        (GITHUB, "branch", "main"),
        (GITHUB | {"GITHUB_REF": "refs/tags/v1/x"}, "tag", "v1/x"),
        (GITHUB | {"GITHUB_REF": "refs/pull/3/merge", "GITHUB_HEAD_REF": "main"}, "branch", None),
        (GITLAB, "branch", "main"),
        (GITLAB | {"CI_COMMIT_TAG": "v1", "CI_COMMIT_BRANCH": ""}, "tag", "v1"),
        ({"JENKINS_URL": "x", "GIT_BRANCH": "origin/main"}, "branch", "main"),
        ({"JENKINS_URL": "x", "CHANGE_ID": "3", "BRANCH_NAME": "PR-3"}, "branch", None),
        ({"CIRCLECI": "true", "CIRCLE_BRANCH": "main"}, "branch", "main"),
        (
            {"BUILDKITE": "true", "BUILDKITE_BRANCH": "main", "BUILDKITE_PULL_REQUEST": "false"},
            "branch",
            "main",
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_BRANCH": "main", "BUILDKITE_PULL_REQUEST": "3"},
            "branch",
            None,
        ),
        ({"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/main"}, "branch", "main"),
        ({"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_BRANCH": "main"}, "branch", "main"),
        ({"TRAVIS": "true", "TRAVIS_BRANCH": "main", "TRAVIS_PULL_REQUEST": "7"}, "branch", None),
    ],
)
def test_what_git_cannot_say_of_a_detached_checkout_the_ci_system_says(repo, said, name, value):
    git(repo, "checkout", "-q", "--detach")
    found = source(str(repo), environ=QUIET | said)
    assert found[name] == value
    assert bool(found["from"][name]) is bool(value)
    if value:
        assert found["from"][name] in said
    assert (found["from"]["commit"], found["note"]) == ("git", None)


def test_git_says_the_branch_where_it_can(repo):
    found = source(str(repo), environ=QUIET | GITHUB | {"GITHUB_REF": "refs/heads/other"})
    assert (found["branch"], found["from"]["branch"]) == ("main", "git")
    git(repo, "tag", "v1")
    found = describe(repo)
    assert (found["tag"], found["from"]["tag"]) == ("v1", "git")


def test_what_a_ci_system_says_of_another_commit_is_not_taken(repo):
    git(repo, "checkout", "-q", "--detach")
    found = source(str(repo), environ=QUIET | GITHUB | {"GITHUB_SHA": "1" * 40})
    assert (found["branch"], found["commit"]) == (None, git(repo, "rev-parse", "HEAD"))
    assert found["note"] == f"GITHUB_SHA is {'1' * 40}, but git has another commit checked out"


def test_without_a_repository_the_ci_system_names_the_commit(tmp_path):
    found = source(str(tmp_path), environ=QUIET | GITHUB | {"GITHUB_SHA": "1" * 40})
    assert (found["commit"], found["from"]["commit"]) == ("1" * 40, "GITHUB_SHA")
    assert (found["dirty"], found["note"]) == (None, "this is not a git work tree")


def _counting(folder: Path) -> tuple[dict, Path]:
    """An environment whose git writes down that it was called."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    log = folder / "calls"
    wrapped = folder / "bin" / "git"
    wrapped.parent.mkdir()
    wrapped.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real.strip()} "$@"\n')
    wrapped.chmod(0o755)
    return QUIET | {"PATH": f"{wrapped.parent}:{os.environ['PATH']}"}, log


def test_a_clean_tree_takes_few_processes(repo, tmp_path):
    (repo / ".gitignore").write_text("*.o\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "rules")
    environ, log = _counting(tmp_path)
    for address in (None, "https://example.org/o/r.git"):
        if address:
            git(repo, "remote", "add", "origin", address)
        before = Source.look(str(repo), environ=environ)
        assert (before.facts["dirty"], before.facts["repo"]) == (False, address)
        # Each takes 4 ms: rev-parse, read-tree, ls-tree, status, ls-files.
        assert len(log.read_text().splitlines()) <= 5
        log.unlink()
        assert changed(before) is False
        assert len(log.read_text().splitlines()) <= 1
        log.unlink()


def test_new_files_alone_are_no_question_for_a_diff(repo, tmp_path):
    environ, log = _counting(tmp_path)
    (repo / "new.txt").write_text("new\n")
    before = Source.look(str(repo), environ=environ)
    assert before.facts["diff_sha256"] == hashlib.sha256(b"? new.txt\0").hexdigest()
    assert "--binary" not in log.read_text()
    log.unlink()
    assert changed(before) is False
    assert len(log.read_text().splitlines()) <= 1
    for path in ("a.txt", "newer.txt"):
        (repo / path).write_text("changed\n")
        assert changed(before) is True
        git(repo, "clean", "-q", "-f", "newer.txt")
        git(repo, "checkout", "-q", "--", "a.txt")
    (repo / "new.txt").unlink()
    assert changed(before) is True


@pytest.mark.parametrize("how", ["content", "mode", "new", "gone", "link", "quiet"])
def test_one_question_finds_every_change_of_a_clean_tree(repo, how):
    (repo / "kept.txt").write_text("as it was\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "kept")
    before = Source.look(str(repo), environ=QUIET)
    assert before.facts["dirty"] is False
    kept = repo / "kept.txt"
    if how == "content":
        kept.write_text("as it is\n")
    elif how == "mode":
        kept.chmod(0o755)
    elif how == "new":
        (repo / "new").mkdir()
        (repo / "new" / "file").write_text("")
    elif how == "gone":
        kept.unlink()
    elif how == "link":
        kept.unlink()
        kept.symlink_to("/dev/null")
    else:  # as long, and as old
        info = kept.stat()
        kept.write_text("as it WAS\n")
        os.utime(kept, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert changed(before) is True


def test_a_look_that_was_begun_early_sees_the_same(repo, tmp_path):
    (repo / "new.txt").write_text("")
    git(repo, "tag", "v1")
    cache = str(tmp_path / "cache")
    alone = Source.look(str(repo), environ=QUIET)
    for goes_on in (False, True):
        looking = Looking.begin(str(repo), (), QUIET, cache)
        if goes_on:
            looking.go_on()
        found = Source.look(str(repo), environ=QUIET, looking=looking)
        assert found.facts == alone.facts
        assert found.seen.is_as(alone.seen)
        assert looking.seen() is None
        assert changed(found) is False
    (repo / "newer.txt").write_text("")
    assert changed(found) is True
    assert Looking.begin(str(tmp_path), (), QUIET, cache) is None


def test_a_look_that_was_begun_leaves_nothing_when_it_is_not_needed(repo, tmp_path):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    pids = tmp_path / "pids"
    slow.write_text(f"#!/bin/sh\necho $$ >> {pids}\nexec sleep 300\n")
    slow.chmod(0o755)
    environ = QUIET | {
        "PATH": f"{slow.parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path / "scratch"),
    }
    (tmp_path / "scratch").mkdir()
    looking = Looking.begin(str(repo), (), environ, str(tmp_path / "cache"))
    until = time.monotonic() + 20
    while not pids.exists() or not pids.read_text():
        assert time.monotonic() < until
    looking.close()
    looking.close()
    assert looking.seen() is None
    for pid in map(int, pids.read_text().split()):
        while time.monotonic() < until and _runs(pid):
            pass
        assert not _runs(pid)
    assert not list((tmp_path / "scratch").iterdir())


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_what_makes_a_tree_dirty_unseen_by_git_status_is_named(repo):
    for name in (".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"):
        (repo / name).mkdir()
        (repo / name / ".gitignore").write_text("*\n")
    assert git(repo, "status", "--porcelain") == ""
    found = describe(repo)
    assert found["dirty"] is True
    assert ".mypy_cache/, .pytest_cache/, .ruff_cache/ and 1 more" in found["note"]
    assert "a .gitignore that is committed" in found["note"]
    (repo / ".gitignore").write_text(".*_cache/\n.venv/\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-q", "-m", "rules")
    found = describe(repo)
    assert (found["dirty"], found["note"]) == (False, None)


def test_rules_that_are_not_the_commits_ignore_nothing(repo):
    (repo / ".gitignore").write_text("*.o\n")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "rules")
    (repo / ".gitignore").write_text("*.o\nnew.txt\n")
    (repo / "new.txt").write_text("")
    (repo / "a.o").write_text("")
    changes = worktree.look(str(repo), QUIET).changes
    assert b"? new.txt" in changes
    assert b"? a.o" not in changes
    (repo / ".gitignore").unlink()
    (repo / ".gitignore").symlink_to(repo / "a.txt")
    assert b"? a.o" not in worktree.look(str(repo), QUIET).changes


@pytest.mark.parametrize(
    "config",
    [
        '[remote "origin"]\n\turl = https://a/b\n\tfetch = +x\n',
        '[remote "origin"]\n\tfetch = +x\n\turl = https://a/b\n',
        '[remote "origin"]\n\turl = https://a/b\n\turl = https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b\n[remote "origin"]\n\turl = https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b\n\tURL = https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b\n\n\turl = https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b\n  url = https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b\n#\n\turl=https://c/d\n',
        '[remote "origin"]\n\turl = https://a/b#c\n',
        '[remote "origin"]\n\turl = https://a/b ; c\n',
        '[remote "origin"]\n\turl = "https://a/b c"\n',
        '[remote "origin"]\n\turl = https://a/b\\\n/c\n',
        '[remote "origin"] url = https://a/b\n',
        '[Remote "origin"]\n\turl = https://a/b\n',
        "[remote.origin]\n\turl = https://a/b\n",
        '[remote "origin"]\n\turl = https://a/b\n[remote.origin]\n\turl = https://c/d\n',
        '[remote "other"]\n\turl = https://a/b\n',
        '[remote "origin"]\n\turl = https://a/b\n[include]\n\tpath = more\n',
        '[remote "origin"]\n\turl = https://a/b\n[extensions]\n\tworktreeConfig = true\n',
        '[x]\n\ty = "\\\n[remote \\"origin\\"]\\\n\turl = https://a/b\\\n"\n',
        '[remote "origin"]\n\turl = https://a/b\n[branch "main"]\n\tremote = origin\n',
    ],
)
def test_the_remote_is_the_one_git_names(repo, config):
    path = repo / ".git" / "config"
    path.write_text(path.read_text() + config)
    for name in ("more", "config.worktree"):
        (repo / ".git" / name).write_text('[remote "origin"]\n\turl = https://e/f\n')
    asked = subprocess.run(
        ["git", "config", "--get", "remote.origin.url"],
        cwd=repo,
        env=QUIET,
        check=False,
        capture_output=True,
        text=True,
    )
    assert worktree.look(str(repo), QUIET).repo == (asked.stdout.strip() or None)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "move",
    [
        ["commit", "-q", "--allow-empty", "-m", "next"],
        ["checkout", "-q", "other"],
        ["checkout", "-q", "--detach", "other"],
        ["symbolic-ref", "refs/heads/main", "refs/heads/other"],
        ["update-ref", "HEAD", "other"],
    ],
    ids=" ".join,
)
def test_a_commit_that_changed_is_seen_however_it_is_named(repo, packed, move):
    git(repo, "checkout", "-q", "-b", "other")
    git(repo, "commit", "-q", "--allow-empty", "-m", "other")
    git(repo, "checkout", "-q", "main")
    if packed:
        git(repo, "pack-refs", "--all")
    before = Source.look(str(repo), environ=QUIET)
    assert changed(before) is False
    git(repo, "pack-refs", "--all")
    assert changed(before) is False
    git(repo, *move)
    assert changed(before) is True
    assert commit(str(repo), QUIET) == git(repo, "rev-parse", "HEAD") != before.facts["commit"]


def test_tags_are_found_wherever_git_keeps_them(repo):
    assert describe(repo)["tag"] is None
    git(repo, "tag", "-a", "-m", "x", "v1")
    assert describe(repo)["tag"] == "v1"
    git(repo, "pack-refs", "--all")
    assert describe(repo)["tag"] == "v1"


@pytest.mark.parametrize("header", ["fully-peeled", "peeled"])
def test_tags_are_told_without_a_git_where_one_file_has_all_of_them(repo, tmp_path, header):
    git(repo, "tag", "old")
    git(repo, "commit", "-q", "--allow-empty", "-m", "more")
    git(repo, "tag", "-a", "-m", "x", "b/annotated")
    git(repo, "tag", "a-plain")
    git(repo, "branch", "no-tag")
    told = git(repo, "for-each-ref", "--points-at=HEAD", "--format=%(refname:strip=2)", "refs/tags")
    git(repo, "pack-refs", "--all", "--prune")
    packed = repo / ".git/packed-refs"
    packed.write_text(packed.read_text().replace(" fully-peeled ", f" {header} ", 1))
    environ, log = _counting(tmp_path)
    seen = Source.look(str(repo), environ=environ).seen
    assert seen.tags == tuple(told.splitlines()) == ("a-plain", "b/annotated")
    assert ("for-each-ref" in log.read_text()) == (header == "peeled")
