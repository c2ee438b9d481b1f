"""A recorded task run again, at its commit, in real repositories."""

import json
import os
import subprocess

import pytest

from tests.support import proof_schemas
from tests.support.program import Project


@pytest.fixture
def repo(project):
    """A project in a repository, below its top."""

    def git(*words):
        who = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
        for role in ("AUTHOR", "COMMITTER"):
            who |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@example.org"}
        env = {**os.environ, **who}
        subprocess.run(["git", *words], cwd=project.root.parent, env=env, check=True)

    project.env["GIT_CEILING_DIRECTORIES"] = str(project.root.parent.parent)
    (project.root / ".gitignore").write_text("proofs/\n")
    (project.root / "data").write_text("old\n")
    (project.root / "tool").write_text("echo tool\n")
    git("init", "-q", "-b", "main")
    project.git = git
    project.commit = lambda: (git("add", "-A"), git("commit", "-q", "-m", "x"))
    return project


def ran(repo, *words, code=0):
    repo.commit()
    assert repo.zf("run-phase", "A", "--run-id", "r1", *words).code == code


def test_a_task_comes_out_as_before_though_the_work_tree_went_on(repo):
    repo.task(
        "t",
        'bash tool; cat data; cp data "$ARTIFACTS_DIR/kept"',
        'echo "$GREETING"',
        env={"GREETING": "it's"},
    )
    ran(repo)
    (repo.root / "data").write_text("new\n")
    repo.task("t", "exit 1")
    repo.commit()
    (repo.root / "tool").unlink()
    done = repo.zf("replay", "r1", "t")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "status: success, as before\n"
        "exit code: 0, as before\n"
        "signal: none, as before\n"
        "20-logs/step-0.log: equal\n"
        "20-logs/step-1.log: equal\n"
        "30-artifacts/kept: equal\n"
    )


ODD_FOLDERS = {
    "blanks": " two  words ",
    "a newline": "two\nlines\n",
    "no UTF-8": os.fsdecode(b"caf\xe9"),
    "quotes": 'it\'s "so"',
}


@pytest.mark.parametrize("where", ["repository", "project"])
@pytest.mark.parametrize("name", ODD_FOLDERS.values(), ids=ODD_FOLDERS)
def test_a_task_is_replayed_wherever_its_project_is(tmp_path, name, where):
    project = Project(tmp_path / name / "p" if where == "repository" else tmp_path / "r" / name)
    project.env["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    project.task("t", "cat data")
    (project.root / "data").write_text("as committed\n")
    who = [f"{n}=a" for n in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME")]
    who += [f"{n}=a@example.org" for n in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run(
            ["env", *who, "git", *words], cwd=project.root.parent, env=project.env, check=True
        )
    (project.root / "proofs").mkdir()
    (project.root / "proofs" / "earlier").touch()
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    assert project.json("r1", "run.json")["source"]["dirty"] is False
    (project.root / "data").write_text("changed\n")
    done = project.zf("replay", "r1", "t")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("status: success, as before\n")


def test_a_replay_that_fails_says_why_with_the_end_of_the_log(repo, tmp_path):
    marker = tmp_path / "marker"
    repo.task("t", f"test ! -e {marker} || {{ echo no more rooms; exit 5; }}")
    ran(repo)
    marker.touch()
    done = repo.zf("replay", "r1", "t")
    assert done.code == 1
    assert "status: success -> failure\n" in done.out
    assert done.out.endswith("exited with code 5\n  | no more rooms\n")
    found = json.loads(repo.zf("replay", "r1", "t", "--json").out)
    proof_schemas.check(found, "replay")
    assert found["why"].endswith("exited with code 5")


def test_a_failure_can_be_had_again(repo):
    repo.task("t", "echo before; exit 7")
    ran(repo, code=1)
    done = repo.zf("replay", "latest", "t", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    proof_schemas.check(found, "replay")
    assert found["outcome"]["exit_code"] == [7, 7]


def test_the_cleanup_and_the_limits_are_those_of_then(repo):
    repo.task(
        "t",
        "exec sleep 60",
        cleanup=[{"run": "echo tidy"}, {"run": "echo done; false"}],
        silence_timeout_sec=0.2,
        max_log_bytes=5,
    )
    ran(repo, code=1)
    done = repo.zf("replay", "r1", "t")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "status: timeout, as before\n"
        "exit code: 124, as before\n"
        "signal: 15, as before\n"
        "20-logs/cleanup-0.log: equal\n"
        "20-logs/cleanup-1.log: equal\n"
        "20-logs/step-0.log: equal\n"
        "why: no output for silence_timeout_sec (0.2 s) from step 'step 1'\n"
    )


def test_a_later_attempt_and_needs_are_pointed_out(repo):
    repo.task("first", "true")
    repo.task("t", 'test "$ATTEMPT" = 2', needs=["first"], max_retries=1)
    ran(repo)
    done = repo.zf("replay", "r1", "t")
    assert done.code == 1
    assert done.out.startswith(
        "note: what is compared is attempt 2; this is a first one\n"
        "note: what it needs was not run again: first\n"
        "status: success -> failure\n"
    )


def test_what_a_task_waited_for_is_not_waited_for_again(repo):
    (repo.root / "zf.yaml").write_text("resources: {harbour: 1}\n")
    repo.task(
        "t",
        "exit 3",
        condition="${TIDE:-} == 'high'",
        resources={"harbour": 1},
        concurrency="harbour",
        start_after=0.1,
        deadline_sec=60,
        queue_timeout_sec=60,
        priority=3,
        allow_failure={"exit_codes": [3]},
        retry_on={"exit_codes": [9]},
        max_retries=1,
        log_tail=3,
    )
    repo.commit()
    first = repo.zf("run-phase", "A", "--run-id", "r1", env={"TIDE": "high"})
    assert first.code == 0, first.out
    done = repo.zf("replay", "r1", "t")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("status: failure, as before\nexit code: 3, as before\n")


@pytest.mark.parametrize("where", ["task", "project"])
def test_what_was_hidden_then_is_hidden_again(repo, tmp_path, where):
    named = {"secrets": ["DOOR"]} if where == "task" else {}
    repo.task(
        "t",
        'echo "$DOOR" | tee "$ARTIFACTS_DIR/door"',
        pass_env=["DOOR"],
        allow_secrets_in=["d*"],
        **named,
    )
    if where == "project":
        (repo.root / "zf.yaml").write_text("secrets: [DOOR]\n")
    repo.env["DOOR"] = "open-sesame-please"
    ran(repo)
    done = repo.zf("replay", "r1", "t", "--keep", str(tmp_path / "kept"))
    assert (done.code, "30-artifacts/door: equal\n" in done.out) == (0, True), done.out
    log = tmp_path / "kept/proofs/replay/t/20-logs/step-0.log"
    assert log.read_text() == "***\n"


def test_what_comes_out_otherwise_is_said(repo, tmp_path):
    marker = tmp_path / "marker"
    repo.task(
        "t",
        f'test -e {marker} || echo first > "$ARTIFACTS_DIR/first"; touch {marker}; date +%N; pwd',
    )
    ran(repo)
    done = repo.zf("replay", "r1", "t")
    assert done.code == 1
    assert "20-logs/step-0.log: differs\n" in done.out
    assert "30-artifacts/first: only in the first\n" in done.out


def test_what_is_made_can_be_kept(repo, tmp_path):
    repo.task("t", "pwd")
    ran(repo)
    done = repo.zf("replay", "r1", "t", "--keep", str(tmp_path / "kept"))
    log = tmp_path / "kept/proofs/replay/t/20-logs/step-0.log"
    assert log.read_text() == f"{tmp_path}/kept/source/project\n"
    assert done.code == 1
    assert repo.zf("verify", str(tmp_path / "kept/proofs/replay")).code == 0
    done = repo.zf("replay", "r1", "t", "--keep", str(tmp_path / "kept"))
    assert (done.code, "File exists" in done.err) == (2, True)


def test_what_could_not_be_recorded_is_said(repo):
    repo.task(
        "t", 'echo "$GIVEN"; echo "$SECRET_TOKEN" | wc -c', 'echo "not ${X-hunter2hunter2}"',
        pass_env=["GIVEN", "SECRET_TOKEN", "GONE"],
    )  # fmt: skip
    repo.commit()
    (repo.root / "dirty").write_text("")
    secret = {"SECRET_TOKEN": "hunter2hunter2"}
    given = {"GIVEN": "value", "GONE": "1"}
    assert repo.zf("run-phase", "A", "--run-id", "r1", env=secret | given).code == 0
    done = repo.zf("replay", "r1", "t", env=secret | {"GIVEN": "value"})
    assert done.out.startswith(
        "note: the work tree had changes then that are in no commit\n"
        "note: step 'step 2': a secret in its script was not recorded\n"
        "note: GIVEN: its value was not recorded; as it is now\n"
        "note: GONE: its value was not recorded; now not set\n"
        "note: SECRET_TOKEN: its value was not recorded; as it is now\n"
    )
    assert "20-logs/step-0.log: equal\n" in done.out


def test_hooks_of_the_repository_do_not_run(repo, tmp_path):
    repo.task("t", "true")
    ran(repo)
    hook = repo.root.parent / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    assert repo.zf("replay", "r1", "t").code == 0
    assert not (tmp_path / "hooked").exists()


def test_a_git_hook_around_it_does_not_lead_to_another_repository(repo, tmp_path):
    repo.task("t", "true")
    ran(repo)
    done = repo.zf("replay", "r1", "t", env={"GIT_DIR": str(tmp_path / "other")})
    assert (done.code, done.err) == (0, "")


def test_a_changed_proof_is_not_run(repo):
    repo.task("t", "true")
    ran(repo)
    repo.proof("r1", "t", "10-commands", "step-0.sh").write_text("touch /tmp/evil")
    done = repo.zf("replay", "r1", "t")
    assert done.code == 1
    assert "cannot be built on: it is not intact\n" in done.err


def test_what_cannot_be_replayed_is_a_usage_error(repo):
    repo.task("bad", "exit 1")
    repo.task("held", "true", needs=["bad"])
    ran(repo, code=1)
    for task, said in (("held", "was not run: it is blocked"), ("absent", "no task 'absent'")):
        done = repo.zf("replay", "r1", task)
        assert (done.code, said in done.err) == (2, True)


def test_without_the_commit_there_is_nothing_to_go_back_to(project, repo):
    repo.task("t", "true")
    assert repo.zf("run-phase", "A", "--run-id", "r0").code == 0
    done = repo.zf("replay", "r0", "t")
    assert (done.code, "recorded no commit" in done.err) == (2, True)
    ran(repo)
    (repo.root.parent / ".git").rename(repo.root.parent / "gone")
    done = repo.zf("replay", "r1", "t")
    assert (done.code, "git rev-parse" in done.err) == (2, True)
    done = repo.zf("replay", "r1", "t", env={"PATH": "/nonexistent"})
    assert (done.code, "git could not be started" in done.err) == (2, True)
