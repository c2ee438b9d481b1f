"""run.json's account of where a run came from, against real git repositories."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

import zf
from zf.proof import provenance
from zf.proof.provenance import ci, collect, source, user_name

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
        "note": None,
    }


def test_a_root_inside_the_work_tree_answers_for_the_whole_of_it(repo):
    (repo / "a.txt").write_text("changed\n")
    assert describe(repo / "sub")["dirty"] is True


def test_every_kind_of_change_has_its_own_digest(repo):
    seen = set()
    (repo / "a.txt").write_text("changed\n")
    seen.add(describe(repo)["diff_sha256"])
    (repo / "new.txt").write_text("")
    seen.add(describe(repo)["diff_sha256"])
    git(repo, "add", "new.txt")
    seen.add(describe(repo)["diff_sha256"])
    (repo / "a.txt").chmod(0o755)
    seen.add(describe(repo)["diff_sha256"])
    (repo / "sub" / "b.txt").unlink()
    seen.add(describe(repo)["diff_sha256"])
    assert len(seen) == 5
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
    monkeypatch.setattr(provenance, "GIT_TIMEOUT_S", 0.2)
    (tmp_path / ".git").mkdir()
    found = source(str(tmp_path), environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert "no answer in time" in found["note"]


def test_a_diff_that_hangs_leaves_the_tree_dirty_without_a_digest(repo, tmp_path, monkeypatch):
    (repo / "a.txt").write_text("changed\n")
    wrapped = tmp_path / "bin" / "git"
    wrapped.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    wrapped.write_text(
        f'#!/bin/sh\ncase "$*" in *--binary*) exec sleep 300;; esac\nexec {real.strip()} "$@"\n'
    )
    wrapped.chmod(0o755)
    monkeypatch.setattr(provenance, "GIT_TIMEOUT_S", 2.0)
    found = source(str(repo), environ=QUIET | {"PATH": f"{wrapped.parent}:{os.environ['PATH']}"})
    assert (found["dirty"], found["diff_sha256"]) == (True, None)


def test_run_json(repo):
    found = collect(
        str(repo),
        ["zf", "run-phase", "A", "token=hunter2"],
        run_id="r1",
        settings={"max_jobs": {"value": 4, "source": "default"}},
        started_at="2026-11-21T06:30:44.123456Z",
        redact=lambda text: text.replace("hunter2", "***"),
    )
    assert found["schema"] == "zf/run/v2"
    assert found["zf_version"] == zf.__version__
    assert found["command"] == ["zf", "run-phase", "A", "token=***"]
    assert found["settings"] == {"max_jobs": {"value": 4, "source": "default"}}
    assert found["source"]["branch"] == "main"
    assert found["user"] == user_name()
    assert found["started_at"] == "2026-11-21T06:30:44.123456Z"
    assert json.loads(json.dumps(found)) == found


def test_an_account_without_a_name_is_its_number(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert user_name() == "4000000000"


def test_a_ci_system_is_known_by_its_variable():
    said = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "17", "GITHUB_ACTOR": "alice"}
    assert ci(said) == {"system": "GITHUB_ACTIONS", "run": "17", "actor": "alice"}
    assert ci({"GITLAB_CI": "true"}) == {"system": "GITLAB_CI", "run": None, "actor": None}
    assert ci({"CI": "true"}) is None
