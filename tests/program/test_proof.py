"""The verbs about proofs, on runs that zf really made."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile

import pytest

from tests.support import proof_schemas
from tests.support.program import heard


@pytest.fixture
def ran(project):
    """A project with one run: a success with an artifact, a failure, a blocked task."""
    project.task("good", 'echo made > "$ARTIFACTS_DIR/file"', parallel_safe=True)
    project.task("bad", "echo broken; exit 3", parallel_safe=True)
    project.task("held", "true", needs=["bad"])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    return project


def keygen(folder, name="alice"):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = (folder / f"{name}.pub").read_text()
    (folder / "allowed").write_text(f"{name}@example.org {public}")
    return folder / name


def test_verify_prints_the_result_and_five_verdicts(ran):
    done = ran.zf("verify", "r1")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "RESULT",
        "INTACT",
        "COMPLETE",
        "AUTHENTIC",
        "EXPECTED",
        "TIMED",
    ]
    assert "UNSIGNED" in done.out
    assert ran.zf("verify").out == done.out
    assert json.loads(ran.zf("verify", "--json").out)["exit_code"] == 0


def test_verify_needs_only_the_folder(ran, tmp_path):
    shutil.move(ran.proof("r1"), tmp_path / "moved")
    for words, cwd in (
        (["./moved/"], tmp_path),
        (["moved/"], tmp_path),
        ([str(tmp_path / "moved")], "/"),
    ):
        assert ran.zf("verify", *words, cwd=cwd).code == 0


def test_verify_finds_what_was_changed(ran):
    log = ran.proof("r1", "bad", "20-logs", "step-0.log")
    log.write_bytes(b"x" * log.stat().st_size)
    done = ran.zf("verify", "r1")
    assert done.code == 1
    assert "\nINTACT [changed] bad/20-logs/step-0.log: expected " in done.out


def test_verify_holds_a_run_against_expectations(ran):
    assert ran.zf("verify", "r1", "--run", "r1", "--phase", "A", "--max-age", "1h").code == 0
    done = ran.zf("verify", "r1", "--run", "r2", "--phase", "B", "--clean-tree")
    assert done.code == 4
    assert "EXPECTED [run] expected r2, found 'r1'" in done.out
    assert "EXPECTED [phase] phase B was not run" in done.out
    done = ran.zf("verify", "r1", "--max-age", "soon")
    assert done.code == 2
    assert "--max-age soon: not an age" in done.err
    assert ran.zf("verify", "r1", "--signer", "alice").code == 2


def test_verify_by_policy(ran):
    policy = ran.root / "policy.yaml"
    policy.write_text("successful_phases: [A]\ntasks: [good]\n")
    done = ran.zf("verify", "r1", "--policy", "policy.yaml", "--vsa", "vsa.json")
    assert done.code == 4
    assert "EXPECTED [phase] bad: of phase A ended as 'failure'" in done.out
    told = json.loads((ran.root / "vsa.json").read_text())["predicate"]
    assert told["verificationResult"] == "FAILED"
    digest = hashlib.sha256(policy.read_bytes()).hexdigest()
    assert told["policy"] == {"uri": "policy.yaml", "digest": {"sha256": digest}}
    policy.write_text("tasks: [good]\n")
    assert ran.zf("verify", "r1", "--policy", "policy.yaml").code == 0
    assert ran.zf("verify", "r1", "--vsa", "vsa.json").code == 0
    told = json.loads((ran.root / "vsa.json").read_text())["predicate"]
    assert told["policy"]["uri"] == "command line"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such file"),
        ("a: 1\na: 2\n", "is given twice"),
        (b"\xff", "not UTF-8"),
        ("maxage: 1h\n", "unknown rule 'maxage'"),
        ("- a\n", "a mapping of rules"),
    ],
)
def test_a_bad_policy_is_a_usage_error(ran, text, said):
    if text is not None:
        (ran.root / "policy.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = ran.zf("verify", "r1", "--policy", "policy.yaml")
    assert done.code == 2
    assert said in done.err


def test_an_attestation_that_cannot_be_written_is_said(ran):
    done = ran.zf("verify", "r1", "--vsa", "absent/vsa.json")
    assert done.code == 2
    assert "No such file" in done.err


def test_a_run_is_signed_and_verified(ran, tmp_path):
    key = keygen(tmp_path)
    done = ran.zf("seal", "r1", "--sign", "--key", str(key), "--approval", "CHANGE-1")
    assert done.code == 0
    assert "wrote attest/statement.json.sig\n" in done.out
    done = ran.zf("verify", "r1", "--allowed-signers", str(tmp_path / "allowed"))
    assert done.code == 0
    assert "signed by alice@example.org" in done.out
    words = ("--allowed-signers", str(tmp_path / "allowed"), "--signer", "bob@example.org")
    assert ran.zf("verify", "r1", *words).code == 4
    done = ran.zf("seal", "r1", "--sign", "--key", str(key))
    assert (done.code, "is signed already" in done.err) == (2, True)


def test_the_key_may_come_from_the_environment(ran, tmp_path):
    done = ran.zf("seal", "r1", "--sign", env={"HOME": str(tmp_path)})
    assert (done.code, "no key to sign with" in done.err) == (2, True)
    assert ran.zf("seal", "r1", "--key", "k").code == 2
    key = keygen(tmp_path)
    assert ran.zf("seal", "r1", "--sign", env={"ZF_SIGNING_KEY": str(key)}).code == 0


def test_a_tampered_run_is_not_signed(ran, tmp_path):
    ran.proof("r1", "run.json").write_text("{}")
    done = ran.zf("seal", "r1", "--sign", "--key", str(keygen(tmp_path)))
    assert done.code == 1
    assert "it was not signed" in done.err
    assert "INTACT [changed] run.json" in done.err
    assert not ran.proof("r1", "attest").exists()


def test_a_killed_run_is_closed_and_stays_incomplete(project):
    project.task("slow", "touch ../started; exec sleep 300", workdir="tasks")
    project.task("next", "true", needs=["slow"])  # so that its tree is made ready
    zf = project.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(zf, "attempt_started")
    assert project.zf("seal", "r1").code == 5
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    assert project.zf("verify", "r1").code == 3
    done = project.zf("seal", "r1")
    assert (done.code, done.out.startswith("sealed ")) == (0, True)
    assert not list(project.proof(".locks").glob("*.next"))
    done = project.zf("verify", "r1")
    assert (done.code, "COMPLETE [no_outcome] slow: was still running" in done.out) == (3, True)
    assert "not there: the run was not sealed" not in done.out
    assert project.zf("seal", "r1").code == 5


def test_a_run_is_exported(ran, tmp_path):
    done = ran.zf("export", "r1", "-o", str(tmp_path / "x.tar"))
    digest = hashlib.sha256((tmp_path / "x.tar").read_bytes()).hexdigest()
    assert (done.code, done.out) == (0, f"{digest}  {tmp_path / 'x.tar'}\n")
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert "r1/good/30-artifacts/file" in archive.getnames()
    assert ran.zf("export", "r1", "-o", str(tmp_path / "x.tar")).code == 2
    done = ran.zf("export", "r1", "-o", str(tmp_path / "bag"), "--format", "bagit")
    assert (done.code, str(tmp_path / "bag") in done.out) == (0, True)
    done = ran.zf("export", "r1", "-o", str(tmp_path / "y.tar"), "--json")
    assert json.loads(done.out)["sha256"] == digest
    done = ran.zf("export", "r1", "-o", str(tmp_path / "absent" / "x.tar"))
    assert (done.code, "No such file" in done.err) == (2, True)


def test_two_runs_are_compared(ran):
    assert ran.zf("run-phase", "A", "--run-id", "r2").code == 1
    done = ran.zf("diff", "r1", "r2")
    assert (done.code, done.out) == (0, "r1 and r2 differ in nothing that counts\n")
    ran.task("bad", "echo mended", parallel_safe=True)
    assert ran.zf("run-phase", "A", "--run-id", "r3").code == 0
    done = ran.zf("diff", "r1", "latest")
    assert (done.code, done.out) == (
        1,
        "bad: failure -> success\n  script step-0.sh: differs\n"
        "    @@ -1 +1 @@\n    -echo broken; exit 3\n    +echo mended\nheld: blocked -> success\n"
        "  script step-0.sh: only in the second\n"
        + "".join(line for line in done.out.splitlines(keepends=True) if line.startswith("  env ")),
    )
    assert json.loads(ran.zf("diff", "r1", "r3", "--json").out)["same"] is False


def test_every_file_of_a_real_run_has_the_form_of_its_schema(project):
    """A key that somebody adds to a file of the proof is to be added to its schema, too."""
    project.task("good", 'printf x > "$ARTIFACTS_DIR/a%b"; echo "::add-mask::hunter2hunter2"')
    project.task("bad", "exit 3", "true", cleanup=[{"name": "tidy", "run": "echo tidy"}])
    project.task("slow", "exec sleep 60", timeout_sec=1)
    project.task("flaky", 'test "$ATTEMPT" = 2', max_retries=1, retry_delay_sec=0)
    project.task("fine", "exit 1", allow_failure=True)
    project.task("asks", "true", condition="'a' == 'b'")
    project.task("held", "true", needs=["bad"])
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 1
    assert project.zf("verify", "r1").code == 0
    assert proof_schemas.check_run(project.proof("r1")) > 40
    told = json.loads(project.zf("verify", "r1", "--json").out)
    proof_schemas.check(told, "verification")


# At the first event the run's folder may not have its name yet: then there is no run at all.
@pytest.mark.parametrize("lines", range(2, 9))
def test_a_runner_killed_after_any_line_leaves_an_incomplete_run(project, lines):
    """SIGKILL as soon as so many events are told; whatever is on disk then, it is no success."""
    for number in range(4):
        # However long we take to kill it, it does not come to its end.
        runs = "true" if number < 2 else "sleep 300"
        project.task(f"t{number}", runs, parallel_safe=True)
    words = ("--run-id", "r1", "-j", "2", "--grace", "0.2", "--progress", "json")
    zf = project.popen("run-phase", "A", *words)
    for _ in range(lines):
        assert zf.stderr.readline()
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    done = project.zf("verify", "r1")
    assert done.code == 3, done.out
    assert "INTACT     PASSED" in done.out
    assert project.zf("seal", "r1").code == 0
    done = project.zf("verify", "r1")
    assert (done.code, "INTACT     PASSED" in done.out) == (3, True)
