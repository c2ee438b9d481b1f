"""What a task can make zf tell is bounded, and test data that only looks like a secret is kept."""

import json
import sys

OWN = "correct-horse-battery"
LOOKS = "https://user:password@host/"


def test_lists_a_task_can_grow_are_cut_and_say_how_much_more(project):
    """Thousands of leaks, of refused names and of sentences: readable, sealed, verified."""
    long = "n" * 200
    project.task(
        "t",
        f'cd "$ARTIFACTS_DIR"; {sys.executable} - <<"X"\n'
        "import os\n"
        "for n in range(3000):\n"
        f"    open(f'{long}{{n}}', 'w').write(os.environ['DB_PASSWORD'])\n"
        f"    os.symlink('x', f'link{long}{{n}}')\n"
        f"    open(f'shape{{n}}', 'w').write('{LOOKS}')\n"
        "X",
        env={"DB_PASSWORD": OWN},
    )
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert done.code == 1
    data = (project.root / "proofs/r1/t/99-summary/status.json").read_bytes()
    assert len(data) < 200_000
    status = json.loads(data)
    assert (status["status"], status["cause"]) == ("failure", "artifacts")
    assert status["detail"].endswith(" and 2990 more contain secrets")
    assert len(status["refused"]) == 100
    assert "and 5900 more refused files that are not listed" in status["notes"]
    assert "and 2950 more artifacts like these" in status["notes"]
    assert status["artifacts"] == 3000
    longest = max((project.root / "proofs/r1/events.jsonl").read_bytes().split(b"\n"), key=len)
    assert len(longest) < 20_000
    verified = project.zf("verify", "r1")
    assert (verified.code, "INTACT" in verified.out) == (0, True)


def test_what_only_looks_like_a_secret_is_kept_and_told(project):
    """Its rule, its place and what to do; what is a secret of the run still fails the task."""
    project.task("shape", f"cd $ARTIFACTS_DIR; (echo a; echo b; echo '{LOOKS}') > junit.xml")
    project.task("own", f"cd $ARTIFACTS_DIR; (echo; echo {OWN}) > all", env={"DB_PASSWORD": OWN})
    project.task(
        "url",
        "cd $ARTIFACTS_DIR; echo https://me:$DB_PASSWORD@host > all",
        env={"DB_PASSWORD": OWN},
    )
    project.task("token", f"cd $ARTIFACTS_DIR; printf ghp_{'a' * 36} > all")
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    shape = project.status("r1", "shape")
    assert (shape["status"], shape["artifacts"]) == ("success", 1)
    (note,) = shape["notes"]
    assert "junit.xml" in note
    assert "url-password in line 3" in note
    assert "allow_secrets_in" in note
    for task, said in (("own", "secret:DB_PASSWORD in line 2"), ("url", "secret:DB_PASSWORD")):
        status = project.status("r1", task)
        assert (status["status"], status["cause"]) == ("failure", "artifacts")
        assert said in status["refused"][0]["reason"]
    assert project.status("r1", "token")["cause"] == "artifacts"


def test_a_project_may_have_secrets_in_artifacts_warn(project):
    (project.root / "zf.yaml").write_text("secrets_in_artifacts: warn\n")
    project.task("own", f"cd $ARTIFACTS_DIR; echo {OWN} > all", env={"DB_PASSWORD": OWN})
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    explained = project.zf("explain", "r1", "own").out
    said = "contains a secret (secret:DB_PASSWORD in line 1)"
    assert f"not kept as an artifact: all {said}" in explained
    status = project.status("r1", "own")
    assert (status["status"], status["artifacts"]) == ("success", 0)
    assert "secret:DB_PASSWORD in line 1" in status["refused"][0]["reason"]
    assert project.json("r1", "run.json")["secrets_in_artifacts"] == "warn"
    assert project.zf("verify", "r1").code == 0
